#include "cli/trouble.h"

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/screen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Columns of the statement that are shown before the place, and behind it. */
#define BEFORE_MAX 50

int trouble_set(struct trouble *t, int code, const char *fmt, ...)
{
	va_list ap;

	t->code = code;
	t->position = -1;
	va_start(ap, fmt);
	vsnprintf(t->message, sizeof(t->message), fmt, ap);
	va_end(ap);
	return -EIO;
}

int trouble_fail(const struct trouble *t)
{
	return cli_fail(t->code, "%s", t->message);
}

int trouble_fail_at(const struct trouble *t, struct slice sql)
{
	_cleanup_(strbuf_done) struct strbuf before = STRBUF_INIT(4 * KIB),
					     after = STRBUF_INIT(4 * KIB);
	size_t at = (size_t)t->position, start, end;

	trouble_fail(t);
	if (t->position < 0 || at >= sql.n)
		return t->code;
	for (start = at; start > 0 && at - start < BEFORE_MAX && sql.p[start - 1] != '\n'; start--)
		;
	for (end = at; end < sql.n && end - at < BEFORE_MAX && sql.p[end] != '\n'; end++)
		;
	screen_escape(slice_of(sql.p + start, at - start), &before);
	screen_escape(slice_of(sql.p + at, end - at), &after);
	fprintf(stderr, "  %s%s\n  %*s^\n", strbuf_str(&before), strbuf_str(&after),
		(int)screen_columns(strbuf_slice(&before)), "");
	return t->code;
}

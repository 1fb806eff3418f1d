#include "query/query_int.h"

#include "base/text.h"

#include <inttypes.h>

/* format() and printf() in place of SQLite's own: there one call with a precision of 900 million
 * runs for seconds inside one instruction, where no deadline is looked at. Each directive is taken
 * apart, its numbers checked, and given to SQLite's formatter alone. */
#define WIDTH_MAX 1000 /* characters of one directive's width or precision */

struct directive {
	char flags[8];
	int64_t width, precision; /* -1: none */
	char conversion;
};

struct format {
	sqlite3_context *ctx;
	struct slice text;
	size_t at;
	int argc, next;
	sqlite3_value **argv;
	sqlite3_str *out;
};

/* NULL past the last argument: SQLite then formats 0 or nothing. */
static sqlite3_value *next_arg(struct format *f)
{
	return f->next < f->argc ? f->argv[f->next++] : NULL;
}

static int64_t next_int(struct format *f)
{
	sqlite3_value *v = next_arg(f);

	return v ? sqlite3_value_int64(v) : 0;
}

static uint8_t peek(const struct format *f)
{
	return f->at < f->text.n ? f->text.p[f->at] : 0;
}

/* Digits or a star; -1 when there is neither. */
static int64_t read_size(struct format *f)
{
	int64_t v = -1;

	if (peek(f) == '*') {
		f->at++;
		return next_int(f);
	}
	while (peek(f) >= '0' && peek(f) <= '9') {
		v = MIN((v < 0 ? 0 : v) * 10 + (peek(f) - '0'), (int64_t)WIDTH_MAX + 1);
		f->at++;
	}
	return v;
}

static bool read_directive(struct format *f, struct directive *ret)
{
	struct directive d = { .precision = -1 };
	size_t n = 0;

	while (peek(f) && strchr("-+ 0#,!", peek(f))) {
		if (n + 1 < sizeof(d.flags))
			d.flags[n++] = (char)peek(f);
		f->at++;
	}
	d.width = read_size(f);
	if (peek(f) == '.') {
		f->at++;
		d.precision = MAX(read_size(f), (int64_t)0);
	}
	while (peek(f) == 'l')
		f->at++;
	d.conversion = (char)peek(f);
	if (!d.conversion)
		return false;
	f->at++;
	*ret = d;
	return d.width <= WIDTH_MAX && d.width >= -WIDTH_MAX && d.precision <= WIDTH_MAX;
}

static void put_text(struct format *f, const struct directive *d, const char *spec)
{
	sqlite3_value *v = next_arg(f);
	const char *text = v ? (const char *)sqlite3_value_text(v) : NULL;
	char first[5] = "";

	if (d->conversion == 'c' && text) {
		size_t n = utf8_len(slice_str(text));

		memcpy(first, text, n ? n : strnlen(text, 1));
		text = first;
	}
	sqlite3_str_appendf(f->out, spec, text ? text : "");
}

/* false: no such conversion. */
static bool put_directive(struct format *f, const struct directive *d)
{
	char spec[80], width[24] = "", precision[24] = "";
	sqlite3_value *v;
	char c = d->conversion;

	if (c == '%') {
		sqlite3_str_appendchar(f->out, 1, '%');
		return true;
	}
	if (d->width != -1)
		snprintf(width, sizeof(width), "%" PRId64, d->width);
	if (d->precision >= 0 && c != 'c')
		snprintf(precision, sizeof(precision), ".%" PRId64, d->precision);
	if (strchr("diuxXor", c)) {
		snprintf(spec, sizeof(spec), "%%%s%s%sll%c", d->flags, width, precision, c);
		sqlite3_str_appendf(f->out, spec, (sqlite3_int64)next_int(f));
	} else if (strchr("feEgG", c)) {
		snprintf(spec, sizeof(spec), "%%%s%s%s%c", d->flags, width, precision, c);
		v = next_arg(f);
		sqlite3_str_appendf(f->out, spec, v ? sqlite3_value_double(v) : 0.0);
	} else if (strchr("sczqQw", c)) {
		/* z would free the text in the C interface. */
		snprintf(spec, sizeof(spec), "%%%s%s%s%c", d->flags, width, precision,
			 c == 'c' || c == 'z' ? 's' : c);
		put_text(f, d, spec);
	} else {
		return false;
	}
	return true;
}

static bool format_all(struct format *f)
{
	while (f->at < f->text.n) {
		size_t percent = f->at + slice_find(slice_from(f->text, f->at), '%');
		struct directive d;

		sqlite3_str_append(f->out, (const char *)f->text.p + f->at, (int)(percent - f->at));
		f->at = percent + 1;
		if (percent == f->text.n)
			break;
		if (!read_directive(f, &d) || !put_directive(f, &d))
			return false;
	}
	return true;
}

void fn_format(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	static const char message[] = "format() knows %d %i %u %x %o %f %e %g %s %c %q %Q, "
				      "widths up to 1000";
	struct format f = { .ctx = ctx, .argc = argc, .next = 1, .argv = argv };
	char *text;
	bool ok;
	int n;

	if (argc < 1 || sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return;
	f.text = slice_of(sqlite3_value_text(argv[0]), (size_t)sqlite3_value_bytes(argv[0]));
	f.out = sqlite3_str_new(sqlite3_context_db_handle(ctx));
	ok = format_all(&f);
	n = sqlite3_str_length(f.out);
	if (sqlite3_str_errcode(f.out) == SQLITE_TOOBIG) {
		sqlite3_result_error_toobig(ctx);
		ok = true;
		n = -1;
	}
	text = sqlite3_str_finish(f.out);
	if (!ok) {
		query_fail(funcs_conn(ctx), "bad_argument", -1, "", "%s", message);
		sqlite3_result_error(ctx, message, -1);
		sqlite3_free(text);
	} else if (n >= 0) {
		sqlite3_result_text(ctx, text ? text : "", n, text ? sqlite3_free : SQLITE_STATIC);
	}
}

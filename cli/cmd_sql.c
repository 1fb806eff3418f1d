/* sql: one statement from the line, a file or stdin; alone: the prompt. */
#include "cli/interrupt.h"
#include "cli/prompt.h"
#include "cli/views.h"

#include <errno.h>
#include <stdio.h>

/* Reads until the end of f. */
static int read_statement(FILE *f, struct strbuf *out)
{
	char buf[4096];
	size_t n;

	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		strbuf_add(out, buf, n);
	return ferror(f) ? -errno : out->failed ? -E2BIG : 0;
}

static int load_statement(const struct options *o, struct strbuf *out)
{
	const char *file = o->file ? o->file : "-";
	FILE *f;
	int r;

	if (o->n_args && strcmp(o->args[0], "-") != 0) {
		strbuf_adds(out, o->args[0]);
		return out->failed ? cli_fail(EXIT_ERROR, "the statement is too long") : EXIT_OK;
	}
	f = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	if (!f)
		return cli_fail(EXIT_ERROR, "cannot read %s: %s", file, strerror(errno));
	r = read_statement(f, out);
	if (f != stdin)
		fclose(f);
	if (r < 0)
		return cli_fail(EXIT_ERROR, "cannot read %s: %s", file,
				r == -E2BIG ? "longer than 64 KiB" : strerror(-r));
	return EXIT_OK;
}

static int ask(const struct options *o, struct source *source, struct slice sql)
{
	_cleanup_(question_done) struct question q;
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(1024);
	struct print_opts print;
	struct showing s = { .o = o, .source = source, .q = &q, .print = &print, .what = "rows" };
	struct trouble t;
	int code;

	question_init(&q);
	strbuf_add(&q.sql, sql.p, sql.n);
	if (q.sql.failed)
		return cli_fail(EXIT_ERROR, "the statement is longer than 64 KiB");
	if (sqlgen_range(&q, o, wall_ns(), 0, &why) < 0)
		return cli_fail(EXIT_USAGE, "sql: %s", strbuf_str(&why));
	print_opts_init(&print, o, NULL);
	code = show_answer(&s, NULL, &t);
	if (code != EXIT_OK && code != EXIT_INCOMPLETE && code != EXIT_INTERRUPTED)
		return trouble_fail_at(&t, sql);
	return code;
}

static bool has_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] > ' ')
			return true;
	return false;
}

int cmd_sql(const struct options *o)
{
	_cleanup_(source_freep) struct source *source = NULL;
	_cleanup_(strbuf_done) struct strbuf sql = STRBUF_INIT(QUESTION_SQL_MAX);
	struct trouble t;
	int code;

	if (o->file && o->n_args)
		return cli_fail(EXIT_USAGE, "sql: a statement and -f FILE; give one");
	interrupt_install();
	if (source_open(o, &source, &t) < 0)
		return trouble_fail(&t);
	if (!o->file && !o->n_args && isatty(STDIN_FILENO))
		return prompt_run(o, source);
	code = load_statement(o, &sql);
	if (code == EXIT_OK && !has_text(strbuf_slice(&sql)))
		return cli_fail(EXIT_USAGE, "sql: the statement is empty");
	return code == EXIT_OK ? ask(o, source, strbuf_slice(&sql)) : code;
}

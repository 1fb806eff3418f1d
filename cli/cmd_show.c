/* show: one exchange with its headers, or one connection, by id. */
#include "cli/interrupt.h"
#include "cli/record.h"
#include "cli/views.h"

#include <errno.h>

struct found {
	bool row;
	char protocol[64];
};

static int found_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	(void)ctx;
	(void)cols;
	return n ? 0 : -EINVAL;
}

static int found_row(void *ctx, const struct datum *cells)
{
	struct found *f = ctx;

	f->row = true;
	if (cells[0].kind == DATUM_TEXT && cells[0].text.n < sizeof(f->protocol)) {
		memcpy(f->protocol, cells[0].text.p, cells[0].text.n);
		f->protocol[cells[0].text.n] = 0;
	}
	return 0;
}

static void begin(struct question *q, const char *sql, const char *id)
{
	question_init(q);
	q->all = true;
	strbuf_adds(&q->sql, sql);
	question_bind_text(q, slice_str(id));
}

static int look_up(struct source *source, const char *sql, const char *id, struct found *ret,
		   struct trouble *t)
{
	struct answer_sink sink = { .ctx = ret, .columns = found_columns, .row = found_row };
	_cleanup_(question_done) struct question q;

	begin(&q, sql, id);
	return source_ask(source, &q, &sink, t);
}

/* The statement that shows all of it. Payload columns stand in no `*`. */
static const char *full_statement(const struct found *exchange, bool connection)
{
	if (connection)
		return "SELECT * FROM connections WHERE conn_id = ";
	if (strcmp(exchange->protocol, "http") == 0)
		return "SELECT *, request_headers, response_headers, request_body, response_body "
		       "FROM http WHERE id = ";
	return "SELECT * FROM observations WHERE id = ";
}

int cmd_show(const struct options *o)
{
	_cleanup_(source_freep) struct source *source = NULL;
	_cleanup_(question_done) struct question q;
	struct found exchange = { 0 }, connection = { 0 };
	struct print_opts print;
	struct showing s = { .o = o, .q = &q, .print = &print, .what = "rows" };
	const char *id = o->args[0];
	struct trouble t;
	int r, code;

	question_init(&q);
	interrupt_install();
	if (source_open(o, &source, &t) < 0)
		return trouble_fail(&t);
	r = look_up(source, "SELECT protocol FROM observations WHERE id = ", id, &exchange, &t);
	if (!r && !exchange.row)
		r = look_up(source, "SELECT protocol FROM connections WHERE conn_id = ", id,
			    &connection, &t);
	if (r < 0)
		return r == -EINTR ? EXIT_INTERRUPTED : trouble_fail(&t);
	if (!exchange.row && !connection.row)
		return cli_fail(EXIT_ERROR,
				"no request or connection '%s' in %s; ids are printed with -o wide "
				"or -o name, and go when their rows do",
				id, source_name(source));
	begin(&q, full_statement(&exchange, connection.row), id);
	s.source = source;
	print_opts_init(&print, o, NULL);
	code = print.output <= OUTPUT_WIDE ? record_answer(&s, &t) : show_answer(&s, NULL, &t);
	if (code != EXIT_OK && code != EXIT_INTERRUPTED)
		return trouble_fail(&t);
	return code;
}

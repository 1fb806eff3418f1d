/* show: one exchange with its headers, or one connection, by id. */
#include "cli/interrupt.h"
#include "cli/record.h"
#include "cli/show.h"
#include "protocols/schema.h"

#include <errno.h>

struct found {
	bool row, primary;
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
	f->primary = cells[1].kind == DATUM_INT && cells[1].i;
	if (cells[0].kind == DATUM_TEXT && cells[0].text.n < sizeof(f->protocol)) {
		memcpy(f->protocol, cells[0].text.p, cells[0].text.n);
		f->protocol[cells[0].text.n] = 0;
	}
	return 0;
}

/* Of whatever time the row is. */
static void begin(struct question *q)
{
	question_init(q);
	q->all = true;
}

static int look_up(struct source *source, const char *sql, const char *id, struct found *ret,
		   struct trouble *t)
{
	struct answer_sink sink = { .ctx = ret, .columns = found_columns, .row = found_row };
	_cleanup_(question_done) struct question q;

	begin(&q);
	strbuf_adds(&q.sql, sql);
	question_bind_text(&q, slice_str(id));
	return source_ask(source, &q, &sink, t);
}

/* The statement that shows all of it: with the protocol's own columns where its table has the row.
 * Payload columns stand in no `*`; a cluster's collector gives none of them. */
static void full_statement(const struct found *exchange, bool connection, bool payloads,
			   struct strbuf *out)
{
	const struct table_schema *t = schema_table_by_name(exchange->protocol);

	if (connection) {
		strbuf_adds(out, "SELECT * FROM connections WHERE conn_id = ");
		return;
	}
	/* the other end's row is beside those of the protocol's table */
	if (!t || !(t->flags & TABLE_F_EXCHANGES) || !exchange->primary) {
		strbuf_adds(out, "SELECT * FROM observations WHERE id = ");
		return;
	}
	strbuf_adds(out, "SELECT *");
	for (size_t i = 0; i < t->n_columns && payloads; i++)
		if (t->columns[i]->flags & COL_F_PAYLOAD)
			strbuf_addf(out, ", %s", t->columns[i]->name);
	strbuf_addf(out, " FROM %s WHERE id = ", t->name);
}

int show_id(const struct options *o, struct source *source, const char *id,
	    const struct print_opts *print, struct strbuf *footer, struct trouble *t)
{
	_cleanup_(question_done) struct question q;
	struct found exchange = { 0 }, connection = { 0 };
	struct showing s = {
		.o = o, .source = source, .q = &q, .print = print, .what = "rows", .timeline = true
	};
	int r;

	begin(&q);
	r = look_up(source, "SELECT protocol, is_primary FROM observations WHERE id = ", id,
		    &exchange, t);
	if (!r && !exchange.row)
		r = look_up(source, "SELECT protocol, 1 FROM connections WHERE conn_id = ", id,
			    &connection, t);
	if (r < 0)
		return r == -EINTR ? EXIT_INTERRUPTED : t->code;
	if (!exchange.row && !connection.row) {
		trouble_set(t, EXIT_ERROR,
			    "no request or connection '%s' in %s; ids are printed with -o wide or "
			    "-o name, and go when their rows do",
			    id, source_name(source));
		return t->code;
	}
	full_statement(&exchange, connection.row, !source_is_cluster(o), &q.sql);
	question_bind_text(&q, slice_str(id));
	return print->output <= OUTPUT_WIDE ? record_answer(&s, footer, t)
					    : show_answer(&s, footer, t);
}

int cmd_show(const struct options *o)
{
	_cleanup_(source_freep) struct source *source = NULL;
	struct print_opts print;
	struct trouble t;
	int code;

	interrupt_install();
	if (source_open(o, &source, &t) < 0)
		return trouble_fail(&t);
	print_opts_init(&print, o, NULL);
	code = show_id(o, source, o->args[0], &print, NULL, &t);
	return code == EXIT_OK || code == EXIT_INTERRUPTED ? code : trouble_fail(&t);
}

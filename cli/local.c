/* Bare files: storage's reader under the query layer, in this process. */
#include "cli/source.h"

#include "cli/interrupt.h"
#include "query/query.h"
#include "storage/store.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define LOCAL_TIMEOUT_NS (600 * NSEC_PER_SEC)

struct local {
	struct store_reader *reader;
	struct query_conn *conn;
};

struct relay {
	const struct answer_sink *sink;
	struct answer_col cols[QUERY_COLUMNS_MAX];
	struct datum cells[QUERY_COLUMNS_MAX];
};

_Static_assert(QUERY_COLUMNS_MAX <= ANSWER_COLS_MAX, "every answer fits");

static int relay_columns(void *ctx, const struct query_column *cols, size_t n)
{
	struct relay *r = ctx;

	for (size_t i = 0; i < n; i++) {
		struct answer_col *c = &r->cols[i];
		const char *unit = cols[i].unit_name;

		*c = (struct answer_col){ 0 };
		snprintf(c->name, sizeof(c->name), "%s", cols[i].name);
		snprintf(c->type, sizeof(c->type), "%s", cols[i].type);
		snprintf(c->unit, sizeof(c->unit), "%s", unit ? unit : "");
		c->shape = shape_of(c->name, c->unit);
	}
	return r->sink->columns(r->sink->ctx, r->cols, n);
}

static int relay_row(void *ctx, const struct query_cell *cells, size_t n)
{
	struct relay *r = ctx;

	for (size_t i = 0; i < n; i++) {
		struct datum *d = &r->cells[i];

		switch ((enum query_kind)cells[i].kind) {
		case QUERY_NULL:
			*d = (struct datum){ .kind = DATUM_NULL };
			break;
		case QUERY_INT:
			*d = datum_int(cells[i].i);
			break;
		case QUERY_REAL:
			*d = (struct datum){ .kind = DATUM_REAL, .d = cells[i].r };
			break;
		case QUERY_TEXT:
		case QUERY_BLOB:
			*d = datum_text(cells[i].text);
			break;
		}
	}
	return r->sink->row(r->sink->ctx, r->cells);
}

int local_open(const char *data_dir, struct local **ret, struct trouble *t)
{
	struct local *l = calloc(1, sizeof(*l));
	struct store_diag diag = { 0 };
	int r;

	if (!l)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	r = store_reader_open(data_dir, &l->reader, &diag);
	if (r < 0) {
		free(l);
		return trouble_set(t, r == -EACCES ? EXIT_NOT_ALLOWED : EXIT_ERROR, "%s",
				   *diag.text ? diag.text : strerror(-r));
	}
	r = query_open(store_reader_source(l->reader), &l->conn);
	if (r < 0) {
		local_free(l);
		return trouble_set(t, EXIT_ERROR, "cannot query %s: %s", data_dir, strerror(-r));
	}
	if (store_reader_is_live(l->reader))
		cli_note("%s is being written to; rows of the last seconds may be missing",
			 data_dir);
	*ret = l;
	return 0;
}

void local_free(struct local *l)
{
	if (!l)
		return;
	if (l->conn)
		query_close(l->conn);
	if (l->reader)
		store_reader_close(l->reader);
	free(l);
}

/* What the runs that wrote the files know of losses in the range. */
static void cover(struct local *l, struct query_coverage *cov)
{
	struct loss_times times;
	struct loss_cover known;
	struct timespec now;
	int runs;

	clock_gettime(CLOCK_REALTIME, &now);
	query_coverage_times(cov, (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec,
			     &times);
	runs = store_reader_cover(l->reader, &times, &known);
	if (runs < 0)
		known = (struct loss_cover){ .unknown_from_ns = times.known_from_ns,
					     .unknown_to_ns = times.known_to_ns };
	query_coverage_epochs(cov, &known);
	if (runs > 0 || !cov->timed || known.unknown_to_ns)
		return;
	query_coverage_gap(cov, "not known to be complete: no run of an agent has left a ledger in "
				"this directory");
}

static void set_params(const struct question *q, struct query_param *params,
		       char names[QUESTION_PARAMS_MAX][24])
{
	for (size_t i = 0; i < q->n_params; i++) {
		struct datum d = question_param(q, i);

		snprintf(names[i], sizeof(names[i]), "p%zu", i + 1);
		params[i].name = names[i];
		params[i].value = (struct value){ .kind = d.kind == DATUM_TEXT ? VALUE_TEXT
									       : VALUE_INT,
						  .i = d.i,
						  .text = d.text };
	}
}

static int fail(const struct query_error *e, struct trouble *t)
{
	int code = strcmp(e->code, "not_allowed") == 0 ? EXIT_NOT_ALLOWED : EXIT_ERROR;
	int r = trouble_set(t, code, "%s%s%s", e->message, *e->hint ? "; " : "", e->hint);

	t->position = e->position;
	return r;
}

int local_ask(struct local *l, const struct question *q, const struct answer_sink *sink,
	      struct trouble *t)
{
	_cleanup_(freep) struct relay *relay = calloc(1, sizeof(*relay));
	_cleanup_(strbuf_done) struct strbuf json = STRBUF_INIT(MIB);
	struct query_param params[QUESTION_PARAMS_MAX];
	char names[QUESTION_PARAMS_MAX][24];
	struct query_sink own = { .ctx = relay, .columns = relay_columns, .row = relay_row };
	struct query_coverage cov = { 0 };
	struct query_error error = { 0 };
	struct query run = { .sql = strbuf_slice(&q->sql),
			     .range = { q->from_ns, q->to_ns, q->is_default },
			     .params = params,
			     .n_params = q->n_params,
			     .limits = { .timeout_ns = LOCAL_TIMEOUT_NS },
			     .cancel = interrupt_flag() };
	int r;

	if (!relay)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	relay->sink = sink;
	set_params(q, params, names);
	r = query_run(l->conn, &run, &own, &cov, &error);
	if (r == -ECANCELED)
		r = -EINTR;
	else if (r < 0 && *error.message)
		r = fail(&error, t);
	if (r == 0)
		cover(l, &cov);
	if (r == 0 && sink->coverage) {
		query_coverage_json(&cov, &json);
		r = sink->coverage(sink->ctx, strbuf_slice(&json));
	}
	query_coverage_done(&cov);
	return r;
}

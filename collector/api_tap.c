/* GET /api/v1/tap: rows as they arrive. The hub's thread writes them into the client's bounded
 * buffer and never waits: what does not fit is skipped and counted. The job's own thread tells the
 * counts and notices the end.
 */
#include "collector/http.h"

#include "base/text.h"
#include "collector/audit.h"
#include "base/clock.h"
#include "collector/filter.h"
#include "collector/result.h"
#include "query/query.h"

#include <errno.h>

#define KEEPALIVE_NS (5 * NSEC_PER_SEC)
#define TICK_NS	     (100 * NSEC_PER_MSEC)
#define RATE_MAX     10000 /* rows a second and node */

/* What is shown without columns=. Computed ones are made here from what they are made of. */
static const uint16_t default_columns[] = {
	COL_ID,
	COL_TIME,
	COL_END_TIME,
	COL_LATENCY_NS,
	COL_PROTOCOL,
	COL_KIND,
	COL_ROLE,
	COL_METHOD,
	COL_RESOURCE,
	COL_STATUS,
	COL_STATUS_CODE,
	COL_FAILED,
	COL_CLIENT_ERROR,
	COL_OUTCOME,
	COL_ERROR,
	COL_REQUEST_BYTES,
	COL_RESPONSE_BYTES,
	COL_ENCRYPTED,
	COL_CLIENT_NAMESPACE,
	COL_CLIENT_POD,
	COL_CLIENT_NAME,
	COL_CLIENT_ADDR,
	COL_CLIENT_PORT,
	COL_CLIENT_PID,
	COL_CLIENT_COMM,
	COL_SERVER_NAMESPACE,
	COL_SERVER_POD,
	COL_SERVER_NAME,
	COL_SERVER_ADDR,
	COL_SERVER_PORT,
	COL_SERVER_PID,
	COL_SERVER_COMM,
	COL_CONN_ID,
	COL_NODE,
};

/* Columns that the computed ones need, asked for at fixed places behind the visible ones. */
static const uint16_t hidden_columns[] = {
	COL_NODE, COL_EPOCH, COL_SEQ, COL_CONN_ID, COL_REQUEST_OFFSET,
};
enum { HIDDEN_NODE, HIDDEN_EPOCH, HIDDEN_SEQ, HIDDEN_CONN, HIDDEN_OFFSET, _HIDDEN_MAX };

struct tap {
	struct request *r;
	const struct column *columns[SCAN_COLS_MAX];
	uint32_t asked[SCAN_COLS_MAX]; /* the visible ones that are stored, then the hidden ones */
	size_t place[SCAN_COLS_MAX];   /* of a visible column in asked; SIZE_MAX: computed */
	size_t n_columns, n_asked, n_stored;
	uint64_t limit, for_ns, rate;
	struct filter_set filters;
	/* with the tap's lock: the hub writes, the job reads */
	pthread_mutex_t lock;
	struct strbuf line;
	uint64_t rows, skipped, told_rows, told_skipped;
	struct query_list gone; /* nodes that could not go on */
	bool ended;
};

static int add_column(struct tap *t, const struct column *c)
{
	if (!c || (c->flags & COL_F_HIDDEN) || t->n_columns + _HIDDEN_MAX >= SCAN_COLS_MAX)
		return -EINVAL;
	t->place[t->n_columns] = SIZE_MAX;
	if (!(c->flags & COL_F_COMPUTED)) {
		t->place[t->n_columns] = t->n_asked;
		t->asked[t->n_asked++] = c->id;
	}
	t->columns[t->n_columns++] = c;
	return 0;
}

static const struct column *column_named(struct slice name)
{
	for (unsigned int id = 1; id < _COL_MAX; id++) {
		const struct column *c = schema_column((uint16_t)id);

		if (c && slice_eq_nocase(slice_str(c->name), name))
			return c;
	}
	return NULL;
}

static int choose_columns(struct tap *t, struct slice list)
{
	int err = 0;

	for (size_t i = 0; list.n == 0 && i < ARRAY_SIZE(default_columns) && err == 0; i++)
		err = add_column(t, schema_column(default_columns[i]));
	while (list.n && err == 0) {
		struct slice name = slice_head(list, slice_find(list, ','));

		const struct column *c = column_named(name);

		if (c && (c->flags & COL_F_PAYLOAD) && t->r->cfg->service_proxy)
			c = NULL;
		err = add_column(t, c);
		if (err < 0)
			snprintf(t->filters.why, sizeof(t->filters.why), "unknown column '%.*s'",
				 (int)MIN(name.n, (size_t)80), (const char *)name.p);
		list = slice_from(list, name.n + 1);
	}
	t->n_stored = t->n_asked;
	for (size_t i = 0; i < _HIDDEN_MAX; i++)
		t->asked[t->n_asked++] = hidden_columns[i];
	return err;
}

static int read_number(struct tap *t, const char *name, struct slice v, uint64_t max, uint64_t *ret)
{
	if (parse_u64(v, ret) == 0 && *ret > 0 && *ret <= max)
		return 0;
	snprintf(t->filters.why, sizeof(t->filters.why), "%s takes a number up to %llu", name,
		 (unsigned long long)max);
	return -EINVAL;
}

static int read_param(struct tap *t, const struct http_param *p)
{
	struct slice v = slice_of(p->value, p->value_n);
	int found;

	if (strcmp(p->name, "columns") == 0 || strcmp(p->name, "all") == 0)
		return 0;
	if (strcmp(p->name, "format") == 0 && slice_eq_str(v, "ndjson"))
		return 0;
	if (strcmp(p->name, "limit") == 0)
		return read_number(t, p->name, v, UINT32_MAX, &t->limit);
	if (strcmp(p->name, "rate") == 0)
		return read_number(t, p->name, v, RATE_MAX, &t->rate);
	if (strcmp(p->name, "for") == 0) {
		if (parse_duration_ns(v, &t->for_ns) == 0)
			return 0;
		snprintf(t->filters.why, sizeof(t->filters.why),
			 "for takes a duration such as 10s");
		return -EINVAL;
	}
	found = filter_add(&t->filters, p->name, v);
	if (found == 0) {
		snprintf(t->filters.why, sizeof(t->filters.why), "unknown filter '%.80s'", p->name);
		return -EINVAL;
	}
	return found < 0 ? found : 0;
}

static int read_request(struct tap *t)
{
	int err = choose_columns(t, request_value(t->r, "columns"));

	for (size_t i = 0; i < t->r->n_params && err == 0; i++)
		err = read_param(t, &t->r->params[i]);
	if (err == 0 && !slice_eq_str(request_value(t->r, "all"), "1"))
		err = filter_add_equals(&t->filters, COL_IS_PRIMARY, 1);
	return err;
}

static const Kelpie__Cell *hidden(const struct tap *t, const Kelpie__TailRow *row, size_t which)
{
	return row->cells[t->n_stored + which];
}

/* node-epoch-sequence and connection-offset, as SQL has them. */
static void add_computed(struct tap *t, uint16_t id, const char *node, const Kelpie__TailRow *row)
{
	struct strbuf text = STRBUF_INIT(4 * KIB);
	const Kelpie__Cell *c;

	if (id == COL_ID) {
		c = hidden(t, row, HIDDEN_NODE);
		if (c->value_case == KELPIE__CELL__VALUE_TEXT)
			strbuf_add(&text, c->text.data, c->text.len);
		else
			strbuf_adds(&text, node);
		strbuf_addf(&text, "-%llx-%lld",
			    (unsigned long long)hidden(t, row, HIDDEN_EPOCH)->number,
			    (long long)hidden(t, row, HIDDEN_SEQ)->number);
	} else if (id == COL_EXCHANGE_ID) {
		const Kelpie__Cell *offset = hidden(t, row, HIDDEN_OFFSET);

		c = hidden(t, row, HIDDEN_CONN);
		if (c->value_case == KELPIE__CELL__VALUE_TEXT &&
		    offset->value_case == KELPIE__CELL__VALUE_NUMBER) {
			strbuf_add(&text, c->text.data, c->text.len);
			strbuf_addf(&text, "-%llx", (unsigned long long)offset->number);
		}
	}
	if (text.len && !text.failed)
		strbuf_add_json(&t->line, strbuf_slice(&text));
	else
		strbuf_adds(&t->line, "null");
	strbuf_done(&text);
}

static void add_cell(struct tap *t, size_t i, const char *node, const Kelpie__TailRow *row)
{
	const Kelpie__Cell *c;

	if (t->place[i] == SIZE_MAX) {
		add_computed(t, t->columns[i]->id, node, row);
		return;
	}
	c = row->cells[t->place[i]];
	if (c->value_case == KELPIE__CELL__VALUE_NUMBER)
		result_add_int(&t->line, c->number, t->columns[i]->unit);
	else if (c->value_case == KELPIE__CELL__VALUE_TEXT)
		result_add_text(&t->line, slice_of(c->text.data, c->text.len), t->columns[i]->unit);
	else
		strbuf_adds(&t->line, "null");
}

static void write_row(struct tap *t, const char *node, const Kelpie__TailRow *row)
{
	if (row->n_cells != t->n_asked || t->ended) {
		t->skipped += !t->ended;
		return;
	}
	strbuf_reset(&t->line);
	strbuf_adds(&t->line, "{\"type\":\"row\",\"values\":[");
	for (size_t i = 0; i < t->n_columns; i++) {
		if (i)
			strbuf_addch(&t->line, ',');
		add_cell(t, i, node, row);
	}
	strbuf_adds(&t->line, "]}\n");
	if (t->line.failed || out_try_write(t->r->out, t->line.p, t->line.len) < 0) {
		t->skipped++;
		return;
	}
	t->rows++;
	if (t->limit && t->rows == t->limit)
		t->ended = true;
}

static void on_rows(void *ctx, const char *node, const Kelpie__TailRows *rows)
{
	struct tap *t = ctx;

	pthread_mutex_lock(&t->lock);
	t->skipped += rows->skipped;
	for (size_t i = 0; i < rows->n_rows; i++)
		write_row(t, node, rows->rows[i]);
	pthread_mutex_unlock(&t->lock);
}

static void on_done(void *ctx, const char *node, const char *message)
{
	struct tap *t = ctx;
	char text[512];

	snprintf(text, sizeof(text), "%s: %.200s", node, message);
	pthread_mutex_lock(&t->lock);
	query_list_add(&t->gone, text);
	pthread_mutex_unlock(&t->lock);
}

static int write_schema(struct tap *t)
{
	strbuf_reset(&t->line);
	strbuf_adds(&t->line, "{\"type\":\"schema\",\"columns\":[");
	for (size_t i = 0; i < t->n_columns; i++) {
		const struct column *c = t->columns[i];

		if (i)
			strbuf_addch(&t->line, ',');
		result_add_column(&t->line, c->name, c->type == COL_INT ? "INTEGER" : "TEXT",
				  unit_name((enum col_unit)c->unit));
	}
	strbuf_adds(&t->line, "]}\n");
	return t->line.failed ? -ENOMEM : out_try_write(t->r->out, t->line.p, t->line.len);
}

/* With the tap's lock: a line when something was skipped, and at least every KEEPALIVE_NS. */
static void tell_progress(struct tap *t, uint64_t now_ns, uint64_t *told_ns)
{
	bool news = t->skipped != t->told_skipped && now_ns >= *told_ns + NSEC_PER_SEC;

	if (!news && now_ns < *told_ns + KEEPALIVE_NS)
		return;
	strbuf_reset(&t->line);
	strbuf_addf(&t->line, "{\"type\":\"progress\",\"rows\":%llu,\"skipped\":%llu}\n",
		    (unsigned long long)t->rows, (unsigned long long)t->skipped);
	out_try_write(t->r->out, t->line.p, t->line.len);
	t->told_skipped = t->skipped;
	*told_ns = now_ns;
}

static void follow(struct tap *t)
{
	uint64_t start_ns = clock_mono_ns(), told_ns = start_ns;
	bool ended = false;

	while (!ended && !atomic_load(&t->r->out->cancel)) {
		uint64_t now_ns;
		struct timespec tick = clock_timespec(TICK_NS);

		clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
		now_ns = clock_mono_ns();
		pthread_mutex_lock(&t->lock);
		tell_progress(t, now_ns, &told_ns);
		ended = t->ended || (t->for_ns && now_ns >= start_ns + t->for_ns);
		pthread_mutex_unlock(&t->lock);
	}
}

struct node_count {
	struct strbuf *missing;
	size_t ok, n_missing;
};

static void count_node(void *ctx, const struct hub_agent_info *info)
{
	struct node_count *n = ctx;

	if (info->responding) {
		n->ok++;
		return;
	}
	if (n->n_missing++)
		strbuf_addch(n->missing, ',');
	strbuf_add_json(n->missing, slice_str(info->node));
}

static void write_coverage(struct tap *t)
{
	struct strbuf missing = STRBUF_INIT(MIB);
	struct node_count nodes = { .missing = &missing };

	hub_each_agent(t->r->cfg->hub, count_node, &nodes);
	strbuf_reset(&t->line);
	strbuf_addf(&t->line,
		    "{\"type\":\"coverage\",\"coverage\":{\"complete\":%s,\"nodes\":{\"ok\":%zu,"
		    "\"missing\":[%s]},\"rows\":%llu,\"skipped\":%llu,\"notes\":[",
		    t->skipped == 0 && nodes.n_missing == 0 && t->gone.n == 0 ? "true" : "false",
		    nodes.ok, strbuf_str(&missing), (unsigned long long)t->rows,
		    (unsigned long long)t->skipped);
	for (size_t i = 0; i < t->gone.n; i++) {
		if (i)
			strbuf_addch(&t->line, ',');
		strbuf_add_json(&t->line, slice_str(t->gone.v[i]));
	}
	strbuf_adds(&t->line, "]}}\n");
	out_finish(t->r->out, NULL,
		   t->line.failed || out_try_write(t->r->out, t->line.p, t->line.len) < 0);
	strbuf_done(&missing);
}

static void run(struct tap *t)
{
	static const struct hub_tail_ops ops = { .rows = on_rows, .done = on_done };
	Kelpie__TailStart start = KELPIE__TAIL_START__INIT;
	uint64_t start_ns = clock_mono_ns();
	struct hub_tail *tail = NULL;
	int err;

	start.columns = t->asked;
	start.n_columns = t->n_asked;
	start.all = t->filters.clause_refs;
	start.n_all = t->filters.n_clauses;
	start.max_rows_per_s = (uint32_t)t->rate;
	out_set_type(t->r->out, "application/x-ndjson");
	err = write_schema(t);
	if (err == 0)
		err = hub_tail_start(t->r->cfg->hub, &start, &ops, t, &tail);
	if (!tail) {
		audit_verb(t->r, "tap", err == -EBUSY ? "busy" : "failed", 0, 0);
		request_error(t->r, err == -EBUSY ? MHD_HTTP_TOO_MANY_REQUESTS : 500,
			      err == -EBUSY ? "busy" : "memory", "cannot subscribe", NULL, -1);
		return;
	}
	out_commit(t->r->out, MHD_HTTP_OK);
	follow(t);
	hub_tail_stop(tail);
	write_coverage(t);
	audit_verb(t->r, "tap",
		   t->gone.n	? "incomplete"
		   : t->skipped ? "cut"
				: "ok",
		   t->rows, clock_mono_ns() - start_ns);
}

void api_tap(struct request *r)
{
	struct tap *t = calloc(1, sizeof(*t));
	int err;

	if (!t) {
		request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "memory", "no memory", NULL, -1);
		return;
	}
	t->r = r;
	pthread_mutex_init(&t->lock, NULL);
	strbuf_init(&t->line, MIB);
	err = read_request(t);
	if (err < 0) {
		audit_verb(r, "tap", "bad_request", 0, 0);
		request_error(r, MHD_HTTP_BAD_REQUEST, "bad_request",
			      t->filters.why[0] ? t->filters.why : "a parameter is wrong",
			      "docs/api.md lists the filters", -1);
	} else {
		run(t);
	}
	for (size_t i = 0; i < t->gone.n; i++)
		free(t->gone.v[i]);
	free(t->gone.v);
	strbuf_done(&t->line);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* The statement of each verb. */
#include "cli/sqlgen.h"

#include "base/text.h"
#include "cli/answer.h"
#include "protocols/schema.h"

#include <errno.h>

#define TOP_LIMIT  50
#define LIST_LIMIT 20
#define CONN_LIMIT 100
#define TAP_LIMIT  10000

static const struct {
	const char *name;
	const char *key; /* what is grouped: one or more named columns */
	const char *group;
} tops[_TOP_MAX] = {
	[TOP_SERVICE] = { "service", "server_name AS service", "1" },
	[TOP_ENDPOINT] = { "endpoint", "server_name AS service, method, resource", "1, 2, 3" },
	[TOP_CLIENT] = { "client", "client_name AS client", "1" },
	[TOP_POD] = { "pod", "coalesce(server_pod, server_name) AS pod", "1" },
	[TOP_STATEMENT] = { "statement", "protocol, method, resource", "1, 2, 3" },
	[TOP_PAIR] = { "pair", "client_name AS client, server_name AS service", "1, 2" },
};

enum top_by top_by_parse(const char *name)
{
	enum top_by by = TOP_SERVICE;

	while (name && by < _TOP_MAX && strcmp(tops[by].name, name) != 0)
		by++;
	return by;
}

int sqlgen_time(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	struct slice s = slice_str(text);
	uint64_t ago;

	if (slice_eq_str(s, "now")) {
		*ret_ns = now_ns;
		return 0;
	}
	/* a minus before a duration says the same: 5m and -5m are five minutes ago */
	if (parse_duration_ns(slice_from(s, s.n && s.p[0] == '-'), &ago) == 0) {
		*ret_ns = ago < now_ns ? now_ns - ago : 0;
		return 0;
	}
	return parse_time(s, ret_ns);
}

static int range_end(const char *flag, const char *text, uint64_t now_ns, uint64_t *ret,
		     struct strbuf *why)
{
	if (sqlgen_time(text, now_ns, ret) == 0)
		return 0;
	strbuf_addf(why, "--%s '%s' is no time; write 5m (ago), now or 2026-01-02T03:04:05Z", flag,
		    text);
	return -EINVAL;
}

int sqlgen_range(struct question *q, const struct options *o, uint64_t now_ns, uint64_t default_ns,
		 struct strbuf *why)
{
	int r;

	q->is_default = !o->since && !o->until;
	q->to_ns = UINT64_MAX;
	q->from_ns = default_ns ? now_ns - default_ns : 0;
	if (o->until) {
		r = range_end("until", o->until, now_ns, &q->to_ns, why);
		if (r < 0)
			return r;
		/* a default beginning is counted from the end */
		if (default_ns && !o->since)
			q->from_ns = q->to_ns > default_ns ? q->to_ns - default_ns : 0;
	}
	if (o->since) {
		r = range_end("since", o->since, now_ns, &q->from_ns, why);
		if (r < 0)
			return r;
	}
	q->all = o->since && !q->from_ns; /* 1970 was asked for, not the source's default */
	if (o->since && q->from_ns >= MIN(q->to_ns, now_ns)) {
		strbuf_addf(why, "--since '%s' is not before %s", o->since,
			    q->to_ns < now_ns ? "--until" : "now");
		return -EINVAL;
	}
	return 0;
}

static bool has_column(const struct table_schema *t, const char *name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (strcmp(t->columns[i]->name, name) == 0)
			return true;
	return false;
}

/* The i-th table of exchanges that has the column; NULL past the last. */
static const struct table_schema *exchanges_with(const char *column, size_t i)
{
	size_t n, found = 0;
	const struct table_schema *const *all = schema_tables(&n);

	for (size_t t = 0; t < n; t++)
		if ((all[t]->flags & TABLE_F_EXCHANGES) && has_column(all[t], column) &&
		    found++ == i)
			return all[t];
	return NULL;
}

/* `requests` has what all protocols share; a path is a column of one protocol's table. */
static const char *table_of(const struct options *o)
{
	for (size_t i = 0; i < o->n_filters; i++)
		if (o->filters[i].kind == FILTER_PATH)
			return exchanges_with("path", 0)->name;
	return "requests";
}

/* Begins a further condition behind those of the filters. */
static void add_and(struct question *q, const struct options *o)
{
	strbuf_adds(&q->sql, o->n_filters || o->n_matches ? " AND " : " WHERE ");
}

/* Statements are what protocols with that column have in `resource`. */
static void add_with_statements(struct question *q, const struct options *o)
{
	const struct table_schema *t;

	for (size_t i = 0; (t = exchanges_with("statement", i)); i++) {
		if (i)
			strbuf_adds(&q->sql, ", ");
		else
			add_and(q, o);
		strbuf_adds(&q->sql, i ? "" : "protocol IN (");
		question_bind_text(q, slice_str(t->name));
	}
	if (exchanges_with("statement", 0))
		strbuf_addch(&q->sql, ')');
}

/* The column of --sort-by must be one of the words of the statement's columns. */
static int add_order(struct question *q, const struct options *o, const char *columns,
		     const char *fallback, struct strbuf *why)
{
	const char *name = o->sort_by;
	struct slice rest = slice_str(columns);
	bool ascending = false;

	if (!name) {
		strbuf_addf(&q->sql, " ORDER BY %s", fallback);
		return 0;
	}
	if (*name == '-') {
		ascending = true;
		name++;
	}
	while (rest.n) {
		struct slice word = slice_head(rest, slice_find(rest, ' '));

		if (slice_eq_str(word, name)) {
			strbuf_addf(&q->sql, " ORDER BY %s %s", name, ascending ? "ASC" : "DESC");
			return 0;
		}
		rest = slice_from(rest, word.n + 1);
	}
	strbuf_addf(why, "--sort-by '%s' is none of: %s", o->sort_by, columns);
	return -EINVAL;
}

static void add_limit(struct question *q, const struct options *o, uint64_t fallback)
{
	uint64_t asked = o->limit ? o->limit : o->last, limit = asked ? asked : fallback;

	q->cut_at = asked ? 0 : fallback;
	strbuf_addf(&q->sql, " LIMIT %llu", (unsigned long long)limit);
}

/* Leaves the n rows that ended last of what was selected so far; 0: all. */
static void newest(struct question *q, uint64_t n)
{
	_cleanup_(strbuf_done) struct strbuf inner = STRBUF_INIT(QUESTION_SQL_MAX);

	if (!n)
		return;
	strbuf_add(&inner, q->sql.p, q->sql.len);
	strbuf_reset(&q->sql);
	strbuf_addf(&q->sql, "SELECT * FROM (%s ORDER BY end_time DESC LIMIT %llu)",
		    strbuf_str(&inner), (unsigned long long)n);
}

static int finish(const struct question *q, struct strbuf *why)
{
	if (!q->sql.failed)
		return 0;
	strbuf_adds(why, "the statement is too long");
	return -EINVAL;
}

int sqlgen_oldest(struct question *q, struct strbuf *why)
{
	strbuf_adds(&q->sql, "SELECT end_time FROM requests ORDER BY end_time LIMIT 1");
	return finish(q, why);
}

bool sqlgen_top_can_run(const struct question *range, const struct options *o, uint64_t now_ns)
{
	static const uint8_t kept[] = { FILTER_SERVICE,	 FILTER_FROM,	FILTER_TO,
					FILTER_PROTOCOL, FILTER_METHOD, FILTER_RESOURCE };

	if (o->output != OUTPUT_TABLE || o->until || top_by_parse(o->by) == TOP_POD ||
	    range->from_ns + SQLGEN_RANGE_NS + NSEC_PER_SEC < now_ns)
		return false;
	for (size_t i = 0; i < o->n_filters; i++)
		if (!memchr(kept, o->filters[i].kind, sizeof(kept)) ||
		    strchr(o->filters[i].value, '/'))
			return false;
	return true;
}

/* What both sources of top name alike, so that views and orders do not care. */
static const struct {
	const char *count, *errors, *client_errors, *latency, *total, *max;
} top_source[] = {
	{ "count(*)", "sum(coalesce(failed, 0))", "sum(coalesce(client_error, 0))", "latency_ns",
	  "latency_ns", "latency_ns" },
	{ "sum(requests)", "sum(errors)", "sum(client_errors)", "latency_sketch", "total_ns",
	  "max_ns" },
};

int sqlgen_top(struct question *q, const struct options *o, uint64_t span_ns, bool running,
	       struct strbuf *why)
{
	enum top_by by = top_by_parse(o->by);
	const char *n = top_source[running].count, *latency = top_source[running].latency;
	int r;

	if (by == _TOP_MAX) {
		strbuf_addf(why,
			    "--by '%s' is none of: service, endpoint, client, pod, statement, pair",
			    o->by);
		return -EINVAL;
	}
	strbuf_addf(&q->sql, "SELECT %s, %s AS requests, round(%s * 1e9 / ", tops[by].key, n, n);
	question_bind_int(q, (int64_t)MIN(MAX(span_ns, (uint64_t)1), (uint64_t)INT64_MAX));
	strbuf_addf(&q->sql,
		    ", 6) AS rate_per_s, %s AS errors, round(100.0 * %s / %s, 2) AS error_pct, "
		    "%s AS client_errors, round(100.0 * %s / %s, 2) AS client_error_pct, p50(%s) "
		    "AS p50_ns, p90(%s) AS p90_ns, p99(%s) AS "
		    "p99_ns, sum(%s) AS total_ns, max(%s) AS max_ns, sum(request_bytes) AS "
		    "request_bytes, sum(response_bytes) AS response_bytes FROM %s",
		    top_source[running].errors, top_source[running].errors, n,
		    top_source[running].client_errors, top_source[running].client_errors, n,
		    latency, latency, latency, top_source[running].total, top_source[running].max,
		    running ? "kelpie_red" : table_of(o));
	r = sqlgen_where(q, o, SQL_REQUESTS, why);
	if (r < 0)
		return r;
	if (by == TOP_STATEMENT)
		add_with_statements(q, o);
	strbuf_addf(&q->sql, " GROUP BY %s", tops[by].group);
	r = add_order(q, o,
		      "requests rate_per_s errors error_pct client_errors client_error_pct "
		      "p50_ns p90_ns p99_ns max_ns total_ns "
		      "request_bytes response_bytes service resource method client pod",
		      "errors DESC, p99_ns DESC, requests DESC", why);
	if (r < 0)
		return r;
	add_limit(q, o, TOP_LIMIT);
	return finish(q, why);
}

#define RECORD_COLUMNS                                                                             \
	"time, end_time, client_name, server_name, protocol, method, resource, status, "           \
	"latency_ns, "                                                                             \
	"ttfb_ns, request_ns, request_bytes, response_bytes, failed, client_error, outcome, "      \
	"error, "                                                                                  \
	"trace_id, role, node, id"
#define RECORD_WORDS                                                                               \
	"time end_time latency_ns ttfb_ns request_ns request_bytes response_bytes client_name "    \
	"server_name method resource status"

int sqlgen_tap(struct question *q, const struct options *o, struct strbuf *why)
{
	int r;

	strbuf_addf(&q->sql, "SELECT " RECORD_COLUMNS " FROM %s", table_of(o));
	r = sqlgen_where(q, o, SQL_REQUESTS, why);
	if (r < 0)
		return r;
	/* what is shown of many is the newest, in the order in which it happened */
	newest(q, o->last ? o->last : o->sort_by ? 0 : o->limit ? o->limit : TAP_LIMIT);
	r = add_order(q, o, RECORD_WORDS, "end_time", why);
	if (r < 0)
		return r;
	add_limit(q, o, TAP_LIMIT);
	return finish(q, why);
}

int sqlgen_count(struct question *q, const struct options *o, uint64_t from_ns, uint64_t to_ns,
		 struct strbuf *why)
{
	int r;

	q->from_ns = from_ns;
	q->to_ns = to_ns;
	strbuf_addf(&q->sql, "SELECT count(*) AS requests FROM %s", table_of(o));
	r = sqlgen_where(q, o, SQL_REQUESTS, why);
	if (r < 0)
		return r;
	add_and(q, o);
	strbuf_adds(&q->sql, "end_time > ");
	question_bind_int(q, (int64_t)from_ns);
	strbuf_adds(&q->sql, " AND end_time <= ");
	question_bind_int(q, (int64_t)to_ns);
	return finish(q, why);
}

int sqlgen_slow(struct question *q, const struct options *o, struct strbuf *why)
{
	int r;

	strbuf_addf(&q->sql, "SELECT " RECORD_COLUMNS " FROM %s", table_of(o));
	r = sqlgen_where(q, o, SQL_REQUESTS, why);
	if (r < 0)
		return r;
	add_and(q, o);
	strbuf_adds(&q->sql, "latency_ns IS NOT NULL");
	newest(q, o->last);
	r = add_order(q, o, RECORD_WORDS, "latency_ns DESC", why);
	if (r < 0)
		return r;
	add_limit(q, o, LIST_LIMIT);
	return finish(q, why);
}

/* Filters that only requests have leave connections out. */
static bool wants_connections(const struct options *o)
{
	static const uint8_t requests_only[] = { FILTER_STATUS, FILTER_METHOD, FILTER_PATH,
						 FILTER_RESOURCE, FILTER_MIN_LATENCY };

	if (o->n_matches)
		return false;
	for (size_t i = 0; i < o->n_filters; i++)
		if (memchr(requests_only, o->filters[i].kind, sizeof(requests_only)))
			return false;
	return true;
}

int sqlgen_errors(struct question *q, const struct options *o, struct strbuf *why)
{
	int r;

	strbuf_addf(&q->sql,
		    "SELECT time, end_time, client_name, server_name, protocol, method, resource, "
		    "status, "
		    "latency_ns, outcome, error, failed, client_error, id, "
		    "coalesce(error, nullif(outcome, 'ok')) AS why FROM %s",
		    table_of(o));
	r = sqlgen_where(q, o, SQL_REQUESTS, why);
	if (r < 0)
		return r;
	add_and(q, o);
	strbuf_adds(&q->sql, "(failed = 1 OR client_error = 1 OR outcome = 'timed_out')");
	if (wants_connections(o)) {
		strbuf_adds(&q->sql,
			    " UNION ALL SELECT coalesce(opened, end_time), end_time, client_name, "
			    "server_name, protocol, 'connect', server_addr || ':' || server_port, "
			    "NULL, NULL, "
			    "state, error, 1, 0, "
			    "conn_id, error FROM connections");
		r = sqlgen_where(q, o, SQL_CONNECTIONS, why);
		if (r < 0)
			return r;
		add_and(q, o);
		strbuf_adds(&q->sql, "error IS NOT NULL AND requests = 0");
		/* A refused connection has no name that `show` could be asked for. */
		if (o->output == OUTPUT_NAME)
			strbuf_adds(&q->sql, " AND conn_id IS NOT NULL");
	}
	newest(q, o->last);
	r = add_order(q, o,
		      "time end_time latency_ns client_name server_name method resource status",
		      "end_time DESC", why);
	if (r < 0)
		return r;
	add_limit(q, o, LIST_LIMIT);
	return finish(q, why);
}

int sqlgen_conns(struct question *q, const struct options *o, struct strbuf *why)
{
	/* A client that tries a dead port all the time must not fill the screen. */
	bool folded = o->output == OUTPUT_TABLE;
	int r;

	strbuf_adds(
		&q->sql,
		"SELECT state, client_name, server_name, client_addr, client_port, server_addr, "
		"server_port, protocol, requests, open_requests, bytes_sent, bytes_received, "
		"rtt_ns, "
		"retransmits, why_unreadable, error, opened, closed, bytes_skipped, bytes_lost, "
		"comm, "
		"pid, node, error IS NOT NULL AS failed, conn_id");
	/* The oldest of them stands for all: in a live view it stays the same. */
	if (folded)
		strbuf_adds(&q->sql, ", min(opened) AS first_opened, nullif(count(*), 1) AS times");
	strbuf_adds(&q->sql, " FROM connections");
	r = sqlgen_where(q, o, SQL_CONNECTIONS, why);
	if (r < 0)
		return r;
	if (folded)
		strbuf_adds(&q->sql, " GROUP BY CASE WHEN error IS NULL OR requests > 0 THEN "
				     "conn_id END, client_name, server_name, server_port, error");
	r = add_order(
		q, o,
		"state requests open_requests bytes_sent bytes_received rtt_ns retransmits opened "
		"closed bytes_lost client_name server_name",
		"error IS NOT NULL DESC, open_requests DESC, requests DESC", why);
	if (r < 0)
		return r;
	add_limit(q, o, CONN_LIMIT);
	return finish(q, why);
}

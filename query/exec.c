#include "query/joincache.h"
#include "base/clock.h"
#include "query/query_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#define HINT_TABLES_MAX 3 /* names in one hint */

static const char balance_view[] =
	"CREATE TEMP VIEW kelpie_ledger_balance(node, epoch, hop, stage, unit, in_count, "
	"out_count, "
	"held_count, loss_count, difference) AS SELECT node, epoch, hop, stage, unit, "
	"total_in, total_out, total_held, total_loss, total_in - total_out - total_held - "
	"total_loss "
	"FROM (SELECT node, epoch, hop, stage, unit, "
	"sum(iif(kind = 'in', value, 0)) AS total_in, sum(iif(kind = 'out', value, 0)) AS "
	"total_out, "
	"sum(iif(kind = 'held', value, 0)) AS total_held, "
	"sum(iif(kind = 'loss', value, 0)) AS total_loss "
	"FROM kelpie_ledger GROUP BY node, epoch, hop, stage, unit)";

/* Makes SQLite declare every table now: later the authorizer would see that as writing. */
static int connect_tables(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	const char *name;
	int rc = sqlite3_prepare_v2(db, "SELECT 1 FROM json_each, json_tree", -1, &stmt, NULL);

	sqlite3_finalize(stmt);
	for (size_t i = 0; rc == SQLITE_OK && (name = query_table_name(i)); i++) {
		char sql[96];

		snprintf(sql, sizeof(sql), "SELECT 1 FROM \"%s\"", name);
		rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
		sqlite3_finalize(stmt);
	}
	return rc;
}

int query_open(struct scan_source *src, struct query_conn **ret)
{
	_cleanup_(query_closep) struct query_conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->source = src;
	strbuf_init(&c->modules, 65536);
	rc = sqlite3_open_v2(":memory:", &c->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = funcs_register(c);
	if (rc == SQLITE_OK)
		rc = vtab_register(c);
	if (rc == SQLITE_OK)
		rc = columns_register(c);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, balance_view, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = connect_tables(c->db);
	if (rc == SQLITE_OK)
		rc = guard_install(c);
	if (rc != SQLITE_OK)
		return rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
	*ret = TAKE_PTR(c);
	return 0;
}

void query_close(struct query_conn *c)
{
	if (!c)
		return;
	sqlite3_close_v2(c->db);
	strbuf_done(&c->modules);
	free(c);
}

void query_fail(struct query_conn *c, const char *code, int position, const char *hint,
		const char *fmt, ...)
{
	va_list ap;

	if (c->failed || !c->error)
		return;
	c->failed = true;
	c->error->position = position;
	snprintf(c->error->code, sizeof(c->error->code), "%s", code);
	snprintf(c->error->hint, sizeof(c->error->hint), "%s", hint);
	va_start(ap, fmt);
	vsnprintf(c->error->message, sizeof(c->error->message), fmt, ap);
	va_end(ap);
}

int query_check_time(struct query_conn *c)
{
	if (!c->q)
		return 0;
	if (c->q->cancel && atomic_load_explicit(c->q->cancel, memory_order_relaxed)) {
		query_fail(c, "cancelled", -1, "", "the query was cancelled");
		return -ECANCELED;
	}
	if (c->deadline_ns && clock_mono_ns() >= c->deadline_ns) {
		query_fail(c, "timeout", -1, "narrow the time range or the conditions",
			   "the query took longer than %.3g s",
			   (double)c->q->limits.timeout_ns / (double)NSEC_PER_SEC);
		return -ETIME;
	}
	return 0;
}

/* SQLite's messages by their beginnings: the code they stand for, and what to compare the name that
 * follows with for a hint. */
static const struct {
	const char *start, *code;
	const char *(*names)(size_t i);
} messages[] = {
	{ "no such table: ", "unknown_table", query_table_name },
	{ "no such column: ", "unknown_column", catalog_column_name },
	{ "no such function: ", "unknown_function", query_function_name },
	{ "ambiguous column name: ", "unknown_column", NULL },
	{ "not authorized", "not_allowed", NULL },
	{ "string or blob too big", "limit", NULL },
	{ "too many ", "limit", NULL },
	{ "Expression tree is too large", "limit", NULL },
	{ "LIKE or GLOB pattern too complex", "limit", NULL },
	{ "parser stack overflow", "limit", NULL },
	{ "query aborted", "limit", NULL },
};

static struct slice last_part(struct slice name)
{
	for (size_t i = name.n; i > 0; i--)
		if (name.p[i - 1] == '.')
			return slice_from(name, i);
	return name;
}

/* The word's token, or -1. */
static int find_word(const struct sqltext *t, struct slice name)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->toks[i].kind == TOK_WORD && slice_eq_nocase(sqltext_word(t, i), name))
			return (int)i;
	return -1;
}

static bool has_column(const struct sql_table *t, struct slice name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (slice_eq_nocase(slice_str(t->columns[i]->name), name))
			return true;
	return false;
}

/* "path is a column of http, grpc": what the statement's own tables lack and others have. */
static bool hint_other_table(struct query_conn *c, struct slice name, char *hint, size_t cap)
{
	size_t n, found = 0, len = 0;
	const struct sql_table *tables = catalog_tables(&n);

	for (size_t i = 0; i < n; i++)
		if (has_column(&tables[i], name) && sqltext_mentions(c->text, tables[i].name))
			return false; /* it is there, under another name in this statement */
	for (size_t i = 0; i < n && found < HINT_TABLES_MAX; i++) {
		if (!has_column(&tables[i], name))
			continue;
		if (!found++)
			len = (size_t)snprintf(hint, cap, "%.*s is a column of table %s",
					       (int)MIN(name.n, (size_t)64), (const char *)name.p,
					       tables[i].name);
		else if (len < cap)
			len += (size_t)snprintf(hint + len, cap - len, ", %s", tables[i].name);
	}
	return found > 0;
}

/* The nearest name, of the statement's own tables before those of others. */
static bool hint_near_column(struct query_conn *c, struct slice name, char *hint, size_t cap)
{
	size_t n, best = SIZE_MAX;
	const struct sql_table *tables = catalog_tables(&n);
	const char *near = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t edits;
		const char *one;

		if (!sqltext_mentions(c->text, tables[i].name))
			continue;
		one = catalog_nearest_column(&tables[i], name, &edits);
		if (one && edits < best) {
			near = one;
			best = edits;
		}
	}
	/* the very name: what was mentioned is a column of that table's name (requests), not the table */
	if (near && best == 0)
		snprintf(hint, cap, "%s is a column of another table", near);
	else if (near)
		snprintf(hint, cap, "did you mean %s?", near);
	if (near)
		return true;
	near = catalog_nearest(name, catalog_column_name);
	for (size_t i = 0; near && i < n; i++) {
		if (!has_column(&tables[i], slice_str(near)))
			continue;
		snprintf(hint, cap, "did you mean %s, a column of table %s?", near, tables[i].name);
		return true;
	}
	return false;
}

static bool hint_name(struct query_conn *c, struct slice name, const char *(*names)(size_t i),
		      char *hint, size_t cap)
{
	const char *near;

	if (names == catalog_column_name)
		return hint_other_table(c, name, hint, cap) || hint_near_column(c, name, hint, cap);
	near = names ? catalog_nearest(name, names) : NULL;
	if (near)
		snprintf(hint, cap, "did you mean %s?", near);
	return near != NULL;
}

/* SQLite does not know a name: what may have been meant, and where it stands. */
static void fail_unknown(struct query_conn *c, const char *code, struct slice message,
			 struct slice name, const char *(*names)(size_t i), int position)
{
	int at = find_word(c->text, name);
	char hint[QUERY_ERROR_HINT_MAX] = "";

	if (!hint_name(c, name, names, hint, sizeof(hint)) && at >= 0 && c->text->toks[at].quoted)
		snprintf(hint, sizeof(hint), "a text is written in single quotes: '%.*s'",
			 (int)MIN(name.n, (size_t)64), (const char *)name.p);
	if (position < 0 && at >= 0)
		position = (int)c->text->toks[at].at;
	query_fail(c, code, position, hint, "%.*s", (int)message.n, (const char *)message.p);
}

/* What SQLite says, with our code and a hint. */
static void fail_from_sqlite(struct query_conn *c, int rc)
{
	struct slice message = slice_str(sqlite3_errmsg(c->db));
	int position = sqltext_position(c->text, sqlite3_error_offset(c->db));

	if (rc == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM) {
		query_fail(c, "memory", -1, "narrow the time range, group by fewer values",
			   "the query needs more memory than it may have");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		struct slice start = slice_str(messages[i].start);

		if (!slice_starts(message, start))
			continue;
		fail_unknown(c, messages[i].code, message, last_part(slice_from(message, start.n)),
			     messages[i].names, position);
		return;
	}
	/* Our tables have no writing; SQLite finds that before it asks the authorizer. */
	if (memmem(message.p, message.n, "may not be modified", 19)) {
		query_fail(c, "not_allowed", position, "only SELECT is", "%.*s", (int)message.n,
			   (const char *)message.p);
		return;
	}
	query_fail(c,
		   rc == SQLITE_AUTH	 ? "not_allowed"
		   : rc == SQLITE_TOOBIG ? "limit"
					 : "syntax",
		   position, "", "%.*s", (int)message.n, (const char *)message.p);
}

/* The errno that goes with a code. */
static int errno_of(const struct query_error *e)
{
	static const struct {
		const char *code;
		int error;
	} table[] = {
		{ "not_allowed", EACCES }, { "limit", E2BIG },	       { "memory", ENOMEM },
		{ "timeout", ETIME },	   { "cancelled", ECANCELED }, { "source", EIO },
		{ "internal", EIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(e->code, table[i].code) == 0)
			return -table[i].error;
	return -EINVAL;
}

static bool is_query(const struct sqltext *t)
{
	static const char *const verbs[] = { "SELECT", "WITH", "VALUES", "EXPLAIN" };

	for (size_t i = 0; t->n && i < ARRAY_SIZE(verbs); i++)
		if (slice_eq_nocase(sqltext_word(t, 0), slice_str(verbs[i])))
			return true;
	return false;
}

static int prepare(struct query_conn *c, sqlite3_stmt **ret)
{
	const struct strbuf *sql = &c->text->rewritten;
	const char *tail;
	struct sqltext rest;
	size_t left;
	int rc;

	if (memchr(strbuf_str(sql), 0, sql->len)) {
		query_fail(c, "syntax", -1, "", "a statement cannot hold a NUL byte");
		return -EINVAL;
	}
	rc = sqlite3_prepare_v2(c->db, strbuf_str(sql), (int)sql->len, ret, &tail);
	if (rc != SQLITE_OK) {
		fail_from_sqlite(c, rc);
		return -EINVAL;
	}
	if (!*ret) {
		query_fail(c, "syntax", 0, "", "there is no statement");
		return -EINVAL;
	}
	if (!sqlite3_stmt_readonly(*ret) || !is_query(c->text)) {
		query_fail(c, "not_allowed", 0, "only SELECT is", "this statement is not allowed");
		return -EACCES;
	}
	left = sql->len - (size_t)(tail - strbuf_str(sql));
	if (sqltext_read(slice_of(tail, left), &rest, c->error) == 0) {
		int at = rest.n ? (int)(sql->len - left + rest.toks[0].at) : -1;

		sqltext_done(&rest);
		if (at >= 0) {
			query_fail(c, "syntax", sqltext_position(c->text, at), "",
				   "only one statement at a time");
			return -EINVAL;
		}
	}
	return 0;
}

static const struct query_param *find_param(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->n_params; i++)
		if (strcmp(q->params[i].name, name) == 0)
			return &q->params[i];
	return NULL;
}

static int bind_params(struct query_conn *c, sqlite3_stmt *stmt)
{
	int n = sqlite3_bind_parameter_count(stmt);

	if (n > QUERY_PARAMS_MAX) {
		query_fail(c, "limit", -1, "", "more than %d parameters", QUERY_PARAMS_MAX);
		return -E2BIG;
	}
	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(stmt, i);
		const struct query_param *p = name && name[0] != '?' ? find_param(c->q, name + 1)
								     : NULL;
		int rc;

		if (!p) {
			query_fail(c, "bad_param", -1,
				   name ? "" : "write :name and give it a value",
				   name ? "the parameter %s has no value"
					: "a parameter has no name%s",
				   name ? name : "");
			return -EINVAL;
		}
		if (p->value.kind == VALUE_INT)
			rc = sqlite3_bind_int64(stmt, i, p->value.i);
		else if (p->value.kind == VALUE_TEXT)
			rc = sqlite3_bind_text64(
				stmt, i, p->value.text.n ? (const char *)p->value.text.p : "",
				p->value.text.n, SQLITE_STATIC, SQLITE_UTF8);
		else
			rc = sqlite3_bind_null(stmt, i);
		if (rc != SQLITE_OK) {
			fail_from_sqlite(c, rc);
			return -EINVAL;
		}
	}
	return 0;
}

static int give_columns(struct query_conn *c, sqlite3_stmt *stmt, const struct query_sink *sink,
			bool has_row)
{
	struct query_column cols[QUERY_COLUMNS_MAX];
	int n = sqlite3_column_count(stmt);

	for (int i = 0; i < n && i < QUERY_COLUMNS_MAX; i++)
		describe_column(c, stmt, i, n, has_row, &cols[i]);
	return sink->columns(sink->ctx, cols, (size_t)MIN(n, QUERY_COLUMNS_MAX));
}

static struct query_cell read_cell(sqlite3_stmt *stmt, int i)
{
	struct query_cell cell = { .kind = QUERY_NULL };
	const void *p;

	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		cell.kind = QUERY_INT;
		cell.i = sqlite3_column_int64(stmt, i);
		break;
	case SQLITE_FLOAT:
		cell.kind = QUERY_REAL;
		cell.r = sqlite3_column_double(stmt, i);
		break;
	case SQLITE_TEXT:
	case SQLITE_BLOB:
		/* Asking for a blob spares a text the copy that would end it with a NUL. */
		cell.kind = sqlite3_column_type(stmt, i) == SQLITE_TEXT ? QUERY_TEXT : QUERY_BLOB;
		p = sqlite3_column_blob(stmt, i);
		cell.text = slice_of(p ? p : "", (size_t)sqlite3_column_bytes(stmt, i));
		break;
	default:
		break;
	}
	return cell;
}

/* 1: a cap is reached and the row was not given; otherwise the sink's answer. */
static int give_row(struct query_conn *c, sqlite3_stmt *stmt, const struct query_sink *sink,
		    uint64_t *bytes)
{
	struct query_cell cells[QUERY_COLUMNS_MAX];
	const struct query_limits *limits = &c->q->limits;
	int n = MIN(sqlite3_column_count(stmt), QUERY_COLUMNS_MAX);

	if (limits->rows && c->cov->rows >= limits->rows)
		return 1;
	for (int i = 0; i < n; i++) {
		cells[i] = read_cell(stmt, i);
		*bytes += cells[i].text.n + 8;
	}
	if (limits->bytes && *bytes > limits->bytes)
		return 1;
	c->cov->rows++;
	return sink->row(sink->ctx, cells, (size_t)n);
}

static int sink_failed(struct query_conn *c, int r)
{
	query_fail(c, "sink", -1, "", "the answer could not be delivered: %s", strerror(-r));
	return r;
}

static int step_failed(struct query_conn *c, int rc)
{
	if (!c->failed && rc == SQLITE_INTERRUPT)
		query_check_time(c);
	if (!c->failed)
		fail_from_sqlite(c, rc);
	return errno_of(c->error);
}

static int step_all(struct query_conn *c, sqlite3_stmt *stmt, const struct query_sink *sink)
{
	uint64_t bytes = 0;
	bool first = true;
	int rc, r;

	for (;;) {
		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			return step_failed(c, rc);
		if (first) {
			r = give_columns(c, stmt, sink, rc == SQLITE_ROW);
			if (r < 0)
				return sink_failed(c, r);
			first = false;
		}
		if (rc == SQLITE_DONE)
			return 0;
		r = give_row(c, stmt, sink, &bytes);
		if (r < 0)
			return sink_failed(c, r);
		if (r > 0) {
			c->cov->truncated = true;
			coverage_note(
				c->cov, "stopped after %" PRIu64 " rows: the cap on %s was reached",
				c->cov->rows,
				c->q->limits.rows && c->cov->rows >= c->q->limits.rows ? "rows"
										       : "bytes");
			return 0;
		}
	}
}

static void list_estimates(struct query_conn *c, sqlite3_stmt *stmt)
{
	int n = sqlite3_column_count(stmt);

	for (int i = 0; i < n; i++) {
		const char *name = sqlite3_column_name(stmt, i);

		if (name && describe_estimated(c, stmt, i, n))
			query_list_add(&c->cov->approximate, name);
	}
}

static int run(struct query_conn *c, const struct query_sink *sink)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare(c, &stmt);

	if (r == 0)
		r = bind_params(c, stmt);
	if (r == 0) {
		r = step_all(c, stmt, sink);
		list_estimates(c, stmt);
	}
	/* Closes the cursors, which adds their part to the coverage. */
	sqlite3_finalize(stmt);
	joincache_free(c->joins);
	c->joins = NULL;
	return c->failed && r < 0 && strcmp(c->error->code, "sink") != 0 ? errno_of(c->error) : r;
}

int query_run(struct query_conn *c, const struct query *q, const struct query_sink *sink,
	      struct query_coverage *ret_coverage, struct query_error *ret_error)
{
	struct sqltext text;
	int r;

	memset(ret_coverage, 0, sizeof(*ret_coverage));
	memset(ret_error, 0, sizeof(*ret_error));
	ret_error->position = -1;
	ret_coverage->complete = true;
	ret_coverage->nodes_ok = 1;
	r = sqltext_read(q->sql, &text, ret_error);
	if (r < 0) {
		ret_coverage->complete = false;
		if (r == -ENOMEM)
			snprintf(ret_error->code, sizeof(ret_error->code), "memory");
		return errno_of(ret_error);
	}
	c->q = q;
	c->text = &text;
	c->cov = ret_coverage;
	c->error = ret_error;
	c->failed = c->distinct_estimated = c->scanned = false;
	c->now_ns = q->now_ns ? q->now_ns : clock_unix_ns();
	c->deadline_ns = q->limits.timeout_ns ? clock_mono_ns() + q->limits.timeout_ns : 0;
	r = run(c, sink);
	coverage_finish(c, r);
	sqltext_done(&text);
	c->q = NULL;
	c->text = NULL;
	c->cov = NULL;
	c->error = NULL;
	return r;
}

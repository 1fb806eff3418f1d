#include "rows.h"

#include "query/catalog.h"
#include "tests/lib/test.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

/* The same rows in our tables and in plain SQLite ones; random statements have to give the same
 * answers from both. */
#define STATEMENTS 4000
#define ROWS	   60

static sqlite3 *plain;
static struct mem_source source;
static struct query_conn *conn;

static void joined(sqlite3_stmt *stmt, int at, const struct mem_row *r, uint16_t col)
{
	const struct value *a = &r->cells[col == COL_ID ? COL_NODE : COL_CONN_ID];
	const struct value *b = &r->cells[col == COL_ID ? COL_EPOCH : COL_REQUEST_OFFSET];
	char text[128];

	if (a->kind != VALUE_TEXT || b->kind != VALUE_INT)
		return;
	if (col == COL_ID)
		snprintf(text, sizeof(text), "%.*s-%" PRIx64 "-%" PRId64, (int)a->text.n,
			 (const char *)a->text.p, (uint64_t)b->i, r->cells[COL_SEQ].i);
	else
		snprintf(text, sizeof(text), "%.*s-%" PRIx64, (int)a->text.n,
			 (const char *)a->text.p, (uint64_t)b->i);
	sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

static bool belongs(const struct sql_table *t, const struct mem_row *r)
{
	for (size_t i = 0; i < t->n_members; i++)
		if (t->members[i] == r->table)
			return !t->primary_only || r->cells[COL_IS_PRIMARY].i == 1;
	return false;
}

static void copy_table(const struct sql_table *t)
{
	struct strbuf sql = STRBUF_INIT(65536);
	sqlite3_stmt *stmt = NULL;

	strbuf_addf(&sql, "CREATE TABLE %s(", t->name);
	for (size_t i = 0; i < t->n_columns; i++)
		strbuf_addf(&sql, "%s\"%s\" %s", i ? "," : "", t->columns[i]->name,
			    t->columns[i]->type == COL_INT ? "INTEGER" : "TEXT");
	strbuf_addch(&sql, ')');
	EXPECT_EQ(sqlite3_exec(plain, strbuf_str(&sql), NULL, NULL, NULL), SQLITE_OK);
	strbuf_reset(&sql);
	strbuf_addf(&sql, "INSERT INTO %s VALUES(", t->name);
	for (size_t i = 0; i < t->n_columns; i++)
		strbuf_adds(&sql, i ? ",?" : "?");
	strbuf_addch(&sql, ')');
	EXPECT_EQ(sqlite3_prepare_v2(plain, strbuf_str(&sql), -1, &stmt, NULL), SQLITE_OK);
	for (size_t r = 0; r < source.n_rows; r++) {
		if (!belongs(t, &source.rows[r]))
			continue;
		sqlite3_clear_bindings(stmt);
		for (size_t i = 0; i < t->n_columns; i++) {
			const struct value *v = &source.rows[r].cells[t->columns[i]->id];

			if (t->columns[i]->flags & COL_F_COMPUTED)
				joined(stmt, (int)i + 1, &source.rows[r], t->columns[i]->id);
			else if (v->kind == VALUE_INT)
				sqlite3_bind_int64(stmt, (int)i + 1, v->i);
			else if (v->kind == VALUE_TEXT)
				sqlite3_bind_text(stmt, (int)i + 1, (const char *)v->text.p,
						  (int)v->text.n, SQLITE_TRANSIENT);
		}
		EXPECT_EQ(sqlite3_step(stmt), SQLITE_DONE);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	strbuf_done(&sql);
}

/* The plain answer in the form of struct answer's text. NULL: SQLite refuses the statement. */
static bool ask_plain(const char *sql, struct strbuf *out)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	if (sqlite3_prepare_v2(plain, sql, -1, &stmt, NULL) != SQLITE_OK) {
		printf("# %s: %s\n", sql, sqlite3_errmsg(plain));
		return false;
	}
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			int type = sqlite3_column_type(stmt, i);

			if (i)
				strbuf_addch(out, '|');
			if (type == SQLITE_INTEGER)
				strbuf_addf(out, "%lld", sqlite3_column_int64(stmt, i));
			else if (type == SQLITE_FLOAT)
				strbuf_addf(out, "%.15g", sqlite3_column_double(stmt, i));
			else if (type == SQLITE_NULL)
				strbuf_addch(out, '~');
			else {
				const void *p = sqlite3_column_text(stmt, i);

				strbuf_add(out, p, (size_t)sqlite3_column_bytes(stmt, i));
			}
		}
		strbuf_addch(out, '\n');
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines in order, for statements that promise none. */
static void sort_lines(struct strbuf *text)
{
	struct strbuf sorted = STRBUF_INIT(64 * MIB);
	char *lines[8192];
	size_t n = 0;

	for (char *p = text->p; p && *p && n < ARRAY_SIZE(lines);) {
		char *end = strchr(p, '\n');

		lines[n++] = p;
		if (!end)
			break;
		*end = 0;
		p = end + 1;
	}
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(&sorted, lines[i]);
		strbuf_addch(&sorted, '\n');
	}
	strbuf_done(text);
	*text = sorted;
}

static bool same(const char *sql, bool ordered)
{
	struct strbuf want = STRBUF_INIT(64 * MIB);
	struct answer got;
	bool ok = EXPECT(ask_plain(sql, &want));

	ask(conn, sql, &got);
	if (ok && !ordered) {
		sort_lines(&want);
		sort_lines(&got.text);
	}
	ok = ok && EXPECT_EQ(got.result, 0) &&
	     EXPECT_MEM(strbuf_str(&got.text), got.text.len, strbuf_str(&want), want.len);
	if (!ok)
		printf("# %s\n# %s\n", sql, got.error.message);
	answer_done(&got);
	strbuf_done(&want);
	return ok;
}

static void test_oracle__setup(void)
{
	size_t n;
	const struct sql_table *tables = catalog_tables(&n);

	mem_source_init(&source);
	rows_fill(&source, ROWS, 42);
	ASSERT_EQ(query_open(&source.base, &conn), 0);
	ASSERT_EQ(sqlite3_open(":memory:", &plain), SQLITE_OK);
	for (size_t i = 0; i < n; i++)
		copy_table(&tables[i]);
}

static const char *const any_order[] = {
	"SELECT count(*), count(path), count(status_code) FROM http",
	"SELECT path, count(*) FROM http GROUP BY path",
	"SELECT min(host), max(path), min(method), max(method), min(path) FROM http",
	"SELECT max(end_time), method FROM http",
	"SELECT h.id, c.state FROM http h JOIN connections c ON c.conn_id = h.conn_id",
	"SELECT h.id, c.state FROM http h LEFT JOIN connections c ON c.conn_id = h.conn_id "
	"AND "
	"c.state = 'open'",
	"SELECT h.id, c.conn_id FROM http h RIGHT JOIN connections c ON c.conn_id = "
	"h.conn_id",
	"SELECT h.id, c.conn_id FROM http h FULL JOIN connections c ON c.conn_id = "
	"h.conn_id AND "
	"h.failed = 1",
	"SELECT id FROM http WHERE host = 'shop' OR status_code >= 500",
	"SELECT id FROM http WHERE id = 'node-a-1234abcd-5' OR id = 'node-b-1234abcd-1' OR "
	"end_time > 1763900004000000000",
	"SELECT id FROM http WHERE id IN (SELECT id FROM observations WHERE failed)",
	"SELECT exchange_id, count(*) FROM observations GROUP BY exchange_id",
	"SELECT a.id, b.id FROM observations a JOIN observations b ON a.exchange_id = "
	"b.exchange_id AND a.is_primary > b.is_primary",
	"SELECT id FROM http WHERE path = ''",
	"SELECT id FROM http WHERE path IS NULL",
	"SELECT id FROM http WHERE path IS NOT ''",
	"SELECT id FROM http WHERE path != ''",
	"SELECT id FROM http WHERE path NOT IN ('/', '', NULL)",
	"SELECT id FROM http WHERE path IN ('/', '', NULL)",
	"SELECT id FROM http WHERE status_code IN ('200', 500)",
	"SELECT id FROM http WHERE status_code = '500'",
	"SELECT id FROM http WHERE status_code > 399.5",
	"SELECT id FROM http WHERE status_code = 200.0",
	"SELECT id FROM http WHERE status_code = 200.5",
	"SELECT id FROM http WHERE host = 10",
	"SELECT id FROM http WHERE host < 5",
	"SELECT id FROM http WHERE method = 'GET' COLLATE NOCASE",
	"SELECT id FROM http WHERE path LIKE '/api%'",
	"SELECT id FROM http WHERE path LIKE '/%' AND path NOT LIKE '%users%'",
	"SELECT id FROM http WHERE path LIKE '/a#_b#%c' ESCAPE '#'",
	"SELECT id FROM http WHERE path GLOB '/api*'",
	"SELECT id FROM http WHERE path GLOB '/caf\xc3\xa9*'",
	"SELECT id FROM http WHERE path > '/api' AND path < '/b'",
	"SELECT DISTINCT method, host FROM http",
	"SELECT a.id, b.id, c.id FROM http a, observations b, http c WHERE a.conn_id = b.conn_id "
	"AND "
	"b.conn_id = c.conn_id AND a.method = c.method AND c.node = a.node",
	"SELECT a.id, b.id FROM http a JOIN observations b ON b.id = a.id AND b.is_primary = "
	"a.is_primary",
	"SELECT a.id, b.id FROM http a JOIN http b ON b.exchange_id = a.exchange_id AND b.host = "
	"a.host",
	"SELECT a.id, b.id FROM http a JOIN http b ON b.end_time = a.end_time",
	"SELECT a.id, b.id FROM http a JOIN http b ON b.end_time = a.end_time AND b.method = "
	"a.method",
	"SELECT a.id, b.id FROM http a JOIN http b ON b.latency_ns > a.latency_ns AND b.method = "
	"a.method",
	"SELECT a.id, b.id FROM http a JOIN http b ON b.status_code = a.status_code + 0.0",
	"SELECT a.id, b.id FROM http a JOIN http b ON b.host = a.status_code / 20",
	"SELECT a.id, b.id FROM http a CROSS JOIN http b WHERE b.path IS a.path",
	"SELECT a.id, b.id FROM http a CROSS JOIN http b WHERE b.path = a.path AND b.method IN "
	"('GET', "
	"a.host)",
	"SELECT id, (SELECT max(b.end_time) FROM http b WHERE b.method = h.method AND b.host = "
	"h.host) "
	"FROM http h",
	"SELECT id FROM http h WHERE NOT EXISTS (SELECT 1 FROM observations b WHERE b.exchange_id "
	"= "
	"h.exchange_id AND b.is_primary = 0)",
	"SELECT count(*) FROM http a, http b WHERE a.method = b.method AND a.end_time < "
	"b.end_time",
	"SELECT id, (SELECT count(*) FROM connections c WHERE c.conn_id = h.conn_id) FROM "
	"http h",
	"SELECT id FROM http h WHERE EXISTS (SELECT 1 FROM connections c WHERE c.conn_id = "
	"h.conn_id AND c.bytes_sent > 50000)",
	"WITH b AS MATERIALIZED (SELECT * FROM http) SELECT b.id, c.id FROM b JOIN http c "
	"USING (id)",
	"SELECT sum(latency_ns) OVER (PARTITION BY method ORDER BY end_time) FROM http",
	"SELECT id FROM http UNION ALL SELECT id FROM observations WHERE is_primary = 0",
	"SELECT id FROM http EXCEPT SELECT id FROM http WHERE failed = 1",
	"SELECT time - end_time + latency_ns FROM http",
	"SELECT count(*) FROM http NATURAL JOIN requests",
	"SELECT state, total(bytes_sent) FROM connections GROUP BY state HAVING count(*) > "
	"1",
};
static const char *const fixed_order[] = {
	"SELECT id, end_time FROM http ORDER BY end_time",
	"SELECT id, end_time FROM http ORDER BY end_time DESC LIMIT 7",
	"SELECT id, end_time FROM requests ORDER BY end_time DESC LIMIT 7 OFFSET 50",
	"SELECT id FROM http ORDER BY end_time LIMIT 0",
	"SELECT id FROM http ORDER BY end_time LIMIT -1 OFFSET 55",
	"SELECT id FROM http WHERE host IN ('shop', 'cart') ORDER BY end_time LIMIT 3",
	"SELECT id FROM http WHERE id IN ('node-a-1234abcd-5', 'node-a-1234abcd-3', "
	"'node-b-1234abcd-7') ORDER BY end_time LIMIT 2 OFFSET 1",
	"SELECT method, count(*) FROM http GROUP BY method ORDER BY method DESC",
	"SELECT end_time, count(*) FROM http GROUP BY end_time ORDER BY end_time DESC "
	"LIMIT 5",
	"SELECT DISTINCT end_time FROM http ORDER BY end_time DESC LIMIT 5",
	"SELECT id FROM http WHERE path IS NULL ORDER BY end_time DESC LIMIT 3",
	"SELECT id FROM http WHERE latency_ns % 2 ORDER BY end_time DESC LIMIT 3",
	"SELECT * FROM (SELECT id, end_time FROM http ORDER BY end_time DESC LIMIT 10) "
	"ORDER BY end_time LIMIT 2",
	"SELECT * FROM (SELECT id, end_time FROM http UNION ALL SELECT id, end_time FROM "
	"connections JOIN http USING (conn_id, end_time)) ORDER BY end_time LIMIT 5",
	"SELECT id FROM http ORDER BY path, id LIMIT 10",
	"SELECT id FROM http ORDER BY end_time, id LIMIT 10",
	"SELECT id FROM observations ORDER BY end_time, id LIMIT 10",
	"SELECT id FROM observations ORDER BY end_time DESC, id DESC",
	"SELECT id FROM http ORDER BY time, id LIMIT 10",
};

static void test_oracle__hand_written(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(any_order); i++)
		same(any_order[i], false);
	for (size_t i = 0; i < ARRAY_SIZE(fixed_order); i++)
		same(fixed_order[i], true);
}

static const char *pick(const char *const *list, size_t n, uint64_t *state)
{
	return list[rows_random(state) % n];
}

#define PICK(list, state) pick(list, ARRAY_SIZE(list), state)

/* q: qualifier of the columns, "" or "a." */
static void add_atom(struct strbuf *sql, uint64_t *state, const char *q)
{
	static const char *const texts[] = { "method",	    "host",    "path",	     "client_name",
					     "node",	    "conn_id", "user_agent", "id",
					     "exchange_id", "outcome" };
	static const char *const ints[] = { "latency_ns",  "status_code",    "failed",
					    "server_port", "request_offset", "is_primary" };
	static const char *const ops[] = { "=", "!=", "<", "<=", ">", ">=", "IS", "IS NOT" };
	static const char *const text_values[] = { "'GET'",  "'shop'",
						   "''",     "'/api/users/17'",
						   "NULL",   "'node-a-1234abcd-7'",
						   "'c3-7'", "5",
						   "'10'",   "2.5",
						   "'/'",    "'c7'" };
	static const char *const int_values[] = { "200",     "500",   "0",     "1",  "NULL",
						  "2500000", "'500'", "399.5", "-1", "1e30",
						  "-1e30",   "499.0", "'x'" };
	static const char *const patterns[] = { "'/api%'", "'%users%'", "'/%'",	 "''",	 "'%'",
						"'/_pi%'", "NULL",	"'get'", "'10%'" };
	static const char *const globs[] = { "'/api*'", "'*'", "'/[aA]*'", "'GET'", "'/\xff*'" };
	static const char *const times[] = { "1763900001000000000", "1763900003500000000.0",
					     "NULL" };
	const char *t = PICK(texts, state), *i = PICK(ints, state), *op = PICK(ops, state);

	switch (rows_random(state) % 11) {
	case 0:
	case 1:
		strbuf_addf(sql, "%s%s %s %s", q, t, op, PICK(text_values, state));
		break;
	case 2:
	case 3:
		strbuf_addf(sql, "%s%s %s %s", q, i, op, PICK(int_values, state));
		break;
	case 4:
		strbuf_addf(sql, "%s%s %sIN (%s, %s)", q, t, rows_random(state) % 3 ? "" : "NOT ",
			    PICK(text_values, state), PICK(text_values, state));
		break;
	case 5:
		strbuf_addf(sql, "%s%s %sIN (%s, %s, %s)", q, i,
			    rows_random(state) % 3 ? "" : "NOT ", PICK(int_values, state),
			    PICK(int_values, state), PICK(int_values, state));
		break;
	case 6:
		strbuf_addf(sql, "%s%s %sLIKE %s", q, t, rows_random(state) % 3 ? "" : "NOT ",
			    PICK(patterns, state));
		break;
	case 7:
		strbuf_addf(sql, "%s%s GLOB %s", q, t, PICK(globs, state));
		break;
	case 8:
		strbuf_addf(sql, "%s%s IS %sNULL", q, rows_random(state) % 2 ? t : i,
			    rows_random(state) % 2 ? "NOT " : "");
		break;
	case 9:
		/* Plain SQLite knows times only as numbers. */
		strbuf_addf(sql, "%s%s %s %s", q, rows_random(state) % 2 ? "end_time" : "time",
			    ops[rows_random(state) % 6], PICK(times, state));
		break;
	default:
		strbuf_addf(sql, "%s%s BETWEEN %s AND %s", q, i, PICK(int_values, state),
			    PICK(int_values, state));
	}
}

static void add_condition(struct strbuf *sql, uint64_t *state, const char *q, unsigned int depth)
{
	if (depth == 0 || rows_random(state) % 3 == 0) {
		add_atom(sql, state, q);
		return;
	}
	strbuf_adds(sql, rows_random(state) % 6 ? "(" : "NOT (");
	add_condition(sql, state, q, depth - 1);
	strbuf_adds(sql, rows_random(state) % 3 ? " AND " : " OR ");
	add_condition(sql, state, q, depth - 1);
	strbuf_addch(sql, ')');
}

/* Returns whether the answer's order is fixed. */
static bool add_statement(struct strbuf *sql, uint64_t *state)
{
	static const char *const tables[] = { "http", "http", "(SELECT * FROM http)" };
	static const char *const shapes[] = {
		"id, method, path, latency_ns",
		"count(*), count(path), sum(latency_ns), min(path), max(host)",
		"id, end_time",
		"DISTINCT method, status_code",
		"method, host, count(*), sum(failed)",
	};
	size_t shape = rows_random(state) % ARRAY_SIZE(shapes);

	strbuf_addf(sql, "SELECT %s FROM %s WHERE ", shapes[shape], PICK(tables, state));
	add_condition(sql, state, "", 3);
	if (shape == 4) {
		strbuf_adds(sql, " GROUP BY method, host ORDER BY method DESC, host");
		return true;
	}
	if (shape == 1 || shape == 3 || rows_random(state) % 2)
		return false;
	strbuf_addf(sql, " ORDER BY end_time%s", rows_random(state) % 2 ? " DESC" : "");
	if (rows_random(state) % 2)
		strbuf_addf(sql, " LIMIT %d", (int)(rows_random(state) % 20));
	if (sql->p[sql->len - 1] <= '9' && rows_random(state) % 2)
		strbuf_addf(sql, " OFFSET %d", (int)(rows_random(state) % 10));
	return true;
}

static void test_oracle__random(void)
{
	uint64_t state = 7;
	int wrong = 0;

	for (int i = 0; i < STATEMENTS && wrong < 5; i++) {
		struct strbuf sql = STRBUF_INIT(65536);
		bool ordered = add_statement(&sql, &state);

		wrong += !same(strbuf_str(&sql), ordered);
		strbuf_done(&sql);
	}
}

static void test_oracle__random_joins(void)
{
	static const char *const joins[] = { "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN" };
	static const char *const sides[] = { "", " AND b.state = 'open'",
					     " AND b.bytes_sent > 40000", " AND a.failed IS NULL" };
	static const char *const filters[] = { "b.conn_id IS NULL", "b.state IS NOT 'open'",
					       "a.id IS NULL", "b.bytes_sent > 50000", "1" };
	uint64_t state = 99;
	int wrong = 0;

	for (int i = 0; i < STATEMENTS / 8 && wrong < 5; i++) {
		struct strbuf sql = STRBUF_INIT(65536);

		strbuf_addf(&sql,
			    "SELECT a.id, b.conn_id, b.closed FROM http a %s connections b "
			    "ON a.conn_id = b.conn_id%s WHERE %s ",
			    PICK(joins, &state), PICK(sides, &state), PICK(filters, &state));
		strbuf_adds(&sql, rows_random(&state) % 2 ? "AND " : "OR ");
		add_condition(&sql, &state, "a.", 2);
		wrong += !same(strbuf_str(&sql), false);
		strbuf_done(&sql);
	}
}

static void test_oracle__teardown(void)
{
	query_close(conn);
	EXPECT_EQ(source.open_scans, 0);
	mem_source_done(&source);
	sqlite3_close(plain);
}

TEST_MAIN(TEST(test_oracle__setup), TEST(test_oracle__hand_written), TEST(test_oracle__random),
	  TEST(test_oracle__random_joins), TEST(test_oracle__teardown))

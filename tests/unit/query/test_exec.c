#include "rows.h"

#include "base/base64.h"
#include "query/sketch.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

struct fixture {
	struct mem_source m;
	struct query_conn *c;
	struct answer a;
};

static bool setup(struct fixture *f, size_t n)
{
	memset(f, 0, sizeof(*f));
	mem_source_init(&f->m);
	if (n)
		rows_fill(&f->m, n, 1);
	return EXPECT_EQ(query_open(&f->m.base, &f->c), 0);
}

static void teardown(struct fixture *f)
{
	query_close(f->c);
	EXPECT_EQ(f->m.open_scans, 0);
	mem_source_done(&f->m);
}

static bool check(struct fixture *f, const char *sql, const char *want)
{
	bool ok;

	ask(f->c, sql, &f->a);
	ok = EXPECT_EQ(f->a.result, 0) && EXPECT_STR(strbuf_str(&f->a.text), want);
	if (!ok)
		printf("# %s\n# %s: %s (%s)\n", sql, f->a.error.code, f->a.error.message,
		       f->a.error.hint);
	answer_done(&f->a);
	return ok;
}

static void check_error(struct fixture *f, const char *sql, int result, const char *code,
			const char *hint, int position)
{
	ask(f->c, sql, &f->a);
	if (!EXPECT_EQ(f->a.result, result) || !EXPECT_STR(f->a.error.code, code) ||
	    !EXPECT(strstr(f->a.error.hint, hint) != NULL) ||
	    !EXPECT_EQ(f->a.error.position, position))
		printf("# %s\n# %s: %s (%s)\n", sql, f->a.error.code, f->a.error.message,
		       f->a.error.hint);
	answer_done(&f->a);
}

static void test_exec__tables(void)
{
	struct fixture f;

	if (!setup(&f, 100))
		return;
	check(&f, "SELECT count(*) FROM requests", "100\n");
	check(&f, "SELECT count(*) FROM http", "100\n");
	check(&f, "SELECT count(*), sum(is_primary) FROM observations", "134|100\n");
	check(&f, "SELECT count(*) FROM connections", "30\n");
	check(&f, "SELECT id FROM http WHERE id = 'node-a-1234abcd-3'", "node-a-1234abcd-3\n");
	EXPECT_EQ(f.m.preds, 4);
	check(&f, "SELECT count(*) FROM http WHERE id = 'node-a-01234abcd-3'", "0\n");
	check(&f, "SELECT count(*) FROM http WHERE id = 'nonsense'", "0\n");
	check(&f,
	      "SELECT name FROM kelpie_columns WHERE table_name = 'http' AND in_star = 0 ORDER BY "
	      "1",
	      "request_body\nrequest_headers\nresponse_body\nresponse_headers\n");
	check(&f,
	      "SELECT count(*) FROM http a JOIN http b ON a.exchange_id = b.exchange_id AND "
	      "a.id = b.id WHERE a.exchange_id IS NOT NULL AND a.conn_id IS NULL",
	      "0\n");
	teardown(&f);
}

static void test_exec__star_leaves_out_payload(void)
{
	struct fixture f;

	if (!setup(&f, 3))
		return;
	ask(f.c, "SELECT * FROM http LIMIT 1", &f.a);
	EXPECT(!strstr(strbuf_str(&f.a.names), "request_headers"));
	EXPECT(strstr(strbuf_str(&f.a.names), "user_agent") != NULL);
	answer_done(&f.a);
	check(&f, "SELECT request_headers FROM http LIMIT 1", "{\"accept\":\"*/*\"}\n");
	teardown(&f);
}

static bool asked_for(const struct fixture *f, uint16_t col)
{
	for (size_t i = 0; i < f->m.n_cols; i++)
		if (f->m.cols[i] == col)
			return true;
	return false;
}

static void test_exec__reads_only_what_it_needs(void)
{
	struct fixture f;

	if (!setup(&f, 10))
		return;
	check(&f, "SELECT count(path) > 0 FROM http", "1\n");
	EXPECT(asked_for(&f, COL_HTTP_PATH));
	EXPECT_EQ(f.m.n_cols, 1);
	check(&f, "SELECT count(*) > 0 FROM http WHERE user_agent = 'curl/8'", "1\n");
	EXPECT(asked_for(&f, COL_HTTP_USER_AGENT));
	EXPECT(!asked_for(&f, COL_HTTP_RESPONSE_BODY));
	check(&f, "SELECT count(\"response_body\") > 0 FROM http", "1\n");
	EXPECT(asked_for(&f, COL_HTTP_RESPONSE_BODY));
	teardown(&f);
}

static void test_exec__limit_stops_the_scan(void)
{
	struct fixture f;

	if (!setup(&f, 100))
		return;
	check(&f, "SELECT end_time FROM http ORDER BY end_time DESC LIMIT 2 OFFSET 1",
	      "1763900009800000000\n1763900009700000000\n");
	EXPECT_EQ(f.m.limit, 3);
	check(&f, "SELECT count(*) FROM (SELECT 1 FROM http WHERE method = 'GET' LIMIT 5)", "5\n");
	EXPECT_EQ(f.m.limit, 5);
	/* Something that only SQLite can test: no early stop. */
	check(&f, "SELECT count(*) FROM (SELECT 1 FROM http WHERE method LIKE 'get' LIMIT 5)",
	      "5\n");
	EXPECT_EQ(f.m.limit, 0);
	check(&f, "SELECT latency_ns >= 0 FROM http ORDER BY latency_ns LIMIT 1", "1\n");
	EXPECT_EQ(f.m.limit, 0);
	check(&f, "SELECT max(end_time) FROM http", "1763900009900000000\n");
	teardown(&f);
}

static void test_exec__times(void)
{
	struct fixture f;

	if (!setup(&f, 100))
		return;
	check(&f, "SELECT count(*) FROM http WHERE end_time >= '2025-11-23T12:13:25Z'", "50\n");
	EXPECT_EQ(f.m.from_ns, T0 + 5000000000LL);
	check(&f, "SELECT count(*) FROM http WHERE '2025-11-23 12:13:25' <= end_time", "50\n");
	check(&f, "SELECT count(*) FROM http h WHERE h.end_time < '2025-11-23T13:13:25+01:00'",
	      "50\n");
	check(&f,
	      "SELECT count(*) FROM http WHERE end_time BETWEEN '2025-11-23T12:13:21Z' AND "
	      "'2025-11-23T12:13:22Z'",
	      "11\n");
	check(&f, "SELECT count(*) FROM http WHERE end_time IN ('2025-11-23T12:13:21Z', 5)", "1\n");
	check(&f,
	      "SELECT sum(CASE WHEN end_time > '2025-11-23T12:13:25Z' THEN 1 ELSE 0 END) FROM http",
	      "49\n");
	check(&f,
	      "SELECT count(*) FROM http WHERE end_time = '2025-11-23' OR end_time > "
	      "'2025-11-23T12:13:25Z'",
	      "49\n");
	check(&f,
	      "SELECT count(*) FROM (SELECT end_time AS t FROM http) WHERE t > "
	      "'2025-11-23T12:13:25Z'",
	      "49\n");
	check(&f, "SELECT count(*) FROM http WHERE time > 0", "100\n");
	check(&f, "SELECT count(*) FROM http WHERE end_time > 1763900005000000000.0", "49\n");
	check(&f, "SELECT time_bucket('5s', end_time) b, count(*) FROM http GROUP BY b ORDER BY b",
	      "1763900000000000000|50\n1763900005000000000|50\n");
	check_error(&f, "SELECT 1 FROM http WHERE time > 'yesterday'", -EINVAL, "bad_time",
		    "RFC 3339", 32);
	check_error(&f, "SELECT 1 FROM http WHERE time > 1763900000", -EINVAL, "bad_time",
		    "ago('5m')", 32);
	check_error(&f, "SELECT 1 FROM (SELECT time AS t FROM http) WHERE t > 'x'", -EINVAL,
		    "bad_time", "RFC 3339", -1);
	teardown(&f);
}

static void test_exec__default_range(void)
{
	struct query q = { .sql = SLICE_LIT("SELECT count(*) FROM http"),
			   .range = { T0 + 9000000000LL, UINT64_MAX, true },
			   .now_ns = T0 + 10000000000LL };
	struct fixture f;

	if (!setup(&f, 100))
		return;
	ask_query(f.c, &q, &f.a);
	EXPECT_STR(strbuf_str(&f.a.text), "10\n");
	EXPECT(f.a.cov.complete);
	EXPECT_EQ(f.a.cov.from_ns, q.range.from_ns);
	EXPECT_EQ(f.a.cov.to_ns, q.now_ns);
	answer_done(&f.a);
	q.sql = SLICE_LIT("SELECT count(*) FROM http WHERE time > ago('100s')");
	ask_query(f.c, &q, &f.a);
	EXPECT_STR(strbuf_str(&f.a.text), "100\n");
	answer_done(&f.a);
	/* Asked for, the range holds whatever the statement says. */
	q.range.is_default = false;
	ask_query(f.c, &q, &f.a);
	EXPECT_STR(strbuf_str(&f.a.text), "10\n");
	answer_done(&f.a);
	q.sql = SLICE_LIT("SELECT path FROM http");
	q.range.from_ns = T0 + 3600000000000LL;
	q.now_ns = q.range.from_ns + 5;
	ask_query(f.c, &q, &f.a);
	EXPECT_EQ(f.a.rows, 0);
	ASSERT_EQ(f.a.cov.notes.n, 1);
	EXPECT(strstr(f.a.cov.notes.v[0], "there are older rows") != NULL);
	answer_done(&f.a);
	teardown(&f);
}

static void test_exec__coverage(void)
{
	struct query q = { .sql = SLICE_LIT("SELECT p99(latency_ns) AS slow, count(*) n FROM http"),
			   .range = { T0 - 60000000000LL, UINT64_MAX, true },
			   .now_ns = T0 + 10000000000LL };
	struct strbuf json = STRBUF_INIT(65536);
	struct fixture f;

	if (!setup(&f, 100))
		return;
	ask_query(f.c, &q, &f.a);
	/* The oldest row is younger than the range: nobody knows what was before. */
	EXPECT(!f.a.cov.complete);
	EXPECT(f.a.cols[0].approximate && !f.a.cols[1].approximate);
	query_coverage_json(&f.a.cov, &json);
	EXPECT_STR(strbuf_str(&json),
		   "{\"complete\":false,\"from\":\"2025-11-23T12:12:20.000000000Z\","
		   "\"to\":\"2025-11-23T12:13:30.000000000Z\",\"nodes\":{\"ok\":1,\"missing\":[]},"
		   "\"rows\":1,\"lost\":0,\"sampled\":0,\"truncated\":false,\"begins_late\":true,"
		   "\"approximate\":[\"slow\"],"
		   "\"scanned\":134,\"notes\":[]}");
	answer_done(&f.a);
	q.reach_ns = q.range.from_ns;
	ask_query(f.c, &q, &f.a);
	EXPECT(f.a.cov.complete);
	query_coverage_missing(&f.a.cov, "node-c");
	EXPECT(!f.a.cov.complete && !f.a.cov.begins_late);
	answer_done(&f.a);
	q.limits.rows = 10;
	q.sql = SLICE_LIT("SELECT path FROM http");
	ask_query(f.c, &q, &f.a);
	EXPECT_EQ(f.a.result, 0);
	EXPECT_EQ(f.a.rows, 10);
	EXPECT(f.a.cov.truncated && !f.a.cov.complete);
	answer_done(&f.a);
	strbuf_done(&json);
	teardown(&f);
}

static void test_exec__units(void)
{
	static const struct {
		const char *sql, *unit, *type;
	} table[] = {
		{ "SELECT latency_ns FROM http", "ns", "INTEGER" },
		{ "SELECT h.time AS t FROM http h", "unix_ns", "INTEGER" },
		{ "SELECT x FROM (SELECT latency_ns x FROM http)", "ns", "INTEGER" },
		{ "SELECT p99(latency_ns) FROM http", "ns", "INTEGER" },
		{ "SELECT ms(p99(latency_ns)) AS p FROM http", "ms", "REAL" },
		{ "SELECT count(*) FILTER (WHERE failed) FROM http", "count", "INTEGER" },
		{ "SELECT rate(count(*)) r FROM http", "1/s", "REAL" },
		{ "SELECT time_bucket('1s', time) FROM http", "unix_ns", "INTEGER" },
		{ "SELECT sum(failed) FROM http", "count", "INTEGER" },
		{ "SELECT avg(failed) FROM http", "", "REAL" },
		{ "SELECT latency_ns / 1000 FROM http", "", "INTEGER" },
		{ "SELECT request_headers FROM http", "json", "TEXT" },
	};
	struct fixture f;

	if (!setup(&f, 10))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		ask(f.c, table[i].sql, &f.a);
		if (!EXPECT_EQ(f.a.result, 0) || !EXPECT_STR(f.a.cols[0].unit_name, table[i].unit))
			printf("# %s\n", table[i].sql);
		answer_done(&f.a);
	}
	teardown(&f);
}

static void test_exec__functions(void)
{
	static const char *const table[][2] = {
		{ "SELECT ago('5m') = now() - 300000000000", "1\n" },
		{ "SELECT time_bucket('10s', 25000000000), time_bucket('10s', -1)",
		  "20000000000|-10000000000\n" },
		{ "SELECT ms(1500000), ms(NULL)", "1.5|~\n" },
		{ "SELECT duration(1250000), duration(12), duration(90000000000), duration(NULL)",
		  "1.25ms|12ns|1m30s|~\n" },
		{ "SELECT contains('hello', 'ell'), contains('hello', 'x'), contains(NULL, 'x'), "
		  "contains('', '')",
		  "1|0|~|1\n" },
		{ "SELECT regex('GET /a/17', '^GET /a/\\d+$'), regex(NULL, 'a')", "1|~\n" },
		{ "SELECT format('%5.2f|%-4d|%s|%c|%04x|%d%%|%,d|%s', 1.234, 7, 'a', 'xyz', 255, "
		  "50, "
		  "1234567)",
		  " 1.23|7   |a|x|00ff|50%|1,234,567|\n" },
		{ "SELECT printf('%*d|%.*s', 4, 5, 2, 'abc'), printf(NULL, 1), printf('%Q', "
		  "'it''s')",
		  "   5|ab|~|'it''s'\n" },
		{ "SELECT path_template('/users/42/x')", "/users/*/x\n" },
		{ "SELECT sql_norm('select * from t where a = 5')",
		  "SELECT * FROM t WHERE a = ?\n" },
		{ "SELECT sql_norm('select \"a\" # 1', 'mysql'), sql_norm('select \"a\" # 1', "
		  "'pgsql'), sql_norm('select 1', NULL), sql_norm(NULL, 'mysql')",
		  "SELECT ?|SELECT \"a\" # ?|~|~\n" },
		{ "SELECT quantile(x, 0.5), p50(x), count_distinct(x) FROM (SELECT 10 x UNION ALL "
		  "SELECT 10 UNION ALL SELECT 10)",
		  "10|10|1\n" },
		{ "SELECT p99(x), count_distinct(x), histogram(x) FROM (SELECT NULL x)",
		  "~|0|[]\n" },
		{ "SELECT histogram(value) FROM json_each('[1,2,3,70,-4,0.2]')",
		  "[{\"le\":0,\"count\":1},{\"le\":0.5,\"count\":1},{\"le\":1,\"count\":1},"
		  "{\"le\":2,\"count\":1},{\"le\":5,\"count\":1},{\"le\":100,\"count\":1}]\n" },
		{ "SELECT count(*), count_distinct(path) = count(DISTINCT path) FROM http",
		  "100|1\n" },
		{ "SELECT count(*) FROM http WHERE contains(path, 'users') != (path LIKE "
		  "'%users%')",
		  "0\n" },
		{ "SELECT count(*) > 0 FROM http WHERE contains(path, 'users') AND regex(path, "
		  "'/users/\\d')",
		  "1\n" },
	};
	struct fixture f;

	if (!setup(&f, 100))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		check(&f, table[i][0], table[i][1]);
	check_error(&f, "SELECT ago('soon')", -EINVAL, "bad_argument", "'5m'", -1);
	check_error(&f, "SELECT regex('a', '(')", -EINVAL, "bad_argument", "", -1);
	check_error(&f, "SELECT sql_norm('a', 'oracle')", -EINVAL, "bad_argument", "", -1);
	check_error(&f, "SELECT p99(method) FROM http", -EINVAL, "bad_argument", "latency_ns", -1);
	check_error(&f, "SELECT quantile(latency_ns, 99) FROM http", -EINVAL, "bad_argument",
		    "0.99", -1);
	teardown(&f);
}

static void test_exec__rate(void)
{
	struct query q = { .sql = SLICE_LIT("SELECT rate(count(*)) FROM http"),
			   .range = { T0, T0 + 9999999999LL, true },
			   .now_ns = T0 + 20000000000LL };
	struct fixture f;

	if (!setup(&f, 100))
		return;
	q.range.to_ns = T0 + 10000000000LL;
	ask_query(f.c, &q, &f.a);
	EXPECT_STR(strbuf_str(&f.a.text), "10\n");
	answer_done(&f.a);
	/* No range: over what is held. */
	q.range = (struct query_range){ 0, UINT64_MAX, true };
	ask_query(f.c, &q, &f.a);
	EXPECT(strncmp(strbuf_str(&f.a.text), "10.1010", 7) == 0);
	answer_done(&f.a);
	teardown(&f);
}

static void test_exec__errors(void)
{
	struct fixture f;

	if (!setup(&f, 10))
		return;
	check_error(&f, "SELECT latncy_ns FROM http", -EINVAL, "unknown_column", "latency_ns", 7);
	check_error(&f, "SELECT latency FROM http", -EINVAL, "unknown_column", "latency_ns", 7);
	check_error(&f, "SELECT path FROM requests", -EINVAL, "unknown_column",
		    "path is a column of table http", 7);
	check_error(&f, "SELECT r.path FROM requests r", -EINVAL, "unknown_column",
		    "path is a column of table http", 7);
	check_error(&f, "SELECT rtt_ns FROM requests", -EINVAL, "unknown_column",
		    "rtt_ns is a column of table connections", 7);
	check_error(&f, "SELECT requests, role FROM connections", -EINVAL, "unknown_column",
		    "role is a column of another table", 17);
	/* near a name of the statement's own table rather than one of another */
	check_error(&f, "SELECT pat FROM requests", -EINVAL, "unknown_column",
		    "did you mean path, a column of table http?", 7);
	check_error(&f, "SELECT retransmit FROM requests", -EINVAL, "unknown_column",
		    "did you mean retransmits, a column of table connections?", 7);
	check_error(&f, "SELECT statu FROM http", -EINVAL, "unknown_column", "did you mean status?",
		    7);
	check_error(&f, "SELECT 1 FROM request", -EINVAL, "unknown_table", "requests", 14);
	check_error(&f, "SELECT 1 FROM http WHERE host = \"shop-17\"", -EINVAL, "unknown_column",
		    "'shop-17'", 32);
	check_error(&f, "SELECT p9(latency_ns) FROM http", -EINVAL, "unknown_function", "p9", 7);
	check_error(&f, "SELECT FROM http", -EINVAL, "syntax", "", 7);
	check_error(&f, "SELECT 1; SELECT 2", -EINVAL, "syntax", "", 10);
	check_error(&f, "", -EINVAL, "syntax", "", 0);
	check_error(&f, "SELECT :x", -EINVAL, "bad_param", "", -1);
	check_error(&f, "SELECT ?", -EINVAL, "bad_param", ":name", -1);
	/* Positions are those of the original, behind a rewritten constant too. */
	check_error(&f, "SELECT 1 FROM http WHERE time > '2025-11-23' AND nope = 1", -EINVAL,
		    "unknown_column", "", 49);
	check(&f, "SELECT 1; -- that is all", "1\n");
	f.m.fail_with = -EIO;
	check_error(&f, "SELECT count(path) FROM http", -EIO, "source", "", -1);
	teardown(&f);
}

static void test_exec__params(void)
{
	struct query_param params[] = {
		{ "host", { .kind = VALUE_TEXT, .text = SLICE_LIT("shop") } },
		{ "since", { .kind = VALUE_TEXT, .text = SLICE_LIT("2025-11-23T12:13:25Z") } },
		{ "none", { .kind = VALUE_NULL } },
		{ "bad", { .kind = VALUE_INT, .i = 1763900000 } },
	};
	struct query q = { .sql = SLICE_LIT(
				   "SELECT count(*) > 0, min(end_time) >= 1763900005000000000, "
				   "count(:none) FROM http WHERE host = :host AND "
				   "end_time >= @since"),
			   .range = { 0, UINT64_MAX, true },
			   .params = params,
			   .n_params = ARRAY_SIZE(params) };
	struct fixture f;

	if (!setup(&f, 100))
		return;
	ask_query(f.c, &q, &f.a);
	EXPECT_STR(strbuf_str(&f.a.text), "1|1|0\n");
	answer_done(&f.a);
	q.sql = SLICE_LIT("SELECT 1 FROM http WHERE time > :bad");
	ask_query(f.c, &q, &f.a);
	EXPECT_STR(f.a.error.code, "bad_time");
	answer_done(&f.a);
	teardown(&f);
}

static void test_exec__ledger_balance(void)
{
	static const struct {
		const char *kind;
		int64_t value;
	} counters[] = {
		{ "in", 100 }, { "out", 90 }, { "held", 7 }, { "loss", 2 }, { "loss", 1 }
	};
	struct fixture f;

	if (!setup(&f, 0))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		struct mem_row *r = mem_source_row(&f.m, TABLE_LEDGER, 0);

		mem_row_text(r, COL_NODE, "n");
		mem_row_text(r, COL_EPOCH_TEXT, "e");
		mem_row_int(r, COL_HOP, 3);
		mem_row_text(r, COL_STAGE, "s");
		mem_row_text(r, COL_LEDGER_KIND, counters[i].kind);
		mem_row_text(r, COL_UNIT, "events");
		mem_row_int(r, COL_VALUE, counters[i].value);
	}
	check(&f, "SELECT * FROM kelpie_ledger_balance", "n|e|3|s|events|100|90|7|3|0\n");
	check(&f, "SELECT sum(value) FROM kelpie_ledger WHERE kind = 'loss'", "3\n");
	teardown(&f);
}

/* The running seconds: a quantile over several of them adds up their sketches. */
static void test_exec__quantile_of_sketches(void)
{
	struct fixture f;

	if (!setup(&f, 0))
		return;
	for (int second = 0; second < 10; second++) {
		struct mem_row *r = mem_source_row(&f.m, TABLE_RED, (uint64_t)(T0 + second));
		struct strbuf bytes = STRBUF_INIT(SKETCH_BYTES_MAX), text = STRBUF_INIT(65536);
		struct sketch s;

		sketch_init(&s);
		for (int i = 1; i <= 100; i++)
			sketch_add(&s, (second * 100 + i) * 1e6, 1);
		sketch_put(&bytes, &s);
		strbuf_adds(&text, SKETCH_TEXT_PREFIX);
		base64_put(&text, strbuf_slice(&bytes));
		mem_row_text(r, COL_SKETCH, strbuf_str(&text));
		mem_row_int(r, COL_REQUESTS, 100);
		sketch_done(&s);
		strbuf_done(&bytes);
		strbuf_done(&text);
	}
	check(&f,
	      "SELECT abs(p50(latency_sketch) - 500e6) <= 5e6, "
	      "abs(p99(latency_sketch) - 990e6) <= 9.9e6, sum(requests) FROM kelpie_red",
	      "1|1|1000\n");
	ask(f.c, "SELECT p99(latency_sketch) FROM kelpie_red", &f.a);
	EXPECT_STR(f.a.cols[0].unit_name, "ns");
	EXPECT(f.a.cols[0].approximate);
	answer_done(&f.a);
	check_error(&f, "SELECT p99('ddsk1:AAAA')", -EINVAL, "bad_argument", "", -1);
	teardown(&f);
}

/* The inner side of a join is scanned a few times, then its rows are kept. */
static void test_exec__joins_keep_the_inner_rows(void)
{
	static const char *const statements[] = {
		"SELECT count(*) FROM http a CROSS JOIN http b ON b.conn_id = a.conn_id",
		"SELECT count(*) FROM http a CROSS JOIN http b ON b.id = a.id",
		"SELECT count(*) FROM http a CROSS JOIN http b ON b.latency_ns > 5",
		"SELECT count((SELECT count(*) FROM http b WHERE b.exchange_id = a.exchange_id)) "
		"FROM http a",
	};
	struct fixture f;

	if (!setup(&f, 200))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		f.m.opened = 0;
		ask(f.c, statements[i], &f.a);
		EXPECT_EQ(f.a.result, 0);
		EXPECT(f.m.opened <= 5);
		answer_done(&f.a);
	}
	/* A condition that changes and is more than an equality cannot be answered from kept rows.
	 */
	f.m.opened = 0;
	check(&f, "SELECT count(*) FROM http a CROSS JOIN http b ON b.end_time > a.end_time",
	      "19900\n");
	EXPECT_EQ(f.m.opened, 201);
	teardown(&f);
}

TEST_MAIN(TEST(test_exec__joins_keep_the_inner_rows), TEST(test_exec__quantile_of_sketches),
	  TEST(test_exec__tables), TEST(test_exec__star_leaves_out_payload),
	  TEST(test_exec__reads_only_what_it_needs), TEST(test_exec__limit_stops_the_scan),
	  TEST(test_exec__times), TEST(test_exec__default_range), TEST(test_exec__coverage),
	  TEST(test_exec__units), TEST(test_exec__functions), TEST(test_exec__rate),
	  TEST(test_exec__errors), TEST(test_exec__params), TEST(test_exec__ledger_balance))

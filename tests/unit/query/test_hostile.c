#include "rows.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

static struct mem_source source;
static struct query_conn *conn;

static void test_hostile__setup(void)
{
	mem_source_init(&source);
	rows_fill(&source, 50, 3);
	ASSERT_EQ(query_open(&source.base, &conn), 0);
}

struct refused {
	const char *sql;
	int result;
};

static const struct refused refused[] = {
	{ "ATTACH ':memory:' AS x", -EACCES },
	{ "ATTACH '/etc/passwd' AS x", -EACCES },
	{ "PRAGMA table_info(http)", -EACCES },
	{ "PRAGMA writable_schema = 1", -EACCES },
	{ "SELECT * FROM pragma_table_info('http')", -EACCES },
	{ "SELECT * FROM pragma_database_list", -EACCES },
	{ "SELECT load_extension('x.so')", -EACCES },
	{ "SELECT fts3_tokenizer('x')", -EACCES },
	{ "SELECT randomblob(100000000)", -EACCES },
	{ "SELECT * FROM sqlite_schema", -EACCES },
	{ "SELECT * FROM sqlite_temp_schema", -EACCES },
	{ "SELECT count(*) FROM sqlite_master", -EACCES },
	{ "SELECT * FROM sqlite_stmt", -EACCES },
	{ "SELECT * FROM dbstat", -EACCES },
	{ "SELECT sqlite_compileoption_get(1)", -EACCES },
	{ "CREATE TABLE t(x)", -EACCES },
	{ "CREATE TEMP TABLE t(x)", -EACCES },
	{ "CREATE VIRTUAL TABLE t USING fts5(x)", -EACCES },
	{ "INSERT INTO http(path) VALUES('x')", -EACCES },
	{ "DELETE FROM http", -EACCES },
	{ "UPDATE http SET path = 1", -EACCES },
	{ "DROP TABLE http", -EACCES },
	{ "BEGIN", -EACCES },
	{ "VACUUM INTO '/tmp/x'", -EACCES },
	{ "REINDEX", -EACCES },
	{ "ANALYZE", -EACCES },
	{ "DROP VIEW kelpie_ledger_balance", -EACCES },
	{ "SELECT replace(hex(zeroblob(1e8)), '0', 'x')", -E2BIG },
	{ "SELECT length(hex(zeroblob(4000000)))", -E2BIG },
	{ "SELECT printf('%.*c', 900000000, 'x')", -EINVAL },
	{ "SELECT format('%900000000d', 1)", -EINVAL },
	{ "SELECT format('%99999999999999999999d', 1)", -EINVAL },
	{ "SELECT printf('%*d', -900000000, 1)", -EINVAL },
	{ "SELECT printf('%.900000000f', 1)", -EINVAL },
	{ "SELECT printf('%n')", -EINVAL },
	{ "SELECT group_concat(hex(zeroblob(1000000))) FROM http", -E2BIG },
	{ "SELECT 1 WHERE 'aaaaaaaaaa' LIKE replace(hex(zeroblob(300)), '0', '%a')", -E2BIG },
};

static void test_hostile__refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct answer a;

		ask(conn, refused[i].sql, &a);
		if (!EXPECT(a.result == refused[i].result ||
			    (refused[i].result == -EACCES && a.result == -EINVAL)) ||
		    !EXPECT_EQ(a.rows, 0) || !EXPECT(a.error.message[0]))
			printf("# %s: %d %s\n", refused[i].sql, a.result, a.error.message);
		answer_done(&a);
	}
}

/* What would run for ever is stopped by the deadline; what would eat memory before that, by a
 * limit. */
static void test_hostile__bounded(void)
{
	static const char *const statements[] = {
		"WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) "
		"FROM r",
		"WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) "
		"FROM r, "
		"http, http b",
		"SELECT count(*) FROM http a, http b, http c, http d, http e, http f",
		"SELECT count(*) FROM json_each('[1,2,3,4,5,6,7,8]') a, "
		"json_each('[1,2,3,4,5,6,7,8]') b, "
		"json_each('[1,2,3,4,5,6,7,8]') c, json_each('[1,2,3,4,5,6,7,8]') d, "
		"json_each('[1,2,3,4,5,6,7,8]') e, json_each('[1,2,3,4,5,6,7,8]') f, "
		"json_each('[1,2,3,4,5,6,7,8]') g, json_each('[1,2,3,4,5,6,7,8]') h, http i, http "
		"j",
	};

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		struct query q = { .sql = slice_str(statements[i]),
				   .range = { 0, UINT64_MAX, true },
				   .limits.timeout_ns = 50 * NSEC_PER_MSEC };
		struct answer a;

		ask_query(conn, &q, &a);
		EXPECT_EQ(a.result, -ETIME);
		EXPECT_STR(a.error.code, "timeout");
		EXPECT(a.cov.truncated);
		answer_done(&a);
	}
	EXPECT_EQ(source.open_scans, 0);
}

static void repeat(struct strbuf *out, const char *before, const char *s, size_t n,
		   const char *after)
{
	strbuf_reset(out);
	strbuf_adds(out, before);
	for (size_t i = 0; i < n; i++)
		strbuf_adds(out, s);
	strbuf_adds(out, after);
}

static void test_hostile__long_and_deep(void)
{
	struct strbuf sql = STRBUF_INIT(4 * MIB);
	struct answer a;

	repeat(&sql, "SELECT ", "-(", 5000, "1");
	ask(conn, strbuf_str(&sql), &a);
	EXPECT(a.result < 0);
	answer_done(&a);
	repeat(&sql, "SELECT 1", "+1", 3000, "");
	ask(conn, strbuf_str(&sql), &a);
	EXPECT_EQ(a.result, -E2BIG);
	EXPECT(strstr(a.error.message, "too large") != NULL);
	answer_done(&a);
	repeat(&sql, "SELECT 1", " UNION ALL SELECT 1", 25, "");
	ask(conn, strbuf_str(&sql), &a);
	EXPECT_EQ(a.result, -E2BIG);
	answer_done(&a);
	repeat(&sql, "SELECT 1 ", " ", QUERY_SQL_MAX, "");
	ask(conn, strbuf_str(&sql), &a);
	EXPECT_EQ(a.result, -E2BIG);
	EXPECT_STR(a.error.code, "limit");
	answer_done(&a);
	/* More values than a plan takes: SQLite tests them, the answer stays right. */
	repeat(&sql, "SELECT count(*) FROM http WHERE latency_ns >= 0 AND path IN ('/'", ",'x','y'",
	       5000, ",'')");
	ask(conn, strbuf_str(&sql), &a);
	EXPECT_EQ(a.result, 0);
	answer_done(&a);
	/* More conditions than a plan takes. */
	repeat(&sql, "SELECT count(*) FROM http WHERE path != 'x0'", " AND path != 'x'", 80, "");
	ask(conn, strbuf_str(&sql), &a);
	EXPECT_EQ(a.result, 0);
	answer_done(&a);
	strbuf_done(&sql);
}

/* Text that the lexer and SQLite may see differently does no harm. */
static void test_hostile__odd_text(void)
{
	static const char *const statements[] = {
		"'",
		"\"",
		"[",
		"`",
		"/*",
		"--",
		"SELECT '",
		"SELECT 1 /* ",
		":",
		"?",
		"$",
		"@",
		"x'",
		"SELECT x'zz'",
		"time > '",
		"SELECT time > '2026",
		"time >",
		"> time",
		"time BETWEEN",
		"time IN (",
		"time IN",
		"(((((",
		")))))",
		"SELECT ((((",
		";;;;",
		"SELECT 1 FROM http WHERE time > ''",
		"SELECT 1e5x, 1..2, 0x, .5.5",
		"\xff\xfe",
		"SELECT \xff",
		"WITH",
		"WITH x AS (SELECT",
		"EXPLAIN SELECT 1",
		"EXPLAIN QUERY PLAN SELECT * FROM http WHERE time > 5",
		"VALUES (1)",
		"SELECT count(*) FROM (VALUES (1), (2))",
		"SELECT CASE",
		"SELECT * , FROM http",
		"SELECT *, * FROM kelpie_status",
		"SELECT p99(",
		"SELECT p99 FROM http",
	};

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		struct answer a;

		ask(conn, statements[i], &a);
		EXPECT(a.result == 0 || a.error.message[0]);
		answer_done(&a);
	}
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		struct query q = { .sql = slice_of("SELECT 1\0, 2", 12) };
		struct answer a;

		ask_query(conn, &q, &a);
		EXPECT_EQ(a.result, -EINVAL);
		answer_done(&a);
	}
}

static void test_hostile__cancel(void)
{
	atomic_bool cancel = true;
	struct query q = { .sql = SLICE_LIT("SELECT count(*) FROM http a, http b, http c"),
			   .range = { 0, UINT64_MAX, true },
			   .cancel = &cancel };
	struct answer a;

	ask_query(conn, &q, &a);
	EXPECT_EQ(a.result, -ECANCELED);
	EXPECT_STR(a.error.code, "cancelled");
	answer_done(&a);
}

static void test_hostile__byte_cap(void)
{
	struct query q = { .sql = SLICE_LIT("SELECT hex(zeroblob(1000)) FROM http"),
			   .range = { 0, UINT64_MAX, true },
			   .limits.bytes = 10000 };
	struct answer a;

	ask_query(conn, &q, &a);
	EXPECT_EQ(a.result, 0);
	EXPECT_EQ(a.rows, 4);
	EXPECT(a.cov.truncated);
	answer_done(&a);
}

static void test_hostile__teardown(void)
{
	query_close(conn);
	EXPECT_EQ(source.open_scans, 0);
	mem_source_done(&source);
}

TEST_MAIN(TEST(test_hostile__setup), TEST(test_hostile__refused), TEST(test_hostile__bounded),
	  TEST(test_hostile__long_and_deep), TEST(test_hostile__odd_text),
	  TEST(test_hostile__cancel), TEST(test_hostile__byte_cap), TEST(test_hostile__teardown))

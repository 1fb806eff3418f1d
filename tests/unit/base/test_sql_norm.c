#include "base/sql_norm.h"
#include "tests/lib/test.h"

static void expect_in(enum sql_dialect d, const char *sql, const char *want)
{
	char out[SQL_NORM_MAX + 1];
	size_t n = sql_norm(slice_str(sql), d, out);

	out[n < sizeof(out) ? n : 0] = '\0';
	EXPECT_STR(out, want);
}

static void expect(const char *sql, const char *want)
{
	expect_in(SQL_ANSI, sql, want);
}

static void test_sql_norm__literals(void)
{
	expect("select * from t where a = 'x' and b=12", "SELECT * FROM t WHERE a = ? AND b=?");
	expect("SELECT 'it''s', 1.5e-3, 0x1F, .5", "SELECT ?");
	expect("select t1.c2 from t1 where x = -5 and y = 3-2",
	       "SELECT t1.c2 FROM t1 WHERE x = ? AND y = ?-?");
	expect("select E'a\\'b', b'01', x'ff', N'q', U&'d'", "SELECT ?");
	expect("select $$a'b$$ , $x$ $$ $x$ from t", "SELECT ? FROM t");
	expect("select $1, $2::text", "SELECT ?::text");
	expect("select \"Odd Name\" from \"t\"", "SELECT \"Odd Name\" FROM \"t\"");
	expect("select :a, @b from t where c = %s", "SELECT ?, @b FROM t WHERE c = ?");
}

static void test_sql_norm__lists(void)
{
	expect("select 1 from t where id in (1, 2,3 , 4)", "SELECT ? FROM t WHERE id IN (?)");
	expect("insert into t (a, b) values (1,'x'),(2,'y'), (3, 'z')",
	       "INSERT INTO t (a, b) VALUES (?)");
	expect("insert into t values (1, now(), 2), (3, now(), 4)",
	       "INSERT INTO t VALUES (?, now(), ?)");
	expect("update t set a = 1, b = 2 where c = 3", "UPDATE t SET a = ?, b = ? WHERE c = ?");
}

static void test_sql_norm__space_and_comments(void)
{
	expect("  select\n\t1 ; ", "SELECT ?");
	expect("select /* a 'b */ 1 -- c\n, 2", "SELECT ?");
	expect("select /* a /* b */ c */ a from t", "SELECT a FROM t");
	expect("select a--b\nfrom t", "SELECT a FROM t");
	expect("f( a , b )", "f(a, b)");
}

static void test_sql_norm__mysql(void)
{
	expect_in(SQL_MYSQL, "select \"x\\\"y\", `a b` from t # c", "SELECT ?, `a b` FROM t");
	expect_in(SQL_MYSQL, "select 'a\\'b' from t", "SELECT ? FROM t");
	expect_in(SQL_MYSQL, "select _utf8'x' from t", "SELECT ? FROM t");
}

static void test_sql_norm__cut_off(void)
{
	expect("select 'secr", "SELECT ?");
	expect("select /* x", "SELECT");
	expect("select $a$ secret", "SELECT ?");
	expect("", "");
	expect("(((((", "(((((");
}

static void test_sql_norm__bounds(void)
{
	static char sql[3 * SQL_NORM_MAX];
	char out[SQL_NORM_MAX];
	size_t n;

	memset(sql, 'a', sizeof(sql));
	for (size_t i = 0; i < sizeof(sql); i += 10)
		sql[i] = ' ';
	n = sql_norm(slice_of(sql, sizeof(sql)), SQL_ANSI, out);
	EXPECT(n <= sizeof(out) && n > sizeof(out) - 20);
	EXPECT_MEM(out + n - 3, 3, "...", 3);
	memset(sql, '(', sizeof(sql));
	n = sql_norm(slice_of(sql, sizeof(sql)), SQL_ANSI, out);
	EXPECT(n <= sizeof(out));
	for (size_t len = 0; len < 300; len++)
		EXPECT(sql_norm(slice_of("select $q$'\"`/* -- x'01' ?,?", len % 30), SQL_MYSQL,
				out) <= sizeof(out));
}

TEST_MAIN(TEST(test_sql_norm__literals), TEST(test_sql_norm__lists),
	  TEST(test_sql_norm__space_and_comments), TEST(test_sql_norm__mysql),
	  TEST(test_sql_norm__cut_off), TEST(test_sql_norm__bounds))

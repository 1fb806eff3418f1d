#include "base/sql_norm.h"
#include "base/sql_secret.h"
#include "tests/lib/test.h"

#include <stdio.h>

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

/* What is no literal for the lexer, but for a server's user: as in sql_mask(). */
static void test_sql_norm__secrets(void)
{
	char name[SQL_NAME_MAX + 3] = "";

	expect("set app.token = hunter2", "SET app.token = ?");
	expect("alter role joe encrypted password hunter2", "ALTER role joe encrypted password ?");
	expect("alter user joe password \"hunter2\"", "ALTER user joe password ?");
	expect_in(SQL_MYSQL, "set @password := hunter2, @a = b", "SET @password := ?, @a = b");
	expect("select token from t where token = t", "SELECT token FROM t WHERE token = t");
	memset(name, 'x', sizeof(name) - 1);
	name[0] = name[sizeof(name) - 2] = '"';
	expect(name, "?"); /* no name is that long */
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

static void test_sql_norm__values(void)
{
	expect("insert into t values (1, null), (NULL, 'x'), (default, true)",
	       "INSERT INTO t VALUES (?)");
	expect("select f(null, a), null from t where b is null",
	       "SELECT f(?, a), NULL FROM t WHERE b IS NULL");
	expect("select 'a' 'b'\n'c', 1", "SELECT ?");
	expect("select (1)= (1)", "SELECT (?)= (?)");
	expect("select a[1:2], b[:c], d::text, :e::int", "SELECT a[?:?], b[?], d::text, ?::int");
	expect("select a %sb, c %s", "SELECT a %sb, c %s");
	expect("limit 10 offset -5", "LIMIT ? OFFSET ?");
	expect("x = - 5 + -$1", "x = - ? + -?");
}

static void expect_cut(const char *sql, const char *want)
{
	char out[SQL_NORM_MAX + 1];
	size_t n = sql_norm_cut(slice_str(sql), SQL_ANSI, out);

	out[n] = '\0';
	EXPECT_STR(out, want);
}

static void test_sql_norm__cut_known(void)
{
	expect_cut("select a from cust", "SELECT a FROM...");
	expect_cut("select a from t where b in (1, 2, ", "SELECT a FROM t WHERE b IN (?...");
	expect_cut("insert into t values (1, 2), (3", "INSERT INTO t VALUES (?)...");
	expect_cut("insert into t values (1, now()), (3, no", "INSERT INTO t VALUES (?, now())...");
	expect_cut("insert into t values (1, now()), (3, a ",
		   "INSERT INTO t VALUES (?, now()), (?, a...");
	expect_cut("select 'secr", "SELECT ?...");
	expect_cut("f(1, NULL ", "f(?...");
	expect_cut("", "...");
	expect("select a from t where...", "SELECT a FROM t WHERE...");
	expect("insert into t values (1), (2 ...;", "INSERT INTO t VALUES (?)...");
}

/* The answer for the beginning of a text is the beginning of the answer. */
static void test_sql_norm__cut_anywhere(void)
{
	static const char *const texts[] = {
		"INSERT INTO t (a, b) VALUES (1, 'x', now()), (2, NULL, now()), (f(1), -3.5e-2, "
		"now()) "
		"ON CONFLICT DO UPDATE SET a = excluded.a -- end\n RETURNING \"Id\"",
		"WITH a AS (SELECT $1::int, :name, E'q\\'q', $x$ y $x$) SELECT a.*, b->>'c' FROM a "
		"WHERE (a, b) IN ((1, 2), (3, NULL), (4, -5)) AND c BETWEEN .5 AND 1. /* d */ "
		"LIMIT 5",
	};
	char all[SQL_NORM_MAX], part[SQL_NORM_MAX];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t n = sql_norm(slice_str(texts[i]), SQL_ANSI, all);

		for (size_t cut = 0; cut <= strlen(texts[i]); cut++) {
			size_t m = sql_norm_cut(slice_of(texts[i], cut), SQL_ANSI, part);

			ASSERT(m >= 3 && m - 3 <= n);
			if (!EXPECT_MEM(part, m - 3, all, m - 3))
				fprintf(stderr, "\tof %.*s\n", (int)cut, texts[i]);
		}
	}
}

static size_t make_text(uint64_t *seed, char *out, size_t cap)
{
	static const char *const parts[] = {
		"select", " ", "a",	"1",  "'x'", "\"y\"", ",",  "(",    ")",   "null", ";",
		"-",	  "+", "/*",	"*/", "--",  "\n",    "$1", "$$",   "?",   ".",	   ":",
		"%s",	  "#", "false", "`",  "e'",  "\\",    "=",  "(1),", "(?)", ", ",   "...",
	};
	size_t n = 0;

	while (n + 8 < cap) {
		const char *p;

		*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
		p = parts[(*seed >> 33) % (sizeof(parts) / sizeof(parts[0]))];
		memcpy(out + n, p, strlen(p));
		n += strlen(p);
	}
	return n;
}

static void test_sql_norm__twice(void)
{
	static char text[3 * SQL_NORM_MAX], one[SQL_NORM_MAX], two[SQL_NORM_MAX];
	uint64_t seed = 1;

	for (size_t i = 0; i < 40000; i++) {
		enum sql_dialect d = (enum sql_dialect)(i % 4);
		size_t n = make_text(&seed, text, i % 100 ? 60 : sizeof(text)), a, b;

		a = i % 2 ? sql_norm(slice_of(text, n), d, one)
			  : sql_norm_cut(slice_of(text, n), d, one);
		b = sql_norm(slice_of(one, a), d, two);
		if (!EXPECT_MEM(two, b, one, a)) {
			fprintf(stderr, "\tdialect %d of %.*s\n\t%.*s\n\t%.*s\n", d, (int)n, text,
				(int)a, one, (int)b, two);
			return;
		}
	}
}

TEST_MAIN(TEST(test_sql_norm__values), TEST(test_sql_norm__cut_known),
	  TEST(test_sql_norm__cut_anywhere), TEST(test_sql_norm__twice),
	  TEST(test_sql_norm__literals), TEST(test_sql_norm__lists),
	  TEST(test_sql_norm__space_and_comments), TEST(test_sql_norm__mysql),
	  TEST(test_sql_norm__secrets), TEST(test_sql_norm__cut_off), TEST(test_sql_norm__bounds))

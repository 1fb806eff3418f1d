#include "base/sql_mask.h"
#include "base/sql_words.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define MASK_CAP 1024

static void expect_in(enum sql_dialect d, const char *sql, const char *want)
{
	char out[MASK_CAP + 1], again[MASK_CAP + 1];
	size_t n = sql_mask(slice_str(sql), d, out, MASK_CAP), m;

	out[n] = '\0';
	EXPECT_STR(out, want);
	m = sql_mask(slice_str(out), d, again, MASK_CAP);
	EXPECT_MEM(again, m, out, n);
}

static void pgsql(const char *sql, const char *want)
{
	expect_in(SQL_ANSI, sql, want);
}

static void mysql(const char *sql, const char *want)
{
	expect_in(SQL_MYSQL, sql, want);
}

static void both(const char *sql, const char *want)
{
	pgsql(sql, want);
	mysql(sql, want);
}

static void test_sql_mask__literals(void)
{
	both("select 'x', 12, -1, 1.5e-3, .5, 5., 0x1F, 1e5 from t1",
	     "select ?, ?, -?, ?, ?, ?, ?, ? from t1");
	both("select 'it''s' 'more', b'01', X'ff', N'q'", "select ? ?, ?, ?, ?");
	both("select 1abc, 1_000, a1, t.5", "select ?, ?, a1, t?");
	both("select null, true, FALSE", "select null, true, FALSE");
	both("Select  *\n\tfrom T", "Select  *\n\tfrom T");
	pgsql("select E'a\\'b', U&'d', u&'e' uescape '!'", "select ?, ?, ? uescape ?");
	pgsql("select E'a\\'b'\n'c\\'d', 1", "select ?\n?, ?");
	pgsql("select $$a'b$$, $x$ $$ $x$, $1, $2::int, 1::int",
	      "select ?, ?, $1, $2::int, ?::int");
	pgsql("select \"Odd Name\" from \"t\"", "select \"Odd Name\" from \"t\"");
	pgsql("select 'a\\', b, 'c'", "select ?, b, ?");
	pgsql("select a ?5", "select a ?");
	mysql("select \"x\\\"y\", `a b`, _utf8'x\\'y', _latin1\"z\", @v, @@w, @'u'",
	      "select ?, `a b`, ?, ?, @v, @@w, @?");
	mysql("select 'a\\'b', c", "select ?, c");
	expect_in(SQL_MYSQL_NO_BACKSLASH, "select 'a\\', b, 'c'", "select ?, b, ?");
	expect_in(SQL_ANSI_BACKSLASH, "select 'a\\'b', c", "select ?, c");
	both("select ?, :name, :5, a:=6", "select ?, :name, :?, a:=?");
}

static void test_sql_mask__comments(void)
{
	both("/* 'a */ select /* b */ 1 -- c\n, 2 -- d", "select  ? \n, ?");
	both("select a/**/b", "select a b");
	pgsql("select 1 /* a /* b */ c */ + 2", "select ?  + ?");
	mysql("select 1 # c\n+ 2", "select ? \n+ ?");
	mysql("select 5--3", "select ?--?");
	mysql("/*!50001 select secret, 'x' */", "select secret, ?");
	mysql("select /*+ hint('x') */ 1", "select  ?");
	both("/* only */ -- x", "");
}

static void test_sql_mask__secrets(void)
{
	mysql("ALTER USER joe IDENTIFIED BY 'p'", "ALTER USER joe IDENTIFIED BY ?");
	mysql("ALTER USER joe IDENTIFIED BY hunter2", "ALTER USER joe IDENTIFIED BY ?");
	mysql("SET PASSWORD FOR 'joe'@'%' = 'p'", "SET PASSWORD FOR ?@? = ?");
	mysql("SET PASSWORD = hunter2", "SET PASSWORD = ?");
	pgsql("create role joe login password 'p'", "create role joe login password ?");
	pgsql("alter user joe with password hunter2", "alter user joe with password ?");
	pgsql("alter user joe password \"hunter2\"", "alter user joe password ?");
	pgsql("set app.token to abc", "set app.token to ?");
	pgsql("set app.token = abc; select token = abc", "set app.token = ?; select token = abc");
	pgsql("create table t (password text, token varchar(20))",
	      "create table t (password text, token varchar(?))");
	pgsql("select password from u where token = t", "select password from u where token = t");
	pgsql("set search_path to app, public", "set search_path to app, public");
	pgsql("copy t from program 'curl -u a:b'", "copy t from program ?");
}

static void test_sql_mask__cut_off(void)
{
	both("select 'secr", "select ?");
	both("select 'secr''", "select ?");
	both("select /* secr", "select");
	both("select 12", "select ?");
	pgsql("select $a$ secret", "select ?");
	pgsql("select $a$ secret $a", "select ?");
	mysql("select \"secr", "select ?");
	both("", "");
}

static void test_sql_mask__bounds(void)
{
	char out[16];
	static const char *const uncut = "select a, b from";
	char name[SQL_NAME_MAX + 16];

	for (size_t cap = 3; cap <= 16; cap++) {
		size_t n = sql_mask(slice_str(uncut), SQL_ANSI, out, cap);

		EXPECT(n <= cap);
		if (cap == 16)
			EXPECT_MEM(out, n, uncut, 16);
		else
			EXPECT_MEM(out + n - 3, 3, "...", 3);
	}
	/* Behind a whole token. */
	EXPECT_EQ(sql_mask(SLICE_LIT("select abcdef, 1"), SQL_ANSI, out, 15), 10);
	EXPECT_MEM(out, 10, "select ...", 10);
	EXPECT_EQ(sql_mask(SLICE_LIT("\"abcdef\""), SQL_ANSI, out, 7), 3);
	memset(name, 'x', sizeof(name));
	name[0] = name[sizeof(name) - 1] = '"';
	EXPECT_EQ(sql_mask(slice_of(name, sizeof(name)), SQL_ANSI, out, 16), 1);
}

/* No byte of a literal's text is left, wherever the statement is cut. */
static void test_sql_mask__every_prefix(void)
{
	static const char *const statements[] = {
		"insert into t values ('QQ', E'Q\\'Q', $q$QQ$q$, U&'QQ', $$QQ$$, N'QQ') /* QQ */ "
		"-- QQ",
		"insert into t values ('QQ', \"Q'Q\", 'Q''Q', _utf8'QQ', x'QQ', 1QQ) # QQ",
	};
	char out[MASK_CAP];

	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		for (size_t cut = 0; cut <= strlen(statements[i]); cut++) {
			size_t n = sql_mask(slice_of(statements[i], cut),
					    i == 0 ? SQL_ANSI : SQL_MYSQL, out, sizeof(out));

			EXPECT(n <= cut);
			if (!EXPECT(memchr(out, 'Q', n) == NULL))
				fprintf(stderr, "\t%.*s\n", (int)n, out);
		}
}

static void verb_in(enum sql_dialect d, const char *sql, const char *want)
{
	const char *got = sql_verb(slice_str(sql), d);

	if (!EXPECT_STR(got ? got : "", want))
		fprintf(stderr, "\tof: %s\n", sql);
}

static void verb(const char *sql, const char *want)
{
	verb_in(SQL_ANSI, sql, want);
	verb_in(SQL_MYSQL, sql, want);
}

static void test_sql_verb__all(void)
{
	verb("select 1", "SELECT");
	verb(" /* a */ -- b\n\tInSeRt into t", "INSERT");
	verb("((select 1))", "SELECT");
	verb("begin", "BEGIN");
	verb("start transaction read only", "BEGIN");
	verb("start /* x */ transaction", "BEGIN");
	verb("start replica", "START");
	verb("start", "START");
	verb("end", "COMMIT");
	verb("abort", "ROLLBACK");
	verb("desc t", "DESCRIBE");
	verb("rollback to savepoint a", "ROLLBACK");
	verb("explain analyze select 1", "EXPLAIN");
	verb("with a as (select 1) insert into b select * from a", "INSERT");
	verb("with a as (delete from t returning *) select 1", "SELECT");
	verb("with recursive a(n) as (values (1)), b as (select ')' ) update t set a = 1",
	     "UPDATE");
	verb("with a as (select", "WITH");
	verb("selects", "");
	verb("secret", "");
	verb("from t", "");
	verb("", "");
	verb("'select'", "");
	verb("select", "SELECT");
	verb("\"select\"", "");
	verb("SHOW POOLS", "SHOW");
	verb_in(SQL_MYSQL, "/*!40101 SET NAMES utf8 */", "SET");
	verb_in(SQL_MYSQL, "`select`", "");
	verb_in(SQL_MYSQL, "# c\nreplace into t values (1)", "REPLACE");
}

static void test_sql_words__table(void)
{
	static const char *const words[] = {
		"ABORT", "ZEROFILL", "XA", "select", "Window", "z", ""
	};
	static const bool known[] = { true, false, true, true, true, false, false };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct sql_word *w = sql_word_find(slice_str(words[i]));

		EXPECT_EQ(w != NULL, known[i]);
		if (w)
			EXPECT(slice_eq_nocase(slice_str(words[i]), slice_str(w->text)));
	}
	EXPECT(sql_word_find(SLICE_LIT("\xff")) == NULL);
	EXPECT(sql_word_find(SLICE_LIT("@a")) == NULL);
}

TEST_MAIN(TEST(test_sql_mask__literals), TEST(test_sql_mask__comments),
	  TEST(test_sql_mask__secrets), TEST(test_sql_mask__cut_off), TEST(test_sql_mask__bounds),
	  TEST(test_sql_mask__every_prefix), TEST(test_sql_verb__all), TEST(test_sql_words__table))

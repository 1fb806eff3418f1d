#include "base/sql_split.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <stdio.h>

_Static_assert(sizeof(struct sql_split) <= 64, "a parser keeps one for each connection");

/* The text with a mark behind each `;` that ends a statement: ^, ~ when that is empty. The text comes
 * cut at `first` and then every `step` bytes. */
static const char *split(enum sql_dialect d, struct slice sql, size_t first, size_t step,
			 bool *ret_rest)
{
	static char out[512];
	struct sql_split s;
	size_t at = 0, n = 0, cut = first;

	sql_split_init(&s, d);
	while (at < sql.n) {
		size_t to = MIN(cut, sql.n), took;
		bool end, empty = false;

		took = sql_split(&s, slice_of(sql.p + at, to - at), &end, &empty);
		memcpy(out + n, sql.p + at, took);
		n += took;
		at += took;
		if (end)
			out[n++] = empty ? '~' : '^';
		if (at == to)
			cut += step;
	}
	out[n] = '\0';
	*ret_rest = !sql_split_empty(&s);
	return out;
}

/* marked: as split() returns it. rest: whether something comes behind the last mark. Holds for every
 * cut in two, and for pieces of 1, 2, 3 and 5 bytes. */
static void expect_in(enum sql_dialect d, const char *marked, bool rest)
{
	static const size_t steps[] = { 1, 2, 3, 5 };
	char text[256];
	struct slice sql = { (const uint8_t *)text, 0 };
	bool got;

	for (const char *p = marked; *p; p++)
		if (*p != '^' && *p != '~')
			text[sql.n++] = *p;
	for (size_t cut = 0; cut <= sql.n; cut++) {
		EXPECT_STR(split(d, sql, cut, sql.n, &got), marked);
		EXPECT_EQ(got, rest);
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		EXPECT_STR(split(d, sql, steps[i], steps[i], &got), marked);
		EXPECT_EQ(got, rest);
	}
}

static void both(const char *marked, bool rest)
{
	expect_in(SQL_ANSI, marked, rest);
	expect_in(SQL_MYSQL, marked, rest);
}

static void pgsql(const char *marked, bool rest)
{
	expect_in(SQL_ANSI, marked, rest);
}

static void mysql(const char *marked, bool rest)
{
	expect_in(SQL_MYSQL, marked, rest);
}

static void test_sql_split__plain(void)
{
	both("", false);
	both("select 1", true);
	both("select 1;^", false);
	both("select 1;^ select 2 ;^", false);
	both(";~;~a", true);
	both(" \n;~ /* ; */ ;~ -- ;", false);
	both("begin;^ commit;^end;^", false);
	both("(select 1;", true);
	both(")select 1;^", false);
}

static void test_sql_split__quotes(void)
{
	both("a 'x;''y;';^b", true);
	both("a \"x;\"\"y;\";^b", true);
	pgsql("'\\';^'", true);
	mysql("'\\';'", true);
	mysql("\"\\\";\";^", false);
	expect_in(SQL_MYSQL_NO_BACKSLASH, "'\\';^'", true);
	expect_in(SQL_ANSI_BACKSLASH, "'\\';'", true);
	pgsql("E'\\';';^x", true);
	pgsql("e'\\\\';^x", true);
	pgsql("fe'\\';^'", true);
	pgsql("E 'a\\';^'", true);
	mysql("e'\\';';^", false);
	mysql("`a\\`;^`", true);
	mysql("_utf8'\\';';^", false);
	/* A string goes on behind a new line, with its escapes. */
	pgsql("E'a' \n '\\';';^", false);
	pgsql("E'a' -- c\n '\\';';^", false);
	pgsql("E'a' '\\';^'", true);
	pgsql("E'a' /*\n*/ '\\';^'", true);
	pgsql("E'a' $$b$$ \n '\\';^'", true);
	pgsql("E'a', \n '\\';^'", true);
}

static void test_sql_split__dollars(void)
{
	pgsql("$$;$$;^", false);
	pgsql("$a$;$$;$b$;$a$;^", false);
	pgsql("$a$;$a;$a$;^", false);
	pgsql("a$$;^", false);
	pgsql("a$b$;^c$b$", true);
	pgsql("$1;^$2", true);
	pgsql("$a;^", false);
	pgsql("$a_very_long_tag_that_has_more_bytes_than_any_name_of_a_server_may_have_and_some_"
	      "more$;$a_very_long_tag_that_has_more_bytes_than_any_name_of_a_server_may_have_and_"
	      "some_morE$",
	      true);
	mysql("$$;^$$;^", false);
}

static void test_sql_split__comments(void)
{
	pgsql("/* ; /* ; */ ; */ ;~", false);
	mysql("/* ; /* ; */ ;~ */ ;^", false);
	both("-- ;\n;~", false);
	pgsql("--;\n;~", false);
	pgsql("--;\r;~", false);
	mysql("1--;^\n;~", false);
	mysql("--\t;\n;~", false);
	mysql("--- ;\n;^", false);
	both("--", false);
	both("-", true);
	both("/", true);
	both("/*", false);
	both("/*M", false);
	both("*", true);
	mysql("# ;\n;~", false);
	pgsql("# ;^\n;~", false);
	mysql("/*! ;~ */ ;~", false);
	mysql("/*!50001 a */;^", false);
	mysql("/*M!100001 a */;^", false);
	mysql("/*!50001 */;~", false);
	mysql("/*+ ; */ a;^", false);
	mysql("/*! a /* ; */ */ ;^", false);
	mysql("/*!1*//*;*/;~", false);
	both("a*/**/b;^", false);
	both("1 //*;*/ 2;^", false);
}

static void test_sql_split__pgsql_bodies(void)
{
	pgsql("create rule r as on insert to t do (a; b);^ c", true);
	pgsql("create function f() begin atomic a; b; end;^ c", true);
	pgsql("create or replace procedure f() begin atomic a; select case when b then c end; "
	      "end;^ c",
	      true);
	pgsql("create function begin(a int) returns int language sql return 1;^ c", true);
	pgsql("create function f() returns int as $$ begin a; end $$;^ c", true);
	pgsql("create table begin atomic;^ c", true);
	pgsql("begin atomic;^ c", true);
	pgsql("\"create\" function f() begin atomic a;^ b", true);
	pgsql("create function f() begin\n/* ; */ atomic a; end;^ c", true);
}

static void test_sql_split__mysql_bodies(void)
{
	mysql("create procedure p() begin a; b; end;^ c", true);
	mysql("create procedure p() a;^ b", true);
	mysql("create procedure if not exists p() a;^ b", true);
	mysql("create procedure p() if x then a; end if;^ b", true);
	mysql("create procedure p() if x then a; else if y then b; end if; end if;^ b", true);
	mysql("create procedure p() select if(a, b, c);^ b", true);
	mysql("create procedure p() begin if x then a; end if; end;^ b", true);
	mysql("create procedure p() begin select if(x, y, z); drop table if exists t; end;^ b",
	      true);
	mysql("create procedure p() begin case x when 1 then a; else b; end case; end;^ c", true);
	mysql("create procedure p() begin set x = case y when 1 then if(1,2,3) else if(4,5,6) end; "
	      "end;^ c",
	      true);
	mysql("create procedure p() begin l:loop a; leave l; end loop l; end;^ c", true);
	mysql("create procedure p() begin l:begin a; end l; end;^ c", true);
	mysql("create procedure p() begin while x do a; end while; repeat b; until c end repeat; "
	      "end;^ c",
	      true);
	mysql("create procedure p() while x do if y then a; end if; end while;^ c", true);
	mysql("create procedure p() begin declare exit handler for not found begin a; end; b; "
	      "end;^ c",
	      true);
	mysql("create procedure p() begin select repeat('x', 3); end;^ c", true);
	mysql("create definer=`a`@`b` trigger t before insert on u for each row begin a; b; end;^ "
	      "c",
	      true);
	mysql("create definer = root@localhost function f() returns int return case 1 when 1 then "
	      "2 end;^ c",
	      true);
	mysql("create event e on schedule every 1 day do begin a; end;^ b", true);
	mysql("create/*!50017 definer=`a`@`b`*/ /*!50003 trigger t before insert on u for each row "
	      "begin a; b; end */;^ c",
	      true);
	mysql("create table event (a int);^ begin;^ b", true);
	mysql("create table t (`event` int);^ begin;^ b", true);
	mysql("begin not atomic a; b; end;^ c", true);
	mysql("if 1 then a; end if;^ c", true);
	mysql("begin;^ a", true);
	mysql("begin work;^ a", true);
	mysql("xa begin 'x';^ a", true);
	mysql("create procedure p() begin xa begin 'x'; xa end 'x';^ a", true);
}

/* A generator of texts out of what means something, by a number. */
static size_t make_text(uint64_t seed, uint8_t *out, size_t cap)
{
	static const char *const parts[] = {
		";",	   "'",		"\"",	"`",  "$",     "$a$",	   "$$",    "\\",
		"--",	   "-- ",	"#",	"/*", "*/",    "/*!",	   "/*M!",  "E'",
		"\n",	   "(",		")",	" ",  "a",     "1e",	   "-",	    "/",
		"*",	   "U&'",	"_u'",	"''", "begin", " atomic ", " end ", " case ",
		"create ", "function ", " if ", ":",  "0x",    ".5",	   "M",	    "!",
	};
	size_t n = 0;

	while (n + 12 < cap) {
		const char *p;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		p = parts[(seed >> 33) % ARRAY_SIZE(parts)];
		memcpy(out + n, p, strlen(p));
		n += strlen(p);
	}
	return n;
}

static void test_sql_split__any_cut(void)
{
	uint8_t text[64];
	char want[128];
	bool want_rest, rest;

	for (uint64_t seed = 1; seed <= 20000; seed++) {
		enum sql_dialect d = (enum sql_dialect)(seed % 4);
		struct slice sql = slice_of(text, make_text(seed, text, sizeof(text)));

		snprintf(want, sizeof(want), "%s", split(d, sql, sql.n, sql.n, &want_rest));
		for (size_t step = 1; step < 8; step++) {
			ASSERT(EXPECT_STR(split(d, sql, step, step, &rest), want));
			ASSERT_EQ(rest, want_rest);
		}
	}
}

static void test_sql_split__long(void)
{
	static uint8_t text[1 << 20];
	struct sql_split s;
	bool end, empty;

	memset(text, 'x', sizeof(text));
	text[0] = '\'';
	text[sizeof(text) - 2] = '\'';
	text[sizeof(text) - 1] = ';';
	sql_split_init(&s, SQL_ANSI);
	EXPECT_EQ(sql_split(&s, slice_of(text, sizeof(text)), &end, &empty), sizeof(text));
	EXPECT(end && !empty);
	memset(text, '(', sizeof(text));
	EXPECT_EQ(sql_split(&s, slice_of(text, sizeof(text)), &end, &empty), sizeof(text));
	EXPECT(!end && !sql_split_empty(&s));
	sql_split_init(&s, SQL_ANSI);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '*' : '/';
	EXPECT_EQ(sql_split(&s, slice_of(text, sizeof(text)), &end, &empty), sizeof(text));
	EXPECT(!end && sql_split_empty(&s));
}

TEST_MAIN(TEST(test_sql_split__plain), TEST(test_sql_split__quotes), TEST(test_sql_split__dollars),
	  TEST(test_sql_split__comments), TEST(test_sql_split__pgsql_bodies),
	  TEST(test_sql_split__mysql_bodies), TEST(test_sql_split__any_cut),
	  TEST(test_sql_split__long))

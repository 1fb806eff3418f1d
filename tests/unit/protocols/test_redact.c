#include "protocols/redact.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

static struct redact_policy policy;

static void same(struct slice got, const char *want, int line, const char *what)
{
	test_check_mem(got.p, got.n, want, strlen(want), __FILE__, line, what);
	if (got.n != strlen(want) || memcmp(got.p, want, got.n) != 0)
		printf("#   got '%.*s'\n#   for '%s'\n", (int)got.n, (const char *)got.p, what);
}

#define TEXT(in, want)	same(redact_text(slice_str(in), buf, sizeof(buf)), want, __LINE__, in)
#define PATH(in, want)	same(redact_path(slice_str(in), buf, sizeof(buf)), want, __LINE__, in)
#define ERROR(in, want) same(redact_error(slice_str(in), buf, sizeof(buf)), want, __LINE__, in)
#define QUERY(in, want)                                                                            \
	same(redact_query(&policy, slice_str(in), buf, sizeof(buf)), want, __LINE__, in)
#define HEADER(name, in, want)                                                                     \
	same(redact_header_value(&policy, slice_str(name), slice_str(in), buf, sizeof(buf)), want, \
	     __LINE__, name)

static void test_redact__headers(void)
{
	char buf[256];

	redact_policy_init(&policy);
	HEADER("Content-Type", "text/html", "text/html");
	HEADER("HOST", "shop:8080", "shop:8080");
	HEADER("X-Secret-Thing", "hush", "<4 bytes>");
	HEADER("X-Empty", "", "<0 bytes>");
	HEADER("Authorization", "Bearer abc", "<REDACTED>");
	HEADER("cookie", "a=b", "<REDACTED>");
	HEADER("Set-Cookie", "a=b", "<REDACTED>");
	HEADER("Proxy-Authenticate", "x", "<REDACTED>");
	HEADER("X-API-Key", "k", "<REDACTED>");
	HEADER("User-Agent", "curl/8.0 ann@example.com", "curl/8.0 <REDACTED_EMAIL>");
	EXPECT_EQ(redact_allow_header(&policy, "X-Mine"), 0);
	HEADER("x-mine", "seen", "seen");
	EXPECT_EQ(redact_allow_header(&policy, "Cookie"), -EPERM);
	EXPECT_EQ(redact_allow_header(&policy, "proxy-anything"), -EPERM);
	EXPECT_EQ(redact_allow_header(&policy, ""), -EINVAL);
	EXPECT_EQ(redact_allow_query(&policy, "access_token"), -EPERM);
}

static void test_redact__header_list_is_bounded(void)
{
	static char names[REDACT_NAMES_MAX + 1][16];
	int ret = 0;

	redact_policy_init(&policy);
	for (size_t i = 0; i <= REDACT_NAMES_MAX && ret == 0; i++) {
		snprintf(names[i], sizeof(names[i]), "x-n-%zu", i);
		ret = redact_allow_header(&policy, names[i]);
	}
	EXPECT_EQ(ret, -ENOSPC);
	EXPECT_EQ(policy.headers.n, REDACT_NAMES_MAX);
}

static void test_redact__target(void)
{
	struct target t = target_split(SLICE_LIT("http://bob:pw@shop:8080/a/b?x=1&y#f"));

	EXPECT_EQ(t.form, TARGET_ABSOLUTE);
	EXPECT(slice_eq_str(t.scheme, "http") && slice_eq_str(t.host, "shop:8080"));
	EXPECT(slice_eq_str(t.path, "/a/b") && slice_eq_str(t.query, "x=1&y"));
	t = target_split(SLICE_LIT("/a?b?c"));
	EXPECT_EQ(t.form, TARGET_ORIGIN);
	EXPECT(slice_eq_str(t.path, "/a") && slice_eq_str(t.query, "b?c") && t.host.n == 0);
	t = target_split(SLICE_LIT("u:p@shop:443"));
	EXPECT_EQ(t.form, TARGET_AUTHORITY);
	EXPECT(slice_eq_str(t.host, "shop:443") && t.path.n == 0);
	t = target_split(SLICE_LIT("*"));
	EXPECT_EQ(t.form, TARGET_ASTERISK);
	t = target_split(SLICE_LIT("http://a@b@c/"));
	EXPECT(slice_eq_str(t.host, "c"));
	t = target_split(SLICE_LIT("/go?to=http://x@y/"));
	EXPECT(slice_eq_str(t.path, "/go") && t.host.n == 0);
	t = target_split(SLICE_LIT(""));
	EXPECT(t.path.n == 0 && t.query.n == 0);
}

static void test_redact__query(void)
{
	char buf[256];

	redact_policy_init(&policy);
	QUERY("a=1&b=two&c", "a=?&b=?&c");
	QUERY("page=2&limit=10&q=secret", "page=2&limit=10&q=?");
	QUERY("a=&b", "a=&b");
	QUERY("eyJhbGciOiJIUzI1NiJ9.e30.x", "?");
	QUERY("12345678901", "?");
	QUERY("token=abc;sig=def", "token=?;sig=?");
	QUERY("ann@example.com=1", "?=?");
	QUERY("page=ann@example.com", "page=<REDACTED_EMAIL>");
	QUERY("&&", "&&");
	QUERY("AKIAIOSFODNN7EXAMPLE", "?");
	QUERY("sk_live_4eCQHqLyjWDarjtTzdpdcabcd=1", "?=?");
	QUERY("eyJhbGciOiJIUzI.eyJzdWIiOiJ.abcdefgh=x", "?=?");
	QUERY("fields=password%3Dhunter2", "fields=password%3D<REDACTED>");
	QUERY("", "");
	QUERY("filter[name]=x&$top=5", "filter[name]=?&$top=?");
}

static void test_redact__path(void)
{
	char buf[256];

	PATH("/users/42/orders", "/users/42/orders");
	PATH("/o/550e8400-e29b-41d4-a716-446655440000", "/o/550e8400-e29b-41d4-a716-446655440000");
	PATH("/pods/checkout-7d9f8b6c5d-x2x4z/log", "/pods/checkout-7d9f8b6c5d-x2x4z/log");
	PATH("/My-Page-Title-2024-Second-Edition", "/My-Page-Title-2024-Second-Edition");
	PATH("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln/x", "/reset/<REDACTED_JWT>/x");
	PATH("/k/d41d8cd98f00b204e9800998ecf8427e/x", "/k/<REDACTED_HEX>/x");
	PATH("/k/Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg==", "/k/<REDACTED_TOKEN>");
	PATH("/k/AKIAIOSFODNN7EXAMPLE", "/k/<REDACTED_KEY>");
	PATH("/card/4111111111111111", "/card/<REDACTED_PAN>");
	PATH("/card/4111-1111-1111-1111/x", "/card/<REDACTED_PAN>/x");
	PATH("/card/4111111111111112", "/card/4111111111111112");
	PATH("/u/ann.b%40example.com/x", "/u/<REDACTED_EMAIL>/x");
	PATH("/u/ann@example.com", "/u/<REDACTED_EMAIL>");
	PATH("/pkg@1.2.3/x", "/pkg@1.2.3/x");
	PATH("/iban/DE89370400440532013000", "/iban/<REDACTED_IBAN>");
	PATH("/a;jsessionid=1F2E3D/b", "/a;jsessionid=<REDACTED>/b");
	PATH("/card/4111%201111%201111%201111/x", "/card/<REDACTED_PAN>/x");
	PATH("/card/4111%2d1111%2D1111%2d1111", "/card/<REDACTED_PAN>");
	PATH("/set/password%3Dhunter2/x", "/set/password%3D<REDACTED>/x");
	PATH("/q/%22token%22%3a%22abc%22", "/q/%22token%22%3a<REDACTED>");
	PATH("/my%20password%20rules", "/my%20password%20rules");
	PATH("/proxy/http://bob:hunter2@intern/x", "/proxy/http://<REDACTED>@intern/x");
	PATH("/go/https%3A%2f%2Fbob%3Ahunter2%40intern%2Fx",
	     "/go/https%3A%2f%2F<REDACTED>%40intern%2Fx");
	PATH("/proxy/http://intern/pkg@1.2.3", "/proxy/http://intern/pkg@1.2.3");
}

static void test_redact__text(void)
{
	char buf[512];

	TEXT("nothing here 12 34", "nothing here 12 34");
	TEXT("mail ann@example.com.", "mail <REDACTED_EMAIL>.");
	TEXT("a _ann@example.com +b.c@example.com", "a _<REDACTED_EMAIL> +<REDACTED_EMAIL>");
	TEXT("-----BEGIN A-----\n-----END A-----ann@example.com", "<REDACTED_PEM><REDACTED_EMAIL>");
	TEXT("ann@example.com- x", "<REDACTED_EMAIL>- x");
	TEXT("ann@example.com_x", "<REDACTED_EMAIL>_x");
	TEXT("ann@my-site.example-1.org-----BEGIN A-----", "<REDACTED_EMAIL><REDACTED_PEM>");
	TEXT("pkg@1.2.3-beta.1 lib@v1.rc1", "pkg@1.2.3-beta.1 lib@v1.rc1");
	TEXT("pay 4111 1111 1111 1111 now", "pay <REDACTED_PAN> now");
	TEXT("DE89 3704 0044 0532 0130 00 ok", "<REDACTED_IBAN> ok");
	TEXT("GB82 WEST 1234 5698 7654 32", "<REDACTED_IBAN>");
	TEXT("DE89370400440532013001", "DE89370400440532013001");
	TEXT("Bearer abcdef123456 x", "Bearer <REDACTED> x");
	TEXT("Basic dXNlcjpwYXNzMQ==", "Basic <REDACTED>");
	TEXT("Basic authentication", "Basic authentication");
	TEXT("password=hunter2&x=1", "password=<REDACTED>&x=1");
	TEXT("{\"client_secret\": \"s3\"}", "{\"client_secret\": \"<REDACTED>\"}");
	TEXT("api_key: k1", "api_key: <REDACTED>");
	TEXT("{\"password\" : \"two words, and/more\", \"a\": 1}",
	     "{\"password\" : \"<REDACTED>\", \"a\": 1}");
	TEXT("{\"secret\":\"ab/cd+e&f;g<h\"}", "{\"secret\":\"<REDACTED>\"}");
	TEXT("{\"token\":\"a\\\"b\",\"c\":\"d\"}", "{\"token\":\"<REDACTED>\",\"c\":\"d\"}");
	TEXT("{\"token\":\"cut here", "{\"token\":\"<REDACTED>");
	TEXT("{\"token\":\"\",\"a\":\"b\"}", "{\"token\":\"\",\"a\":\"b\"}");
	TEXT("token=ab/cd== x", "token=<REDACTED> x");
	TEXT("monkey: banana", "monkey: banana");
	TEXT("card=4111+1111+1111+1111&x", "card=<REDACTED_PAN>&x");
	TEXT("bot (+http://bob:hunt@er2@intern/)", "bot (+http://<REDACTED>@intern/)");
	TEXT("redis://:hunter2@cache:6379/0", "redis://:<REDACTED>@cache:6379/0");
	TEXT("postgres://bob@db", "postgres://<REDACTED>@db");
	TEXT("see http://intern/ ann@home", "see http://intern/ ann@home");
	TEXT("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
	     "a <REDACTED_PEM> b");
	TEXT("a -----BEGIN KEY-----\nMIIE", "a <REDACTED_PEM>");
	TEXT("1700000000000000000", "1700000000000000000");
	TEXT("ghp_abcdefghijklmnopqrstuvwx", "<REDACTED_KEY>");
	TEXT("", "");
}

static void test_redact__error(void)
{
	char buf[256];

	ERROR("relation missing", "relation missing");
	ERROR("duplicate value 'ann' here", "duplicate value '?'");
	ERROR("can't open, it's shut", "can't open, it's shut");
	ERROR("say 'it''s' or \"x\\\"y\" z", "say '?'");
	ERROR("Key (email)=(a, b) already exists.", "Key (email)=(?) already exists.");
	ERROR("Key (email)=(a) hunter2) already exists.", "Key (email)=(?) already exists.");
	ERROR("Key (email)=(a) hunter2", "Key (email)=(?)");
	ERROR("open 'end", "open '?'");
	ERROR("'", "'?'");
	ERROR("for ann@example.com and 'x'", "for <REDACTED_EMAIL> and '?'");
	ERROR("table \"ann@example.com\"", "table '?'");
}

static void test_redact__error_of_pgsql(void)
{
	char buf[512];

	ERROR("invalid input syntax for type integer: \"abc\"",
	      "invalid input syntax for type integer: '?'");
	ERROR("relation \"orders\" does not exist", "relation \"orders\" does not exist");
	ERROR("column \"a\" of relation \"t\" does not exist",
	      "column \"a\" of relation \"t\" does not exist");
	ERROR("duplicate key value violates unique constraint \"users_email_key\"",
	      "duplicate key value violates unique constraint \"users_email_key\"");
	ERROR("update or delete on table \"u\" violates foreign key constraint \"fk\" on table "
	      "\"o\"",
	      "update or delete on table \"u\" violates foreign key constraint \"fk\" on table "
	      "\"o\"");
	ERROR("syntax error at or near \"hunter2\"", "syntax error at or near '?'");
	ERROR("unterminated quoted string at or near \"'hunter2\"",
	      "unterminated quoted string at or near '?'");
	ERROR("value \"99999999999\" is out of range for type integer",
	      "value '?' is out of range for type integer");
	ERROR("relation \"my orders\" does not exist", "relation '?' does not exist");
	ERROR("invalid byte sequence for encoding \"UTF8\": 0x68 0x75",
	      "invalid byte sequence for encoding '?'");
	ERROR("password authentication failed for user \"bob\"",
	      "password authentication failed for user '?'");
	ERROR("column \"a\" is of type integer but \"hunter2",
	      "column \"a\" is of type integer but '?'");
}

/* lc_messages of other languages, as psql shows them; the last one in Latin-1. */
static void test_redact__error_in_other_languages(void)
{
	char buf[256];

	ERROR("la syntaxe en entrée est invalide pour le type integer : « hunter2 »",
	      "la syntaxe en entrée est invalide pour le type integer : '?'");
	ERROR("ungültige Eingabesyntax für Typ integer: »hunter2«",
	      "ungültige Eingabesyntax für Typ integer: '?'");
	ERROR("nieprawidłowa składnia wejścia „hunter2”", "nieprawidłowa składnia wejścia '?'");
	ERROR("integer型の入力構文が不正です: 「hunter2」", "integer型の入力構文が不正です: '?'");
	ERROR("无效的类型 integer 输入语法: “hunter2”", "无效的类型 integer 输入语法: '?'");
	ERROR("l’entrée n’est pas valable", "l’entrée n’est pas valable");
	ERROR("syntaxe : \xab hunter2 \xbb", "syntaxe : '?'");
}

static void test_redact__error_of_mysql(void)
{
	char buf[512];

	ERROR("check the manual for the right syntax to use near 'SELECT 'hunter2' ' at line 1",
	      "check the manual for the right syntax to use near '?' at line 1");
	ERROR("to use near 'SELECT 'hunter2", "to use near '?'");
	ERROR("Duplicate entry 'ann' for key 'users.PRIMARY'",
	      "Duplicate entry '?' for key 'users.PRIMARY'");
	ERROR("Duplicate entry 'x' for key 'hunter2' for key 'PRIMARY'",
	      "Duplicate entry '?' for key 'PRIMARY'");
	ERROR("Incorrect integer value: 'abc' for column 'a' at row 1",
	      "Incorrect integer value: '?' for column 'a' at row 1");
	ERROR("Incorrect integer value: 'abc' for column `shop`.`t`.`a` at row 1",
	      "Incorrect integer value: '?' for column `shop`.`t`.`a` at row 1");
	ERROR("Truncated incorrect DOUBLE value: 'x' for column 'hunter2' at row 1'",
	      "Truncated incorrect DOUBLE value: '?'");
	ERROR("Table 'shop.orders' doesn't exist", "Table 'shop.orders' doesn't exist");
	ERROR("Column 'a' cannot be null", "Column 'a' cannot be null");
	ERROR("Unknown column 'a' in 'field list'", "Unknown column 'a' in '?'");
	ERROR("Data too long for column 'name' at row 1",
	      "Data too long for column 'name' at row 1");
	ERROR("Access denied for user 'eve'@'localhost' (using password: YES)",
	      "Access denied for user '?'");
	ERROR("Variable 'sql_mode' can't be set to the value of 'hunter2'", "Variable '?'");
	ERROR("foreign key constraint fails (`s`.`o`, CONSTRAINT `fk` REFERENCES `u` (`id`))",
	      "foreign key constraint fails ('?'))");
}

static void test_redact__error_of_redis(void)
{
	char buf[256];

	ERROR("ERR unknown command 'foo', with args beginning with: 'hunter2' ",
	      "ERR unknown command '?' ");
	ERROR("ERR unknown command `foo`, with args beginning with: `hunter2`, ",
	      "ERR unknown command '?', ");
	ERROR("ERR wrong number of arguments for 'get' command",
	      "ERR wrong number of arguments for '?' command");
	ERROR("READONLY You can't write against a read only replica.",
	      "READONLY You can't write against a read only replica.");
	ERROR("MISCONF configured to save, but it's currently unable to persist to disk.",
	      "MISCONF configured to save, but it's currently unable to persist to disk.");
}

/* A datum with quotes and the server's own words in it never shows, whole or cut off anywhere. */
static void test_redact__error_hides_any_datum(void)
{
	static const char *const messages[] = {
		"to use near '%s' at line 1",
		"Duplicate entry '%s' for key 'PRIMARY'",
		"Incorrect integer value: '%s' for column 'a' at row 1",
		"Incorrect datetime value: '%s'",
		"Truncated incorrect INTEGER value: '%s'",
		"invalid input syntax for type integer: \"%s\"",
		"syntax error at or near \"%s\"",
		"value \"%s\" is out of range for type integer",
		"Key (a)=(%s) already exists.",
		"ERR unknown command `%s`, with args beginning with: `%s`, ",
	};
	static const char *const pieces[] = { "'",	 " ",		"\"",	       "`",  ")",
					      "\\",	 "mark5r",	"' at line 1", "=(", ", ",
					      " table ", "' for key '", "\"x\" ",      "a" };
	uint32_t seed = 5;

	for (int round = 0; round < 20000; round++) {
		char datum[256], text[768], buf[1024];
		const char *message = messages[(size_t)round % ARRAY_SIZE(messages)];
		size_t n = 0, cut;
		struct slice got;

		for (int i = 0; i < 7; i++) {
			seed = seed * 1664525u + 1013904223u;
			n += (size_t)snprintf(datum + n, sizeof(datum) - n, "%s",
					      pieces[(seed >> 16) % ARRAY_SIZE(pieces)]);
		}
		snprintf(datum + n, sizeof(datum) - n, "mark5r");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), message, datum, datum);
#pragma GCC diagnostic pop
		/* Messages that end with a name are not cut, see named_tails[]. */
		cut = message[0] != 'D' && !strstr(message, "' for column '") ? (seed >> 8) % 24
									      : 0;
		got = redact_error(slice_head(slice_str(text), strlen(text) - cut), buf,
				   sizeof(buf));
		EXPECT(memmem(got.p, got.n, "mark5", 5) == NULL);
	}
}

static void test_redact__output_is_bounded(void)
{
	char buf[8];
	char text[] = "a@bb.cc a@bb.cc a@bb.cc";

	for (size_t cap = 0; cap <= sizeof(buf); cap++) {
		EXPECT(redact_text(slice_str(text), buf, cap).n <= cap);
		EXPECT(redact_error(SLICE_LIT("'a' 'b'"), buf, cap).n <= cap);
		EXPECT(redact_query(&policy, SLICE_LIT("aaaaaaaa=1&b=2"), buf, cap).n <= cap);
		EXPECT(redact_header_value(&policy, SLICE_LIT("zz"), slice_str(text), buf, cap).n <=
		       cap);
	}
}

TEST_MAIN(TEST(test_redact__headers), TEST(test_redact__header_list_is_bounded),
	  TEST(test_redact__target), TEST(test_redact__query), TEST(test_redact__path),
	  TEST(test_redact__text), TEST(test_redact__error), TEST(test_redact__error_of_pgsql),
	  TEST(test_redact__error_in_other_languages), TEST(test_redact__error_of_mysql),
	  TEST(test_redact__error_of_redis), TEST(test_redact__error_hides_any_datum),
	  TEST(test_redact__output_is_bounded))

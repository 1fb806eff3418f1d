/* Small parts of the API: JSON, filters, cells. */
#include "base/strbuf.h"
#include "collector/filter.h"
#include "collector/jsontext.h"
#include "protocols/schema.h"
#include "tests/lib/test.h"

#include <errno.h>

static void test_jsontext__valid(void)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"null",
		" true ",
		"-0",
		"0.5",
		"1e9",
		"-1.5E-3",
		"\"\"",
		"\"\\u00e9\\n\"",
		"{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
		"\"\xc3\xa9\"",
	};
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"[1,]",
		"{\"a\"}",
		"{\"a\":}",
		"{a:1}",
		"01",
		"1.",
		".5",
		"+1",
		"1e",
		"tru",
		"nul",
		"\"",
		"\"\\x\"",
		"\"\\u12g4\"",
		"\"\t\"",
		"\"\xff\"",
		"\"\xc3\"",
		"1 2",
		"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
		"\"\\",
		"{\"a\":1,}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!EXPECT(jsontext_valid(slice_str(good[i]))))
			EXPECT_STR(good[i], "valid");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!EXPECT(!jsontext_valid(slice_str(bad[i]))))
			EXPECT_STR(bad[i], "invalid");
}

static int collect(void *ctx, struct slice key, const struct jsontext_value *v)
{
	struct strbuf *out = ctx;

	strbuf_add(out, key.p, key.n);
	strbuf_addf(out, "=%d:%lld:", v->kind, (long long)v->i);
	if (v->kind == JSONTEXT_STRING && jsontext_string(v, out) < 0)
		strbuf_adds(out, "?");
	strbuf_addch(out, ';');
	return 0;
}

static void test_jsontext__members(void)
{
	struct strbuf out = STRBUF_INIT(1000);

	EXPECT_EQ(jsontext_members(
			  SLICE_LIT("{\"a\\u0062\" : 7, \"s\":\"x\\u00e9\\ud83d\\ude00\\\"\","
				    "\"t\":true,\"n\":null,\"r\":1.5,\"big\":99999999999999999999,"
				    "\"lone\":\"\\ud800\"}"),
			  collect, &out),
		  0);
	EXPECT_STR(strbuf_str(&out),
		   "ab=2:7:;s=4:0:x\xc3\xa9\xf0\x9f\x98\x80\";t=1:1:;n=0:0:;r=3:0:;"
		   "big=3:0:;lone=4:0:?;");
	EXPECT_EQ(jsontext_members(SLICE_LIT("[]"), collect, &out), -EBADMSG);
	EXPECT_EQ(jsontext_members(SLICE_LIT("{} x"), collect, &out), -EBADMSG);
	strbuf_done(&out);
}

/* The filter as text: clauses by &, terms by |, tests by +. */
static void describe(const struct filter_set *s, struct strbuf *out)
{
	static const char *const ops[] = { "=", "!=", "<", "<=", ">", ">=", "~", "null", "some" };

	for (size_t c = 0; c < s->n_clauses; c++) {
		strbuf_adds(out, c ? " & " : "");
		strbuf_adds(out, s->clauses[c].negate ? "not " : "");
		for (size_t t = 0; t < s->clauses[c].n_any; t++) {
			const Kelpie__Term *term = s->clauses[c].any[t];

			strbuf_adds(out, t ? " | " : "");
			for (size_t i = 0; i < term->n_all; i++) {
				const Kelpie__Test *x = term->all[i];

				strbuf_addf(out, "%s%s%s", i ? "+" : "",
					    schema_column((uint16_t)x->column)->name, ops[x->op]);
				if (x->value_case == KELPIE__TEST__VALUE_NUMBER)
					strbuf_addf(out, "%lld", (long long)x->number);
				else
					strbuf_add(out, x->text.data, x->text.len);
			}
		}
	}
}

static void expect_filter(const char *name, const char *value, const char *want)
{
	static struct filter_set s;
	struct strbuf out = STRBUF_INIT(4096);

	memset(&s, 0, sizeof(s));
	EXPECT_EQ(filter_add(&s, name, slice_str(value)), 1);
	describe(&s, &out);
	EXPECT_STR(strbuf_str(&out), want);
	strbuf_done(&out);
}

static void test_filter__compiled(void)
{
	expect_filter("namespace", "shop", "client_namespace=shop | server_namespace=shop");
	expect_filter("method", "GET,PO*", "method=GET | method~PO*");
	expect_filter("method", "!GET", "not method=GET");
	expect_filter("status", "5xx", "status_code>=500+status_code<600");
	expect_filter("status", ">=400", "status_code>=400");
	expect_filter("status", "!=200", "not status_code=200");
	expect_filter("status", "404,42P01", "status=404 | status_code=404 | status=42P01");
	expect_filter("from", "deploy/api,web",
		      "client_workload=api+client_workload_kind=Deployment | client_name=web");
	expect_filter("to", "unix:/run/x", "server_name=unix:/run/x");
	expect_filter("port", "80,443",
		      "client_port=80 | server_port=80 | client_port=443 | server_port=443");
	expect_filter("min-latency", "100ms", "latency_ns>=100000000");
	expect_filter("failed", "1", "failed=1");
	expect_filter("path", "/a/*", "path~/a/* | protocol=http+resource~/a/*");
	expect_filter("resource", "user:*,a.example", "resource~user:* | resource=a.example");
	expect_filter("status", "WRONG*,NXDOMAIN", "status~WRONG* | status=NXDOMAIN");
}

static void test_filter__refused(void)
{
	static const struct {
		const char *name, *value;
		int want;
	} rows[] = {
		{ "nonsense", "x", 0 },		{ "method", "", -EINVAL },
		{ "method", "a,,b", -EINVAL },	{ "method", "!", -EINVAL },
		{ "port", "http", -EINVAL },	{ "port", "65536", -EINVAL },
		{ "pid", "-1", -EINVAL },	{ "status", ">=x", -EINVAL },
		{ "from", "table/x", -EINVAL }, { "min-latency", "soon", -EINVAL },
		{ "failed", "2", -EINVAL },	{ "status", "5x/abc", -EINVAL },
		{ "status", "5x", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		static struct filter_set s;

		memset(&s, 0, sizeof(s));
		EXPECT_EQ(filter_add(&s, rows[i].name, slice_str(rows[i].value)), rows[i].want);
		EXPECT_EQ(rows[i].want < 0, s.why[0] != '\0');
	}
}

static void test_filter__bounded(void)
{
	static struct filter_set s;
	char list[2 * FILTER_TESTS_MAX + 3];
	int err = 1;

	memset(&s, 0, sizeof(s));
	for (size_t i = 0; i < sizeof(list) - 1; i++)
		list[i] = i % 2 ? ',' : 'a';
	list[sizeof(list) - 1] = '\0';
	EXPECT_EQ(filter_add(&s, "method", slice_head(slice_str(list), 2 * FILTER_TESTS_MAX + 1)),
		  -EINVAL);
	memset(&s, 0, sizeof(s));
	for (int i = 0; i < 100 && err == 1; i++)
		err = filter_add(&s, "method", SLICE_LIT("a"));
	EXPECT_EQ(err, -EINVAL);
	EXPECT_EQ(s.n_clauses, FILTER_CLAUSES_MAX);
}

TEST_MAIN(TEST(test_jsontext__valid), TEST(test_jsontext__members), TEST(test_filter__compiled),
	  TEST(test_filter__refused), TEST(test_filter__bounded))

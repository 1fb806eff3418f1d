/* What Tab offers: by the place in the statement, from the schema. */
#include "cli/complete.h"

#include "tests/lib/test.h"

/* "a b c" of the names, at most 6; the text is cut at |, the cursor. */
static void offered(const char *text, char *out, size_t size)
{
	_cleanup_(strbuf_done) struct strbuf list = STRBUF_INIT(4096);
	size_t at = slice_find(slice_str(text), '|');
	static struct completion c;

	complete_statement(slice_of(text, at), slice_str(text + at + 1), &c);
	for (size_t i = 0; i < c.n && i < 6; i++)
		strbuf_addf(&list, i ? " %s" : "%s", c.names[i]);
	snprintf(out, size, "%s", strbuf_str(&list));
}

#define EXPECT_OFFERED(text, want)                                                                 \
	do {                                                                                       \
		char got[1024];                                                                    \
		offered(text, got, sizeof(got));                                                   \
		EXPECT_STR(got, want);                                                             \
	} while (0)

static void test_complete__places(void)
{
	EXPECT_OFFERED("SEL|", "SELECT");
	EXPECT_OFFERED("select count(*) from req|", "requests");
	EXPECT_OFFERED("SELECT * FROM http JOIN conn|", "connections");
	EXPECT_OFFERED("SELECT * FROM http, pg|", "pgsql");
	EXPECT_OFFERED("SELECT * FROM http h WHERE user_a|", "user_agent");
	EXPECT_OFFERED("SELECT user_a| FROM http", "user_agent");
	EXPECT_OFFERED("SELECT user_a| FROM pgsql", "");
	EXPECT_OFFERED("SELECT stateme| FROM pgsql", "statement");
	EXPECT_OFFERED("SELECT h.user_a| FROM http h", "user_agent");
	EXPECT_OFFERED("SELECT h.SEL| FROM http h", "");
	EXPECT_OFFERED("SELECT latency_|", "latency_ns");
	EXPECT_OFFERED("SELECT count_d|", "count_distinct");
	EXPECT_OFFERED(
		"SELECT * FROM http WHERE a = 1, re|",
		"regex request_body request_body_bytes request_bytes request_headers request_ns");
	EXPECT_OFFERED("SELECT epo| FROM http", "");
}

static void test_complete__literals(void)
{
	EXPECT_OFFERED("SELECT 'sel|", "");
	EXPECT_OFFERED("SELECT 'it''s sel|", "");
	EXPECT_OFFERED("SELECT 'it' sel|", "SELECT");
	EXPECT_OFFERED("SELECT 1 -- sel|", "");
	EXPECT_OFFERED("SELECT 1 -- from\nsel|", "SELECT");
	EXPECT_OFFERED("SELECT 'from' re|",
		       "regex request_body_bytes request_bytes request_ns request_offset resource");
}

static void test_complete__common(void)
{
	static struct completion c;

	complete_statement(SLICE_LIT("SELECT client_p"), (struct slice){ 0 }, &c);
	EXPECT_EQ(c.n, 3); /* pid, pod, port */
	EXPECT(c.typed == 8 && c.common == 8);
	complete_statement(SLICE_LIT("SELECT status_"), (struct slice){ 0 }, &c);
	EXPECT(c.n == 1 && c.common == strlen("status_code"));
	complete_statement((struct slice){ 0 }, (struct slice){ 0 }, &c);
	EXPECT(c.n > 50 && c.typed == 0);
}

static void test_complete__metas(void)
{
	static const char *const metas[] = { "\\d", "\\timing", "\\o", NULL };
	static struct completion c;

	complete_meta(SLICE_LIT("\\t"), metas, &c);
	EXPECT(c.n == 1 && strcmp(c.names[0], "\\timing") == 0 && c.typed == 2);
	complete_meta(SLICE_LIT("\\d kelpie_le"), metas, &c);
	EXPECT(c.n == 2 && c.common == strlen("kelpie_ledger"));
	complete_meta(SLICE_LIT("\\o js"), metas, &c);
	EXPECT_EQ(c.n, 2);
	complete_meta(SLICE_LIT("\\watch r"), metas, &c);
	EXPECT_EQ(c.n, 0);
}

TEST_MAIN(TEST(test_complete__places), TEST(test_complete__literals), TEST(test_complete__common),
	  TEST(test_complete__metas))

#include "base/sql_wide.h"
#include "base/util.h"
#include "tests/lib/test.h"

static void expect_sure(const char *text, size_t want)
{
	struct slice s = slice_str(text);

	EXPECT_EQ(sql_sure(s), want);
}

static void test_sql_sure__utf8_is(void)
{
	expect_sure("", 0);
	expect_sure("select 'it\\'s', `a`", 19);
	expect_sure("'caf\xc3\xa9\\'s'", 10);
	expect_sure("'\xe4\xb8\xad\\'' `\xe5\x90\x8d`", 13);
	expect_sure("'\xf0\x9f\xa6\x86\\'", 7);
	expect_sure("'\xe4\xb8\xad\\' \xe4\xb8", 9); /* cut inside a character */
}

static void test_sql_sure__up_to_the_second_byte(void)
{
	expect_sure("'\x81\\', 'secret'", 2);
	expect_sure("'\xb0\xa1\xd5\\', 'secret'", 4); /* GBK */
	expect_sure("select \x81` from t", 8);	      /* a name without quotes */
	expect_sure("`\x81``, 'secret'", 2);	      /* one in quotes */
	expect_sure("'\x95\\', 'secret'", 2);	      /* SJIS */
	expect_sure("'\xe4\xb8\xad\\', 'b \xd5'", 4); /* that it is no UTF-8 shows behind it */
	expect_sure("'\xed\xa0\x81\\'", 4);	      /* no character of UTF-8 */
	expect_sure("'\xc0\x81\\'", 3);		      /* not its shortest form */
	expect_sure("'\xb0\xa1\xb0\xa2', `a`, '\\'x'", 18); /* neither stands behind such a byte */
	expect_sure("'\x80\\'", 4);			    /* no first byte in any of the sets */
}

/* The same however it is cut. */
static void test_sql_wide__in_pieces(void)
{
	static const char *const texts[] = { "'\xb0\xa1\xd5\\', 'secret'",
					     "'\xe4\xb8\xad\\'' \x81`",
					     "select '\xe4\xb8\xad\\', b", "\x81\\" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct slice s = slice_str(texts[i]);
		struct sql_wide whole = { 0 };
		size_t want = sql_wide(&whole, s);

		for (size_t at = 0; at <= s.n; at++) {
			struct sql_wide w = { 0 };
			size_t n = sql_wide(&w, slice_head(s, at));

			if (n == at)
				n += sql_wide(&w, slice_from(s, at));
			EXPECT_EQ(n, want);
		}
	}
}

TEST_MAIN(TEST(test_sql_sure__utf8_is), TEST(test_sql_sure__up_to_the_second_byte),
	  TEST(test_sql_wide__in_pieces))

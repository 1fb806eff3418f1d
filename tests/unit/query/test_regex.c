#include "query/regex.h"

#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

struct match_case {
	const char *pattern, *text;
	bool want;
};

static const struct match_case matches[] = {
	{ "", "", true },
	{ "", "abc", true },
	{ "abc", "xxabcxx", true },
	{ "abc", "ab", false },
	{ "a.c", "a\nc", false },
	{ "a.c", "axc", true },
	{ "^abc", "abcd", true },
	{ "^abc", "xabc", false },
	{ "abc$", "xabc", true },
	{ "abc$", "abcx", false },
	{ "^$", "", true },
	{ "^$", "a", false },
	{ "^a|b$", "ax", true },
	{ "^a|b$", "xb", true },
	{ "^a|b$", "xa", false },
	{ "^(a|b)*$", "abba", true },
	{ "^(a|b)*$", "abca", false },
	{ "a*", "bbb", true },
	{ "a+", "bbb", false },
	{ "^ab?c$", "ac", true },
	{ "^ab?c$", "abc", true },
	{ "^ab?c$", "abbc", false },
	{ "^a{3}$", "aaa", true },
	{ "^a{3}$", "aa", false },
	{ "^a{2,}$", "aaaa", true },
	{ "^a{2,}$", "a", false },
	{ "^a{1,2}$", "aa", true },
	{ "^a{1,2}$", "aaa", false },
	{ "^a{0}$", "", true },
	{ "^a{0}$", "a", false },
	{ "^a{0,2}$", "", true },
	{ "^a{0,1}b$", "b", true },
	{ "^(ab){2}c$", "ababc", true },
	{ "a{", "a{", true },
	{ "a{x}", "a{x}", true },
	{ "^[a-c]+$", "abcabc", true },
	{ "^[a-c]+$", "abd", false },
	{ "^[^a-c]+$", "xyz", true },
	{ "[^a]", "a", false },
	{ "^[]a]+$", "]a", true },
	{ "^[a-]+$", "a-", true },
	{ "^[\\d.]+$", "1.2.3", true },
	{ "^\\d+$", "0123456789", true },
	{ "\\D", "123", false },
	{ "^\\w+$", "az_AZ09", true },
	{ "\\W", "az_", false },
	{ "^\\s+$", " \t\n\r", true },
	{ "\\S", " \t", false },
	{ "\\bfoo\\b", "a foo b", true },
	{ "\\bfoo\\b", "afoo", false },
	{ "\\bfoo\\b", "foo", true },
	{ "\\Bfoo", "afoo", true },
	{ "\\Bfoo", "foo", false },
	{ "(?i)AbC", "xaBcx", true },
	{ "(?i)[x-z]", "Y", true },
	{ "(?i)[^a]", "A", false },
	{ "AbC", "abc", false },
	{ "\\.", "a", false },
	{ "\\.", ".", true },
	{ "\\x41\\n", "A\n", true },
	{ "^a*?b$", "aab", true },
	{ "(a*)*b", "aaac", false },
	{ "(a*)*b", "aaab", true },
	{ "(|a)+b", "ab", true },
	{ "^(?:a|ab)(?:c|bcd)$", "abcd", true },
	{ "^é+$", "ééé", true },
	{ "^é+$", "é\xc3", false },
	{ "é.", "éx", true },
	{ "x*$", "abc", true },
	{ "a$b", "a$b", false },
	{ "/api/v[0-9]+/(users|orders)/\\d+", "GET /api/v2/orders/17 HTTP", true },
	{ "/api/v[0-9]+/(users|orders)/\\d+", "GET /api/v2/items/17 HTTP", false },
	{ "abab", "abaabab", true },
	{ "aab", "aaab", true },
};

static void test_regex__table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		struct regex_error e;
		struct regex *re = NULL;
		int r = regex_new(slice_str(matches[i].pattern), &re, &e);

		if (!EXPECT_EQ(r, 0)) {
			printf("# %s: %s at %zu\n", matches[i].pattern, e.message, e.position);
			continue;
		}
		if (!EXPECT_EQ(regex_match(re, slice_str(matches[i].text)), matches[i].want))
			printf("# %s on %s\n", matches[i].pattern, matches[i].text);
		regex_free(re);
	}
}

struct error_case {
	const char *pattern, *message;
	size_t position;
};

static const struct error_case errors[] = {
	{ "a(b", "( without )", 1 },
	{ "ab)", ") without (", 2 },
	{ "a[b", "[ without ]", 1 },
	{ "*a", "nothing to repeat", 0 },
	{ "a|+", "nothing to repeat", 2 },
	{ "a**", "a repetition of a repetition", 2 },
	{ "a\\", "a backslash at the end", 1 },
	{ "a\\1", "back references are not supported", 1 },
	{ "a\\q", "unknown escape", 1 },
	{ "\\xg1", "\\x needs two hexadecimal digits", 0 },
	{ "[z-a]", "a range that ends before it starts", 2 },
	{ "[\\d-z]", "a range that ends before it starts", 3 },
	{ "[é]", "a class holds only ASCII characters", 1 },
	{ "a{3,2}", "{m,n} with n below m", 1 },
	{ "a{256}", "at most 255 repetitions", 1 },
	{ "(?=a)", "only (?:...) and, at the start, (?i) are supported", 0 },
	{ "((a{200}){200}){200}", "the pattern is too large when its repetitions are written out",
	  2 },
};

static void test_regex__errors_have_a_position(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct regex_error e = { "", 0 };
		struct regex *re = NULL;

		EXPECT_EQ(regex_new(slice_str(errors[i].pattern), &re, &e), -EINVAL);
		EXPECT_STR(e.message, errors[i].message);
		if (i + 1 < ARRAY_SIZE(errors))
			EXPECT_EQ(e.position, errors[i].position);
		regex_free(re);
	}
}

static void test_regex__limits(void)
{
	char pattern[REGEX_PATTERN_MAX + 2];
	struct regex_error e;
	struct regex *re = NULL;

	memset(pattern, 'a', sizeof(pattern));
	EXPECT_EQ(regex_new(slice_of(pattern, REGEX_PATTERN_MAX + 1), &re, &e), -EINVAL);
	ASSERT_EQ(regex_new(slice_of(pattern, REGEX_PATTERN_MAX), &re, &e), 0);
	regex_free(re);
	memset(pattern, '(', sizeof(pattern));
	EXPECT_EQ(regex_new(slice_of(pattern, REGEX_DEPTH_MAX + 1), &re, &e), -EINVAL);
	EXPECT_STR(e.message, "groups are nested too deeply");
}

/* Patterns that explode in engines that go back: here the work is bounded by text times program. */
static void test_regex__work_is_linear(void)
{
	static const char *const patterns[] = { "^(a+)+$",	     "(a*)*b",
						"(a|aa)+$",	     "(.*)*x",
						"(a?){64}a{64}",     "(x+x+)+y",
						"^(([a-z])+.)+[A-Z]" };
	static char text[4096];

	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		struct regex_error e;
		struct regex *re = NULL;
		uint64_t half, whole;

		ASSERT_EQ(regex_new(slice_str(patterns[i]), &re, &e), 0);
		text[sizeof(text) - 1] = '!';
		regex_match(re, slice_of(text, sizeof(text)));
		whole = regex_steps(re);
		regex_match(re, slice_of(text + sizeof(text) / 2, sizeof(text) / 2));
		half = regex_steps(re) - whole;
		EXPECT(whole <= 3 * half || whole < 10000);
		EXPECT(whole <= 2ULL * REGEX_PROGRAM_MAX * sizeof(text));
		regex_free(re);
	}
}

static void test_regex__literal(void)
{
	static const struct {
		const char *pattern, *literal;
	} table[] = { { "abc", "abc" },	    { "abc*", "ab" },  { "a|b", "" },
		      { "^abc", "" },	    { "(?i)abc", "" }, { "a+b", "a" },
		      { "(abc)+d", "abc" }, { "[a]b", "" },    { "/v1/\\d", "/v1/" } };

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct regex_error e;
		struct regex *re = NULL;

		ASSERT_EQ(regex_new(slice_str(table[i].pattern), &re, &e), 0);
		EXPECT(slice_eq_str(regex_literal(re), table[i].literal));
		regex_free(re);
	}
}

/* With a literal first, text without it costs no step at all. */
static void test_regex__literal_skips(void)
{
	static char text[65536];
	struct regex_error e;
	struct regex *re = NULL;

	memset(text, 'x', sizeof(text));
	ASSERT_EQ(regex_new(SLICE_LIT("needle\\d+"), &re, &e), 0);
	EXPECT(!regex_match(re, slice_of(text, sizeof(text))));
	EXPECT_EQ(regex_steps(re), 0);
	memcpy(text + 60000, "needle7", 7);
	EXPECT(regex_match(re, slice_of(text, sizeof(text))));
	EXPECT(regex_steps(re) < 50);
	regex_free(re);
}

TEST_MAIN(TEST(test_regex__table), TEST(test_regex__errors_have_a_position),
	  TEST(test_regex__limits), TEST(test_regex__work_is_linear), TEST(test_regex__literal),
	  TEST(test_regex__literal_skips))

/* What reaches a terminal: the escaper, widths, units; and JSON there and back. */
#include "cli/format.h"
#include "cli/json.h"
#include "cli/screen.h"

#include "base/hash.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static void expect_escaped(const char *in, size_t n, const char *want)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(65536);

	screen_escape(slice_of(in, n), &out);
	EXPECT_STR(strbuf_str(&out), want);
}

#define ESCAPED(in, want) expect_escaped((in), sizeof(in) - 1, (want))

static void test_screen__escapes(void)
{
	ESCAPED("plain é 注", "plain é 注");
	ESCAPED("\x1b[2J\x1b]0;t\x07", "\\x1b[2J\\x1b]0;t\\x07");
	ESCAPED("a\nb\r\tc", "a\\nb\\r\\tc");
	ESCAPED("\0\x7f", "\\x00\\x7f");
	ESCAPED("\xc2\x9b"
		"31m",
		"\\u009b31m"); /* C1 CSI as UTF-8 */
	ESCAPED("\x9b"
		"31m",
		"\\x9b31m"); /* and as a raw byte */
	ESCAPED("\xe2\x80\xae"
		"gpj",
		"\\u202egpj");				       /* right-to-left override */
	ESCAPED("\xe2\x81\xa6\xe2\x81\xa9", "\\u2066\\u2069"); /* isolates */
	ESCAPED("a\xe2\x80\x8b"
		"b\xef\xbb\xbf",
		"a\\u200bb\\ufeff");
	ESCAPED("\xc0\xaf\xed\xa0\x80\xf5\x80", "\\xc0\\xaf\\xed\\xa0\\x80\\xf5\\x80");
	ESCAPED("\xf3\xa0\x80\x81", "\\ue0001"); /* tag characters */
	ESCAPED("\xcc\x81"
		"e\xcc\x81\xcc\x81\xcc\x81",
		"\\u0301e\xcc\x81\xcc\x81\\u0301");
}

/* 20,000 random strings, half of their bytes dangerous ones: what comes out is printable and stays
 * as it is when it is escaped again. */
static void test_screen__nothing_gets_through(void)
{
	static const uint8_t dangerous[] = { 0x1b, 0x9b, 0xc2, 0xe2, 0x80, 0xae, 0x00, 0xf0 };
	uint64_t state = 1;

	for (int round = 0; round < 20000; round++) {
		_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(65536),
						     again = STRBUF_INIT(65536);
		uint8_t bytes[24];
		size_t n;

		state += 0x9e3779b97f4a7c15ull;
		n = hash_u64(state) % sizeof(bytes);
		for (size_t i = 0; i < n; i++) {
			uint64_t x = hash_u64(state + i + 1);

			bytes[i] = x & 1 ? dangerous[x >> 8 & 7] : (uint8_t)(x >> 16);
		}
		screen_escape(slice_of(bytes, n), &out);
		for (size_t i = 0; i < out.len;) {
			struct screen_char c = screen_next(slice_of(out.p + i, out.len - i));

			ASSERT(!c.invalid && c.columns >= 0);
			i += c.n;
		}
		screen_escape(strbuf_slice(&out), &again);
		ASSERT(slice_eq(strbuf_slice(&again), strbuf_slice(&out)));
	}
}

static void test_screen__columns(void)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(4096);

	EXPECT_EQ(screen_columns(SLICE_LIT("abc")), 3);
	EXPECT_EQ(screen_columns(SLICE_LIT("注文")), 4);
	EXPECT_EQ(screen_columns(SLICE_LIT("e\xcc\x81")), 1);
	EXPECT_EQ(screen_columns(SLICE_LIT("🦀")), 2);
	EXPECT_EQ(screen_cut(SLICE_LIT("注文サービス"), 6, &out), 5);
	EXPECT_STR(strbuf_str(&out), "注文…");
	strbuf_reset(&out);
	EXPECT_EQ(screen_cut(SLICE_LIT("abc"), 3, &out), 3);
	EXPECT_STR(strbuf_str(&out), "abc");
}

static void expect_duration(uint64_t ns, const char *want)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(256);

	format_duration(ns, &out);
	EXPECT_STR(strbuf_str(&out), want);
}

static void expect_count(double v, const char *want)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(256);

	format_count(v, &out);
	EXPECT_STR(strbuf_str(&out), want);
}

static void test_format__units(void)
{
	expect_duration(0, "0ns");
	expect_duration(999, "999ns");
	expect_duration(1500, "1.5us");
	expect_duration(12345678, "12.3ms");
	expect_duration(310 * NSEC_PER_MSEC, "310ms");
	expect_duration(1999999999, "2s");
	expect_duration(61 * NSEC_PER_SEC, "1m01s");
	expect_duration(7260 * NSEC_PER_SEC, "2h01m");
	expect_duration(UINT64_MAX, "213503d23h");
	expect_count(0, "0");
	expect_count(999, "999");
	expect_count(1200, "1.2k");
	expect_count(999999, "1M");
	expect_count(12.34, "12.3");
	expect_count(1e18, "1000000T");
}

static void test_format__exact(void)
{
	static const double values[] = { 0.1, 1.0 / 3, 1e300, 5e-324, -2.5, 123456789012345680.0 };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(256);
		double back = 0;

		format_real(values[i], &out);
		EXPECT(sscanf(strbuf_str(&out), "%lf", &back) == 1 && back == values[i]);
	}
}

static void expect_json(const char *text, int want)
{
	struct json doc = { 0 };

	if (!EXPECT_EQ(json_parse(&doc, slice_str(text)), want))
		printf("# %s\n", text);
	json_done(&doc);
}

static void test_json__accepts_and_refuses(void)
{
	static const char *const good[] = { "null", " [1, -2.5e3, \"x\"] ", "{\"a\":{\"b\":[]}}",
					    "0", "\"\\u00e9\"" };
	static const char *const bad[] = { "",	  "{",	 "[1,]",   "{\"a\"}",  "nul",
					   "01x", "\"a", "\"\n\"", "[1]]",     "\"\\x\"",
					   "-",	  "1e",	 "{1:2}",  "\"\\u12\"" };
	_cleanup_(strbuf_done) struct strbuf deep = STRBUF_INIT(4096);

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		expect_json(good[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_json(bad[i], -EBADMSG);
	for (int i = 0; i < JSON_DEPTH_MAX + 1; i++)
		strbuf_addch(&deep, '[');
	expect_json(strbuf_str(&deep), -EBADMSG);
}

static void test_json__values(void)
{
	static const char text[] =
		"{\"i\":9223372036854775807,\"d\":0.1,\"s\":\"a\\u00e9\\ud83e\\udd80\\n\","
		"\"half\":\"\\ud800x\",\"t\":true,\"big\":18446744073709551616,\"a\":[1,2,3]}";
	struct json doc = { 0 };
	const struct json_node *root;

	ASSERT_EQ(json_parse(&doc, SLICE_LIT(text)), 0);
	root = &doc.nodes[0];
	EXPECT_EQ(json_int(json_get(&doc, root, "i"), 0), INT64_MAX);
	EXPECT(json_get(&doc, root, "d")->d == 0.1);
	EXPECT(slice_eq_str(json_text(json_get(&doc, root, "s")), "aé🦀\n"));
	EXPECT(slice_eq_str(json_text(json_get(&doc, root, "half")), "\xef\xbf\xbdx"));
	EXPECT(json_true(json_get(&doc, root, "t")));
	EXPECT_EQ(json_get(&doc, root, "big")->kind, JSON_REAL);
	EXPECT_EQ(json_get(&doc, root, "a")->n, 3);
	EXPECT(json_get(&doc, root, "none") == NULL);
	json_done(&doc);
}

/* A string that was written reads back as the same bytes when they are UTF-8, and holds nothing
 * that a terminal obeys. */
static void test_json__strings_round_trip(void)
{
	static const char *const texts[] = { "plain",
					     "\x1b[31m\x07\x7f",
					     "q\"\\/",
					     "\xc2\x9b\xe2\x80\xae",
					     "🦀\xf3\xa0\x80\x81",
					     "\n\r\t" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(4096);
		struct json doc = { 0 };

		json_add_string(&out, slice_str(texts[i]));
		for (size_t at = 0; at < out.len;) {
			struct screen_char c = screen_next(slice_of(out.p + at, out.len - at));

			EXPECT(!c.invalid && c.columns >= 0);
			at += c.n;
		}
		ASSERT_EQ(json_parse(&doc, strbuf_slice(&out)), 0);
		EXPECT(slice_eq_str(doc.nodes[0].text, texts[i]));
		json_done(&doc);
	}
}

TEST_MAIN(TEST(test_screen__escapes), TEST(test_screen__nothing_gets_through),
	  TEST(test_screen__columns), TEST(test_format__units), TEST(test_format__exact),
	  TEST(test_json__accepts_and_refuses), TEST(test_json__values),
	  TEST(test_json__strings_round_trip))

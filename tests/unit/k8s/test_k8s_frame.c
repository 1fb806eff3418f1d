/* Frames of watches and items of lists, whole, cut at each byte, and byte by byte. */
#include "k8s/frame.h"
#include "k8s/listing.h"
#include "tests/lib/test.h"

#define PIECES_MAX 4

/* What came out: "WHAT:bytes|". */
static void note(struct strbuf *log, const char *what, struct frame f)
{
	strbuf_addf(log, "%s:", what);
	for (size_t i = 0; i < f.n; i++)
		strbuf_addf(log, f.p[i] >= ' ' && f.p[i] < 0x7f ? "%c" : "\\%02x", f.p[i]);
	strbuf_addch(log, '|');
}

static void feed_watch(struct frames *f, struct slice in, struct strbuf *log)
{
	struct frame one;
	enum frame_result r;

	/* bytes in memory of exactly their size: what is read beyond them is found */
	uint8_t *copy = memcpy(malloc(in.n + 1), in.p, in.n);
	struct slice left = slice_of(copy, in.n);

	while ((r = frames_next(f, &left, &one)) == FRAME_ONE)
		note(log, "frame", one);
	if (r == FRAME_BAD)
		strbuf_adds(log, "bad");
	free(copy);
}

static void feed_list(struct listing *l, struct slice in, struct strbuf *log)
{
	enum listing_what what;
	struct frame one;
	enum frame_result r;
	uint8_t *copy = memcpy(malloc(in.n + 1), in.p, in.n);
	struct slice left = slice_of(copy, in.n);

	while ((r = listing_next(l, &left, &one, &what)) == FRAME_ONE)
		note(log, what == LISTING_META ? "meta" : "item", one);
	if (r == FRAME_BAD)
		strbuf_adds(log, "bad");
	free(copy);
}

/* In pieces that end at cut[0], cut[1], … */
static void play(bool list, enum frame_format format, struct slice in, size_t first, size_t each,
		 struct strbuf *log)
{
	struct listing l;
	struct frames f;

	listing_init(&l, format);
	frames_init(&f, format);
	for (size_t n = first; in.n > 0 && !strstr(strbuf_str(log), "bad"); n = each) {
		struct slice piece = slice_head(in, n);

		if (list)
			feed_list(&l, piece, log);
		else
			feed_watch(&f, piece, log);
		in = slice_from(in, piece.n);
	}
	if (!strstr(strbuf_str(log), "bad"))
		strbuf_adds(log,
			    (list ? listing_complete(&l) : frames_between(&f)) ? "end" : "open");
	listing_done(&l);
	frames_done(&f);
}

static void expect(bool list, enum frame_format format, struct slice in, const char *want)
{
	struct strbuf log = STRBUF_INIT(MIB);

	play(list, format, in, in.n, in.n, &log);
	EXPECT_STR(strbuf_str(&log), want);
	for (size_t cut = 1; cut < in.n; cut++) {
		strbuf_reset(&log);
		play(list, format, in, cut, in.n, &log);
		if (!EXPECT_STR(strbuf_str(&log), want))
			printf("# cut at %zu\n", cut);
	}
	strbuf_reset(&log);
	play(list, format, in, 1, 1, &log);
	EXPECT_STR(strbuf_str(&log), want);
	strbuf_done(&log);
}

#define PB(s)	FRAME_PB, SLICE_LIT(s)
#define JSON(s) FRAME_JSON, SLICE_LIT(s)

static void test_k8s_frame__watch_protobuf(void)
{
	expect(false, PB("\0\0\0\3abc\0\0\0\1d"), "frame:abc|frame:d|end");
	expect(false, PB("\0\0\0\3abc\0\0\0\2d"), "frame:abc|open");
	expect(false, PB("\0\0\0\3abc\0\0"), "frame:abc|open");
	expect(false, PB("\0\0\0\0"), "bad");
	expect(false, PB("\0\0\0\1x\1\0\0\0yy"), "frame:x|bad");
	expect(false, PB("{\"type\":\"ADDED\"}\n"), "bad");
}

static void test_k8s_frame__watch_json(void)
{
	expect(false, JSON("{\"a\":1}\n\n  \r\n{\"b\"}\n"), "frame:{\"a\":1}|frame:{\"b\"}|end");
	expect(false, JSON("{\"a\":1}\n{\"b"), "frame:{\"a\":1}|open");
}

/* One byte less than the maximum goes, the maximum does not; memory of a large frame is given back. */
static void test_k8s_frame__limit(void)
{
	struct slice big = slice_of(calloc(1, K8S_FRAME_MAX), K8S_FRAME_MAX), in;
	struct frames f;
	struct frame one;

	frames_init(&f, FRAME_PB);
	in = SLICE_LIT("\0\xff\xff\xff");
	EXPECT_EQ(frames_next(&f, &in, &one), FRAME_MORE);
	in = slice_head(big, 0xffffff);
	EXPECT_EQ(frames_next(&f, &in, &one), FRAME_ONE);
	EXPECT_EQ(one.n, 0xffffff);
	in = SLICE_LIT("\0");
	EXPECT_EQ(frames_next(&f, &in, &one), FRAME_MORE);
	EXPECT(f.held.cap <= K8S_FRAME_KEPT);
	frames_done(&f);
	frames_init(&f, FRAME_JSON);
	in = big;
	EXPECT_EQ(frames_next(&f, &in, &one), FRAME_MORE);
	in = SLICE_LIT("x");
	EXPECT_EQ(frames_next(&f, &in, &one), FRAME_BAD);
	frames_done(&f);
	free((void *)(uintptr_t)big.p);
}

/* Magic, type, then raw of 14 bytes: metadata "mm", an unknown varint, items "a" and "", an unknown
 * fixed64 is left out; behind it the encoding. */
#define LIST_HEAD "k8s\0\x0a\x03\x12\x01L"

static void test_k8s_listing__protobuf(void)
{
	expect(true,
	       PB(LIST_HEAD "\x12\x0c\x0a\x02mm\x20\x96\x01\x12\x01"
			    "a\x12\x00\x1a\x00\x22\x00"),
	       "meta:mm|item:a|item:|end");
	expect(true, PB(LIST_HEAD "\x12\x00"), "end");
	expect(true,
	       PB("k8s\0\x12\x0f\x12\x01"
		  "b\x09"
		  "12345678\x2d"
		  "12"),
	       "item:b|bad");
	expect(true,
	       PB("k8s\0\x12\x11\x12\x01"
		  "b\x09"
		  "12345678\x2d"
		  "1234"),
	       "item:b|end");
	expect(true,
	       PB("k8s\0\x12\x04\x12\x03"
		  "bb"),
	       "bad"); /* longer than the list */
	expect(true,
	       PB("k8s\0\x12\x03\x12\x01"
		  "b\x12\x03\x12\x01"
		  "c"),
	       "item:b|bad");
	expect(true, PB("k8s\0\x12\x01\x13"), "bad"); /* a group */
	expect(true, PB("k8s\0\x12\x0c\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"), "bad");
	expect(true, PB("k8s\0\x12\x0c\x12\x80\x80\x80\x08"), "bad"); /* an item of 16 MiB */
	expect(true, PB("k8s1"), "bad");
	expect(true, PB(""), "open");
}

static void test_k8s_listing__json(void)
{
	expect(true,
	       JSON("{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{"
		    "\"a\":[{}]},"
		    "{\"b\":\"]}\\\"{\"}]}\n"),
	       "meta:{\"resourceVersion\":\"7\"}|item:{\"a\":[{}]}|item:{\"b\":\"]}\\\"{\"}|end");
	expect(true, JSON("{\"items\":null,\"metadata\":{}}"), "meta:{}|end");
	expect(true,
	       JSON("{\"x\":{\"items\":[{}],\"metadata\":{}},\"items\":[],\"y\":[{\"metadata\":{}}]"
		    "}"),
	       "end");
	expect(true, JSON("{\"metadata\":{},\"items\":[{\"a\":1}"), "meta:{}|item:{\"a\":1}|open");
	expect(true, JSON("{}{"), "bad");
	expect(true, JSON("[{}]"), "bad");
	expect(true, JSON("}"), "bad");
	expect(true, JSON("x"), "bad");
}

TEST_MAIN(TEST(test_k8s_frame__watch_protobuf), TEST(test_k8s_frame__watch_json),
	  TEST(test_k8s_frame__limit), TEST(test_k8s_listing__protobuf),
	  TEST(test_k8s_listing__json))

/* Framing: every split, limits, hostile headers, random bytes, bounded decoding. */
#include "proto/frame.h"

#include "base/bytes.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <kelpie.pb-c.h>
#include <sys/socket.h>

static const struct slice messages[] = {
	{ (const uint8_t *)"", 0 },
	{ (const uint8_t *)"a", 1 },
	{ (const uint8_t *)"\0\0\0\0\0\0", 6 },
	{ (const uint8_t *)"some more bytes", 15 },
};

/* The three messages above, framed. */
static struct slice framed(struct frame_writer *w)
{
	frame_writer_init(w, FRAME_WRITE_MAX_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		EXPECT_EQ(frame_writer_push(w, messages[i]), 0);
	return slice_of(w->buf + w->off, w->len - w->off);
}

static size_t expect_messages(struct frame_reader *r, size_t from)
{
	struct slice got;

	while (frame_reader_next(r, &got) == 1) {
		if (!EXPECT(from < ARRAY_SIZE(messages)))
			return from;
		EXPECT_MEM(got.p, got.n, messages[from].p, messages[from].n);
		from++;
	}
	return from;
}

static void test_frame__every_split(void)
{
	struct frame_writer w;
	struct slice all = framed(&w);

	for (size_t cut = 0; cut <= all.n; cut++) {
		struct frame_reader r;
		size_t seen;

		frame_reader_init(&r, FRAME_MAX_BYTES);
		EXPECT_EQ(frame_reader_feed(&r, slice_head(all, cut)), 0);
		seen = expect_messages(&r, 0);
		EXPECT_EQ(frame_reader_feed(&r, slice_from(all, cut)), 0);
		seen = expect_messages(&r, seen);
		EXPECT_EQ(seen, ARRAY_SIZE(messages));
		EXPECT(!frame_reader_partial(&r));
		frame_reader_done(&r);
	}
	frame_writer_done(&w);
}

static void test_frame__byte_by_byte(void)
{
	struct frame_writer w;
	struct slice all = framed(&w);
	struct frame_reader r;
	size_t seen = 0;

	frame_reader_init(&r, FRAME_MAX_BYTES);
	for (size_t i = 0; i < all.n; i++) {
		EXPECT_EQ(frame_reader_feed(&r, slice_of(all.p + i, 1)), 0);
		seen = expect_messages(&r, seen);
	}
	EXPECT_EQ(seen, ARRAY_SIZE(messages));
	frame_reader_done(&r);
	frame_writer_done(&w);
}

static void test_frame__over_a_socket(void)
{
	static uint8_t big[3 * MIB];
	struct frame_writer w;
	struct frame_reader r;
	struct slice got;
	int sv[2], more, have = 0;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 31);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	frame_writer_init(&w, FRAME_WRITE_MAX_BYTES);
	frame_reader_init(&r, FRAME_MAX_BYTES);
	EXPECT_EQ(frame_reader_fill(&r, sv[1]), -EAGAIN);
	ASSERT_EQ(frame_writer_push(&w, slice_of(big, sizeof(big))), 0);
	do {
		more = frame_writer_flush(&w, sv[0]);
		ASSERT(more >= 0);
		while (!have && frame_reader_fill(&r, sv[1]) > 0)
			have = frame_reader_next(&r, &got);
	} while (more == 1);
	while (!have && frame_reader_fill(&r, sv[1]) > 0)
		have = frame_reader_next(&r, &got);
	ASSERT_EQ(have, 1);
	EXPECT_EQ(got.n, sizeof(big));
	EXPECT(memcmp(got.p, big, sizeof(big)) == 0);
	close(sv[0]);
	EXPECT_EQ(frame_reader_fill(&r, sv[1]), 0);
	EXPECT_EQ(r.cap <= 256 * KIB, true); /* the large buffer was given back */
	close(sv[1]);
	frame_reader_done(&r);
	frame_writer_done(&w);
}

static void test_frame__hostile_headers(void)
{
	static const struct {
		uint8_t hdr[5];
		int want;
	} rows[] = {
		{ { 1, 0, 0, 0, 1 }, -EPROTO },
		{ { 0xff, 0, 0, 0, 0 }, -EPROTO },
		{ { 0, 0xff, 0xff, 0xff, 0xff }, -EMSGSIZE },
		{ { 0, 0, 0x40, 0, 1 }, -EMSGSIZE },
		{ { 0, 0, 0x40, 0, 0 }, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct frame_reader r;
		struct slice got;

		frame_reader_init(&r, FRAME_MAX_BYTES);
		EXPECT_EQ(frame_reader_feed(&r, slice_of(rows[i].hdr, 5)), 0);
		EXPECT_EQ(frame_reader_next(&r, &got), rows[i].want);
		EXPECT(r.cap <= 64 * KIB); /* an announcement alone costs nothing */
		frame_reader_done(&r);
	}
}

static void test_frame__writer_bounds(void)
{
	static uint8_t big[FRAME_MAX_BYTES + 1];
	struct frame_writer w;

	frame_writer_init(&w, 100);
	EXPECT_EQ(frame_writer_push(&w, slice_of(big, 96)), -EMSGSIZE);
	EXPECT_EQ(frame_writer_push(&w, slice_of(big, 60)), 0);
	EXPECT_EQ(frame_writer_push(&w, slice_of(big, 40)), -ENOBUFS);
	EXPECT_EQ(frame_writer_push(&w, slice_of(big, 30)), 0);
	EXPECT_EQ(frame_writer_queued(&w), 100);
	frame_writer_done(&w);
	frame_writer_init(&w, 16 * MIB);
	EXPECT_EQ(frame_writer_push(&w, slice_of(big, sizeof(big))), -EMSGSIZE);
	frame_writer_done(&w);
}

static void test_frame__peer_gone(void)
{
	struct frame_writer w;
	int sv[2];

	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	close(sv[1]);
	frame_writer_init(&w, 1000);
	EXPECT_EQ(frame_writer_push(&w, SLICE_LIT("hello")), 0);
	EXPECT_EQ(frame_writer_flush(&w, sv[0]), -EPIPE);
	close(sv[0]);
	frame_writer_done(&w);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void test_frame__random_bytes(void)
{
	uint64_t seed = 0x9e3779b97f4a7c15ULL;
	uint8_t junk[512];

	for (int round = 0; round < 20000; round++) {
		size_t n = next_random(&seed) % sizeof(junk);
		struct frame_reader r;
		struct slice got;
		int have;

		for (size_t i = 0; i < n; i++)
			junk[i] = (uint8_t)next_random(&seed);
		if (round % 2 && n > FRAME_HDR_BYTES) { /* a header that holds, junk inside */
			junk[0] = 0;
			put_be(junk + 1, n - FRAME_HDR_BYTES, 4);
		}
		frame_reader_init(&r, FRAME_MAX_BYTES);
		EXPECT_EQ(frame_reader_feed(&r, slice_of(junk, n)), 0);
		while ((have = frame_reader_next(&r, &got)) == 1) {
			struct ProtobufCMessage *m = NULL;

			if (frame_message_parse(&kelpie__agent_message__descriptor, got, &m) == 0)
				frame_message_free(m);
			if (frame_message_parse(&kelpie__collector_message__descriptor, got, &m) ==
			    0)
				frame_message_free(m);
		}
		EXPECT(have <= 0);
		frame_reader_done(&r);
	}
}

/* Every truncation and every single-byte change of a real message: no crash, no leak. */
static void test_frame__mutated_message(void)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__Hello hello = KELPIE__HELLO__INIT;
	Kelpie__TableInfo info = KELPIE__TABLE_INFO__INIT, *infos[] = { &info, &info, &info };
	uint8_t bytes[256];
	size_t n;

	hello.node = (char[]){ "node-1" };
	hello.epoch = 1234567890123456789ULL;
	hello.tables = infos;
	hello.n_tables = 3;
	info.table = 7;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_HELLO;
	m.hello = &hello;
	n = kelpie__agent_message__pack(&m, bytes);
	ASSERT(n < sizeof(bytes));
	for (size_t i = 0; i < n; i++) {
		uint8_t was = bytes[i];
		struct ProtobufCMessage *got = NULL;

		if (frame_message_parse(&kelpie__agent_message__descriptor, slice_of(bytes, i),
					&got) == 0)
			frame_message_free(got);
		for (int v = 0; v < 256; v++) {
			bytes[i] = (uint8_t)v;
			if (frame_message_parse(&kelpie__agent_message__descriptor,
						slice_of(bytes, n), &got) == 0)
				frame_message_free(got);
		}
		bytes[i] = was;
	}
}

/* Two bytes on the wire make a structure on the heap: the sum is bounded. */
static void test_frame__decode_bomb(void)
{
	static uint8_t bomb[FRAME_MAX_BYTES];
	struct ProtobufCMessage *got = NULL;
	uint8_t head[16];
	size_t body = sizeof(bomb) - 16, n = 0;

	/* AgentMessage.status (5), its empty LedgerLine entries (3) */
	head[n++] = 5 << 3 | 2;
	n += put_varint(head + n, body);
	memcpy(bomb, head, n);
	for (size_t i = 0; i + 1 < body; i += 2) {
		bomb[n + i] = 3 << 3 | 2;
		bomb[n + i + 1] = 0;
	}
	EXPECT_EQ(frame_message_parse(&kelpie__agent_message__descriptor, slice_of(bomb, n + body),
				      &got),
		  -EBADMSG);
}

/* A kind that this version does not know is no error: nothing is set. */
static void test_frame__unknown_kind(void)
{
	static const uint8_t later[] = { 0xfa, 0x01, 0x02, 0x08, 0x01 }; /* field 31, a message */
	struct ProtobufCMessage *got = NULL;

	ASSERT_EQ(frame_message_parse(&kelpie__agent_message__descriptor,
				      slice_of(later, sizeof(later)), &got),
		  0);
	EXPECT_EQ(((Kelpie__AgentMessage *)got)->kind_case, KELPIE__AGENT_MESSAGE__KIND__NOT_SET);
	frame_message_free(got);
}

/* What a later version says beside the rest is not kept: two bytes of it would take fifty. */
static void test_frame__unknown_fields(void)
{
	static const uint8_t later[] = { 5 << 3 | 2, 6, 1 << 3, 7, 15 << 3, 1, 15 << 3, 2 };
	struct ProtobufCMessage *got = NULL;
	const Kelpie__AgentMessage *m;

	ASSERT_EQ(frame_message_parse(&kelpie__agent_message__descriptor,
				      slice_of(later, sizeof(later)), &got),
		  0);
	m = (const Kelpie__AgentMessage *)got;
	ASSERT_EQ(m->kind_case, KELPIE__AGENT_MESSAGE__KIND_STATUS);
	EXPECT_EQ(m->status->id, 7);
	EXPECT_EQ(m->status->base.n_unknown_fields, 0);
	EXPECT_EQ(m->base.n_unknown_fields, 0);
	frame_message_free(got);
}

/* No message has a field 0; found by fuzzing where it was written in two bytes. */
static void test_frame__field_zero(void)
{
	static const struct {
		uint8_t bytes[8];
		size_t n;
	} refused[] = {
		{ { 0x00, 0x01 }, 2 },
		{ { 0x80, 0x00, 0x01 }, 3 },
		{ { 0x80, 0x80, 0x80, 0x00, 0x01 }, 5 },
		{ { 2 << 3 | 2, 0x03, 0x80, 0x00, 0x01 }, 5 },			 /* Scan or Batch */
		{ { 5 << 3 | 2, 0x05, 3 << 3 | 2, 0x03, 0x80, 0x00, 0x01 }, 7 }, /* a ledger line */
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct ProtobufCMessage *got = NULL;

		EXPECT_EQ(frame_message_parse(&kelpie__agent_message__descriptor,
					      slice_of(refused[i].bytes, refused[i].n), &got),
			  -EBADMSG);
	}
}

TEST_MAIN(TEST(test_frame__every_split), TEST(test_frame__byte_by_byte),
	  TEST(test_frame__over_a_socket), TEST(test_frame__hostile_headers),
	  TEST(test_frame__writer_bounds), TEST(test_frame__peer_gone),
	  TEST(test_frame__random_bytes), TEST(test_frame__mutated_message),
	  TEST(test_frame__decode_bomb), TEST(test_frame__unknown_kind),
	  TEST(test_frame__unknown_fields), TEST(test_frame__field_zero))

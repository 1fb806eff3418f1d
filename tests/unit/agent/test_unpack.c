/* Limits of unpacking at N and N+1, its memory, and payloads that lie in many compressed packets; the
 * golden files of MySQL hold the single cases. */
#include "agent/unpack.h"
#include "base/bytes.h"
#include "protocols/mysql/packed.h"
#include "tests/golden/convo.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#define GREETING                                                                                   \
	"I\0\0\0\n9.7.4\0\7\0\0\0saltsalt\0!\242-\2\0\25\0\25\0\0\0\0\0\0\0\0\0\0"                 \
	"saltsaltsalt\0caching_sha2_password\0"
#define LOGIN                                                                                      \
	"H\0\0\1!\242\25\0\0\0\0\1-\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0shop\0"           \
	"\14secret-proofcaching_sha2_password\0"
#define OK_1  "\7\0\0\1\0\0\0\2\0\0\0"
#define OK_2  "\7\0\0\2\0\0\0\2\0\0\0"
#define QUERY "\11\0\0\0\3SELECT 1"
#define ROOM  (4 * MIB)

static void say(struct convo *c, enum dir dir, struct slice s)
{
	convo_play(c, &(struct turn){ .kind = TURN_BYTES, .dir = dir, .bytes = s });
}

static void begin(struct convo *c)
{
	convo_init(c, PROTO_MYSQL, DIR_RX, false, 0);
	say(c, DIR_TX, SLICE_LIT(GREETING));
	say(c, DIR_RX, SLICE_LIT(LOGIN));
	say(c, DIR_TX, SLICE_LIT(OK_2));
}

enum how { STORED, ZLIB, ZSTD };

static size_t pack(enum how how, struct slice plain, uint8_t *out)
{
	uLongf n = ROOM;

	if (how == ZSTD)
		return ZSTD_compress(out, ROOM, plain.p, plain.n, 3);
	if (how == ZLIB)
		compress(out, &n, plain.p, plain.n);
	else
		memcpy(out, plain.p, n = plain.n);
	return n;
}

/* One compressed packet. Returns its length. */
static size_t packet(struct convo *c, enum dir dir, uint8_t seq, enum how how, struct slice plain)
{
	static uint8_t bytes[PACKED_HEADER + ROOM];
	size_t n = pack(how, plain, bytes + PACKED_HEADER);

	put_le(bytes, n, 3);
	bytes[3] = seq;
	put_le(bytes + 4, how == STORED ? 0 : plain.n, 3);
	say(c, dir, slice_of(bytes, PACKED_HEADER + n));
	return PACKED_HEADER + n;
}

/* A command with its answer. */
static void ask(struct convo *c)
{
	packet(c, DIR_RX, 0, STORED, SLICE_LIT(QUERY));
	packet(c, DIR_TX, 1, STORED, SLICE_LIT(OK_1));
}

/* resynced: bytes that answered nothing. */
static void end(struct convo *c, size_t resynced)
{
	convo_finish(c);
	EXPECT(!c->violated);
	EXPECT(!c->log.broken);
	EXPECT_EQ(c->resynced, resynced);
}

/* A reply that becomes n bytes; whether it is refused. */
static void becomes(enum how how, size_t n, bool refused)
{
	static uint8_t rows[ROOM];
	size_t at = 0, len;
	struct convo c;

	/* a field list: packets of one byte up to an EOF, which has to be the last */
	for (; at + 5 + 9 <= n; at += 5) {
		put_le(rows + at, 1, 3);
		rows[at + 3] = 1;
		rows[at + 4] = 3;
	}
	put_le(rows + at, n - at - 4, 3);
	memset(rows + at + 4, 0, n - at - 4);
	rows[at + 4] = 0xfe;
	begin(&c);
	packet(&c, DIR_RX, 0, STORED, SLICE_LIT("\2\0\0\0\4t"));
	len = packet(&c, DIR_TX, 1, how, slice_of(rows, n));
	ask(&c);
	EXPECT_EQ(c.refused, refused ? len - PACKED_HEADER : 0);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], refused ? 1 : 2);
	EXPECT(c.pool.bytes < 4096); /* small buffers */
	end(&c, 0);
	convo_done(&c);
}

static void test_unpack__how_much_it_may_become(void)
{
	becomes(ZSTD, UNPACK_FREE_MAX, false);
	becomes(ZSTD, UNPACK_FREE_MAX + 1, true); /* some 30 bytes */
	becomes(ZLIB, UNPACK_FREE_MAX + 1, false);
	becomes(ZLIB, 2000000, false); /* zlib's best is less than UNPACK_RATIO_MAX */
	becomes(STORED, 2000000, false);
}

/* Without memory a packet is a gap of known length; those behind it are read. */
static void test_unpack__memory_is_bounded(void)
{
	struct convo c;
	size_t n;

	begin(&c);
	ask(&c);
	c.pool.bytes = UNPACK_BYTES_MAX;
	n = packet(&c, DIR_RX, 0, ZLIB, SLICE_LIT(QUERY));
	EXPECT_EQ(c.refused, n - PACKED_HEADER);
	packet(&c, DIR_TX, 1, STORED, SLICE_LIT(OK_1));
	EXPECT_EQ(c.log.ended[MSG_REQUEST], 1);
	c.pool.bytes = 0;
	packet(&c, DIR_RX, 0, ZSTD, SLICE_LIT(QUERY));
	packet(&c, DIR_TX, 1, STORED, SLICE_LIT(OK_1));
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 2);
	end(&c, sizeof(OK_1) - 1);
	convo_done(&c);
}

/* A row of more than two packets' payload, in compressed packets of many sizes: what nobody looks at is
 * not unpacked. */
static void test_unpack__payload_of_many_packets(void)
{
	static uint8_t row[4 + 16 * MIB];
	static const uint8_t head[] = "\1\0\0\1\1\5\0\0\2\3def\1\5\0\0\3\376\0\0\2\0\377\377\377\4";
	size_t left = 0xffffff, n;
	uint8_t seq = 1;
	struct convo c;

	begin(&c);
	packet(&c, DIR_RX, 0, ZLIB, SLICE_LIT(QUERY));
	packet(&c, DIR_TX, seq++, STORED, slice_of(head, sizeof(head) - 1));
	memset(row, 'x', sizeof(row));
	for (size_t size = 1; left > 0; size = size * 3 % 1000003, left -= n) {
		n = MIN(left, size);
		packet(&c, DIR_TX, seq++, (enum how)(size % 3), slice_of(row, n));
	}
	packet(&c, DIR_TX, seq, STORED, SLICE_LIT("\1\0\0\5x\5\0\0\6\376\0\0\2\0"));
	ask(&c);
	end(&c, 0);
	EXPECT_EQ(c.refused, 0);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 2);
	EXPECT(strstr(strbuf_str(&c.log.all), "  rows 1\n") != NULL);
	EXPECT(unpack_made(c.unpack) < 1 * MIB);
	convo_done(&c);
}

/* Bytes of the wire: neighbours in one packet share it, without a hole. */
static void test_unpack__positions(void)
{
	char begin_at[64], end_at[64];
	struct convo c;
	size_t n;

	begin(&c);
	n = sizeof(LOGIN) - 1 +
	    packet(&c, DIR_RX, 0, ZLIB, SLICE_LIT("\24\0\0\0\3SELECT 1; SELECT 22"));
	packet(&c, DIR_TX, 1, STORED, SLICE_LIT("\7\0\0\1\0\0\0\12\0\0\0" OK_2));
	end(&c, 0);
	snprintf(begin_at, sizeof(begin_at), "request 0 @%zu\n", sizeof(LOGIN) - 1);
	snprintf(end_at, sizeof(end_at), "request 1 end @%zu\n", n);
	EXPECT(strstr(strbuf_str(&c.log.all), begin_at) != NULL);
	EXPECT(strstr(strbuf_str(&c.log.all), end_at) != NULL);
	convo_done(&c);
}

TEST_MAIN(TEST(test_unpack__how_much_it_may_become), TEST(test_unpack__memory_is_bounded),
	  TEST(test_unpack__payload_of_many_packets), TEST(test_unpack__positions))

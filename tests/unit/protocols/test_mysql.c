/* Limits of the MySQL parser at N-1, N and N+1, payloads of more than one packet, and what its probes
 * take for MySQL: the golden files hold the single cases. */
#include "protocols/mysql/mysql.h"
#include "protocols/mysql/packet.h"
#include "tests/golden/convo.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define OK_1 "\x07\0\0\1\0\0\0\2\0\0\0"
#define PING "\1\0\0\0\x0e"
#define GREETING                                                                                   \
	"\x4a\0\0\0\x0a"                                                                           \
	"8.0.36\0\7\0\0\0saltsalt\0\xff\xff-\2\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0saltsaltsalt\0"    \
	"caching_sha2_password\0"

static void say(struct convo *c, enum dir dir, struct slice s)
{
	convo_play(c, &(struct turn){ .kind = TURN_BYTES, .dir = dir, .bytes = s });
}

static void header(struct convo *c, enum dir dir, size_t len, uint8_t seq)
{
	uint8_t h[PACKET_HEADER];

	put_le(h, len, 3);
	h[3] = seq;
	say(c, dir, slice_of(h, sizeof(h)));
}

static void fill(struct convo *c, enum dir dir, size_t n)
{
	static uint8_t block[65536];

	memset(block, 'x', sizeof(block));
	for (size_t left = n; left > 0; left -= MIN(left, sizeof(block)))
		say(c, dir, slice_of(block, MIN(left, sizeof(block))));
}

static size_t count(const struct strbuf *b, const char *what)
{
	size_t n = 0;

	for (const char *p = strbuf_str(b); (p = strstr(p, what)); p++)
		n++;
	return n;
}

static bool sound(const struct convo *c)
{
	return EXPECT(!c->violated) && EXPECT(!c->log.broken) && EXPECT_EQ(c->resynced, 0);
}

/* A connection whose login was not seen; it counts as in step. */
static void begin(struct convo *c)
{
	convo_init(c, PROTO_MYSQL, DIR_RX, true, 0);
	say(c, DIR_RX, SLICE_LIT(PING));
	say(c, DIR_TX, SLICE_LIT(OK_1));
}

static void statement(size_t n, bool truncated)
{
	struct convo c;

	begin(&c);
	header(&c, DIR_RX, n + 1, 0);
	say(&c, DIR_RX, SLICE_LIT("\3"));
	fill(&c, DIR_RX, n);
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.ended[MSG_RESPONSE], 2);
	EXPECT_EQ(count(&c.log.kind[MSG_REQUEST], " truncated"), truncated);
	convo_done(&c);
}

static void test_mysql__statement_limit(void)
{
	statement(MYSQL_STATEMENT_MAX - 1, false);
	statement(MYSQL_STATEMENT_MAX, false);
	statement(MYSQL_STATEMENT_MAX + 1, true);
	statement(PACKET_FULL - 2, true);
}

/* The text, the rows and the parameters of a payload that takes two packets and more. */
static void test_mysql__payload_of_several_packets(void)
{
	struct convo c;

	begin(&c);
	header(&c, DIR_RX, PACKET_FULL, 0);
	say(&c, DIR_RX, SLICE_LIT("\3"));
	fill(&c, DIR_RX, PACKET_FULL - 1);
	header(&c, DIR_RX, PACKET_FULL, 1);
	fill(&c, DIR_RX, PACKET_FULL);
	header(&c, DIR_RX, 0, 2);
	header(&c, DIR_TX, 1, 3);
	say(&c, DIR_TX, SLICE_LIT("\1\5\0\0\4\3def\0"));
	header(&c, DIR_TX, PACKET_FULL, 5);
	fill(&c, DIR_TX, PACKET_FULL);
	header(&c, DIR_TX, 7, 6);
	fill(&c, DIR_TX, 7);
	say(&c, DIR_TX, SLICE_LIT("\1\0\0\7x\7\0\0\x08\xfe\0\0\2\0\0\0"));
	say(&c, DIR_RX, SLICE_LIT(PING));
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 3);
	EXPECT(strstr(strbuf_str(&c.log.all), "  rows 2\n") != NULL);
	convo_done(&c);
}

/* Several statements of one command: those beyond the limit count as one. */
static void statements(size_t n)
{
	struct strbuf text = STRBUF_INIT(65536);
	struct convo c;

	begin(&c);
	for (size_t i = 0; i < n; i++)
		strbuf_adds(&text, "DO 1;");
	header(&c, DIR_RX, text.len + 1, 0);
	say(&c, DIR_RX, SLICE_LIT("\3"));
	say(&c, DIR_RX, strbuf_slice(&text));
	for (size_t i = 0; i < n; i++) {
		uint8_t more = i + 1 < n ? 8 : 0;
		uint8_t ok[] = { 7, 0, 0, (uint8_t)(i + 1), 0, 0, 0, (uint8_t)(2 | more), 0, 0, 0 };

		say(&c, DIR_TX, slice_of(ok, sizeof(ok)));
	}
	say(&c, DIR_RX, SLICE_LIT(PING));
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], 2 + MIN(n, (size_t)MYSQL_PENDING_MAX));
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 2 + MIN(n, (size_t)MYSQL_PENDING_MAX));
	convo_done(&c);
	strbuf_done(&text);
}

static void test_mysql__statements_of_a_command(void)
{
	statements(1);
	statements(2);
	statements(MYSQL_PENDING_MAX - 1);
	statements(MYSQL_PENDING_MAX);
	statements(MYSQL_PENDING_MAX + 1);
	statements(3 * MYSQL_PENDING_MAX);
}

/* Where a statement ends is not sure behind a character whose second byte looks like a backslash. */
static void test_mysql__not_sure_where_it_ends(void)
{
	static const char text[] = "\3DO 1;SELECT '\xd5\\', 'a;b', 'c;d'";
	struct convo c;

	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct slice left = slice_of(text, sizeof(text) - 1);

		begin(&c);
		header(&c, DIR_RX, left.n, 0);
		for (; left.n > 0; left = slice_from(left, piece))
			say(&c, DIR_RX, slice_head(left, piece));
		say(&c, DIR_TX, SLICE_LIT("\7\0\0\1\0\0\0\x0a\0\0\0"));
		say(&c, DIR_TX, SLICE_LIT("\7\0\0\2\0\0\0\2\0\0\0"));
		say(&c, DIR_RX, SLICE_LIT(PING));
		say(&c, DIR_TX, SLICE_LIT(OK_1));
		convo_finish(&c);
		sound(&c);
		EXPECT_EQ(c.log.clean[MSG_REQUEST], 4);
		EXPECT_EQ(c.log.clean[MSG_RESPONSE], 4);
		convo_done(&c);
	}
}

/* A client that does not wait: what is beyond the limit waits for replies, and each gets its own. */
static void test_mysql__pipeline(void)
{
	static const size_t depth = 1000;
	struct convo c;

	begin(&c);
	for (size_t i = 0; i < depth; i++)
		say(&c, DIR_RX, SLICE_LIT(PING));
	EXPECT(c.dir[DIR_RX].waiting);
	for (size_t i = 0; i < depth; i++)
		say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], depth + 1);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], depth + 1);
	EXPECT(strstr(strbuf_str(&c.log.all), "response 1000 end") != NULL);
	convo_done(&c);
}

static void columns(size_t n, bool want)
{
	struct convo c;

	begin(&c);
	say(&c, DIR_RX, SLICE_LIT("\5\0\0\0\3DO 1"));
	header(&c, DIR_TX, 4, 1);
	say(&c, DIR_TX, SLICE_LIT("\xfd"));
	say(&c, DIR_TX,
	    slice_of((uint8_t[]){ (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16) }, 3));
	EXPECT_EQ(c.log.open[MSG_RESPONSE], want);
	convo_finish(&c);
	EXPECT(!c.violated && !c.log.broken);
	convo_done(&c);
}

static void test_mysql__columns_limit(void)
{
	columns(MYSQL_COLUMNS_MAX - 1, true);
	columns(MYSQL_COLUMNS_MAX, true);
	columns(MYSQL_COLUMNS_MAX + 1, false);
}

static void message(size_t n)
{
	struct convo c;
	struct strbuf *log = &c.log.kind[MSG_RESPONSE];
	char want[32];

	begin(&c);
	say(&c, DIR_RX, SLICE_LIT(PING));
	header(&c, DIR_TX, 9 + n, 1);
	say(&c, DIR_TX, SLICE_LIT("\xff\x28\4#42000"));
	fill(&c, DIR_TX, n);
	say(&c, DIR_RX, SLICE_LIT(PING));
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 3);
	snprintf(want, sizeof(want), "[%zu more]", MIN(n, (size_t)MYSQL_MESSAGE_MAX) - 96);
	EXPECT(strstr(strbuf_str(log), want) != NULL);
	convo_done(&c);
}

static void test_mysql__message_limit(void)
{
	message(MYSQL_MESSAGE_MAX - 1);
	message(MYSQL_MESSAGE_MAX);
	message(MYSQL_MESSAGE_MAX + 1);
	message(60000);
}

static void database(size_t n, bool known)
{
	struct convo c;

	begin(&c);
	header(&c, DIR_RX, n + 1, 0);
	say(&c, DIR_RX, SLICE_LIT("\2"));
	fill(&c, DIR_RX, n);
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(count(&c.log.kind[MSG_CONN], "database x"), known);
	convo_done(&c);
}

static void test_mysql__name_limit(void)
{
	database(MYSQL_NAME_MAX - 1, true);
	database(MYSQL_NAME_MAX, true);
	database(MYSQL_NAME_MAX + 1, false);
}

/* A client before 4.1: what authenticates has no length, and begins like one. */
static void test_mysql__change_user_of_old(void)
{
	struct convo c;

	convo_init(&c, PROTO_MYSQL, DIR_RX, false, 0);
	say(&c, DIR_TX, SLICE_LIT(GREETING));
	header(&c, DIR_RX, 37, 1);
	say(&c, DIR_RX,
	    SLICE_LIT("\1\2\0\0\0\0\0\1\x21" /* PROTOCOL_41 alone */
		      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0joe\0\0"));
	say(&c, DIR_TX, SLICE_LIT("\7\0\0\2\0\0\0\2\0\0\0"));
	header(&c, DIR_RX, 18, 0);
	say(&c, DIR_RX, SLICE_LIT("\x11joe\0\3abhash\0shop\0"));
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(count(&c.log.kind[MSG_CONN], "database shop"), 1);
	EXPECT_EQ(count(&c.log.kind[MSG_CONN], "hash"), 0);
	convo_done(&c);
}

/* ---- probes ---- */

#define PROBE(head, start, want) probe(SLICE_LIT(head), SLICE_LIT(""), start, want)
#define PAIR(head, other, want)	 pair(SLICE_LIT(head), SLICE_LIT(other), want)

static void probe(struct slice head, struct slice other, bool start, enum probe_result want)
{
	struct probe_in in = { head, other, start };

	EXPECT_EQ(mysql_probe_greeting(&in), want);
}

static void pair(struct slice head, struct slice other, enum probe_result want)
{
	struct probe_in in = { head, other, false };

	EXPECT_EQ(mysql_probe_pair(&in), want);
	in = (struct probe_in){ other, head, false };
	if (want == PROBE_REQUEST)
		EXPECT_EQ(mysql_probe_pair(&in), PROBE_RESPONSE);
}

static void test_mysql__probe_greeting(void)
{
	struct slice whole = SLICE_LIT(GREETING);

	PROBE(GREETING, true, PROBE_RESPONSE);
	PROBE(GREETING, false, PROBE_NO);
	PROBE(GREETING "x", true, PROBE_NO);
	for (size_t n = 0; n < whole.n; n++)
		probe(slice_head(whole, n), SLICE_LIT(""), true, PROBE_MORE);
	PROBE("\x17\0\0\0\xff\x10\4Too many connections", true, PROBE_RESPONSE);
	PROBE("\x17\0\0\0\xff\x11\5Too many connections", true, PROBE_NO);
	PROBE("\x4a\0\0\0\x0bwhat", true, PROBE_NO);
	PROBE("\x4a\0\0\0\x0awhat", true, PROBE_NO);
	PROBE("\x4a\0\0\1\x0a"
	      "8.0",
	      true, PROBE_NO);
	PROBE("220 mail ready\r\n", true, PROBE_NO);
	PROBE("+OK POP3\r\n", true, PROBE_NO);
	PROBE("\0\0\0\0\0\0\0\0", true, PROBE_NO);
}

static void test_mysql__probe_pair(void)
{
	PAIR(PING PING, OK_1 OK_1, PROBE_REQUEST);
	PAIR(PING, OK_1, PROBE_MORE);
	PAIR(PING PING, OK_1, PROBE_MORE);
	PAIR(PING "\5\0\0\0", OK_1 OK_1, PROBE_MORE);
	PAIR(PING PING, OK_1 "\7\0\0\2\0\0\0\2\0\0\0", PROBE_MORE);
	PAIR(PING PING, OK_1 "\7\0\0\1\1\0\0\2\0\0\0", PROBE_NO);
	PAIR("\5\0\0\0\3DO 1", "\1\0\0\1\1\5\0\0\2\3def\0", PROBE_REQUEST);
	PAIR("\5\0\0\0\3DO 1", "\1\0\0\1\1\5\0\0\2\3abc\0", PROBE_NO);
	PAIR("\5\0\0\0\3DO 1", "\x0b\0\0\1\xff\x28\4#42000no", PROBE_REQUEST);
	PAIR("\5\0\0\0\3DO\0001", "\x0b\0\0\1\xff\x28\4#42000no", PROBE_NO);
	PAIR("\5\0\0\0\x19\1\0\0\0", OK_1, PROBE_NO);
	PAIR("\0\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0", PROBE_NO);
	PAIR("*1\r\n$4\r\nPING\r\n", "+PONG\r\n", PROBE_NO);
	PAIR("EHLO x\r\n", "250 hello\r\n", PROBE_NO);
	PAIR("0\x0c\2\1\1`\7\2\1\3\4\0\x80\0", "0\x0c\2\1\1a\7\x0a\1\0\4\0\4\0",
	     PROBE_NO); /* LDAP */
	PAIR("\x10\x0f\0\4MQTT\4\2\0<\0\3abc", "\x20\2\0\0", PROBE_NO);
	PAIR("AMQP\0\0\x09\1", "\1\0\0\0\0\1\xf5\0\x0a\0\x0a", PROBE_NO);
}

#define PACKED(head, other, want) packed(SLICE_LIT(head), SLICE_LIT(other), want)

static void packed(struct slice client, struct slice server, enum probe_result want)
{
	struct probe_in at_client = { client, server, false },
			at_server = { server, client, false };

	EXPECT_EQ(mysql_probe_packed(&at_client), want);
	if (want != PROBE_MORE && server.n > 0)
		EXPECT_EQ(mysql_probe_packed(&at_server),
			  want == PROBE_REQUEST ? PROBE_RESPONSE : want);
}

#define PACKED_PING "\5\0\0\0\0\0\0" PING
#define PACKED_ROWS                                                                                \
	"\x40\0\0\1\x9f\0\0\x78\x9c"                                                               \
	"abcdef"

static void test_mysql__probe_packed(void)
{
	PACKED(PACKED_PING, PACKED_ROWS, PROBE_REQUEST);
	PACKED(PACKED_PING,
	       "\x40\0\0\1\x9f\0\0\x28\xb5\x2f\xfd"
	       "abcdef",
	       PROBE_REQUEST);
	PACKED(PACKED_PING, "\x40\0\0\1", PROBE_MORE);
	PACKED(PACKED_PING,
	       "\x40\0\0\1\x9f\0\0\x78\x9d"
	       "abcdef",
	       PROBE_NO);
	PACKED(PACKED_PING,
	       "\x40\0\0\2\x9f\0\0\x78\x9c"
	       "abcdef",
	       PROBE_NO);
	PACKED(PACKED_PING,
	       "\x40\0\0\1\x3f\0\0\x78\x9c"
	       "abcdef",
	       PROBE_NO);
	PACKED(PACKED_PING "\0", PACKED_ROWS, PROBE_NO);
	PACKED("\5\0\0\0\0\0\0", "", PROBE_MORE);
	PACKED("\5\0\0\1", "", PROBE_NO);
	PACKED("\5\0\0\1\0\0\0" PING, PACKED_ROWS, PROBE_NO);
	PACKED("\7\0\0\0\0\0\0" PING "\0\0", PACKED_ROWS, PROBE_NO);
	PACKED("\7\0\0\0\0\0\0\3\0\0\0\3D", PACKED_ROWS, PROBE_MORE);
	PACKED("\5\0\0\0\0\0\0\1\0\0\0\xee", PACKED_ROWS, PROBE_NO);
	PACKED("\x0f\0\0\0\0\0\0\x0b\0\0\0\3INSERT INT",
	       "\x0f\0\0\1\0\0\0\x0b\0\0\1\xff\x28\4#42000no", PROBE_REQUEST);
	PACKED("GET / HTTP/1.1\r\n\r\n", PACKED_ROWS, PROBE_NO);
}

/* The second command was sent before the reply to the first: which of them what comes behind lost bytes
 * answers can not be known, and the connection is left. */
static void test_mysql__lost_while_a_command_waits(void)
{
	struct convo c;

	begin(&c);
	say(&c, DIR_RX, SLICE_LIT(PING PING));
	EXPECT(c.dir[DIR_RX].waiting);
	say(&c, DIR_TX, SLICE_LIT("\7\0\0\5\0\0\0\2\0\0\0"));
	EXPECT(c.over);
	say(&c, DIR_TX, SLICE_LIT(OK_1));
	convo_finish(&c);
	EXPECT_EQ(c.log.ended[MSG_RESPONSE], 1);
	convo_done(&c);
}

TEST_MAIN(TEST(test_mysql__statement_limit), TEST(test_mysql__payload_of_several_packets),
	  TEST(test_mysql__statements_of_a_command), TEST(test_mysql__not_sure_where_it_ends),
	  TEST(test_mysql__pipeline), TEST(test_mysql__lost_while_a_command_waits),
	  TEST(test_mysql__columns_limit), TEST(test_mysql__message_limit),
	  TEST(test_mysql__name_limit), TEST(test_mysql__change_user_of_old),
	  TEST(test_mysql__probe_greeting), TEST(test_mysql__probe_pair),
	  TEST(test_mysql__probe_packed))

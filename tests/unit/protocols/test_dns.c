/* DNS messages apart from conversations: shapes, bounds, names of numbers. */
#include "protocols/dns/dns.h"
#include "protocols/dns/message.h"
#include "tests/golden/convo.h"
#include "tests/lib/test.h"

#include <string.h>

#define QUERY  "\0\7\1\0\0\1\0\0\0\0\0\0\3www\4pond\4test\0\0\1\0\1"
#define ANSWER "\0\7\x81\x80\0\1\0\1\0\0\0\0\3www\4pond\4test\0\0\1\0\1" RECORD
#define RECORD "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\x35"

static enum dns_shape shape(const char *bytes, size_t n)
{
	uint32_t hash;
	uint16_t id;

	return dns_shape_of(slice_of(bytes, n), true, &id, &hash);
}
#define SHAPE(bytes) shape(bytes, sizeof(bytes) - 1)

static void test_dns__shapes(void)
{
	EXPECT_EQ(SHAPE(QUERY), DNS_SHAPE_QUERY);
	EXPECT_EQ(SHAPE(ANSWER), DNS_SHAPE_ANSWER);
	EXPECT_EQ(SHAPE(QUERY "x"), DNS_SHAPE_NONE); /* a byte too many */
	EXPECT_EQ(SHAPE(ANSWER "x"), DNS_SHAPE_NONE);
	for (size_t n = 0; n < sizeof(QUERY) - 1; n++)
		EXPECT_EQ(shape(QUERY, n), DNS_SHAPE_NONE);
	for (size_t n = 0; n < sizeof(ANSWER) - 1; n++)
		EXPECT_EQ(shape(ANSWER, n), DNS_SHAPE_NONE);
	/* opcode, Z, a query with AA, no question, two, class 7 */
	EXPECT_EQ(SHAPE("\0\7\x29\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"), DNS_SHAPE_NONE);
	EXPECT_EQ(SHAPE("\0\7\1\x40\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"), DNS_SHAPE_NONE);
	EXPECT_EQ(SHAPE("\0\7\5\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"), DNS_SHAPE_NONE);
	EXPECT_EQ(SHAPE("\0\7\1\0\0\0\0\0\0\0\0\0"), DNS_SHAPE_NONE);
	EXPECT_EQ(SHAPE("\0\7\1\0\0\2\0\0\0\0\0\0\1x\0\0\1\0\1\1y\0\0\1\0\1"), DNS_SHAPE_NONE);
	EXPECT_EQ(SHAPE("\0\7\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\7"), DNS_SHAPE_NONE);
	/* a name may have any bytes: a space, UTF-8, a control character */
	EXPECT_EQ(SHAPE("\0\7\1\0\0\1\0\0\0\0\0\0\4"
			"a \xc3\xbc"
			"\1\2\0\0\1\0\1"),
		  DNS_SHAPE_QUERY);
	EXPECT_EQ(SHAPE("\0\7\x81\x82\0\0\0\0\0\0\0\0"), DNS_SHAPE_ANSWER); /* SERVFAIL alone */
}

static void test_dns__same_question(void)
{
	static const char upper[] = "\1\7\1\0\0\1\0\0\0\0\0\0\3WWW\4Pond\4test\0\0\1\0\1";
	uint32_t a = 0, b = 0;
	uint16_t id;

	EXPECT_EQ(dns_shape_of(SLICE_LIT(QUERY), true, &id, &a), DNS_SHAPE_QUERY);
	EXPECT_EQ(id, 7);
	EXPECT_EQ(dns_shape_of(slice_of(upper, sizeof(upper) - 1), true, &id, &b), DNS_SHAPE_QUERY);
	EXPECT_EQ(id, 0x107);
	EXPECT_EQ(a, b);
	EXPECT_EQ(dns_shape_of(SLICE_LIT("\0\7\1\0\0\1\0\0\0\0\0\0\3www\4pond\4test\0\0\x1c\0\1"),
			       true, &id, &b),
		  DNS_SHAPE_QUERY);
	EXPECT(a != b);
}

/* The name at `at` of msg; "" when there is none. */
static const char *name_at(const char *msg, size_t n, size_t at)
{
	static char text[DNS_NAME_TEXT + 1];
	struct dns_text t = { .p = text, .max = DNS_NAME_TEXT };

	if (!dns_read_name(slice_of(msg, n), &at, &t))
		return "";
	text[t.n] = 0;
	return text;
}

static void test_dns__hostile_names(void)
{
	char chain[4096];
	size_t n = DNS_HEADER;

	/* 63 labels of three bytes and more than 255 in all */
	memset(chain, 0, sizeof(chain));
	for (int i = 0; i < 90; i++) {
		memcpy(chain + n, "\2ab", 3);
		n += 3;
	}
	EXPECT_STR(name_at(chain, n + 1, DNS_HEADER), "");
	EXPECT(strlen(name_at(chain, n + 1, DNS_HEADER + 3 * 20)) > 200);
	/* a pointer to a pointer to a pointer ... */
	n = DNS_HEADER;
	memcpy(chain + n, "\1x\0", 3);
	n += 3;
	for (int i = 0; i < 40; i++, n += 2) {
		size_t to = i ? n - 2 : DNS_HEADER;

		chain[n] = (char)(0xc0 | to >> 8);
		chain[n + 1] = (char)to;
	}
	EXPECT_STR(name_at(chain, n, n - 2), "");
	EXPECT_STR(name_at(chain, n, DNS_HEADER + 3 + 2 * (DNS_JUMPS_MAX - 1)), "x");
	/* to itself, forward, into the header, past the end, a label of a kind that is none */
	EXPECT_STR(name_at("............\xc0\x0c", 14, 12), "");
	EXPECT_STR(name_at("............\xc0\x0e\0", 15, 12), "");
	EXPECT_STR(name_at("............\xc0\x02\0", 15, 12), "");
	EXPECT_STR(name_at("............\3ab", 15, 12), "");
	EXPECT_STR(name_at("............\x40z\0", 15, 12), "");
	EXPECT_STR(name_at("............\3abc", 16, 12), "");
}

/* Every prefix of an answer is read without harm, and all of it in full. */
static void test_dns__more_records_than_are_kept(void)
{
	char msg[8192] = "\0\0\0\7\x81\x80\0\1\0\x50\0\0\0\0\3www\4pond\4test\0\0\1\0\1";
	size_t n = 2 + sizeof(QUERY) - 1;
	struct turn q = { .kind = TURN_BYTES, .dir = DIR_RX, .bytes = SLICE_LIT("\0\x1f" QUERY) };
	struct turn a = { .kind = TURN_BYTES, .dir = DIR_TX };
	struct convo c;
	const char *at;
	size_t records = 0;

	for (int i = 0; i < 0x50; i++, n += sizeof(RECORD) - 1)
		memcpy(msg + n, RECORD, sizeof(RECORD) - 1);
	msg[0] = (char)((n - 2) >> 8);
	msg[1] = (char)(n - 2);
	a.bytes = slice_of(msg, n);
	convo_init(&c, PROTO_DNS, DIR_RX, false, 0);
	convo_play(&c, &q);
	convo_play(&c, &a);
	convo_finish(&c);
	for (at = strbuf_str(&c.log.all); (at = strstr(at, "record ")); at++)
		records++;
	EXPECT_EQ(records, DNS_RECORDS_MAX);
	EXPECT(strstr(strbuf_str(&c.log.all), "truncated"));
	EXPECT(!c.violated);
	convo_done(&c);
}

/* More open queries than are remembered: the oldest loses its answer. */
static void test_dns__many_open(void)
{
	char msg[] = "\0\x1f" QUERY;
	struct turn t = { .kind = TURN_BYTES,
			  .dir = DIR_RX,
			  .bytes = slice_of(msg, sizeof(msg) - 1) };
	struct convo c;

	convo_init(&c, PROTO_DNS, DIR_RX, false, 0);
	for (int i = 0; i < DNS_TCP_OPEN_MAX + 1; i++) {
		msg[2] = (char)(i >> 8);
		msg[3] = (char)i;
		convo_play(&c, &t);
	}
	msg[4] |= (char)0x80;
	t.dir = DIR_TX;
	msg[2] = msg[3] = 0;
	convo_play(&c, &t);
	EXPECT_EQ(c.log.orphans, 1);
	msg[3] = 1;
	convo_play(&c, &t);
	EXPECT_EQ(c.log.orphans, 1);
	convo_finish(&c);
	convo_done(&c);
}

static enum probe_result probe(struct slice head, struct slice other)
{
	struct probe_in in = { .head = head, .other = other, .start = true };

	return dns_probe(&in);
}

static void test_dns__probe(void)
{
	struct slice query = SLICE_LIT("\0\x1f" QUERY), answer = SLICE_LIT("\0\x2f" ANSWER),
		     none = { 0 };
	struct slice other_id =
		SLICE_LIT("\0\x1f\0\7\x81\0\0\1\0\0\0\0\0\0\3www\4pond\4tost\0\0\1\0\1");

	EXPECT_EQ(probe(query, none), PROBE_MORE);
	EXPECT_EQ(probe(query, answer), PROBE_REQUEST);
	EXPECT_EQ(probe(answer, query), PROBE_RESPONSE);
	EXPECT_EQ(probe(slice_head(answer, 2), query), PROBE_MORE);
	EXPECT_EQ(probe(query, other_id), PROBE_NO);
	EXPECT_EQ(probe(query, query), PROBE_NO);
	EXPECT_EQ(probe(SLICE_LIT("220 mail.test ESMTP\r\n"), none), PROBE_NO);
	EXPECT_EQ(probe(SLICE_LIT("\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"), none), PROBE_NO);
}

static void test_dns__names_of_numbers(void)
{
	char text[16];
	struct dns_text t = { .p = text, .max = sizeof(text) };

	EXPECT_STR(dns_type_name(28), "AAAA");
	EXPECT_STR(dns_rcode_name(3), "NXDOMAIN");
	EXPECT(!dns_rcode_name(12) && !dns_rcode_name(4095) && !dns_type_name(1000));
	EXPECT_STR(dns_opcode_name(5), "UPDATE");
	dns_put_type(&t, 1000);
	EXPECT(slice_eq_str(dns_text_slice(&t), "TYPE1000"));
}

static const struct test_case cases[] = {
	TEST(test_dns__shapes),		  TEST(test_dns__same_question),
	TEST(test_dns__hostile_names),	  TEST(test_dns__more_records_than_are_kept),
	TEST(test_dns__many_open),	  TEST(test_dns__probe),
	TEST(test_dns__names_of_numbers),
};

int main(int argc, char **argv)
{
	return test_run(cases, ARRAY_SIZE(cases), argc, argv);
}

/* The contract check and the registry. */
#include "protocols/protocol.h"
#include "tests/lib/test.h"
#include "base/util.h"

static struct parse_result answers[16];
static size_t asked;
static size_t ends_per_call, resync_at;
static struct parse_in inputs[16];

static struct parse_result fake_parse(void *st, const struct parse_in *in, struct sink *out)
{
	(void)st;
	for (size_t i = 0; i < ends_per_call; i++)
		out->ends++;
	inputs[asked] = *in;
	return answers[asked++];
}

static size_t fake_resync(const void *st, struct slice buf, enum dir dir)
{
	(void)st;
	(void)dir;
	return MIN(resync_at, buf.n);
}

static const struct proto_ops fake = { .max_need = 100,
				       .parse = fake_parse,
				       .resync = fake_resync };

static struct drive_result drive(size_t n, bool eof)
{
	static const uint8_t bytes[64];
	struct sink sink = { 0 };
	struct parse_in in = { .buf = slice_of(bytes, n), .off = 1000, .eof = eof };

	asked = 0;
	return proto_drive(&fake, NULL, in, &sink);
}

static void answer(size_t i, enum parse_status st, size_t consumed)
{
	if (i == 0) {
		memset(answers, 0, sizeof(answers));
		ends_per_call = 0;
		resync_at = 0;
	}
	answers[i] = (struct parse_result){ .st = st, .consumed = consumed };
}

static void test_drive__consumes(void)
{
	struct drive_result r;

	answer(0, PARSE_OK, 10);
	answer(1, PARSE_OK, 10);
	r = drive(20, false);
	EXPECT(!r.violated && r.consumed == 20 && asked == 2);
	EXPECT_EQ(inputs[1].off, 1010);
	answer(0, PARSE_OK, 10);
	answer(1, PARSE_NEED, 0);
	answers[1].need = 11;
	r = drive(20, false);
	EXPECT(!r.violated && r.consumed == 10 && r.st == PARSE_NEED && r.need == 11);
	answer(0, PARSE_WAIT, 3);
	r = drive(20, false);
	EXPECT(!r.violated && r.consumed == 3 && r.st == PARSE_WAIT);
}

static void test_drive__violations(void)
{
	struct drive_result r;

	answer(0, PARSE_OK, 0);
	EXPECT(drive(20, false).violated);
	answer(0, PARSE_OK, 21);
	EXPECT(drive(20, false).violated);
	answer(0, PARSE_OK, 20);
	ends_per_call = 2;
	EXPECT(drive(20, false).violated);
	answer(0, PARSE_NEED, 0);
	answers[0].need = 20;
	EXPECT(drive(20, false).violated);
	answer(0, PARSE_NEED, 0);
	answers[0].need = 101;
	EXPECT(drive(20, false).violated);
	answer(0, PARSE_NEED, 0);
	answers[0].need = 100;
	EXPECT(!drive(20, false).violated);
	answer(0, PARSE_NEED, 0);
	answers[0].need = 21;
	EXPECT(drive(20, true).violated);
	answer(0, PARSE_WAIT, 0);
	answers[0].skip = 1;
	EXPECT(drive(20, false).violated);
	answer(0, (enum parse_status)99, 20);
	r = drive(20, false);
	EXPECT(r.violated && r.st == PARSE_STOP);
}

static void test_drive__skip(void)
{
	struct drive_result r;

	answer(0, PARSE_OK, 5);
	answers[0].skip = 5;
	answer(1, PARSE_OK, 10);
	r = drive(20, false);
	EXPECT(!r.violated && r.consumed == 20 && r.skip == 0 && asked == 2);
	EXPECT_EQ(inputs[1].off, 1010);
	answer(0, PARSE_OK, 5);
	answers[0].skip = 100;
	r = drive(20, false);
	EXPECT(!r.violated && r.consumed == 20 && r.skip == 85 && asked == 1);
	answer(0, PARSE_OK, 5);
	answers[0].skip = 15; /* ends with the buffer: one more call, with nothing */
	r = drive(20, false);
	EXPECT(r.consumed == 20 && r.skip == 0 && asked == 2 && inputs[1].buf.n == 0);
}

static void test_drive__resync(void)
{
	struct drive_result r;

	answer(0, PARSE_RESYNC, 2);
	answer(1, PARSE_OK, 13);
	resync_at = 5;
	r = drive(20, false);
	EXPECT(!r.violated && r.resynced == 5 && r.consumed == 20);
	answer(0, PARSE_RESYNC, 0); /* a parser that is lost where it should not be is moved on */
	answer(1, PARSE_RESYNC, 0);
	answer(2, PARSE_OK, 19);
	r = drive(20, false);
	EXPECT(!r.violated && r.resynced == 1 && r.consumed == 20 && asked == 3);
	answer(0, PARSE_RESYNC, 0);
	resync_at = SIZE_MAX;
	r = drive(20, false);
	EXPECT(r.resynced == 20 && r.st == PARSE_OK && asked == 1);
}

static void test_drive__eof_and_empty(void)
{
	answer(0, PARSE_OK, 20);
	answer(1, PARSE_OK, 0);
	EXPECT(!drive(20, true).violated);
	EXPECT(asked == 2 && inputs[1].buf.n == 0 && inputs[1].eof);
	answer(0, PARSE_OK, 0);
	EXPECT(!drive(0, true).violated);
	EXPECT_EQ(asked, 1);
	answer(0, PARSE_OK, 0);
	EXPECT(!drive(0, false).violated);
}

static void test_registry__entries(void)
{
	EXPECT_STR(proto_name(PROTO_HTTP1), "http");
	EXPECT_STR(proto_name(PROTO_TLS), "tls");
	EXPECT_STR(proto_name((enum proto_id)31), "unknown");
	EXPECT_STR(proto_name((enum proto_id)4096), "unknown");
	EXPECT(proto_get((enum proto_id)4096) == NULL);
	EXPECT(proto_get(PROTO_TLS) == NULL);
	for (int i = 0; i < _PROTO_MAX; i++) {
		const struct proto_ops *ops = proto_get((enum proto_id)i);

		if (!ops)
			continue;
		EXPECT(ops->id == (enum proto_id)i && strcmp(ops->name, proto_name(ops->id)) == 0);
		EXPECT(ops->state_size > 0 && ops->state_size <= PROTO_STATE_MAX);
		EXPECT(ops->max_need > 0 && ops->max_need <= PROTO_NEED_MAX);
		EXPECT(ops->probe && ops->init && ops->parse && ops->resync && ops->gap &&
		       ops->close);
		for (int k = i + 1; k < _PROTO_MAX; k++)
			EXPECT(!proto_get((enum proto_id)k) ||
			       strcmp(ops->name, proto_name((enum proto_id)k)) != 0);
	}
}

static void infer(const char *head, size_t n, enum proto_id want, int want_request, bool want_more)
{
	struct probe_in in = { .head = slice_of(head, n), .start = true };
	bool request = false, more = false;

	if (proto_infer(&in, &request, &more) != want || more != want_more ||
	    (want != PROTO_UNKNOWN && request != (want_request != 0)))
		test_check(false, __FILE__, __LINE__, head);
}

#define INFER(head, want, request, more) infer(head, sizeof(head) - 1, want, request, more)

static void test_infer__http1(void)
{
	INFER("GET / HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("\r\nPATCH /x HTTP/1.0\n", PROTO_HTTP1, 1, false);
	INFER("OPTIONS * HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("CONNECT shop:443 HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("GET http://shop/ HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	/* Too long for what is looked at, with bytes that no target has, and with another beginning. */
	INFER("GET /a/very/long/path/that/does/not/end/within/the/bytes/that/are\x01looked/at",
	      PROTO_UNKNOWN, 0, false);
	INFER("GET hyacinths/a/very/long/path/that/does/not/end/within/the/bytes/looked/at",
	      PROTO_UNKNOWN, 0, false);
	INFER("FROBNICATE /x HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("X /load HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("X /load/m", PROTO_UNKNOWN, 0, true);
	INFER("get /x HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("a1!#$%&'*+-.^_`|~ /x HTTP/1.1\r\n", PROTO_HTTP1, 1, false);
	INFER("X /load/m\r\n", PROTO_UNKNOWN, 0, false);
	INFER("GET /a/very/long/path/that/does/not/end/within/the/bytes/that/are/looked/at/here "
	      "HTTP/1.1",
	      PROTO_HTTP1, 1, false);
	INFER("HTTP/1.1 200 OK\r\n", PROTO_HTTP1, 0, false);
	INFER("HTTP/1.0 404\r\n", PROTO_HTTP1, 0, false);
	INFER("HTTP/1.0 404\r\n\r\n", PROTO_HTTP1, 0, false);
	INFER("HTTP/1.1 200 OK\r\nServer: x", PROTO_HTTP1, 0, false);
	INFER("HTTP/1.1 200 O", PROTO_UNKNOWN, 0, true);
	INFER("HTTP/1.1 209 O\x01\r\n", PROTO_UNKNOWN, 0, false);
	INFER("HTTP/1.1 228\n\r\\\"", PROTO_UNKNOWN, 0, false);
	INFER("HTTP/1.1 209 Op9\r\n2pj\"F*@R?X\n", PROTO_UNKNOWN, 0, false);
	INFER("GET /x", PROTO_UNKNOWN, 0, true);
	INFER("GE", PROTO_UNKNOWN, 0, true);
	INFER("HTTP/1.1 20", PROTO_UNKNOWN, 0, true);
	INFER("", PROTO_UNKNOWN, 0, true);
}

static void test_infer__others(void)
{
	INFER("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", PROTO_TLS, 1, false);
	INFER("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", PROTO_TLS, 0, false);
	INFER("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", PROTO_UNKNOWN, 0, true);
	INFER("\x16\x03\x01\x02\x00\x01\x01\x01\xfc\x03\x03", PROTO_UNKNOWN, 0, false);
	INFER("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x07\x03", PROTO_UNKNOWN, 0, false);
	INFER("\x16\x03\x01", PROTO_UNKNOWN, 0, true);
	INFER("\x16\x03\x01\xff\xff\x01", PROTO_UNKNOWN, 0, false);
	INFER("\x16\x03\x03\x00\x7a\x0b", PROTO_UNKNOWN, 0, false);
	INFER("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00", PROTO_HTTP2, 1, false);
	INFER("PRI * HTTP/2.0\r\n", PROTO_UNKNOWN, 0, true);
	INFER("*1\r\n$4\r\nPING\r\n", PROTO_REDIS, 1, false);
	/* Redis on a line: the answer will tell. */
	INFER("get foo\r\n", PROTO_UNKNOWN, 0, true);
	INFER("GET /key\r\n", PROTO_UNKNOWN, 0, true);
	INFER("get /key\r\n", PROTO_UNKNOWN, 0, true);
	INFER("EHLO example.com\r\n", PROTO_UNKNOWN, 0, false);
	INFER("SUB /a/b 1\r\n", PROTO_UNKNOWN, 0, false);
	INFER("220 mail ready\r\n", PROTO_UNKNOWN, 0, false);
	INFER("\x00\x00\x00\x08\x04\xd2\x16\x2f", PROTO_PGSQL, 1, false);
	INFER("SSH-2.0-OpenSSH_9.2\r\n", PROTO_UNKNOWN, 0, false);
}

TEST_MAIN(TEST(test_drive__consumes), TEST(test_drive__violations), TEST(test_drive__skip),
	  TEST(test_drive__resync), TEST(test_drive__eof_and_empty), TEST(test_registry__entries),
	  TEST(test_infer__http1), TEST(test_infer__others))

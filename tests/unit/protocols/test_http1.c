/* Limits of the HTTP/1 parser at N-1, N and N+1, and what loss may never do: the golden files hold
 * the single cases. */
#include "protocols/http1/http1.h"
#include "tests/golden/convo.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define EXCHANGES 16

static void say(struct convo *c, enum dir dir, struct slice s)
{
	convo_play(c, &(struct turn){ .kind = TURN_BYTES, .dir = dir, .bytes = s });
}

static void lose(struct convo *c, enum dir dir, uint64_t n)
{
	convo_play(c, &(struct turn){ .kind = TURN_GAP, .dir = dir, .lost = n });
}

static bool sound(const struct convo *c)
{
	return EXPECT(!c->violated) && EXPECT(!c->log.broken);
}

static size_t count(const struct strbuf *b, const char *what)
{
	size_t n = 0;

	for (const char *p = strbuf_str(b); (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void test_http1__deep_pipeline(void)
{
	static const size_t depth = 1000;
	struct convo c;

	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	for (size_t i = 0; i < depth; i++)
		say(&c, DIR_RX, SLICE_LIT("GET /p HTTP/1.1\r\n\r\n"));
	EXPECT_EQ(c.log.ended[MSG_REQUEST], HTTP1_OUTSTANDING_MAX);
	EXPECT(c.dir[DIR_RX].waiting);
	for (size_t i = 0; i < depth; i++)
		say(&c, DIR_TX, SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], depth);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], depth);
	EXPECT_EQ(c.log.orphans, 0);
	EXPECT(strstr(strbuf_str(&c.log.kind[MSG_RESPONSE]), "response 999 end") != NULL);
	convo_done(&c);
}

static void outstanding(size_t n, bool want_waiting)
{
	struct convo c;

	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	for (size_t i = 0; i < n; i++)
		say(&c, DIR_RX, SLICE_LIT("GET /p HTTP/1.1\r\n\r\n"));
	EXPECT_EQ(c.dir[DIR_RX].waiting, want_waiting);
	convo_finish(&c); /* forced: the requests are told, even though no answer ever came */
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], n);
	convo_done(&c);
}

static void test_http1__outstanding_limit(void)
{
	outstanding(HTTP1_OUTSTANDING_MAX - 1, false);
	outstanding(HTTP1_OUTSTANDING_MAX, false);
	outstanding(HTTP1_OUTSTANDING_MAX + 1, true);
	outstanding(3 * HTTP1_OUTSTANDING_MAX, true);
}

static void headers(size_t n, size_t want, bool truncated)
{
	struct strbuf b = STRBUF_INIT(MIB);
	struct convo c;

	strbuf_adds(&b, "POST / HTTP/1.1\r\n");
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&b, "a%zu: b\r\n", i);
	strbuf_adds(&b, "Content-Length: 3\r\n\r\nabc"); /* frames the body, emitted or not */
	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	say(&c, DIR_RX, strbuf_slice(&b));
	say(&c, DIR_RX, SLICE_LIT("GET /next HTTP/1.1\r\n\r\n"));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.ended[MSG_REQUEST], 2);
	EXPECT_EQ(count(&c.log.kind[MSG_REQUEST], "\n  header "), want);
	EXPECT_EQ(count(&c.log.kind[MSG_REQUEST], " truncated"), truncated);
	convo_done(&c);
	strbuf_done(&b);
}

static void test_http1__headers_limit(void)
{
	headers(HTTP1_HEADERS_MAX - 2, HTTP1_HEADERS_MAX - 1, false);
	headers(HTTP1_HEADERS_MAX - 1, HTTP1_HEADERS_MAX, false);
	headers(HTTP1_HEADERS_MAX, HTTP1_HEADERS_MAX, true);
	headers(40000, HTTP1_HEADERS_MAX, true);
}

/* n: bytes of the header line with its CR LF. */
static void header_line(size_t n, bool truncated)
{
	struct strbuf b = STRBUF_INIT(MIB);
	struct convo c;

	strbuf_adds(&b, "GET / HTTP/1.1\r\nx: ");
	for (size_t i = 0; i < n - 5; i++)
		strbuf_addch(&b, 'v');
	strbuf_adds(&b, "\r\nHost: h\r\n\r\n");
	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	say(&c, DIR_RX, strbuf_slice(&b));
	say(&c, DIR_RX, SLICE_LIT("GET /next HTTP/1.1\r\n\r\n"));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.ended[MSG_REQUEST], 2);
	EXPECT_EQ(count(&c.log.kind[MSG_REQUEST], "header Host"), 1);
	EXPECT_EQ(count(&c.log.kind[MSG_REQUEST], " truncated"), truncated);
	convo_done(&c);
	strbuf_done(&b);
}

static void test_http1__line_limit(void)
{
	header_line(HTTP1_LINE_MAX - 1, false);
	header_line(HTTP1_LINE_MAX, false);
	header_line(HTTP1_LINE_MAX + 1, true);
	header_line(10 * HTTP1_LINE_MAX, true);
}

static void head_bytes(size_t lines, bool truncated)
{
	struct strbuf b = STRBUF_INIT(MIB);
	struct convo c;

	strbuf_adds(&b, "GET / HTTP/1.1\r\n");
	for (size_t i = 0; i < lines; i++)
		strbuf_addf(&b, "h: %01019d\r\n", (int)i); /* 1024 bytes */
	strbuf_adds(&b, "\r\n");
	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	say(&c, DIR_RX, strbuf_slice(&b));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(count(&c.log.kind[MSG_REQUEST], " truncated"), truncated);
	convo_done(&c);
	strbuf_done(&b);
}

static void test_http1__head_limit(void)
{
	head_bytes(HTTP1_HEAD_MAX / 1024 - 1, false);
	head_bytes(HTTP1_HEAD_MAX / 1024, true); /* the line that reaches it is not emitted */
	head_bytes(HTTP1_HEAD_MAX / 1024 + 1, true);
}

static void chunk_size(const char *size, bool good)
{
	struct strbuf b = STRBUF_INIT(MIB);
	struct convo c;

	strbuf_addf(&b, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n", size);
	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	say(&c, DIR_RX, strbuf_slice(&b));
	EXPECT_EQ(c.log.ended[MSG_REQUEST], good ? 0 : 1);
	convo_finish(&c);
	sound(&c);
	convo_done(&c);
	strbuf_done(&b);
}

static void test_http1__chunk_size_limit(void)
{
	chunk_size("3fffffffffffffff", true);
	chunk_size("4000000000000000", true);
	chunk_size("4000000000000001", false);
	chunk_size("0000000000000000000000000000001", true);
	chunk_size("10000000000000000", false);
	chunk_size("-1", false);
	chunk_size("", false);
	chunk_size("0x1", false);
}

/* A conversation of EXCHANGES exchanges of different kinds; each carries its number on both sides.
 */
static void exchange(int i, struct strbuf *request, struct strbuf *response)
{
	static const char *const methods[] = { "GET", "POST", "HEAD", "PUT" };
	const char *method = methods[i % 4];
	bool body = i % 2 == 1, chunked = i % 3 == 0;

	strbuf_reset(request);
	strbuf_reset(response);
	strbuf_addf(request, "%s /id-%02d HTTP/1.1\r\nHost: shop\r\n", method, i);
	if (body)
		strbuf_adds(request,
			    chunked ? "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
				    : "Content-Length: 12\r\n\r\nhello, world");
	else
		strbuf_adds(request, "\r\n");
	strbuf_addf(response, "HTTP/1.1 %d Fine\r\nX-Id: id-%02d\r\n", 200 + i, i);
	if (chunked)
		strbuf_adds(response, "Transfer-Encoding: chunked\r\n\r\n");
	else
		strbuf_addf(response, "Content-Length: %d\r\n\r\n", 20 + i);
	if (i % 4 == 2 || 200 + i == 204)
		return;
	if (chunked)
		strbuf_adds(response, "8\r\n{\"a\": 1}\r\n0\r\n\r\n");
	else
		for (int k = 0; k < 20 + i; k++)
			strbuf_addch(response, 'b');
}

/* Says s, with what of it lies in [from, to) of the direction's stream lost. *pos: where s begins.
 */
static void say_lossy(struct convo *c, enum dir dir, struct slice s, size_t *pos, size_t from,
		      size_t to)
{
	size_t a = *pos < from ? MIN(from - *pos, s.n) : 0;
	size_t b = *pos + a<to && * pos + s.n> from ? MIN(to - *pos - a, s.n - a) : 0;

	*pos += s.n;
	if (a)
		say(c, dir, slice_head(s, a));
	if (b)
		lose(c, dir, b);
	if (a + b < s.n)
		say(c, dir, slice_from(s, a + b));
}

/* depth: requests sent before their answers come. */
static void play_lossy(struct convo *c, int depth, const size_t from[2], const size_t to[2])
{
	struct strbuf request[EXCHANGES], response[EXCHANGES];
	size_t pos[2] = { 0, 0 };

	convo_init(c, PROTO_HTTP1, DIR_RX, false, 0);
	for (int i = 0; i < EXCHANGES; i++) {
		strbuf_init(&request[i], MIB);
		strbuf_init(&response[i], MIB);
		exchange(i, &request[i], &response[i]);
	}
	for (int i = 0; i < EXCHANGES; i += depth) {
		for (int k = i; k < i + depth; k++)
			say_lossy(c, DIR_RX, strbuf_slice(&request[k]), &pos[0], from[0], to[0]);
		for (int k = i; k < i + depth; k++)
			say_lossy(c, DIR_TX, strbuf_slice(&response[k]), &pos[1], from[1], to[1]);
	}
	convo_finish(c);
	for (int i = 0; i < EXCHANGES; i++) {
		strbuf_done(&request[i]);
		strbuf_done(&response[i]);
	}
}

/* Which exchange each key's message of one kind belongs to, by the number in its text; -1 unknown.
 */
static void numbers(const struct convo *c, enum msg_kind kind, int out[EXCHANGES])
{
	const char *p = strbuf_str(&c->log.kind[kind]);
	int key = -1;

	for (int i = 0; i < EXCHANGES; i++)
		out[i] = -1;
	for (; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		int id;

		if (sscanf(p, "request %d @", &key) == 1 || sscanf(p, "response %d @", &key) == 1)
			continue;
		if (strncmp(p, "response orphan", 15) == 0)
			key = -1;
		if ((sscanf(p, "  target /id-%d", &id) == 1 ||
		     sscanf(p, "    value id-%d", &id) == 1) &&
		    key >= 0 && key < EXCHANGES)
			out[key] = id;
	}
}

/* Whether no request has another one's answer; *ret_last: the last exchange is there and paired. */
static bool truthful(const struct convo *c, bool *ret_last)
{
	int request[EXCHANGES], response[EXCHANGES];
	bool ok = true;

	numbers(c, MSG_REQUEST, request);
	numbers(c, MSG_RESPONSE, response);
	*ret_last = false;
	for (int i = 0; i < EXCHANGES; i++) {
		if (request[i] >= 0 && response[i] >= 0)
			ok = ok && request[i] == response[i];
		*ret_last |= request[i] == EXCHANGES - 1 && response[i] == EXCHANGES - 1;
	}
	return ok;
}

/* One loss of n bytes at each position of the directions in the mask. */
static void lossy(int depth, unsigned int dirs, size_t n, bool must_recover)
{
	for (size_t at = 0; at < 900; at += n < 3 ? 1 : 3) {
		size_t from[2] = { 0 }, to[2] = { 0 };
		struct convo c;
		bool last, ok;

		for (size_t d = 0; d < 2; d++)
			if (dirs & 1u << d) {
				from[d] = d == 0 ? at * 2 / 3 : at;
				to[d] = from[d] + n;
			}
		play_lossy(&c, depth, from, to);
		ok = truthful(&c, &last);
		/* An early loss leaves the client unjudged. */
		if (!ok || (must_recover && at > (dirs == 3 ? 300 : 80) && at < 500 && !last) ||
		    c.violated || c.log.broken) {
			printf("# depth %d, directions %u, %zu bytes at %zu:%s\n%s", depth, dirs, n,
			       at, ok ? " not recovered" : " another one's answer",
			       strbuf_str(&c.log.all));
			EXPECT(false);
			convo_done(&c);
			return;
		}
		convo_done(&c);
	}
}

static void test_http1__gaps_one_at_a_time(void)
{
	static const size_t lengths[] = { 1, 2, 7, 30, 90, 200 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		for (unsigned int dirs = 1; dirs <= 3; dirs++)
			lossy(1, dirs, lengths[i], true);
}

static void test_http1__gaps_pipelined(void)
{
	static const size_t lengths[] = { 1, 7, 30, 90, 200 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		for (unsigned int dirs = 1; dirs <= 3; dirs++)
			lossy(4, dirs, lengths[i], false);
}

static void test_http1__mid_stream(void)
{
	struct strbuf request = STRBUF_INIT(MIB), response = STRBUF_INIT(MIB);

	for (size_t cut = 0; cut < 80; cut++) {
		struct convo c;
		bool last;

		convo_init(&c, PROTO_HTTP1, DIR_RX, true, 0);
		exchange(3, &request, &response);
		say(&c, DIR_RX, slice_from(strbuf_slice(&request), cut));
		say(&c, DIR_TX, slice_from(strbuf_slice(&response), cut / 2));
		exchange(EXCHANGES - 1, &request, &response);
		say(&c, DIR_RX, strbuf_slice(&request));
		say(&c, DIR_TX, strbuf_slice(&response));
		convo_finish(&c);
		if (!sound(&c) || !EXPECT(truthful(&c, &last)) || !EXPECT(last))
			printf("# cut %zu\n%s", cut, strbuf_str(&c.log.all));
		convo_done(&c);
	}
	strbuf_done(&request);
	strbuf_done(&response);
}

static void test_http1__closed_in_the_middle(void)
{
	struct convo c;

	convo_init(&c, PROTO_HTTP1, DIR_RX, false, 0);
	say(&c, DIR_RX, SLICE_LIT("POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf"));
	say(&c, DIR_TX, SLICE_LIT("HTTP/1.1 200 OK\r\n\r\nuntil the end"));
	c.ops->close(c.st, &c.sink);
	EXPECT_EQ(c.log.ended[MSG_REQUEST], 1);
	EXPECT_EQ(c.log.ended[MSG_RESPONSE], 1);
	EXPECT_EQ(count(&c.log.all, " cut"), 2);
	c.ops->close(c.st, &c.sink);
	EXPECT_EQ(c.log.ended[MSG_REQUEST], 1);
	convo_done(&c);
}

TEST_MAIN(TEST(test_http1__deep_pipeline), TEST(test_http1__outstanding_limit),
	  TEST(test_http1__headers_limit), TEST(test_http1__line_limit),
	  TEST(test_http1__head_limit), TEST(test_http1__chunk_size_limit),
	  TEST(test_http1__gaps_one_at_a_time), TEST(test_http1__gaps_pipelined),
	  TEST(test_http1__mid_stream), TEST(test_http1__closed_in_the_middle))

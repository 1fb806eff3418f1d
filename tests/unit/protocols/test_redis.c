/* Limits of the Redis parser at N-1, N and N+1, what loss may never do, and what may not be taken for
 * Redis: the golden files hold the single cases. */
#include "protocols/redis/redis.h"
#include "tests/golden/convo.h"
#include "tests/lib/test.h"

#include <stdio.h>

static void say(struct convo *c, enum dir dir, struct slice s)
{
	convo_play(c, &(struct turn){ .kind = TURN_BYTES, .dir = dir, .bytes = s });
}

static void say_text(struct convo *c, enum dir dir, const char *s)
{
	say(c, dir, slice_str(s));
}

static void lose(struct convo *c, enum dir dir, uint64_t n)
{
	convo_play(c, &(struct turn){ .kind = TURN_GAP, .dir = dir, .lost = n });
}

static bool sound(const struct convo *c)
{
	return EXPECT(!c->violated) && EXPECT(!c->log.broken);
}

static bool said(const struct convo *c, enum msg_kind kind, const char *what)
{
	return strstr(strbuf_str(&c->log.kind[kind]), what) != NULL;
}

static void begin(struct convo *c)
{
	convo_init(c, PROTO_REDIS, DIR_RX, false, 0);
}

static void test_redis__deep_pipeline(void)
{
	static const size_t depth = 100000;
	struct convo c;

	begin(&c);
	for (size_t i = 0; i < depth; i++)
		say_text(&c, DIR_RX, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
	EXPECT_EQ(c.log.clean[MSG_REQUEST], depth);
	EXPECT(!c.dir[DIR_RX].waiting);
	for (size_t i = 0; i < depth; i++)
		say_text(&c, DIR_TX, "$2\r\nok\r\n");
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], depth);
	EXPECT_EQ(c.log.orphans, 0);
	EXPECT(said(&c, MSG_RESPONSE, "response 99999 end"));
	convo_done(&c);
}

/* More open requests of the remembered sort than there is room for wait. */
static void specials(size_t n, bool want_waiting)
{
	struct convo c;

	begin(&c);
	for (size_t i = 0; i < n; i++)
		say_text(&c, DIR_RX, "*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n");
	EXPECT_EQ(c.dir[DIR_RX].waiting, want_waiting);
	for (size_t i = 0; i < n; i++)
		say_text(&c, DIR_TX, "+OK\r\n");
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], n);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], n);
	EXPECT_EQ(c.log.orphans, 0);
	convo_done(&c);
}

static void test_redis__special_limit(void)
{
	specials(REDIS_SPECIAL_MAX - 1, false);
	specials(REDIS_SPECIAL_MAX, false);
	specials(REDIS_SPECIAL_MAX + 1, true);
	specials(3 * REDIS_SPECIAL_MAX, true);
}

/* Of a client that has always waited, too: the request behind may be the one that was answered. */
static void test_redis__an_answer_nobody_asked_for(void)
{
	struct convo c;

	begin(&c);
	c.at_server = true;
	for (size_t i = 0; i < 10; i++) {
		say_text(&c, DIR_RX, "*1\r\n$4\r\nPING\r\n");
		say_text(&c, DIR_TX, "+PONG\r\n");
	}
	say_text(&c, DIR_TX, "+WHAT\r\n");
	EXPECT(!c.dir[DIR_TX].waiting);
	for (size_t i = 0; i < 10; i++) {
		say_text(&c, DIR_RX, "*1\r\n$4\r\nTIME\r\n");
		say_text(&c, DIR_TX, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	}
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.orphans, 1);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], 10);
	EXPECT_EQ(c.log.ended[MSG_REQUEST], 20);
	EXPECT_EQ(c.log.ended[MSG_RESPONSE], 11);
	convo_done(&c);
}

/* At a client's end it waits for a request, which another thread may have sent; for a while. */
static void test_redis__an_answer_before_its_request(void)
{
	struct convo c;

	begin(&c);
	for (size_t i = 0; i < 10; i++) {
		say_text(&c, DIR_TX, "+PONG\r\n");
		EXPECT(c.dir[DIR_TX].waiting);
		say_text(&c, DIR_RX, "*1\r\n$4\r\nPING\r\n");
		EXPECT(!c.dir[DIR_TX].waiting);
	}
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.orphans, 0);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], 10);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 10);
	convo_done(&c);
}

/* The second AUTH is held back until the first is answered; its own answer is there by then. */
static void test_redis__an_answer_to_a_request_held_back(void)
{
	struct convo c;

	begin(&c);
	say_text(&c, DIR_RX, "*2\r\n$4\r\nAUTH\r\n$1\r\na\r\n*2\r\n$4\r\nAUTH\r\n$1\r\nb\r\n");
	EXPECT(c.dir[DIR_RX].waiting);
	say_text(&c, DIR_TX, "+OK\r\n+OK\r\n");
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.orphans, 0);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], 2);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 2);
	convo_done(&c);
}

static void text_of_length(struct strbuf *b, const char *before, size_t n, const char *behind)
{
	strbuf_adds(b, before);
	for (size_t i = 0; i < n; i++)
		strbuf_addch(b, 'k');
	strbuf_adds(b, behind);
}

static void key_length(size_t n, bool truncated)
{
	struct strbuf b = STRBUF_INIT(MIB);
	char head[64];
	struct convo c;

	snprintf(head, sizeof(head), "*2\r\n$3\r\nGET\r\n$%zu\r\n", n);
	text_of_length(&b, head, n, "\r\n*1\r\n$4\r\nPING\r\n");
	begin(&c);
	say(&c, DIR_RX, strbuf_slice(&b));
	say_text(&c, DIR_TX, "$-1\r\n+PONG\r\n");
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.ended[MSG_RESPONSE], 2);
	EXPECT_EQ(said(&c, MSG_REQUEST, " truncated"), truncated);
	convo_done(&c);
	strbuf_done(&b);
}

static void test_redis__key_limit(void)
{
	key_length(0, false);
	key_length(REDIS_KEY_MAX - 1, false);
	key_length(REDIS_KEY_MAX, false);
	key_length(REDIS_KEY_MAX + 1, true);
	key_length(100000, true);
}

static void message_length(size_t n, bool truncated)
{
	struct strbuf b = STRBUF_INIT(MIB);
	struct convo c;

	text_of_length(&b, "-", n, "\r\n+PONG\r\n");
	begin(&c);
	say_text(&c, DIR_RX, "PING\r\nPING\r\n");
	say(&c, DIR_TX, strbuf_slice(&b));
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.ended[MSG_RESPONSE], 2);
	EXPECT_EQ(said(&c, MSG_RESPONSE, " truncated"), truncated);
	convo_done(&c);
	strbuf_done(&b);
}

static void test_redis__message_limit(void)
{
	message_length(REDIS_MESSAGE_MAX - 1, false);
	message_length(REDIS_MESSAGE_MAX, false);
	message_length(REDIS_MESSAGE_MAX + 1, true);
	message_length(100000, true);
}

static void depth(size_t n, bool want)
{
	struct convo c;

	begin(&c);
	say_text(&c, DIR_RX, "PING\r\nPING\r\n");
	for (size_t i = 0; i < n; i++)
		say_text(&c, DIR_TX, i % 2 ? "*1\r\n" : "*2\r\n:1\r\n");
	say_text(&c, DIR_TX, ":1\r\n+PONG\r\n");
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE] == 2, want);
	EXPECT_EQ(said(&c, MSG_RESPONSE, " lost degraded"), !want);
	convo_done(&c);
}

static void test_redis__depth_limit(void)
{
	depth(REDIS_DEPTH_MAX - 1, true);
	depth(REDIS_DEPTH_MAX, true);
	depth(REDIS_DEPTH_MAX + 1, false);
	depth(10000, false);
}

static void header(const char *text, bool want)
{
	struct convo c;

	begin(&c);
	say_text(&c, DIR_RX, "PING\r\n");
	say_text(&c, DIR_TX, "+PONG\r\n");
	say_text(&c, DIR_RX, text);
	EXPECT_EQ(c.log.open[MSG_REQUEST], want);
	convo_finish(&c);
	sound(&c);
	convo_done(&c);
}

static void test_redis__number_limits(void)
{
	header("*2147483647\r\n$3\r\nDEL\r\n", true);
	header("*2147483648\r\n$3\r\nDEL\r\n", false);
	header("*99999999999999999999\r\n$3\r\nDEL\r\n", false);
	header("*2\r\n$3\r\nGET\r\n$1099511627776\r\n", true);
	header("*2\r\n$3\r\nGET\r\n$1099511627777\r\n", false);
	header("*2\r\n$3\r\nGET\r\n$-1\r\n", false);
	header("*2\r\n$3\r\nGET\r\n$+1\r\n", false);
	header("*2\r\n$3\r\nGET\r\n+x\r\n", false);
	header("*-7\r\n", false);
}

/* Half a gigabyte each way, of which only the lengths are given. */
static void test_redis__large_values(void)
{
	static const uint64_t size = 512 * MIB;
	struct convo c;

	begin(&c);
	say_text(&c, DIR_RX, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
	EXPECT_EQ(c.dir[DIR_RX].skip_until - c.dir[DIR_RX].off, size + 2);
	lose(&c, DIR_RX, size + 2);
	say_text(&c, DIR_RX, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
	say_text(&c, DIR_TX, "+OK\r\n$536870912\r\n");
	lose(&c, DIR_TX, size + 2);
	say_text(&c, DIR_RX, "PING\r\n");
	say_text(&c, DIR_TX, "+PONG\r\n");
	convo_finish(&c);
	sound(&c);
	EXPECT_EQ(c.log.clean[MSG_REQUEST], 3);
	EXPECT_EQ(c.log.clean[MSG_RESPONSE], 3);
	convo_done(&c);
}

/* ---- loss ---- */

#define NUMBERS 512

/* Request n asks for key n and is answered with error n: what was told of each key of the sink. */
struct truth {
	int asked[4 * NUMBERS], answered[4 * NUMBERS];
	size_t paired;
	bool wrong;
};

static int number_in(struct slice v)
{
	int n = 0;

	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] >= '0' && v.p[i] <= '9')
			n = n * 10 + (v.p[i] - '0');
	return n;
}

static void on_begin(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off)
{
	(void)ctx, (void)kind, (void)dir, (void)key, (void)off;
}

static void on_field(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, struct slice v)
{
	struct truth *t = ctx;

	if (key >= ARRAY_SIZE(t->asked))
		return;
	if (kind == MSG_REQUEST && f == FIELD_KEY)
		t->asked[key] = number_in(v);
	else if (kind == MSG_RESPONSE && f == FIELD_MESSAGE)
		t->answered[key] = number_in(v);
}

static void on_num(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v)
{
	(void)ctx, (void)kind, (void)key, (void)f, (void)v;
}

static void on_end(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags)
{
	struct truth *t = ctx;

	(void)off;
	if (kind != MSG_RESPONSE || key >= ARRAY_SIZE(t->asked) || flags)
		return;
	if (t->asked[key] && t->answered[key] && t->asked[key] != t->answered[key])
		t->wrong = true;
	t->paired++;
}

static const struct sink_ops truth_ops = {
	.begin = on_begin, .field = on_field, .num = on_num, .end = on_end
};

/* The bytes, or a loss of about as many. */
static void maybe(struct convo *c, enum dir dir, struct slice s, bool lost, uint32_t *random)
{
	size_t from, n;

	*random = *random * 1664525 + 1013904223;
	if (!lost) {
		say(c, dir, s);
		return;
	}
	from = *random >> 8 & 7 ? (*random >> 12) % s.n : 0;
	n = *random >> 11 & 1 ? s.n - from : 1 + (*random >> 16) % (s.n - from);
	say(c, dir, slice_head(s, from));
	lose(c, dir, n);
	say(c, dir, slice_from(s, from + n));
}

/* A client that sends rounds of up to `round` requests and waits for all answers; a loss every `every`
 * messages or so. Returns how many were paired. */
static size_t play_rounds(uint32_t seed, uint32_t round, uint32_t every)
{
	struct truth t = { 0 };
	uint32_t random = seed * 2654435761u, next = 1;
	struct convo c;

	begin(&c);
	c.sink = (struct sink){ .ops = &truth_ops, .ctx = &t };
	while (next <= NUMBERS) {
		uint32_t n = 1 + (random >> 20) % round;
		char text[96];

		for (uint32_t i = 0; i < n; i++) {
			snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$5\r\n%05u\r\n", next + i);
			random = random * 1664525 + 1013904223;
			maybe(&c, DIR_RX, slice_str(text), next > 40 && (random >> 16) % every == 0,
			      &random);
		}
		for (uint32_t i = 0; i < n; i++) {
			snprintf(text, sizeof(text), "-ERR %05u\r\n", next + i);
			random = random * 1664525 + 1013904223;
			maybe(&c, DIR_TX, slice_str(text), next > 40 && (random >> 16) % every == 0,
			      &random);
		}
		next += n;
	}
	convo_finish(&c);
	EXPECT(!c.violated);
	if (!EXPECT(!t.wrong))
		printf("# seed %u, rounds of %u\n", seed, round);
	convo_done(&c);
	return t.paired;
}

static void test_redis__loss_never_mixes_up(void)
{
	size_t paired = 0, all = 0;

	for (uint32_t seed = 1; seed <= 300; seed++) {
		paired += play_rounds(seed, 1, 60);
		play_rounds(seed, 7, 60);
		all += NUMBERS;
	}
	EXPECT(paired * 10 > all * 8); /* who waits loses only what is near a loss */
	EXPECT_EQ(play_rounds(1, 1, UINT32_MAX), NUMBERS);
}

/* A client that keeps up to `window` requests open, and sends one for each answer. */
static void test_redis__loss_of_a_window(void)
{
	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct truth t = { 0 };
		uint32_t random = seed * 2654435761u, window = 2 + seed % 6, asked = 0;
		struct convo c;
		char text[96];

		begin(&c);
		c.sink = (struct sink){ .ops = &truth_ops, .ctx = &t };
		for (uint32_t answered = 0; answered < NUMBERS; answered++) {
			while (asked < NUMBERS && asked < answered + window) {
				snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$5\r\n%05u\r\n",
					 ++asked);
				random = random * 1664525 + 1013904223;
				maybe(&c, DIR_RX, slice_str(text),
				      asked > 20 && (random >> 16) % 80 == 0, &random);
			}
			snprintf(text, sizeof(text), "-ERR %05u\r\n", answered + 1);
			random = random * 1664525 + 1013904223;
			maybe(&c, DIR_TX, slice_str(text),
			      answered > 20 && (random >> 16) % 80 == 0, &random);
		}
		convo_finish(&c);
		EXPECT(!c.violated);
		if (!EXPECT(!t.wrong))
			printf("# seed %u, window %u\n", seed, window);
		convo_done(&c);
	}
}

/* ---- probing ---- */

static enum proto_id infer(const char *head, const char *other, bool start, bool *ret_request)
{
	struct probe_in in = { slice_str(head), slice_str(other), start };
	bool more;

	return proto_infer(&in, ret_request, &more);
}

static void test_redis__recognised(void)
{
	static const struct {
		const char *head, *other;
		bool start, request;
	} yes[] = {
		{ "*1\r\n$4\r\nPING\r\n", "", true, true },
		{ "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$100\r\nxxx", "", true, true },
		{ "*1\r\n$4\r\nPING\r\n", "+PONG\r\n", false, true },
		{ "+PONG\r\n", "*1\r\n$4\r\nPING\r\n", false, false },
		{ "$5\r\nhello\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", false, false },
		{ "*2\r\n$3\r\nfoo\r\n", "*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n", false, false },
		{ "*1\r\n*3\r\n:0\r\n", "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n", false, false },
		{ "-ERR unknown", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", false, false },
		{ "PING\r\n", "+PONG\r\n", false, true },
		{ "get k\r\n", "$1\r\nv\r\n", false, true },
		{ "get k\nget l\n", "$1\r\nv\r\n$-1\r\n", false, true },
		{ "*1\r\n$4\r\nPING\r\nPING\r\n", "", true, true },
		{ "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$5000\r\nxxx", false, true },
		{ "HELLO 3\r\n", "%7\r\n$6\r\nserver\r\n", true, true },
		{ "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n", "", false, false },
		{ ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n", "", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		bool request = false;

		if (!EXPECT_EQ(infer(yes[i].head, yes[i].other, yes[i].start, &request),
			       PROTO_REDIS) ||
		    !EXPECT_EQ(request, yes[i].request))
			printf("# %s\n", yes[i].head);
	}
}

static void test_redis__not_taken_for_it(void)
{
	static const struct {
		const char *head, *other;
		bool start;
	} no[] = {
		{ "+OK POP3 ready\r\n", "", true },
		{ "QUIT\r\n", "+OK bye\r\n", false },
		{ "QUIT\r\n", "+OK\r\n", false },
		{ "+OK\r\n", "PASS secret\r\n", false },
		{ "EHLO a\r\n", "220 mail\r\n", true },
		{ "get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n", true },
		{ "set k 0 0 1\r\nv\r\n", "STORED\r\n", true },
		{ "INFO {\"server_id\":\"x\"}\r\n", "", true },
		{ "PING\r\n", "PONG\r\n", false },
		{ "+OK\r\n", "CONNECT {}\r\n", false },
		{ "*1\r\n$4\r\nPING\r\n", "*1\r\n$4\r\nPING\r\n", false },
		{ "*1\r\n$4\r\nPING\r\n", "", false },
		/* a hash's fields, and what was set */
		{ "*2\r\n$4\r\ntype\r\n$3\r\nfoo\r\n", "", false },
		{ "*2\r\n$4\r\ntype\r\n$3\r\nfoo\r\n", "*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n",
		  false },
		{ "*2\r\n$3\r\nxyz\r\n$1\r\nk\r\n", "", true },
		{ "*2\r\n:1\r\n", "", true },
		{ "$5\r\nhello\r\n", "", false },
		/* a value that is not as long as it says, or not all there */
		{ "get k\n", "$3\r\nB", false },
		{ "get k\n", "$3\r\nlily\r\n", false },
		{ "get k\n", "$3\r\nfoo\r\nnoise", false },
		{ "get k\n", "%1\r\n", false },
		{ "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$3\r\nlily\r\n", false },
		{ "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "+OK\r\n+\x01", false },
		/* a command, and what is none behind it */
		{ "get k\nxj\rN\"[I#\n", "$3\r\nfoo\r\n", false },
		{ "get k\nfrobnicate\n", "$3\r\nfoo\r\n", false },
		{ "get k\nget", "$3\r\nfoo\r\n", false },
		{ "get \x01\n", "$3\r\nfoo\r\n", false },
		{ "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n?x", "", true },
		{ "*2\r\n$3\r\nGET\r\n$1\r\nlong\r\n", "", true },
		{ "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nlong\r\n", "", false },
		{ "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n", "EHLO reed\r\n", false },
		{ ":1\r\n", ":2\r\n", false },
		{ "\x10\x0c\x00\x04MQTT\x04", "", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		bool request;

		if (!EXPECT(infer(no[i].head, no[i].other, no[i].start, &request) != PROTO_REDIS))
			printf("# %s\n", no[i].head);
	}
}

TEST_MAIN(TEST(test_redis__deep_pipeline), TEST(test_redis__special_limit),
	  TEST(test_redis__an_answer_nobody_asked_for),
	  TEST(test_redis__an_answer_before_its_request),
	  TEST(test_redis__an_answer_to_a_request_held_back), TEST(test_redis__key_limit),
	  TEST(test_redis__message_limit), TEST(test_redis__depth_limit),
	  TEST(test_redis__number_limits), TEST(test_redis__large_values),
	  TEST(test_redis__loss_never_mixes_up), TEST(test_redis__loss_of_a_window),
	  TEST(test_redis__recognised), TEST(test_redis__not_taken_for_it))

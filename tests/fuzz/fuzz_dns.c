/* DNS in both framings. The input's first byte: bit 0 mid-stream, bits 1..2 framing: 0, 1 TCP, 2
 * datagrams, 3 multicast. Then turns:
 *
 *	byte 0      bit 0 direction, bits 1..2 kind: 0 bytes, 1 gap, 2 bytes behind their length, 3 end
 *	byte 1, 2   little-endian count: bytes that follow, or bytes lost
 *
 * Checked besides what sanitizers see: the parser's contract and the sink's order, work linear in the
 * bytes, that over TCP the same is told when the chunks are cut differently, and that what has the
 * shape of a message is one to the parser.
 */
#include "protocols/dns/dns.h"
#include "protocols/dns/message.h"
#include "tests/fuzz/said.h"
#include "tests/fuzz/work.h"
#include "tests/golden/convo.h"

#include <stdio.h>

#define TURNS_MAX 128
#define TOTAL_MAX (40 * KIB)

struct input {
	struct turn turns[TURNS_MAX];
	size_t n;
	struct strbuf bytes; /* of all turns, in order */
	bool mid;
	unsigned int framing;
};

static void die(const char *what)
{
	fprintf(stderr, "fuzz_dns: %s\n", what);
	abort();
}

static void read_turn(struct input *in, struct slice *s)
{
	unsigned int op = s->p[0], kind = op >> 1 & 3, count = s->p[1] | (unsigned int)s->p[2] << 8;
	struct turn *t = &in->turns[in->n++];
	struct slice v;

	*s = slice_from(*s, 3);
	*t = (struct turn){ .dir = op & 1 ? DIR_TX : DIR_RX };
	if (kind == 1) {
		t->kind = TURN_GAP;
		t->lost = count;
		return;
	}
	if (kind == 3) {
		t->kind = TURN_EOF;
		return;
	}
	v = slice_head(*s, count);
	*s = slice_from(*s, v.n);
	t->kind = TURN_BYTES;
	if (in->bytes.len + v.n + 2 > TOTAL_MAX)
		return;
	if (kind == 2) {
		strbuf_addch(&in->bytes, (char)(v.n >> 8));
		strbuf_addch(&in->bytes, (char)v.n);
		t->bytes.n = 2;
	}
	strbuf_add(&in->bytes, v.p, v.n);
	t->bytes.n += v.n;
}

static void read_input(struct input *in, struct slice s)
{
	size_t at = 0;

	strbuf_init(&in->bytes, TOTAL_MAX + 1);
	if (s.n > 0) {
		in->mid = s.p[0] & 1;
		in->framing = s.p[0] >> 1 & 3;
		s = slice_from(s, 1);
	}
	while (s.n >= 3 && in->n < TURNS_MAX)
		read_turn(in, &s);
	for (size_t i = 0; i < in->n; i++) {
		in->turns[i].bytes.p = (const uint8_t *)strbuf_str(&in->bytes) + at;
		at += in->turns[i].bytes.n;
	}
}

/* The parser, its work counted. A turn is worth some bytes: each may be a call that finds nothing. A
 * pointer of two bytes stands for a name of a quarter of a kilobyte, which is read a few times. */
static const struct work_bound dns_bound = { "dns", 2048, 16384 };
#define TURN_BYTES_WORTH 16

static const struct proto_ops *real;

static struct parse_result counted_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct parse_result r;

	work_resume();
	r = real->parse(st, in, out);
	work_pause();
	return r;
}

static size_t counted_resync(const void *st, struct slice buf, enum dir dir)
{
	size_t n;

	work_resume();
	n = real->resync(st, buf, dir);
	work_pause();
	return n;
}

static struct proto_ops counted(const struct proto_ops *ops)
{
	struct proto_ops c = *ops;

	real = ops;
	c.parse = counted_parse;
	c.resync = counted_resync;
	return c;
}

static size_t play_turns(const struct input *in, struct convo *c, size_t piece)
{
	size_t calls = 0;

	for (size_t i = 0; i < in->n; i++) {
		struct turn t = in->turns[i];
		struct slice left = t.bytes;
		size_t n = piece ? piece : SIZE_MAX;

		do {
			t.bytes = slice_head(left, n);
			convo_play(c, &t);
			left = slice_from(left, n);
			n += calls++ > 512 ? n / 2 : 0;
		} while (left.n > 0 && t.kind == TURN_BYTES);
	}
	convo_finish(c);
	return calls;
}

static void play(const struct input *in, size_t piece, struct said *ret)
{
	struct proto_ops ops;
	struct convo c;
	size_t calls;

	convo_init(&c, PROTO_DNS, DIR_RX, in->mid, 0);
	memset(ret, 0, sizeof(*ret));
	c.sink = (struct sink){ .ops = &said_ops, .ctx = ret };
	ops = counted(c.ops);
	c.ops = &ops;
	work_begin();
	work_pause();
	calls = play_turns(in, &c, piece);
	work_end(&dns_bound, in->bytes.len + TURN_BYTES_WORTH * calls);
	if (c.violated)
		die("the parser broke its contract");
	if (ret->broken)
		die("begin, fields and end out of order");
	convo_done(&c);
}

/* For people: both logs in full. */
static void show(const struct input *in, size_t piece)
{
	struct convo c;

	convo_init(&c, PROTO_DNS, DIR_RX, in->mid, 0);
	play_turns(in, &c, piece);
	fprintf(stderr, "--- pieces of %zu\n%s", piece, strbuf_str(&c.log.all));
	convo_done(&c);
}

static void stream(const struct input *in, size_t piece)
{
	struct said whole, cut;

	play(in, 0, &whole);
	play(in, piece, &cut);
	if (memcmp(whole.hash, cut.hash, sizeof(whole.hash)) == 0)
		return;
	show(in, 0);
	show(in, piece);
	die("another log when cut differently");
}

static void datagrams(const struct input *in)
{
	struct proto_ops ops = counted(in->framing == 2 ? &dns_dgram_ops : &dns_multicast_ops);
	struct said said = { 0 };
	struct sink sink = { .ops = &said_ops, .ctx = &said };
	void *st = calloc(1, ops.state_size);

	ops.init(st, DIR_RX, false);
	work_begin();
	work_pause();
	for (size_t i = 0; i < in->n; i++) {
		struct parse_in call = { .buf = in->turns[i].bytes,
					 .off = i,
					 .dir = in->turns[i].dir };
		uint32_t hash = 0;
		uint16_t id = 0;
		enum dns_shape shape = dns_shape_of(call.buf, true, &id, &hash);
		struct drive_result r;

		if (shape != DNS_SHAPE_NONE && in->framing == 2)
			call.dir = shape == DNS_SHAPE_QUERY ? DIR_RX : DIR_TX;
		r = proto_drive(&ops, st, call, &sink);
		if (r.violated)
			die("the parser broke its contract");
		if (shape != DNS_SHAPE_NONE && r.resynced)
			die("what has the shape of a message is none");
	}
	work_end(&dns_bound, in->bytes.len + TURN_BYTES_WORTH * in->n);
	ops.close(st, &sink);
	if (said.broken)
		die("begin, fields and end out of order");
	free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input in;

	memset(&in, 0, sizeof(in));
	read_input(&in, slice_of(data, size));
	if (in.framing < 2)
		stream(&in, 1 + size % 7);
	else
		datagrams(&in);
	strbuf_done(&in.bytes);
	return 0;
}

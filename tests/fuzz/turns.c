#include "tests/fuzz/turns.h"

#include "tests/fuzz/said.h"
#include "tests/golden/convo.h"

#include <stdio.h>

#define TURNS_MAX 256
#define TOTAL_MAX (40 * KIB) /* two long lines and more; larger ones only make it slow */

struct input {
	struct turn turns[TURNS_MAX];
	size_t n;
	struct strbuf bytes; /* of all turns, in order */
	bool mid, at_server;
	uint64_t bodies;
};

static const struct fuzz_turns *about; /* the parser in hand */

static void die(const char *what)
{
	fprintf(stderr, "fuzz_%s: %s\n", about->bound.name, what);
	abort();
}

static void read_turn(struct input *in, struct slice *s)
{
	unsigned int op = s->p[0], count = s->p[1] | (unsigned int)s->p[2] << 8;
	struct turn *t = &in->turns[in->n++];
	struct slice v;
	size_t times = 1;

	*s = slice_from(*s, 3);
	*t = (struct turn){ .dir = op & 1 ? DIR_TX : DIR_RX };
	if ((op >> 1 & 3) == 1) {
		t->kind = TURN_GAP;
		t->lost = count;
		return;
	}
	if ((op >> 1 & 3) == 3) {
		t->kind = TURN_EOF;
		return;
	}
	if ((op >> 1 & 3) == 2 && s->n > 0) {
		times = 16 * (size_t)s->p[0] + 1;
		*s = slice_from(*s, 1);
	}
	v = slice_head(*s, count);
	*s = slice_from(*s, v.n);
	t->kind = TURN_BYTES;
	for (size_t i = 0; i < times && in->bytes.len + v.n <= TOTAL_MAX; i++) {
		strbuf_add(&in->bytes, v.p, v.n);
		t->bytes.n += v.n;
	}
}

static void read_input(struct input *in, struct slice s)
{
	size_t at = 0;

	strbuf_init(&in->bytes, TOTAL_MAX + 1);
	if (s.n > 0) {
		in->mid = s.p[0] & 1;
		in->bodies = (uint64_t)(s.p[0] >> 1 & 63) * 8;
		in->at_server = s.p[0] >> 7;
		s = slice_from(s, 1);
	}
	while (s.n >= 3 && in->n < TURNS_MAX)
		read_turn(in, &s);
	for (size_t i = 0; i < in->n; i++) {
		in->turns[i].bytes.p = (const uint8_t *)strbuf_str(&in->bytes) + at;
		at += in->turns[i].bytes.n;
	}
}

/* The parser, its work counted. A turn is worth some bytes: each may be a call that finds nothing.
 */
#define TURN_BYTES_WORTH 4
#define SMALL_PIECES	 512

static const struct proto_ops *real;
static const struct said *told; /* what it has said so far */

/* Whether the order of events was kept: of a response that came before its request, and of requests
 * beyond the most that are remembered, one direction is held back while the other one goes on to
 * the end of its chunk. What is said then may depend on the chunks (only whether an exchange is
 * paired, never with what). */
static bool in_order;

static struct parse_result counted_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct parse_result r;

	work_resume();
	r = real->parse(st, in, out);
	work_pause();
	in_order &= r.st != PARSE_WAIT || in->dir == DIR_RX;
	in_order &= told->outstanding < about->outstanding_max;
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

static void counted_gap(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out)
{
	work_resume();
	real->gap(st, dir, off, lost, out);
	work_pause();
}

static void counted_close(void *st, struct sink *out)
{
	work_resume();
	real->close(st, out);
	work_pause();
}

/* The piece after one of n bytes: the same for a while, so that single bytes stay single, then
 * growing. */
static size_t next_piece(size_t n, size_t calls)
{
	return calls < SMALL_PIECES ? n : n + n / 2 + 1;
}

/* Gives the turns to the parser, the chunks in pieces of this many bytes and later more (0: as they
 * are). Returns how many calls that made of the stream. */
static size_t play_turns(const struct input *in, struct convo *c, size_t piece)
{
	size_t calls = 0;

	for (size_t i = 0; i < in->n; i++) {
		struct turn t = in->turns[i];
		struct slice left = t.bytes;
		size_t n = piece;

		if (t.kind != TURN_BYTES || piece == 0 || left.n == 0) {
			convo_play(c, &t);
			calls++;
			continue;
		}
		while (left.n > 0) {
			t.bytes = slice_head(left, n);
			convo_play(c, &t);
			left = slice_from(left, n);
			n = next_piece(n, calls++);
		}
	}
	convo_finish(c);
	return calls;
}

static void play(const struct input *in, size_t piece, const struct sink_ops *ops, struct said *ret)
{
	struct proto_ops counted;
	struct convo c;
	size_t calls;

	convo_init(&c, about->proto, DIR_RX, in->mid, in->bodies);
	c.at_server = in->at_server;
	memset(ret, 0, sizeof(*ret));
	c.sink = (struct sink){ .ops = ops, .ctx = ret };
	told = ret;
	real = c.ops;
	counted = *real;
	counted.parse = counted_parse;
	counted.resync = counted_resync;
	counted.gap = counted_gap;
	counted.close = counted_close;
	c.ops = &counted;
	work_begin();
	work_pause();
	calls = play_turns(in, &c, piece);
	work_end(&about->bound,
		 in->bytes.len + TURN_BYTES_WORTH * calls + (c.unpack ? unpack_made(c.unpack) : 0));
	if (c.violated)
		die("the parser broke its contract");
	if (ret->broken)
		die("begin, fields and end out of order");
	if (!c.over && (ret->open[MSG_REQUEST] || ret->open[MSG_RESPONSE]))
		die("a message is open behind the end");
	convo_done(&c);
}

/* For people: both logs in full. */
static void show(const struct input *in, size_t piece)
{
	struct convo c;

	convo_init(&c, about->proto, DIR_RX, in->mid, in->bodies);
	c.at_server = in->at_server;
	play_turns(in, &c, piece);
	fprintf(stderr, "--- pieces of %zu\n%s", piece, strbuf_str(&c.log.all));
	convo_done(&c);
}

void fuzz_turns(const struct fuzz_turns *f, const uint8_t *data, size_t size)
{
	static struct input in;
	struct said whole, cut;
	size_t piece = 1 + size % 7;

	about = f;
	memset(&in, 0, sizeof(in));
	read_input(&in, slice_of(data, size));
	in_order = true;
	play(&in, 0, &said_ops, &whole);
	play(&in, piece, f->memo && size & 1 ? &said_memo_ops : &said_ops, &cut);
	if (in_order && memcmp(whole.hash, cut.hash, sizeof(whole.hash)) != 0) {
		show(&in, 0);
		show(&in, piece);
		die("another log when cut differently");
	}
	strbuf_done(&in.bytes);
}

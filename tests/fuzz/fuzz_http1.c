/* Conversations through the HTTP/1 parser. The input is a list of turns:
 *
 *	byte 0      bit 0 direction, bits 1..2 kind: 0 bytes, 1 gap, 2 bytes repeated, 3 end of
 *direction byte 1, 2   little-endian count: bytes that follow, or bytes lost byte 3      kind 2
 *only: how often the bytes are repeated, in sixteens
 *
 * The first byte of the input: bit 0 mid-stream, bits 1..7 bytes of bodies wanted, in eights.
 * Checked besides what sanitizers see: the parser's contract and the sink's order, the same log
 *when the chunks are cut differently, work linear in the bytes, and no output that was not in the
 *input.
 */
#include "protocols/http1/http1.h"
#include "tests/fuzz/steps.h"
#include "tests/golden/convo.h"

#include <stdio.h>

#define TURNS_MAX 256
#define TOTAL_MAX (40 * KIB) /* two long lines and more; larger ones only make it slow */

struct input {
	struct turn turns[TURNS_MAX];
	size_t n;
	struct strbuf bytes; /* of all turns, in order */
	bool mid;
	uint64_t bodies;
};

static void die(const char *what)
{
	fprintf(stderr, "fuzz_http1: %s\n", what);
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
		in->bodies = (uint64_t)(s.p[0] >> 1) * 8;
		s = slice_from(s, 1);
	}
	while (s.n >= 3 && in->n < TURNS_MAX)
		read_turn(in, &s);
	for (size_t i = 0; i < in->n; i++) {
		in->turns[i].bytes.p = (const uint8_t *)strbuf_str(&in->bytes) + at;
		at += in->turns[i].bytes.n;
	}
}

/* piece: 0 as they are, else chunks are cut to pieces of this many bytes and growing. */
static void play(const struct input *in, struct convo *c, size_t piece)
{
	convo_init(c, PROTO_HTTP1, DIR_RX, in->mid, in->bodies);
	for (size_t i = 0; i < in->n; i++) {
		struct turn t = in->turns[i];
		struct slice left = t.bytes;
		size_t n = piece;

		if (t.kind != TURN_BYTES || piece == 0) {
			convo_play(c, &t);
			continue;
		}
		while (left.n > 0) {
			t.bytes = slice_head(left, n);
			convo_play(c, &t);
			left = slice_from(left, n);
			n += n / 2;
		}
	}
	convo_finish(c);
	if (c->violated)
		die("the parser broke its contract");
	if (c->log.broken)
		die("begin, fields and end out of order");
}

static bool same(const struct strbuf *a, const struct strbuf *b)
{
	return slice_eq(strbuf_slice(a), strbuf_slice(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input in;
	struct convo whole, cut;

	memset(&in, 0, sizeof(in));
	read_input(&in, slice_of(data, size));
	fuzz_steps = 0;
	play(&in, &whole, 0);
	if (fuzz_steps > 64 * in.bytes.len + 4096 * (in.n + 2))
		die("too much work for so few bytes");
	play(&in, &cut, 1 + size % 7);
	if (!same(&whole.log.kind[0], &cut.log.kind[0]) ||
	    !same(&whole.log.kind[1], &cut.log.kind[1])) {
		fprintf(stderr, "--- whole\n%s--- cut\n%s", strbuf_str(&whole.log.all),
			strbuf_str(&cut.log.all));
		die("another log when cut differently");
	}
	convo_done(&whole);
	convo_done(&cut);
	strbuf_done(&in.bytes);
	return 0;
}

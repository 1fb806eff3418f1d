#include "agent/unpack.h"

#include "base/util.h"
#include "protocols/mysql/packed.h"

#include <stdlib.h>
#include <string.h>

#define LOST_BYTES (1u << 25) /* more than any payload that could go on behind them */
#define HELD_KEEP  4096	      /* a larger buffer is given back when it is empty */

/* Where a packet lies. */
struct mark {
	uint64_t plain, wire;
	uint32_t plain_n, wire_n;
};

/* What has to be told once the other direction has got as far as it can: what waits there is older. */
enum trouble { TROUBLE_NONE, TROUBLE_REFUSED, TROUBLE_LOST };

/* One direction. Invariant: want > plain only while n == 0. */
struct unpack_dir {
	uint64_t base;	/* where the first packet begins, in both kinds of positions */
	uint64_t wire;	/* position of the next byte of the wire */
	uint64_t plain; /* of held, and of what the parser wants next */
	uint64_t want;	/* the parser does not want what is below */
	uint8_t *held;
	size_t n, cap;
	uint32_t wire_left, plain_left; /* of the packet at hand */
	uint32_t fresh;			/* bytes that were unpacked and not given to the parser */
	struct codec *codec;		/* NULL: none of it was unpacked yet */
	enum codec_kind kind;
	bool packed;	 /* it is, and kind says how */
	bool may;	 /* it may become what it says */
	bool full;	 /* the codec filled all the room there was: it may have more */
	bool inside;	 /* there is one */
	bool refused;	 /* what is left of it is passed over */
	bool lost;	 /* looking for one */
	bool waits;	 /* the parser does, or what is in trouble */
	uint8_t trouble; /* enum trouble */
	bool due;	 /* what was not wanted has passed: it is to be called */
	uint8_t n_marks;
	struct mark marks[UNPACK_MARKS]; /* ascending */
};

struct unpack {
	struct unpack_pool *pool;
	struct unpack_dir dir[2];
	uint64_t refused, made;
	enum dir client;
};

/* ---- positions ---- */

static void mark_add(struct unpack_dir *d, const struct packed_header *h)
{
	if (d->n_marks == UNPACK_MARKS)
		memmove(d->marks, d->marks + 1, --d->n_marks * sizeof(d->marks[0]));
	d->marks[d->n_marks++] = (struct mark){ .plain = d->plain + d->n,
						.wire = d->wire,
						.plain_n = h->plain ? h->plain : h->wire,
						.wire_n = PACKED_HEADER + h->wire };
}

/* end: pos is the end of a message, and belongs to the packet before it. */
static uint64_t to_wire(const struct unpack_dir *d, uint64_t pos, bool end)
{
	const struct mark *m = NULL;
	uint64_t share;

	if (pos <= d->base)
		return pos;
	for (size_t i = d->n_marks; i > 0 && !m; i--)
		if (d->marks[i - 1].plain + end <= pos)
			m = &d->marks[i - 1];
	if (!m)
		return d->n_marks ? d->marks[0].wire : d->base;
	if (pos - m->plain >= m->plain_n)
		return m->wire + m->wire_n;
	share = (pos - m->plain) * m->wire_n;
	return m->wire + (end ? (share + m->plain_n - 1) / m->plain_n : share / m->plain_n);
}

/* ---- the sink, told positions of the wire ---- */

struct relay {
	const struct unpack *u;
	struct sink *out;
};

static void relay_begin(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off)
{
	const struct relay *r = ctx;

	sink_begin(r->out, kind, dir, key, to_wire(&r->u->dir[dir], off, false));
}

static void relay_field(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f,
			struct slice v)
{
	sink_field(((const struct relay *)ctx)->out, kind, key, f, v);
}

static void relay_num(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v)
{
	sink_num(((const struct relay *)ctx)->out, kind, key, f, v);
}

static void relay_end(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags)
{
	const struct relay *r = ctx;
	enum dir dir = kind == MSG_REQUEST ? r->u->client : dir_other(r->u->client);

	sink_end(r->out, kind, key, to_wire(&r->u->dir[dir], off, true), flags);
}

static const struct sink_ops relay_ops = {
	.begin = relay_begin, .field = relay_field, .num = relay_num, .end = relay_end
};

/* ---- what is held ---- */

static void held_resize(struct unpack *u, struct unpack_dir *d, size_t cap)
{
	uint8_t *held = cap ? realloc(d->held, cap) : NULL;

	if (cap && !held)
		return;
	if (!cap)
		free(d->held);
	u->pool->bytes += cap;
	u->pool->bytes -= d->cap;
	d->held = held;
	d->cap = cap;
}

/* Room for a step more. */
static bool held_room(struct unpack *u, struct unpack_dir *d, size_t n)
{
	if (d->n + n <= d->cap)
		return true;
	if (u->pool->bytes + d->n + n > UNPACK_BYTES_MAX)
		return false;
	held_resize(u, d, MAX(d->n + n, MIN(2 * d->cap, (size_t)PROTO_NEED_MAX)));
	return d->n + n <= d->cap;
}

/* The first n bytes of it are done with. */
static void held_drop(struct unpack *u, struct unpack_dir *d, size_t n)
{
	d->n -= n;
	d->plain += n;
	if (d->n)
		memmove(d->held, d->held + n, d->n);
	else if (d->cap > HELD_KEEP)
		held_resize(u, d, 0);
}

/* ---- one call ---- */

/* What one step came to. */
enum got {
	GOT_MORE,  /* nothing: more of the wire is needed, or the other direction */
	GOT_AGAIN, /* something, but no plain bytes */
	GOT_PLAIN, /* some, or it is the parser's turn without */
};

struct turn {
	struct unpack *u;
	struct unpack_dir *d;
	const struct proto_ops *ops;
	void *st;
	const struct parse_in *in;
	struct sink *sink;
	struct slice left; /* of in->buf */
	struct drive_result ret;
};

static void take(struct turn *t, size_t n)
{
	t->left = slice_from(t->left, n);
	t->d->wire += n;
	t->ret.consumed += n;
}

/* Gives the parser what is held. Whether it can take more. */
static bool feed(struct turn *t, bool eof)
{
	struct unpack_dir *d = t->d;
	struct parse_in in = *t->in;
	struct drive_result r;

	d->due = false;
	d->fresh = 0;
	in.buf = d->n ? slice_of(d->held, d->n) : SLICE_LIT("");
	in.off = d->plain;
	in.eof = eof;
	in.settled &= t->u->dir[dir_other(in.dir)].n == 0;
	r = proto_drive(t->ops, t->st, in, t->sink);
	held_drop(t->u, d, r.consumed);
	d->want = d->plain + r.skip;
	d->waits = r.st == PARSE_WAIT;
	t->ret.resynced += r.resynced;
	t->ret.violated = r.violated;
	t->ret.next = r.next;
	t->ret.why = r.why;
	t->ret.st = r.st == PARSE_NEED ? PARSE_OK : r.st;
	return t->ret.st == PARSE_OK && !r.violated;
}

/* ---- what cannot be unpacked ---- */

/* The parser is told that the next `lost` plain bytes will not come. */
static void tell_gap(struct turn *t, uint64_t lost)
{
	struct unpack_dir *d = t->d;
	uint64_t unwanted = d->want > d->plain ? MIN(d->want - d->plain, lost) : 0, at = d->plain;

	if (unwanted) {
		d->plain += unwanted;
		d->due = d->plain == d->want;
		at = d->plain;
		lost -= unwanted;
	}
	if (lost == 0)
		return;
	lost += d->n; /* the torn beginning goes with it */
	held_drop(t->u, d, d->n);
	d->plain = at + lost;
	d->waits = d->due = false;
	t->ops->gap(t->st, t->in->dir, at, lost, t->sink);
}

static void packet_end(struct turn *t)
{
	codec_put(t->u->pool, t->d->codec);
	t->d->codec = NULL;
	t->d->inside = t->d->refused = false;
}

/* The rest of the packet at hand. */
static void refuse(struct turn *t)
{
	struct unpack_dir *d = t->d;
	uint32_t lost = d->plain_left;

	d->refused = true;
	d->plain_left = 0;
	tell_gap(t, lost);
}

/* Where the next packet begins is not known any more. */
static void lose(struct turn *t)
{
	packet_end(t);
	t->d->lost = true;
	t->d->want = t->d->plain;
	tell_gap(t, LOST_BYTES);
}

static enum got in_trouble(struct turn *t, enum trouble what)
{
	t->d->trouble = (uint8_t)what;
	return GOT_AGAIN;
}

/* What is in trouble itself waits for nothing that could come of it. */
static bool is_older(const struct unpack_dir *other)
{
	return other->waits && !other->trouble;
}

static enum got tell_trouble(struct turn *t)
{
	struct unpack_dir *d = t->d, *other = &t->u->dir[dir_other(t->in->dir)];
	struct parse_in in = { .dir = dir_other(t->in->dir), .force = true };
	struct turn forced = *t;

	if (d->fresh && !feed(t, false))
		return GOT_MORE;
	if (is_older(other) && !t->in->force) {
		d->waits = true;
		t->ret.st = PARSE_WAIT;
		return GOT_MORE;
	}
	forced.d = other;
	forced.in = &in;
	if (is_older(other) && other->n)
		(void)feed(&forced, false);
	if (d->trouble == TROUBLE_LOST)
		lose(t);
	else
		refuse(t);
	d->trouble = TROUBLE_NONE;
	return GOT_AGAIN;
}

/* ---- packets ---- */

static enum got need(struct turn *t, size_t n)
{
	if (t->left.n >= n)
		return GOT_AGAIN;
	t->ret.need = n;
	t->ret.st = PARSE_NEED;
	return GOT_MORE;
}

static enum got find_packet(struct turn *t)
{
	size_t n = 0;

	while (t->left.n - n >= PACKED_LOOK &&
	       !packed_plausible(slice_from(t->left, n), t->in->dir == t->u->client))
		n++;
	t->u->refused += n;
	take(t, n);
	t->d->lost = t->left.n < PACKED_LOOK;
	return need(t, PACKED_LOOK);
}

static enum got packet_begin(struct turn *t)
{
	struct unpack_dir *d = t->d;
	struct packed_header h;

	if (!packed_header_read(t->left, &h) || (h.plain && t->left.n == PACKED_HEADER))
		return need(t, PACKED_HEADER + 1);
	d->packed = h.plain != 0;
	if (d->packed && !codec_kind_of(t->left.p[PACKED_HEADER], &d->kind))
		return in_trouble(t, TROUBLE_LOST);
	mark_add(d, &h);
	d->inside = true;
	d->full = false;
	d->wire_left = h.wire;
	d->plain_left = d->packed ? h.plain : h.wire;
	d->may = h.plain <= UNPACK_FREE_MAX || h.plain / UNPACK_RATIO_MAX <= h.wire;
	take(t, PACKED_HEADER);
	return GOT_AGAIN;
}

/* Bytes of the packet that nobody wants: behind what was refused, before what the parser wants next,
 * behind its last plain byte. */
static enum got pass(struct turn *t)
{
	struct unpack_dir *d = t->d;
	size_t n = MIN(t->left.n, (size_t)d->wire_left);

	t->u->refused += d->refused ? n : 0;
	d->wire_left -= (uint32_t)n;
	take(t, n);
	if (d->wire_left) {
		if (d->plain_left && !t->in->eof)
			t->ret.skip = d->wire_left;
		return GOT_MORE;
	}
	d->plain += d->plain_left;
	d->due |= d->plain_left && d->plain == d->want;
	d->plain_left = 0;
	packet_end(t);
	return GOT_AGAIN;
}

/* Unpacks n bytes at most behind those that are held. As codec_run(). */
static int64_t unpack(struct unpack *u, struct unpack_dir *d, struct slice *in, size_t n)
{
	uint8_t *out;

	if (!held_room(u, d, n))
		return -1;
	out = d->n ? d->held + d->n : d->held; /* NULL when nothing is wanted and nothing held */
	if (d->packed && !d->codec && d->may)
		d->codec = codec_take(u->pool, d->kind, d->plain_left);
	if (d->packed)
		return d->codec ? codec_run(d->codec, in, out, n) : -1;
	n = MIN(n, in->n);
	if (n > 0)
		memcpy(out, in->p, n);
	*in = slice_from(*in, n);
	return (int64_t)n;
}

/* The parser gets a step or what is left of the packet, so that what it wants next, and with it what is
 * not unpacked, is the same however the packet came. */
static enum got unpack_piece(struct turn *t)
{
	struct unpack_dir *d = t->d;
	struct slice in = slice_head(t->left, d->wire_left), before = in;
	size_t max = MIN(UNPACK_STEP - d->fresh, d->plain_left);
	int64_t got;

	if (in.n == 0 && d->wire_left && !d->full)
		return GOT_MORE;
	got = unpack(t->u, d, &in, max);
	d->full = d->packed && got == (int64_t)max;
	if (got == 0 && before.n == 0 && d->wire_left)
		return GOT_MORE;
	if (got < 0 || (got == 0 && in.n == before.n))
		return in_trouble(t, TROUBLE_REFUSED);
	d->wire_left -= (uint32_t)(before.n - in.n);
	take(t, before.n - in.n);
	d->n += (size_t)got;
	d->fresh += (uint32_t)got;
	t->u->made += (uint64_t)got;
	d->plain_left -= (uint32_t)got;
	if (d->want > d->plain) {
		held_drop(t->u, d, MIN(d->n, (size_t)(d->want - d->plain)));
		d->due = d->plain == d->want;
	}
	if (d->fresh < UNPACK_STEP && d->plain_left)
		return GOT_AGAIN;
	return d->n || d->due ? GOT_PLAIN : GOT_AGAIN;
}

static enum got unpack_some(struct turn *t)
{
	struct unpack_dir *d = t->d;

	if (d->due && !d->inside)
		return GOT_PLAIN;
	if (d->trouble)
		return tell_trouble(t);
	if (d->lost)
		return find_packet(t);
	if (!d->inside)
		return packet_begin(t);
	if (d->refused || d->plain_left == 0 || d->want >= d->plain + d->n + d->plain_left)
		return pass(t);
	return unpack_piece(t);
}

/* ---- to the outside ---- */

struct unpack *unpack_new(struct unpack_pool *pool, enum dir client, const uint64_t at[2])
{
	struct unpack *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->pool = pool;
	u->client = client;
	for (int i = 0; i < 2; i++)
		u->dir[i].base = u->dir[i].wire = u->dir[i].plain = at[i];
	u->dir[client].waits = true; /* what came ahead of the login's end was not looked at */
	return u;
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	for (int i = 0; i < 2; i++) {
		codec_put(u->pool, u->dir[i].codec);
		held_resize(u, &u->dir[i], 0);
	}
	free(u);
}

struct drive_result unpack_drive(struct unpack *u, const struct proto_ops *ops, void *st,
				 const struct parse_in *in, struct sink *out)
{
	struct relay relay = { u, out };
	struct sink sink = { &relay_ops, &relay, 0 };
	struct unpack_dir *d = &u->dir[in->dir];
	struct turn t = { u, d, ops, st, in, &sink, in->buf, { .st = PARSE_OK } };
	enum got got = GOT_AGAIN;
	bool more = true;

	if (d->inside) /* what was not wanted has passed in between */
		d->wire_left -= (uint32_t)MIN(in->off - d->wire, (uint64_t)d->wire_left);
	d->wire = in->off;
	if (d->waits && d->n)
		more = feed(&t, false);
	else
		d->waits = false;
	while (more && got != GOT_MORE) {
		got = unpack_some(&t);
		if (got == GOT_PLAIN)
			more = feed(&t, false);
	}
	if (!more || !in->eof || d->waits)
		return t.ret;
	u->refused += t.left.n;
	take(&t, t.left.n);
	(void)feed(&t, true);
	t.ret.skip = 0;
	return t.ret;
}

void unpack_gap(struct unpack *u, const struct proto_ops *ops, void *st, enum dir dir, uint64_t off,
		uint64_t lost, struct sink *out)
{
	struct relay relay = { u, out };
	struct sink sink = { &relay_ops, &relay, 0 };
	struct parse_in in = { .dir = dir };
	struct unpack_dir *d = &u->dir[dir];
	struct turn t = { .u = u, .d = d, .ops = ops, .st = st, .in = &in, .sink = &sink };
	uint64_t n = off + lost - d->wire;

	if (d->fresh)
		(void)feed(&t, false);
	d->wire += n;
	if (!d->inside || n > d->wire_left) {
		lose(&t);
		return;
	}
	d->wire_left -= (uint32_t)n;
	if (d->packed && !d->refused) {
		refuse(&t);
	} else if (!d->refused) {
		d->plain_left -= (uint32_t)n;
		tell_gap(&t, n);
	}
}

void unpack_close(struct unpack *u, const struct proto_ops *ops, void *st, struct sink *out)
{
	struct relay relay = { u, out };
	struct sink sink = { &relay_ops, &relay, 0 };

	ops->close(st, &sink);
}

uint64_t unpack_progress(const struct unpack *u, enum dir dir)
{
	return u->dir[dir].plain;
}

uint64_t unpack_made(const struct unpack *u)
{
	return u->made;
}

uint64_t unpack_refused(struct unpack *u)
{
	uint64_t n = u->refused;

	u->refused = 0;
	return n;
}

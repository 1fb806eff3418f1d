/* Hop 4: the bytes of each direction in order, by position, in bounded memory; then hop 5, the
 * parser, through protocols/drive.c.
 *
 *	          skip_until: below it nothing is wanted
 *	               v
 *	 ...done......|......[ buf: len bytes kept ]........
 *	                     ^ next                 ^ next + len: where the next record should begin
 *
 * A record that begins later leaves a gap: bytes that were not wanted, that the kernel sent without
 * showing them (sendfile), or that were lost. The parser hears only of gaps that touch what it wants.
 */
#include "agent/pipeline_int.h"

#include <string.h>

#define TAKEN_STEP    65536 /* bytes: the kernel is told no finer, its window is much larger */
#define FREE_BUF_KEEP 16384 /* bytes: larger buffers are given back as soon as they are empty */

static const struct proto_ops *ops_of(const struct conn *c)
{
	return c->state == CONN_PARSING ? c->ops : NULL;
}

/* ---- time ---- */

static void mark_time(struct stream *s, uint64_t pos, uint64_t ts_ns)
{
	if (s->n_marks == TIME_MARKS) {
		/* Marks behind what is still of interest go first, else the second oldest: the
		 * oldest byte's time matters most. */
		size_t drop = s->n_marks > 1 && s->marks[1].pos <= s->next ? 0 : 1;

		memmove(&s->marks[drop], &s->marks[drop + 1],
			(TIME_MARKS - 1 - drop) * sizeof(s->marks[0]));
		s->n_marks--;
	}
	s->marks[s->n_marks++] = (struct time_mark){ pos, ts_ns };
}

uint64_t stream_time(const struct stream *s, uint64_t pos)
{
	for (size_t i = s->n_marks; i > 0; i--)
		if (s->marks[i - 1].pos <= pos)
			return s->marks[i - 1].ts_ns;
	return s->n_marks ? s->marks[0].ts_ns : 0;
}

static void buf_free(struct pipeline *p, struct stream *s)
{
	p->buf_bytes -= s->cap;
	free(s->buf);
	s->buf = NULL;
	s->cap = 0;
}

/* ---- control: what the kernel shall copy ---- */

static void tell_kernel(struct pipeline *p, struct conn *c)
{
	struct conn_ctl *ctl;

	if (!p->opts.ctl || c->slot >= p->opts.n_ctl)
		return;
	ctl = &p->opts.ctl[c->slot];
	ctl->skip_until[EV_RX] = c->dir[DIR_RX].skip_until;
	ctl->skip_until[EV_TX] = c->dir[DIR_TX].skip_until;
	for (int d = 0; d < 2; d++)
		ctl->taken[d] = c->dir[d].taken_told = c->dir[d].taken;
	ctl->verdict = c->verdict;
	__atomic_store_n(&ctl->conn, c->id, __ATOMIC_RELEASE);
}

void stream_adopt(struct pipeline *p, struct conn *c)
{
	const struct conn_ctl *ctl;

	if (!p->opts.ctl || c->slot >= p->opts.n_ctl)
		return;
	ctl = &p->opts.ctl[c->slot];
	if (ctl->conn != c->id)
		return;
	for (int d = 0; d < 2; d++)
		c->dir[d].taken = c->dir[d].taken_told = ctl->taken[d];
}

void stream_taken(struct pipeline *p, struct conn *c, enum dir dir, uint32_t n)
{
	struct stream *s = &c->dir[dir];

	s->taken += n;
	if (s->taken - s->taken_told >= TAKEN_STEP && c->verdict == CTL_COPY)
		tell_kernel(p, c);
}

void stream_ignore(struct pipeline *p, struct conn *c, const char *why)
{
	c->state = CONN_IGNORED;
	c->why_unreadable = why;
	c->verdict = CTL_COUNT;
	for (int d = 0; d < 2; d++) {
		struct stream *s = &c->dir[d];

		count(p, L4_UNREADABLE, s->len);
		p->held_bytes -= s->len;
		s->len = 0;
		buf_free(p, s);
		s->waiting = false;
	}
	tell_kernel(p, c);
}

/* ---- the buffer ---- */

static bool buf_add(struct pipeline *p, struct stream *s, struct slice v)
{
	size_t need = s->len + v.n;

	if (need > STREAM_BUF_MAX)
		return false;
	if (need > s->cap) {
		size_t cap = MAX(MIN(MAX(need, (size_t)s->cap * 2), (size_t)STREAM_BUF_MAX),
				 (size_t)1024);
		uint8_t *buf;

		if (p->buf_bytes + cap - s->cap > STREAM_BYTES_MAX)
			return false;
		buf = realloc(s->buf, cap);
		if (!buf)
			return false;
		p->buf_bytes += cap - s->cap;
		s->buf = buf;
		s->cap = (uint32_t)cap;
	}
	memcpy(s->buf + s->len, v.p, v.n);
	s->len += (uint32_t)v.n;
	p->held_bytes += v.n;
	return true;
}

static void buf_drop(struct pipeline *p, struct stream *s, size_t n)
{
	s->len -= (uint32_t)n;
	p->held_bytes -= n;
	if (s->len)
		memmove(s->buf, s->buf + n, s->len);
	else if (s->cap > FREE_BUF_KEEP || p->buf_bytes > STREAM_BYTES_MAX / 4)
		buf_free(p, s);
}

/* ---- hop 5 ---- */

/* Gives the connection a parser, in its first state. */
static bool parser_begin(struct pipeline *p, struct conn *c, enum dir request_dir, bool mid)
{
	c->parser = calloc(1, c->ops->state_size);
	if (!c->parser) {
		stream_ignore(p, c, "no memory");
		return false;
	}
	c->state = CONN_PARSING;
	c->request_dir = (uint8_t)request_dir;
	c->ops->init(c->parser, request_dir, mid);
	if (p->opts.want_bodies && c->ops->want_bodies)
		c->ops->want_bodies(c->parser, (uint64_t)p->opts.body_max_bytes + BODY_MARGIN);
	return true;
}

static void parser_free(struct conn *c)
{
	free(c->parser);
	c->parser = NULL;
	unpack_free(c->unpack);
	c->unpack = NULL;
}

/* Takes it away: it ends the messages that it has open. */
static void parser_end(struct pipeline *p, struct conn *c)
{
	struct sink sink = { &pair_sink, &p->pair, 0 };

	pair_at(&p->pair, p, c, DIR_RX);
	if (c->unpack)
		unpack_close(c->unpack, c->ops, c->parser, &sink);
	else
		c->ops->close(c->parser, &sink);
	parser_free(c);
}

/* Another protocol speaks from s->next on. False: none that is read. */
static bool parser_switch(struct pipeline *p, struct conn *c, const struct drive_result *r)
{
	if (r->violated || r->st != PARSE_SWITCH || !proto_get(r->next) ||
	    policy_refuses_protocol(&p->policy, r->next))
		return false;
	parser_end(p, c);
	pair_close(p, c);
	c->proto = (uint8_t)r->next;
	c->ops = proto_get(r->next);
	return parser_begin(p, c, (enum dir)c->request_dir, false);
}

/* What both directions carry from here on is compressed. */
static bool parser_unpack(struct pipeline *p, struct conn *c, const struct drive_result *r)
{
	uint64_t at[2];

	if (r->violated || r->st != PARSE_UNPACK || c->unpack)
		return false;
	for (int d = 0; d < 2; d++)
		at[d] = MAX(c->dir[d].next, c->dir[d].skip_until);
	c->unpack = unpack_new(&p->unpack, (enum dir)c->request_dir, at);
	return c->unpack != NULL;
}

static void parse_end(struct pipeline *p, struct conn *c, const struct drive_result *r)
{
	unpack_free(c->unpack); /* its memory is others' to use */
	c->unpack = NULL;
	if (r->violated)
		stream_ignore(p, c, "parser error");
	else if (r->st == PARSE_SWITCH)
		stream_ignore(p, c, r->next ? proto_name(r->next) : "tunnel after the switch");
	else if (r->st == PARSE_UNPACK)
		stream_ignore(p, c, "no memory");
	else
		stream_ignore(p, c, r->why ? r->why : "not understood");
}

/* As in struct parse_in. The packets of a capture may stand in another order than they were sent in. */
static bool is_settled(const struct pipeline *p, const struct conn *c, enum dir dir)
{
	return dir == DIR_TX && c->request_dir == DIR_RX && !p->opts.wire &&
	       c->dir[DIR_RX].len == 0;
}

/* Hop 5's own books of what it took. */
static struct drive_result drive(struct pipeline *p, struct conn *c, const struct parse_in *in,
				 struct sink *sink)
{
	struct drive_result r = c->unpack ? unpack_drive(c->unpack, ops_of(c), c->parser, in, sink)
					  : proto_drive(ops_of(c), c->parser, *in, sink);
	uint64_t refused = c->unpack ? unpack_refused(c->unpack) : 0, resynced;

	resynced = MIN(r.resynced, (uint64_t)r.consumed - refused);
	count(p, L5_IN, r.consumed);
	if (!leaks(p, 5))
		count(p, L5_OUT, r.consumed - resynced - refused);
	count(p, L5_RESYNCED, resynced);
	count(p, L5_PACKED, refused);
	return r;
}

/* Gives v (the bytes from s->next on) to the parser. Returns how many of them are done with;
 * s->next stands behind those. */
static size_t parse(struct pipeline *p, struct conn *c, enum dir dir, struct slice v, bool force)
{
	struct stream *s = &c->dir[dir];
	struct sink sink = { &pair_sink, &p->pair, 0 };
	size_t done = 0;

	s->waiting = false;
	for (;;) {
		struct slice rest = slice_from(v, done);
		struct parse_in in = { .buf = rest,
				       .off = s->next,
				       .dir = dir,
				       .eof = s->eof && s->next + rest.n >= s->eof_pos,
				       .force = force,
				       .settled = is_settled(p, c, dir) };
		struct drive_result r;
		uint64_t skip;

		pair_at(&p->pair, p, c, dir);
		r = drive(p, c, &in, &sink);
		count(p, L4_OUT, r.consumed);
		done += r.consumed;
		s->next += r.consumed;
		if (parser_switch(p, c, &r) || parser_unpack(p, c, &r)) {
			if (done == v.n)
				return done;
			continue;
		}
		if (c->state == CONN_IGNORED)
			return v.n;
		if (r.violated || r.st == PARSE_SWITCH || r.st == PARSE_UNPACK ||
		    r.st == PARSE_STOP) {
			count(p, L4_UNREADABLE, v.n - done);
			if (s->len)
				buf_drop(p, s, s->len); /* v itself: already counted */
			parse_end(p, c, &r);
			return v.n;
		}
		s->waiting = r.st == PARSE_WAIT;
		if (!r.skip)
			return done;
		s->skip_until = s->next + r.skip;
		skip = MIN(r.skip, (uint64_t)(v.n - done));
		count(p, L4_UNWANTED, skip);
		done += skip;
		s->next += skip;
		tell_kernel(p, c);
		if (s->next < s->skip_until && !in.eof)
			return done;
	}
}

/* Parses what the buffer holds. */
static void parse_buffer(struct pipeline *p, struct conn *c, enum dir dir, bool force)
{
	struct stream *s = &c->dir[dir];
	size_t done = parse(p, c, dir, slice_of(s->buf, s->len), force);

	if (c->state == CONN_PARSING)
		buf_drop(p, s, done);
}

/* Grows whenever the parser takes something. */
static uint64_t reached(const struct conn *c, enum dir dir)
{
	return c->dir[dir].next + (c->unpack ? unpack_progress(c->unpack, dir) : 0);
}

/* Tells the parser that the last n bytes before s->next are missing. */
static void parser_gap(struct pipeline *p, struct conn *c, enum dir dir, uint64_t n)
{
	struct stream *s = &c->dir[dir];
	struct sink sink = { &pair_sink, &p->pair, 0 };

	s->gap_ns = p->now_ns;
	pair_at(&p->pair, p, c, dir);
	if (c->unpack)
		unpack_gap(c->unpack, c->ops, c->parser, dir, s->next - n, n, &sink);
	else
		c->ops->gap(c->parser, dir, s->next - n, n, &sink);
}

/* The other direction advanced: what waited for it may go on, and then what waits for that. */
static void wake_other(struct pipeline *p, struct conn *c, enum dir dir)
{
	bool moved = true;

	while (moved && c->state == CONN_PARSING) {
		struct stream *s;
		uint64_t before;

		dir = dir_other(dir);
		s = &c->dir[dir];
		before = reached(c, dir);
		if (s->waiting)
			parse_buffer(p, c, dir, false);
		moved = reached(c, dir) != before;
	}
}

/* ---- finding out the protocol ---- */

static const char *why_recognised(enum proto_id id)
{
	static const char *const whys[_PROTO_MAX] = {
		[PROTO_TLS] = "tls",
		[PROTO_HTTP2] = "http2 is not read yet",
	};

	return whys[id] ? whys[id] : "recognised, not read yet";
}

/* How many bytes of the buffer came before ts_ns. */
static size_t bytes_before(const struct stream *s, uint64_t ts_ns)
{
	for (size_t i = 0; i < s->n_marks; i++)
		if (s->marks[i].ts_ns >= ts_ns)
			return (size_t)MIN(s->marks[i].pos - MIN(s->marks[i].pos, s->next),
					   (uint64_t)s->len);
	return s->len;
}

/* What is held of the answers from before the first request is for requests that were passed over,
 * and is passed over like those. */
static void drop_older(struct pipeline *p, struct conn *c, enum dir dir)
{
	struct stream *s = &c->dir[dir], *requests = &c->dir[dir_other(dir)];
	size_t n = bytes_before(s, stream_time(requests, requests->next));

	count(p, L4_UNREADABLE, n);
	s->next += n;
	buf_drop(p, s, n);
}

static void start_parsing(struct pipeline *p, struct conn *c, enum dir request_dir)
{
	/* What was passed over may have been a request, or its answer. */
	bool mid = c->old || c->dir[DIR_RX].infer_chunks > 0 || c->dir[DIR_TX].infer_chunks > 0;

	if (!parser_begin(p, c, request_dir, mid))
		return;
	c->role_known = true;
	c->verdict = CTL_COPY;
	tell_kernel(p, c);
	if (mid)
		drop_older(p, c, dir_other(request_dir));
	parse_buffer(p, c, request_dir, false);
	if (c->state == CONN_PARSING && c->dir[dir_other(request_dir)].len)
		parse_buffer(p, c, dir_other(request_dir), false);
}

static void recognised(struct pipeline *p, struct conn *c, enum proto_id id, enum dir request_dir)
{
	const char *refused = policy_refuses_protocol(&p->policy, id);

	c->proto = (uint8_t)id;
	c->ops = proto_get(id);
	if (refused)
		stream_ignore(p, c, refused);
	else if (c->ops)
		start_parsing(p, c, request_dir);
	else
		stream_ignore(p, c, why_recognised(id));
}

/* Looks at what may be a beginning in the buffer of dir. */
static void infer_dir(struct pipeline *p, struct conn *c, enum dir dir)
{
	struct stream *s = &c->dir[dir], *other = &c->dir[dir_other(dir)];
	struct probe_in in = { .head = slice_of(s->buf, s->len),
			       .other = slice_of(other->buf, other->len),
			       .start = !c->old && s->next == 0 };
	bool is_request = false, more = false;
	enum proto_id id = proto_infer(&in, &is_request, &more);

	if (id != PROTO_UNKNOWN) {
		recognised(p, c, id, is_request ? dir : dir_other(dir));
		return;
	}
	if (more && s->len < INFER_HOLD_MAX)
		return;
	/* Not a beginning: the next record may be one. */
	count(p, L4_UNREADABLE, s->len);
	s->next += s->len;
	buf_drop(p, s, s->len);
	if (++s->infer_chunks >= INFER_CHUNKS_MAX)
		stream_ignore(p, c, "unknown protocol");
}

/* Something has come in dir: it may be what the other direction has waited for, too. */
static void infer(struct pipeline *p, struct conn *c, enum dir dir)
{
	infer_dir(p, c, dir);
	if (c->state == CONN_UNKNOWN_PROTO && c->dir[dir].len && c->dir[dir_other(dir)].len)
		infer_dir(p, c, dir_other(dir));
}

/* ---- input ---- */

static void payload(struct pipeline *p, struct conn *c, enum dir dir, struct slice v);

/* The buffer is full and v does not fit. What waits for the other direction has waited long enough;
 * when the parser still takes nothing, buffer and v are a gap for it. */
static void overflow(struct pipeline *p, struct conn *c, enum dir dir, struct slice v)
{
	struct stream *s = &c->dir[dir];
	uint32_t before = s->len;
	uint64_t lost;

	if (c->state == CONN_UNKNOWN_PROTO)
		stream_ignore(p, c, "too much held back");
	else if (s->waiting)
		parse_buffer(p, c, dir, true);
	if (c->state == CONN_IGNORED || s->len < before) {
		payload(p, c, dir, v);
		return;
	}
	lost = s->len + v.n;
	count(p, L4_EVICTED, lost);
	s->next += lost;
	buf_drop(p, s, s->len);
	parser_gap(p, c, dir, lost);
	wake_other(p, c, dir);
}

static void payload(struct pipeline *p, struct conn *c, enum dir dir, struct slice v)
{
	struct stream *s = &c->dir[dir];
	uint64_t unwanted = s->next < s->skip_until ? MIN(s->skip_until - s->next, (uint64_t)v.n)
						    : 0;

	if (unwanted) {
		count(p, L4_UNWANTED, unwanted);
		s->next += unwanted;
		v = slice_from(v, unwanted);
		if (s->next < s->skip_until)
			return;
	}
	if (c->state == CONN_IGNORED) {
		count(p, L4_UNREADABLE, v.n);
		s->next += v.n;
		return;
	}
	if (c->state == CONN_PARSING && s->len == 0) {
		v = slice_from(v, parse(p, c, dir, v, false));
		if (c->state != CONN_PARSING || !v.n) {
			wake_other(p, c, dir);
			return;
		}
	} else if (!v.n) {
		return;
	}
	if (!buf_add(p, s, v)) {
		overflow(p, c, dir, v);
		return;
	}
	if (c->state == CONN_UNKNOWN_PROTO)
		infer(p, c, dir);
	else if (s->len > v.n)
		parse_buffer(p, c, dir, false);
	wake_other(p, c, dir);
}

/* Where the n missing bytes are booked. What the kernel left out because the connection was over its
 * window, or its budget while nobody had judged it, is left out on purpose there; whether it was wanted
 * is known only here, and what a parser wanted of it is a loss, with a name of its own. The walk that
 * finds what is open already, and the hooks, do not begin at one moment: what lies between the two on
 * such a connection crossed while Kelpie started. */
static enum ledger_id fate_of_gap(const struct conn *c, const struct stream *s, enum ev_miss why)
{
	if (c->state == CONN_IGNORED)
		return L4_GAP_UNWANTED;
	if (why == EV_MISS_NOPAYLOAD)
		return L4_GAP_NOPAYLOAD;
	if (why == EV_MISS_BUDGET && c->state == CONN_UNKNOWN_PROTO)
		return L4_GAP_BUDGET;
	if (why == EV_MISS_BUDGET || why == EV_MISS_WINDOW)
		return L4_GAP_WINDOW;
	return c->old && s->n_marks <= 1 && c->state == CONN_UNKNOWN_PROTO ? L4_GAP_START
									   : L4_GAP_LOST;
}

/* The n bytes from s->next + s->len on will not be seen. */
static void missing(struct pipeline *p, struct conn *c, enum dir dir, uint64_t n, enum ev_miss why)
{
	struct stream *s = &c->dir[dir];
	uint64_t at = s->next + s->len, unwanted;
	enum ledger_id fate;

	/* What waits is older than what comes behind the gap, and must not be paired with that. */
	if (c->state == CONN_PARSING && at + n > s->skip_until)
		stream_force(p, c);
	at = s->next + s->len;
	unwanted = at < s->skip_until ? MIN(s->skip_until - at, n) : 0;
	count(p, L4_GAP_IN, n);
	count(p, L4_GAP_UNWANTED, unwanted);
	n -= unwanted;
	fate = fate_of_gap(c, s, why);
	count(p, fate, n);
	if (n) {
		/* What the parser has not taken yet is a torn beginning; of what nobody has
		 * recognised within its budget, no more than that. */
		count(p, fate == L4_GAP_BUDGET ? L4_UNREADABLE : L4_CUT, s->len);
		s->next += s->len;
		buf_drop(p, s, s->len);
	}
	s->next += unwanted + n;
	if (c->state != CONN_PARSING)
		return;
	if (n)
		parser_gap(p, c, dir, n);
	if (s->next >= s->skip_until)
		parse_buffer(p, c, dir, false);
	wake_other(p, c, dir);
}

void stream_data(struct pipeline *p, struct conn *c, const struct ev_data *ev)
{
	enum dir dir = ev->h.flags & EV_F_TX ? DIR_TX : DIR_RX;
	struct stream *s = &c->dir[dir];
	struct slice v = slice_of(ev->data, ev->cap_len);
	uint64_t end = ev->pos + ev->orig_len, expect = s->next + s->len, behind;

	count(p, L4_IN, v.n);
	if (leaks(p, 4))
		return;
	/* Told again to a parser that began anew: records from before the telling wait in the ring. */
	if (c->old && !s->n_marks && ev->pos < s->next && !s->skip_until)
		s->next = expect = ev->pos;
	s->seen = MAX(s->seen, end);
	if (end <= expect && expect > ev->pos) {
		count(p, end <= s->skip_until ? L4_UNWANTED : L4_DUPLICATE, v.n);
		return;
	}
	mark_time(s, MAX(ev->pos, expect), ev->h.ts_ns);
	if (ev->pos > expect)
		missing(p, c, dir, ev->pos - expect, EV_MISS_SKIP);
	expect = s->next + s->len;
	behind = ev->pos < expect ? MIN(expect - ev->pos, (uint64_t)v.n) : 0;
	if (behind) {
		count(p, L4_DUPLICATE, behind);
		v = slice_from(v, behind);
	}
	if (v.n)
		payload(p, c, dir, v);
	expect = s->next + s->len;
	if (end > expect)
		missing(p, c, dir, end - expect, (enum ev_miss)ev->h.miss);
	else if (!v.n && c->state == CONN_PARSING && s->next >= s->skip_until && !s->len)
		parse_buffer(p, c, dir, false);
}

void stream_reach(struct pipeline *p, struct conn *c, enum dir dir, uint64_t pos, enum ev_miss why)
{
	struct stream *s = &c->dir[dir];
	uint64_t expect = s->next + s->len;

	if (pos > expect)
		missing(p, c, dir, pos - expect, why);
}

void stream_eof(struct pipeline *p, struct conn *c, enum dir dir, uint64_t pos)
{
	struct stream *s = &c->dir[dir];

	if (s->eof)
		return;
	s->eof = true;
	s->eof_pos = pos;
	if (!c->eof_first)
		c->eof_first = (uint8_t)(1 + dir);
	mark_time(s, MAX(pos, s->next + s->len), p->now_ns);
	if (c->state == CONN_PARSING && s->next + s->len >= pos) {
		s->eof_told = true;
		parse_buffer(p, c, dir, false);
		wake_other(p, c, dir);
	}
}

void stream_force(struct pipeline *p, struct conn *c)
{
	for (int d = 0; d < 2; d++)
		if (c->state == CONN_PARSING && c->dir[d].waiting)
			parse_buffer(p, c, (enum dir)d, true);
}

void stream_close(struct pipeline *p, struct conn *c)
{
	if (c->state == CONN_PARSING) {
		for (int d = 0; d < 2 && c->state == CONN_PARSING; d++)
			if (c->dir[d].waiting ||
			    (!c->dir[d].eof_told && (c->dir[d].len || c->dir[d].eof)))
				parse_buffer(p, c, (enum dir)d, true);
		if (c->state == CONN_PARSING)
			parser_end(p, c);
	}
	for (int d = 0; d < 2; d++) {
		struct stream *s = &c->dir[d];

		count(p, c->state == CONN_PARSING ? L4_REST : L4_UNREADABLE, s->len);
		p->held_bytes -= s->len;
		s->len = 0;
		buf_free(p, s);
	}
	parser_free(c);
}

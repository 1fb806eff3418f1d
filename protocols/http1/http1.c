/* The framing of HTTP/1: where messages begin and end, in both directions of a connection.
 *
 *	START -> HEAD -> (body) -> START
 *	body:	LENGTH | CLOSE | CHUNK_SIZE -> CHUNK_DATA -> CHUNK_END -> ... -> TRAILERS
 *	PEEK	before the body of a response whose request is not known
 *
 * A message is read line by line, so at most one line has to be contiguous, and a body is never
 * held. Bodies are tracked by the stream position they end at: bytes that are skipped or lost
 * inside one do no harm. Invariant: `open` says that begin() was told and end() was not.
 */
#include "protocols/http1/http1.h"
#include "protocols/http1/pairing.h"
#include "protocols/http1/syntax.h"
#include "protocols/step.h"

#define INTERIM_MAX 4 /* interim statuses kept for the final response */
#define PEEK_BYTES  7 /* "HTTP/1." */

enum phase {
	START,
	HEAD,
	PEEK,
	LENGTH,
	CHUNK_SIZE,
	CHUNK_DATA,
	CHUNK_END,
	TRAILERS,
	CLOSE,
	_PHASE_MAX
};

enum framing_header { HEADER_OTHER, HEADER_LENGTH, HEADER_CODING, HEADER_UPGRADE };

/* What is known of a message while it is read. */
struct message {
	uint64_t length; /* Content-Length */
	uint64_t body_bytes;
	uint32_t flags; /* enum msg_flag */
	uint32_t head_bytes;
	uint16_t headers;
	uint8_t class;	/* enum request_class of the request, or of the one that is answered */
	uint8_t header; /* enum framing_header of the line before, for its continuation */
	uint8_t bad_lines;
	bool open;
	bool in_long_line; /* the rest of a line over the maximum is being dropped */
	bool emitting;	   /* the header before was emitted */
	bool has_length, bad_length, has_coding, chunked, upgrade, websocket, h2c;
};

/* One direction. What is reset between messages stands in `m`. */
struct half {
	uint64_t key;	     /* of the open message */
	uint64_t body_end;   /* position behind a body or chunk of known length */
	uint64_t counted_to; /* position up to which body bytes are counted */
	uint64_t body_left;  /* bytes of the body that are still to be delivered */
	uint64_t scanned;    /* position up to which the open line has no LF */
	uint64_t last;	     /* position behind the last byte consumed */
	bool lost;	     /* looking for a boundary among unknown bytes */
	bool seen_message;
	uint8_t phase;
	uint16_t status;
	struct message m;
};

struct http1 {
	struct half half[2];
	struct pairing pairing;
	uint64_t body_max;
	uint64_t orphans_until; /* responses that begin before it answer no request that is known */
	uint64_t held_key;
	uint16_t interim[INTERIM_MAX];
	uint8_t n_interim;
	uint8_t client; /* enum dir of requests */
	bool mid;
	bool held; /* a request may switch protocols: what follows waits for its answer */
	bool over;
};

_Static_assert(sizeof(struct http1) <= PROTO_STATE_MAX, "state of http1");

/* One call of parse(). */
struct walk {
	struct http1 *h;
	struct half *half;
	const struct parse_in *in;
	struct sink *out;
	size_t at; /* bytes of in->buf that are done with */
	uint64_t skip;
	enum proto_id next;
	enum msg_kind kind;
};

static uint64_t position(const struct walk *w)
{
	return w->in->off + w->at;
}

static struct slice rest(const struct walk *w)
{
	return slice_from(w->in->buf, w->at);
}

static bool is_request(const struct walk *w)
{
	return w->kind == MSG_REQUEST;
}

static void half_reset(struct half *s)
{
	s->phase = START;
	s->m = (struct message){ 0 };
}

/* Ends the open message at stream position off. */
static void message_end(struct half *s, enum msg_kind kind, struct sink *out, uint64_t off,
			uint32_t flags)
{
	if (s->m.open) {
		if (s->phase > HEAD)
			sink_num(out, kind, s->key, FIELD_BODY_BYTES, (int64_t)s->m.body_bytes);
		sink_end(out, kind, s->key, off, s->m.flags | flags);
	}
	half_reset(s);
}

static enum step end_here(struct walk *w, uint32_t flags)
{
	message_end(w->half, w->kind, w->out, position(w), flags);
	return STEP_ENDED;
}

/* The next line without its end. STEP_MORE when it is not all there. *ret_cut: it was longer than
 * HTTP1_LINE_MAX, and that much of it is given. */
static enum step line_get(struct walk *w, struct slice *ret, bool *ret_cut)
{
	struct half *s = w->half;
	struct slice left = rest(w);
	size_t n = MIN(left.n, (size_t)HTTP1_LINE_MAX);
	size_t from = s->scanned > position(w) ? (size_t)(s->scanned - position(w)) : 0;
	size_t nl = from < n ? from + slice_find(slice_of(left.p + from, n - from), '\n') : n;

	*ret_cut = false;
	if (nl < n) {
		w->at += nl + 1;
		*ret = slice_of(left.p, nl > 0 && left.p[nl - 1] == '\r' ? nl - 1 : nl);
		return STEP_GO;
	}
	if (left.n < HTTP1_LINE_MAX) {
		s->scanned = position(w) + left.n;
		return STEP_MORE;
	}
	w->at += HTTP1_LINE_MAX;
	s->m.in_long_line = true;
	s->m.flags |= MSG_TRUNCATED;
	*ret_cut = true;
	*ret = slice_of(left.p, HTTP1_LINE_MAX);
	return STEP_GO;
}

static enum step drop_long_line(struct walk *w)
{
	struct slice left = rest(w);
	size_t nl = slice_find(left, '\n');

	if (nl == left.n) {
		w->at += left.n;
		return STEP_MORE;
	}
	w->at += nl + 1;
	w->half->m.in_long_line = false;
	return STEP_GO;
}

static enum request_class class_of(struct slice method)
{
	if (slice_eq_str(method, "HEAD"))
		return CLASS_HEAD;
	return slice_eq_str(method, "CONNECT") ? CLASS_CONNECT : CLASS_PLAIN;
}

static enum step request_start(struct walk *w, uint64_t off, struct slice line, bool cut)
{
	struct half *s = w->half;
	struct request_line r;

	switch (request_line_parse(line, cut, &r)) {
	case LINE_BAD:
		return STEP_LOST;
	case LINE_PREFACE:
		w->at = (size_t)(off - w->in->off);
		w->next = PROTO_HTTP2;
		w->h->over = true;
		return STEP_SWITCH;
	case LINE_OK:
		break;
	}
	if (cut)
		s->m.flags |= MSG_DEGRADED;
	s->m.class = (uint8_t)class_of(r.method);
	s->key = pairing_request(&w->h->pairing, (enum request_class)s->m.class);
	s->m.open = true;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, s->key, off);
	sink_field(w->out, MSG_REQUEST, s->key, FIELD_METHOD, r.method);
	sink_field(w->out, MSG_REQUEST, s->key, FIELD_TARGET, r.target);
	sink_num(w->out, MSG_REQUEST, s->key, FIELD_VERSION, r.version);
	return STEP_GO;
}

static void interim_note(struct http1 *h, int status)
{
	if (h->n_interim < INTERIM_MAX)
		h->interim[h->n_interim++] = (uint16_t)status;
}

static enum step response_start(struct walk *w, uint64_t off, struct slice line)
{
	struct http1 *h = w->h;
	struct half *s = w->half;
	struct status_line r;
	enum request_class class;

	if (status_line_parse(line, &r) != LINE_OK)
		return STEP_LOST;
	if (!w->in->force && off >= h->orphans_until && pairing_in_doubt(&h->pairing, off))
		return STEP_WAIT;
	s->status = (uint16_t)r.status;
	if (r.status < 200 && r.status != 101) {
		interim_note(h, r.status);
		return STEP_GO;
	}
	s->key = pairing_response(&h->pairing, off, off < h->orphans_until, &class);
	s->m.class = (uint8_t) class;
	s->m.open = true;
	sink_begin(w->out, MSG_RESPONSE, w->in->dir, s->key, off);
	for (size_t i = 0; i < h->n_interim; i++)
		sink_num(w->out, MSG_RESPONSE, s->key, FIELD_INTERIM, h->interim[i]);
	h->n_interim = 0;
	sink_num(w->out, MSG_RESPONSE, s->key, FIELD_STATUS, r.status);
	sink_num(w->out, MSG_RESPONSE, s->key, FIELD_VERSION, r.version);
	if (r.reason.n > 0)
		sink_field(w->out, MSG_RESPONSE, s->key, FIELD_REASON, r.reason);
	return STEP_GO;
}

/* A response that no request was there for when it began: a server that closes a connection which was
 * idle for long says so (408, RFC 9110 section 15.5.9). It answers none that comes later either. */
static void note_unasked(struct walk *w)
{
	struct http1 *h = w->h;

	if (!is_request(w) && w->in->settled && h->half[h->client].phase == START &&
	    pairing_must_wait(&h->pairing))
		h->orphans_until = MAX(h->orphans_until, position(w) + 1);
}

/* Whether a message may begin now, or the other direction has to advance before. */
static bool may_start(struct walk *w)
{
	struct http1 *h = w->h;
	struct pairing *p = &h->pairing;

	if (!is_request(w))
		return !pairing_must_wait(p) || position(w) < h->orphans_until ||
		       (h->mid && p->next_key == 0);
	if (w->in->force) {
		h->held = false;
		if (pairing_full(p))
			pairing_give_up(p);
	}
	return !h->held && !pairing_full(p);
}

/* Whether the line at hand could begin a message, by its first bytes. */
static bool could_start(const struct walk *w, struct slice left)
{
	if (is_request(w))
		return left.p[0] > ' ' && left.p[0] < 0x7f && left.p[0] != ':';
	return slice_eq_nocase(slice_head(left, PEEK_BYTES),
			       slice_of("HTTP/1.", MIN(left.n, (size_t)PEEK_BYTES)));
}

/* Among unknown bytes, only what resync() would stop at may begin a message. */
static bool believable(const struct walk *w, struct slice left, bool cut)
{
	if (!w->half->lost)
		return true;
	return !cut && (is_request(w) ? find_request(left) : find_response(left)) == 0;
}

/* Whether what waits for its request is the first line of a server that does not speak HTTP. That is
 * said at once: said later, how many requests came before it would depend on how they were cut. */
static bool opens_with_another(struct walk *w, struct slice left)
{
	struct half *s = w->half;
	size_t begin = w->at;
	struct status_line r;
	struct slice line;
	bool cut, bad;

	if (is_request(w) || s->lost || s->seen_message || w->h->mid)
		return false;
	if (!could_start(w, left))
		return true;
	bad = line_get(w, &line, &cut) == STEP_GO && status_line_parse(line, &r) != LINE_OK;
	w->at = begin;
	s->m.in_long_line = false;
	s->m.flags = 0;
	return bad;
}

static enum step phase_start(struct walk *w)
{
	struct half *s = w->half;
	struct slice left = rest(w), line;
	size_t begin;
	enum step step;
	bool cut;

	while (!s->lost && left.n > 0 && (left.p[0] == '\r' || left.p[0] == '\n'))
		left = slice_from(left, 1);
	begin = w->at = w->in->buf.n - left.n;
	if (left.n == 0)
		return STEP_MORE;
	note_unasked(w);
	if (!may_start(w))
		return opens_with_another(w, left) ? STEP_STOP : STEP_WAIT;
	step = could_start(w, left) ? line_get(w, &line, &cut) : STEP_LOST;
	if (step == STEP_GO && !believable(w, slice_head(left, w->at - begin), cut))
		step = STEP_LOST;
	if (step == STEP_GO)
		step = is_request(w) ? request_start(w, w->in->off + begin, line, cut)
				     : response_start(w, w->in->off + begin, line);
	if (step == STEP_LOST || step == STEP_WAIT) {
		w->at = begin;
		s->m.in_long_line = false;
		s->m.flags = 0;
	}
	if (step == STEP_LOST)
		return s->lost || s->seen_message || w->h->mid ? STEP_LOST : STEP_STOP;
	if (step == STEP_GO) {
		s->lost = false;
		s->seen_message = true;
		s->phase = HEAD;
	}
	return step;
}

static enum framing_header framing_header_of(struct slice name)
{
	switch (name.n) {
	case 7:
		return slice_eq_nocase(name, SLICE_LIT("upgrade")) ? HEADER_UPGRADE : HEADER_OTHER;
	case 14:
		return slice_eq_nocase(name, SLICE_LIT("content-length")) ? HEADER_LENGTH
									  : HEADER_OTHER;
	case 17:
		return slice_eq_nocase(name, SLICE_LIT("transfer-encoding")) ? HEADER_CODING
									     : HEADER_OTHER;
	default:
		return HEADER_OTHER;
	}
}

/* Takes note of a header that framing depends on. */
static void framing_note(struct half *s, struct slice value)
{
	switch (s->m.header) {
	case HEADER_LENGTH:
		if (value.n > 0 && !content_length_parse(value, &s->m.has_length, &s->m.length))
			s->m.bad_length = true;
		break;
	case HEADER_CODING:
		if (value.n > 0) {
			s->m.has_coding = true;
			s->m.chunked = last_coding_is_chunked(value);
		}
		break;
	case HEADER_UPGRADE:
		s->m.upgrade = true;
		s->m.websocket |= list_has(value, SLICE_LIT("websocket"));
		s->m.h2c |= list_has(value, SLICE_LIT("h2c"));
		break;
	default:
		break;
	}
}

/* Whether one more header of the message is passed on. */
static bool may_emit(const struct half *s)
{
	return s->m.open && s->m.headers < HTTP1_HEADERS_MAX && s->m.head_bytes < HTTP1_HEAD_MAX;
}

static void header_emit(struct walk *w, struct slice name, struct slice value)
{
	struct half *s = w->half;
	bool trailer = s->phase == TRAILERS;

	if (name.n > 0) {
		s->m.emitting = may_emit(s);
		if (!s->m.emitting) {
			s->m.flags |= MSG_TRUNCATED;
			return;
		}
		s->m.headers++;
		sink_field(w->out, w->kind, s->key,
			   trailer ? FIELD_TRAILER_NAME : FIELD_HEADER_NAME, name);
	}
	if (s->m.emitting)
		sink_field(w->out, w->kind, s->key,
			   trailer ? FIELD_TRAILER_VALUE : FIELD_HEADER_VALUE, value);
}

/* A header that the sink knows by its whole line needs no second look. */
static bool header_known(struct walk *w, struct slice line)
{
	struct half *s = w->half;
	struct slice value;
	int note = w->out->ops->known && s->phase == HEAD && may_emit(s)
			   ? w->out->ops->known(w->out->ctx, w->kind, s->key, line, &value)
			   : -1;

	if (note < 0)
		return false;
	s->m.emitting = true;
	s->m.headers++;
	s->m.header = (uint8_t)note;
	if (s->m.header != HEADER_OTHER)
		framing_note(s, value);
	return true;
}

/* Tells the sink the line of the header that was just passed on. */
static void header_learn(struct walk *w, struct slice line, struct slice name, struct slice value)
{
	struct half *s = w->half;
	struct header_line h = { line, name, value, s->m.header };

	if (w->out->ops->learn && s->phase == HEAD && s->m.emitting && name.n > 0)
		w->out->ops->learn(w->out->ctx, w->kind, s->key, &h);
}

/* One line of a head or of trailers; *ret_last when it was the empty one behind them. */
static enum step field_line(struct walk *w, bool *ret_last)
{
	struct half *s = w->half;
	size_t begin = w->at;
	struct slice line, name = { 0 }, value;
	bool cut;
	enum step step = line_get(w, &line, &cut);

	*ret_last = false;
	if (step != STEP_GO)
		return step;
	if (line.n == 0) {
		*ret_last = true;
		return STEP_GO;
	}
	s->m.head_bytes = (uint32_t)MIN(s->m.head_bytes + (w->at - begin), (size_t)UINT32_MAX / 2);
	if (!cut && header_known(w, line))
		return STEP_GO;
	if (line.p[0] == ' ' || line.p[0] == '\t') {
		value = trim_ows(line);
	} else if (header_line_parse(line, &name, &value)) {
		s->m.header = s->phase == HEAD ? (uint8_t)framing_header_of(name) : HEADER_OTHER;
	} else {
		s->m.header = HEADER_OTHER;
		s->m.emitting = false;
		s->m.flags |= MSG_DEGRADED;
		if (++s->m.bad_lines <= HTTP1_BAD_LINES_MAX)
			return STEP_GO;
		w->at = begin;
		return STEP_LOST;
	}
	if (s->m.header != HEADER_OTHER)
		framing_note(s, value);
	header_emit(w, name, value);
	if (!cut)
		header_learn(w, line, name, value);
	return STEP_GO;
}

static enum step body_start(struct walk *w)
{
	struct half *s = w->half;

	s->counted_to = position(w);
	s->body_left = w->h->body_max;
	if (s->m.has_coding) {
		s->phase = s->m.chunked ? CHUNK_SIZE : CLOSE;
	} else if (s->m.bad_length) {
		s->phase = LENGTH;
		return STEP_LOST;
	} else if (s->m.has_length || is_request(w)) {
		s->phase = LENGTH;
		s->body_end = position(w) + s->m.length;
	} else {
		s->phase = CLOSE;
	}
	return STEP_GO;
}

static enum step request_head_done(struct walk *w)
{
	struct half *s = w->half;
	struct http1 *h = w->h;

	if (s->m.upgrade || s->m.class == CLASS_CONNECT) {
		h->held = true;
		h->held_key = s->key;
	}
	s->phase = LENGTH;
	return s->m.class == CLASS_CONNECT ? end_here(w, 0) : body_start(w);
}

static enum step switch_protocols(struct walk *w)
{
	struct half *s = w->half;

	if (s->status == 101)
		w->next = s->m.websocket ? PROTO_WEBSOCKET : s->m.h2c ? PROTO_HTTP2 : PROTO_UNKNOWN;
	w->h->over = true;
	s->phase = LENGTH;
	end_here(w, MSG_TUNNEL);
	return STEP_SWITCH;
}

static enum step response_head_done(struct walk *w)
{
	struct half *s = w->half;
	struct http1 *h = w->h;
	bool answers_held = h->held && (s->key == h->held_key || (s->key & KEY_ORPHAN));

	if (!s->m.open) {
		half_reset(s); /* interim */
		return STEP_GO;
	}
	if (s->status == 101 || (s->m.class == CLASS_CONNECT && s->status / 100 == 2))
		return switch_protocols(w);
	if (answers_held)
		h->held = false;
	if (s->m.class == CLASS_HEAD || s->status == 204 || s->status == 304) {
		s->phase = LENGTH;
		return end_here(w, 0);
	}
	if (s->m.class == CLASS_UNKNOWN &&
	    (s->m.has_coding || !s->m.has_length || s->m.length > 0)) {
		s->phase = PEEK;
		return STEP_GO;
	}
	return body_start(w);
}

static enum step phase_head(struct walk *w)
{
	enum step step;
	bool last;

	do
		step = field_line(w, &last);
	while (step == STEP_GO && !last && !w->half->m.in_long_line);
	if (step != STEP_GO || !last)
		return step;
	return is_request(w) ? request_head_done(w) : response_head_done(w);
}

/* The request is not known, so it may have been a HEAD: then the next response follows at once. */
static enum step phase_peek(struct walk *w)
{
	struct slice left = slice_head(rest(w), PEEK_BYTES);

	if (left.n < PEEK_BYTES && slice_eq(left, slice_of("HTTP/1.", left.n)) && !w->in->eof)
		return STEP_MORE;
	w->half->phase = LENGTH;
	if (slice_eq_str(left, "HTTP/1."))
		return end_here(w, MSG_DEGRADED);
	return body_start(w);
}

/* Counts and delivers what is there of a body up to position end. STEP_GO when that is reached. */
static enum step body_take(struct walk *w, uint64_t end)
{
	struct half *s = w->half;
	uint64_t left = end - position(w);
	size_t n = (size_t)MIN(left, (uint64_t)rest(w).n);
	size_t give = (size_t)MIN((uint64_t)n, s->body_left);

	if (position(w) > end)
		return STEP_LOST; /* more was skipped than asked for */
	if (give > 0)
		sink_field(w->out, w->kind, s->key, FIELD_BODY, slice_head(rest(w), give));
	s->body_left -= give;
	w->at += n;
	s->m.body_bytes += position(w) - s->counted_to;
	s->counted_to = position(w);
	if (n == left)
		return STEP_GO;
	if (s->body_left > 0 || w->in->eof)
		return STEP_MORE;
	w->skip = left - n;
	return STEP_SKIP;
}

static enum step phase_length(struct walk *w)
{
	enum step step = body_take(w, w->half->body_end);

	return step == STEP_GO ? end_here(w, 0) : step;
}

static enum step phase_chunk_size(struct walk *w)
{
	struct half *s = w->half;
	struct slice line;
	uint64_t size;
	size_t begin = w->at;
	bool cut;
	enum step step = line_get(w, &line, &cut);

	if (step != STEP_GO)
		return step;
	if (!chunk_size_parse(line, &size)) {
		w->at = begin;
		return STEP_LOST;
	}
	s->counted_to = position(w);
	s->body_end = position(w) + size;
	s->phase = size > 0 ? CHUNK_DATA : TRAILERS;
	return STEP_GO;
}

static enum step phase_chunk_data(struct walk *w)
{
	enum step step = body_take(w, w->half->body_end);

	if (step == STEP_GO)
		w->half->phase = CHUNK_END;
	return step;
}

static enum step phase_chunk_end(struct walk *w)
{
	struct slice left = rest(w);
	size_t n = left.n > 0 && left.p[0] == '\r' ? 2 : 1;

	if (left.n < n)
		return STEP_MORE;
	if (left.p[n - 1] != '\n')
		return STEP_LOST;
	w->at += n;
	w->half->phase = CHUNK_SIZE;
	return STEP_GO;
}

static enum step phase_trailers(struct walk *w)
{
	bool last;
	enum step step = field_line(w, &last);

	return step == STEP_GO && last ? end_here(w, 0) : step;
}

static enum step phase_close(struct walk *w)
{
	return body_take(w, w->half->counted_to + PARSE_SKIP_ALL + rest(w).n);
}

static enum step (*const phases[_PHASE_MAX])(struct walk *) = {
	[START] = phase_start,
	[HEAD] = phase_head,
	[PEEK] = phase_peek,
	[LENGTH] = phase_length,
	[CHUNK_SIZE] = phase_chunk_size,
	[CHUNK_DATA] = phase_chunk_data,
	[CHUNK_END] = phase_chunk_end,
	[TRAILERS] = phase_trailers,
	[CLOSE] = phase_close,
};

/* between: what is lost begins with a message, as far as is known. */
static void note_lost(struct http1 *h, struct half *s, enum msg_kind kind, bool between,
		      uint64_t off)
{
	if (kind == MSG_REQUEST)
		pairing_lost_requests(&h->pairing, between && !s->lost);
	else
		pairing_lost_responses(&h->pairing, off);
	s->lost = true;
}

/* The direction ends here, and so does what is open in it. */
static void finish(struct walk *w)
{
	struct half *s = w->half;
	uint32_t flags = s->phase == CLOSE ? 0 : MSG_CUT_EOF;

	w->at = w->in->buf.n;
	message_end(s, w->kind, w->out, position(w), flags);
}

static void lost(struct walk *w, bool between)
{
	message_end(w->half, w->kind, w->out, position(w), MSG_LOST | MSG_DEGRADED);
	if (!between || is_request(w))
		note_lost(w->h, w->half, w->kind, between, position(w));
	w->half->lost = true;
}

static struct parse_result conclude(struct walk *w, enum step step)
{
	struct parse_result r = step_result(step, w->in, w->at, 0);

	if (step == STEP_MORE && w->in->eof)
		finish(w);
	if (step == STEP_LOST)
		lost(w, w->half->phase == START);
	w->h->over |= step == STEP_STOP;
	r.consumed = w->at;
	r.skip = w->skip;
	r.next = w->next;
	w->half->last = position(w);
	return r;
}

static struct parse_result http1_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct http1 *h = st;
	struct walk w = { .h = h,
			  .half = &h->half[in->dir],
			  .in = in,
			  .out = out,
			  .next = PROTO_UNKNOWN,
			  .kind = in->dir == (enum dir)h->client ? MSG_REQUEST : MSG_RESPONSE };
	enum step step = STEP_GO;

	if (h->over)
		return (struct parse_result){ .st = PARSE_STOP, .next = PROTO_UNKNOWN };
	if (in->eof && is_request(&w) && in->buf.n == 0)
		h->pairing.requests_over = true;
	if (in->force && !is_request(&w))
		h->orphans_until = MAX(h->orphans_until, in->off + in->buf.n);
	while (step == STEP_GO)
		step = w.half->m.in_long_line ? drop_long_line(&w) : phases[w.half->phase](&w);
	return conclude(&w, step);
}

static void http1_init(void *st, enum dir client, bool mid)
{
	struct http1 *h = st;

	h->client = (uint8_t)client;
	h->mid = mid;
	h->half[0].lost = h->half[1].lost = mid;
}

static void http1_want_bodies(void *st, uint64_t max_bytes)
{
	struct http1 *h = st;

	h->body_max = max_bytes;
}

static size_t http1_resync(const void *st, struct slice buf, enum dir dir)
{
	const struct http1 *h = st;

	return dir == (enum dir)h->client ? find_request(buf) : find_response(buf);
}

/* Bytes inside a body are missing, and where it ends is known. */
static void gap_in_body(struct half *s, enum msg_kind kind, uint64_t end, struct sink *out)
{
	s->m.flags |= MSG_LOST;
	s->m.body_bytes += end - s->counted_to;
	s->counted_to = end;
	if (s->phase == LENGTH && end == s->body_end)
		message_end(s, kind, out, end, 0);
}

static void http1_gap(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out)
{
	struct http1 *h = st;
	struct half *s = &h->half[dir];
	enum msg_kind kind = dir == (enum dir)h->client ? MSG_REQUEST : MSG_RESPONSE;
	bool known_end = s->phase == LENGTH || s->phase == CHUNK_DATA;
	bool between = s->phase == START;

	if (lost == 0 || h->over)
		return;
	s->last = off + lost;
	if (s->phase == CLOSE) {
		gap_in_body(s, kind, off + lost, out);
		return;
	}
	if (s->phase == LENGTH && off == s->body_end) {
		/* All of the body was there, or not wanted: the loss begins behind it. */
		s->m.body_bytes += off - s->counted_to;
		message_end(s, kind, out, off, 0);
		between = true;
	} else if (known_end) {
		bool inside = off + lost <= s->body_end;
		bool chunk = s->phase == CHUNK_DATA;

		gap_in_body(s, kind, inside ? off + lost : s->body_end, out);
		if (inside)
			return;
		if (chunk)
			message_end(s, kind, out, off, MSG_DEGRADED);
	} else {
		message_end(s, kind, out, off, MSG_LOST | MSG_DEGRADED);
	}
	s->scanned = 0;
	note_lost(h, s, kind, between, off);
}

static void http1_close(void *st, struct sink *out)
{
	struct http1 *h = st;

	for (int dir = 0; dir < 2; dir++) {
		enum msg_kind kind = dir == h->client ? MSG_REQUEST : MSG_RESPONSE;

		message_end(&h->half[dir], kind, out, h->half[dir].last, MSG_CUT_EOF);
	}
	h->over = true;
}

enum probe_result http1_probe(const struct probe_in *in)
{
	struct slice head = in->head;
	bool more_request, more_response;

	while (head.n > 0 && (head.p[0] == '\r' || head.p[0] == '\n'))
		head = slice_from(head, 1);
	if (head.n == 0)
		return PROBE_MORE;
	if (looks_like_response(head, &more_response))
		return PROBE_RESPONSE;
	if (looks_like_request(head, &more_request))
		return PROBE_REQUEST;
	return more_request || more_response ? PROBE_MORE : PROBE_NO;
}

const struct proto_ops http1_ops = {
	.id = PROTO_HTTP1,
	.name = "http",
	.flags = PROTO_F_GAP_OK,
	.state_size = sizeof(struct http1),
	.max_need = HTTP1_LINE_MAX,
	.probe = http1_probe,
	.init = http1_init,
	.want_bodies = http1_want_bodies,
	.parse = http1_parse,
	.resync = http1_resync,
	.gap = http1_gap,
	.close = http1_close,
};

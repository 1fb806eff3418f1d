#include "protocols/redis/redis_int.h"
#include "base/util.h"

static bool is_request(const struct redis *r, enum dir dir)
{
	return dir == (enum dir)r->client;
}

/* Whatever the server says before the first request of an older connection answers none that is
 * known. */
static bool before_all(const struct redis *r)
{
	return r->mid && r->order.next_key == 0;
}

/* The direction ends here, and so does what is open in it. */
static void finish(struct walk *w)
{
	w->at = w->in->buf.n;
	if (is_request(w->r, w->in->dir))
		redis_request_end(w->r, w->out, position(w), MSG_CUT_EOF);
	else
		redis_answer_end(w->r, w->out, position(w), MSG_CUT_EOF);
}

/* A line behind the cursor that `look` does not refuse. What follows a line end at the end of the bytes
 * may be one, too. */
static uint64_t find_line(struct walk *w, enum resp_got (*look)(struct slice))
{
	struct slice s = rest(w);
	uint64_t *line = &w->r->line[w->in->dir];

	for (size_t i = 1; look && i < s.n; i++) {
		if (s.p[i - 1] == '\n' && look(slice_from(s, i)) != RESP_BAD)
			return *line = position(w) + i;
	}
	*line = s.n > 0 && s.p[s.n - 1] == '\n' ? position(w) + s.n : UINT64_MAX;
	return position(w) + s.n;
}

static enum parse_status lost(struct walk *w)
{
	struct redis *r = w->r;
	bool request = is_request(r, w->in->dir);
	bool unseen = !r->mid && (request ? r->order.next_key == 0 : !r->answer.seen);

	if (unseen && !r->order.lost) {
		r->over = true;
		return PARSE_STOP;
	}
	if (request) {
		redis_request_end(r, w->out, position(w), MSG_LOST | MSG_DEGRADED);
		r->request_lost = true;
	} else {
		redis_answer_end(r, w->out, position(w), MSG_LOST | MSG_DEGRADED);
		r->answer.seen = true;
	}
	if (!r->order.lost && (request || !before_all(r)))
		redis_lose(r);
	if (!request)
		order_server_spoke(&r->order); /* with the bytes that are passed over now */
	r->given = w->in->off + w->in->buf.n;
	r->resume = find_line(w, request	   ? redis_request_look
				 : r->order.pushed ? redis_push_look
						   : NULL);
	return PARSE_RESYNC;
}

static struct parse_result conclude(struct walk *w, enum step step)
{
	struct parse_result r = step_result(step, w->in, w->at, 0);

	if (step == STEP_MORE && w->in->eof)
		finish(w);
	if (step == STEP_LOST)
		r.st = lost(w);
	r.consumed = w->at;
	r.skip = w->skip;
	r.why = w->why;
	w->r->last[w->in->dir] = position(w);
	return r;
}

/* In a broken order, whether what the client sends now begins with a request: see order.h. What is
 * passed over of a value does not, given or not. */
static bool settles(struct redis *r, const struct parse_in *in)
{
	struct request *q = &r->request;
	uint64_t seen = MAX(q->seen, q->value_end), end = in->off + in->buf.n;

	q->seen = MAX(q->seen, end);
	if (!r->order.lost || end <= seen || r->answer.open || !order_client_spoke(&r->order))
		return false;
	r->given = end;
	r->resume = MAX(seen, in->off);
	return true;
}

static struct parse_result settle(struct redis *r, const struct parse_in *in, struct sink *out)
{
	struct parse_result ret = { .st = r->resume > in->off ? PARSE_RESYNC : PARSE_OK };

	redis_request_end(r, out, in->off, MSG_LOST | MSG_DEGRADED);
	redis_answer_end(r, out, 0, 0);
	r->request_lost = false;
	return ret;
}

static struct parse_result redis_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct redis *r = st;
	struct walk w = { .r = r, .in = in, .out = out };
	bool request = is_request(r, in->dir);
	uint64_t *value_end = request ? &r->request.value_end : &r->answer.value_end;
	enum step step = STEP_GO;

	if (r->over)
		return (struct parse_result){ .st = PARSE_STOP };
	if (request && settles(r, in) && (r->resume > in->off || r->request.open))
		return settle(r, in, out);
	if (*value_end > in->off)
		step = STEP_MORE; /* the direction ended inside it */
	else
		*value_end = 0;
	while (step == STEP_GO)
		step = request ? redis_request_step(&w) : redis_answer_step(&w);
	return conclude(&w, step);
}

static void redis_init(void *st, enum dir client, bool mid)
{
	struct redis *r = st;

	r->client = (uint8_t)client;
	r->mid = mid;
}

static size_t redis_resync(const void *st, struct slice buf, enum dir dir)
{
	const struct redis *r = st;
	uint64_t from = r->given - buf.n;

	(void)dir;
	return r->resume > from ? (size_t)MIN(r->resume - from, (uint64_t)buf.n) : 0;
}

static void gap_in_requests(struct redis *r, uint64_t off, struct sink *out)
{
	struct request *q = &r->request;
	bool whole = q->value_end == off && q->args_left == 0;

	redis_request_end(r, out, off, whole ? 0 : MSG_LOST | MSG_DEGRADED);
	r->request_lost = true;
	r->order.unasked = false; /* what was asked is in the gap */
}

static void gap_in_answers(struct redis *r, uint64_t off, struct sink *out)
{
	struct answer *a = &r->answer;
	bool whole = a->value_end == off && a->value_pending && a->depth == 0;

	redis_answer_end(r, out, off, whole ? 0 : MSG_LOST | MSG_DEGRADED);
}

static void redis_gap(void *st, enum dir dir, uint64_t off, uint64_t n, struct sink *out)
{
	struct redis *r = st;

	if (n == 0 || r->over)
		return;
	r->last[dir] = r->line[dir] = off + n;
	if (is_request(r, dir)) {
		gap_in_requests(r, off, out);
		r->request.seen = MAX(r->request.seen, off + n);
	} else {
		gap_in_answers(r, off, out);
	}
	redis_lose(r);
}

static void redis_close(void *st, struct sink *out)
{
	struct redis *r = st;

	redis_request_end(r, out, r->last[r->client], MSG_CUT_EOF);
	redis_answer_end(r, out, r->last[!r->client], MSG_CUT_EOF);
	r->over = true;
}

const struct proto_ops redis_ops = {
	.id = PROTO_REDIS,
	.name = "redis",
	.flags = PROTO_F_GAP_OK,
	.state_size = sizeof(struct redis),
	.max_need = REDIS_NEED_MAX,
	.probe = redis_probe,
	.init = redis_init,
	.parse = redis_parse,
	.resync = redis_resync,
	.gap = redis_gap,
	.close = redis_close,
};

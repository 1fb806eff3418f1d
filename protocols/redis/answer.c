/* What a server sends: answers in the order of the requests, and pushes between them. A value is
 * walked element by element; of what is in it only lengths are read.
 *
 *	attributes (|) -> value -> ended
 */
#include "protocols/redis/answer_int.h"
#include "base/util.h"

/* ---- messages ---- */

void answer_tell(struct walk *w, enum field_id f, struct slice v)
{
	const struct answer *a = &w->r->answer;

	sink_field(w->out, (enum msg_kind)a->kind, a->key, f, v);
}

void answer_open(struct walk *w, enum msg_kind kind, uint64_t key)
{
	struct answer *a = &w->r->answer;

	a->kind = (uint8_t)kind;
	a->key = key;
	a->open = true;
	sink_begin(w->out, kind, w->in->dir, key, a->attributes ? a->begin : position(w));
	a->attributes = false;
}

void redis_answer_end(struct redis *r, struct sink *out, uint64_t off, uint32_t flags)
{
	struct answer *a = &r->answer;

	if (a->open)
		sink_end(out, (enum msg_kind)a->kind, a->key, off, a->flags | flags);
	*a = (struct answer){ .exec_left = a->exec_left, .seen = a->seen };
}

enum step answer_end_here(struct walk *w)
{
	w->r->line[w->in->dir] = position(w);
	redis_answer_end(w->r, w->out, position(w), 0);
	return STEP_ENDED;
}

/* ---- elements ---- */

void answer_aggregate(struct answer *a, const struct value *v)
{
	uint32_t bit = 1u << a->depth;

	a->is_attribute &= ~bit;
	a->is_streamed &= ~bit;
	if (v->mark == '|')
		a->is_attribute |= bit;
	if (v->n == RESP_STREAMED)
		a->is_streamed |= bit;
	a->left[a->depth++] = v->n == RESP_STREAMED ? UINT64_MAX
						    : (uint64_t)v->n * value_times(v->mark);
}

bool answer_value_ends(struct answer *a)
{
	while (a->depth > 0) {
		uint32_t bit = 1u << (a->depth - 1);

		if (a->depth == 1)
			a->index++;
		if (a->is_streamed & bit || --a->left[a->depth - 1] > 0)
			return false;
		a->depth--;
		if (a->is_attribute & bit)
			return false; /* what they belong to comes next */
	}
	return true;
}

/* Takes what the aggregate at hand has announced. STEP_ENDED: the value at the top is whole. */
static enum step aggregate_enter(struct answer *a, const struct value *v)
{
	if (v->n == 0 && v->mark == '|')
		return STEP_GO;
	if (v->n == 0)
		return answer_value_ends(a) ? STEP_ENDED : STEP_GO;
	if (a->depth == REDIS_DEPTH_MAX)
		return STEP_LOST;
	answer_aggregate(a, v);
	return STEP_GO;
}

/* The rest of a value behind its first line. STEP_ENDED: the value at the top is whole. */
static enum step value_rest(struct walk *w, const struct value *v)
{
	struct answer *a = &w->r->answer;
	enum step step;

	w->at += v->used;
	if (v->shape == SHAPE_AGGREGATE || v->n == RESP_STREAMED)
		return aggregate_enter(a, v);
	if (v->shape == SHAPE_LINE) {
		a->in_line = v->cut;
		return !v->cut && answer_value_ends(a) ? STEP_ENDED : STEP_GO;
	}
	step = value_pass(w, (uint64_t)v->n, &a->value_end);
	a->value_pending = step == STEP_SKIP;
	if (step == STEP_GO)
		return answer_value_ends(a) ? STEP_ENDED : STEP_GO;
	return step;
}

/* Inside a streamed string: ";<length>" and that many bytes, at last ";0"; inside another streamed
 * aggregate a dot at the end. */
static enum step stream_mark(struct walk *w, struct slice s)
{
	struct answer *a = &w->r->answer;
	int64_t n = 0;
	size_t used = 3;
	enum step step;

	if (s.p[0] == ';') {
		step = step_of(resp_number(s, &n, &used));
		if (step != STEP_GO)
			return step;
		if (n < 0 || n > REDIS_LENGTH_MAX)
			return STEP_LOST;
		w->at += used;
		if (n > 0)
			return value_pass(w, (uint64_t)n, &a->value_end);
	} else {
		if (s.n < used)
			return STEP_MORE;
		if (s.p[1] != '\r' || s.p[2] != '\n')
			return STEP_LOST;
		w->at += used;
	}
	a->depth--;
	if (a->is_attribute & 1u << a->depth)
		return STEP_GO;
	return answer_value_ends(a) ? STEP_ENDED : STEP_GO;
}

/* The channel of a push; of a confirmation, how many subscriptions there are now. */
static enum step use_element(struct walk *w, const struct value *v)
{
	struct answer *a = &w->r->answer;
	struct slice s = slice_from(rest(w), v->used);
	size_t want = (size_t)MIN(v->n, (int64_t)REDIS_KEY_MAX);

	if (a->depth != 1)
		return STEP_GO;
	if (a->class && a->index == 2 && v->mark == ':')
		(void)resp_count(v->text, &a->subscriptions);
	if (!a->open || a->index != a->key_index || v->mark != '$' || v->n < 0)
		return STEP_GO;
	if (s.n < want)
		return STEP_MORE;
	answer_tell(w, FIELD_KEY, slice_head(s, want));
	a->flags |= v->n > REDIS_KEY_MAX ? MSG_TRUNCATED : 0;
	return STEP_GO;
}

static enum step step_element(struct walk *w)
{
	struct answer *a = &w->r->answer;
	struct slice s = rest(w);
	struct value v;
	enum step step;

	if (s.n == 0)
		return STEP_MORE;
	if (a->is_streamed & 1u << (a->depth - 1) && (s.p[0] == ';' || s.p[0] == '.')) {
		step = stream_mark(w, s);
	} else {
		step = step_of(value_get(s, &v));
		if (step == STEP_GO && a->key_index)
			step = use_element(w, &v);
		if (step == STEP_GO)
			step = value_rest(w, &v);
	}
	return step == STEP_ENDED ? answer_top_ends(w) : step;
}

static enum step step_line_rest(struct walk *w)
{
	struct answer *a = &w->r->answer;
	struct slice s = rest(w);
	size_t nl = slice_find(s, '\n');

	w->at += MIN(nl + 1, s.n);
	if (nl == s.n)
		return STEP_MORE;
	a->in_line = false;
	return answer_value_ends(a) ? answer_top_ends(w) : STEP_GO;
}

enum step answer_top_ends(struct walk *w)
{
	return w->r->answer.class ? push_confirmed(w) : answer_end_here(w);
}

bool answer_comes_early(const struct walk *w)
{
	return !w->r->order.lost && order_open(&w->r->order) == 0 && !w->in->settled &&
	       !w->in->force;
}

/* ---- answers ---- */

void answer_tell_session(struct walk *w, enum field_id f, struct slice v)
{
	sink_field(w->out, MSG_CONN, 0, f, v);
}

void answer_tell_number(struct walk *w, enum field_id f, uint32_t v)
{
	char text[10];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	answer_tell_session(w, f, slice_of(text + at, sizeof(text) - at));
}

static void user_agreed(struct walk *w, bool agreed)
{
	struct redis *r = w->r;

	if (agreed && r->user_pending)
		answer_tell_session(w, FIELD_USER, slice_of(r->user, r->user_n));
	r->user_pending = false;
}

static void reset(struct walk *w)
{
	struct redis *r = w->r;

	r->subscribed[0] = r->subscribed[1] = r->subscribed[2] = 0;
	r->told[0] = r->told[1] = 0;
	r->replies_off = r->resp3 = false;
	answer_tell_session(w, FIELD_USER, SLICE_LIT(""));
	answer_tell_session(w, FIELD_DATABASE, SLICE_LIT("0"));
}

/* What the server has agreed to with an answer that begins like this. */
static void apply(struct walk *w, enum command_class class, uint32_t arg, const struct value *v)
{
	struct redis *r = w->r;
	bool ok = v->type == REDIS_SIMPLE;

	switch (class) {
	case CLASS_SELECT:
		if (ok)
			answer_tell_number(w, FIELD_DATABASE, arg);
		break;
	case CLASS_HELLO:
		r->resp3 = v->mark == '%';
		user_agreed(w, v->type == REDIS_MAP || v->type == REDIS_ARRAY);
		break;
	case CLASS_AUTH:
		user_agreed(w, ok);
		break;
	case CLASS_RESET:
		if (ok)
			reset(w);
		break;
	case CLASS_MULTI:
		if (ok && r->order.transaction == TX_NONE)
			r->order.transaction = TX_OPEN;
		break;
	case CLASS_MONITOR:
		if (ok)
			w->why = "redis monitor";
		break;
	default:
		break;
	}
}

enum step answer_rest(struct walk *w, const struct value *v)
{
	struct answer *a = &w->r->answer;
	struct slice behind = slice_from(rest(w), v->used);
	enum step step;

	if (v->type < _REDIS_TYPE_MAX)
		sink_num(w->out, MSG_RESPONSE, a->key, FIELD_REPLY_TYPE, v->type);
	if (v->type == REDIS_ERROR) {
		struct slice text = v->mark == '-' ? v->text
						   : slice_head(behind, (size_t)MAX(v->n, 0));

		a->flags |= v->cut || text.n > REDIS_MESSAGE_MAX ? MSG_TRUNCATED : 0;
		answer_tell(w, FIELD_MESSAGE, slice_head(text, REDIS_MESSAGE_MAX));
	}
	step = value_rest(w, v);
	return step == STEP_ENDED ? answer_top_ends(w) : step;
}

enum step answer_start(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;
	struct special *front = order_front(&r->order);
	enum command_class class = front ? (enum command_class)front->class : CLASS_PLAIN;
	uint32_t arg = front ? front->arg : 0;
	enum step step;

	if (r->confirmations > 0 && front && push_confirms(class)) {
		front->arg = 1; /* another answer: it has had all of its own */
		return push_confirmed(w);
	}
	answer_open(w, MSG_RESPONSE, order_answer(&r->order));
	apply(w, class, arg, v);
	step = answer_rest(w, v);
	if (w->why) {
		r->over = true;
		return STEP_STOP;
	}
	return step;
}
/* ---- the top ---- */

/* Among what is not known only pushes are understood. */
static enum step start_lost(struct walk *w)
{
	struct redis *r = w->r;
	enum step step = STEP_LOST;

	if (!r->answer.seen || (r->order.pushed && position(w) == r->line[w->in->dir]))
		step = step_of(redis_push_look(rest(w)));
	if (step == STEP_GO)
		return push_try(w, rest(w).p[0]);
	if (step == STEP_LOST)
		order_server_spoke(&r->order);
	return step;
}

static enum step start_attributes(struct walk *w, const struct value *v)
{
	struct answer *a = &w->r->answer;

	if (!a->attributes)
		a->begin = position(w);
	a->attributes = true;
	w->at += v->used;
	return aggregate_enter(a, v);
}

static enum step start_value(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;

	if (v->mark == '!' && v->n > 0 &&
	    rest(w).n - v->used < (size_t)MIN(v->n, (int64_t)REDIS_MESSAGE_MAX))
		return STEP_MORE;
	if (r->answer.exec_left > 0)
		return transaction_queued(w, v);
	if (answer_comes_early(w))
		return STEP_WAIT;
	if (r->order.transaction != TX_NONE && order_open(&r->order) > 0)
		return transaction_answer(w, v);
	return answer_start(w, v);
}

static enum step step_start(struct walk *w)
{
	struct redis *r = w->r;
	struct slice s = rest(w);
	struct value v;
	enum step step;

	if (s.n == 0)
		return STEP_MORE;
	if (r->request_held && !redis_must_wait(r, r->held_class) && !w->in->force)
		return STEP_WAIT; /* it came before what stands here */
	r->resp3 |= memchr("_#,(!=%~>|", s.p[0], 10) != NULL;
	if (r->order.lost || (r->mid && r->order.next_key == 0))
		return start_lost(w);
	if (s.p[0] == '>' || (s.p[0] == '*' && r->answer.exec_left == 0 && push_expected(r))) {
		step = push_try(w, s.p[0]);
		if (step != STEP_LOST || s.p[0] == '>')
			return step;
	}
	step = step_of(value_get(s, &v));
	if (step != STEP_GO)
		return step;
	return v.mark == '|' ? start_attributes(w, &v) : start_value(w, &v);
}

enum step redis_answer_step(struct walk *w)
{
	struct answer *a = &w->r->answer;
	enum step step;

	if (a->value_pending) {
		a->value_pending = false;
		return answer_value_ends(a) ? answer_top_ends(w) : STEP_GO;
	}
	if (a->in_line)
		return step_line_rest(w);
	if (a->depth > 0)
		return step_element(w);
	step = step_start(w);
	a->seen |= step != STEP_MORE && step != STEP_LOST;
	return step;
}

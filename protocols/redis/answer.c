/* What a server sends: answers in the order of the requests, and pushes between them. A value is
 * walked element by element; of what is in it only lengths are read.
 *
 *	attributes (|) -> value -> ended
 *
 * Inside a transaction the answer +QUEUED is only a promise. EXEC's answer is the line that says how
 * many follow; each of those is the answer of the command that was queued.
 */
#include "protocols/redis/redis_int.h"
#include "base/util.h"

#define LINE_MAX_BYTES 512 /* of a line; more is dropped */
#define KIND_MAX       24  /* bytes of a push's name */

_Static_assert(REDIS_MESSAGE_MAX < LINE_MAX_BYTES && LINE_MAX_BYTES <= REDIS_NEED_MAX, "need");

enum shape { SHAPE_BAD, SHAPE_LINE, SHAPE_BULK, SHAPE_AGGREGATE };

/* By the byte they begin with. */
static const struct {
	uint8_t shape; /* enum shape */
	uint8_t type;  /* enum redis_type */
	uint8_t times; /* elements for each that is counted */
} kinds[256] = {
	['+'] = { SHAPE_LINE, REDIS_SIMPLE, 0 },     ['-'] = { SHAPE_LINE, REDIS_ERROR, 0 },
	[':'] = { SHAPE_LINE, REDIS_INTEGER, 0 },    ['_'] = { SHAPE_LINE, REDIS_NULL, 0 },
	['#'] = { SHAPE_LINE, REDIS_BOOLEAN, 0 },    [','] = { SHAPE_LINE, REDIS_DOUBLE, 0 },
	['('] = { SHAPE_LINE, REDIS_BIG_NUMBER, 0 }, ['$'] = { SHAPE_BULK, REDIS_BULK, 0 },
	['!'] = { SHAPE_BULK, REDIS_ERROR, 0 },	     ['='] = { SHAPE_BULK, REDIS_VERBATIM, 0 },
	['*'] = { SHAPE_AGGREGATE, REDIS_ARRAY, 1 }, ['~'] = { SHAPE_AGGREGATE, REDIS_SET, 1 },
	['%'] = { SHAPE_AGGREGATE, REDIS_MAP, 2 },   ['>'] = { SHAPE_AGGREGATE, REDIS_PUSH, 1 },
	['|'] = { SHAPE_AGGREGATE, REDIS_MAP, 2 },
};

/* The first line of a value. */
struct value {
	uint8_t mark;  /* its first byte */
	uint8_t shape; /* enum shape */
	enum redis_type type;
	int64_t n;	   /* length or elements; RESP_STREAMED */
	size_t used;	   /* bytes of the line */
	struct slice text; /* what stands on it */
	bool cut;	   /* the line goes on behind `used` */
};

static const char *const type_names[_REDIS_TYPE_MAX] = {
	[REDIS_SIMPLE] = "simple",
	[REDIS_ERROR] = "error",
	[REDIS_INTEGER] = "integer",
	[REDIS_BULK] = "bulk",
	[REDIS_NULL] = "null",
	[REDIS_ARRAY] = "array",
	[REDIS_MAP] = "map",
	[REDIS_SET] = "set",
	[REDIS_DOUBLE] = "double",
	[REDIS_BOOLEAN] = "boolean",
	[REDIS_BIG_NUMBER] = "big_number",
	[REDIS_VERBATIM] = "verbatim",
	[REDIS_PUSH] = "push",
	[REDIS_QUEUED] = "queued",
};

const char *redis_type_name(int64_t type)
{
	return type >= 0 && type < _REDIS_TYPE_MAX ? type_names[type] : NULL;
}

/* ---- the first line ---- */

static enum resp_got line_get(struct slice s, struct value *v)
{
	struct slice head = slice_head(s, LINE_MAX_BYTES);
	size_t nl = slice_find(head, '\n');

	v->cut = nl == head.n;
	if (v->cut && s.n < LINE_MAX_BYTES)
		return RESP_MORE;
	if (!v->cut && (nl < 2 || head.p[nl - 1] != '\r'))
		return RESP_BAD;
	v->used = v->cut ? nl : nl + 1;
	v->text = slice_of(head.p + 1, v->cut ? nl - 1 : nl - 2);
	return RESP_OK;
}

static bool is_integer(struct slice s)
{
	size_t sign = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');

	for (size_t i = sign; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > sign;
}

static bool line_ok(const struct value *v)
{
	switch (v->mark) {
	case ':':
	case '(':
		return v->cut || is_integer(v->text);
	case '_':
		return v->text.n == 0;
	case '#':
		return v->text.n == 1 && (v->text.p[0] == 't' || v->text.p[0] == 'f');
	default:
		return true;
	}
}

static enum resp_got number_get(struct slice s, struct value *v)
{
	enum resp_got got = resp_number(s, &v->n, &v->used);

	if (got != RESP_OK)
		return got;
	if (v->n == -1 && (v->mark == '$' || v->mark == '*')) {
		v->type = REDIS_NULL;
		v->shape = SHAPE_LINE;
		return RESP_OK;
	}
	if (v->n < 0 && v->n != RESP_STREAMED)
		return RESP_BAD;
	return v->n > (v->shape == SHAPE_BULK ? REDIS_LENGTH_MAX : REDIS_COUNT_MAX) ? RESP_BAD
										    : RESP_OK;
}

static enum resp_got value_get(struct slice s, struct value *v)
{
	enum resp_got got;

	*v = (struct value){ 0 };
	if (s.n == 0)
		return RESP_MORE;
	v->mark = s.p[0];
	v->shape = kinds[v->mark].shape;
	v->type = (enum redis_type)kinds[v->mark].type;
	if (v->shape == SHAPE_BAD)
		return RESP_BAD;
	if (v->shape != SHAPE_LINE)
		return number_get(s, v);
	got = line_get(s, v);
	return got == RESP_OK && !line_ok(v) ? RESP_BAD : got;
}

/* ---- messages ---- */

static void tell(struct walk *w, enum field_id f, struct slice v)
{
	const struct answer *a = &w->r->answer;

	sink_field(w->out, (enum msg_kind)a->kind, a->key, f, v);
}

static void open_message(struct walk *w, enum msg_kind kind, uint64_t key)
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

static enum step end_here(struct walk *w)
{
	w->r->line[w->in->dir] = position(w);
	redis_answer_end(w->r, w->out, position(w), 0);
	return STEP_ENDED;
}

/* An answer of no bytes, to a command that was queued. */
static enum step settle_queued(struct walk *w, bool never_run)
{
	uint64_t key = order_unqueue(&w->r->order), off = position(w);

	sink_begin(w->out, MSG_RESPONSE, w->in->dir, key, off);
	if (never_run)
		sink_num(w->out, MSG_RESPONSE, key, FIELD_REPLY_TYPE, REDIS_QUEUED);
	sink_end(w->out, MSG_RESPONSE, key, off, never_run ? 0 : MSG_DEGRADED);
	return STEP_ENDED;
}

/* ---- elements ---- */

static void aggregate_open(struct answer *a, const struct value *v)
{
	uint32_t bit = 1u << a->depth;

	a->is_attribute &= ~bit;
	a->is_streamed &= ~bit;
	if (v->mark == '|')
		a->is_attribute |= bit;
	if (v->n == RESP_STREAMED)
		a->is_streamed |= bit;
	a->left[a->depth++] = v->n == RESP_STREAMED ? UINT64_MAX
						    : (uint64_t)v->n * kinds[v->mark].times;
}

/* A value has ended. Whether that was the whole of what is at the top; attributes are not. */
static bool value_ends(struct answer *a)
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
		return value_ends(a) ? STEP_ENDED : STEP_GO;
	if (a->depth == REDIS_DEPTH_MAX)
		return STEP_LOST;
	aggregate_open(a, v);
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
		return !v->cut && value_ends(a) ? STEP_ENDED : STEP_GO;
	}
	step = value_pass(w, (uint64_t)v->n, &a->value_end);
	a->value_pending = step == STEP_SKIP;
	if (step == STEP_GO)
		return value_ends(a) ? STEP_ENDED : STEP_GO;
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
	return value_ends(a) ? STEP_ENDED : STEP_GO;
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
	tell(w, FIELD_KEY, slice_head(s, want));
	a->flags |= v->n > REDIS_KEY_MAX ? MSG_TRUNCATED : 0;
	return STEP_GO;
}

static enum step top_ends(struct walk *w);

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
	return step == STEP_ENDED ? top_ends(w) : step;
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
	return value_ends(a) ? top_ends(w) : STEP_GO;
}

/* ---- pushes and confirmations ---- */

/* Names of pushes; of confirmations, what they confirm. */
static const struct {
	struct slice name;
	uint8_t class;	   /* enum command_class; CLASS_PLAIN: a push */
	uint8_t key_index; /* element that is the channel */
	bool resp2;	   /* also comes as an array, to who has subscribed */
} pushes[] = {
	{ { (const uint8_t *)"MESSAGE", 7 }, CLASS_PLAIN, 1, true },
	{ { (const uint8_t *)"PMESSAGE", 8 }, CLASS_PLAIN, 2, true },
	{ { (const uint8_t *)"SMESSAGE", 8 }, CLASS_PLAIN, 1, true },
	{ { (const uint8_t *)"SUBSCRIBE", 9 }, CLASS_SUBSCRIBE, 1, true },
	{ { (const uint8_t *)"UNSUBSCRIBE", 11 }, CLASS_UNSUBSCRIBE, 1, true },
	{ { (const uint8_t *)"PSUBSCRIBE", 10 }, CLASS_PSUBSCRIBE, 1, true },
	{ { (const uint8_t *)"PUNSUBSCRIBE", 12 }, CLASS_PUNSUBSCRIBE, 1, true },
	{ { (const uint8_t *)"SSUBSCRIBE", 10 }, CLASS_SSUBSCRIBE, 1, true },
	{ { (const uint8_t *)"SUNSUBSCRIBE", 12 }, CLASS_SUNSUBSCRIBE, 1, true },
};

struct push {
	char name[KIND_MAX]; /* in capitals */
	size_t name_n;	     /* 0: it has none that can be shown */
	size_t known;	     /* index in pushes; ARRAY_SIZE(pushes): none of them */
	size_t used;	     /* bytes up to and with the name */
	int64_t n;	     /* elements */
};

/* The name a push or confirmation begins with. RESP_BAD: it is neither. */
static enum resp_got push_get(struct slice s, struct push *p)
{
	struct slice name = { 0 };
	size_t n = 0;
	enum resp_got got = resp_number(s, &p->n, &p->used);

	*p = (struct push){ .known = ARRAY_SIZE(pushes), .used = p->used, .n = p->n };
	if (got != RESP_OK)
		return got;
	if (p->n < 1 || p->n > REDIS_COUNT_MAX)
		return RESP_BAD;
	got = resp_bulk(slice_from(s, p->used), KIND_MAX, &name, &n);
	if (got != RESP_OK)
		return got;
	p->used += n;
	if (!resp_word(name, KIND_MAX, p->name))
		return RESP_BAD;
	p->name_n = name.n;
	for (size_t i = 0; i < ARRAY_SIZE(pushes); i++)
		if (slice_eq(pushes[i].name, slice_of(p->name, p->name_n)))
			p->known = i;
	return RESP_OK;
}

enum resp_got redis_push_look(struct slice s)
{
	struct push p = { 0 };
	enum resp_got got;

	if (s.n == 0)
		return RESP_MORE;
	if (s.p[0] != '*' && s.p[0] != '>')
		return RESP_BAD;
	got = push_get(s, &p);
	if (got != RESP_OK)
		return got;
	return p.known < ARRAY_SIZE(pushes) && pushes[p.known].class == CLASS_PLAIN &&
			       p.n == (p.known == 1 ? 4 : 3)
		       ? RESP_OK
		       : RESP_BAD;
}

static bool is_subscribed(const struct redis *r)
{
	return r->subscribed[0] || r->subscribed[1] || r->subscribed[2];
}

static enum step enter_push(struct walk *w, const struct push *p, uint8_t mark)
{
	struct answer *a = &w->r->answer;
	struct value v = { .mark = mark, .n = p->n };

	a->flags = 0;
	a->key_index = p->known < ARRAY_SIZE(pushes) ? pushes[p->known].key_index : 0;
	a->index = 0;
	w->at += p->used;
	aggregate_open(a, &v);
	return p->name_n > 0 && value_ends(a) ? top_ends(w) : STEP_GO;
}

static enum step start_confirmation(struct walk *w, const struct push *p, uint8_t mark)
{
	struct redis *r = w->r;
	struct answer *a = &r->answer;

	if (r->confirmations++ == 0)
		r->confirmed_from = position(w);
	a->kind = MSG_RESPONSE;
	a->class = pushes[p->known].class;
	a->type = mark == '>' ? REDIS_PUSH : REDIS_ARRAY;
	return enter_push(w, p, mark);
}

/* Whether the request at the front has all its confirmations: one for each channel it names, or when
 * it names none, for each that was subscribed. */
static bool confirmed_all(struct redis *r, uint8_t class)
{
	static const uint8_t families[] = {
		[CLASS_SUBSCRIBE] = 0,	  [CLASS_UNSUBSCRIBE] = 0, [CLASS_PSUBSCRIBE] = 1,
		[CLASS_PUNSUBSCRIBE] = 1, [CLASS_SSUBSCRIBE] = 2,  [CLASS_SUNSUBSCRIBE] = 2,
	};
	struct special *front = order_front(&r->order);
	uint32_t *n = &r->subscribed[families[class]], now = r->answer.subscriptions;
	uint32_t *told = &r->told[class >= CLASS_SSUBSCRIBE];

	if (now > *told)
		++*n;
	else if (now<*told && * n> 0)
		--*n;
	*told = now;
	if (!front)
		return true; /* it was lost meanwhile */
	if (front->arg == 0)
		return *n == 0 || now == 0;
	return --front->arg == 0;
}

static enum step confirmation_ends(struct walk *w)
{
	struct redis *r = w->r;
	struct answer *a = &r->answer;
	uint8_t type = a->type;
	uint64_t key;

	if (!confirmed_all(r, a->class)) {
		redis_answer_end(r, w->out, position(w), 0);
		return STEP_GO;
	}
	key = order_answer(&r->order);
	redis_answer_end(r, w->out, position(w), 0);
	r->confirmations = 0;
	sink_begin(w->out, MSG_RESPONSE, w->in->dir, key, r->confirmed_from);
	sink_num(w->out, MSG_RESPONSE, key, FIELD_REPLY_TYPE, type);
	sink_end(w->out, MSG_RESPONSE, key, position(w), 0);
	return STEP_ENDED;
}

static enum step start_push(struct walk *w, const struct push *p, uint8_t mark)
{
	struct redis *r = w->r;
	struct answer *a = &r->answer;

	r->order.pushed = true;
	open_message(w, MSG_PUSH, KEY_PUSH | r->pushes++);
	if (p->name_n)
		tell(w, FIELD_METHOD, slice_of(p->name, p->name_n));
	sink_num(w->out, MSG_PUSH, a->key, FIELD_REPLY_TYPE,
		 mark == '>' ? REDIS_PUSH : REDIS_ARRAY);
	return enter_push(w, p, mark);
}

static enum step top_ends(struct walk *w)
{
	return w->r->answer.class ? confirmation_ends(w) : end_here(w);
}

static bool is_subscribing(unsigned int class)
{
	return class >= CLASS_SUBSCRIBE && class <= CLASS_SUNSUBSCRIBE;
}

/* Whether pushes are to be expected among arrays. */
static bool resp2_pushes(struct redis *r)
{
	struct special *front = order_front(&r->order);

	if (r->resp3)
		return false;
	if (is_subscribed(r) || (front && is_subscribing(front->class)))
		return true;
	/* One that is older than what we have seen of it may have subscribed before. */
	return (r->mid || r->order.lost) && order_open(&r->order) == 0;
}

/* Whether what stands here may be for a request that comes only now: its sender's call may end behind
 * the other thread's that has read the answer. */
static bool comes_early(const struct walk *w)
{
	return !w->r->order.lost && order_open(&w->r->order) == 0 && !w->in->settled &&
	       !w->in->force;
}

/* A push or a confirmation at the cursor. STEP_LOST: it is neither. */
static enum step try_push(struct walk *w, uint8_t mark)
{
	struct redis *r = w->r;
	struct special *front = order_front(&r->order);
	struct push p = { 0 };
	enum resp_got got = push_get(rest(w), &p);
	bool known = p.known < ARRAY_SIZE(pushes);

	if (got == RESP_MORE)
		return STEP_MORE;
	if (got == RESP_BAD && (mark != '>' || p.n < 1))
		return STEP_LOST;
	if (got == RESP_OK && known && front && front->class &&
	    front->class == pushes[p.known].class)
		return start_confirmation(w, &p, mark);
	if (known && pushes[p.known].class && comes_early(w))
		return STEP_WAIT;
	if (mark == '>')
		return start_push(w, &p, mark);
	if (!known || p.n > 4)
		return STEP_LOST;
	if (pushes[p.known].class == CLASS_PLAIN && !is_subscribed(r))
		r->subscribed[p.known] = 1; /* before it was seen */
	return start_push(w, &p, mark);
}

/* ---- answers ---- */

static void tell_session(struct walk *w, enum field_id f, struct slice v)
{
	sink_field(w->out, MSG_CONN, 0, f, v);
}

static void tell_number(struct walk *w, enum field_id f, uint32_t v)
{
	char text[10];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	tell_session(w, f, slice_of(text + at, sizeof(text) - at));
}

static void user_agreed(struct walk *w, bool agreed)
{
	struct redis *r = w->r;

	if (agreed && r->user_pending)
		tell_session(w, FIELD_USER, slice_of(r->user, r->user_n));
	r->user_pending = false;
}

static void reset(struct walk *w)
{
	struct redis *r = w->r;

	r->subscribed[0] = r->subscribed[1] = r->subscribed[2] = 0;
	r->told[0] = r->told[1] = 0;
	r->replies_off = r->resp3 = false;
	tell_session(w, FIELD_USER, SLICE_LIT(""));
	tell_session(w, FIELD_DATABASE, SLICE_LIT("0"));
}

/* What the server has agreed to with an answer that begins like this. */
static void apply(struct walk *w, enum command_class class, uint32_t arg, const struct value *v)
{
	struct redis *r = w->r;
	bool ok = v->type == REDIS_SIMPLE;

	switch (class) {
	case CLASS_SELECT:
		if (ok)
			tell_number(w, FIELD_DATABASE, arg);
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

/* The rest of an answer whose message is open. */
static enum step tell_answer(struct walk *w, const struct value *v)
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
		tell(w, FIELD_MESSAGE, slice_head(text, REDIS_MESSAGE_MAX));
	}
	step = value_rest(w, v);
	return step == STEP_ENDED ? top_ends(w) : step;
}

/* The answer that the oldest open request has waited for. */
static enum step start_answer(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;
	struct special *front = order_front(&r->order);
	enum command_class class = front ? (enum command_class)front->class : CLASS_PLAIN;
	uint32_t arg = front ? front->arg : 0;
	enum step step;

	if (r->confirmations > 0 && front && is_subscribing(class)) {
		front->arg = 1; /* another answer: it has had all of its own */
		return confirmation_ends(w);
	}
	open_message(w, MSG_RESPONSE, order_answer(&r->order));
	apply(w, class, arg, v);
	step = tell_answer(w, v);
	if (w->why) {
		r->over = true;
		return STEP_STOP;
	}
	return step;
}

/* ---- transactions ---- */

/* The answers of the commands that were queued follow. */
static enum step start_exec(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;

	r->answer.exec_left = r->order.queued;
	r->order.transaction = TX_NONE;
	open_message(w, MSG_RESPONSE, order_answer(&r->order));
	sink_num(w->out, MSG_RESPONSE, r->answer.key, FIELD_REPLY_TYPE, v->type);
	w->at += v->used;
	return end_here(w);
}

/* One of them. */
static enum step start_queued(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;
	struct order *p = &r->order;
	uint64_t key = order_unqueue(p);

	r->answer.exec_left--;
	open_message(w, MSG_RESPONSE, key);
	for (unsigned int i = 0; i < p->moves; i++)
		if (p->move[i].key == key && v->type == REDIS_SIMPLE)
			tell_number(w, FIELD_DATABASE, p->move[i].database);
	if (r->answer.exec_left == 0)
		p->moves = 0;
	return tell_answer(w, v);
}

static enum step end_transaction(struct walk *w, const struct value *v, bool never_run)
{
	struct order *p = &w->r->order;

	if (p->queued > 0)
		return settle_queued(w, never_run);
	if (p->transaction == TX_BLIND && !never_run) {
		tell_session(w, FIELD_DATABASE, SLICE_LIT(""));
		tell_session(w, FIELD_USER, SLICE_LIT(""));
	}
	p->transaction = TX_NONE;
	p->moves = 0;
	return start_answer(w, v);
}

/* An answer to a command that should have been queued. */
static enum step answer_inside(struct walk *w, const struct value *v)
{
	struct order *p = &w->r->order;
	bool promise = v->mark == '+' && slice_eq_str(v->text, "QUEUED");
	struct value never = *v;

	if (promise && order_queue(p)) {
		w->at += v->used;
		return STEP_GO;
	}
	if (!promise && p->transaction == TX_OPEN)
		p->transaction = v->type == REDIS_ERROR ? TX_DOOMED : TX_BLIND;
	if (p->queued > 0)
		return settle_queued(w, p->transaction == TX_DOOMED);
	if (!promise)
		return start_answer(w, v);
	never.type = p->transaction == TX_DOOMED ? REDIS_QUEUED : _REDIS_TYPE_MAX;
	w->r->answer.flags = p->transaction == TX_DOOMED ? 0 : MSG_DEGRADED;
	return start_answer(w, &never);
}

static enum step answer_in_transaction(struct walk *w, const struct value *v)
{
	struct order *p = &w->r->order;
	struct special *front = order_front(p);
	bool none = v->type == REDIS_ERROR || v->type == REDIS_NULL;

	switch (front ? front->class : CLASS_PLAIN) {
	case CLASS_EXEC:
		if (p->transaction == TX_OPEN && v->mark == '*' && v->n == (int64_t)p->queued)
			return start_exec(w, v);
		return end_transaction(w, v, none);
	case CLASS_DISCARD:
	case CLASS_RESET:
		return v->type == REDIS_ERROR ? start_answer(w, v) : end_transaction(w, v, true);
	case CLASS_MULTI:
	case CLASS_WATCH:
		if (v->type == REDIS_ERROR)
			return start_answer(w, v);
		return answer_inside(w, v);
	default:
		return answer_inside(w, v);
	}
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
		return try_push(w, rest(w).p[0]);
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
		return start_queued(w, v);
	if (comes_early(w))
		return STEP_WAIT;
	if (r->order.transaction != TX_NONE && order_open(&r->order) > 0)
		return answer_in_transaction(w, v);
	return start_answer(w, v);
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
	if (s.p[0] == '>' || (s.p[0] == '*' && r->answer.exec_left == 0 && resp2_pushes(r))) {
		step = try_push(w, s.p[0]);
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
		return value_ends(a) ? top_ends(w) : STEP_GO;
	}
	if (a->in_line)
		return step_line_rest(w);
	if (a->depth > 0)
		return step_element(w);
	step = step_start(w);
	a->seen |= step != STEP_MORE && step != STEP_LOST;
	return step;
}

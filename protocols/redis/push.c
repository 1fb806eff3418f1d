/* Pushes, and confirmations of subscriptions, which look like them. */
#include "protocols/redis/answer_int.h"
#include "base/util.h"

#define KIND_MAX 24 /* bytes of a push's name */

/* Names of pushes; of confirmations, what they confirm. */
static const struct {
	struct slice name;
	uint8_t class;	   /* enum command_class; CLASS_PLAIN: a push */
	uint8_t key_index; /* element that is the channel */
} pushes[] = {
	{ { (const uint8_t *)"MESSAGE", 7 }, CLASS_PLAIN, 1 },
	{ { (const uint8_t *)"PMESSAGE", 8 }, CLASS_PLAIN, 2 },
	{ { (const uint8_t *)"SMESSAGE", 8 }, CLASS_PLAIN, 1 },
	{ { (const uint8_t *)"SUBSCRIBE", 9 }, CLASS_SUBSCRIBE, 1 },
	{ { (const uint8_t *)"UNSUBSCRIBE", 11 }, CLASS_UNSUBSCRIBE, 1 },
	{ { (const uint8_t *)"PSUBSCRIBE", 10 }, CLASS_PSUBSCRIBE, 1 },
	{ { (const uint8_t *)"PUNSUBSCRIBE", 12 }, CLASS_PUNSUBSCRIBE, 1 },
	{ { (const uint8_t *)"SSUBSCRIBE", 10 }, CLASS_SSUBSCRIBE, 1 },
	{ { (const uint8_t *)"SUNSUBSCRIBE", 12 }, CLASS_SUNSUBSCRIBE, 1 },
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
	answer_aggregate(a, &v);
	return p->name_n > 0 && answer_value_ends(a) ? answer_top_ends(w) : STEP_GO;
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

enum step push_confirmed(struct walk *w)
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
	answer_open(w, MSG_PUSH, KEY_PUSH | r->pushes++);
	if (p->name_n)
		answer_tell(w, FIELD_METHOD, slice_of(p->name, p->name_n));
	sink_num(w->out, MSG_PUSH, a->key, FIELD_REPLY_TYPE,
		 mark == '>' ? REDIS_PUSH : REDIS_ARRAY);
	return enter_push(w, p, mark);
}

bool push_confirms(unsigned int class)
{
	return class >= CLASS_SUBSCRIBE && class <= CLASS_SUNSUBSCRIBE;
}

bool push_expected(struct redis *r)
{
	struct special *front = order_front(&r->order);

	if (r->resp3)
		return false;
	if (is_subscribed(r) || (front && push_confirms(front->class)))
		return true;
	/* One that is older than what we have seen of it may have subscribed before. */
	return (r->mid || r->order.lost) && order_open(&r->order) == 0;
}

enum step push_try(struct walk *w, uint8_t mark)
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
	if (known && pushes[p.known].class && answer_comes_early(w))
		return STEP_WAIT;
	if (mark == '>')
		return start_push(w, &p, mark);
	if (!known || p.n > 4)
		return STEP_LOST;
	if (pushes[p.known].class == CLASS_PLAIN && !is_subscribed(r))
		r->subscribed[p.known] = 1; /* before it was seen */
	return start_push(w, &p, mark);
}

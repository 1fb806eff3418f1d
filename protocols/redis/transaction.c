/* What is between MULTI and EXEC. There the answer +QUEUED is only a promise. EXEC's answer is the line
 * that says how many follow; each of those is the answer of the command that was queued. */
#include "protocols/redis/answer_int.h"
#include "base/util.h"

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

/* The answers of the commands that were queued follow. */
static enum step start_exec(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;

	r->answer.exec_left = r->order.queued;
	r->order.transaction = TX_NONE;
	answer_open(w, MSG_RESPONSE, order_answer(&r->order));
	sink_num(w->out, MSG_RESPONSE, r->answer.key, FIELD_REPLY_TYPE, v->type);
	w->at += v->used;
	return answer_end_here(w);
}

/* One of them. */
enum step transaction_queued(struct walk *w, const struct value *v)
{
	struct redis *r = w->r;
	struct order *p = &r->order;
	uint64_t key = order_unqueue(p);

	r->answer.exec_left--;
	answer_open(w, MSG_RESPONSE, key);
	for (unsigned int i = 0; i < p->moves; i++)
		if (p->move[i].key == key && v->type == REDIS_SIMPLE)
			answer_tell_number(w, FIELD_DATABASE, p->move[i].database);
	if (r->answer.exec_left == 0)
		p->moves = 0;
	return answer_rest(w, v);
}

static enum step end_transaction(struct walk *w, const struct value *v, bool never_run)
{
	struct order *p = &w->r->order;

	if (p->queued > 0)
		return settle_queued(w, never_run);
	if (p->transaction == TX_BLIND && !never_run) {
		answer_tell_session(w, FIELD_DATABASE, SLICE_LIT(""));
		answer_tell_session(w, FIELD_USER, SLICE_LIT(""));
	}
	p->transaction = TX_NONE;
	p->moves = 0;
	return answer_start(w, v);
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
		return answer_start(w, v);
	never.type = p->transaction == TX_DOOMED ? REDIS_QUEUED : _REDIS_TYPE_MAX;
	w->r->answer.flags = p->transaction == TX_DOOMED ? 0 : MSG_DEGRADED;
	return answer_start(w, &never);
}

enum step transaction_answer(struct walk *w, const struct value *v)
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
		return v->type == REDIS_ERROR ? answer_start(w, v) : end_transaction(w, v, true);
	case CLASS_MULTI:
	case CLASS_WATCH:
		if (v->type == REDIS_ERROR)
			return answer_start(w, v);
		return answer_inside(w, v);
	default:
		return answer_inside(w, v);
	}
}

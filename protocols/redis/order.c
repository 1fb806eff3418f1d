#include "protocols/redis/order.h"
#include "base/util.h"

static struct special *ring_at(struct order *p, unsigned int i)
{
	return &p->ring[(p->first + i) % REDIS_SPECIAL_MAX];
}

static void ring_pop(struct order *p)
{
	p->first = (uint16_t)((p->first + 1) % REDIS_SPECIAL_MAX);
	p->n--;
}

static void not_lockstep(struct order *p)
{
	p->not_lockstep = true;
	p->rounds = 0;
	p->late = 0;
}

/* A request is there while answers are missing of which the first have come. */
static void note_late(struct order *p)
{
	p->answered = false;
	if (++p->late > 1)
		not_lockstep(p);
}

static void round_ends(struct order *p)
{
	if (p->late)
		not_lockstep(p);
	else if (p->rounds < UINT32_MAX)
		p->rounds++;
	p->answered = false;
}

/* Holes at the front of the order need no answer. */
static void pass_holes(struct order *p)
{
	while (p->n > 0 && ring_at(p, 0)->class == CLASS_HOLE &&
	       ring_at(p, 0)->key == p->next_answer) {
		p->next_answer += ring_at(p, 0)->arg;
		ring_pop(p);
	}
}

static uint64_t hole(struct order *p)
{
	struct special *last = p->n ? ring_at(p, p->n - 1u) : NULL;

	if (order_open(p) == 0) {
		p->next_answer++;
		return p->next_key++;
	}
	if (last && last->class == CLASS_HOLE && last->key + last->arg == p->next_key) {
		last->arg++;
		return p->next_key++;
	}
	*ring_at(p, p->n++) = (struct special){ p->next_key, 1, CLASS_HOLE };
	return p->next_key++;
}

uint64_t order_request(struct order *p, enum command_class class, uint32_t arg)
{
	if (p->lost) {
		p->next_answer = p->next_key + 1;
		return p->next_key++;
	}
	if (class == CLASS_HOLE)
		return hole(p);
	if (p->answered && order_open(p) > 0)
		note_late(p);
	if (class != CLASS_PLAIN)
		*ring_at(p, p->n++) = (struct special){ p->next_key, arg, (uint8_t) class };
	return p->next_key++;
}

void order_request_end(struct order *p)
{
	if (!p->lost && p->answered && order_open(p) > 0)
		note_late(p);
}

struct special *order_front(struct order *p)
{
	struct special *s = p->n ? ring_at(p, 0) : NULL;

	return s && s->key == p->next_answer ? s : NULL;
}

uint64_t order_answer(struct order *p)
{
	uint64_t key = p->next_answer;

	if (p->lost || order_open(p) == 0) {
		order_lose(p);
		p->unasked = true;
		return KEY_ORPHAN | p->next_orphan++;
	}
	if (order_front(p))
		ring_pop(p);
	p->next_answer++;
	pass_holes(p);
	p->answered = true;
	if (order_open(p) == 0)
		round_ends(p);
	return key;
}

void order_lose(struct order *p)
{
	p->lost = true;
	p->turned = false;
	p->late = 0;
	p->answered = false;
	p->next_answer = p->next_key;
	p->first = p->n = 0;
	p->transaction = TX_NONE;
	p->queued = 0;
	p->moves = 0;
}

void order_server_spoke(struct order *p)
{
	p->turned = true;
}

bool order_client_spoke(struct order *p)
{
	if (p->unasked || !p->turned || p->pushed || p->not_lockstep ||
	    p->rounds < REDIS_ROUNDS_MIN)
		return false;
	p->lost = p->turned = false;
	return true;
}

bool order_queue(struct order *p)
{
	uint64_t key = p->next_answer;
	struct special *s = order_front(p);

	if (p->transaction == TX_OPEN && p->queued > 0 && p->queued_from + p->queued != key)
		p->transaction = TX_BLIND;
	if (p->transaction != TX_OPEN)
		return false;
	if (s && (s->class != CLASS_SELECT || p->moves == REDIS_MOVES_MAX)) {
		/* What it does inside EXEC is not followed. */
		p->transaction = TX_BLIND;
		return false;
	}
	if (s) {
		p->move[p->moves].key = key;
		p->move[p->moves++].database = s->arg;
	}
	if (p->queued == 0)
		p->queued_from = key;
	p->queued++;
	(void)order_answer(p);
	return true;
}

uint64_t order_unqueue(struct order *p)
{
	p->queued--;
	return p->queued_from++;
}

/* Which request an answer belongs to. Redis has no ids: a server answers in the order of the
 * commands, so all that is remembered of an ordinary one is that it is open; of those that change
 * the conversation, what they do (struct special). Requests without an answer are holes in the order.
 *
 * A loss of bytes breaks that order: how many messages were in them is not known. From then on no
 * answer is paired and requests are told as such that have lost theirs, until it can be shown that
 * nothing is open: a client is known to wait (lockstep) when it never sent more while answers were
 * missing of which it had seen the first ones, at least REDIS_ROUNDS_MIN times in a row; the first
 * byte that such a client sends behind an answer is the beginning of a request, and everything
 * before is answered. Other clients' connections stay unpaired.
 *
 * That a loss shows only with the bytes behind it can make a waiting client look like another for a
 * moment: a request behind the first answers of a round counts against it when the round ends
 * without a loss, or when it happens twice.
 */
#ifndef PROTOCOLS_REDIS_ORDER_H
#define PROTOCOLS_REDIS_ORDER_H

#include "protocols/redis/commands.h"
#include "protocols/redis/redis.h"

#define REDIS_ROUNDS_MIN 4
#define REDIS_MOVES_MAX	 4 /* SELECTs of one transaction that are remembered */

struct special {
	uint64_t key;
	uint32_t
		arg; /* of the class: channels, 0 all; number of the database; requests of a hole */
	uint8_t class;
};

enum transaction {
	TX_NONE,
	TX_OPEN,   /* MULTI was agreed to: what is queued stands in one row of keys */
	TX_DOOMED, /* EXEC will refuse: what is queued from now on has all the answer it will get */
	TX_BLIND,  /* which answer of EXEC is whose is not known */
};

struct order {
	uint64_t next_key;    /* of the next request */
	uint64_t next_answer; /* key of the request that the next answer is for */
	uint64_t next_orphan;
	/* Requests told as queued: queued_from .. queued_from + queued - 1. */
	uint64_t queued_from;
	uint32_t queued;
	uint32_t rounds;     /* times that a client began with nothing open, in lockstep */
	uint16_t first, n;   /* ring of specials */
	uint8_t transaction; /* enum transaction */
	uint8_t moves;
	uint8_t late;  /* requests that began behind first answers of this round */
	bool answered; /* in this round */
	bool pushed;   /* the server speaks unasked: bytes of it are no sign of an answer */
	bool not_lockstep;
	bool unasked; /* an answer came that no loss explains: its request may only be late, and then
		       * no turn proves anything */
	bool lost;    /* the order is broken */
	bool turned;  /* the server has said something since */
	struct {
		uint64_t key;
		uint32_t database;
	} move[REDIS_MOVES_MAX];
	struct special ring[REDIS_SPECIAL_MAX];
};

/* Requests that wait for their answer, holes among them. */
static inline uint64_t order_open(const struct order *p)
{
	return p->next_key - p->next_answer;
}

static inline bool order_full(const struct order *p)
{
	return p->n == REDIS_SPECIAL_MAX;
}

/* A request has begun: its key. class, arg: see struct special. The ring must not be full. */
uint64_t order_request(struct order *p, enum command_class class, uint32_t arg);
/* It ended, perhaps long after. */
void order_request_end(struct order *p);
/* The special request that the next answer is for; NULL when it is an ordinary one, or none is open. */
struct special *order_front(struct order *p);
/* The next answer has begun: the key of its request; or one with KEY_ORPHAN when nothing is open, and
 * then the order is broken until a loss of requests explains it. */
uint64_t order_answer(struct order *p);
/* The order is broken from here on. */
void order_lose(struct order *p);
/* In a broken order: the server said something; the client did. True: a request begins with it, and
 * the order is known again. */
void order_server_spoke(struct order *p);
bool order_client_spoke(struct order *p);

/* The next answer is +QUEUED. False: it is all the answer that will ever be known. */
bool order_queue(struct order *p);
/* A queued command is over: the next of them. */
uint64_t order_unqueue(struct order *p);

#endif

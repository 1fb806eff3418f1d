/* What a PostgreSQL client has asked and the server has not answered yet, in order. The protocol has
 * no ids: answers come in the order of requests, and ReadyForQuery ends what the client closed with
 * Sync, a simple query or a function call (here: an interval). Equal neighbours share an entry, so
 * that batches of thousands fit.
 *
 *	interval: STATEMENT.. STATEMENT+END  |  GROUP.. GROUP+END  |  SYNC+END  |  CALL+END
 *
 * After a loss, so that no exchange ever gets another one's answer:
 * 1. A client counts as one that waits for ReadyForQuery before it goes on, until an answer comes while
 *    more than one interval is under way: then it pipelines.
 * 2. Answers are lost. Of a client that waits, all intervals but the youngest were answered in the lost
 *    bytes (if these have room for that). In the youngest, an answer is known if it is the only one that
 *    can come; else what is in flight counts as lost when ReadyForQuery comes.
 * 3. Requests are lost: an entry LOSS stands for any number of them. What came before it is still
 *    answered in order; answers to LOSS and to what follows in the same interval are nobody's. When a
 *    client that waits begins an interval, everything older is over, and order is known again.
 * 4. A client that pipelines is not believed: behind a loss none of its answers is known, until the
 *    connection ends (hopeless).
 */
#ifndef PROTOCOLS_PGSQL_FLIGHT_H
#define PROTOCOLS_PGSQL_FLIGHT_H

#include "protocols/protocol.h"

#define FLIGHT_MAX	128 /* entries */
#define FLIGHT_RESERVED 4   /* of them, for the rest of a request that has begun */
#define ANSWER_MIN	16 /* bytes of an interval's answers: an empty CommandComplete, ReadyForQuery */

enum unit {
	UNIT_NONE,
	UNIT_LOSS,
	UNIT_SYNC,
	UNIT_STATEMENT, /* of a simple query */
	UNIT_GROUP,	/* of the extended protocol: an exchange */
	UNIT_CALL,	/* a function call */
};

/* What a group consists of, and so which answers it gets. */
enum part {
	PART_PARSE = 1 << 0,
	PART_DESCRIBE = 1 << 1, /* a statement */
	PART_BIND = 1 << 2,
	PART_COLUMNS = 1 << 3, /* Describe of a portal */
	PART_EXECUTE = 1 << 4,
	PART_CLOSE = 1 << 5,
	PART_END = 1 << 6, /* of any unit: ReadyForQuery follows */
};

struct flight_entry {
	uint8_t unit, parts;
	uint32_t count;
};

struct flight {
	uint64_t first_key; /* of the oldest exchange whose answer has not ended */
	uint64_t next_key;
	uint32_t barriers; /* intervals that the client has closed */
	uint32_t losses;   /* entries LOSS */
	uint16_t head, n;
	bool open;	   /* the youngest is a group that may grow */
	bool answered;	   /* the oldest: only its ReadyForQuery is missing */
	uint32_t stale;	   /* the oldest intervals: answered in lost bytes */
	bool answers_lost; /* rule 2 */
	bool doubt;	   /* with it: which answers are missing is not known */
	bool pipelined;	   /* rule 4 */
	bool hopeless;
	bool over; /* rule 3: what is older than the interval that begins is being dropped */
	struct flight_entry q[FLIGHT_MAX];
};

/* The oldest; { UNIT_NONE } when there is none. */
struct flight_entry flight_head(const struct flight *f);
/* Whether the oldest may still grow. */
bool flight_head_open(const struct flight *f);
bool flight_full(const struct flight *f);
/* Whether the oldest has to be dropped, as lost, before a request may be added. whole: the request
 * begins an interval. */
bool flight_must_drop(struct flight *f, bool whole);

/* Adds an exchange, open if it is a group: its key. Not when full. */
uint64_t flight_add(struct flight *f, enum unit unit);
/* The open group has this part too. */
void flight_part(struct flight *f, enum part part);
void flight_close(struct flight *f);
/* The youngest ends an interval; a Sync that belongs to none is one. */
void flight_barrier(struct flight *f);
/* The server waits for COPY data: it passes over a Sync that came behind the oldest. */
void flight_swallow(struct flight *f);

/* The oldest is answered: gone, unless ReadyForQuery is still to come. */
void flight_answered(struct flight *f);
/* The oldest goes, whatever it is. */
void flight_pop(struct flight *f);

/* How many exchanges wait for their answer. */
static inline uint64_t flight_waiting(const struct flight *f)
{
	return f->next_key - f->first_key;
}

static inline bool flight_lossy(const struct flight *f)
{
	return f->losses > 0 || f->answers_lost || f->stale > 0;
}

/* Whether the oldest is the only one whose answer can come next, although some were lost. */
bool flight_single(const struct flight *f);
void flight_lose_requests(struct flight *f);
/* lost: bytes, 0: what came cannot be an answer. */
void flight_lose_answers(struct flight *f, uint64_t lost);

#endif

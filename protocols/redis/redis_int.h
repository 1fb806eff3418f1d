/* The state of one connection's parser, and what its two halves share: request.c reads what the
 * client sends, answer.c what the server sends, redis.c drives them. */
#ifndef PROTOCOLS_REDIS_REDIS_INT_H
#define PROTOCOLS_REDIS_REDIS_INT_H

#include "protocols/redis/order.h"
#include "protocols/redis/resp.h"
#include "protocols/step.h"

#define REDIS_USER_MAX 64 /* bytes of a user's name */

/* The request that is being read. Invariant: `open` says that begin() was told and end() was not. */
struct request {
	uint64_t key;
	uint64_t value_end; /* position behind an argument that is passed over; 0: none is */
	uint64_t seen;	    /* position behind the last byte that was ever given */
	const struct command *command;
	uint32_t flags;	    /* enum msg_flag */
	uint32_t args_left; /* arguments that are still to come */
	uint32_t arg;	    /* number of the next one; the name is 0 */
	uint32_t key_arg;   /* which of them is the key; 0: none */
	uint32_t user_arg;  /* and which a user's name */
	uint32_t left_out;  /* arguments that were not shown */
	uint8_t class;	    /* enum command_class */
	uint8_t shown;
	bool open;
	bool options_over;
	bool in_line; /* the rest of a long inline command is being dropped */
};

/* What the server is saying. Invariant as above. */
struct answer {
	uint64_t key;
	uint64_t begin;			/* position of the attributes before it, if `attributes` */
	uint64_t value_end;		/* as in struct request */
	uint64_t left[REDIS_DEPTH_MAX]; /* elements to come of each open aggregate */
	uint32_t is_attribute, is_streamed; /* bit d: of the aggregate at depth d */
	uint32_t flags;
	uint32_t index;		/* number of the next element, at depth 1 */
	uint32_t exec_left;	/* answers to come inside that of EXEC */
	uint32_t subscriptions; /* as a confirmation tells them */
	uint8_t depth;
	uint8_t kind;	   /* enum msg_kind */
	uint8_t type;	   /* of a confirmation: enum redis_type */
	uint8_t class;	   /* of a confirmation: enum command_class; else CLASS_PLAIN */
	uint8_t key_index; /* which element is the channel; 0: none */
	bool open;
	bool value_pending; /* what ends at value_end is a value, not a piece of one */
	bool attributes;    /* come before the value, and have been begun */
	bool in_line;	    /* the rest of a long line is being dropped */
	bool seen;
};

struct redis {
	struct request request;
	struct answer answer;
	struct order order;
	uint64_t pushes;
	uint64_t
		confirmed_from; /* position of the first confirmation of the request at the front */
	uint64_t last[2];	/* position behind the last byte consumed, by direction */
	uint32_t confirmations;
	uint32_t subscribed[3]; /* to channels, patterns, shard channels; as far as is known */
	uint32_t
		told[2]; /* subscriptions as the server last told: of all but shard's, of shard's */
	uint64_t
		resume; /* position that resync() goes to; `given` is where the bytes at hand end */
	uint64_t given;
	uint64_t line[2];     /* with what is lost: position at which a line begins, by direction */
	uint8_t client;	      /* enum dir of requests */
	uint8_t skip_replies; /* requests from the next one on that get no answer */
	uint8_t held_class;   /* enum command_class */
	uint8_t user_n;
	bool mid, over;
	bool request_held; /* one of held_class waits for answers to those before it */
	bool request_lost; /* where the next request begins is not known */
	bool replies_off;
	bool resp3; /* pushes have a type of their own */
	bool database_told;
	bool user_pending; /* an AUTH or HELLO with `user` waits for its answer */
	char user[REDIS_USER_MAX];
};

_Static_assert(sizeof(struct redis) <= PROTO_STATE_MAX, "state of redis");

/* One call of parse(). */
struct walk {
	struct redis *r;
	const struct parse_in *in;
	struct sink *out;
	size_t at; /* bytes of in->buf that are done with */
	uint64_t skip;
	const char *why; /* of a STEP_STOP */
};

static inline uint64_t position(const struct walk *w)
{
	return w->in->off + w->at;
}

static inline struct slice rest(const struct walk *w)
{
	return slice_from(w->in->buf, w->at);
}

static inline enum step step_of(enum resp_got got)
{
	return got == RESP_OK ? STEP_GO : got == RESP_MORE ? STEP_MORE : STEP_LOST;
}

/* Passes over `len` bytes and the line end behind them, which is not looked at: whether it is there
 * must not depend on how the bytes were cut. */
static inline enum step value_pass(struct walk *w, uint64_t len, uint64_t *value_end)
{
	size_t left = w->in->buf.n - w->at;

	if (left < len + 2) {
		*value_end = position(w) + len + 2;
		w->skip = len + 2;
		return STEP_SKIP;
	}
	w->at += len + 2;
	return STEP_GO;
}

/* Which answer is whose is not known from here on. */
static inline void redis_lose(struct redis *r)
{
	order_lose(&r->order);
	r->user_pending = false;
	r->answer.exec_left = 0;
	r->confirmations = 0;
}

/* Whether a request of that class has to wait until what is open before it is answered. */
static inline bool redis_must_wait(const struct redis *r, unsigned int class)
{
	return order_full(&r->order) ||
	       (r->user_pending && (class == CLASS_AUTH || class == CLASS_HELLO));
}

enum step redis_request_step(struct walk *w);
enum step redis_answer_step(struct walk *w);
/* Ends what is open, at stream position off. */
void redis_request_end(struct redis *r, struct sink *out, uint64_t off, uint32_t flags);
void redis_answer_end(struct redis *r, struct sink *out, uint64_t off, uint32_t flags);

/* How s looks: RESP_OK the beginning of a request with a known name; RESP_MORE it could become one. */
enum resp_got redis_request_look(struct slice s);
/* The same for a push, which needs no request. */
enum resp_got redis_push_look(struct slice s);

#endif

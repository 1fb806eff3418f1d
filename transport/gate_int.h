/* The gate's insides: who is here (gate_visitor.c), the calls they make (gate_call.c), the listener and
 * the turns (gate.c).
 */
#ifndef TRANSPORT_GATE_INT_H
#define TRANSPORT_GATE_INT_H

#include "base/hash.h"
#include "transport/bridge.h"
#include "transport/gate.h"

#include <nghttp2/nghttp2.h>

#define GATE_ADDRESSES 1024 /* slots; addresses that share one share its limits */

/* So much at once, so much a second. */
struct bucket {
	uint64_t at_ns;
	uint64_t left; /* in thousandths */
};

struct address {
	struct bucket connections;
	uint32_t guests;
};

struct call {
	struct visitor *visitor;
	struct bridge bridge;
	int32_t id; /* 0: not in use */
	bool bridged, answered;
	bool post, uplink, grpc; /* what its headers said */
	char *token;		 /* heap, while headers come */
	size_t n_token;
};

/* A connection. */
struct visitor {
	struct h2_conn h2;
	struct gate *gate;
	struct visitor *prev, *next; /* guests: by age; admitted: in no order */
	struct address *address;
	uint64_t guest_since_ns;
	struct bucket frames;
	bool guest, was_admitted;
	struct call calls[GATE_STREAMS_MAX];
	unsigned int n_bridged;
};

struct list {
	struct visitor *first, *last;
	size_t n;
};

struct gate {
	struct gate_config cfg;
	struct watch listen, life;
	struct hash_key key;
	int epoll_fd;
	uint64_t now_ns, paused_until_ns;
	bool listening, may_accept, over;
	size_t conns_max, guests_max;
	struct list guests, admitted;
	struct visitor *gone; /* freed at the end of the turn */
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	struct address addresses[GATE_ADDRESSES];
};

static inline void gate_count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* Takes one of what b holds, which fills up to burst with rate a second. False: it is empty. */
bool bucket_take(struct bucket *b, uint64_t now_ns, uint64_t burst, uint64_t rate);
/* A full one. */
struct bucket bucket_full(uint64_t now_ns, uint64_t burst);

/* Takes fd over. NULL: no memory. A guest of that address. */
struct visitor *visitor_new(struct gate *g, int fd, struct address *from);
/* Ends the connection and all its calls; freed by visitors_bury(). Twice is fine. */
void visitor_end(struct visitor *v);
/* h2_conn_turn() and what follows from it: v may have ended. */
void visitor_turn(struct visitor *v);
/* A call of it was admitted; one that was has ended. */
void visitor_gain_call(struct visitor *v);
void visitor_lose_call(struct visitor *v);
/* At the end of a turn: frees those that ended. */
void visitors_bury(struct gate *g);

void call_init(struct call *c, struct visitor *v);
void call_end(struct call *c);

/* The callbacks and options of every connection. 0 or -ENOMEM. */
int gate_make_callbacks(struct gate *g);
/* The HTTP/2 session of v, with our settings queued. 0 or -ENOMEM. */
int gate_start_session(struct visitor *v);

#endif

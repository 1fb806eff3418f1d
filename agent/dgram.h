/* Hops 3 to 5 for datagrams: no stream and no connection, so a flow stands for both: what one socket
 * says to one address, with the same end asking. A flow lives in a conn_table of its own; it is ended
 * when nothing has come for a while, because nobody is told of a UDP socket's end.
 *
 * Protocol. A datagram from or to port 53 or 5353 that has the shape of DNS to its last byte is DNS. On
 * other ports a query is held back until an answer of the same id and question has come; then socket
 * and server are known, and the next queries there are believed.
 *
 * Both ends. UDP has nothing like TCP's sequence numbers, so two ends are matched by exchange: the same
 * bytes of a query between the same ports. (A query has an id of 16 bits; addresses may be translated
 * on the way, and a socket that is bound to none does not know its own.) The first such query at one
 * end is the first at the other, and so on.
 */
#ifndef AGENT_DGRAM_H
#define AGENT_DGRAM_H

#include "agent/conn.h"

#define DGRAM_FLOWS_MAX 4096		    /* at one time; beyond it the idlest ends */
#define DGRAM_IDLE_NS	(10 * NSEC_PER_SEC) /* then a flow ends, and a query has timed out */
#define DGRAM_SOCKS	4096		    /* sockets and servers remembered, power of two */
#define DGRAM_HELD_MAX	512  /* bytes of a query that is held back; longer ones are no evidence */
#define DGRAM_STRIKES	4    /* datagrams that are not DNS before a socket is only counted */
#define TWIN_SETS	2048 /* power of two */
#define TWIN_WAYS	4

struct pipeline;
struct exchange;

/* What is known of a socket, or of a server's address. */
struct dgram_known {
	uint64_t key;
	uint64_t asked; /* of a socket: the flow of its last query; 0 none */
	uint8_t is_dns, strikes;
};

/* One end of an exchange. */
struct twin_end {
	uint64_t cgroup;
	uint32_t n; /* how often that query has passed here */
	uint32_t tgid, netns;
	uint8_t other[16]; /* address of the other end, as this one has it */
	char comm[EV_COMM_LEN];
};

struct twin {
	uint64_t key, last_ns;
	struct twin_end client, server;
};

struct dgrams {
	struct conn_table flows;
	struct dgram_known *known; /* DGRAM_SOCKS, direct-mapped; NULL until the first datagram */
	struct twin *twins;	   /* TWIN_SETS sets */
	uint64_t twin_now;	   /* of the query that the parser is given; 0: none */
	uint32_t twin_nth;
};

void dgram_init(struct dgrams *d);
/* When no flow is left. */
void dgram_done(struct dgrams *d);

void dgram_event(struct pipeline *p, const struct ev_dgram *ev);
/* Ends idle flows and queries that are older than DGRAM_IDLE_NS. */
void dgram_sweep(struct pipeline *p);
/* Ends one flow; pair.outcome says why. False: there is none. */
bool dgram_stop(struct pipeline *p);

/* A request has begun on a flow: it remembers which query it is. */
void dgram_begun(struct pipeline *p, struct exchange *x);
/* Before its row: who the two ends are, and conn_id. */
void dgram_ends(struct pipeline *p, struct conn *c, const struct exchange *x);
/* Whether the server has seen this exchange of a client on this node. */
bool dgram_server_saw(struct pipeline *p, const struct exchange *x);

#endif

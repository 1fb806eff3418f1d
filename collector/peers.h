/* How many connections each user holds. Whoever keeps connections open, idle or byte by byte, keeps
 * everybody else out only up to a share of all. Used by the one thread that serves connections.
 */
#ifndef COLLECTOR_PEERS_H
#define COLLECTOR_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEERS_MAX      400 /* users at once: as many as connections */
#define PEERS_USER_MAX 250 /* connections of one */

struct peer {
	uint64_t user;
	size_t n; /* 0: free */
};

struct peers {
	struct peer of[PEERS_MAX];
};

/* One connection more: what to give to peers_leave(), NULL when that user has enough. */
struct peer *peers_enter(struct peers *p, uint64_t user);
/* NULL is fine. */
void peers_leave(struct peer *peer);

#endif

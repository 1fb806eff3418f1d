/* The statements that clients of a server prepare under a name: what a connection that is older than the
 * agent executes under it. Names mean something on one connection only, so that a name of another one
 * is trusted only
 *  - when it is no number that the client counts up (S_1, _pg3_7, a12): catalogue_is_lasting();
 *  - while every connection to the server was seen to prepare the same statement under it.
 * Bounded: when it is full, no name is added any more, and one that is not here is not known.
 */
#ifndef AGENT_CATALOGUE_H
#define AGENT_CATALOGUE_H

#include "agent/stmts.h"
#include "base/hash.h"
#include "base/hashmap.h"

#define CATALOGUE_MAX	    4096 /* names on all servers */
#define CATALOGUE_BYTES_MAX (4 * MIB)

struct catalogue {
	struct hashmap by_name; /* server and name -> struct named */
	struct hash_key key;
	uint64_t bytes;
	bool full;
};

void catalogue_init(struct catalogue *t);
void catalogue_done(struct catalogue *t);

/* Whether the name may mean the same on every connection. */
bool catalogue_is_lasting(struct slice name);
/* id: of the name, as in stmts.h. The server is the connection's. */
void catalogue_put(struct catalogue *t, const struct conn *c, uint64_t id, const struct stmt *s);
/* Borrowed until the next put. False: not known for certain. */
bool catalogue_get(const struct catalogue *t, const struct conn *c, uint64_t id, struct stmt *ret);

#endif

/* What the cluster's addresses stand for, kept for agents: one stream of changes comes in, any number of
 * agents are told from where each of them is. Who asks with a version that is not long ago gets the
 * changes since, everybody else the whole set and then the changes.
 *
 * Not thread-safe: the hub's lock covers it.
 */
#ifndef COLLECTOR_NAMES_H
#define COLLECTOR_NAMES_H

#include "base/slice.h"
#include "base/util.h"

#include <kelpie.pb-c.h>

#define NAMES_MAX	 1000000   /* entities kept */
#define NAMES_PART	 512	   /* entities of one message of a whole set */
#define NAMES_RING	 1024	   /* changes remembered, */
#define NAMES_RING_BYTES (8 * MIB) /* and their bytes */

struct names;
struct names_set;

/* Where an agent is. All zeros: it has not asked. */
struct names_cursor {
	bool wanted;
	uint64_t version;      /* that it has */
	struct names_set *set; /* that it is being told, or NULL */
	size_t part;	       /* next of it */
};

/* first_version: larger than any that an earlier collector gave out, such as unix ns. 0 or -ENOMEM. */
int names_new(uint64_t first_version, struct names **ret);
void names_free(struct names *n);
DEFINE_CLEANUP(struct names, names_free)

/* Takes the changes over. Between `first` and `last` nothing is handed out. 0; -EPROTO: no entity, or
 * none that can be told from others; -ENOSPC: NAMES_MAX; -ENOMEM: the set is not whole any more, the
 * sender has to begin anew. */
int names_take(struct names *n, const Kelpie__Names *changes);

/* An agent asks. have: the version that it has; 0: none. */
void names_want(struct names *n, struct names_cursor *c, uint64_t have);
/* The next packed CollectorMessage for it, borrowed until the next call of this module. 1; 0: it has
 * everything, or has not asked; -ENOMEM. */
int names_next(struct names *n, struct names_cursor *c, struct slice *ret);
/* The agent is gone. */
void names_leave(struct names *n, struct names_cursor *c);

/* Entities that hold now; 0 before the first whole set. */
size_t names_count(const struct names *n);

#endif

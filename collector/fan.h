/* All nodes as one scan source, for one query: plans go to every agent, the answers come back
 * merged in the plan's order, and what each node did is remembered for the coverage.
 */
#ifndef COLLECTOR_FAN_H
#define COLLECTOR_FAN_H

#include "collector/hub.h"
#include "query/query.h"

#define FAN_REASONS_MAX 8 /* distinct reasons that an answer tells */

/* Belongs to one thread. Zero it but for the first block; fan_done() it. */
struct fan {
	struct scan_source source; /* .open = fan_open */
	struct hub *hub;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; nodes that have not answered then are missing */
	const atomic_bool *cancel; /* may be NULL */
	bool no_payloads;	   /* a plan that names such a column is refused */

	struct query_list asked;   /* names of all known nodes */
	struct query_list missing; /* of these, who did not answer fully */
	struct query_list notes;   /* "node-7: busy", at most FAN_REASONS_MAX */
	bool asked_nobody;	   /* a scan found no node at all */
	bool all_failed;	   /* a scan got an answer from none */
	bool timed_out;		   /* a node was waited for until the deadline */
	const char *refused;	   /* name of the payload column for which a plan was; NULL: none */
};

void fan_init(struct fan *f, struct hub *hub, uint64_t deadline_ns, const atomic_bool *cancel);
void fan_done(struct fan *f);
/* Adds what the scans found out about the nodes. 0 or -ENOMEM. */
int fan_cover(const struct fan *f, struct query_coverage *cov);

#endif

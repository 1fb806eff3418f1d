/* The attacher's children: each starts with the descriptors it needs and no other, is told to stop,
 * and starts anew when it dies, later each time while it keeps dying. What a dead one held is booked
 * as lost.
 */
#ifndef AGENT_CHILDREN_H
#define AGENT_CHILDREN_H

#include "agent/agent.h"
#include "agent/capture.h"

enum child_id { CHILD_STORE, CHILD_PARSER, CHILD_SHIPPER, _CHILD_MAX };

struct child {
	bool wanted; /* started again when it dies */
	pid_t pid;   /* 0: not running */
	int fd;	     /* struct agent_msg, both ways; -1: not running */
	uint64_t started_ns, backoff_ns, retry_ns; /* CLOCK_BOOTTIME */
};

/* All zero beforehand; the attacher fills the second part, which has to outlive them. */
struct children {
	struct child child[_CHILD_MAX];
	uint64_t poison[POISON_MAX]; /* connections that a parser died of */
	size_t n_poison;	     /* ever */
	bool parser_told;	     /* of the connections that are open, since the last one died */

	struct capture *capture;
	struct ledger *ledger; /* with the attacher's part writable */
	const struct ledger_fds *ledger_fds;
	/* Without what differs from start to start: attacher_fd, attacher, poison. */
	struct store_args store;
	struct parser_args parser;
	struct shipper_args shipper;
};

void children_init(struct children *all);
/* From now on it is to run. 0: it serves; negative errno, which was reported. */
int children_start(struct children *all, enum child_id id);
/* Takes note of those that died and starts them again when their time has come. */
void children_tend(struct children *all);
bool children_all_run(const struct children *all);
/* Lets it finish, kills it when that takes too long. Fine with one that does not run. */
void children_stop(struct children *all, enum child_id id);

#endif

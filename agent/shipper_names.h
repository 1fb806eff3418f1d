/* The shipper's part of Kubernetes: watches the pods of this node and tells the attacher who they are.
 */
#ifndef AGENT_SHIPPER_NAMES_H
#define AGENT_SHIPPER_NAMES_H

#include "agent/agent.h"
#include "base/util.h"

/* Borrows one of enum agent_file from the attacher: a descriptor, or negative errno. */
typedef int (*shipper_borrow_fn)(void *ctx, enum agent_file file);

struct names_opts {
	const struct config *cfg;
	int attacher_fd;
	shipper_borrow_fn borrow;
	void *ctx;
};

struct names;

/* Before the process gives up its rights: what is wrong with the configuration into why (cap bytes). 0 or
 * negative errno. */
int names_new(const struct names_opts *o, struct names **ret, char *why, size_t cap);
/* Once the attacher answers: begins to watch. 0 or negative errno. */
int names_start(struct names *n);
void names_free(struct names *n);
DEFINE_CLEANUP(struct names, names_free)

/* To be polled for reading; milliseconds until names_turn() has something to do by itself, -1: nothing. */
int names_fd(const struct names *n);
int names_timeout_ms(const struct names *n);
void names_turn(struct names *n);

#endif

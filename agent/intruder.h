/* A stand-in for an attacker who runs code in one of our confined processes: tries what such code
 * would like to do next, from inside, after everything was given up. Behind the hidden
 * `--simulate parser-intruder` and `--simulate store-intruder`, for tests/e2e/test_intruder.
 *
 * One attempt in each life of the process: the kernel kills it for most of them, and it ends itself
 * after the others, so that the attacher's restarts count the attempts. Each says on standard error
 * "intruder NAME: tries" and, when it is still alive, "intruder NAME: " + the name of the error or
 * "through". After the last one it says "intruder: done", and the process does its work.
 */
#ifndef AGENT_INTRUDER_H
#define AGENT_INTRUDER_H

#include "agent/ledger.h"

#include <sys/types.h>

struct intruder {
	struct ledger *ledger;
	enum ledger_writer self;
	pid_t attacher;
	const char *data_dir;
};

/* Makes attempt number `turn` and does not return, or returns when there are no more. */
void intruder_turn(const struct intruder *who, uint32_t turn);

#endif

/* capture.budgetCores: how much of the new connections is read so that the agent's processes stay
 * in their CPU budget. Pure: the attacher measures, this decides, the parser asks for each
 * connection.
 *
 * Over the budget for BUDGET_OVER steps in a row: half as many as before. Below three quarters of
 * it for BUDGET_UNDER steps: twice as many, up to all. What is left out is chosen by the
 * connection's identity, so both ends of one are read or neither; it is counted (stage "sampling")
 * and makes each answer say that rows were left out on purpose.
 */
#ifndef AGENT_BUDGET_H
#define AGENT_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_OVER	 3 /* steps, about a second each */
#define BUDGET_UNDER	 10
#define BUDGET_SHIFT_MAX 10 /* one connection in 1024 is always read */

struct budget {
	uint64_t limit;		/* thousandths of a core; 0: none */
	uint64_t at_ns, cpu_ns; /* of the last step; 0: none yet */
	uint32_t used;		/* thousandths of a core, in the last step */
	uint8_t over, under;	/* steps in a row */
	uint8_t shift;		/* one connection in 1 << shift is read */
};

/* now_ns: a monotonic clock; cpu_ns: what all processes have used, which falls when one is started
 * anew. True when the share changed. */
bool budget_step(struct budget *b, uint64_t now_ns, uint64_t cpu_ns);

/* Whether the connection of this identity is among those that are read. Any shift is safe. */
bool budget_takes(uint32_t shift, uint64_t identity);

#endif

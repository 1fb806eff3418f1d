/* Which system calls each process of the agent may make once it serves: measured over the
 * end-to-end tests and read in the code for what those do not reach (sealing, a disk that fails,
 * abort()). The lists end with -1. agent/sandbox.c narrows some calls further, whoever lists them.
 */
#ifndef AGENT_CALLS_H
#define AGENT_CALLS_H

/* Anything else kills. */
extern const int calls_parser[];
extern const int calls_store[];
extern const int calls_shipper[];
/* Anything else fails with EPERM. Its children start under this list too, so those above and what
 * it takes to confine oneself belong to it. */
extern const int calls_attacher[];

#endif

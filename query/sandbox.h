/* Takes from the calling process everything that a statement does not need. */
#ifndef QUERY_SANDBOX_H
#define QUERY_SANDBOX_H

#include <stdint.h>

/* What may be made ahead, in the fork server, so that a child only loads it. NULL without memory.
 */
void *sandbox_filter(void);

/* For the fork server itself, when it is set up: forking, ending and reaping children, the calls of
 * a child and what it takes to confine one; everything else fails with EPERM. 0 or a negative
 * errno. */
int sandbox_enter_server(void);

/* memory_bytes: address space; cpu_s: seconds of processor time; filter: of sandbox_filter(). Open
 * descriptors stay usable, no new ones can be made. 0 or a negative errno: then the process must
 * not go on. */
int sandbox_enter(void *filter, uint64_t memory_bytes, uint64_t cpu_s);

/* Bytes of address space in use, from /proc/self/statm; 0 when it cannot be read. */
uint64_t sandbox_memory_in_use(void);

#endif

/* The heap of a process that runs for months: what a busy hour needed goes back to the kernel when it is
 * over. glibc keeps free memory for the next time, and raises its own limits with each large block.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdint.h>

/* At the start of the program, before there are threads; children inherit it. */
void heap_init(void);
/* Called at least every few seconds by one thread: now and then gives free pages back. last_ns: the
 * caller's, 0 at first. now_ns: a clock that never jumps. */
void heap_rest(uint64_t *last_ns, uint64_t now_ns);

#endif

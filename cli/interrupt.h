/* Ctrl-C: a flag, and a descriptor that becomes readable, so that no wait misses it. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

/* SIGINT, SIGTERM and SIGHUP are noted from here on. 0 or negative errno. Once per program. */
int interrupt_install(void);
bool interrupted(void);
/* Whether the program is to end: it was not Ctrl-C, which may be meant for one answer only. */
bool interrupt_ends(void);
/* What interrupted() reads, for a query to look at while it runs. */
const atomic_bool *interrupt_flag(void);
/* Forgets it (the prompt goes on). */
void interrupt_clear(void);
/* Readable while interrupted() holds; -1 before interrupt_install(). */
int interrupt_fd(void);
/* Sleeps at most ms milliseconds or until fd (>= 0) is readable. 1: fd is readable; 0: time is
 * over; -EINTR: interrupted. */
int interrupt_wait(int fd, int ms);

#endif

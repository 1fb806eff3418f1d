/* What capturing needs of the kernel's capabilities, said before anything is started. */
#ifndef CLI_PRIVILEGES_H
#define CLI_PRIVILEGES_H

#include "cli/trouble.h"

/* 0, or -EIO with *t set (EXIT_NOT_ALLOWED): names what is missing, what for, and what to do. */
int privileges_check(struct trouble *t);

/* Gives up, for this process and all it starts, what neither capturing needs nor a data directory or a
 * socket in somebody else's folder. 0 or a negative errno. */
int privileges_limit(void);

#endif

/* What capturing needs of the kernel's capabilities, said before anything is started. */
#ifndef CLI_PRIVILEGES_H
#define CLI_PRIVILEGES_H

#include "cli/trouble.h"

/* 0, or -EIO with *t set (EXIT_NOT_ALLOWED): names what is missing, what for, and what to do. */
int privileges_check(struct trouble *t);

#endif

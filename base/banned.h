/* Functions whose misuse is worse than their use; force-included into every user-side C file.
 * Unbounded copies, hidden static state, conversions that cannot report an error.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat strtok gets
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison gmtime localtime ctime asctime
#undef alloca
#pragma GCC poison alloca

#endif

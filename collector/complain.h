/* What the collector says of itself before it serves: one line on standard error. */
#ifndef COLLECTOR_COMPLAIN_H
#define COLLECTOR_COMPLAIN_H

#include <errno.h>
#include <stdio.h>

/* -EINVAL, for the caller to return. */
static inline int complain(const char *what, const char *why)
{
	fprintf(stderr, "kelpie-collector: %s: %s\n", what, why);
	return -EINVAL;
}

#endif

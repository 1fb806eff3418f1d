/* Why something could not be answered: the exit code and sentences for people. */
#ifndef CLI_TROUBLE_H
#define CLI_TROUBLE_H

#include "base/slice.h"
#include "base/util.h"

struct trouble {
	int code;	  /* enum cli_exit */
	int64_t position; /* byte in the statement that was asked, -1 unknown */
	char message[2048];
};

/* Fills *t and returns -EIO, so that `return trouble_set(...)` ends a function. */
int trouble_set(struct trouble *t, int code, const char *fmt, ...) __printf(3, 4);
/* Prints it as cli_fail() does and returns its code. */
int trouble_fail(const struct trouble *t);
/* The same, with the line of the statement and a mark below the place. */
int trouble_fail_at(const struct trouble *t, struct slice sql);

#endif

/* Another program, run without a shell: bytes in, lines out, what it says on standard error kept. */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include "base/strbuf.h"

#define TOOL_SAID_MAX (16 * KIB) /* kept of its standard error */

struct tool {
	const char *const
		*argv;	     /* the program, found in $PATH, and its arguments; ends with NULL */
	struct slice input;  /* its standard input */
	uint64_t timeout_ns; /* of the whole; 0: none */
	size_t line_max;     /* bytes of a line of its output */
	/* As of line_split (lines.h). */
	int (*line)(void *ctx, struct slice line);
	void *ctx;

	struct strbuf said; /* its standard error, cut at TOOL_SAID_MAX; the caller frees it */
	int status;	    /* its exit status; -1: a signal ended it */
};

/* 0: it ran to its end, with status and said. Negative errno: it did not start (-ENOENT: there is no
 * such program), -EINTR: interrupted, -ETIME, -EMSGSIZE, or what line() returned; it has been ended
 * then. */
int tool_run(struct tool *tool);

#endif

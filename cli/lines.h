/* Text as lines, and the words in a line. Slices are borrowed from what is given. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "base/strbuf.h"

/* The next line without its end; *rest moves behind it. */
struct slice line_next(struct slice *rest);
/* Line n, from 0; the last one when there are fewer. */
struct slice line_nth(struct slice text, size_t n);
/* Whether the line contains all words, which one space separates, in any case (ASCII). */
bool line_has_words(struct slice line, struct slice words);

/* Bytes that come in pieces, handed on line by line. Zero it and strbuf_init() the buffer with the
 * longest line that is taken; strbuf_done() it. */
struct line_split {
	struct strbuf line;
	/* One line without its end, never an empty one; a negative errno ends it. */
	int (*fn)(void *ctx, struct slice line);
	void *ctx;
	int status; /* 0; what fn returned; -EMSGSIZE: a line was too long */
};

/* Returns status. */
int line_split_add(struct line_split *s, struct slice bytes);
/* What stands behind the last end of a line is one, too. Returns status. */
int line_split_end(struct line_split *s);

#endif

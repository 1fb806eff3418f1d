/* Text as lines, and the words in a line. Slices are borrowed from what is given. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "base/slice.h"

/* The next line without its end; *rest moves behind it. */
struct slice line_next(struct slice *rest);
/* Line n, from 0; the last one when there are fewer. */
struct slice line_nth(struct slice text, size_t n);
/* Whether the line contains all words, which one space separates, in any case (ASCII). */
bool line_has_words(struct slice line, struct slice words);

#endif

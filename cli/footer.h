/* What stands under an answer, on stderr: how many rows, of which range, how complete, from where;
 * and why there is nothing.
 */
#ifndef CLI_FOOTER_H
#define CLI_FOOTER_H

#include "cli/cli.h"
#include "cli/question.h"

struct footer {
	const char *what; /* "services", "requests", "rows" */
	uint64_t rows;
	const struct question *q;
	const char *source;
	struct slice coverage; /* JSON object, may be empty */
	size_t dropped;	       /* columns that did not fit */
	bool filtered;	       /* filters were given */
	uint64_t now_ns;
	size_t width; /* lines are broken between words to fit; 0: never */
};

/* The lines, each with its end; escaped. */
void footer_add(const struct footer *f, struct strbuf *out);
/* Whether the coverage says complete; true when there is none. */
bool footer_complete(struct slice coverage);

#endif

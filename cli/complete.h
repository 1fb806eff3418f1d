/* What can follow in a statement that is being typed: tables, columns, functions, keywords, the
 * prompt's own commands. Pure: from the schema that this program was built with.
 */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "base/strbuf.h"

#define COMPLETE_MAX 512 /* names that are offered */

/* Names offered; texts are constant. */
struct completion {
	const char *names[COMPLETE_MAX];
	size_t n;
	size_t typed;  /* bytes of the word before the cursor that the names begin with */
	size_t common; /* bytes at the beginning that all names share */
	bool upper;    /* the word was typed in capitals: a keyword is meant so too */
};

/* text: the statement up to the cursor; rest: what stands behind it. No names: nothing fits, or the
 * cursor is in a literal or a comment. Sorted, each once. */
void complete_statement(struct slice text, struct slice rest, struct completion *ret);
/* The same for a line that begins with a backslash. metas: names of the commands, NULL at the end. */
void complete_meta(struct slice line, const char *const *metas, struct completion *ret);

#endif

/* SQL statements with their literals as `?`, so that they can be grouped and hold no data. A lexer,
 * not a parser: text that is cut off or wrong gets an answer too.
 *
 * Comments are dropped, runs of white space become one space, keywords are written in capitals,
 * names stay as they are. A sign belongs to its number. Placeholders are literals; so are NULL, TRUE,
 * FALSE and DEFAULT alone in a list. Lists of literals (1, 'x', ?) and rows of VALUES that look the
 * same shrink to one (?), strings in a row to one ?.
 *
 * What sql_mask() takes for a secret counts as a literal too. The answer's own answer is itself.
 */
#ifndef BASE_SQL_NORM_H
#define BASE_SQL_NORM_H

#include "base/sql_lex.h"

#define SQL_NORM_MAX 4096 /* bytes of an answer; longer ones end in ... */

/* out: SQL_NORM_MAX bytes, no NUL. Returns the length. */
size_t sql_norm(struct slice sql, enum sql_dialect dialect, char *out);

/* Of a statement whose end is missing: what the answer for the whole begins with, and `...`. */
size_t sql_norm_cut(struct slice sql, enum sql_dialect dialect, char *out);

#endif

/* SQL statements with their literals as `?`, so that they can be grouped and hold no data. A lexer,
 * not a parser: text that is cut off or wrong gets an answer too.
 *
 * Comments are dropped, runs of white space become one space, keywords are written in capitals,
 * names stay as they are, lists of placeholders (?, ?, ?) and repeated rows of VALUES shrink to one
 * (?).
 */
#ifndef BASE_SQL_NORM_H
#define BASE_SQL_NORM_H

#include "base/sql_lex.h"

#define SQL_NORM_MAX 4096 /* bytes of an answer; longer ones end in ... */

/* out: SQL_NORM_MAX bytes, no NUL. Returns the length. */
size_t sql_norm(struct slice sql, enum sql_dialect dialect, char *out);

#endif

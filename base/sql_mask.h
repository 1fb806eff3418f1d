/* What of a statement's text may be kept and shown: its verb, and the text without literals. */
#ifndef BASE_SQL_MASK_H
#define BASE_SQL_MASK_H

#include "base/sql_secret.h"

/* The verb of a statement in capitals: SELECT, INSERT, COMMIT, CALL, EXPLAIN, ... NULL when it does
 * not begin with a known one: never text of the user. Static.
 *
 * Of WITH, the verb behind its queries (WITH itself when the text ends before). Spellings of the same
 * count as one: START TRANSACTION is BEGIN, END is COMMIT, ABORT is ROLLBACK, DESC is DESCRIBE. */
const char *sql_verb(struct slice sql, enum sql_dialect dialect);

/* The statement as written, but each literal is a `?` and comments are gone: strings with their
 * prefix, numbers (their sign stays), what is glued to digits, bodies in dollar quotes, in MySQL "x"
 * too (a name only with ANSI_QUOTES; masked then too). Placeholders, names, TRUE, FALSE and NULL stay,
 * but for
 *  - a quoted name that no server would take: longer than SQL_NAME_MAX bytes;
 *  - in SET, ALTER and CREATE, the word or name that a PASSWORD, SECRET, TOKEN or the like is set to
 *    (ALTER USER x PASSWORD y, SET app.token = y).
 * A literal that is cut off is masked to the end. What is not sure in it (base/sql_wide.h) is to be cut off.
 *
 * out: at least MIN(sql.n, cap) bytes, no NUL; the answer is never longer than the statement. One that
 * does not fit into cap (>= 3) bytes ends behind a whole token in `...`. Returns the length. */
size_t sql_mask(struct slice sql, enum sql_dialect dialect, char *out, size_t cap);

#endif

/* The trace that a statement belongs to, as its client says in a comment (sqlcommenter, the SQL
 * commenter of OpenTelemetry): a block comment of pairs key='value' with commas between them, values
 * URL-encoded, such as action='list',traceparent='00-...-...-01'.
 */
#ifndef BASE_SQL_TRACE_H
#define BASE_SQL_TRACE_H

#include "base/sql_lex.h"

#define SQL_TRACEPARENT_MAX 64 /* bytes of a value; longer ones are none. W3C's version 00 has 55 */

/* The value of `traceparent` in the first comment that has one, decoded, as sent otherwise: its form
 * is not looked at. out: SQL_TRACEPARENT_MAX bytes, no NUL. Returns the length, 0 when there is none.
 * What only looks like a comment, within a string, is none. */
size_t sql_traceparent(struct slice sql, enum sql_dialect dialect, char *out);

#endif

/* One line for each query, subscription and control request: who, what, how it ended. logfmt with
 * the prefix "audit", never limited in rate, values of literals replaced by '?'.
 */
#ifndef COLLECTOR_AUDIT_H
#define COLLECTOR_AUDIT_H

#include "collector/http.h"

#define AUDIT_SQL_MAX 1024 /* bytes of the statement in the line */

/* result: "ok", "cut" (a cap), "incomplete" (something is known to be missing), else the error's
 * code. */
void audit_query(const struct request *r, struct slice sql, const char *result, uint64_t rows,
		 uint64_t bytes, uint64_t took_ns);
/* verb: "tap", "pause", ... */
void audit_verb(const struct request *r, const char *verb, const char *result, uint64_t rows,
		uint64_t took_ns);

#endif

/* From filter flags to statements. Each verb is one statement over `requests`, over the table of a
 * protocol (when a column is asked for that only it has), or over `connections`.
 */
#ifndef CLI_SQLGEN_H
#define CLI_SQLGEN_H

#include "cli/cli.h"
#include "cli/question.h"

#define SQLGEN_RANGE_NS (300 * NSEC_PER_SEC) /* of a live verb when none is said */

enum sql_target { SQL_REQUESTS, SQL_CONNECTIONS };

enum top_by { TOP_SERVICE, TOP_ENDPOINT, TOP_CLIENT, TOP_POD, TOP_STATEMENT, TOP_PAIR, _TOP_MAX };

/* Position of a name ("endpoint"); _TOP_MAX when unknown. NULL: TOP_SERVICE. */
enum top_by top_by_parse(const char *name);

/* All return 0, or -EINVAL with one sentence in why (a value that is none, a filter that has no
 * meaning for the table, a statement that became too long). */

/* Appends " WHERE ..." (nothing when there is no filter). */
int sqlgen_where(struct question *q, const struct options *o, enum sql_target target,
		 struct strbuf *why);
/* Sets the range from --since and --until; default_ns: how far back when --since is not given, 0:
 * all. A range that is empty because it begins at its end, or in the future, is an error. */
int sqlgen_range(struct question *q, const struct options *o, uint64_t now_ns, uint64_t default_ns,
		 struct strbuf *why);

/* span_ns: what rates are divided by. running: from the running counts (kelpie_red). */
int sqlgen_top(struct question *q, const struct options *o, uint64_t span_ns, bool running,
	       struct strbuf *why);
/* Whether the running counts can answer: a table of the last minutes, grouped and filtered by what
 * they are kept by. They never scan rows, at any rate. */
bool sqlgen_top_can_run(const struct question *range, const struct options *o, uint64_t now_ns);
/* The oldest end_time in the range: where a rate starts to be known. */
int sqlgen_oldest(struct question *q, struct strbuf *why);
/* The newest rows of the range, oldest of them first. */
int sqlgen_tap(struct question *q, const struct options *o, struct strbuf *why);
/* How many rows ended in (from_ns, to_ns]; sets the range too. */
int sqlgen_count(struct question *q, const struct options *o, uint64_t from_ns, uint64_t to_ns,
		 struct strbuf *why);
int sqlgen_slow(struct question *q, const struct options *o, struct strbuf *why);
int sqlgen_errors(struct question *q, const struct options *o, struct strbuf *why);
int sqlgen_conns(struct question *q, const struct options *o, struct strbuf *why);

/* An instant: "5m" or "-5m" (ago), "now" (also "0s"), or RFC 3339 text. 0 or -EINVAL. */
int sqlgen_time(const char *text, uint64_t now_ns, uint64_t *ret_ns);

#endif

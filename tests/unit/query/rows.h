/* Rows for the tests, and answers as text. */
#ifndef TESTS_UNIT_QUERY_ROWS_H
#define TESTS_UNIT_QUERY_ROWS_H

#include "mem_source.h"
#include "query/query.h"

#define T0 1763900000000000000LL /* 2025-11-23T12:13:20Z */

struct answer {
	struct strbuf text;			     /* a line per row, cells by '|', NULL as ~ */
	struct query_column cols[QUERY_COLUMNS_MAX]; /* names point into names */
	struct strbuf names;			     /* by ',' */
	size_t n_cols, rows;
	struct query_coverage cov;
	struct query_error error;
	int result;
};

/* n exchanges, two observations of some of them, and connections; the same for the same seed. End
 * times of primary rows differ; the other observation of an exchange ends with it. */
void rows_fill(struct mem_source *m, size_t n, uint64_t seed);
/* A random number that depends on the state alone. */
uint64_t rows_random(uint64_t *state);

void answer_done(struct answer *a);
void answer_sink(struct answer *a, struct query_sink *ret);
/* Everything retained, no caps. */
void ask(struct query_conn *c, const char *sql, struct answer *ret);
void ask_query(struct query_conn *c, const struct query *q, struct answer *ret);

#endif

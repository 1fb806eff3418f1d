/* The filters of a live subscription, with the names and meaning of the command line's flags, as
 * the clauses that agents test rows with.
 */
#ifndef COLLECTOR_FILTER_H
#define COLLECTOR_FILTER_H

#include "base/slice.h"

#include <kelpie.pb-c.h>

#define FILTER_CLAUSES_MAX 32
#define FILTER_TESTS_MAX   200 /* also of terms */

/* Zero it before the first use. Texts are borrowed from the parameters. */
struct filter_set {
	Kelpie__Clause clauses[FILTER_CLAUSES_MAX], *clause_refs[FILTER_CLAUSES_MAX];
	Kelpie__Term terms[FILTER_TESTS_MAX], *term_refs[FILTER_TESTS_MAX];
	Kelpie__Test tests[FILTER_TESTS_MAX], *test_refs[FILTER_TESTS_MAX];
	size_t n_clauses, n_terms, n_tests;
	char why[256]; /* what is wrong, after -EINVAL */
};

/* Adds "name=value", a comma list; a leading '!' excludes. 1; 0: no filter has this name; -EINVAL
 * with set->why. */
int filter_add(struct filter_set *set, const char *name, struct slice value);
/* Adds column = number. 0 or -EINVAL. */
int filter_add_equals(struct filter_set *set, uint16_t column, int64_t number);

#endif

/* What of a ledger's lines counts as lost in an answer: the one rule, for runs that are over and for the
 * agents of now.
 */
#ifndef BASE_LOSSES_H
#define BASE_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

struct losses {
	uint64_t units;	  /* by accident: records, rows, exchanges, datagrams */
	uint64_t bytes;	  /* by accident: payload */
	uint64_t sampled; /* connections and rows left out on purpose, as a share of all */
};

/* One line of kind `loss`. Intended losses count only where they were sampled: what nobody wanted is
 * missed by nobody. */
void losses_count(struct losses *l, const char *counter, bool intentional, const char *unit,
		  uint64_t value);
void losses_add(struct losses *to, const struct losses *more);
/* What came since `before`. Counters of one run only grow: a fall is no growth. */
struct losses losses_growth(const struct losses *now, const struct losses *before);
bool losses_any(const struct losses *l);

#endif

/* Which bytes of the one direction answer which of the other, read from a log; and that a conversation
 * of which bytes were lost, or that was joined in its middle, pairs nothing else.
 */
#ifndef TESTS_GOLDEN_PAIRS_H
#define TESTS_GOLDEN_PAIRS_H

#include "tests/golden/script.h"

#define PAIRS_MAX 512

struct span {
	uint64_t from, to; /* to: 0 when its end was not told */
};

struct exchange_spans {
	uint64_t key;
	struct span of[2]; /* enum msg_kind */
	bool begun[2];
};

struct pairs {
	struct exchange_spans x[PAIRS_MAX];
	size_t n;
};

void pairs_read(struct pairs *p, struct slice log);
/* Whether each pair of `some` is one of `all`, as far as its bytes were seen: what began in lost bytes
 * begins later. *ret_key: of one that is not. */
bool pairs_within(const struct pairs *some, const struct pairs *all, uint64_t *ret_key);

#endif

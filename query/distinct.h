/* How many different values: exact to DISTINCT_EXACT_MAX, then HyperLogLog (Flajolet et al. 2007)
 * with 2^14 registers, within 2 % (standard error 0.8 %). Values are hashed to 64 bits by a fixed
 * key, so states of different nodes merge.
 */
#ifndef QUERY_DISTINCT_H
#define QUERY_DISTINCT_H

#include "base/slice.h"
#include "base/strbuf.h"

#define DISTINCT_EXACT_MAX 10000
#define DISTINCT_BITS	   14
#define DISTINCT_BYTES_MAX (DISTINCT_EXACT_MAX * 8 + 16) /* of a serialised state */

struct distinct {
	uint64_t *set; /* open addressing, 0: free; NULL when registers are in use */
	uint32_t cap, len;
	bool has_zero;	    /* the hash 0 is in the set */
	uint8_t *registers; /* 1 << DISTINCT_BITS, NULL while exact */
};

void distinct_init(struct distinct *d);
void distinct_done(struct distinct *d);

int distinct_add_hash(struct distinct *d, uint64_t hash);
/* Integers and texts that look alike are different values. 0 or -ENOMEM. */
int distinct_add_int(struct distinct *d, int64_t v);
int distinct_add_real(struct distinct *d, double v);
int distinct_add_text(struct distinct *d, struct slice v);

int distinct_merge(struct distinct *d, const struct distinct *other);
uint64_t distinct_count(const struct distinct *d);
static inline bool distinct_is_exact(const struct distinct *d)
{
	return !d->registers;
}

void distinct_put(struct strbuf *out, const struct distinct *d);
/* Whole of in. ret: uninitialised; distinct_done() it after success. 0, -EBADMSG, -ENOMEM. */
int distinct_get(struct slice in, struct distinct *ret);

#endif

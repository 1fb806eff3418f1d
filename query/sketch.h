/* A quantile sketch with a relative error of at most 1 % (DDSketch: Masson, Rim, Lee, VLDB 2019):
 * counts of logarithmic bins. Merging adds counts, so the answer does not depend on the order or
 * the grouping of merges. Above SKETCH_BINS_MAX bins the lowest ones are folded together: low
 * quantiles of absurdly wide data lose their bound, high ones keep it.
 */
#ifndef QUERY_SKETCH_H
#define QUERY_SKETCH_H

#include "base/slice.h"
#include "base/strbuf.h"

#define SKETCH_ALPHA	 0.01	     /* relative error */
#define SKETCH_BINS_MAX	 2048	     /* of the positive and of the negative values each */
#define SKETCH_BYTES_MAX (54 * 1024) /* of a serialised sketch */
/* A sketch as a text value (column latency_sketch): this, then sketch_put()'s bytes in base64. */
#define SKETCH_TEXT_PREFIX "ddsk1:"

/* A run of bins, index base.. base + n - 1. */
struct sketch_store {
	uint64_t *counts; /* owned */
	int32_t base;
	uint32_t n, cap;
	bool folded; /* the lowest bin also holds everything below it */
};

struct sketch {
	struct sketch_store positive, negative;
	uint64_t zero, count;
	double min, max, sum; /* exact; meaningless while count is 0 */
};

void sketch_init(struct sketch *s);
void sketch_done(struct sketch *s);

/* Adds n times x. NaN and infinities are refused. 0, -EINVAL, -ENOMEM (unchanged). */
int sketch_add(struct sketch *s, double x, uint64_t n);
/* 0 or -ENOMEM (s is then still valid but holds only part of the other). */
int sketch_merge(struct sketch *s, const struct sketch *other);
/* Value of rank q * (count - 1), q in 0..1, within SKETCH_ALPHA of the exact one (linear rank,
 * lower); NaN when empty. */
double sketch_quantile(const struct sketch *s, double q);
/* How many of the values are <= x, within the values' relative error. */
uint64_t sketch_count_le(const struct sketch *s, double x);

/* Appends the sparse form: version, alpha, counts as varints of (gap, count). */
void sketch_put(struct strbuf *out, const struct sketch *s);
/* Whole of in. ret: uninitialised; sketch_done() it after success. 0, -EBADMSG, -ENOMEM. */
int sketch_get(struct slice in, struct sketch *ret);

#endif

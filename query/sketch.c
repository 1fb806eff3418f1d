#include "query/sketch.h"

#include "base/bytes.h"
#include "base/util.h"

#include <errno.h>
#include <math.h>

#define FORMAT_VERSION 1
#define ALPHA_PPM      10000 /* SKETCH_ALPHA as it is serialised */
#define INDEX_MAX      40000 /* beyond the logarithm of any double */

static double gamma_log(void)
{
	return log((1.0 + SKETCH_ALPHA) / (1.0 - SKETCH_ALPHA));
}

static int32_t index_of(double magnitude)
{
	return (int32_t)ceil(log(magnitude) / gamma_log());
}

/* Upper edge of a bin; the lower one is that of the bin before. */
static double edge_of(int32_t index)
{
	return exp((double)index * gamma_log());
}

/* The point of a bin whose relative distance to both edges is SKETCH_ALPHA. */
static double value_of(int32_t index)
{
	return edge_of(index) * (1.0 - SKETCH_ALPHA);
}

void sketch_init(struct sketch *s)
{
	memset(s, 0, sizeof(*s));
}

void sketch_done(struct sketch *s)
{
	free(s->positive.counts);
	free(s->negative.counts);
	sketch_init(s);
}

/* Makes bins [base, base + n) out of the old ones; what lies below base goes into the lowest bin.
 */
static int store_move(struct sketch_store *st, int32_t base, uint32_t n)
{
	uint32_t cap = st->cap ? st->cap : 64;
	uint64_t *counts;

	if (base == st->base && n >= st->n && n <= st->cap) {
		st->n = n; /* bins above are zero */
		return 0;
	}
	while (cap < n)
		cap *= 2;
	counts = calloc(cap, sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	for (uint32_t i = 0; i < st->n; i++) {
		int32_t index = st->base + (int32_t)i;

		if (index < base)
			st->folded = true;
		counts[index < base ? 0 : index - base] += st->counts[i];
	}
	free(st->counts);
	st->counts = counts;
	st->cap = cap;
	st->base = base;
	st->n = n;
	return 0;
}

static int store_add(struct sketch_store *st, int32_t index, uint64_t n)
{
	int32_t base = st->n ? MIN(st->base, index) : index;
	int32_t top = st->n ? MAX(st->base + (int32_t)st->n - 1, index) : index;
	int r;

	base = MAX(base, top - SKETCH_BINS_MAX + 1);
	if (base != st->base || (uint32_t)(top - base + 1) != st->n) {
		r = store_move(st, base, (uint32_t)(top - base + 1));
		if (r < 0)
			return r;
	}
	if (index < base) {
		st->folded = true;
		index = base;
	}
	st->counts[index - base] += n;
	return 0;
}

int sketch_add(struct sketch *s, double x, uint64_t n)
{
	int r = 0;

	if (!isfinite(x))
		return -EINVAL;
	if (!n)
		return 0;
	if (x > 0)
		r = store_add(&s->positive, index_of(x), n);
	else if (x < 0)
		r = store_add(&s->negative, index_of(-x), n);
	else
		s->zero += n;
	if (r < 0)
		return r;
	s->min = s->count ? fmin(s->min, x) : x;
	s->max = s->count ? fmax(s->max, x) : x;
	s->sum += x * (double)n;
	s->count += n;
	return 0;
}

static int store_merge(struct sketch_store *st, const struct sketch_store *other)
{
	uint32_t top = other->n;

	while (top > 0 && !other->counts[top - 1])
		top--;
	/* The top and then from the bottom up: so the range is made at once. */
	for (uint32_t k = 0; k < top; k++) {
		uint32_t i = k ? k - 1 : top - 1;
		int r;

		if (!other->counts[i])
			continue;
		r = store_add(st, other->base + (int32_t)i, other->counts[i]);
		if (r < 0)
			return r;
	}
	st->folded |= other->folded;
	return 0;
}

int sketch_merge(struct sketch *s, const struct sketch *other)
{
	int r;

	if (!other->count)
		return 0;
	r = store_merge(&s->positive, &other->positive);
	if (r == 0)
		r = store_merge(&s->negative, &other->negative);
	if (r < 0)
		return r;
	s->min = s->count ? fmin(s->min, other->min) : other->min;
	s->max = s->count ? fmax(s->max, other->max) : other->max;
	s->zero += other->zero;
	s->sum += other->sum;
	s->count += other->count;
	return 0;
}

static double clamp(const struct sketch *s, double v)
{
	return fmin(fmax(v, s->min), s->max);
}

double sketch_quantile(const struct sketch *s, double q)
{
	uint64_t rank, seen = 0;

	if (!s->count || !(q >= 0) || !(q <= 1))
		return (double)NAN;
	if (q >= 1)
		return s->max;
	rank = (uint64_t)(q * (double)(s->count - 1));
	for (uint32_t i = s->negative.n; i > 0; i--) {
		seen += s->negative.counts[i - 1];
		if (seen > rank)
			return clamp(s, -value_of(s->negative.base + (int32_t)i - 1));
	}
	seen += s->zero;
	if (seen > rank)
		return clamp(s, 0);
	for (uint32_t i = 0; i < s->positive.n; i++) {
		seen += s->positive.counts[i];
		if (seen > rank)
			return clamp(s, value_of(s->positive.base + (int32_t)i));
	}
	return s->max;
}

uint64_t sketch_count_le(const struct sketch *s, double x)
{
	uint64_t n = 0;

	if (isnan(x))
		return 0;
	for (uint32_t i = 0; i < s->negative.n; i++)
		if (x >= 0 || (isfinite(x) && s->negative.base + (int32_t)i >= index_of(-x)))
			n += s->negative.counts[i];
	if (x < 0)
		return n;
	n += s->zero;
	for (uint32_t i = 0; x > 0 && i < s->positive.n; i++)
		if (isinf(x) || s->positive.base + (int32_t)i <= index_of(x))
			n += s->positive.counts[i];
	return n;
}

static void put_number(struct strbuf *out, uint64_t v)
{
	uint8_t bytes[10];

	strbuf_add(out, bytes, put_varint(bytes, v));
}

static void put_double(struct strbuf *out, double v)
{
	uint8_t bytes[8];
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_le(bytes, bits, sizeof(bytes));
	strbuf_add(out, bytes, sizeof(bytes));
}

static void put_store(struct strbuf *out, const struct sketch_store *st)
{
	uint64_t used = 0;
	int32_t last = 0;

	for (uint32_t i = 0; i < st->n; i++)
		used += st->counts[i] != 0;
	put_number(out, used << 1 | st->folded);
	for (uint32_t i = 0; i < st->n; i++) {
		int32_t index = st->base + (int32_t)i;

		if (!st->counts[i])
			continue;
		put_number(out, zigzag(index - last));
		put_number(out, st->counts[i]);
		last = index;
	}
}

void sketch_put(struct strbuf *out, const struct sketch *s)
{
	put_number(out, FORMAT_VERSION);
	put_number(out, ALPHA_PPM);
	put_number(out, s->count);
	if (!s->count)
		return;
	put_number(out, s->zero);
	put_double(out, s->min);
	put_double(out, s->max);
	put_double(out, s->sum);
	put_store(out, &s->positive);
	put_store(out, &s->negative);
}

static double get_double(struct reader *in)
{
	uint64_t bits = read_le64(in);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* Adds the store's counts to *sum. */
static int get_store(struct reader *in, struct sketch_store *st, uint64_t *sum)
{
	uint64_t head = read_varint(in), used = head >> 1;
	int64_t index = 0;

	st->folded = head & 1;
	if (used > SKETCH_BINS_MAX)
		return -EBADMSG;
	for (uint64_t i = 0; i < used; i++) {
		int64_t gap = unzigzag(read_varint(in));
		uint64_t n = read_varint(in);
		int r;

		if (in->bad || gap < -2 * INDEX_MAX || gap > 2 * INDEX_MAX || (i && gap <= 0) || !n)
			return -EBADMSG;
		index += gap;
		if (index < -INDEX_MAX || index > INDEX_MAX || ckd_add(sum, *sum, n))
			return -EBADMSG;
		if (st->n && index - st->base >= SKETCH_BINS_MAX)
			return -EBADMSG;
		r = store_add(st, (int32_t)index, n);
		if (r < 0)
			return r;
	}
	return 0;
}

int sketch_get(struct slice in, struct sketch *ret)
{
	struct reader r = reader_of(in);
	struct sketch s;
	uint64_t sum;
	int err = 0;

	sketch_init(&s);
	if (read_varint(&r) != FORMAT_VERSION || read_varint(&r) != ALPHA_PPM)
		return -EBADMSG;
	s.count = read_varint(&r);
	if (s.count) {
		s.zero = sum = read_varint(&r);
		s.min = get_double(&r);
		s.max = get_double(&r);
		s.sum = get_double(&r);
		err = get_store(&r, &s.positive, &sum);
		if (err == 0)
			err = get_store(&r, &s.negative, &sum);
		if (err == 0 && (sum != s.count || !isfinite(s.min) || !isfinite(s.max) ||
				 isnan(s.sum) || s.min > s.max))
			err = -EBADMSG;
	}
	if (err == 0 && (r.bad || reader_left(&r)))
		err = -EBADMSG;
	if (err < 0) {
		sketch_done(&s);
		return err;
	}
	*ret = s;
	return 0;
}

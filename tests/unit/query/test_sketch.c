#include "query/sketch.h"

#include "base/hash.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <math.h>

#define N 20000

static const double quantiles[] = { 0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1 };

/* 0 < u < 1, the same on every run. */
static double uniform(uint64_t i)
{
	return ((double)(hash_u64(i + 1) >> 11) + 0.5) / 9007199254740992.0;
}

static double pareto(uint64_t i)
{
	return 1000.0 / pow(uniform(i), 1 / 1.2);
}

static double bimodal(uint64_t i)
{
	return (i & 1 ? 160e3 : 24e6) * (0.9 + 0.2 * uniform(i));
}

static double signed_values(uint64_t i)
{
	return i % 10 == 0 ? 0 : (uniform(i) - 0.4) * 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void check_bound(double (*value)(uint64_t))
{
	double *all = calloc(N, sizeof(*all));
	struct sketch whole, part;

	sketch_init(&whole);
	for (uint64_t shard = 0; shard < 10; shard++) {
		sketch_init(&part);
		for (uint64_t i = shard; i < N; i += 10) {
			all[i] = value(i);
			EXPECT_EQ(sketch_add(&part, all[i], 1), 0);
		}
		EXPECT_EQ(sketch_merge(&whole, &part), 0);
		sketch_done(&part);
	}
	qsort(all, N, sizeof(*all), by_value);
	EXPECT_EQ(whole.count, N);
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
		double exact = all[(size_t)(quantiles[i] * (N - 1))];
		double got = sketch_quantile(&whole, quantiles[i]);

		EXPECT(fabs(got - exact) <= fabs(exact) * (SKETCH_ALPHA + 1e-9));
	}
	EXPECT(whole.min == all[0] && whole.max == all[N - 1]);
	sketch_done(&whole);
	free(all);
}

static void test_sketch__error_bound(void)
{
	check_bound(pareto);
	check_bound(bimodal);
	check_bound(signed_values);
}

static void test_sketch__merge_order_does_not_matter(void)
{
	struct strbuf x = STRBUF_INIT(SKETCH_BYTES_MAX), y = STRBUF_INIT(SKETCH_BYTES_MAX);
	struct sketch a, b, ab, ba;

	sketch_init(&a);
	sketch_init(&b);
	sketch_init(&ab);
	sketch_init(&ba);
	for (uint64_t i = 0; i < 1000; i++) {
		/* integers: the sum is exact in any order */
		sketch_add(&a, floor(pareto(i)), 1);
		sketch_add(&b, floor(bimodal(i)), i % 5);
	}
	sketch_merge(&ab, &a);
	sketch_merge(&ab, &b);
	sketch_merge(&ba, &b);
	sketch_merge(&ba, &a);
	sketch_put(&x, &ab);
	sketch_put(&y, &ba);
	EXPECT_MEM(x.p, x.len, y.p, y.len);
	sketch_done(&a);
	sketch_done(&b);
	sketch_done(&ab);
	sketch_done(&ba);
	strbuf_done(&x);
	strbuf_done(&y);
}

static void test_sketch__folds_the_lowest(void)
{
	struct sketch up, down;
	struct strbuf x = STRBUF_INIT(SKETCH_BYTES_MAX), y = STRBUF_INIT(SKETCH_BYTES_MAX);

	sketch_init(&up);
	sketch_init(&down);
	for (int i = -300; i <= 300; i++) {
		EXPECT_EQ(sketch_add(&up, pow(10, i), 1), 0);
		EXPECT_EQ(sketch_add(&down, pow(10, -i), 1), 0);
	}
	EXPECT_EQ(up.positive.n, SKETCH_BINS_MAX);
	EXPECT(up.positive.folded && down.positive.folded);
	EXPECT_EQ(up.count, 601);
	EXPECT(fabs(sketch_quantile(&up, 0.999) / 1e299 - 1) < 0.0101);
	up.sum = down.sum = 0; /* the order of additions shows in it */
	sketch_put(&x, &up);
	sketch_put(&y, &down);
	EXPECT_MEM(x.p, x.len, y.p, y.len);
	sketch_done(&up);
	sketch_done(&down);
	strbuf_done(&x);
	strbuf_done(&y);
}

static void test_sketch__round_trip(void)
{
	struct strbuf out = STRBUF_INIT(SKETCH_BYTES_MAX);
	struct sketch s, back;

	sketch_init(&s);
	for (uint64_t i = 0; i < N; i++)
		sketch_add(&s, signed_values(i), 1 + i % 3);
	sketch_put(&out, &s);
	EXPECT(!out.failed);
	ASSERT_EQ(sketch_get(strbuf_slice(&out), &back), 0);
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
		EXPECT(sketch_quantile(&s, quantiles[i]) == sketch_quantile(&back, quantiles[i]));
	sketch_done(&back);
	/* Every cut and every changed count is refused: the total no longer fits. */
	for (size_t n = 0; n < out.len; n++) {
		int r = sketch_get(slice_of(out.p, n), &back);

		EXPECT_EQ(r, -EBADMSG);
	}
	out.p[out.len - 1] ^= 1;
	EXPECT_EQ(sketch_get(strbuf_slice(&out), &back), -EBADMSG);
	sketch_done(&s);
	strbuf_done(&out);
}

static void test_sketch__typical_size(void)
{
	struct strbuf out = STRBUF_INIT(SKETCH_BYTES_MAX);
	struct sketch s;

	sketch_init(&s);
	for (uint64_t i = 0; i < N; i++)
		sketch_add(&s, bimodal(i), 1);
	sketch_put(&out, &s);
	EXPECT(out.len < 700);
	sketch_done(&s);
	strbuf_done(&out);
}

static void test_sketch__edges(void)
{
	struct sketch s;

	sketch_init(&s);
	EXPECT(isnan(sketch_quantile(&s, 0.5)));
	EXPECT_EQ(sketch_add(&s, (double)NAN, 1), -EINVAL);
	EXPECT_EQ(sketch_add(&s, (double)INFINITY, 1), -EINVAL);
	EXPECT_EQ(sketch_add(&s, 5, 0), 0);
	EXPECT_EQ(s.count, 0);
	EXPECT_EQ(sketch_add(&s, 7, 1), 0);
	EXPECT(sketch_quantile(&s, 0.5) == 7);
	EXPECT(isnan(sketch_quantile(&s, 1.5)) && isnan(sketch_quantile(&s, (double)NAN)));
	EXPECT_EQ(sketch_add(&s, -3, 2), 0);
	EXPECT_EQ(sketch_add(&s, 0, 4), 0);
	EXPECT_EQ(sketch_count_le(&s, -3), 2);
	EXPECT_EQ(sketch_count_le(&s, -1), 2);
	EXPECT_EQ(sketch_count_le(&s, -100), 0);
	EXPECT_EQ(sketch_count_le(&s, 0), 6);
	EXPECT_EQ(sketch_count_le(&s, 7), 7);
	EXPECT_EQ(sketch_count_le(&s, 6), 6);
	sketch_done(&s);
}

TEST_MAIN(TEST(test_sketch__error_bound), TEST(test_sketch__merge_order_does_not_matter),
	  TEST(test_sketch__folds_the_lowest), TEST(test_sketch__round_trip),
	  TEST(test_sketch__typical_size), TEST(test_sketch__edges))

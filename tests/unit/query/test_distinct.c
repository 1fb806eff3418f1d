#include "query/distinct.h"

#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>

static void test_distinct__exact_then_within_two_percent(void)
{
	static const uint64_t stops[] = { 0, 1, 9999, 10000, 10001, 20000, 40000, 80000, 300000 };
	struct distinct d;
	uint64_t i = 0;

	distinct_init(&d);
	for (size_t s = 0; s < ARRAY_SIZE(stops); s++) {
		uint64_t got;

		for (; i < stops[s]; i++) {
			EXPECT_EQ(distinct_add_int(&d, (int64_t)i), 0);
			EXPECT_EQ(distinct_add_int(&d, (int64_t)(i / 2)), 0);
		}
		got = distinct_count(&d);
		if (stops[s] <= DISTINCT_EXACT_MAX)
			EXPECT_EQ(got, stops[s]);
		EXPECT_EQ(distinct_is_exact(&d), stops[s] <= DISTINCT_EXACT_MAX);
		EXPECT(got * 100 >= stops[s] * 98 && got * 100 <= stops[s] * 102);
	}
	distinct_done(&d);
}

static void test_distinct__kinds(void)
{
	struct distinct d;

	distinct_init(&d);
	distinct_add_int(&d, 1);
	distinct_add_real(&d, 1.0);
	EXPECT_EQ(distinct_count(&d), 1);
	distinct_add_text(&d, SLICE_LIT("1"));
	distinct_add_text(&d, SLICE_LIT(""));
	distinct_add_text(&d, SLICE_LIT(""));
	distinct_add_real(&d, 1.5);
	distinct_add_hash(&d, 0);
	distinct_add_hash(&d, 0);
	EXPECT_EQ(distinct_count(&d), 5);
	distinct_done(&d);
}

static void fill(struct distinct *d, int64_t from, int64_t to)
{
	distinct_init(d);
	for (int64_t i = from; i < to; i++)
		distinct_add_int(d, i);
}

/* Parts of every mix of forms give the same count as the whole. */
static void test_distinct__merge(void)
{
	static const int64_t cuts[][4] = { /* a from, a to, b from, b to */
					   { 0, 3000, 2000, 5000 },
					   { 0, 8000, 4000, 12000 },
					   { 0, 50000, 40000, 45000 },
					   { 0, 100, 0, 60000 },
					   { 0, 30000, 20000, 60000 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		struct distinct a, b, all;

		fill(&a, cuts[i][0], cuts[i][1]);
		fill(&b, cuts[i][2], cuts[i][3]);
		fill(&all, 0, MAX(cuts[i][1], cuts[i][3]));
		EXPECT_EQ(distinct_merge(&a, &b), 0);
		EXPECT_EQ(distinct_count(&a), distinct_count(&all));
		distinct_done(&a);
		distinct_done(&b);
		distinct_done(&all);
	}
}

static void test_distinct__round_trip(void)
{
	static const int64_t sizes[] = { 0, 1, 10000, 10001 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct strbuf out = STRBUF_INIT(DISTINCT_BYTES_MAX);
		struct distinct d, back;

		fill(&d, 0, sizes[i]);
		distinct_put(&out, &d);
		EXPECT(!out.failed);
		ASSERT_EQ(distinct_get(strbuf_slice(&out), &back), 0);
		EXPECT_EQ(distinct_count(&back), distinct_count(&d));
		distinct_done(&back);
		EXPECT_EQ(distinct_get(slice_of(out.p, out.len - 1), &back), -EBADMSG);
		strbuf_addch(&out, 99);
		EXPECT_EQ(distinct_get(strbuf_slice(&out), &back), -EBADMSG);
		distinct_done(&d);
		strbuf_done(&out);
	}
}

TEST_MAIN(TEST(test_distinct__exact_then_within_two_percent), TEST(test_distinct__kinds),
	  TEST(test_distinct__merge), TEST(test_distinct__round_trip))

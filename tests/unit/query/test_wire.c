#include "rows.h"

#include "query/wire.h"
#include "tests/lib/test.h"

#include <errno.h>

static void test_wire__plan_round_trip(void)
{
	const uint16_t cols[] = { COL_END_TIME, COL_HTTP_PATH };
	const struct value values[] = {
		{ .kind = VALUE_TEXT, .text = SLICE_LIT("a\0b") },
		{ .kind = VALUE_INT, .i = INT64_MIN },
		{ .kind = VALUE_INT, .i = INT64_MAX },
		{ .kind = VALUE_TEXT, .text = SLICE_LIT("") },
	};
	const struct scan_pred preds[] = {
		{ COL_HTTP_PATH, PRED_PREFIX, values, 1 },
		{ COL_LATENCY_NS, PRED_IN, values + 1, 2 },
		{ COL_ERROR, PRED_IS_NULL, NULL, 0 },
		{ COL_METHOD, PRED_NE, values + 3, 1 },
	};
	struct scan_plan plan = { .table = TABLE_HTTP,
				  .from_ns = 5,
				  .to_ns = UINT64_MAX,
				  .cols = cols,
				  .n_cols = 2,
				  .preds = preds,
				  .n_preds = 4,
				  .newest_first = true,
				  .limit = 77 };
	struct strbuf out = STRBUF_INIT(WIRE_PLAN_MAX), again = STRBUF_INIT(WIRE_PLAN_MAX);
	struct wire_plan back;

	ASSERT_EQ(wire_put_plan(&out, &plan), 0);
	ASSERT_EQ(wire_get_plan(strbuf_slice(&out), &back), 0);
	EXPECT_EQ(back.plan.limit, 77);
	EXPECT_EQ(back.plan.preds[1].values[0].i, INT64_MIN);
	EXPECT(slice_eq(back.plan.preds[0].values[0].text, values[0].text));
	ASSERT_EQ(wire_put_plan(&again, &back.plan), 0);
	EXPECT_MEM(out.p, out.len, again.p, again.len);
	wire_plan_done(&back);
	for (size_t n = 0; n < out.len; n++)
		EXPECT_EQ(wire_get_plan(slice_of(out.p, n), &back), -EBADMSG);
	strbuf_addch(&out, 0);
	EXPECT_EQ(wire_get_plan(strbuf_slice(&out), &back), -EBADMSG);
	plan.table = 15;
	EXPECT_EQ(wire_put_plan(&out, &plan), -EINVAL);
	strbuf_done(&out);
	strbuf_done(&again);
}

static bool same_batch(const struct scan_batch *a, size_t first, const struct scan_batch *b)
{
	for (size_t c = 0; c < b->n_cols; c++)
		for (size_t i = 0; i < b->n_rows; i++) {
			const struct scan_col *x = &a->cols[c], *y = &b->cols[c];

			if (x->col != y->col || x->kinds[first + i] != y->kinds[i])
				return false;
			if (y->kinds[i] == VALUE_INT && x->ints[first + i] != y->ints[i])
				return false;
			if (y->kinds[i] == VALUE_TEXT &&
			    !slice_eq(x->texts[first + i], y->texts[i]))
				return false;
		}
	return true;
}

static void test_wire__batches_round_trip(void)
{
	const uint16_t cols[] = { COL_END_TIME, COL_HTTP_PATH, COL_STATUS_CODE, COL_METHOD,
				  COL_HTTP_RESPONSE_BODY };
	struct scan_plan plan = {
		.table = TABLE_HTTP, .to_ns = UINT64_MAX, .cols = cols, .n_cols = 5
	};
	struct strbuf out = STRBUF_INIT(WIRE_BATCH_MAX);
	struct wire_batch got = { 0 };
	struct mem_source m;
	struct scan_batch batch;
	struct scan *scan;

	mem_source_init(&m);
	m.batch_rows = 64;
	rows_fill(&m, 200, 9);
	ASSERT_EQ(m.base.open(&m.base, &plan, &scan), 0);
	while (scan->ops->next(scan, &batch) == 1) {
		size_t next = 0;

		strbuf_reset(&out);
		ASSERT_EQ(wire_put_batch(&out, &batch, 0, &next), 0);
		EXPECT_EQ(next, batch.n_rows);
		ASSERT_EQ(wire_get_batch(strbuf_slice(&out), &plan, &got), 0);
		EXPECT_EQ(got.batch.n_rows, batch.n_rows);
		EXPECT(same_batch(&batch, 0, &got.batch));
		for (size_t n = 0; n < out.len; n += 3) {
			/* exact allocation: a read past the end is seen */
			uint8_t *cut = malloc(n + 1);

			memcpy(cut, out.p, n);
			EXPECT_EQ(wire_get_batch(slice_of(cut, n), &plan, &got), -EBADMSG);
			free(cut);
		}
	}
	scan->ops->close(scan);
	wire_batch_done(&got);
	strbuf_done(&out);
	mem_source_done(&m);
}

static void test_wire__long_batches_are_split(void)
{
	static char text[1000000];
	uint8_t kinds[10];
	int64_t ints[10] = { 0 };
	struct slice texts[10];
	struct scan_col col = { COL_HTTP_PATH, kinds, ints, texts };
	struct scan_batch batch = { 10, &col, 1 };
	struct strbuf out = STRBUF_INIT(2 * WIRE_BATCH_MAX);
	struct wire_batch got = { 0 };
	size_t next = 0, parts = 0;

	memset(text, 'x', sizeof(text));
	memset(kinds, VALUE_TEXT, sizeof(kinds));
	for (size_t i = 0; i < 10; i++)
		texts[i] = slice_of(text, sizeof(text) - i);
	while (next < 10) {
		size_t first = next;

		strbuf_reset(&out);
		ASSERT_EQ(wire_put_batch(&out, &batch, first, &next), 0);
		EXPECT(out.len <= WIRE_BATCH_MAX);
		ASSERT_EQ(wire_get_batch(strbuf_slice(&out), NULL, &got), 0);
		EXPECT_EQ(got.batch.n_rows, next - first);
		EXPECT(same_batch(&batch, first, &got.batch));
		parts++;
	}
	EXPECT_EQ(parts, 3);
	wire_batch_done(&got);
	strbuf_done(&out);
}

static void test_wire__repeated_texts_are_short(void)
{
	uint8_t kinds[1000];
	int64_t ints[1000];
	struct slice texts[1000];
	struct scan_col cols[] = { { COL_HTTP_HOST, kinds, ints, texts } };
	struct scan_batch batch = { 1000, cols, 1 };
	struct strbuf out = STRBUF_INIT(WIRE_BATCH_MAX);
	size_t next;

	memset(kinds, VALUE_TEXT, sizeof(kinds));
	for (size_t i = 0; i < 1000; i++)
		texts[i] = i % 2 ? SLICE_LIT("orders.shop.svc.cluster.local") : SLICE_LIT("");
	ASSERT_EQ(wire_put_batch(&out, &batch, 0, &next), 0);
	EXPECT(out.len < 2100);
	strbuf_done(&out);
}

static void test_wire__coverage(void)
{
	struct scan_coverage cov = { 1, 2, 3, 4, 5, 6, UINT64_MAX, 8, true }, back = { 0 };
	struct strbuf out = STRBUF_INIT(1024);

	wire_put_coverage(&out, &cov);
	ASSERT_EQ(wire_get_coverage(strbuf_slice(&out), &back), 0);
	EXPECT(memcmp(&cov, &back, sizeof(cov)) == 0 ||
	       (back.oldest_ns == UINT64_MAX && back.truncated));
	for (size_t n = 0; n < out.len; n++)
		EXPECT_EQ(wire_get_coverage(slice_of(out.p, n), &back), -EBADMSG);
	strbuf_done(&out);
}

TEST_MAIN(TEST(test_wire__plan_round_trip), TEST(test_wire__batches_round_trip),
	  TEST(test_wire__long_batches_are_split), TEST(test_wire__repeated_texts_are_short),
	  TEST(test_wire__coverage))

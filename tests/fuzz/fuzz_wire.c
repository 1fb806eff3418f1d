/* Bytes of another process or node: plans, batches, coverage, sketches, distinct counts and the
 * workers' messages. The first byte chooses. What decodes has to survive being encoded and decoded
 * again. */
#include "query/distinct.h"
#include "query/sketch.h"
#include "query/wire.h"
#include "query/wire_int.h"
#include "query/worker_msg.h"
#include "tests/fuzz/work.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static const struct work_bound plan_bound = { "wire_get_plan", 128, 8192 };
static const struct work_bound batch_bound = { "wire_get_batch", 512, 8192 };
static const struct work_bound sketch_bound = { "sketch_get", 256, 65536 };
static const struct work_bound distinct_bound = { "distinct_get", 64, 8192 };
/* The columns that a head announces are read even when their bytes are missing. */
static const struct work_bound message_bound = { "worker_msg", 256, 256 * QUERY_COLUMNS_MAX };
static const struct work_bound coverage_bound = { "wire_get_coverage", 64, 8192 };

static void plan(struct slice in)
{
	struct strbuf out = STRBUF_INIT(2 * WIRE_PLAN_MAX);
	struct wire_plan p, again;

	int r;

	work_begin();
	r = wire_get_plan(in, &p);
	work_end(&plan_bound, in.n);
	if (r < 0)
		return;
	must(wire_put_plan(&out, &p.plan) == 0);
	must(wire_get_plan(strbuf_slice(&out), &again) == 0);
	must(again.plan.n_preds == p.plan.n_preds && again.plan.limit == p.plan.limit);
	wire_plan_done(&again);
	wire_plan_done(&p);
	strbuf_done(&out);
}

/* A cell of a batch costs memory and work without a byte of its own: as many as the head announces.
 */
static size_t batch_cells(struct slice in)
{
	struct reader r = reader_of(slice_from(in, 2));
	uint64_t rows = read_varint(&r), cols = read_varint(&r);

	return rows > SCAN_BATCH_ROWS || cols > SCAN_COLS_MAX ? 0 : (size_t)(rows * cols);
}

static void batch(struct slice in)
{
	struct strbuf out = STRBUF_INIT(2 * WIRE_BATCH_MAX);
	struct wire_batch b = { 0 }, again = { 0 };
	size_t next = 0;
	int r;

	work_begin();
	r = wire_get_batch(in, NULL, &b);
	work_end(&batch_bound, in.n + batch_cells(in));
	/* References can make a batch longer than it was: then it is split, and the first part is
	 * looked at. */
	if (r == 0 && wire_put_batch(&out, &b.batch, 0, &next) == 0) {
		must(wire_get_batch(strbuf_slice(&out), NULL, &again) == 0);
		must(again.batch.n_rows == next);
		for (size_t c = 0; c < again.batch.n_cols; c++)
			for (size_t i = 0; i < next; i++) {
				const struct scan_col *x = &b.batch.cols[c];
				const struct scan_col *y = &again.batch.cols[c];

				must(x->kinds[i] == y->kinds[i]);
				if (x->kinds[i] == VALUE_INT)
					must(x->ints[i] == y->ints[i]);
				if (x->kinds[i] == VALUE_TEXT)
					must(slice_eq(x->texts[i], y->texts[i]));
			}
	}
	wire_batch_done(&b);
	wire_batch_done(&again);
	strbuf_done(&out);
}

static void sketch(struct slice in)
{
	struct strbuf out = STRBUF_INIT(SKETCH_BYTES_MAX);
	struct sketch s, again;
	int r;

	work_begin();
	r = sketch_get(in, &s);
	work_end(&sketch_bound, in.n);
	if (r < 0)
		return;
	sketch_put(&out, &s);
	must(!out.failed);
	must(sketch_get(strbuf_slice(&out), &again) == 0);
	must(again.count == s.count);
	sketch_quantile(&s, 0.5);
	sketch_count_le(&s, s.max);
	sketch_done(&again);
	sketch_done(&s);
	strbuf_done(&out);
}

static void distinct(struct slice in)
{
	struct distinct d, sum;
	int r;

	work_begin();
	r = distinct_get(in, &d);
	work_end(&distinct_bound, in.n);
	if (r < 0)
		return;
	distinct_init(&sum);
	distinct_add_int(&sum, 1);
	must(distinct_merge(&sum, &d) == 0);
	distinct_count(&sum);
	distinct_done(&sum);
	distinct_done(&d);
}

static void messages(struct slice in)
{
	struct query_column cols[QUERY_COLUMNS_MAX];
	struct query_cell cells[QUERY_COLUMNS_MAX];
	struct strbuf texts = STRBUF_INIT(1 * MIB);
	struct query_param *params = NULL;
	struct query_coverage cov;
	struct query_error e;
	struct reader r = reader_of(in);
	struct query q;
	size_t n = 0;
	int result;

	work_begin();
	if (msg_get_query(in, &q, &params) == 0)
		free(params);
	if (msg_get_columns(in, cols, &n, &texts) < 0)
		n = 0;
	while (msg_get_row(&r, cells, 3))
		;
	msg_get_done(in, &result, &cov, &e);
	work_end(&message_bound, in.n);
	for (size_t i = 0; i < n; i++)
		must(strlen(cols[i].name) <= in.n);
	strbuf_done(&texts);
	query_coverage_done(&cov);
}

static void coverage(struct slice in)
{
	struct scan_coverage cov;

	work_begin();
	wire_get_coverage(in, &cov);
	work_end(&coverage_bound, in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct slice) = { plan,	   batch,    sketch,
							 distinct, messages, coverage };

	if (size)
		targets[data[0] % ARRAY_SIZE(targets)](slice_of(data + 1, size - 1));
	return 0;
}

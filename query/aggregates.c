#include "query/query_int.h"

#include "base/base64.h"
#include "query/distinct.h"
#include "query/sketch.h"

#include <errno.h>
#include <math.h>

/* Aggregates keep their state in SQLite's aggregate context, which is zero at the first row: the
 * states of sketch.h and distinct.h are valid when zero. */
struct quantile_state {
	struct sketch sketch;
	double q;
	bool not_integer;
};

static void fail(sqlite3_context *ctx, const char *code, const char *hint, const char *message)
{
	query_fail(funcs_conn(ctx), code, -1, hint, "%s", message);
	sqlite3_result_error(ctx, message, -1);
}

/* Whether v is a number; NULL is skipped silently, everything else refused. */
static bool take_number(sqlite3_context *ctx, sqlite3_value *v, double *ret)
{
	int type = sqlite3_value_type(v);

	if (type == SQLITE_NULL)
		return false;
	if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) {
		fail(ctx, "bad_argument", "give it a column such as latency_ns",
		     "quantiles and histograms want numbers");
		return false;
	}
	*ret = sqlite3_value_double(v);
	return isfinite(*ret);
}

/* A sketch as text (kelpie_red) is added up as what it stands for. Whether v is one. */
static bool take_sketch(sqlite3_context *ctx, sqlite3_value *v, struct sketch *to)
{
	static const struct slice prefix = { (const uint8_t *)SKETCH_TEXT_PREFIX,
					     sizeof(SKETCH_TEXT_PREFIX) - 1 };
	struct strbuf bytes = STRBUF_INIT(SKETCH_BYTES_MAX);
	struct sketch one;
	struct slice text;
	int r;

	if (sqlite3_value_type(v) != SQLITE_TEXT)
		return false;
	text = slice_of(sqlite3_value_text(v), (size_t)sqlite3_value_bytes(v));
	if (!slice_starts(text, prefix))
		return false;
	r = base64_get(&bytes, slice_from(text, prefix.n));
	if (r == 0 && !bytes.failed)
		r = sketch_get(strbuf_slice(&bytes), &one);
	if (r == 0) {
		r = sketch_merge(to, &one);
		sketch_done(&one);
	}
	strbuf_done(&bytes);
	if (r < 0)
		fail(ctx, "bad_argument", "", "the text is a damaged sketch");
	return true;
}

void agg_quantile_step(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct quantile_state *st = sqlite3_aggregate_context(ctx, sizeof(*st));
	double x;

	if (!st) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	st->q = argc == 2 ? sqlite3_value_double(argv[1]) : funcs_percent(ctx) / 100.0;
	if (argc == 2 &&
	    (sqlite3_value_type(argv[1]) == SQLITE_NULL || !(st->q >= 0) || !(st->q <= 1))) {
		fail(ctx, "bad_argument", "0.99 is the 99th percentile",
		     "quantile(x, q) wants q between 0 and 1");
		return;
	}
	if (take_sketch(ctx, argv[0], &st->sketch) || !take_number(ctx, argv[0], &x))
		return;
	st->not_integer |= sqlite3_value_type(argv[0]) != SQLITE_INTEGER;
	if (sketch_add(&st->sketch, x, 1) == -ENOMEM)
		sqlite3_result_error_nomem(ctx);
}

void agg_quantile_final(sqlite3_context *ctx)
{
	struct quantile_state *st = sqlite3_aggregate_context(ctx, 0);
	double v;

	if (!st)
		return;
	if (st->sketch.count) {
		v = sketch_quantile(&st->sketch, st->q);
		if (st->not_integer || fabs(v) > 9e18)
			sqlite3_result_double(ctx, v);
		else
			sqlite3_result_int64(ctx, llround(v));
	}
	sketch_done(&st->sketch);
}

void agg_distinct_step(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct distinct *d = sqlite3_aggregate_context(ctx, sizeof(*d));
	const void *p;
	int r = 0;

	(void)argc;
	if (!d) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	switch (sqlite3_value_type(argv[0])) {
	case SQLITE_NULL:
		return;
	case SQLITE_INTEGER:
		r = distinct_add_int(d, sqlite3_value_int64(argv[0]));
		break;
	case SQLITE_FLOAT:
		r = distinct_add_real(d, sqlite3_value_double(argv[0]));
		break;
	default:
		p = sqlite3_value_blob(argv[0]);
		r = distinct_add_text(d, slice_of(p, p ? (size_t)sqlite3_value_bytes(argv[0]) : 0));
	}
	if (r < 0)
		sqlite3_result_error_nomem(ctx);
}

void agg_distinct_final(sqlite3_context *ctx)
{
	struct distinct *d = sqlite3_aggregate_context(ctx, 0);

	if (!d) {
		sqlite3_result_int64(ctx, 0);
		return;
	}
	funcs_conn(ctx)->distinct_estimated |= !distinct_is_exact(d);
	sqlite3_result_int64(ctx, (int64_t)distinct_count(d));
	distinct_done(d);
}

/* Buckets of a 1-2-5 series from 1 to 5e18; below them one for everything up to 0 and one for the
 * fractions, above them one without bound. */
#define DECADES 19
#define BUCKETS (2 + 3 * DECADES + 1)

static double bucket_bound(size_t i)
{
	static const double steps[] = { 1, 2, 5 };

	return i == 0 ? 0 : i == 1 ? 0.5 : pow(10, (double)((i - 2) / 3)) * steps[(i - 2) % 3];
}

void agg_histogram_step(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	uint64_t *counts = sqlite3_aggregate_context(ctx, BUCKETS * sizeof(*counts));
	double x;
	size_t i = 0;

	(void)argc;
	if (!counts) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	if (!take_number(ctx, argv[0], &x))
		return;
	if (x > 10)
		i = MIN((size_t)(2 + 3 * (int)(log10(x) - 0.5)), (size_t)(BUCKETS - 1));
	while (i < BUCKETS - 1 && x > bucket_bound(i))
		i++;
	counts[i]++;
}

void agg_histogram_final(sqlite3_context *ctx)
{
	const uint64_t *counts = sqlite3_aggregate_context(ctx, 0);
	struct strbuf out = STRBUF_INIT(65536);
	bool first = true;

	strbuf_addch(&out, '[');
	for (size_t i = 0; counts && i < BUCKETS; i++) {
		if (!counts[i])
			continue;
		strbuf_adds(&out, first ? "{\"le\":" : ",{\"le\":");
		if (i == BUCKETS - 1)
			strbuf_adds(&out, "null");
		else
			strbuf_addf(&out, i == 1 ? "%.1f" : "%.0f", bucket_bound(i));
		strbuf_addf(&out, ",\"count\":%llu}", (unsigned long long)counts[i]);
		first = false;
	}
	strbuf_addch(&out, ']');
	if (out.failed)
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_text(ctx, strbuf_str(&out), (int)out.len, SQLITE_TRANSIENT);
	strbuf_done(&out);
}

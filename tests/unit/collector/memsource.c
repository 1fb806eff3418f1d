#include "tests/unit/collector/memsource.h"

#include "base/util.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define BATCH_ROWS 1000
#define TEXT_BYTES 64

struct memscan {
	struct scan scan;
	struct memsource *m;
	struct scan_plan plan;
	uint16_t cols[SCAN_COLS_MAX];
	struct scan_pred preds[SCAN_PREDS_MAX];
	struct value *values; /* of all predicates */
	char *texts;	      /* of all predicates */
	uint64_t at, matched, scanned;
	bool truncated, ended;
	struct scan_col out[SCAN_COLS_MAX];
	uint8_t kinds[SCAN_COLS_MAX][BATCH_ROWS];
	int64_t ints[SCAN_COLS_MAX][BATCH_ROWS];
	struct slice slices[SCAN_COLS_MAX][BATCH_ROWS];
	char bufs[SCAN_COLS_MAX][BATCH_ROWS][TEXT_BYTES];
};

static struct value number(int64_t v)
{
	return (struct value){ .kind = VALUE_INT, .i = v };
}

static struct value text(const char *s)
{
	return (struct value){ .kind = VALUE_TEXT, .text = slice_str(s) };
}

struct value memsource_cell(const struct memsource *m, uint64_t row, uint16_t col, char buf[64])
{
	static const char *const methods[] = { "GET", "POST", "PUT" };
	bool failed = row % 10 == 9;

	switch (col) {
	case COL_TIME:
		return number((int64_t)(m->base_ns + row * m->step_ns - NSEC_PER_MSEC));
	case COL_END_TIME:
		return number((int64_t)(m->base_ns + row * m->step_ns));
	case COL_LATENCY_NS:
		return number((int64_t)(NSEC_PER_MSEC * (row % 100 + 1)));
	case COL_PROTOCOL:
		return text("http");
	case COL_METHOD:
		return text(methods[row % 3]);
	case COL_STATUS:
		return text(failed ? "500" : "200");
	case COL_STATUS_CODE:
		return number(failed ? 500 : 200);
	case COL_FAILED:
		return number(failed);
	case COL_IS_PRIMARY:
		return number(1);
	case COL_RESOURCE:
		return text("/item/{}");
	case COL_HTTP_PATH:
		snprintf(buf, 64, "/item/%llu", (unsigned long long)row);
		return text(buf);
	case COL_HTTP_USER_AGENT:
		return text("bad \xff\xfe end");
	case COL_HTTP_REQUEST_HEADERS:
		snprintf(buf, 64, "{\"host\":\"a\",\"x\":\"%llu\"}", (unsigned long long)row);
		return text(buf);
	case COL_SERVER_NAME:
		return text("shop");
	case COL_CLIENT_NAME:
		return text("web");
	case COL_NODE:
		return text(m->node);
	case COL_EPOCH:
		return number((int64_t)m->epoch);
	case COL_SEQ:
		return number((int64_t)row + 1);
	default:
		return (struct value){ .kind = VALUE_NULL };
	}
}

static int compare(const struct value *a, const struct value *b)
{
	size_t n = MIN(a->text.n, b->text.n);
	int cmp;

	if (a->kind != b->kind)
		return a->kind == VALUE_INT ? -1 : 1;
	if (a->kind == VALUE_INT)
		return a->i < b->i ? -1 : a->i > b->i;
	cmp = n ? memcmp(a->text.p, b->text.p, n) : 0;
	return cmp ? cmp : (a->text.n > b->text.n) - (a->text.n < b->text.n);
}

static bool contains(struct slice text_, struct slice part)
{
	for (size_t i = 0; i + part.n <= text_.n; i++)
		if (slice_starts(slice_from(text_, i), part))
			return true;
	return part.n == 0;
}

static bool pred_holds(const struct scan_pred *p, const struct value *v)
{
	bool any = false;

	if (p->op == PRED_IS_NULL || v->kind == VALUE_NULL)
		return p->op == PRED_IS_NULL && v->kind == VALUE_NULL;
	switch (p->op) {
	case PRED_EQ:
		return compare(v, &p->values[0]) == 0;
	case PRED_NE:
		return compare(v, &p->values[0]) != 0;
	case PRED_LT:
		return compare(v, &p->values[0]) < 0;
	case PRED_LE:
		return compare(v, &p->values[0]) <= 0;
	case PRED_GT:
		return compare(v, &p->values[0]) > 0;
	case PRED_GE:
		return compare(v, &p->values[0]) >= 0;
	case PRED_IN:
		for (size_t i = 0; i < p->n_values; i++)
			any |= compare(v, &p->values[i]) == 0;
		return any;
	case PRED_PREFIX:
		return v->kind == VALUE_TEXT && slice_starts(v->text, p->values[0].text);
	case PRED_CONTAINS:
		return v->kind == VALUE_TEXT && contains(v->text, p->values[0].text);
	default:
		return true;
	}
}

static bool row_matches(const struct memscan *s, uint64_t row)
{
	uint64_t end_ns = s->m->base_ns + row * s->m->step_ns;
	char buf[64];

	if (s->plan.table == TABLE_HTTP && (end_ns < s->plan.from_ns || end_ns > s->plan.to_ns))
		return false;
	for (size_t i = 0; i < s->plan.n_preds; i++) {
		struct value v = memsource_cell(s->m, row, s->preds[i].col, buf);

		if (!pred_holds(&s->preds[i], &v))
			return false;
	}
	return true;
}

static void put_row(struct memscan *s, uint64_t row, size_t to)
{
	for (size_t c = 0; c < s->plan.n_cols; c++) {
		struct value v = memsource_cell(s->m, row, s->cols[c], s->bufs[c][to]);

		s->kinds[c][to] = v.kind;
		s->ints[c][to] = v.i;
		s->slices[c][to] = v.text;
	}
}

static bool cancelled(struct memscan *s)
{
	if (s->plan.cancel && atomic_load(s->plan.cancel)) {
		s->truncated = true;
		atomic_fetch_add(&s->m->cancelled, 1);
		return true;
	}
	return false;
}

/* Waits in small steps. Whether it was cancelled meanwhile. */
static bool dawdle(struct memscan *s)
{
	struct timespec step = { .tv_nsec = 5 * NSEC_PER_MSEC };
	uint64_t waited_ns = 0;

	while (s->m->deaf && !atomic_load(&s->m->release))
		nanosleep(&step, NULL);
	while (s->m->hang || waited_ns < s->m->delay_ns) {
		if (cancelled(s))
			return true;
		nanosleep(&step, NULL);
		waited_ns += 5 * NSEC_PER_MSEC;
	}
	return cancelled(s);
}

static int mem_next(struct scan *scan, struct scan_batch *ret)
{
	struct memscan *s = container_of(scan, struct memscan, scan);
	size_t n = 0;

	if (s->ended)
		return 0;
	if (dawdle(s))
		return -ECANCELED;
	while (n < BATCH_ROWS && s->at < s->m->n_rows) {
		uint64_t row = s->plan.newest_first ? s->m->n_rows - 1 - s->at : s->at;

		if (s->plan.limit && s->matched == s->plan.limit) {
			s->truncated = s->ended = true;
			break;
		}
		s->at++;
		s->scanned++;
		if (!row_matches(s, row))
			continue;
		put_row(s, row, n++);
		s->matched++;
	}
	*ret = (struct scan_batch){ .n_rows = n, .cols = s->out, .n_cols = s->plan.n_cols };
	return n > 0;
}

static void mem_coverage(const struct scan *scan, struct scan_coverage *ret)
{
	const struct memscan *s = (const struct memscan *)(const void *)scan;

	*ret = (struct scan_coverage){
		.rows_scanned = s->scanned,
		.rows_matched = s->matched,
		.segments_read = 1,
		.oldest_ns = s->m->n_rows ? s->m->base_ns : 0,
		.newest_ns = s->m->n_rows ? s->m->base_ns + (s->m->n_rows - 1) * s->m->step_ns : 0,
		.truncated = s->truncated,
	};
}

static void mem_close(struct scan *scan)
{
	struct memscan *s = container_of(scan, struct memscan, scan);

	atomic_fetch_add(&s->m->closed, 1);
	free(s->values);
	free(s->texts);
	free(s);
}

static const struct scan_ops mem_ops = { mem_next, mem_coverage, mem_close };

static void copy_preds(struct memscan *s, const struct scan_plan *plan)
{
	size_t n = 0, bytes = 0, at = 0, text_at = 0;

	for (size_t i = 0; i < plan->n_preds; i++) {
		n += plan->preds[i].n_values;
		for (size_t k = 0; k < plan->preds[i].n_values; k++)
			bytes += plan->preds[i].values[k].text.n;
	}
	s->values = calloc(n + 1, sizeof(*s->values));
	s->texts = malloc(bytes + 1);
	for (size_t i = 0; s->values && s->texts && i < plan->n_preds; i++) {
		s->preds[i] = plan->preds[i];
		s->preds[i].values = s->values + at;
		for (size_t k = 0; k < plan->preds[i].n_values; k++) {
			struct value *v = &s->values[at++];

			*v = plan->preds[i].values[k];
			if (v->text.n)
				memcpy(s->texts + text_at, v->text.p, v->text.n);
			v->text.p = (const uint8_t *)s->texts + text_at;
			text_at += v->text.n;
		}
	}
}

static int memsource_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct memsource *m = container_of(src, struct memsource, source);
	struct memscan *s;
	int err = scan_plan_check(plan);

	if (err < 0 || m->fail)
		return err < 0 ? err : -EIO;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->scan.ops = &mem_ops;
	s->m = m;
	s->plan = *plan;
	memcpy(s->cols, plan->cols, plan->n_cols * sizeof(*plan->cols));
	copy_preds(s, plan);
	for (size_t c = 0; c < plan->n_cols; c++)
		s->out[c] = (struct scan_col){ s->cols[c], s->kinds[c], s->ints[c], s->slices[c] };
	if (plan->table != TABLE_HTTP)
		s->ended = true;
	atomic_fetch_add(&m->opened, 1);
	*ret = &s->scan;
	return 0;
}

void memsource_init(struct memsource *m, const char *node, uint64_t n_rows, uint64_t base_ns,
		    uint64_t step_ns)
{
	*m = (struct memsource){
		.source.open = memsource_open,
		.node = node,
		.epoch = base_ns,
		.n_rows = n_rows,
		.base_ns = base_ns,
		.step_ns = step_ns,
	};
}

#include "storage/memscan.h"

#include "base/util.h"

#include <errno.h>

void mem_rows_init(struct mem_rows *m, size_t max_rows)
{
	*m = (struct mem_rows){ .max = max_rows };
}

void mem_rows_done(struct mem_rows *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->rows[i].bytes);
	free(m->rows);
	mem_rows_init(m, m->max);
}

int mem_rows_add(struct mem_rows *m, struct row_builder *b, uint64_t end_ns)
{
	size_t most = sizeof(struct row_hdr) + b->n_cells * sizeof(struct cell) + b->text_len + 8;
	_cleanup_(freep) void *bytes = NULL;

	if (m->n == m->max || m->bytes + most > MEM_ROWS_BYTES_MAX)
		return -ENOSPC;
	if (m->n == m->cap) {
		size_t cap = MAX(m->cap * 2, (size_t)64);
		struct mem_row *rows = realloc(m->rows, cap * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		m->rows = rows;
		m->cap = cap;
	}
	bytes = malloc(most);
	if (!bytes || !row_end(b, 0, end_ns, bytes, most))
		return -ENOMEM;
	m->bytes += most;
	m->rows[m->n++] = (struct mem_row){ end_ns, TAKE_PTR(bytes) };
	return 0;
}

/* ---- predicates ---- */

static struct value cell_value(const struct row *r, uint16_t col)
{
	const struct cell *c = row_find(r, col);

	if (!c || c->kind == CELL_SYM)
		return (struct value){ .kind = VALUE_NULL };
	if (c->kind == CELL_INT)
		return (struct value){ .kind = VALUE_INT, .i = c->v.i };
	return (struct value){ .kind = VALUE_TEXT, .text = row_cell_text(r, c) };
}

/* SQLite's order: integers before texts, texts by bytes. Neither is NULL. */
static int compare(const struct value *a, const struct value *b)
{
	size_t n = MIN(a->text.n, b->text.n);
	int r;

	if (a->kind != b->kind)
		return a->kind == VALUE_INT ? -1 : 1;
	if (a->kind == VALUE_INT)
		return (a->i > b->i) - (a->i < b->i);
	r = n ? memcmp(a->text.p, b->text.p, n) : 0;
	return r ? r : (a->text.n > b->text.n) - (a->text.n < b->text.n);
}

static bool contains(struct slice text, struct slice part)
{
	return !part.n || memmem(text.p, text.n, part.p, part.n);
}

static bool pred_holds(const struct scan_pred *p, const struct value *v)
{
	const struct value *want = p->values;

	if (p->op == PRED_IS_NULL)
		return v->kind == VALUE_NULL;
	if (v->kind == VALUE_NULL)
		return false;
	if (p->op == PRED_NOT_NULL)
		return true;
	for (size_t i = 0; p->op == PRED_IN && i < p->n_values; i++)
		if (want[i].kind != VALUE_NULL && compare(v, &want[i]) == 0)
			return true;
	if (p->op == PRED_IN || !p->n_values || want->kind == VALUE_NULL)
		return false;
	switch (p->op) {
	case PRED_EQ:
		return compare(v, want) == 0;
	case PRED_NE:
		return compare(v, want) != 0;
	case PRED_LT:
		return compare(v, want) < 0;
	case PRED_LE:
		return compare(v, want) <= 0;
	case PRED_GT:
		return compare(v, want) > 0;
	case PRED_GE:
		return compare(v, want) >= 0;
	case PRED_PREFIX:
		return v->kind == VALUE_TEXT && slice_starts(v->text, want->text);
	case PRED_CONTAINS:
		return v->kind == VALUE_TEXT && contains(v->text, want->text);
	default:
		return false;
	}
}

bool scan_row_matches(const struct scan_plan *plan, const struct row *r)
{
	if (r->hdr->end_ns && (r->hdr->end_ns < plan->from_ns || r->hdr->end_ns > plan->to_ns))
		return false;
	for (size_t i = 0; i < plan->n_preds; i++) {
		struct value v = cell_value(r, plan->preds[i].col);

		if (!pred_holds(&plan->preds[i], &v))
			return false;
	}
	return true;
}

/* ---- the scan ---- */

struct memscan {
	struct scan scan;
	struct mem_rows rows; /* only those that match */
	size_t at;
	struct scan_coverage coverage;
	size_t n_cols;
	struct scan_col *cols;
	uint16_t col_ids[SCAN_COLS_MAX];
	uint8_t *kinds; /* n_cols * SCAN_BATCH_ROWS, as the next two */
	int64_t *ints;
	struct slice *texts;
};

static int memscan_next(struct scan *s, struct scan_batch *ret)
{
	struct memscan *m = container_of(s, struct memscan, scan);
	size_t n = MIN(m->rows.n - m->at, (size_t)SCAN_BATCH_ROWS);

	if (!n)
		return 0;
	for (size_t k = 0; k < m->n_cols; k++) {
		for (size_t i = 0; i < n; i++) {
			struct row_hdr *h = m->rows.rows[m->at + i].bytes;
			struct row r = row_of(h);
			struct value v = cell_value(&r, m->col_ids[k]);

			m->kinds[k * SCAN_BATCH_ROWS + i] = v.kind;
			m->ints[k * SCAN_BATCH_ROWS + i] = v.i;
			m->texts[k * SCAN_BATCH_ROWS + i] = v.text;
		}
		m->cols[k] = (struct scan_col){ m->col_ids[k], &m->kinds[k * SCAN_BATCH_ROWS],
						&m->ints[k * SCAN_BATCH_ROWS],
						&m->texts[k * SCAN_BATCH_ROWS] };
	}
	m->at += n;
	*ret = (struct scan_batch){ n, m->cols, m->n_cols };
	return 1;
}

static void memscan_coverage(const struct scan *s, struct scan_coverage *ret)
{
	*ret = container_of(s, const struct memscan, scan)->coverage;
}

static void memscan_free(struct memscan *m)
{
	mem_rows_done(&m->rows);
	free(m->cols);
	free(m->kinds);
	free(m->ints);
	free(m->texts);
	free(m);
}
DEFINE_CLEANUP(struct memscan, memscan_free)

static void memscan_close(struct scan *s)
{
	memscan_free(container_of(s, struct memscan, scan));
}

static const struct scan_ops memscan_ops = { memscan_next, memscan_coverage, memscan_close };

static int by_end_ns(const void *a, const void *b)
{
	const struct mem_row *x = a, *y = b;

	return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

/* Keeps the rows that match, in the plan's order, up to its limit. */
static void keep_matching(struct memscan *m, const struct scan_plan *plan)
{
	struct mem_rows *rows = &m->rows;
	size_t kept = 0;

	m->coverage.rows_scanned = rows->n;
	for (size_t i = 0; i < rows->n; i++) {
		struct row_hdr *h = rows->rows[i].bytes;
		struct row r = row_of(h);

		if (scan_row_matches(plan, &r))
			rows->rows[kept++] = rows->rows[i];
		else
			free(h);
	}
	rows->n = kept;
	qsort(rows->rows, rows->n, sizeof(*rows->rows), by_end_ns);
	for (size_t i = 0; plan->newest_first && i < kept / 2; i++) {
		struct mem_row swap = rows->rows[i];

		rows->rows[i] = rows->rows[kept - 1 - i];
		rows->rows[kept - 1 - i] = swap;
	}
	if (plan->limit && kept > plan->limit) {
		m->coverage.truncated = true;
		while (rows->n > plan->limit)
			free(rows->rows[--rows->n].bytes);
	}
	m->coverage.rows_matched = rows->n;
}

int memscan_open(struct mem_rows *rows, const struct scan_plan *plan, struct scan **ret)
{
	_cleanup_(memscan_freep) struct memscan *m = calloc(1, sizeof(*m));
	size_t cells = plan->n_cols * SCAN_BATCH_ROWS;

	if (!m) {
		mem_rows_done(rows);
		return -ENOMEM;
	}
	m->scan.ops = &memscan_ops;
	m->rows = *rows;
	mem_rows_init(rows, rows->max);
	if (plan->n_cols > SCAN_COLS_MAX)
		return -EINVAL;
	m->n_cols = plan->n_cols;
	memcpy(m->col_ids, plan->cols, plan->n_cols * sizeof(*plan->cols));
	m->cols = calloc(plan->n_cols + 1, sizeof(*m->cols));
	m->kinds = malloc(cells + 1);
	m->ints = malloc(cells * sizeof(*m->ints) + 1);
	m->texts = malloc(cells * sizeof(*m->texts) + 1);
	if (!m->cols || !m->kinds || !m->ints || !m->texts)
		return -ENOMEM;
	if (m->rows.n)
		keep_matching(m, plan);
	*ret = &m->scan;
	m = NULL;
	return 0;
}

/* ---- two scans in a row ---- */

struct concat {
	struct scan scan;
	struct scan *part[2];
	int at;
};

static int concat_next(struct scan *s, struct scan_batch *ret)
{
	struct concat *c = container_of(s, struct concat, scan);

	for (; c->at < 2; c->at++) {
		int r = c->part[c->at] ? scan_next(c->part[c->at], ret) : 0;

		if (r)
			return r;
	}
	return 0;
}

static void concat_coverage(const struct scan *s, struct scan_coverage *ret)
{
	const struct concat *c = container_of(s, const struct concat, scan);

	*ret = (struct scan_coverage){ 0 };
	for (int i = 0; i < 2; i++) {
		struct scan_coverage one;

		if (!c->part[i])
			continue;
		scan_coverage(c->part[i], &one);
		ret->rows_scanned += one.rows_scanned;
		ret->rows_matched += one.rows_matched;
		ret->segments_read += one.segments_read;
		ret->segments_skipped += one.segments_skipped;
		ret->segments_bad += one.segments_bad;
		ret->rows_bad += one.rows_bad;
		ret->truncated |= one.truncated;
		ret->newest_ns = MAX(ret->newest_ns, one.newest_ns);
		if (one.oldest_ns && (!ret->oldest_ns || one.oldest_ns < ret->oldest_ns))
			ret->oldest_ns = one.oldest_ns;
	}
}

static void concat_close(struct scan *s)
{
	struct concat *c = container_of(s, struct concat, scan);

	scan_close(c->part[0]);
	scan_close(c->part[1]);
	free(c);
}

static const struct scan_ops concat_ops = { concat_next, concat_coverage, concat_close };

int concat_scan_open(struct scan *a, struct scan *b, struct scan **ret)
{
	struct concat *c = calloc(1, sizeof(*c));

	if (!c) {
		scan_close(a);
		scan_close(b);
		return -ENOMEM;
	}
	*c = (struct concat){ { &concat_ops }, { a, b }, 0 };
	*ret = &c->scan;
	return 0;
}

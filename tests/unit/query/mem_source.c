#include "mem_source.h"

#include "base/util.h"

#include <errno.h>

struct mem_scan {
	struct scan base;
	struct mem_source *m;
	struct scan_plan plan; /* pointers owned */
	size_t *order, n_order, at;
	uint64_t given;
	struct scan_col cols[SCAN_COLS_MAX];
	uint8_t *kinds;
	int64_t *ints;
	struct slice *texts;
	size_t n_texts;
};

static struct slice copy(struct slice s)
{
	uint8_t *p = malloc(s.n ? s.n : 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return slice_of(p, s.n);
}

static void drop(struct slice s)
{
	free((void *)(uintptr_t)s.p);
}

void mem_source_done(struct mem_source *m)
{
	for (size_t i = 0; i < m->n_rows; i++)
		for (size_t c = 0; c < _COL_MAX; c++)
			if (m->rows[i].cells[c].kind == VALUE_TEXT)
				drop(m->rows[i].cells[c].text);
	free(m->rows);
}

struct mem_row *mem_source_row(struct mem_source *m, uint16_t table, uint64_t end_ns)
{
	struct mem_row *r;

	if (m->n_rows == m->cap_rows) {
		m->cap_rows = m->cap_rows ? 2 * m->cap_rows : 64;
		m->rows = reallocarray(m->rows, m->cap_rows, sizeof(*m->rows));
	}
	r = &m->rows[m->n_rows++];
	memset(r, 0, sizeof(*r));
	r->table = table;
	r->end_ns = end_ns;
	mem_row_int(r, COL_END_TIME, (int64_t)end_ns);
	return r;
}

void mem_row_int(struct mem_row *r, uint16_t col, int64_t v)
{
	r->cells[col] = (struct value){ .kind = VALUE_INT, .i = v };
}

void mem_row_text(struct mem_row *r, uint16_t col, const char *text)
{
	if (r->cells[col].kind == VALUE_TEXT)
		drop(r->cells[col].text);
	r->cells[col] = (struct value){ .kind = VALUE_TEXT, .text = copy(slice_str(text)) };
}

/* <0, 0, >0; integers before texts. */
static int compare(const struct value *a, const struct value *b)
{
	int c;

	if (a->kind != b->kind)
		return a->kind == VALUE_INT ? -1 : 1;
	if (a->kind == VALUE_INT)
		return a->i < b->i ? -1 : a->i > b->i;
	c = memcmp(a->text.p, b->text.p, MIN(a->text.n, b->text.n));
	return c ? c : a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
}

static bool contains(struct slice text, struct slice part)
{
	for (size_t i = 0; i + part.n <= text.n; i++)
		if (memcmp(text.p + i, part.p, part.n) == 0)
			return true;
	return false;
}

static bool holds(const struct value *cell, const struct scan_pred *p)
{
	int c;

	if (p->op == PRED_IS_NULL || p->op == PRED_NOT_NULL)
		return (cell->kind == VALUE_NULL) == (p->op == PRED_IS_NULL);
	if (cell->kind == VALUE_NULL)
		return false;
	if (p->op == PRED_PREFIX)
		return cell->kind == VALUE_TEXT && slice_starts(cell->text, p->values[0].text);
	if (p->op == PRED_CONTAINS)
		return cell->kind == VALUE_TEXT && contains(cell->text, p->values[0].text);
	if (p->op == PRED_IN) {
		for (size_t i = 0; i < p->n_values; i++)
			if (compare(cell, &p->values[i]) == 0)
				return true;
		return false;
	}
	if (p->values[0].kind == VALUE_NULL)
		return false;
	c = compare(cell, &p->values[0]);
	switch (p->op) {
	case PRED_EQ:
		return c == 0;
	case PRED_NE:
		return c != 0;
	case PRED_LT:
		return c < 0;
	case PRED_LE:
		return c <= 0;
	case PRED_GT:
		return c > 0;
	default:
		return c >= 0;
	}
}

static bool matches(const struct mem_scan *s, const struct mem_row *r)
{
	if (r->table != s->plan.table || r->end_ns < s->plan.from_ns || r->end_ns > s->plan.to_ns)
		return false;
	for (size_t i = 0; i < s->plan.n_preds; i++)
		if (!holds(&r->cells[s->plan.preds[i].col], &s->plan.preds[i]))
			return false;
	return true;
}

static void free_texts(struct mem_scan *s)
{
	for (size_t i = 0; i < s->n_texts; i++)
		drop(s->texts[i]);
	free(s->kinds);
	free(s->ints);
	free(s->texts);
	s->kinds = NULL;
	s->ints = NULL;
	s->texts = NULL;
	s->n_texts = 0;
}

static int mem_next(struct scan *scan, struct scan_batch *ret)
{
	struct mem_scan *s = (struct mem_scan *)scan;
	size_t n = MIN(s->m->batch_rows, s->n_order - s->at), n_cols = s->plan.n_cols;

	free_texts(s);
	if (s->plan.limit)
		n = MIN(n, s->plan.limit - s->given);
	if (s->m->fail_with && s->at > 0)
		return s->m->fail_with;
	if (!n)
		return 0;
	s->kinds = calloc(n_cols * n + 1, 1);
	s->ints = calloc(n_cols * n + 1, sizeof(*s->ints));
	s->texts = calloc(n_cols * n + 1, sizeof(*s->texts));
	s->n_texts = n_cols * n;
	for (size_t c = 0; c < n_cols; c++) {
		s->cols[c] = (struct scan_col){ s->plan.cols[c], s->kinds + c * n, s->ints + c * n,
						s->texts + c * n };
		for (size_t i = 0; i < n; i++) {
			const struct value *v =
				&s->m->rows[s->order[s->at + i]].cells[s->plan.cols[c]];

			s->kinds[c * n + i] = v->kind;
			s->ints[c * n + i] = v->i;
			if (v->kind == VALUE_TEXT)
				s->texts[c * n + i] = copy(v->text);
		}
	}
	s->at += n;
	s->given += n;
	*ret = (struct scan_batch){ n, s->cols, n_cols };
	return 1;
}

static void mem_coverage(const struct scan *scan, struct scan_coverage *ret)
{
	const struct mem_scan *s = (const struct mem_scan *)scan;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < s->m->n_rows; i++) {
		const struct mem_row *r = &s->m->rows[i];

		if (r->table != s->plan.table)
			continue;
		ret->rows_scanned += r->end_ns >= s->plan.from_ns && r->end_ns <= s->plan.to_ns;
		if (!ret->oldest_ns || r->end_ns < ret->oldest_ns)
			ret->oldest_ns = r->end_ns;
		ret->newest_ns = MAX(ret->newest_ns, r->end_ns);
	}
	ret->rows_matched = s->n_order;
	ret->truncated = s->plan.limit && s->given == s->plan.limit;
}

static void mem_close(struct scan *scan)
{
	struct mem_scan *s = (struct mem_scan *)scan;

	s->m->open_scans--;
	free_texts(s);
	free(s->order);
	free((void *)(uintptr_t)s->plan.cols);
	free(s);
}

static const struct scan_ops mem_ops = { mem_next, mem_coverage, mem_close };

static void sort_order(struct mem_scan *s)
{
	for (size_t i = 1; i < s->n_order; i++)
		for (size_t k = i; k > 0; k--) {
			uint64_t a = s->m->rows[s->order[k - 1]].end_ns;
			uint64_t b = s->m->rows[s->order[k]].end_ns;
			size_t swap = s->order[k];

			if (s->plan.newest_first ? a >= b : a <= b)
				break;
			s->order[k] = s->order[k - 1];
			s->order[k - 1] = swap;
		}
}

static int mem_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct mem_source *m = (struct mem_source *)src;
	struct mem_scan *s;
	uint16_t *cols;

	if (scan_plan_check(plan) < 0)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	s->base.ops = &mem_ops;
	s->m = m;
	s->plan = *plan;
	cols = calloc(plan->n_cols + 1, sizeof(*cols));
	memcpy(cols, plan->cols, plan->n_cols * sizeof(*cols));
	s->plan.cols = cols;
	s->order = calloc(m->n_rows + 1, sizeof(*s->order));
	for (size_t i = 0; i < m->n_rows; i++)
		if (matches(s, &m->rows[i]))
			s->order[s->n_order++] = i;
	sort_order(s);
	/* They are not needed any more, and the caller may free them. */
	s->plan.preds = NULL;
	m->opened++;
	m->open_scans++;
	m->preds = plan->n_preds;
	m->limit = plan->limit;
	m->from_ns = plan->from_ns;
	m->to_ns = plan->to_ns;
	m->n_cols = plan->n_cols;
	memcpy(m->cols, plan->cols, plan->n_cols * sizeof(*cols));
	*ret = &s->base;
	return 0;
}

void mem_source_init(struct mem_source *m)
{
	memset(m, 0, sizeof(*m));
	m->base.open = mem_open;
	m->batch_rows = 7;
}

#include "storage/cursor.h"

#include <errno.h>

#include "base/crc32c.h"

static size_t need_column(struct scan_query *q, uint16_t col)
{
	for (size_t i = 0; i < q->n_need; i++)
		if (q->need[i] == col)
			return i;
	q->need[q->n_need] = col;
	return q->n_need++;
}

/* Integers and dictionaries are cheaper to judge than free texts, payload is the dearest. */
static int pred_cost(const struct scan_pred *p)
{
	const struct column *c = schema_column(p->col);

	if (c->flags & COL_F_PAYLOAD)
		return 3;
	if (c->type == COL_INT)
		return 0;
	return c->flags & COL_F_SYM ? 1 : 2;
}

int scan_query_init(struct scan_query *q, const struct scan_plan *plan)
{
	*q = (struct scan_query){ .plan = *plan };
	q->cols = malloc((plan->n_cols + 1) * sizeof(*q->cols));
	q->preds = preds_copy(plan->preds, plan->n_preds);
	q->z = squeezer_new();
	if (!q->cols || !q->preds || !q->z) {
		scan_query_done(q);
		return -ENOMEM;
	}
	if (plan->n_cols)
		memcpy(q->cols, plan->cols, plan->n_cols * sizeof(*q->cols));
	for (size_t i = 1; i < plan->n_preds; i++) {
		struct scan_pred p = q->preds[i];
		size_t at = i;

		for (; at > 0 && pred_cost(&q->preds[at - 1]) > pred_cost(&p); at--)
			q->preds[at] = q->preds[at - 1];
		q->preds[at] = p;
	}
	q->plan.cols = q->cols;
	q->plan.preds = q->preds;
	need_column(q, COL_END_TIME);
	for (size_t i = 0; i < plan->n_preds; i++)
		q->pred_at[i] = (uint8_t)need_column(q, q->preds[i].col);
	for (size_t i = 0; i < plan->n_cols; i++)
		q->col_at[i] = (uint8_t)need_column(q, q->cols[i]);
	return 0;
}

void scan_query_done(struct scan_query *q)
{
	free(q->cols);
	free(q->preds);
	squeezer_free(q->z);
	*q = (struct scan_query){ 0 };
}

static int memory_part(struct part_source *src, const struct seg_desc *seg,
		       const struct col_desc *d, enum seg_part part, struct slice *ret)
{
	struct cursor *c = container_of(src, struct cursor, source);

	(void)seg;
	*ret = slice_of(c->data + d->part[part].off, d->part[part].stored);
	return 0;
}

static int open_log(const struct scan_query *q, struct cursor *c)
{
	const struct log_entry *e = c->ref.entry;
	int err = rowlog_payload(c->ref.bucket->log, e, q->z, &c->own_bytes);

	if (!err)
		err = seg_desc_parse(slice_of(c->own_bytes, e->desc_len), c->own_seg);
	if (err < 0)
		return err;
	c->data = c->own_bytes + e->desc_len;
	return c->own_seg->rows == e->rows && c->own_seg->first_row == e->first_row &&
			       c->own_seg->data_len == e->raw - e->desc_len
		       ? 0
		       : -EBADMSG;
}

/* Finds the descriptor and says where parts come from. */
static int open_source(const struct scan_query *q, struct cursor *c, struct part_source **ret)
{
	struct scan_bucket *sb = c->ref.bucket;
	int err;

	c->source.part = memory_part;
	*ret = &c->source;
	if (c->ref.mem) {
		c->seg = &c->ref.mem->desc;
		c->data = (const uint8_t *)c->ref.mem->data.p;
		return 0;
	}
	c->own_seg = malloc(sizeof(*c->own_seg));
	if (!c->own_seg)
		return -ENOMEM;
	c->seg = c->own_seg;
	if (c->ref.entry)
		return open_log(q, c);
	err = sealed_desc(sb->sealed, c->ref.sealed, c->own_seg, &c->own_bytes);
	*ret = &sb->sealed->source;
	return err;
}

/* Whether the column's Bloom filter says that none of the predicate's texts is there. */
static int bloom_excludes(const struct column_input *in, const struct scan_pred *p)
{
	const struct col_desc *d = seg_desc_find(in->seg, p->col);
	_cleanup_(freep) uint8_t *bits = NULL;
	int err;

	if ((p->op != PRED_EQ && p->op != PRED_IN) || !d || !(d->parts & 1u << PART_BLOOM))
		return 0;
	if (d->part[PART_BLOOM].raw == 0)
		return -EBADMSG;
	err = column_part(in, d, PART_BLOOM, &bits);
	if (err < 0)
		return err;
	for (size_t i = 0; i < p->n_values; i++)
		if (p->values[i].kind == VALUE_TEXT &&
		    bloom_may_have(bits, d->part[PART_BLOOM].raw, p->values[i].text))
			return 0;
	return 1;
}

static int load(struct cursor *c, struct column_data *to, uint16_t col)
{
	int err;

	if (to->loaded)
		return 0;
	err = column_load(&c->in, col, to);
	if (err == -ENOENT) { /* its payload was expired: no value */
		*to = (struct column_data){ .col = col, .loaded = true };
		return 0;
	}
	return err;
}

/* A column that another one is decoded with. Ends: references only go to smaller numbers or, in
 * seg_near(), to columns that have none. */
static int other_column(void *ctx, uint16_t col, const struct column_data **ret)
{
	struct cursor *c = ctx;
	struct column_data *to;
	int err;

	for (size_t i = 0; i < c->q->n_need; i++) {
		if (c->q->need[i] == col) {
			*ret = &c->cols[i];
			return load(c, &c->cols[i], col);
		}
	}
	for (size_t i = 0; i < c->n_extra; i++) {
		if (c->extra[i].col == col) {
			*ret = &c->extra[i];
			return 0;
		}
	}
	if (c->n_extra == SCAN_EXTRA_MAX)
		return -EBADMSG;
	to = &c->extra[c->n_extra++];
	to->col = col;
	err = load(c, to, col);
	*ret = to;
	return err;
}

/* First row whose end_time is at least t. */
static uint32_t lower_bound(const struct column_data *ends, uint32_t rows, uint64_t t)
{
	uint32_t lo = 0, hi = rows;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if ((uint64_t)ends->ints[mid] < t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The rows inside the plan's time range. */
static int select_range(const struct scan_query *q, struct cursor *c)
{
	const struct column_data *e = &c->cols[0];
	uint32_t lo = 0, hi = c->seg->rows;

	if ((e->form != COLUMN_INTS && e->form != COLUMN_CONST_INT) || e->present)
		return -EBADMSG;
	if (e->form == COLUMN_INTS) {
		lo = lower_bound(e, hi, q->plan.from_ns);
		if (q->plan.to_ns < UINT64_MAX)
			hi = lower_bound(e, hi, q->plan.to_ns + 1);
	} else if ((uint64_t)e->ints[0] < q->plan.from_ns || (uint64_t)e->ints[0] > q->plan.to_ns) {
		hi = lo;
	}
	c->sel = malloc((c->seg->rows + 1) * sizeof(*c->sel));
	if (!c->sel)
		return -ENOMEM;
	for (uint32_t row = lo; row < hi; row++)
		c->sel[c->n_sel++] = row;
	return 0;
}

static int filter(const struct scan_query *q, struct cursor *c)
{
	int err = load(c, &c->cols[0], COL_END_TIME);

	if (!err)
		err = select_range(q, c);
	for (size_t i = 0; i < q->plan.n_preds && c->n_sel && !err; i++) {
		err = load(c, &c->cols[q->pred_at[i]], q->preds[i].col);
		if (!err)
			c->n_sel = pred_filter(&q->preds[i], &c->cols[q->pred_at[i]], c->sel,
					       c->n_sel);
	}
	for (size_t i = 0; i < q->plan.n_cols && c->n_sel && !err; i++)
		err = load(c, &c->cols[q->col_at[i]], q->cols[i]);
	return err;
}

/* 1: no row can match; 0: some may; negative errno. */
static int excluded(const struct scan_query *q, const struct column_input *in)
{
	int err = 0;

	for (size_t i = 0; i < q->plan.n_preds; i++)
		if (pred_excludes(&q->preds[i], in->seg))
			return 1;
	for (size_t i = 0; i < q->plan.n_preds && !err; i++)
		err = bloom_excludes(in, &q->preds[i]);
	return err;
}

int cursor_open(const struct scan_query *q, const struct seg_ref *ref, struct cursor **ret,
		bool *ret_skipped)
{
	struct cursor *c = calloc(1, sizeof(*c));
	int err;

	*ret_skipped = false;
	if (!c)
		return -ENOMEM;
	c->ref = *ref;
	c->q = q;
	c->in = (struct column_input){ .z = q->z, .other = other_column, .ctx = c };
	err = open_source(q, c, &c->in.src);
	c->in.seg = c->seg;
	if (!err) {
		err = excluded(q, &c->in);
		*ret_skipped = err == 1;
	}
	if (!err)
		err = filter(q, c);
	if (err == 0 && c->n_sel > 0) {
		*ret = c;
		return 1;
	}
	cursor_free(c);
	return err < 0 ? err : 0;
}

void cursor_free(struct cursor *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < SCAN_NEED_MAX; i++)
		if (c->cols[i].loaded)
			column_done(&c->cols[i]);
	for (size_t i = 0; i < c->n_extra; i++)
		column_done(&c->extra[i]);
	free(c->sel);
	free(c->own_seg);
	free(c->own_bytes);
	free(c);
}

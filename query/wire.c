#include "query/wire.h"

#include "query/wire_int.h"

#include <errno.h>

#define PLAN_NEWEST_FIRST  1u
#define COVERAGE_TRUNCATED 1u
#define KINDS_MIXED	   0xff /* instead of one kind for the whole column */

static void put_head(struct strbuf *out, char what)
{
	strbuf_addch(out, what);
	strbuf_addch(out, WIRE_VERSION);
}

static bool get_head(struct reader *in, char what)
{
	return read_u8(in) == (uint8_t)what && read_u8(in) == WIRE_VERSION;
}

static void put_pred(struct strbuf *out, const struct scan_pred *p)
{
	put_number(out, p->col);
	put_number(out, p->op);
	put_number(out, p->n_values);
	for (size_t i = 0; i < p->n_values; i++) {
		put_number(out, p->values[i].kind);
		if (p->values[i].kind == VALUE_INT)
			put_number(out, zigzag(p->values[i].i));
		else if (p->values[i].kind == VALUE_TEXT)
			put_text(out, p->values[i].text);
	}
}

int wire_put_plan(struct strbuf *out, const struct scan_plan *plan)
{
	size_t start = out->len;

	if (scan_plan_check(plan) < 0)
		return -EINVAL;
	put_head(out, 'P');
	put_number(out, plan->table);
	put_number(out, plan->newest_first ? PLAN_NEWEST_FIRST : 0);
	put_number(out, plan->from_ns);
	put_number(out, plan->to_ns);
	put_number(out, plan->limit);
	put_number(out, plan->n_cols);
	for (size_t i = 0; i < plan->n_cols; i++)
		put_number(out, plan->cols[i]);
	put_number(out, plan->n_preds);
	for (size_t i = 0; i < plan->n_preds; i++)
		put_pred(out, &plan->preds[i]);
	return out->failed || out->len - start > WIRE_PLAN_MAX ? -E2BIG : 0;
}

static int get_pred(struct reader *in, struct wire_plan *p, struct scan_pred *pred,
		    size_t *n_values)
{
	struct value *v;
	size_t n;

	pred->col = (uint16_t)get_bounded(in, UINT16_MAX);
	pred->op = (uint8_t)get_bounded(in, UINT8_MAX);
	n = (size_t)get_bounded(in, SCAN_IN_MAX);
	/* A value has at least one byte. */
	if (in->bad || n > reader_left(in))
		return -EBADMSG;
	v = reallocarray(p->values, *n_values + n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	p->values = v;
	pred->n_values = n;
	for (size_t i = 0; i < n; i++) {
		v = &p->values[(*n_values)++];
		*v = (struct value){ .kind = (uint8_t)get_bounded(in, VALUE_TEXT) };
		if (v->kind == VALUE_INT)
			v->i = unzigzag(read_varint(in));
		else if (v->kind == VALUE_TEXT)
			v->text = get_text(in);
	}
	return in->bad ? -EBADMSG : 0;
}

static int get_plan(struct reader *in, struct wire_plan *p)
{
	size_t n_values = 0, first = 0;

	if (!get_head(in, 'P'))
		return -EBADMSG;
	p->plan.table = (uint16_t)get_bounded(in, UINT16_MAX);
	p->plan.newest_first = get_bounded(in, PLAN_NEWEST_FIRST);
	p->plan.from_ns = read_varint(in);
	p->plan.to_ns = read_varint(in);
	p->plan.limit = read_varint(in);
	p->plan.n_cols = (size_t)get_bounded(in, SCAN_COLS_MAX);
	p->cols = calloc(SCAN_COLS_MAX, sizeof(*p->cols));
	p->preds = calloc(SCAN_PREDS_MAX, sizeof(*p->preds));
	if (!p->cols || !p->preds)
		return -ENOMEM;
	for (size_t i = 0; i < p->plan.n_cols; i++)
		p->cols[i] = (uint16_t)get_bounded(in, UINT16_MAX);
	p->plan.n_preds = (size_t)get_bounded(in, SCAN_PREDS_MAX);
	for (size_t i = 0; i < p->plan.n_preds; i++) {
		int r = get_pred(in, p, &p->preds[i], &n_values);

		if (r < 0)
			return r;
	}
	if (in->bad || reader_left(in))
		return -EBADMSG;
	for (size_t i = 0; i < p->plan.n_preds; i++) {
		p->preds[i].values = p->values + first;
		first += p->preds[i].n_values;
	}
	p->plan.cols = p->cols;
	p->plan.preds = p->preds;
	return scan_plan_check(&p->plan) < 0 ? -EBADMSG : 0;
}

int wire_get_plan(struct slice in, struct wire_plan *ret)
{
	struct reader r = reader_of(in);
	struct wire_plan p = { 0 };
	int err = in.n > WIRE_PLAN_MAX ? -EBADMSG : get_plan(&r, &p);

	if (err < 0) {
		wire_plan_done(&p);
		return err;
	}
	*ret = p;
	return 0;
}

void wire_plan_done(struct wire_plan *p)
{
	free(p->cols);
	free(p->preds);
	free(p->values);
	memset(p, 0, sizeof(*p));
}

static uint8_t slot_of(struct slice s)
{
	uint32_t h = 2166136261u ^ (uint32_t)s.n;

	/* The ends of a text tell most of them apart. */
	for (size_t i = 0; i < MIN(s.n, (size_t)8); i++)
		h = (h ^ s.p[i] ^ (uint32_t)s.p[s.n - 1 - i] << 8) * 16777619u;
	return (uint8_t)(h >> 24 ^ h >> 8);
}

static void put_kinds(struct strbuf *out, const struct scan_col *c, size_t first, size_t end)
{
	bool same = true;

	for (size_t i = first; i < end; i++)
		same &= c->kinds[i] == c->kinds[first];
	strbuf_addch(out, same ? (char)c->kinds[first] : (char)KINDS_MIXED);
	if (!same)
		strbuf_add(out, c->kinds + first, end - first);
}

static void put_column(struct strbuf *out, const struct scan_col *c, size_t first, size_t end)
{
	struct slice slots[WIRE_SLOTS] = { 0 };
	int64_t last = 0;

	put_number(out, c->col);
	put_kinds(out, c, first, end);
	for (size_t i = first; i < end; i++) {
		if (c->kinds[i] == VALUE_INT) {
			put_number(out, zigzag((int64_t)((uint64_t)c->ints[i] - (uint64_t)last)));
			last = c->ints[i];
		} else if (c->kinds[i] == VALUE_TEXT) {
			struct slice s = c->texts[i];
			uint8_t slot = slot_of(s);

			if (slots[slot].p && slice_eq(slots[slot], s)) {
				put_number(out, (uint64_t)slot << 1 | 1);
				continue;
			}
			slots[slot] = s.n ? s : slice_of("", 0);
			put_number(out, (uint64_t)s.n << 1);
			strbuf_addch(out, (char)slot);
			strbuf_add(out, s.p, s.n);
		}
	}
}

/* Bytes of a row at most. */
static uint64_t row_bytes(const struct scan_batch *b, size_t row)
{
	uint64_t n = 0;

	for (size_t i = 0; i < b->n_cols; i++) {
		n += 11;
		if (b->cols[i].kinds[row] == VALUE_TEXT)
			n += b->cols[i].texts[row].n;
	}
	return n;
}

int wire_put_batch(struct strbuf *out, const struct scan_batch *batch, size_t first,
		   size_t *ret_next)
{
	uint64_t bytes = 32 + 8 * batch->n_cols;
	size_t end = first;

	if (first > batch->n_rows || batch->n_rows > SCAN_BATCH_ROWS ||
	    batch->n_cols > SCAN_COLS_MAX)
		return -EINVAL;
	for (; end < batch->n_rows; end++) {
		bytes += row_bytes(batch, end);
		if (bytes > WIRE_BATCH_MAX)
			break;
	}
	if (end == first && first < batch->n_rows)
		return -E2BIG;
	put_head(out, 'B');
	put_number(out, end - first);
	put_number(out, batch->n_cols);
	for (size_t i = 0; end > first && i < batch->n_cols; i++)
		put_column(out, &batch->cols[i], first, end);
	if (out->failed)
		return -ENOMEM;
	*ret_next = end;
	return 0;
}

/* The arrays of n_cols columns of n_rows rows, in one allocation that is kept. */
static int batch_memory(struct wire_batch *b, size_t n_cols, size_t n_rows)
{
	size_t per_col = n_rows * (sizeof(struct slice) + sizeof(int64_t)) + (n_rows + 7) / 8 * 8;
	size_t need = n_cols * per_col + 1;

	if (need > b->memory_bytes) {
		void *memory = realloc(b->memory, need);

		if (!memory)
			return -ENOMEM;
		b->memory = memory;
		b->memory_bytes = need;
	}
	memset(b->memory, 0, need);
	for (size_t i = 0; i < n_cols; i++) {
		uint8_t *at = (uint8_t *)b->memory + i * per_col;

		b->cols[i].texts = (struct slice *)(void *)at;
		b->cols[i].ints = (int64_t *)(void *)(at + n_rows * sizeof(struct slice));
		b->cols[i].kinds = at + n_rows * (sizeof(struct slice) + sizeof(int64_t));
	}
	return 0;
}

static bool get_kinds(struct reader *in, uint8_t *kinds, size_t n)
{
	uint8_t kind = read_u8(in);
	struct slice list;

	if (kind != KINDS_MIXED) {
		memset(kinds, kind, n);
		return kind <= VALUE_TEXT;
	}
	list = read_bytes(in, n);
	if (list.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (list.p[i] > VALUE_TEXT)
			return false;
	memcpy(kinds, list.p, n);
	return true;
}

static bool get_cell_text(struct reader *in, struct slice *slots, struct slice *ret)
{
	uint64_t tag = read_varint(in);
	uint8_t slot;

	if (tag & 1) {
		if (tag >> 1 >= WIRE_SLOTS || !slots[tag >> 1].p)
			return false;
		*ret = slots[tag >> 1];
		return !in->bad;
	}
	slot = read_u8(in);
	if (tag >> 1 > reader_left(in))
		return false;
	*ret = slots[slot] = read_bytes(in, (size_t)(tag >> 1));
	return !in->bad;
}

static bool get_column(struct reader *in, struct scan_col *c, size_t n_rows)
{
	/* The arrays are ours; the batch shows them as constant. */
	uint8_t *kinds = (uint8_t *)(uintptr_t)c->kinds;
	int64_t *ints = (int64_t *)(uintptr_t)c->ints;
	struct slice *texts = (struct slice *)(uintptr_t)c->texts;
	struct slice slots[WIRE_SLOTS] = { 0 };
	uint64_t last = 0;

	c->col = (uint16_t)get_bounded(in, UINT16_MAX);
	if (in->bad || !get_kinds(in, kinds, n_rows))
		return false;
	for (size_t i = 0; i < n_rows; i++) {
		if (kinds[i] == VALUE_INT) {
			last += (uint64_t)unzigzag(read_varint(in));
			ints[i] = (int64_t)last;
		} else if (kinds[i] == VALUE_TEXT && !get_cell_text(in, slots, &texts[i])) {
			return false;
		}
	}
	return !in->bad;
}

int wire_get_batch(struct slice in, const struct scan_plan *plan, struct wire_batch *ret)
{
	struct reader r = reader_of(in);
	uint64_t n_rows, n_cols;
	int err;

	if (in.n > WIRE_BATCH_MAX || !get_head(&r, 'B'))
		return -EBADMSG;
	n_rows = get_bounded(&r, SCAN_BATCH_ROWS);
	n_cols = get_bounded(&r, SCAN_COLS_MAX);
	/* A column has at least two bytes. */
	if (r.bad || (plan && n_cols != plan->n_cols) || (n_rows && 2 * n_cols > reader_left(&r)))
		return -EBADMSG;
	err = batch_memory(ret, (size_t)n_cols, (size_t)n_rows);
	if (err < 0)
		return err;
	for (size_t i = 0; n_rows && i < n_cols; i++) {
		if (!get_column(&r, &ret->cols[i], (size_t)n_rows))
			return -EBADMSG;
		if (plan && ret->cols[i].col != plan->cols[i])
			return -EBADMSG;
	}
	if (r.bad || reader_left(&r))
		return -EBADMSG;
	ret->batch = (struct scan_batch){ (size_t)n_rows, ret->cols, (size_t)n_cols };
	return 0;
}

void wire_batch_done(struct wire_batch *b)
{
	free(b->memory);
	memset(b, 0, sizeof(*b));
}

void wire_put_coverage(struct strbuf *out, const struct scan_coverage *cov)
{
	put_head(out, 'C');
	put_number(out, cov->truncated ? COVERAGE_TRUNCATED : 0);
	put_number(out, cov->rows_scanned);
	put_number(out, cov->rows_matched);
	put_number(out, cov->segments_read);
	put_number(out, cov->segments_skipped);
	put_number(out, cov->segments_bad);
	put_number(out, cov->rows_bad);
	put_number(out, cov->oldest_ns);
	put_number(out, cov->newest_ns);
}

int wire_get_coverage(struct slice in, struct scan_coverage *ret)
{
	struct reader r = reader_of(in);
	struct scan_coverage cov = { 0 };

	if (!get_head(&r, 'C'))
		return -EBADMSG;
	cov.truncated = get_bounded(&r, COVERAGE_TRUNCATED);
	cov.rows_scanned = read_varint(&r);
	cov.rows_matched = read_varint(&r);
	cov.segments_read = read_varint(&r);
	cov.segments_skipped = read_varint(&r);
	cov.segments_bad = read_varint(&r);
	cov.rows_bad = read_varint(&r);
	cov.oldest_ns = read_varint(&r);
	cov.newest_ns = read_varint(&r);
	if (r.bad || reader_left(&r))
		return -EBADMSG;
	*ret = cov;
	return 0;
}

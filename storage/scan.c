/* The merge: segments overlap in time a little, so the scan keeps the few under way open and takes
 * the next row from the best of them, and opens a segment only when its time range is reached.
 */
#include "storage/cursor.h"

#include <errno.h>

/* A batch column's arrays; only those that its type can use. */
struct out_col {
	uint8_t *kinds;
	int64_t *ints;
	struct slice *texts;
};

struct merge {
	struct scan base;
	struct scan_query q;
	struct scan_snapshot snap; /* buckets in the order of the scan */
	size_t next_bucket;
	struct seg_ref *pending; /* the next one is last */
	size_t n_pending, cap_pending;
	struct cursor **active;
	size_t n_active, cap_active;
	struct cursor *done; /* their texts may be in the last batch */
	struct scan_coverage cov;
	uint64_t delivered;
	uint32_t cap_rows;
	struct out_col *out;
	struct scan_col *cols;
	uint32_t rows[SCAN_BATCH_ROWS]; /* of the run under way */
};

/* The end of a time range that the scan meets first; grows in the direction of the scan. */
static uint64_t key_of(const struct merge *m, uint64_t tmin, uint64_t tmax)
{
	return m->q.plan.newest_first ? UINT64_MAX - tmax : tmin;
}

static bool in_range(const struct merge *m, uint64_t tmin, uint64_t tmax)
{
	return tmin <= m->q.plan.to_ns && tmax >= m->q.plan.from_ns && tmin <= tmax;
}

static bool ref_before(const struct merge *m, const struct seg_ref *a, const struct seg_ref *b)
{
	uint64_t x = key_of(m, a->tmin, a->tmax), y = key_of(m, b->tmin, b->tmax);

	return x < y;
}

static void let_go(struct scan_bucket *sb)
{
	if (sb->pending > 0)
		return;
	sealed_close(sb->sealed);
	sb->sealed = NULL;
	rowlog_put(sb->log);
	sb->log = NULL;
	bucket_put(sb->bucket);
	sb->bucket = NULL;
}

static int add_pending(struct merge *m, const struct seg_ref *ref)
{
	if (!in_range(m, ref->tmin, ref->tmax)) {
		m->cov.segments_skipped++;
		return 0;
	}
	if (m->n_pending == m->cap_pending) {
		size_t cap = MAX(m->cap_pending * 2, (size_t)64);
		struct seg_ref *p = realloc(m->pending, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->pending = p;
		m->cap_pending = cap;
	}
	if (ref->bucket)
		ref->bucket->pending++;
	m->pending[m->n_pending++] = *ref;
	return 0;
}

static int compare_refs(const void *a, const void *b, void *ctx)
{
	const struct merge *m = ctx;

	if (ref_before(m, a, b))
		return 1; /* the first one goes last */
	return ref_before(m, b, a) ? -1 : 0;
}

static int load_log(struct merge *m, struct scan_bucket *sb)
{
	int err = 0;

	for (size_t i = 0; i < sb->n_entries && !err; i++) {
		const struct log_entry *e = &sb->entries[i];

		err = add_pending(m, &(struct seg_ref){ .bucket = sb,
							.entry = e,
							.tmin = e->tmin,
							.tmax = e->tmax,
							.first_row = e->first_row,
							.bucket_no = sb->bucket->no,
							.rows = e->rows });
	}
	return err;
}

/* A sealed file that cannot be opened: damage, unless its owner deleted it meanwhile. */
static int sealed_lost(struct merge *m, struct scan_bucket *sb, int err)
{
	if (err == -ENOMEM)
		return err;
	if (err == -ENOENT && (m->snap.foreign || sb->bucket->doomed)) {
		m->cov.truncated = true;
		return 0;
	}
	m->cov.segments_bad += MAX(sb->bucket->n_segs, 1u);
	m->cov.rows_bad += sb->bucket->rows;
	if (err == -EBADMSG || err == -ENOENT)
		sb->bucket->unreadable = true;
	return 0;
}

static int load_sealed(struct merge *m, struct scan_bucket *sb)
{
	int err = sealed_open(sb->bucket->dir, sb->bucket->name, &sb->sealed);

	if (!err && (sb->sealed->head.table != sb->bucket->table ||
		     sb->sealed->head.uid != sb->bucket->uid))
		err = -EBADMSG;
	if (err < 0)
		return sealed_lost(m, sb, err);
	for (uint32_t i = 0; i < sb->sealed->head.n_segs && !err; i++) {
		const struct sealed_seg *s = &sb->sealed->head.segs[i];

		err = add_pending(m, &(struct seg_ref){ .bucket = sb,
							.sealed = s,
							.tmin = s->tmin,
							.tmax = s->tmax,
							.first_row = s->first_row,
							.bucket_no = sb->bucket->no,
							.rows = s->rows });
	}
	return err;
}

static int load_bucket(struct merge *m)
{
	struct scan_bucket *sb = &m->snap.buckets[m->next_bucket++];
	int err;

	sb->pending++; /* held while it is loaded */
	err = sb->log ? load_log(m, sb) : load_sealed(m, sb);
	sb->pending--;
	if (m->n_pending)
		qsort_r(m->pending, m->n_pending, sizeof(*m->pending), compare_refs, m);
	let_go(sb);
	return err;
}

static int activate(struct merge *m)
{
	struct seg_ref ref = m->pending[--m->n_pending];
	struct cursor *c = NULL;
	bool skipped;
	int err;

	if (m->n_active == m->cap_active) {
		size_t cap = MAX(m->cap_active * 2, (size_t)16);
		struct cursor **p = realloc(m->active, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->active = p;
		m->cap_active = cap;
	}
	err = cursor_open(&m->q, &ref, &c, &skipped);
	if (err == -ENOMEM)
		return err;
	if (err < 0) {
		m->cov.segments_bad++;
		m->cov.rows_bad += ref.rows;
	} else if (skipped) {
		m->cov.segments_skipped++;
	} else {
		m->cov.segments_read++;
		m->cov.rows_scanned += ref.rows;
	}
	if (err == 1)
		m->active[m->n_active++] = c;
	if (ref.bucket && (ref.bucket->pending--, err != 1))
		let_go(ref.bucket);
	else if (ref.bucket)
		ref.bucket->pending++; /* until the cursor is done */
	return 0;
}

/* Whether a's next row comes before b's; never both ways, or nothing would move. */
static bool cursor_before(const struct merge *m, const struct cursor *a, const struct cursor *b)
{
	bool newest = m->q.plan.newest_first;
	uint64_t x = cursor_time(a, newest), y = cursor_time(b, newest);

	if (x == y) {
		x = a->ref.bucket_no;
		y = b->ref.bucket_no;
	}
	if (x == y) {
		x = a->ref.first_row;
		y = b->ref.first_row;
	}
	return newest ? x > y : x < y;
}

/* The cursor with the next row, and the best of the others. */
static struct cursor *best(const struct merge *m, size_t *ret_at, struct cursor **ret_second)
{
	struct cursor *first = NULL, *second = NULL;

	for (size_t i = 0; i < m->n_active; i++) {
		struct cursor *c = m->active[i];

		if (!first || cursor_before(m, c, first)) {
			second = first;
			first = c;
			*ret_at = i;
		} else if (!second || cursor_before(m, c, second)) {
			second = c;
		}
	}
	*ret_second = second;
	return first;
}

/* Opens whatever could hold the next row. Then returns the cursor that has it, NULL at the end;
 * *ret_bound: keys below it are safe to deliver. */
static int advance(struct merge *m, struct cursor **ret, size_t *ret_at, struct cursor **ret_second,
		   uint64_t *ret_bound)
{
	bool newest = m->q.plan.newest_first;

	for (;;) {
		struct cursor *top = best(m, ret_at, ret_second);
		uint64_t now = UINT64_MAX, b = UINT64_MAX, p = UINT64_MAX;
		bool more_b = m->next_bucket<m->snap.n_buckets, more_p = m->n_pending> 0;
		int err;

		if (m->q.plan.cancel &&
		    atomic_load_explicit(m->q.plan.cancel, memory_order_relaxed))
			return -ECANCELED;
		if (top)
			now = key_of(m, cursor_time(top, newest), cursor_time(top, newest));
		if (more_b)
			b = key_of(m, m->snap.buckets[m->next_bucket].tmin,
				   m->snap.buckets[m->next_bucket].tmax);
		if (more_p)
			p = key_of(m, m->pending[m->n_pending - 1].tmin,
				   m->pending[m->n_pending - 1].tmax);
		if (more_b && (!top || b <= now) && (!more_p || b <= p)) {
			err = load_bucket(m);
		} else if (more_p && (!top || p <= now)) {
			err = activate(m);
		} else {
			*ret = top;
			*ret_bound = MIN(b, p);
			return 0;
		}
		if (err < 0)
			return err;
	}
}

/* COPY fills rows [to, to + n) of an output column from the segment's rows at rows[0..n). */
#define COPY(array, kind, value)                                                                   \
	for (uint32_t k = 0; k < n; k++) {                                                         \
		uint32_t row = rows[k];                                                            \
		o->kinds[to + k] = (kind);                                                         \
		(array)[to + k] = (value);                                                         \
	}

static void copy_column(const struct column_data *d, struct out_col *o, uint32_t to,
			const uint32_t *rows, uint32_t n)
{
	switch (d->form) {
	case COLUMN_INTS:
		COPY(o->ints, VALUE_INT, d->ints[row])
		break;
	case COLUMN_CONST_INT:
		COPY(o->ints, VALUE_INT, d->ints[row & 0])
		break;
	case COLUMN_DICT:
		COPY(o->texts, VALUE_TEXT, d->texts[d->codes[row]])
		break;
	case COLUMN_CONST_TEXT:
		COPY(o->texts, VALUE_TEXT, d->texts[row & 0])
		break;
	case COLUMN_TEXTS:
		COPY(o->texts, VALUE_TEXT, d->texts[row])
		break;
	default:
		memset(o->kinds + to, VALUE_NULL, n);
		return;
	}
	if (!d->present)
		return;
	for (uint32_t k = 0; k < n; k++)
		if (!column_has(d, rows[k]))
			o->kinds[to + k] = VALUE_NULL;
}

/* Copies n of the cursor's next rows into the batch from row `to` on. */
static void copy_rows(struct merge *m, struct cursor *c, uint32_t to, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		uint32_t at = c->pos + k;

		m->rows[k] = c->sel[m->q.plan.newest_first ? c->n_sel - 1 - at : at];
	}
	for (size_t i = 0; i < m->q.plan.n_cols; i++)
		copy_column(&c->cols[m->q.col_at[i]], &m->out[i], to, m->rows, n);
	c->pos += n;
}

/* How many rows of the best cursor come before anything else, at most `most`. */
static uint32_t run_length(struct merge *m, struct cursor *c, struct cursor *second, uint64_t bound,
			   uint32_t most)
{
	bool newest = m->q.plan.newest_first;
	uint32_t start = c->pos, n = 0;

	while (n < most && c->pos < c->n_sel) {
		uint64_t t = cursor_time(c, newest);

		if (key_of(m, t, t) >= bound || (second && cursor_before(m, second, c)))
			break;
		c->pos++;
		n++;
	}
	c->pos = start;
	return n;
}

static void retire(struct merge *m, size_t at)
{
	struct cursor *c = m->active[at];

	m->active[at] = m->active[--m->n_active];
	c->next = m->done;
	m->done = c;
	if (c->ref.bucket) {
		c->ref.bucket->pending--;
		let_go(c->ref.bucket);
	}
}

static void free_done(struct merge *m)
{
	while (m->done) {
		struct cursor *c = m->done;

		m->done = c->next;
		cursor_free(c);
	}
}

static int merge_next(struct scan *s, struct scan_batch *ret)
{
	struct merge *m = container_of(s, struct merge, base);
	uint64_t limit = m->q.plan.limit ? m->q.plan.limit : UINT64_MAX;
	uint32_t n = 0;

	free_done(m);
	while (n < m->cap_rows) {
		struct cursor *c, *second;
		uint64_t bound;
		uint32_t run;
		size_t at = 0;
		int err = advance(m, &c, &at, &second, &bound);

		if (err < 0) {
			m->cov.truncated = true;
			return err;
		}
		if (!c)
			break;
		if (m->delivered == limit) {
			m->cov.truncated = true;
			break;
		}
		run = run_length(m, c, second, bound,
				 (uint32_t)MIN((uint64_t)(m->cap_rows - n), limit - m->delivered));
		copy_rows(m, c, n, run);
		n += run;
		m->delivered += run;
		if (c->pos == c->n_sel)
			retire(m, at);
	}
	m->cov.rows_matched = m->delivered;
	*ret = (struct scan_batch){ n, m->cols, m->q.plan.n_cols };
	return n > 0;
}

static void merge_coverage(const struct scan *s, struct scan_coverage *ret)
{
	*ret = container_of(s, struct merge, base)->cov;
}

static void merge_close(struct scan *s)
{
	struct merge *m = container_of(s, struct merge, base);

	free_done(m);
	for (size_t i = 0; i < m->n_active; i++)
		cursor_free(m->active[i]);
	for (size_t i = 0; m->out && i < m->q.plan.n_cols; i++) {
		free(m->out[i].kinds);
		free(m->out[i].ints);
		free(m->out[i].texts);
	}
	free(m->out);
	free(m->cols);
	free(m->active);
	free(m->pending);
	scan_snapshot_done(&m->snap);
	scan_query_done(&m->q);
	free(m);
}

static int make_output(struct merge *m)
{
	size_t n = m->q.plan.n_cols;

	m->cap_rows = SCAN_BATCH_ROWS;
	if (m->q.plan.limit && m->q.plan.limit < SCAN_BATCH_ROWS)
		m->cap_rows = (uint32_t)m->q.plan.limit;
	m->out = calloc(n + 1, sizeof(*m->out));
	m->cols = calloc(n + 1, sizeof(*m->cols));
	if (!m->out || !m->cols)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct out_col *o = &m->out[i];

		o->kinds = malloc(m->cap_rows);
		o->ints = calloc(m->cap_rows, sizeof(*o->ints));
		o->texts = calloc(m->cap_rows, sizeof(*o->texts));
		if (!o->kinds || !o->ints || !o->texts)
			return -ENOMEM;
		m->cols[i] = (struct scan_col){ m->q.cols[i], o->kinds, o->ints, o->texts };
	}
	return 0;
}

static int compare_buckets(const void *a, const void *b, void *ctx)
{
	const struct scan_bucket *x = a, *y = b;
	uint64_t kx = key_of(ctx, x->tmin, x->tmax), ky = key_of(ctx, y->tmin, y->tmax);

	return kx < ky ? -1 : kx > ky;
}

static int start(struct merge *m)
{
	int err = make_output(m);

	if (m->snap.n_buckets)
		qsort_r(m->snap.buckets, m->snap.n_buckets, sizeof(*m->snap.buckets),
			compare_buckets, m);
	for (size_t i = 0; i < m->snap.n_mems && !err; i++) {
		struct memseg *s = m->snap.mems[i];

		err = add_pending(m, &(struct seg_ref){ .mem = s,
							.tmin = s->desc.tmin,
							.tmax = s->desc.tmax,
							.first_row = s->desc.first_row,
							.bucket_no = s->bucket_no,
							.rows = s->desc.rows });
	}
	if (m->n_pending)
		qsort_r(m->pending, m->n_pending, sizeof(*m->pending), compare_refs, m);
	return err;
}

int scan_start(const struct scan_plan *plan, struct scan_snapshot *snap, struct scan **ret)
{
	static const struct scan_ops ops = { merge_next, merge_coverage, merge_close };
	struct merge *m = calloc(1, sizeof(*m));
	int err;

	if (!m) {
		scan_snapshot_done(snap);
		return -ENOMEM;
	}
	m->base.ops = &ops;
	m->snap = *snap;
	*snap = (struct scan_snapshot){ 0 };
	m->cov = (struct scan_coverage){ .segments_skipped = m->snap.segments_skipped,
					 .segments_bad = m->snap.segments_bad,
					 .rows_bad = m->snap.rows_bad,
					 .oldest_ns = m->snap.oldest_ns,
					 .newest_ns = m->snap.newest_ns };
	err = scan_query_init(&m->q, plan);
	if (!err)
		err = start(m);
	if (err < 0) {
		merge_close(&m->base);
		return err;
	}
	*ret = &m->base;
	return 0;
}

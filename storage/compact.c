#include "storage/compact.h"

#include "base/util.h"
#include "storage/cursor.h"

#include <errno.h>

struct merge_job {
	struct rowlog *log;
	struct scan_bucket bucket; /* what a cursor wants to know of the log */
	struct scan_query q;
	uint16_t cols[SCAN_COLS_MAX]; /* every stored column of the table, ascending */
	size_t n_cols;
	struct builder *builder;
	uint64_t epoch;
	struct strbuf texts; /* of the row under way */
	struct cell cells[SCAN_COLS_MAX];
	struct syms none;
};

size_t compact_run(const struct rowlog *l, size_t at)
{
	uint64_t rows = 0, bytes = 0;
	size_t n = 0;

	for (; at + n < l->n_entries; n++) {
		const struct log_entry *e = &l->entries[at + n];

		rows += e->rows;
		bytes += e->raw;
		if (e->rows >= COMPACT_SMALL || rows > COMPACT_ROWS || bytes > COMPACT_BYTES)
			break;
	}
	return n;
}

static int start_job(struct merge_job *j)
{
	const struct table_schema *t = schema_table(j->log->table);
	struct scan_plan plan = { .table = j->log->table, .to_ns = UINT64_MAX, .cols = j->cols };

	for (uint16_t col = 0; col < _COL_MAX; col++)
		for (size_t i = 0; i < t->n_columns && j->n_cols < SCAN_COLS_MAX; i++)
			if (t->columns[i]->id == col && !(t->columns[i]->flags & COL_F_COMPUTED))
				j->cols[j->n_cols++] = col;
	plan.n_cols = j->n_cols;
	j->bucket.log = j->log;
	strbuf_init(&j->texts, COMPACT_BYTES + SEG_DATA_MAX);
	syms_init(&j->none);
	return scan_query_init(&j->q, &plan);
}

static void end_job(struct merge_job *j)
{
	scan_query_done(&j->q);
	strbuf_done(&j->texts);
	syms_done(&j->none);
}

/* Whether every column of the segment is one that this version can carry over. */
static bool all_known(const struct merge_job *j, const struct seg_desc *d)
{
	for (size_t i = 0; i < d->n_cols; i++) {
		size_t k = 0;

		while (k < j->n_cols && j->cols[k] != d->cols[i].col)
			k++;
		if (k == j->n_cols)
			return false;
	}
	return true;
}

/* One value as a cell; false: NULL. */
static bool make_cell(struct merge_job *j, const struct column_data *d, uint32_t row,
		      struct cell *ret)
{
	struct slice text;

	if (d->form == COLUMN_NULL || !column_has(d, row))
		return false;
	*ret = (struct cell){ .col = d->col, .kind = CELL_INT };
	if (d->form == COLUMN_INTS || d->form == COLUMN_CONST_INT) {
		ret->v.i = d->ints[d->form == COLUMN_INTS ? row : 0];
		return true;
	}
	text = d->texts[d->form == COLUMN_DICT ? d->codes[row] : d->form == COLUMN_TEXTS ? row : 0];
	ret->kind = CELL_TEXT;
	ret->len = (uint32_t)text.n;
	ret->v.off = j->texts.len;
	strbuf_add(&j->texts, text.p, text.n);
	return true;
}

static int append_row(struct merge_job *j, const struct cursor *c, uint32_t row)
{
	struct row_hdr h = { .table = j->log->table };
	struct row r = { &h, j->cells, NULL };

	strbuf_reset(&j->texts);
	for (size_t i = 0; i < j->n_cols; i++) {
		struct cell *cell = &j->cells[h.n_cells];

		if (!make_cell(j, &c->cols[j->q.col_at[i]], row, cell))
			continue;
		h.n_cells++;
		if (cell->col == COL_END_TIME)
			h.end_ns = (uint64_t)cell->v.i;
		if (cell->col == COL_SEQ)
			h.seq = (uint64_t)cell->v.i;
	}
	r.texts = (const uint8_t *)strbuf_str(&j->texts);
	return j->texts.failed ? -ENOMEM : builder_append(j->builder, &r, &j->none);
}

static int open_entry(struct merge_job *j, const struct log_entry *e, struct cursor **ret)
{
	struct seg_ref ref = { .bucket = &j->bucket,
			       .entry = e,
			       .tmin = e->tmin,
			       .tmax = e->tmax,
			       .first_row = e->first_row,
			       .rows = e->rows };
	bool skipped;
	int err = cursor_open(&j->q, &ref, ret, &skipped);

	return err == 0 ? -EBADMSG : err < 0 ? err : 0;
}

/* 1: its rows are in the builder; 0: it cannot join them; negative errno. */
static int take_entry(struct merge_job *j, const struct log_entry *e)
{
	struct cursor *c = NULL;
	int err = open_entry(j, e, &c);

	if (err < 0)
		return err;
	if (!all_known(j, c->seg) || (j->builder && c->seg->epoch != j->epoch)) {
		cursor_free(c);
		return 0;
	}
	if (!j->builder) {
		j->epoch = c->seg->epoch;
		j->builder = builder_new(j->log->table, slice_of(NULL, 0), j->epoch, COMPACT_ROWS);
		err = j->builder ? 0 : -ENOMEM;
	}
	for (uint32_t i = 0; i < c->n_sel && !err; i++)
		err = append_row(j, c, c->sel[i]);
	cursor_free(c);
	return err < 0 ? err : 1;
}

int compact_merge(struct rowlog *l, size_t at, size_t n, struct encoder *e, struct segbuf *ret,
		  struct builder **ret_builder, size_t *ret_taken, uint64_t *ret_bad_rows)
{
	struct merge_job *j = calloc(1, sizeof(*j));
	int err = j ? 0 : -ENOMEM, took = 1;

	*ret_taken = 0;
	*ret_bad_rows = 0;
	*ret_builder = NULL;
	if (err < 0)
		return err;
	j->log = l;
	err = start_job(j);
	for (size_t i = 0; i < n && !err && took; i++) {
		took = take_entry(j, &l->entries[at + i]);
		if (took == -EBADMSG)
			*ret_bad_rows += l->entries[at + i].rows;
		else if (took < 0)
			err = took;
		*ret_taken += took != 0;
	}
	if (!err && j->builder)
		err = builder_encode(j->builder, e, 0, builder_rows(j->builder), true, ret);
	if (!err && j->builder)
		ret->desc->first_row = l->entries[at].first_row;
	*ret_builder = j->builder;
	end_job(j);
	free(j);
	return err;
}

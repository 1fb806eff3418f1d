/* One segment under a scan: decoded as far as the plan needs it, filtered, read row by row. */
#ifndef STORAGE_CURSOR_H
#define STORAGE_CURSOR_H

#include "storage/column.h"
#include "storage/predicate.h"
#include "storage/scan_int.h"

#define SCAN_NEED_MAX  (SCAN_COLS_MAX + SCAN_PREDS_MAX + 1)
#define SCAN_EXTRA_MAX 12 /* columns that others are decoded with and nobody asked for */

/* What all segments of a scan are asked; made once. */
struct scan_query {
	struct scan_plan plan; /* cols and preds are own copies */
	uint16_t *cols;
	struct scan_pred *preds;      /* cheap ones first */
	uint16_t need[SCAN_NEED_MAX]; /* distinct columns: end_time is need[0] */
	size_t n_need;
	uint8_t col_at[SCAN_COLS_MAX], pred_at[SCAN_PREDS_MAX]; /* indexes into need */
	struct squeezer *z;
};

int scan_query_init(struct scan_query *q, const struct scan_plan *plan);
void scan_query_done(struct scan_query *q);

/* Where a segment is. Exactly one of mem, entry, sealed is set. */
struct seg_ref {
	struct memseg *mem; /* borrowed from the snapshot */
	struct scan_bucket *bucket;
	const struct log_entry *entry;
	const struct sealed_seg *sealed;
	uint64_t tmin, tmax, first_row;
	uint32_t bucket_no, rows;
};

struct cursor {
	struct part_source source; /* of memory and log segments */
	struct seg_ref ref;
	const struct seg_desc *seg;
	struct seg_desc *own_seg;
	uint8_t *own_bytes; /* descriptor, and with a log's segment its parts */
	const uint8_t *data;
	const struct scan_query *q;
	struct column_input in;
	struct column_data cols[SCAN_NEED_MAX]; /* as need[] */
	struct column_data extra[SCAN_EXTRA_MAX];
	size_t n_extra;
	uint32_t *sel, n_sel, pos; /* matching rows, ascending; pos counts those delivered */
	struct cursor *next;	   /* of the list of those done with */
};

/* Decodes and filters. 1: *ret has rows; 0: none match (*ret_skipped: by its zone map or filters,
 * before any row was looked at); -EBADMSG and the like: the segment cannot be read; -ENOMEM. */
int cursor_open(const struct scan_query *q, const struct seg_ref *ref, struct cursor **ret,
		bool *ret_skipped);
void cursor_free(struct cursor *c);

/* The row that comes next in the plan's order. */
static inline uint32_t cursor_row(const struct cursor *c, bool newest_first)
{
	return c->sel[newest_first ? c->n_sel - 1 - c->pos : c->pos];
}

static inline uint64_t cursor_time(const struct cursor *c, bool newest_first)
{
	const struct column_data *e = &c->cols[0];

	return (uint64_t)e->ints[e->form == COLUMN_INTS ? cursor_row(c, newest_first) : 0];
}

#endif

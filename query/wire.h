/* Plans, batches and coverage as bytes: the same between collector and agent (inside the messages
 * of proto/) and between a collector and its query workers. Little, versioned, and decoded as
 * hostile: every count is checked against its bound and against the bytes that are there before
 * anything is allocated.
 *
 *	plan     'P' version | table | flags | from | to | limit | n cols, col | n preds, pred
 *	batch    'B' version | rows | n cols | column ...
 *	coverage 'C' version | fields
 *
 * All numbers are LEB128, signed ones zigzag. A column of a batch says first which kind all its
 * cells are, or lists the kinds; integers are differences to the one before; a text is new (length,
 * slot, bytes) or the one last put into a slot of the column's 256.
 */
#ifndef QUERY_WIRE_H
#define QUERY_WIRE_H

#include "base/slice.h"
#include "base/strbuf.h"
#include "storage/scan.h"

#define WIRE_VERSION   1
#define WIRE_PLAN_MAX  (1 * MIB) /* bytes of an encoded plan */
#define WIRE_BATCH_MAX (4 * MIB) /* bytes of an encoded batch; longer ones are split */
#define WIRE_SLOTS     256	 /* texts a column can refer back to */

/* Appends the plan without its cancel flag. 0, -EINVAL when scan_plan_check() refuses it, -E2BIG.
 */
int wire_put_plan(struct strbuf *out, const struct scan_plan *plan);

/* A decoded plan; its texts borrow the bytes it was read from. */
struct wire_plan {
	struct scan_plan plan;
	uint16_t *cols;
	struct scan_pred *preds;
	struct value *values;
};

/* 0, -EBADMSG (malformed, or a plan that scan_plan_check() refuses), -ENOMEM. Free with
 * wire_plan_done(). */
int wire_get_plan(struct slice in, struct wire_plan *ret);
void wire_plan_done(struct wire_plan *p);

/* Appends rows first.. of the batch, as many as fit into WIRE_BATCH_MAX bytes (at least one), and
 * sets *ret_next to the row after them. 0, -EINVAL, -E2BIG (one row alone is too long), -ENOMEM. */
int wire_put_batch(struct strbuf *out, const struct scan_batch *batch, size_t first,
		   size_t *ret_next);

/* A decoded batch; memory is kept between calls. Zero it before the first use. Its texts borrow the
 * bytes it was read from. */
struct wire_batch {
	struct scan_batch batch;
	struct scan_col cols[SCAN_COLS_MAX];
	void *memory;
	size_t memory_bytes;
};

/* 0, -EBADMSG, -ENOMEM. plan: the batch must have exactly its columns; NULL: any. */
int wire_get_batch(struct slice in, const struct scan_plan *plan, struct wire_batch *ret);
void wire_batch_done(struct wire_batch *b);

void wire_put_coverage(struct strbuf *out, const struct scan_coverage *cov);
/* 0 or -EBADMSG. */
int wire_get_coverage(struct slice in, struct scan_coverage *ret);

#endif

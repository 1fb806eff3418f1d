/* The question a query asks of one event table on one node, and the columnar answer: the seam
 * between storage, the wire, and whatever executes above it (SQLite's virtual tables today, a
 * vectorised executor later).
 *
 * A plan is plain data: it crosses process and network borders as a protobuf message with the same
 * fields (proto/kelpie.proto). Whoever receives one checks it with scan_plan_check().
 */
#ifndef STORAGE_SCAN_H
#define STORAGE_SCAN_H

#include "base/losses.h"
#include "base/slice.h"
#include "protocols/record.h"
#include "protocols/schema.h"

#include <stdatomic.h>

#define SCAN_COLS_MAX	128
#define SCAN_PREDS_MAX	64
#define SCAN_IN_MAX	1000 /* values of one IN list */
#define SCAN_BATCH_ROWS 4096 /* rows of one batch at most */

enum pred_op {
	PRED_EQ,
	PRED_NE,
	PRED_LT,
	PRED_LE,
	PRED_GT,
	PRED_GE,
	PRED_IN,
	PRED_IS_NULL,
	PRED_NOT_NULL,
	PRED_PREFIX,   /* text starts with, bytes */
	PRED_CONTAINS, /* text contains, bytes; an empty needle matches every non-NULL text */
	_PRED_MAX,
};

/* col OP values[0..n). SQL's rules: a NULL cell satisfies only IS_NULL; integers and texts compare
 * by SQLite's order (any integer before any text); text compares as bytes. */
struct scan_pred {
	uint16_t col;
	uint8_t op; /* enum pred_op */
	const struct value *values;
	size_t n_values;
};

struct scan_plan {
	uint16_t table;		 /* enum table_id */
	uint64_t from_ns, to_ns; /* rows with from <= end_time <= to; 0 and UINT64_MAX: all */
	const uint16_t *cols;	 /* wanted columns, stored or hidden ones, no computed ones */
	size_t n_cols;
	const struct scan_pred *preds; /* all must hold */
	size_t n_preds;
	bool newest_first;	   /* order by end_time descending; else ascending */
	uint64_t limit;		   /* stop after this many matching rows; 0: no limit */
	const atomic_bool *cancel; /* polled at least every SCAN_BATCH_ROWS rows; may be NULL */
};

/* One column of a batch. kinds[i] says which of the others is valid for row i. */
struct scan_col {
	uint16_t col;
	const uint8_t *kinds; /* enum value_kind */
	const int64_t *ints;
	const struct slice *texts; /* point into the segment's decoded chunk or dictionary */
};

/* Valid until the next scan_next() or scan_close(). */
struct scan_batch {
	size_t n_rows;
	const struct scan_col *cols; /* plan->n_cols, in the plan's order */
	size_t n_cols;
};

/* What a scan can say about its own completeness; sums over a node's scans are the coverage. */
struct scan_coverage {
	uint64_t rows_scanned, rows_matched;
	uint64_t segments_read, segments_skipped; /* skipped by zone maps: cannot hold a match */
	uint64_t segments_bad; /* unreadable: checksum, damage; their rows are missing from the
				  answer */
	uint64_t rows_bad;     /* rows in them, as far as known */
	uint64_t oldest_ns;    /* end_time of the oldest row held for this table; 0: nothing held */
	uint64_t newest_ns;
	bool truncated; /* stopped by limit, deadline or cancel before the end of the range */
};

/* A stretch of time whose losses are asked for. They are looked for in all of it; known_*: the part
 * that some run of the agent has to speak for (without bounds it begins and ends with the rows that
 * are held). known_to_ns 0: none of it. */
struct loss_times {
	uint64_t from_ns, to_ns, known_from_ns, known_to_ns;
};

struct loss_cover {
	struct losses lost; /* in it, or so near that it may have been */
	/* the first part that no run speaks for; both 0: none */
	uint64_t unknown_from_ns, unknown_to_ns;
};

/* A producer of batches: a local store, a remote node, a union of several. */
struct scan;
struct scan_ops {
	/* 1: *ret is filled; 0: no more rows; -ECANCELED; another negative errno. */
	int (*next)(struct scan *s, struct scan_batch *ret);
	/* Final after next() returned <= 0. */
	void (*coverage)(const struct scan *s, struct scan_coverage *ret);
	void (*close)(struct scan *s);
};
struct scan {
	const struct scan_ops *ops;
};

static inline int scan_next(struct scan *s, struct scan_batch *ret)
{
	return s->ops->next(s, ret);
}

static inline void scan_coverage(const struct scan *s, struct scan_coverage *ret)
{
	s->ops->coverage(s, ret);
}

/* NULL is fine. */
static inline void scan_close(struct scan *s)
{
	if (s)
		s->ops->close(s);
}

/* Something that can be asked: one node's store, a collector's view of all nodes. open() checks the
 * plan and copies what it keeps of it (cancel stays borrowed). */
struct scan_source {
	int (*open)(struct scan_source *src, const struct scan_plan *plan, struct scan **ret);
};

/* 0, or -EINVAL when a table, column, operator or count is unknown or out of bounds. */
int scan_plan_check(const struct scan_plan *plan);

#endif

/* Small segments that a crash left behind become one again, when their bucket is sealed. */
#ifndef STORAGE_COMPACT_H
#define STORAGE_COMPACT_H

#include "storage/builder.h"
#include "storage/rowlog.h"

#define COMPACT_SMALL 1024 /* rows: smaller segments are worth merging */
#define COMPACT_ROWS  8192 /* of the merged one, at most */
#define COMPACT_BYTES (4u << 20)

/* How many entries from `at` on are small neighbours that fit one segment; below 2: nothing to
 * merge. */
size_t compact_run(const struct rowlog *l, size_t at);

/* Merges entries [at, at + n): all of one epoch and of known columns, so it may take fewer.
 * *ret_taken: entries it dealt with, *ret_bad_rows: rows in those that could not be read. *ret:
 * initialised by the caller; *ret_builder backs its texts, free it afterwards. 0 with *ret_taken 0:
 * copy the first one as it is. Negative errno: lack of memory or a read error. */
int compact_merge(struct rowlog *l, size_t at, size_t n, struct encoder *e, struct segbuf *ret,
		  struct builder **ret_builder, size_t *ret_taken, uint64_t *ret_bad_rows);

#endif

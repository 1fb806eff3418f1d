/* Between whoever knows the segments of a moment (store.c, reader.c) and the scan over them. */
#ifndef STORAGE_SCAN_INT_H
#define STORAGE_SCAN_INT_H

#include "storage/bucket.h"
#include "storage/builder.h"
#include "storage/scan.h"

/* An encoded segment that is in no file yet, or not only there. Immutable, counted. */
struct memseg {
	_Atomic int refs;
	uint32_t bucket_no;   /* that it will belong to */
	uint32_t rows_logged; /* of these, the first by arrival are in the log as minis */
	struct strbuf desc_bytes, data;
	struct seg_desc desc;
};

/* A copy of the segment in buf. first_row: its place in the bucket. NULL: no memory. */
struct memseg *memseg_new(struct segbuf *buf, uint32_t bucket_no, uint64_t first_row);
struct memseg *memseg_get(struct memseg *m);
void memseg_put(struct memseg *m);
static inline size_t memseg_bytes(const struct memseg *m)
{
	return sizeof(*m) + m->desc_bytes.len + m->data.len;
}

/* A bucket as one scan sees it. */
struct scan_bucket {
	struct bucket *bucket;	   /* a reference */
	struct rowlog *log;	   /* a reference, or NULL: sealed */
	struct log_entry *entries; /* owned copy of the log's */
	size_t n_entries;
	uint64_t tmin, tmax;
	struct sealed *sealed; /* opened when the scan gets there */
	size_t pending;	       /* segments not done with; the bucket is let go at 0 */
	bool loaded;
};

/* Everything a scan may read; the scan takes over all references and arrays. */
struct scan_snapshot {
	struct scan_bucket *buckets;
	size_t n_buckets;
	struct memseg **mems;
	size_t n_mems;
	uint64_t segments_skipped;	 /* in buckets that the time range excludes */
	uint64_t segments_bad, rows_bad; /* damage known before the scan */
	uint64_t oldest_ns, newest_ns;
	bool foreign; /* another process may delete the files: a missing one is no damage */
};

void scan_snapshot_done(struct scan_snapshot *s);
/* Adds a bucket with its references (log: NULL or the bucket's). 0 or -ENOMEM. */
int scan_snapshot_add(struct scan_snapshot *s, struct bucket *b, struct rowlog *log);
int scan_snapshot_add_mem(struct scan_snapshot *s, struct memseg *m);

/* The scan over it. plan was checked; the snapshot is emptied in any case. */
int scan_start(const struct scan_plan *plan, struct scan_snapshot *snap, struct scan **ret);

#endif

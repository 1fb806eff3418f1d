/* A finished bucket: SQLite files that are written once, renamed into place and never changed.
 *
 *	NAME.meta.db	bucket(id, d)			one row: the head, an index of all segments
 *			seg(id, tbl, tmin, tmax, n, d)	d: descriptor; the others are for people
 *			chunk(id, b)			parts; id = seg << 10 | part << 8 | column
 *	NAME.payload.db	bucket(id, d), chunk(id, b)	parts of payload columns, if there are any
 *
 * Only checksummed bytes are trusted: the head by its own CRC-32C, each descriptor and its presence
 * by the head's index, each part by its descriptor. SQLite's b-tree is a way to find them, not a
 * witness.
 */
#ifndef STORAGE_SEALED_H
#define STORAGE_SEALED_H

#include "storage/column.h"
#include "storage/rowlog.h"
#include "storage/segment.h"

#define SEALED_VERSION	1
#define SEALED_SEGS_MAX 65536

enum sealed_class { CLASS_META = 1, CLASS_PAYLOAD = 2 };

struct sealed_seg {
	uint32_t seg_no, rows, desc_len, desc_crc;
	uint64_t tmin, tmax, first_row;
};

struct sealed_head {
	uint16_t table;
	uint8_t class;
	bool has_payload;
	uint32_t bucket_no, n_segs, records_bad;
	uint64_t start_ns, run_ns, uid; /* run_ns: of its newest row */
	uint64_t rows, rows_bad;
	uint64_t tmin, tmax;
	struct sealed_seg *segs; /* owned, ascending seg_no */
};

void sealed_head_done(struct sealed_head *h);

/* ---- writing: a bounded step at a time */

struct sealer;

/* Starts NAME.meta.db.tmp (replacing an old one) in the folder. 0 or negative errno. */
int sealer_new(const char *dir, int dirfd, const char *name, struct rowlog *log,
	       struct sealer **ret);
/* Copies segments until about `budget` bytes are done, neighbours that are small as one. 1: more to
 * do; 0: all copied; negative errno. */
struct encoder;
int sealer_step(struct sealer *s, struct squeezer *z, struct encoder *e, size_t budget);
/* Syncs the files and renames them into place; the caller syncs the folder. 0 or negative errno.
 * Sizes of the files are returned. */
int sealer_finish(struct sealer *s, struct sealed_head *ret_head, uint64_t *ret_meta_bytes,
		  uint64_t *ret_payload_bytes);
/* Removes what was not finished. */
void sealer_free(struct sealer *s);

/* ---- reading: one object per thread */

struct sealed {
	struct part_source source;
	struct sqlite3 *db, *payload;
	struct sqlite3_stmt *seg, *chunk, *payload_chunk;
	struct sealed_head head;
	const char *dir;
	char name[96];
	bool payload_tried;
};

/* dir is borrowed. 0; -ENOENT; -EBADMSG: damaged; -EPROTONOSUPPORT: newer format; other. */
int sealed_open(const char *dir, const char *name, struct sealed **ret);
void sealed_close(struct sealed *s);
/* Reads and parses a segment's descriptor; *ret_bytes (freed by the caller) backs its texts. */
int sealed_desc(struct sealed *s, const struct sealed_seg *seg, struct seg_desc *ret,
		uint8_t **ret_bytes);
/* The class file alone: whether it is readable and what its head says. */
int sealed_head_read(const char *dir, const char *file, struct sealed_head *ret);

#endif

/* The file of a bucket that is still being written: a header, then records, each a whole encoded
 * segment. Append-only; readers need no lock. Crash-safe by checksums alone: what follows the last
 * good record was never promised to anybody.
 *
 *	file:	magic 4 | version 2 | table 2 | bucket no 4 | pad 4 | start_ns 8 | run_ns 8 |
 *		uid 8 | pad 20 | crc 4						(64 bytes)
 *	record:	magic 4 | kind 1 | packed 1 | pad 2 | stored 4 | raw 4 | desc_len 4 | rows 4 |
 *		first_row 8 | run_ns 8 | payload crc 4 | header crc 4		(48 bytes)
 *		then `stored` bytes: descriptor and parts of the segment, zstd as a whole
 *		when packed
 *
 * Rows of a bucket are numbered by arrival. A LOG_FULL record replaces every LOG_MINI record inside
 * its range of rows: minis carry the rows of the last second to disk while the builder still
 * collects them. LOG_GAP says that rows of these numbers were lost and never written. So a range of
 * numbers that no good record covers is damage, and how much is known.
 */
#ifndef STORAGE_ROWLOG_H
#define STORAGE_ROWLOG_H

#include "storage/codec.h"
#include "storage/segment.h"

#include <stdatomic.h>

#define LOG_VERSION 1
#define LOG_HEAD    64u
#define LOG_RECORD  48u

enum log_kind { LOG_FULL = 1, LOG_MINI = 2, LOG_GAP = 3 };

struct log_entry {
	uint8_t kind, packed;
	uint32_t stored, raw, desc_len, rows;
	uint64_t first_row, run_ns;
	uint64_t off; /* of the payload in the file */
	uint64_t tmin, tmax;
};

struct rowlog {
	_Atomic int refs;
	int fd;
	uint16_t table;
	uint32_t bucket_no;
	uint64_t start_ns, run_ns, uid; /* of the header */
	/* Owned by the writer: scans copy entries under the store's lock. */
	struct log_entry *entries; /* good ones by first_row, no gaps and no replaced minis */
	size_t n_entries, cap_entries;
	uint64_t size;	   /* good bytes: where the next record goes */
	uint64_t next_row; /* number of the next row */
	uint64_t last_run_ns;
	uint64_t rows, rows_bad, bytes_live;
	uint32_t records_bad;
	uint64_t tmin, tmax; /* of its rows; tmin > tmax: none */
	bool dirty;	     /* written since the last sync */
};

/* Makes a new file. 0 or negative errno; nothing is left behind on failure. */
int rowlog_create(int dirfd, const char *name, const struct rowlog *head, struct rowlog **ret);
/* Reads a file as it is. writable: a torn tail is cut off and appends may follow.
 * 0; -EBADMSG: the header is damaged; -EPROTONOSUPPORT: a newer version; other negative errno. */
int rowlog_open(int dirfd, const char *name, bool writable, struct rowlog **ret);
/* Whether the header is of a version we know: 0, -EPROTONOSUPPORT, -EBADMSG, or another errno. */
int rowlog_version_check(int dirfd, const char *name);
struct rowlog *rowlog_get(struct rowlog *l);
void rowlog_put(struct rowlog *l);

/* Appends a segment whose first_row is set. The file is unchanged on failure. */
int rowlog_append(struct rowlog *l, enum log_kind kind, const struct seg_desc *desc,
		  struct slice data, uint64_t run_ns, struct squeezer *z);
int rowlog_append_gap(struct rowlog *l, uint64_t rows, uint64_t run_ns);
int rowlog_sync(struct rowlog *l);

/* Reads a record's payload: *ret is freed by the caller; raw bytes. 0, -EBADMSG, ... */
int rowlog_payload(const struct rowlog *l, const struct log_entry *e, struct squeezer *z,
		   uint8_t **ret);

#endif

/* A bucket: the rows of one table over one stretch of time, first as a log, then as sealed files.
 * Named TABLE-NUMBER-STARTSECOND; numbers of a table only grow, so they order buckets whatever the
 * clock does.
 */
#ifndef STORAGE_BUCKET_H
#define STORAGE_BUCKET_H

#include "storage/rowlog.h"
#include "storage/sealed.h"

#include <stdatomic.h>

#define BUCKET_NAME_MAX 96

struct bucket {
	_Atomic int refs;
	char name[BUCKET_NAME_MAX];
	uint16_t table;
	uint32_t no;
	const char *dir; /* borrowed, lives longer than all buckets */
	int dirfd;

	struct rowlog *log;		    /* NULL once sealed. Changed under the store's lock */
	bool has_payload;		    /* a payload file is there */
	uint64_t meta_bytes, payload_bytes; /* sealed files */
	uint64_t start_ns, run_ns, uid;
	uint64_t rows, rows_bad, tmin, tmax;
	uint32_t n_segs, records_bad;

	_Atomic bool doomed;	 /* deleted when the last reference goes */
	_Atomic bool unreadable; /* a scan found the sealed file useless */
};

struct bucket *bucket_new(const char *dir, int dirfd, uint16_t table, uint32_t no,
			  uint64_t start_ns);
struct bucket *bucket_get(struct bucket *b);
/* Removes the files of a doomed bucket with its last reference. */
void bucket_put(struct bucket *b);
/* Copies what a head says. */
void bucket_take_head(struct bucket *b, const struct sealed_head *h);

enum bucket_file { FILE_OTHER, FILE_LOG, FILE_META, FILE_PAYLOAD, FILE_TMP, FILE_BAD };

/* What a file of the directory is. ret_name: BUCKET_NAME_MAX bytes, without the suffix. Sets the
 * other outputs for anything but FILE_OTHER. */
enum bucket_file bucket_file_of(const char *file, char *ret_name, uint16_t *ret_table,
				uint32_t *ret_no, uint64_t *ret_start_s);

#endif

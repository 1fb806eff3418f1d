/* The buckets that the files of a directory make up. */
#ifndef STORAGE_DIRLIST_H
#define STORAGE_DIRLIST_H

#include "storage/bucket.h"

struct dir_bucket {
	char name[BUCKET_NAME_MAX];
	uint16_t table;
	uint32_t no;
	uint64_t start_s;
	bool log, meta, payload;
	uint64_t log_bytes, meta_bytes, payload_bytes;
};

struct dirlist {
	struct dir_bucket *v; /* by table, then number */
	size_t n;
	uint32_t files_bad[_TABLE_MAX]; /* set aside, by table */
	uint64_t bytes_bad;
	uint32_t top_no[_TABLE_MAX]; /* highest number of any file, 0: none */
};

/* 0 or negative errno. remove_tmp: deletes unfinished files of a dead writer. */
int dirlist_read(int dirfd, bool remove_tmp, struct dirlist *ret);
/* The first bucket whose files are of a newer format; NULL when there is none. */
const struct dir_bucket *dirlist_newer(const struct dirlist *l, const char *dir, int dirfd);
void dirlist_done(struct dirlist *l);

#endif

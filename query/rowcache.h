/* Rows of one scan kept in memory with an index on one of their values: what the inner table of a
 * join becomes when it is asked for again and again. Bounded; a scan that does not fit is not
 * cached.
 */
#ifndef QUERY_ROWCACHE_H
#define QUERY_ROWCACHE_H

#include "storage/scan.h"

#define ROWCACHE_BYTES_MAX (64UL * 1024 * 1024)
#define ROWCACHE_ROWS_MAX  1000000

struct rowcache {
	struct value *cells; /* row by row; texts owned through blocks */
	size_t n_cols, n_rows, cap_rows;
	struct text_block *blocks;
	size_t bytes;
	uint32_t *heads, *chains; /* of row + 1, 0: none */
	size_t n_heads;		  /* a power of two */
};

void rowcache_init(struct rowcache *rc, size_t n_cols);
void rowcache_done(struct rowcache *rc);
/* Copies the batch. 0, -E2BIG, -ENOMEM. */
int rowcache_add(struct rowcache *rc, const struct scan_batch *b);

/* hash(ctx, row): of the row's key; rows with equal keys have equal hashes. 0 or -ENOMEM. */
int rowcache_index(struct rowcache *rc, uint64_t (*hash)(void *ctx, const struct value *row),
		   void *ctx);
/* The first row whose hash may be the given one, and the next after it; n_rows at the end. */
size_t rowcache_first(const struct rowcache *rc, uint64_t hash);
size_t rowcache_next(const struct rowcache *rc, size_t row);

static inline const struct value *rowcache_row(const struct rowcache *rc, size_t row)
{
	return rc->cells + row * rc->n_cols;
}

#endif

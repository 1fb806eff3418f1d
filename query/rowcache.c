#include "query/rowcache.h"

#include "base/util.h"

#include <errno.h>

#define BLOCK_BYTES (64UL * 1024)

/* Texts lie one after the other in blocks that never move. */
struct text_block {
	struct text_block *next;
	size_t used, cap;
	uint8_t bytes[];
};

void rowcache_init(struct rowcache *rc, size_t n_cols)
{
	memset(rc, 0, sizeof(*rc));
	rc->n_cols = n_cols;
}

void rowcache_done(struct rowcache *rc)
{
	while (rc->blocks) {
		struct text_block *next = rc->blocks->next;

		free(rc->blocks);
		rc->blocks = next;
	}
	free(rc->cells);
	free(rc->heads);
	free(rc->chains);
	memset(rc, 0, sizeof(*rc));
}

static int keep_text(struct rowcache *rc, struct slice s, struct slice *ret)
{
	struct text_block *b = rc->blocks;

	if (!b || b->cap - b->used < s.n) {
		size_t cap = MAX(s.n, BLOCK_BYTES);

		if (rc->bytes + cap > ROWCACHE_BYTES_MAX)
			return -E2BIG;
		b = malloc(sizeof(*b) + cap);
		if (!b)
			return -ENOMEM;
		*b = (struct text_block){ .next = rc->blocks, .cap = cap };
		rc->blocks = b;
		rc->bytes += cap;
	}
	if (s.n)
		memcpy(b->bytes + b->used, s.p, s.n);
	*ret = slice_of(b->bytes + b->used, s.n);
	b->used += s.n;
	return 0;
}

static int grow(struct rowcache *rc, size_t n_rows)
{
	size_t cap = rc->cap_rows ? rc->cap_rows : 256;
	struct value *cells;

	while (cap < n_rows)
		cap *= 2;
	if (n_rows > ROWCACHE_ROWS_MAX || cap * rc->n_cols * sizeof(*cells) > ROWCACHE_BYTES_MAX)
		return -E2BIG;
	if (cap == rc->cap_rows)
		return 0;
	cells = reallocarray(rc->cells, cap * rc->n_cols, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	rc->cells = cells;
	rc->cap_rows = cap;
	return 0;
}

int rowcache_add(struct rowcache *rc, const struct scan_batch *b)
{
	int r = grow(rc, rc->n_rows + b->n_rows);

	for (size_t i = 0; r == 0 && i < b->n_rows; i++) {
		struct value *row = rc->cells + rc->n_rows * rc->n_cols;

		for (size_t c = 0; r == 0 && c < rc->n_cols; c++) {
			const struct scan_col *col = &b->cols[c];

			row[c] = (struct value){ .kind = col->kinds[i] };
			if (row[c].kind == VALUE_INT)
				row[c].i = col->ints[i];
			else if (row[c].kind == VALUE_TEXT)
				r = keep_text(rc, col->texts[i], &row[c].text);
		}
		rc->n_rows += r == 0;
	}
	return r;
}

int rowcache_index(struct rowcache *rc, uint64_t (*hash)(void *ctx, const struct value *row),
		   void *ctx)
{
	rc->n_heads = 64;
	while (rc->n_heads < rc->n_rows)
		rc->n_heads *= 2;
	rc->heads = calloc(rc->n_heads, sizeof(*rc->heads));
	rc->chains = calloc(rc->n_rows + 1, sizeof(*rc->chains));
	if (!rc->heads || !rc->chains)
		return -ENOMEM;
	/* From the end, so that a chain has the scan's order. */
	for (size_t i = rc->n_rows; i > 0; i--) {
		uint32_t *head = &rc->heads[hash(ctx, rowcache_row(rc, i - 1)) & (rc->n_heads - 1)];

		rc->chains[i - 1] = *head;
		*head = (uint32_t)i;
	}
	return 0;
}

size_t rowcache_first(const struct rowcache *rc, uint64_t hash)
{
	uint32_t head = rc->heads[hash & (rc->n_heads - 1)];

	return head ? head - 1 : rc->n_rows;
}

size_t rowcache_next(const struct rowcache *rc, size_t row)
{
	return rc->chains[row] ? rc->chains[row] - 1 : rc->n_rows;
}

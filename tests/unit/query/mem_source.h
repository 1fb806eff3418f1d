/* A scan source over rows in memory, as simple as the rules of storage/scan.h: each row is tested
 * against every predicate. Batches are short and their texts are freed before the next one, so that
 * a reader that keeps a pointer is seen by the sanitizers. */
#ifndef TESTS_UNIT_QUERY_MEM_SOURCE_H
#define TESTS_UNIT_QUERY_MEM_SOURCE_H

#include "storage/scan.h"

struct mem_row {
	uint16_t table;
	uint64_t end_ns;
	struct value cells[_COL_MAX]; /* texts owned */
};

struct mem_source {
	struct scan_source base;
	struct mem_row *rows; /* any order */
	size_t n_rows, cap_rows;
	size_t batch_rows;
	int fail_with; /* returned by next() instead of the second batch */
	/* What the last plans said, for tests of push-down. */
	size_t opened, preds, open_scans;
	uint64_t limit, from_ns, to_ns;
	uint16_t cols[SCAN_COLS_MAX];
	size_t n_cols;
};

void mem_source_init(struct mem_source *m);
void mem_source_done(struct mem_source *m);
/* A new row, to be filled; valid until the next one. */
struct mem_row *mem_source_row(struct mem_source *m, uint16_t table, uint64_t end_ns);
void mem_row_int(struct mem_row *r, uint16_t col, int64_t v);
void mem_row_text(struct mem_row *r, uint16_t col, const char *text);

#endif

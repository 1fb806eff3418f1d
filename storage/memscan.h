/* Scans over rows in memory: the small tables that the store makes up when asked, and connections
 * that are still open.
 */
#ifndef STORAGE_MEMSCAN_H
#define STORAGE_MEMSCAN_H

#include "base/util.h"
#include "protocols/record.h"
#include "storage/scan.h"

#define MEM_ROWS_BYTES_MAX (128 * MIB) /* of one list, whatever its rows are */

/* Encoded rows without CELL_SYM cells, owned. */
struct mem_rows {
	struct mem_row {
		uint64_t end_ns;
		struct row_hdr *bytes;
	} * rows;
	size_t n, cap, max, bytes;
};

void mem_rows_init(struct mem_rows *m, size_t max_rows);
void mem_rows_done(struct mem_rows *m);
/* Encodes what the builder holds. 0, -ENOSPC at one of the maxima, -ENOMEM. */
int mem_rows_add(struct mem_rows *m, struct row_builder *b, uint64_t end_ns);

/* Takes the rows over (rows is empty afterwards, also on failure). Order by end_ns as the plan
 * wants. */
int memscan_open(struct mem_rows *rows, const struct scan_plan *plan, struct scan **ret);

/* Whether one row satisfies all predicates and the time range of a plan. text(): a cell's text, for
 * rows whose texts are numbers; NULL when there are none. */
bool scan_row_matches(const struct scan_plan *plan, const struct row *r);

/* First everything of a, then everything of b. Takes both over; a or b may be NULL. */
int concat_scan_open(struct scan *a, struct scan *b, struct scan **ret);

#endif

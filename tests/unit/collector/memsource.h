/* A scan source whose rows are computed: row i (from 0) of n ends at base + i steps. The tests know
 * every cell of every row without storing one.
 *
 *	method     GET, POST, PUT by i % 3         status_code  500 when i % 10 == 9, else 200
 *	path       /item/<i>                       latency_ns   1,000,000 * (i % 100 + 1)
 *	user_agent bytes that are no UTF-8         request_headers  {"host":"a","x":"<i>"}
 */
#ifndef TESTS_UNIT_COLLECTOR_MEMSOURCE_H
#define TESTS_UNIT_COLLECTOR_MEMSOURCE_H

#include "storage/scan.h"

#include <stdatomic.h>

struct memsource {
	struct scan_source source; /* .open = memsource_open */
	const char *node;
	uint64_t epoch;
	uint64_t n_rows, base_ns, step_ns;
	uint64_t delay_ns; /* before each batch, sliced so that a cancel is seen */
	atomic_bool hang;  /* never answers until cancelled */
	atomic_bool deaf;  /* does not even see a cancel, until released */
	atomic_bool fail;  /* open() says -EIO */
	atomic_bool release;
	atomic_uint opened, closed, cancelled;
};

void memsource_init(struct memsource *m, const char *node, uint64_t n_rows, uint64_t base_ns,
		    uint64_t step_ns);
/* Value of one cell; texts live in buf. */
struct value memsource_cell(const struct memsource *m, uint64_t row, uint16_t col, char buf[64]);

#endif

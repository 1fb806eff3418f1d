#include "base/heap.h"

#include "base/util.h"

#include <malloc.h>

#define MMAP_BYTES                                                                                 \
	(512 * KIB)	     /* blocks from here on have a mapping of their own, gone when freed */
#define TRIM_BYTES (1 * MIB) /* free bytes at the heap's end, beyond which they go back at once */
#define REST_NS	   (10 * NSEC_PER_SEC)

void heap_init(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}

void heap_rest(uint64_t *last_ns, uint64_t now_ns)
{
	if (now_ns - *last_ns < REST_NS)
		return;
	*last_ns = now_ns;
	malloc_trim(0);
}

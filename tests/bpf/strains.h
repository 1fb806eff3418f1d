/* What strains a TCP connection's counters: sockets that are connected again, resets at every moment,
 * data with the SYN, both ends opening, connections that nobody accepts. Every byte that any of it sends
 * says where in its connection's direction it stands.
 */
#ifndef TESTS_BPF_STRAINS_H
#define TESTS_BPF_STRAINS_H

#include <stddef.h>
#include <stdint.h>

#define STRAIN_BYTES_MAX (1u << 20) /* no direction of a connection carries more */

/* What every direction of every connection carries, from its beginning on: STRAIN_BYTES_MAX. */
const uint8_t *strain_bytes(void);

struct strains {
	const char *only; /* name of the one to run; NULL: all, mixed */
	unsigned workers; /* processes that run them at once */
	unsigned rounds;  /* of each */
	uint32_t netns;	  /* returned: inode of the network namespace, when the memory is shared */
};

/* For harness_run(): arg is a struct strains. In a network namespace of its own. Returns 0, or 77 where
 * the kernel gives none, or 1 when one did not get as far as it should. */
int strains_run(void *arg);

#endif

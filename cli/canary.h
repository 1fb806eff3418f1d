/* A few HTTP exchanges over the loopback interface, made by a child so that the rules that keep
 * Kelpie's own processes out of the capture do not hide them: one by each family of system calls.
 */
#ifndef CLI_CANARY_H
#define CLI_CANARY_H

#include <stdbool.h>
#include <stdint.h>

struct canary_result {
	uint16_t port; /* of the server; its requests have paths below /kelpie-doctor/ */
	int exchanges;
};

/* 0 or negative errno (-EAFNOSUPPORT, -EADDRNOTAVAIL: no IPv6 here). At most 3 s. */
int canary_send(bool ipv6, struct canary_result *ret);
/* "read/write, recv/send, ...": how they were made. */
const char *canary_ways(void);

#endif

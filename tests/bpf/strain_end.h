/* One end of a TCP connection on loopback that sends strain_bytes() and knows how far it is. */
#ifndef TESTS_BPF_STRAIN_END_H
#define TESTS_BPF_STRAIN_END_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIECE_MAX 4096 /* bytes of one call */

struct end {
	int fd;
	uint64_t sent, got; /* bytes of this connection */
};

/* A socket whose calls wait a second at most; type_flags: as SOCK_NONBLOCK. */
struct end end_new(int type_flags);
struct sockaddr_in address(uint16_t port);
/* connect(), as a new connection: its result. */
int dial(struct end *e, uint16_t port);
/* Back to a socket that was never connected. */
int undial(struct end *e);
/* Sends the next n bytes; false: not all. */
bool put(struct end *e, size_t n);
/* What there is, up to n bytes; false at the end, and when one of them is not the one of its place. */
bool take(struct end *e, size_t n);
bool take_all(struct end *e, uint64_t n);
/* reset: at once, whatever is under way. */
void drop(struct end *e, bool reset);

#endif

/* Every way to move bytes through a socket, as a table of senders and one of receivers. */
#ifndef TESTS_BPF_OPS_H
#define TESTS_BPF_OPS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What each family of hooks makes of it. */
enum seen {
	SEEN_CAPTURED,	   /* every byte captured */
	SEEN_HOLE,	   /* announced, no payload, exact size */
	SEEN_HOLE_LENGTH,  /* hole on the socket-length rung; invisible on the others */
	SEEN_HOLE_SYSCALL, /* invisible on the socket-length rung; hole on the others */
};

/* Moves exactly n bytes (retrying partial transfers); n, or -1. */
struct op {
	const char *name;
	ssize_t (*move)(int fd, uint8_t *buf, size_t n);
	enum seen seen;
};

#ifdef HAVE_URING
ssize_t uring_late(int client, int server, uint8_t *buf, size_t half);
#endif

extern const struct op senders[], receivers[]; /* a NULL name ends */

#endif

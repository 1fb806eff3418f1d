/* Hop 2, intake: reads one BPF ring buffer through its mapped pages and hands out records that have
 * passed the contract's checks. No system call, no bpf(): a process without any privilege can do it
 * with an inherited descriptor (the pages may be mapped on every kernel since 5.8).
 */
#ifndef AGENT_RING_H
#define AGENT_RING_H

#include "agent/bpf/events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
	volatile uint64_t *consumer;	   /* shared with the kernel: what we have given back */
	const volatile uint64_t *producer; /* shared with the kernel: what it has reserved */
	const uint8_t *data;		   /* mapped twice in a row, so records never wrap */
	uint64_t size;			   /* bytes, power of two */
	uint64_t pos;			   /* next record to read */
};

/* fd: a BPF_MAP_TYPE_RINGBUF of size bytes. 0 or negative errno. */
int ring_open(struct ring *r, int fd, uint64_t size);
void ring_close(struct ring *r);

/* Where the kernel stands now: records before it were reserved before this call. */
uint64_t ring_snapshot(const struct ring *r);

enum ring_result {
	RING_END,    /* nothing further before `until`, or the next record is still being written */
	RING_RECORD, /* *ret is a checked record, borrowed until ring_release() */
	RING_INVALID, /* a record was passed over: wrong length, version or type */
};

/* Takes the next record that begins before `until`. */
enum ring_result ring_next(struct ring *r, uint64_t until, const struct ev_hdr **ret);

/* Goes back to a position that was r->pos since the last release: a second pass. */
void ring_rewind(struct ring *r, uint64_t pos);

/* Gives everything up to r->pos back to the kernel. */
void ring_release(struct ring *r);

/* Whether a record obeys events.h: used for live rings and for recordings alike. n: bytes there. */
bool ev_valid(const struct ev_hdr *h, size_t n);

#endif

/* Runs a capture around a child that moves known bytes, and keeps everything the rings said.
 *
 * Byte p of every stream is pattern(p), so whatever is captured can be checked against its
 * position.
 */
#ifndef TESTS_BPF_HARNESS_H
#define TESTS_BPF_HARNESS_H

#include "agent/capture.h"
#include "agent/ring.h"

#include <stdbool.h>
#include <sys/types.h>

#define STREAM_MAX (8u << 20)
#define SIDES_MAX  64

enum byte_state { BYTE_UNSEEN, BYTE_CAPTURED, BYTE_WRONG, BYTE_HOLE };

/* One end of one connection. */
struct side {
	struct ev_conn open;
	struct ev_close close;
	bool opened, closed, failed;
	char name[2][EV_NAME_MAX + 1]; /* of a UNIX socket: of this end, of the other */
	uint64_t eof[2];
	uint8_t *bytes[2]; /* enum byte_state per position, from base[] on */
	uint64_t base[2];  /* ev_conn.pos */
	uint64_t end[2];   /* after the last byte told */
	uint64_t records[2];
	uint64_t unordered;
	uint8_t miss[2][16]; /* 1 where such a reason was given, by enum ev_miss */
};

struct harness {
	struct capture *cap;
	struct ring ctl, data;
	struct side sides[SIDES_MAX];
	size_t n_sides;
	uint64_t unknown; /* data records of a connection that was never announced */
	struct bpf_counters *counters;
	struct conn_ctl *conn_ctl;
	bool lazy; /* do not read while the child runs */
	void (*while_running)(struct harness *h);
	void (*on_dgram)(struct harness *h, const struct ev_dgram *e);
};

uint8_t pattern(uint64_t pos);

/* Not only the control group of the harness's own children: from the next harness_start() on. */
extern bool harness_sees_all;

/* 0, -ENOTSUP where the kernel lacks the rung, or another negative errno. */
int harness_start(struct harness *h, const struct capture_opts *opts);
/* A child that runs fn and dies with this process. */
pid_t harness_fork(int (*fn)(void *arg), void *arg);
/* Runs fn in a child, reading the rings meanwhile; returns its exit status. Then reads to the end.
 */
int harness_run(struct harness *h, int (*fn)(void *arg), void *arg);
void harness_drain(struct harness *h);
void harness_stop(struct harness *h);

/* The end whose local and remote ports these are; NULL when never announced. */
struct side *harness_side(struct harness *h, uint16_t local, uint16_t remote);
/* The UNIX socket with this inode; NULL when never announced. */
struct side *harness_socket(struct harness *h, uint64_t inode);
/* State of all bytes in [from, to): the common one, or -1 when they differ. */
int side_state(const struct side *s, int dir, uint64_t from, uint64_t to);
uint64_t harness_counter(const struct harness *h, enum bpf_counter which);
/* in - out - losses; 0 when the ledger is closed. unit: "bytes", "calls" or "records". */
int64_t harness_balance(const struct harness *h, const char *unit);

#endif

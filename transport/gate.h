/* The collector's door to the network: a gRPC server for agents (transport/grpc.h) that anybody can
 * reach. Each call that it admits becomes a local stream socket; the bytes of its messages are not
 * looked at here.
 *
 * Nobody is trusted before a token was shown: until then a connection is a guest, of which there are
 * few, for a short time, with few frames and bytes. One thread, bounded work for each connection in
 * a turn. Measured against the attacks in docs/decisions/0011.
 */
#ifndef TRANSPORT_GATE_H
#define TRANSPORT_GATE_H

#include "base/slice.h"
#include "base/util.h"

#include <stdatomic.h>

#define GATE_CONNS_MAX	2048 /* admitted and guests; fewer where descriptors are */
#define GATE_GUESTS_MAX 256  /* when there are more, the oldest goes */
#define GATE_GUESTS_BY	64   /* guests of one address */
#define GATE_GUEST_NS                                                                              \
	(10 * NSEC_PER_SEC)	      /* from accept, or from the last call, to an admitted one */
#define GATE_GUEST_BYTES   (32 * KIB) /* that a guest may send */
#define GATE_STREAMS_MAX   8	      /* calls of one connection at once */
#define GATE_BY_BURST	   256	      /* connections of one address at once, */
#define GATE_BY_RATE	   64	      /* and a second after that */
#define GATE_FRAMES_BURST  200	      /* frames of one connection beside DATA at once, */
#define GATE_FRAMES_RATE   50	      /* and a second after that */
#define GATE_HEADERS_BYTES (12 * KIB)

/* What became of connections and calls. Written by the gate alone; may lie in shared memory. */
struct gate_counts {
	_Atomic uint64_t accepted;	/* = refused + guest_ended + admitted_ended + open */
	_Atomic uint64_t refused;	/* at once: too many of that address, no descriptor */
	_Atomic uint64_t guest_ended;	/* without an admitted call: */
	_Atomic uint64_t evicted;	/* of them: for newer guests */
	_Atomic uint64_t timed_out;	/* of them: GATE_GUEST_NS */
	_Atomic uint64_t bad_handshake; /* of them: no TLS with HTTP/2 */
	_Atomic uint64_t admitted_ended;
	_Atomic uint64_t open;
	_Atomic uint64_t broken; /* ended by us: HTTP/2, or a limit, was broken */
	_Atomic uint64_t calls;	 /* = calls_admitted + calls_refused */
	_Atomic uint64_t calls_admitted;
	_Atomic uint64_t calls_refused; /* another path or method, a wrong token, no room */
};

struct gate_ops {
	/* Who shows this token may come in: a non-blocking local stream socket for the call. -EACCES:
	 * not with this token; another negative errno: not now. Must not block. */
	int (*admit)(void *ctx, struct slice token);
};

struct ssl_ctx_st;
struct gate;

struct gate_config {
	int listen_fd;		/* non-blocking TCP listener; stays the caller's */
	struct ssl_ctx_st *tls; /* a server's; stays the caller's */
	const struct gate_ops *ops;
	void *ctx;
	struct gate_counts *counts;
	size_t descriptors; /* that it may use */
	int life_fd;	    /* when it ends, so does the gate; -1: none */
};

/* 0 or negative errno. */
int gate_new(const struct gate_config *cfg, struct gate **ret);
/* Waits for at most timeout_ms and does what there is to do. 0; -ESHUTDOWN: life_fd has ended; another
 * negative errno: it cannot go on. */
int gate_turn(struct gate *g, int timeout_ms);
/* Tells every peer that it is over, and ends. */
void gate_free(struct gate *g);

DEFINE_CLEANUP(struct gate, gate_free)

#endif

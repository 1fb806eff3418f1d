/* The agent's way to a collector on the network: each local connection becomes one gRPC call
 * (transport/grpc.h) over an HTTP/2 connection of its own. A call that fails ends the local
 * connection; whoever made it tries again, in its own rhythm.
 */
#ifndef TRANSPORT_DIAL_H
#define TRANSPORT_DIAL_H

#include "base/slice.h"
#include "base/util.h"

#define DIAL_LINKS_MAX 4
#define DIAL_START_NS  (10 * NSEC_PER_SEC) /* until the call is accepted */
#define DIAL_PING_NS   (10 * NSEC_PER_SEC) /* nothing was heard for so long: the peer is asked */
#define DIAL_SILENT_NS (25 * NSEC_PER_SEC) /* and after that it is given up */

struct dial_ops {
	/* The token to show, as it is now, into buf. Its length or negative errno. */
	ssize_t (*token)(void *ctx, char *buf, size_t cap);
	/* up: the call is accepted. Else why it failed or ended, for people. */
	void (*state)(void *ctx, bool up, const char *why);
};

struct ssl_ctx_st;
struct dialer;

struct dial_config {
	int listen_fd; /* non-blocking Unix listener; stays the caller's */
	struct ssl_ctx_st *tls;
	const char *host, *port;
	const char *name; /* that the collector's certificate must have */
	const struct dial_ops *ops;
	void *ctx;
};

/* 0 or negative errno. */
int dialer_new(const struct dial_config *cfg, struct dialer **ret);
/* Waits for at most timeout_ms and does what there is to do; looking up the host's addresses may
 * block. 0 or negative errno. */
int dialer_turn(struct dialer *d, int timeout_ms);
/* For a loop that waits for more: readable when dialer_turn() has something to do; otherwise it wants a turn
 * every 100 ms. */
int dialer_fd(const struct dialer *d);
void dialer_free(struct dialer *d);

DEFINE_CLEANUP(struct dialer, dialer_free)

#endif

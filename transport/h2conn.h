/* One HTTP/2 connection over TLS on a non-blocking socket, driven by epoll: nghttp2 frames, OpenSSL
 * encrypts, this moves the bytes between them. What the frames mean is its owner's to say, in the
 * session's callbacks.
 */
#ifndef TRANSPORT_H2CONN_H
#define TRANSPORT_H2CONN_H

#include "base/util.h"

struct nghttp2_session;
struct ssl_ctx_st;
struct ssl_st;

/* What an epoll set's data points to. Whoever owns it frees nothing before the end of a turn: more
 * events of the same turn may point there. */
struct watch {
	void (*ready)(struct watch *w, uint32_t events);
};

#define H2_TURN_BYTES  (64 * KIB) /* read of one connection before others have their turn */
#define H2_QUEUE_MAX   64	  /* frames that wait to be sent; above, nothing more is read */
#define H2_WINDOW      (1 * MIB)  /* of a stream: DATA that its reader has not taken */
#define H2_CONN_WINDOW (4 * MIB)  /* of all streams of a connection */

struct h2_conn {
	struct watch watch;
	int epoll_fd, fd;
	struct ssl_st *ssl;
	struct nghttp2_session *session; /* the owner makes it before the first turn */
	const uint8_t *out;		 /* what nghttp2 gave and TLS has not taken */
	size_t n_out;
	uint32_t events;   /* that epoll waits for */
	uint64_t bytes_in; /* decrypted, in all */
	bool handshaken;
	bool over; /* the owner's: it has ended and is not freed yet */
};

/* Takes fd over, also on failure. host: of a client, whose certificate is to be seen; NULL: a
 * server. ready: of the watch. 0 or negative errno. */
int h2_conn_open(struct h2_conn *c, int epoll_fd, int fd, struct ssl_ctx_st *tls, const char *host,
		 void (*ready)(struct watch *w, uint32_t events));
/* Handshake, read, write, as far as that goes now, and sets what epoll waits for: to be called when
 * the socket is ready and when something was submitted to the session. 0; negative errno: it is over.
 * -EKEYREJECTED: the handshake failed; -EPROTONOSUPPORT: it did, for want of HTTP/2; -EPROTO: the peer
 * broke the protocol; -ECONNRESET; -ESHUTDOWN: nothing is left to be said. */
int h2_conn_turn(struct h2_conn *c);
void h2_conn_close(struct h2_conn *c);
/* Why the last handshake in this thread failed, for people. */
const char *h2_conn_trouble(const struct h2_conn *c);

#endif

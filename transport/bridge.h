/* One HTTP/2 stream whose DATA is what goes through a local stream socket, both ways. Nothing is
 * looked at on the way. Back-pressure goes through: the peer's window opens as the local end takes
 * its bytes, the local end is read as the peer's window allows.
 */
#ifndef TRANSPORT_BRIDGE_H
#define TRANSPORT_BRIDGE_H

#include "base/slice.h"
#include "transport/h2conn.h"

struct bridge {
	struct watch watch; /* of the local socket */
	struct h2_conn *conn;
	int32_t stream_id;
	int fd;		/* the local socket */
	bool deferred;	/* nghttp2 waits for local bytes */
	bool peer_over; /* the peer has */
	bool shut;	/* and the local end was told */
	uint8_t *buf;	/* of the peer's bytes those that the local end has not taken: [off, len) */
	size_t off, len, cap; /* at most H2_WINDOW */
};

/* Takes fd over (non-blocking), also on failure. ready: of the watch. 0 or negative errno. */
int bridge_open(struct bridge *b, struct h2_conn *c, int32_t stream_id, int fd,
		void (*ready)(struct watch *w, uint32_t events));
void bridge_close(struct bridge *b);

/* DATA from the peer, in on_data_chunk_recv: at most what its window allows. 0 or negative errno:
 * the local end is gone. */
int bridge_take(struct bridge *b, struct slice data);
/* The peer has said all. */
void bridge_peer_over(struct bridge *b);
/* The local socket is ready. The caller gives the connection a turn then. 0 or negative errno. */
int bridge_local_ready(struct bridge *b);
/* Bytes for the peer, for nghttp2's read callback: bytes read into buf; 0: the local end has said
 * all; -EAGAIN: later, bridge_local_ready() resumes the stream; another negative errno. */
ssize_t bridge_read(struct bridge *b, uint8_t *buf, size_t n);

#endif

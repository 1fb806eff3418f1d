#include "transport/bridge.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int bridge_open(struct bridge *b, struct h2_conn *c, int32_t stream_id, int fd,
		void (*ready)(struct watch *w, uint32_t events))
{
	/* Edges: whoever gets EAGAIN waits for the next one. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &b->watch };

	*b = (struct bridge){ .watch = { ready }, .conn = c, .stream_id = stream_id, .fd = fd };
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int err = -errno;

		bridge_close(b);
		return err;
	}
	return 0;
}

void bridge_close(struct bridge *b)
{
	closep(&b->fd);
	b->fd = -1;
	free(b->buf);
	b->buf = NULL;
}

/* Bytes that the local end took of s, or negative errno. */
static ssize_t offer(struct bridge *b, struct slice s)
{
	ssize_t n = s.n ? send(b->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n > 0)
		nghttp2_session_consume(b->conn->session, b->stream_id, (size_t)n);
	return n;
}

static int keep(struct bridge *b, struct slice s)
{
	size_t need = b->len - b->off + s.n;

	if (need > H2_WINDOW)
		return -ENOBUFS; /* nghttp2 ends a stream whose peer ignores its window before that */
	if (b->off > 0)
		memmove(b->buf, b->buf + b->off, b->len - b->off);
	b->len -= b->off;
	b->off = 0;
	if (need > b->cap) {
		size_t cap = MIN(MAX(need, 2 * b->cap), (size_t)H2_WINDOW);
		uint8_t *buf = realloc(b->buf, cap);

		if (!buf)
			return -ENOMEM;
		b->buf = buf;
		b->cap = cap;
	}
	memcpy(b->buf + b->len, s.p, s.n);
	b->len += s.n;
	return 0;
}

int bridge_take(struct bridge *b, struct slice data)
{
	ssize_t n = 0;

	if (b->off == b->len) {
		n = offer(b, data);
		if (n < 0)
			return (int)n;
	}
	data = slice_from(data, (size_t)n);
	return data.n ? keep(b, data) : 0;
}

static void tell_over(struct bridge *b)
{
	if (!b->peer_over || b->shut || b->off < b->len)
		return;
	b->shut = true;
	shutdown(b->fd, SHUT_WR);
}

void bridge_peer_over(struct bridge *b)
{
	b->peer_over = true;
	tell_over(b);
}

int bridge_local_ready(struct bridge *b)
{
	while (b->off < b->len) {
		ssize_t n = offer(b, slice_of(b->buf + b->off, b->len - b->off));

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		b->off += (size_t)n;
	}
	if (b->off == b->len) {
		free(b->buf); /* a burst is over */
		b->buf = NULL;
		b->off = b->len = b->cap = 0;
	}
	tell_over(b);
	if (b->deferred) {
		b->deferred = false;
		nghttp2_session_resume_data(b->conn->session, b->stream_id);
	}
	return 0;
}

ssize_t bridge_read(struct bridge *b, uint8_t *buf, size_t n)
{
	ssize_t got = recv(b->fd, buf, n, MSG_DONTWAIT);

	if (got >= 0)
		return got;
	if (errno != EAGAIN && errno != EINTR)
		return -errno;
	b->deferred = true;
	return -EAGAIN;
}

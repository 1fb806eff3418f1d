/* Sockets of the load tools: the same bytes through whichever system call is asked for, output
 * queues, addresses. */
#ifndef TESTS_E2E_LOAD_SOCKIO_H
#define TESTS_E2E_LOAD_SOCKIO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum send_how {
	SEND_WRITE,
	SEND_SEND,
	SEND_SENDTO,
	SEND_WRITEV,
	SEND_SENDMSG,
	SEND_SENDMMSG,
	_SEND_PLAIN_MAX,
	SEND_SENDFILE = _SEND_PLAIN_MAX, /* server bodies only; everything else by write */
	SEND_MIX,			 /* a different one of the plain ones each time */
};
enum recv_how {
	RECV_READ,
	RECV_RECV,
	RECV_RECVFROM,
	RECV_READV,
	RECV_RECVMSG,
	RECV_RECVMMSG,
	RECV_PEEK, /* MSG_PEEK, then recv of what was seen */
	_RECV_PLAIN_MAX,
	RECV_MIX = _RECV_PLAIN_MAX,
};

/* -EINVAL for an unknown name. */
int sockio_send_how(const char *name);
int sockio_recv_how(const char *name);

/* One call each. Bytes moved, 0 for end of stream (receive only) or negative errno. turn advances
 * so that MIX rotates. */
ssize_t sockio_send(int fd, const char *buf, size_t n, enum send_how how, unsigned int *turn);
ssize_t sockio_recv(int fd, char *buf, size_t n, enum recv_how how, unsigned int *turn);

/* Bytes to be sent, then optionally file_left bytes of file_fd from its start. */
struct outq {
	char *buf;
	size_t head, tail, room;
	size_t file_left, file_at;
	int file_fd;
};

/* Both keep everything or abort: the tools run where memory is plenty. */
char *outq_reserve(struct outq *q, size_t n);
void outq_put(struct outq *q, const char *s, size_t n);
/* n bytes of a repeating text, so that a body holds no two equal windows by accident of zeros. */
void outq_put_pattern(struct outq *q, size_t n);
static inline bool outq_empty(const struct outq *q)
{
	return q->head == q->tail && q->file_left == 0;
}
void outq_done(struct outq *q);

/* Sends until empty or the socket is full. split > 0: at most that many bytes per call.
 * Returns 0 (see outq_empty) or negative errno. */
int outq_flush(struct outq *q, int fd, enum send_how how, size_t split, unsigned int *turn);

/* "127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "unix:/path", "unix:@name". Returns 0 or
 * -EINVAL. */
int sockio_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len);

struct sockio_name {
	char addr[128]; /* mapped IPv4 as plain IPv4; "unix:" before a UNIX socket's name */
	uint16_t port;	/* 0: a UNIX socket's */
};
/* len: bytes of sa that are valid. */
void sockio_name(const struct sockaddr_storage *sa, socklen_t len, struct sockio_name *ret);
/* Own or peer's name of a connected socket. */
int sockio_own_name(int fd, struct sockio_name *ret);
int sockio_peer_name(int fd, struct sockio_name *ret);

uint64_t sockio_now_ns(void);	   /* CLOCK_MONOTONIC */
uint64_t sockio_unix_now_ns(void); /* CLOCK_REALTIME */

#endif

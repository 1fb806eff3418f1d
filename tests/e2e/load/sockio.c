#include "sockio.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

static const char *const send_names[] = { "write",   "send",	 "sendto",   "writev",
					  "sendmsg", "sendmmsg", "sendfile", "mix" };
static const char *const recv_names[] = { "read",    "recv",	 "recvfrom", "readv",
					  "recvmsg", "recvmmsg", "peek",     "mix" };

static int find_name(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

int sockio_send_how(const char *name)
{
	return find_name(send_names, sizeof(send_names) / sizeof(send_names[0]), name);
}

int sockio_recv_how(const char *name)
{
	return find_name(recv_names, sizeof(recv_names) / sizeof(recv_names[0]), name);
}

/* Cuts buf in two pieces of about a third and two thirds; returns how many pieces there are. */
static size_t cut_in_two(char *buf, size_t n, struct iovec iov[2])
{
	size_t first = n / 3;

	if (first == 0) {
		iov[0] = (struct iovec){ buf, n };
		return 1;
	}
	iov[0] = (struct iovec){ buf, first };
	iov[1] = (struct iovec){ buf + first, n - first };
	return 2;
}

static ssize_t send_messages(int fd, struct iovec *iov, size_t pieces)
{
	struct mmsghdr m[2] = { 0 };
	ssize_t sum = 0;
	int got;

	for (size_t i = 0; i < pieces; i++) {
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	got = sendmmsg(fd, m, (unsigned int)pieces, MSG_NOSIGNAL);
	if (got < 0)
		return -1;
	for (int i = 0; i < got; i++)
		sum += m[i].msg_len;
	return sum;
}

ssize_t sockio_send(int fd, const char *buf, size_t n, enum send_how how, unsigned int *turn)
{
	struct iovec iov[2];
	size_t pieces = cut_in_two((char *)(uintptr_t)buf, n, iov);
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = pieces };
	ssize_t r;

	if (how == SEND_MIX)
		how = (enum send_how)((*turn)++ % _SEND_PLAIN_MAX);
	switch (how) {
	case SEND_SEND:
		r = send(fd, buf, n, MSG_NOSIGNAL);
		break;
	case SEND_SENDTO:
		r = sendto(fd, buf, n, MSG_NOSIGNAL, NULL, 0);
		break;
	case SEND_WRITEV:
		r = writev(fd, iov, (int)pieces);
		break;
	case SEND_SENDMSG:
		r = sendmsg(fd, &m, MSG_NOSIGNAL);
		break;
	case SEND_SENDMMSG:
		r = send_messages(fd, iov, pieces);
		break;
	default:
		r = write(fd, buf, n);
		break;
	}
	return r < 0 ? -errno : r;
}

static ssize_t recv_messages(int fd, struct iovec *iov, size_t pieces)
{
	struct mmsghdr m[2] = { 0 };
	ssize_t sum;
	int got;

	for (size_t i = 0; i < pieces; i++) {
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	got = recvmmsg(fd, m, (unsigned int)pieces, MSG_DONTWAIT, NULL);
	if (got <= 0)
		return got;
	sum = m[0].msg_len;
	/* The first message may have come short and the second not: close the hole. */
	if (got == 2 && m[1].msg_len > 0) {
		memmove((char *)iov[0].iov_base + sum, iov[1].iov_base, m[1].msg_len);
		sum += m[1].msg_len;
	}
	return sum;
}

static ssize_t recv_after_peek(int fd, char *buf, size_t n)
{
	ssize_t seen = recv(fd, buf, n, MSG_PEEK);

	return seen <= 0 ? seen : recv(fd, buf, (size_t)seen, 0);
}

ssize_t sockio_recv(int fd, char *buf, size_t n, enum recv_how how, unsigned int *turn)
{
	struct iovec iov[2];
	size_t pieces = cut_in_two(buf, n, iov);
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = pieces };
	ssize_t r;

	if (how == RECV_MIX)
		how = (enum recv_how)((*turn)++ % _RECV_PLAIN_MAX);
	switch (how) {
	case RECV_RECV:
		r = recv(fd, buf, n, 0);
		break;
	case RECV_RECVFROM:
		r = recvfrom(fd, buf, n, 0, NULL, NULL);
		break;
	case RECV_READV:
		r = readv(fd, iov, (int)pieces);
		break;
	case RECV_RECVMSG:
		r = recvmsg(fd, &m, 0);
		break;
	case RECV_RECVMMSG:
		r = recv_messages(fd, iov, pieces);
		break;
	case RECV_PEEK:
		r = recv_after_peek(fd, buf, n);
		break;
	default:
		r = read(fd, buf, n);
		break;
	}
	return r < 0 ? -errno : r;
}

char *outq_reserve(struct outq *q, size_t n)
{
	if (q->head == q->tail)
		q->head = q->tail = 0;
	if (q->room - q->tail < n) {
		size_t room = q->room ? q->room : 4096;

		while (room - q->tail < n)
			room *= 2;
		q->buf = realloc(q->buf, room);
		if (!q->buf)
			abort();
		q->room = room;
	}
	return q->buf + q->tail;
}

void outq_put(struct outq *q, const char *s, size_t n)
{
	memcpy(outq_reserve(q, n), s, n);
	q->tail += n;
}

void outq_put_pattern(struct outq *q, size_t n)
{
	char *p = outq_reserve(q, n);

	for (size_t i = 0; i < n && i < 4096; i++)
		p[i] = (char)('a' + (i * 7 + i / 26) % 26);
	for (size_t done = 4096; done < n;) {
		size_t step = n - done < 4096 ? n - done : 4096;

		memcpy(p + done, p, step);
		done += step;
	}
	q->tail += n;
}

void outq_done(struct outq *q)
{
	free(q->buf);
	*q = (struct outq){ .file_fd = -1 };
}

static int flush_file(struct outq *q, int fd)
{
	while (q->file_left > 0) {
		off_t at = (off_t)q->file_at;
		ssize_t r = sendfile(fd, q->file_fd, &at, q->file_left);

		if (r < 0 && errno == EAGAIN)
			return 0;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		q->file_at += (size_t)r;
		q->file_left -= (size_t)r;
	}
	return 0;
}

int outq_flush(struct outq *q, int fd, enum send_how how, size_t split, unsigned int *turn)
{
	while (q->head < q->tail) {
		size_t n = q->tail - q->head;
		ssize_t r;

		if (split && n > split)
			n = split;
		r = sockio_send(fd, q->buf + q->head, n, how, turn);
		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return (int)r;
		q->head += (size_t)r;
	}
	return flush_file(q, fd);
}

static int unix_address(const char *name, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	size_t n = strlen(name);

	if (n == 0 || n >= sizeof(un->sun_path))
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, n);
	if (name[0] == '@')
		un->sun_path[0] = 0;
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] != '@'));
	return 0;
}

int sockio_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	char host[64];
	uint64_t port;
	size_t n;

	if (strncmp(text, "unix:", 5) == 0)
		return unix_address(text + 5, ret, ret_len);
	if (!colon || text_u64(colon + 1, strlen(colon + 1), &port) < 0 || port > 65535)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*v6);
		return 0;
	}
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
		return -EINVAL;
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*ret_len = sizeof(*v4);
	return 0;
}

static void unix_name(const struct sockaddr_un *un, socklen_t len, struct sockio_name *ret)
{
	size_t n = len - offsetof(struct sockaddr_un, sun_path);
	const char *path = un->sun_path;

	ret->port = 0;
	if (len <= offsetof(struct sockaddr_un, sun_path))
		snprintf(ret->addr, sizeof(ret->addr), "unix:");
	else if (path[0])
		snprintf(ret->addr, sizeof(ret->addr), "unix:%.*s", (int)n, path);
	else
		snprintf(ret->addr, sizeof(ret->addr), "unix:@%.*s", (int)n - 1, path + 1);
}

void sockio_name(const struct sockaddr_storage *any, socklen_t len, struct sockio_name *ret)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)any;
	const struct sockaddr_in6 *sa = (const struct sockaddr_in6 *)any;

	if (any->ss_family == AF_UNIX) {
		unix_name((const struct sockaddr_un *)any, len, ret);
		return;
	}
	if (any->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, ret->addr, sizeof(ret->addr));
		ret->port = ntohs(v4->sin_port);
		return;
	}
	if (IN6_IS_ADDR_V4MAPPED(&sa->sin6_addr))
		inet_ntop(AF_INET, &sa->sin6_addr.s6_addr[12], ret->addr, sizeof(ret->addr));
	else
		inet_ntop(AF_INET6, &sa->sin6_addr, ret->addr, sizeof(ret->addr));
	ret->port = ntohs(sa->sin6_port);
}

int sockio_own_name(int fd, struct sockio_name *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	sockio_name(&sa, len, ret);
	return 0;
}

int sockio_peer_name(int fd, struct sockio_name *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	sockio_name(&sa, len, ret);
	return 0;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

uint64_t sockio_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t sockio_unix_now_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

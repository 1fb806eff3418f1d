#include "cli/canary.h"

#include "base/util.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

static ssize_t by_write(int fd, const void *p, size_t n)
{
	return write(fd, p, n);
}

static ssize_t by_read(int fd, void *p, size_t n)
{
	return read(fd, p, n);
}

static ssize_t by_send(int fd, const void *p, size_t n)
{
	return send(fd, p, n, MSG_NOSIGNAL);
}

static ssize_t by_recv(int fd, void *p, size_t n)
{
	return recv(fd, p, n, 0);
}

static ssize_t by_sendmsg(int fd, const void *p, size_t n)
{
	char *text = (char *)(uintptr_t)p;
	struct iovec parts[] = { { text, n / 2 }, { text + n / 2, n - n / 2 } };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static ssize_t by_recvmsg(int fd, void *p, size_t n)
{
	struct iovec part = { p, n };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };

	return recvmsg(fd, &msg, 0);
}

static ssize_t by_writev(int fd, const void *p, size_t n)
{
	char *text = (char *)(uintptr_t)p;
	struct iovec parts[] = { { text, 1 }, { text + 1, n - 1 } };

	return writev(fd, parts, ARRAY_SIZE(parts));
}

static ssize_t by_readv(int fd, void *p, size_t n)
{
	struct iovec part = { p, n };

	return readv(fd, &part, 1);
}

static const struct {
	ssize_t (*put)(int fd, const void *p, size_t n);
	ssize_t (*get)(int fd, void *p, size_t n);
} ways[] = {
	{ by_write, by_read },
	{ by_send, by_recv },
	{ by_sendmsg, by_recvmsg },
	{ by_writev, by_readv },
};

const char *canary_ways(void)
{
	return "read/write, recv/send, recvmsg/sendmsg, readv/writev";
}

static int listen_on_loopback(bool ipv6, uint16_t *ret_port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = ipv6 ? sizeof(v6) : sizeof(v4);
	struct sockaddr *addr = ipv6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, addr, n) < 0 || listen(fd, 1) < 0 || getsockname(fd, addr, &n) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	*ret_port = ntohs(ipv6 ? v6.sin6_port : v4.sin_port);
	return fd;
}

static int connect_to(int listener)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t n = sizeof(addr);
	int fd, err;

	if (getsockname(listener, (struct sockaddr *)&addr, &n) < 0)
		return -errno;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, n) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Both ends in one process: the loopback interface holds a message until it is read. */
static int exchange(int client, int server, size_t way)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	char request[160], buf[512];
	int n = snprintf(request, sizeof(request),
			 "GET /kelpie-doctor/%c HTTP/1.1\r\nHost: kelpie-doctor\r\n\r\n",
			 (char)('a' + way));

	if (ways[way].put(client, request, (size_t)n) != n ||
	    ways[way].get(server, buf, sizeof(buf)) != n ||
	    ways[way].put(server, answer, sizeof(answer) - 1) != (ssize_t)sizeof(answer) - 1 ||
	    ways[way].get(client, buf, sizeof(buf)) != (ssize_t)sizeof(answer) - 1)
		return errno ? -errno : -EIO;
	return 0;
}

static int talk(int listener)
{
	_cleanup_(closep) int client = connect_to(listener), server = -1;
	int r = 0;

	if (client < 0)
		return client;
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(ways) && !r; i++)
		r = exchange(client, server, i);
	return r;
}

int canary_send(bool ipv6, struct canary_result *ret)
{
	int listener = listen_on_loopback(ipv6, &ret->port), status;
	pid_t pid;

	ret->exchanges = (int)ARRAY_SIZE(ways);
	if (listener < 0)
		return listener;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "kelpie-canary");
		signal(SIGALRM, SIG_DFL);
		alarm(3);
		_exit(-talk(listener) & 0x7f);
	}
	close(listener);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return -ETIMEDOUT;
	return -WEXITSTATUS(status);
}

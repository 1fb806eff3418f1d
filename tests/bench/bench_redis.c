/* bench_redis PORT RATE MILLISECONDS [CONNECTIONS]: a load of GETs on a Redis of this machine.
 *
 * One thread, one command on a connection at a time. RATE > 0: open-loop, command i is due at
 * start + i/RATE whether or not the ones before were answered, and its latency counts from then.
 * RATE 0: each connection sends its next command as soon as the last one is answered. Prints JSON in
 * the words of kelpie-load.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/text.h"
#include "base/util.h"

#define VALUE_BYTES 64
#define REPLY_BYTES (5 + VALUE_BYTES + 2) /* $64, the value, its end */
#define KEYS	    1000u
#define CONNS_MAX   1024u
#define SAMPLES_MAX (UINT64_C(1) << 25)

struct conn {
	int fd;
	size_t got;
	uint64_t due_ns;
};

struct load {
	uint64_t n_conns, rate, start_ns, end_ns, sent, answered;
	int epoll_fd;
	struct conn conns[CONNS_MAX];
	struct conn *idle[CONNS_MAX]; /* a stack */
	size_t n_idle;
	uint32_t *latency_ns; /* of each answer */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Every key has a value before the clock starts. */
static bool fill(int fd)
{
	char text[256], answer[5];

	for (unsigned int i = 0; i < KEYS; i++) {
		int n = snprintf(text, sizeof(text),
				 "*3\r\n$3\r\nSET\r\n$8\r\nkey:%04u\r\n$%d\r\n%0*u\r\n", i,
				 VALUE_BYTES, VALUE_BYTES, i);

		if (send(fd, text, (size_t)n, 0) != n ||
		    recv(fd, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer) ||
		    memcmp(answer, "+OK\r\n", sizeof(answer)) != 0)
			return false;
	}
	return true;
}

static bool send_get(struct load *l, uint64_t due_ns)
{
	struct conn *c = l->idle[--l->n_idle];
	char text[64];
	int n = snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$8\r\nkey:%04u\r\n",
			 (unsigned int)(l->sent++ % KEYS));

	c->due_ns = due_ns;
	return send(c->fd, text, (size_t)n, MSG_NOSIGNAL) == n;
}

/* Sends what is due; returns until when there is nothing to do. */
static bool send_due(struct load *l, uint64_t *ret_wait_ns)
{
	uint64_t now = now_ns();

	*ret_wait_ns = now >= l->end_ns ? NSEC_PER_MSEC : l->end_ns - now;
	while (l->n_idle > 0 && now < l->end_ns) {
		uint64_t due = l->rate ? l->start_ns + l->sent * NSEC_PER_SEC / l->rate : now;

		if (due > now) {
			*ret_wait_ns = due - now;
			break;
		}
		if (!send_get(l, due))
			return false;
	}
	return true;
}

static bool take_answer(struct load *l, struct conn *c)
{
	char in[REPLY_BYTES];
	ssize_t n = recv(c->fd, in, sizeof(in) - c->got, 0);

	if (n <= 0)
		return false;
	c->got += (size_t)n;
	if (c->got < sizeof(in))
		return true;
	c->got = 0;
	l->latency_ns[l->answered++ % SAMPLES_MAX] = (uint32_t)MIN(now_ns() - c->due_ns,
								   (uint64_t)UINT32_MAX);
	l->idle[l->n_idle++] = c;
	return true;
}

static bool run(struct load *l)
{
	while (now_ns() < l->end_ns || l->n_idle < l->n_conns) {
		struct epoll_event ready[64];
		struct timespec wait = { 0 };
		uint64_t wait_ns;
		int n;

		if (!send_due(l, &wait_ns))
			return false;
		wait.tv_sec = (time_t)(wait_ns / NSEC_PER_SEC);
		wait.tv_nsec = (long)(wait_ns % NSEC_PER_SEC);
		n = epoll_pwait2(l->epoll_fd, ready, ARRAY_SIZE(ready), &wait, NULL);
		for (int i = 0; i < n; i++)
			if (!take_answer(l, ready[i].data.ptr))
				return false;
	}
	return true;
}

static bool open_all(struct load *l, uint16_t port)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->latency_ns = malloc(SAMPLES_MAX * sizeof(*l->latency_ns));
	if (l->epoll_fd < 0 || !l->latency_ns)
		return false;
	for (size_t i = 0; i < l->n_conns; i++) {
		struct conn *c = &l->conns[i];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		c->fd = connect_to(port);
		if (c->fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			return false;
		l->idle[l->n_idle++] = c;
	}
	return fill(l->conns[0].fd);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void report(struct load *l)
{
	uint64_t n = MIN(l->answered, SAMPLES_MAX);
	double seconds = (double)(now_ns() - l->start_ns) / 1e9;

	qsort(l->latency_ns, n, sizeof(*l->latency_ns), by_size);
	printf("{\"answered\":%llu,\"per_second\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
	       (unsigned long long)l->answered, (double)l->answered / seconds,
	       n ? l->latency_ns[n / 2] / 1e3 : 0, n ? l->latency_ns[n * 99 / 100] / 1e3 : 0);
}

int main(int argc, char **argv)
{
	static struct load l;
	uint64_t n[4] = { 0, 0, 0, 32 };

	for (int i = 1; i < argc && i <= 4; i++)
		if (parse_u64(slice_of(argv[i], strlen(argv[i])), &n[i - 1]) < 0)
			argc = 0;
	if (argc < 4 || argc > 5 || n[0] > UINT16_MAX || !n[3] || n[3] > CONNS_MAX) {
		fprintf(stderr, "bench_redis PORT RATE MILLISECONDS [CONNECTIONS]\n");
		return 2;
	}
	l.rate = n[1];
	l.n_conns = n[3];
	if (!open_all(&l, (uint16_t)n[0])) {
		fprintf(stderr, "bench_redis: cannot set up: %s\n", strerror(errno));
		return 1;
	}
	l.start_ns = now_ns();
	l.end_ns = l.start_ns + n[2] * NSEC_PER_MSEC;
	if (!run(&l)) {
		fprintf(stderr, "bench_redis: a connection ended\n");
		return 1;
	}
	report(&l);
	return 0;
}

/* kelpie-gate-tool serve ADDR PORT CERT KEY TOKEN: transport/gate.h with an echo behind it, until SIGTERM;
 * prints the port, and its counts at the end.
 * kelpie-gate-tool ping PORT CA TOKEN STREAMS SECONDS RATE [framed]: calls through transport/dial.h, each of
 * which sends RATE messages a second and waits for each to come back; prints how many came and how
 * long they took. */
#include "base/text.h"
#include "base/util.h"
#include "transport/dial.h"
#include "transport/gate.h"
#include "transport/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define STREAMS_MAX 256
#define SAMPLES_MAX 200000
#define BYTES	    64

static atomic_bool stopping;

static void on_term(int sig)
{
	(void)sig;
	atomic_store(&stopping, true);
}

static int fail(const char *what)
{
	fprintf(stderr, "kelpie-gate-tool: %s: %s\n", what, strerror(errno));
	return 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t number(const char *text)
{
	uint64_t n = 0;

	return parse_u64(slice_str(text), &n) < 0 ? 0 : n;
}

/* ---- serve ---- */

struct echo {
	const char *token;
	int epoll_fd;
};

static void *echo_main(void *arg)
{
	struct echo *e = arg;
	static uint8_t buf[256 * KIB];

	while (!atomic_load(&stopping)) {
		struct epoll_event ev[64];
		int n = epoll_wait(e->epoll_fd, ev, 64, 100);

		for (int i = 0; i < n; i++) {
			ssize_t got = recv(ev[i].data.fd, buf, sizeof(buf), 0);

			if (got <= 0) {
				close(ev[i].data.fd);
				continue;
			}
			for (ssize_t off = 0, put; off < got; off += put)
				if ((put = send(ev[i].data.fd, buf + off, (size_t)(got - off),
						MSG_NOSIGNAL)) <= 0)
					break;
		}
	}
	return NULL;
}

static int admit(void *ctx, struct slice token)
{
	struct echo *e = ctx;
	struct epoll_event ev = { .events = EPOLLIN };
	int pair[2];

	if (!slice_eq_str(token, e->token))
		return -EACCES;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ev.data.fd = pair[1];
	epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, pair[1], &ev);
	return pair[0];
}

static int listen_tcp(const char *addr, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)number(port)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	socklen_t n = sizeof(sa);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (inet_pton(AF_INET, addr, &sa.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -1;
	printf("%d\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

static void print_counts(const struct gate_counts *c)
{
	printf("{\"accepted\":%lu,\"refused\":%lu,\"guest_ended\":%lu,\"evicted\":%lu,"
	       "\"timed_out\":%lu,\"bad_handshake\":%lu,\"admitted_ended\":%lu,\"open\":%lu,"
	       "\"broken\":%lu,\"calls\":%lu,\"calls_admitted\":%lu,\"calls_refused\":%lu}\n",
	       c->accepted, c->refused, c->guest_ended, c->evicted, c->timed_out, c->bad_handshake,
	       c->admitted_ended, c->open, c->broken, c->calls, c->calls_admitted,
	       c->calls_refused);
}

static int serve(char **a)
{
	static struct gate_counts counts;
	const struct gate_ops ops = { admit };
	struct echo e = { a[4], epoll_create1(EPOLL_CLOEXEC) };
	struct gate_config cfg = { .ops = &ops, .ctx = &e, .counts = &counts, .life_fd = -1 };
	struct gate *g;
	struct rlimit files;
	pthread_t thread;
	char why[256];
	int err = 0;

	getrlimit(RLIMIT_NOFILE, &files);
	cfg.descriptors = files.rlim_cur;
	if (tls_server_new(a[2], a[3], &cfg.tls, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	cfg.listen_fd = listen_tcp(a[0], a[1]);
	if (cfg.listen_fd < 0 || gate_new(&cfg, &g) < 0)
		return fail("serve");
	pthread_create(&thread, NULL, echo_main, &e);
	while (err == 0 && !atomic_load(&stopping))
		err = gate_turn(g, 100);
	gate_free(g);
	pthread_join(thread, NULL);
	tls_free(cfg.tls);
	close(cfg.listen_fd);
	close(e.epoll_fd);
	print_counts(&counts);
	return err < 0;
}

/* ---- ping ---- */

static struct {
	const char *port, *token;
	struct ssl_ctx_st *tls;
	uint64_t until_ns, period_ns;
	bool framed; /* the peer takes gRPC messages, not just bytes */
	uint64_t samples[SAMPLES_MAX];
	atomic_size_t n, sent, ended;
} ping;

static ssize_t give_token(void *ctx, char *buf, size_t cap)
{
	(void)ctx;
	return snprintf(buf, cap, "%s", ping.token);
}

static void on_state(void *ctx, bool up, const char *why)
{
	(void)ctx;
	if (!up && !atomic_load(&stopping))
		fprintf(stderr, "ended: %s\n", why);
}

static void *dial_main(void *arg)
{
	const struct dial_ops ops = { give_token, on_state };
	const struct dial_config cfg = { .listen_fd = *(int *)arg,
					 .tls = ping.tls,
					 .host = "127.0.0.1",
					 .port = ping.port,
					 .name = "127.0.0.1",
					 .ops = &ops };
	struct dialer *d;

	if (dialer_new(&cfg, &d) < 0)
		return NULL;
	while (!atomic_load(&stopping) && dialer_turn(d, 50) == 0)
		;
	dialer_free(d);
	return NULL;
}

static bool echoed(int fd)
{
	uint8_t out[BYTES], in[BYTES];
	size_t have = 0;

	for (size_t i = 0; i < BYTES; i++)
		out[i] = (uint8_t)rand();
	if (ping.framed)
		memcpy(out, (const uint8_t[]){ 0, 0, 0, 0, BYTES - 5 }, 5);
	if (send(fd, out, BYTES, MSG_NOSIGNAL) != BYTES)
		return false;
	while (have < BYTES) {
		ssize_t n = recv(fd, in + have, BYTES - have, 0);

		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return memcmp(in, out, BYTES) == 0;
}

static void *stream_main(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint64_t due = now_ns();

	while ((due += ping.period_ns) < ping.until_ns) {
		struct timespec at = { (time_t)(due / NSEC_PER_SEC), (long)(due % NSEC_PER_SEC) };
		size_t i;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		atomic_fetch_add(&ping.sent, 1);
		if (!echoed(fd)) {
			atomic_fetch_add(&ping.ended, 1);
			break;
		}
		i = atomic_fetch_add(&ping.n, 1);
		if (i < SAMPLES_MAX)
			ping.samples[i] = now_ns() - due;
	}
	close(fd);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* An abstract name of our own, on which a dialer listens. */
static int unix_pair(int *ret_listen, struct sockaddr_un *ret, int i)
{
	int n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "kelpie-ping-%d-%d",
			 getpid(), i);

	ret->sun_family = AF_UNIX;
	*ret_listen = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return bind(*ret_listen, (struct sockaddr *)ret,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0 ||
			       listen(*ret_listen, 16) < 0
		       ? -1
		       : n;
}

static int ping_main(char **a)
{
	int streams = (int)MIN(number(a[3]), (uint64_t)STREAMS_MAX),
	    n_dialers = (streams + DIAL_LINKS_MAX - 1) / DIAL_LINKS_MAX;
	int listeners[STREAMS_MAX];
	pthread_t dialers[STREAMS_MAX], threads[STREAMS_MAX];
	char why[256];
	size_t n;

	ping.port = a[0];
	ping.token = a[2];
	ping.until_ns = now_ns() + number(a[4]) * NSEC_PER_SEC;
	ping.period_ns = NSEC_PER_SEC / MAX(number(a[5]), (uint64_t)1);
	if (tls_client_new(a[1], &ping.tls, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	for (int i = 0; i < n_dialers; i++) {
		struct sockaddr_un un = { 0 };
		int len = unix_pair(&listeners[i], &un, i);

		if (len < 0)
			return fail("listen");
		pthread_create(&dialers[i], NULL, dial_main, &listeners[i]);
		for (int j = i * DIAL_LINKS_MAX; j < MIN(streams, (i + 1) * DIAL_LINKS_MAX); j++) {
			int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

			if (connect(fd, (struct sockaddr *)&un,
				    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
						(size_t)len)) < 0)
				return fail("connect");
			pthread_create(&threads[j], NULL, stream_main, (void *)(intptr_t)fd);
		}
	}
	for (int i = 0; i < streams; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stopping, true);
	for (int i = 0; i < n_dialers; i++)
		pthread_join(dialers[i], NULL);
	tls_free(ping.tls);
	n = MIN(atomic_load(&ping.n), (size_t)SAMPLES_MAX);
	qsort(ping.samples, n, sizeof(ping.samples[0]), compare);
	printf("{\"sent\":%zu,\"echoed\":%zu,\"ended\":%zu,\"p50_us\":%lu,\"p99_us\":%lu}\n",
	       atomic_load(&ping.sent), n, atomic_load(&ping.ended),
	       n ? ping.samples[n / 2] / 1000 : 0, n ? ping.samples[n * 99 / 100] / 1000 : 0);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 7 && strcmp(argv[1], "serve") == 0)
		return serve(argv + 2);
	if ((argc == 8 || argc == 9) && strcmp(argv[1], "ping") == 0) {
		ping.framed = argc == 9;
		return ping_main(argv + 2);
	}
	fputs("usage: see the comment at the top\n", stderr);
	return 2;
}

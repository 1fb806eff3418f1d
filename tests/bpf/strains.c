#include "strains.h"
#include "strain_end.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a server does with who connects. */
enum manner {
	ECHO,	/* as many bytes back as came, until the peer has ended */
	GONE,	/* closes at once */
	RESET,	/* the same with a reset */
	TALK,	/* speaks first and ends, then listens until the peer has ended */
	UNREAD, /* speaks and closes, whatever came */
	_MANNERS
};

struct worker {
	int listeners[_MANNERS];
	uint16_t ports[_MANNERS];
	uint16_t full;	 /* port whose queue is full: who connects stays in SYN_SENT */
	uint16_t closed; /* port where nobody listens */
	uint32_t dice;
	unsigned failed;
};

static uint32_t dice(struct worker *w, uint32_t sides)
{
	w->dice = w->dice * 1664525u + 1013904223u;
	return (w->dice >> 8) % sides;
}

/* ---- the server ---- */

static void serve(int fd, enum manner manner)
{
	struct timeval t = { 1, 0 };
	struct end e = { .fd = fd };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (manner == TALK || manner == UNREAD)
		put(&e, 218);
	if (manner == TALK)
		shutdown(fd, SHUT_WR);
	if (manner == TALK || manner == ECHO)
		for (uint64_t before = 0; take(&e, PIECE_MAX); before = e.got)
			if (manner == ECHO && !put(&e, e.got - before))
				break;
	drop(&e, manner == RESET);
}

static void *server(void *arg)
{
	struct worker *w = arg;
	struct pollfd fds[_MANNERS];

	for (int i = 0; i < _MANNERS; i++)
		fds[i] = (struct pollfd){ w->listeners[i], POLLIN, 0 };
	while (poll(fds, _MANNERS, -1) >= 0)
		for (int i = 0; i < _MANNERS; i++) {
			int fd = fds[i].revents ? accept(fds[i].fd, NULL, NULL) : -1;

			if (fd >= 0)
				serve(fd, (enum manner)i);
		}
	return NULL;
}

static int listener(uint16_t *port, int backlog)
{
	struct sockaddr_in a = address(0);
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fast = 16;

	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &fast, sizeof(fast));
	if (bind(fd, (struct sockaddr *)&a, n) || getsockname(fd, (struct sockaddr *)&a, &n) ||
	    (backlog >= 0 && listen(fd, backlog)))
		return -1;
	*port = ntohs(a.sin_port);
	return fd;
}

/* ---- the strains: each returns whether it got as far as it should ---- */

static bool talk(struct end *e)
{
	return put(e, 165) && take_all(e, 165) && put(e, 3000) && take_all(e, 3000);
}

static bool exchange(struct worker *w)
{
	struct end e = end_new(0);
	bool ok = !dial(&e, w->ports[ECHO]) && talk(&e);

	drop(&e, dice(w, 2));
	return ok;
}

static bool storm(struct worker *w)
{
	for (int i = 0; i < 8; i++) {
		struct end e = end_new(0);

		if (dial(&e, w->ports[dice(w, _MANNERS)]) && errno != ECONNRESET)
			w->failed++;
		if (dice(w, 2))
			put(&e, 1 + dice(w, 100));
		drop(&e, dice(w, 2));
	}
	return true;
}

/* Reads and writes are tried before there is a connection. */
static bool hasty(struct worker *w)
{
	struct end e = end_new(SOCK_NONBLOCK);
	struct pollfd p = { e.fd, POLLOUT, 0 };
	bool ok;

	put(&e, 10);
	take(&e, 10);
	dial(&e, w->ports[ECHO]);
	ok = put(&e, 165) || poll(&p, 1, 1000) == 1;
	while (e.got < e.sent && ok) {
		p.events = POLLIN;
		ok = poll(&p, 1, 1000) == 1 && take(&e, 100);
	}
	drop(&e, false);
	return ok;
}

/* The same socket, several connections; the old one is left in the middle. */
static bool again(struct worker *w)
{
	struct end e = end_new(0);
	bool ok = true;

	for (int i = 0; i < 4 && ok; i++) {
		bool echo = dice(w, 2);

		ok = !dial(&e, w->ports[echo ? ECHO : TALK]);
		ok = ok && put(&e, 300) && take_all(&e, 1 + dice(w, 200));
		if (echo && dice(w, 2))
			shutdown(e.fd, SHUT_WR);
		if (!echo && dice(w, 2))
			while (take(&e, PIECE_MAX))
				;
		ok = ok && !undial(&e);
	}
	ok = ok && !dial(&e, w->ports[ECHO]) && talk(&e);
	drop(&e, false);
	return ok;
}

/* Attempts that came to nothing on the socket that then connects. */
static bool in_vain(struct worker *w)
{
	struct end e = end_new(SOCK_NONBLOCK);
	bool ok = true;

	dial(&e, w->full);
	put(&e, 100);
	take(&e, 100);
	if (dice(w, 2))
		shutdown(e.fd, SHUT_RDWR);
	undial(&e);
	fcntl(e.fd, F_SETFL, 0);
	for (int i = 0; i < 3; i++)
		ok = ok && dial(&e, w->closed) && errno == ECONNREFUSED;
	ok = ok && !dial(&e, w->ports[ECHO]) && talk(&e);
	drop(&e, dice(w, 2));
	return ok;
}

static ssize_t put_first(struct end *e, uint16_t port, size_t n, int flags)
{
	struct sockaddr_in a = address(port);
	ssize_t r;

	e->sent = e->got = 0;
	r = sendto(e->fd, strain_bytes(), n, MSG_NOSIGNAL | MSG_FASTOPEN | flags,
		   (struct sockaddr *)&a, sizeof(a));
	if (r > 0)
		e->sent = (uint64_t)r;
	return r;
}

/* Data with the SYN. */
static bool fast(struct worker *w)
{
	struct end e = end_new(0), once = end_new(0);
	bool ok = put_first(&e, w->ports[ECHO], 200, 0) == 200 && take_all(&e, 200) && talk(&e);

	drop(&e, false);
	put_first(&once, w->ports[dice(w, _MANNERS)], 100, 0);
	if (dice(w, 2))
		take(&once, 100);
	drop(&once, dice(w, 2));
	return ok;
}

/* Data with a SYN that nobody answers, then a connection of the same socket. */
static bool fast_in_vain(struct worker *w)
{
	struct end e = end_new(0);
	bool ok;

	put_first(&e, w->full, 300, MSG_DONTWAIT);
	undial(&e);
	put_first(&e, w->closed, 300, 0);
	undial(&e);
	ok = put_first(&e, w->ports[ECHO], 200, 0) == 200 && take_all(&e, 200) && talk(&e);
	drop(&e, dice(w, 2));
	return ok;
}

/* The SYN waits for the first write. */
static bool fast_late(struct worker *w)
{
	struct end e = end_new(0);
	int one = 1;
	bool ok;

	setsockopt(e.fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
	ok = !dial(&e, w->ports[ECHO]) && talk(&e);
	drop(&e, false);
	return ok;
}

/* Both ends open: the socket connects to itself. */
static bool itself(struct worker *w)
{
	struct sockaddr_in a = address(0);
	socklen_t n = sizeof(a);
	struct end e = end_new(0);
	bool ok;

	ok = !bind(e.fd, (struct sockaddr *)&a, n) &&
	     !getsockname(e.fd, (struct sockaddr *)&a, &n) && !dial(&e, ntohs(a.sin_port));
	for (int i = 0; i < 2 && ok; i++) {
		ok = put(&e, 300) && take_all(&e, 300);
		if (ok && i == 0)
			ok = !undial(&e) && !dial(&e, w->ports[ECHO]) && talk(&e) && !undial(&e) &&
			     !bind(e.fd, (struct sockaddr *)&a, n) && !dial(&e, ntohs(a.sin_port));
	}
	drop(&e, false);
	return ok;
}

/* One half ends first, at either side. */
static bool halves(struct worker *w)
{
	struct end e = end_new(0), t = end_new(0);
	bool ok = !dial(&e, w->ports[ECHO]) && put(&e, 700) && !shutdown(e.fd, SHUT_WR) &&
		  take_all(&e, 700) && !take(&e, 1);

	ok = ok && !dial(&t, w->ports[TALK]) && take_all(&t, 218) && !take(&t, 1) && put(&t, 900);
	drop(&e, false);
	drop(&t, false);
	return ok;
}

/* The same four numbers again and again, ended by resets. */
static bool same_port(struct worker *w)
{
	struct sockaddr_in a = address(0);
	socklen_t n = sizeof(a);
	int one = 1;
	bool ok = true;

	for (int i = 0; i < 4 && ok; i++) {
		struct end e = end_new(0);

		setsockopt(e.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		ok = !bind(e.fd, (struct sockaddr *)&a, n) &&
		     !getsockname(e.fd, (struct sockaddr *)&a, &n) && !dial(&e, w->ports[ECHO]) &&
		     talk(&e);
		drop(&e, true);
	}
	return ok;
}

/* A socket that was connected becomes a listener: its children are made from it. */
static bool becomes_listener(struct worker *w)
{
	struct sockaddr_in a = address(0);
	socklen_t n = sizeof(a);
	struct end l = end_new(0), c = end_new(0), s = { .fd = -1 };
	bool ok = !dial(&l, w->ports[ECHO]) && talk(&l) && !undial(&l) &&
		  !bind(l.fd, (struct sockaddr *)&a, n) && !listen(l.fd, 4) &&
		  !getsockname(l.fd, (struct sockaddr *)&a, &n) && !dial(&c, ntohs(a.sin_port));

	if (ok)
		s.fd = accept(l.fd, NULL, NULL);
	ok = ok && put(&c, 500) && take_all(&s, 500) && put(&s, 40) && take_all(&c, 40);
	drop(&s, false);
	drop(&c, false);
	drop(&l, false);
	return ok;
}

/* A connection that is restored, as after a checkpoint: it begins where it is told to. */
static bool repaired_end(struct end *e, uint32_t sent, uint32_t got, uint16_t port, uint16_t peer)
{
	struct sockaddr_in a = address(port), b = address(peer);
	struct tcp_repair_window window = { .snd_wl1 = got,
					    .snd_wnd = 65535,
					    .max_window = 65535,
					    .rcv_wnd = 65535,
					    .rcv_wup = got };
	int on = 1, queue = TCP_SEND_QUEUE, one = 1;

	setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) ||
	    setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) ||
	    setsockopt(e->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sent, sizeof(sent)))
		return false;
	queue = TCP_RECV_QUEUE;
	if (setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) ||
	    setsockopt(e->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &got, sizeof(got)))
		return false;
	return !bind(e->fd, (struct sockaddr *)&a, sizeof(a)) &&
	       !connect(e->fd, (struct sockaddr *)&b, sizeof(b)) &&
	       !setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window));
}

static bool repaired(struct worker *w)
{
	struct end a = end_new(0), b = end_new(0);
	uint32_t x = dice(w, 1u << 24) << 8, y = dice(w, 1u << 24) << 8;
	uint16_t port = (uint16_t)(20000 + dice(w, 10000));
	int off = TCP_REPAIR_OFF_NO_WP;
	bool ok = repaired_end(&a, x, y, port, (uint16_t)(port + 1)) &&
		  repaired_end(&b, y, x, (uint16_t)(port + 1), port) &&
		  !setsockopt(a.fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) &&
		  !setsockopt(b.fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));

	ok = ok && put(&a, 300) && take_all(&b, 300) && put(&b, 60) && take_all(&a, 60);
	drop(&a, true);
	drop(&b, true);
	return ok;
}

#define STRAIN(fn)                                                                                 \
	{                                                                                          \
#fn, fn                                                                            \
	}
static const struct {
	const char *name;
	bool (*run)(struct worker *w);
} strains[] = {
	STRAIN(exchange), STRAIN(storm),  STRAIN(hasty),	STRAIN(again),
	STRAIN(in_vain),  STRAIN(fast),	  STRAIN(fast_in_vain), STRAIN(fast_late),
	STRAIN(itself),	  STRAIN(halves), STRAIN(same_port),	STRAIN(becomes_listener),
	STRAIN(repaired),
};

/* ---- the processes ---- */

static bool worker_start(struct worker *w)
{
	struct end e = end_new(0);
	pthread_t thread;
	int fd;

	for (int i = 0; i < _MANNERS; i++) {
		w->listeners[i] = listener(&w->ports[i], 64);
		if (w->listeners[i] < 0)
			return false;
	}
	fd = listener(&w->closed, -1);
	if (fd < 0 || listener(&w->full, 0) < 0 || dial(&e, w->full))
		return false;
	return pthread_create(&thread, NULL, server, w) == 0;
}

static int worker(const struct strains *s, unsigned number)
{
	struct worker w = { .dice = number * 7919 + 1 };

	if (!worker_start(&w))
		return 2;
	for (unsigned round = 0; round < s->rounds; round++)
		for (size_t i = 0; i < ARRAY_SIZE(strains); i++) {
			size_t at = s->only ? i : dice(&w, ARRAY_SIZE(strains));

			if ((s->only && strcmp(s->only, strains[at].name)) || strains[at].run(&w))
				continue;
			fprintf(stderr, "# %s: %s\n", strains[at].name, strerror(errno));
			w.failed++;
		}
	return w.failed ? 1 : 0;
}

static bool write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return ok;
}

/* Loopback up; data with the SYN without cookies, for clients and servers. */
static bool own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;
	bool ok;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ok = !ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return ok && write_to("/proc/sys/net/ipv4/tcp_fastopen", "519");
}

int strains_run(void *arg)
{
	struct strains *s = arg;
	int bad = 0, status;
	struct stat st;

	if (!own_network() || stat("/proc/self/ns/net", &st))
		return 77;
	__atomic_store_n(&s->netns, (uint32_t)st.st_ino, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < s->workers; i++)
		if (fork() == 0)
			_exit(worker(s, i));
	while (wait(&status) > 0)
		bad |= !WIFEXITED(status) || WEXITSTATUS(status);
	return bad;
}

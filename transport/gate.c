#include "transport/gate_int.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define EVENTS_A_TURN  64
#define ACCEPTS_A_TURN 16
#define TICK_MS	       1000
#define PAUSE_NS       (100 * NSEC_PER_MSEC) /* without accepting, when there is no descriptor */
#define SPARE_FDS      32

/* IPv6: a host has a whole /64. */
static struct address *address_of(struct gate *g, const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;
	struct slice key = slice_of(&in->sin_addr, sizeof(in->sin_addr));

	if (sa->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		key = slice_of(in6->sin6_addr.s6_addr + 12, 4);
	else if (sa->ss_family == AF_INET6)
		key = slice_of(&in6->sin6_addr, 8);
	return &g->addresses[hash_bytes(&g->key, key) % GATE_ADDRESSES];
}

/* ---- the listener ---- */

static void listen_pause(struct gate *g, bool pause)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &g->listen };

	if (pause == !g->listening)
		return;
	if (epoll_ctl(g->epoll_fd, pause ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, g->cfg.listen_fd, &ev) ==
	    0)
		g->listening = !pause;
	g->paused_until_ns = g->now_ns + PAUSE_NS;
}

static bool evict_oldest(struct gate *g)
{
	if (!g->guests.first)
		return false;
	gate_count(&g->cfg.counts->evicted);
	visitor_end(g->guests.first);
	return true;
}

/* Takes fd over. */
static void welcome(struct gate *g, int fd, struct address *from)
{
	int one = 1;

	if (g->guests.n >= g->guests_max || g->guests.n + g->admitted.n >= g->conns_max)
		evict_oldest(g);
	if (g->guests.n + g->admitted.n >= g->conns_max) {
		gate_count(&g->cfg.counts->refused);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!visitor_new(g, fd, from))
		gate_count(&g->cfg.counts->refused);
}

static bool too_many_of(struct gate *g, struct address *from)
{
	if (from->connections.at_ns == 0)
		from->connections = bucket_full(g->now_ns, GATE_BY_BURST);
	return !bucket_take(&from->connections, g->now_ns, GATE_BY_BURST, GATE_BY_RATE) ||
	       from->guests >= GATE_GUESTS_BY;
}

static void accept_some(struct gate *g)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t n = sizeof(sa);
		int fd = accept4(g->cfg.listen_fd, (struct sockaddr *)&sa, &n,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct address *from;

		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			if (!evict_oldest(g))
				listen_pause(g, true);
			return;
		}
		if (fd < 0)
			return;
		gate_count(&g->cfg.counts->accepted);
		from = address_of(g, &sa);
		if (too_many_of(g, from)) {
			gate_count(&g->cfg.counts->refused);
			close(fd);
			continue;
		}
		welcome(g, fd, from);
	}
}

static void listen_ready(struct watch *w, uint32_t events)
{
	struct gate *g = container_of(w, struct gate, listen);

	(void)events;
	g->may_accept = true;
}

static void life_ready(struct watch *w, uint32_t events)
{
	(void)events;
	container_of(w, struct gate, life)->over = true;
}

/* ---- turns ---- */

static void end_old_guests(struct gate *g)
{
	while (g->guests.first && g->now_ns - g->guests.first->guest_since_ns > GATE_GUEST_NS) {
		gate_count(&g->cfg.counts->timed_out);
		visitor_end(g->guests.first);
	}
}

int gate_turn(struct gate *g, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = epoll_wait(g->epoll_fd, events, EVENTS_A_TURN, MIN(timeout_ms, TICK_MS));

	if (n < 0 && errno != EINTR)
		return -errno;
	g->now_ns = clock_mono_ns();
	if (!g->listening && g->now_ns >= g->paused_until_ns)
		listen_pause(g, false);
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		w->ready(w, events[i].events);
	}
	/* Who is here comes first. */
	if (g->may_accept)
		accept_some(g);
	g->may_accept = false;
	end_old_guests(g);
	visitors_bury(g);
	return g->over ? -ESHUTDOWN : 0;
}

int gate_new(const struct gate_config *cfg, struct gate **ret)
{
	_cleanup_(gate_freep) struct gate *g = calloc(1, sizeof(*g));
	struct epoll_event ev = { .events = EPOLLIN };
	int err;

	if (!g)
		return -ENOMEM;
	g->cfg = *cfg;
	g->epoll_fd = -1;
	g->listen.ready = listen_ready;
	hash_key_random(&g->key);
	g->now_ns = clock_mono_ns();
	/* An admitted connection has a second descriptor. */
	g->conns_max = MIN((size_t)GATE_CONNS_MAX,
			   cfg->descriptors > SPARE_FDS ? (cfg->descriptors - SPARE_FDS) / 2 : 0);
	g->guests_max = MIN((size_t)GATE_GUESTS_MAX, MAX(g->conns_max / 4, (size_t)1));
	g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (g->epoll_fd < 0)
		return -errno;
	err = gate_make_callbacks(g);
	if (err < 0)
		return err;
	g->life.ready = life_ready;
	ev.data.ptr = &g->life;
	if (cfg->life_fd >= 0 && epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, cfg->life_fd, &ev) < 0)
		return -errno;
	listen_pause(g, false);
	if (!g->listening)
		return -EINVAL;
	*ret = TAKE_PTR(g);
	return 0;
}

static void say_goodbye(struct list *l)
{
	while (l->first) {
		struct visitor *v = l->first;

		if (v->h2.handshaken) {
			nghttp2_session_terminate_session(v->h2.session, NGHTTP2_NO_ERROR);
			(void)h2_conn_turn(&v->h2);
		}
		visitor_end(v);
	}
}

void gate_free(struct gate *g)
{
	say_goodbye(&g->admitted);
	say_goodbye(&g->guests);
	visitors_bury(g);
	nghttp2_session_callbacks_del(g->callbacks);
	nghttp2_option_del(g->option);
	closep(&g->epoll_fd);
	free(g);
}

#include "transport/gate.h"

#include "base/hash.h"
#include "transport/bridge.h"
#include "transport/grpc.h"
#include "transport/h2header.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define EVENTS_A_TURN  64
#define ACCEPTS_A_TURN 16
#define ADDRESSES      1024 /* slots; addresses that share one share its limits */
#define TICK_MS	       1000
#define PAUSE_NS       (100 * NSEC_PER_MSEC) /* without accepting, when there is no descriptor */
#define SPARE_FDS      32
#define METHOD_MAX     8

/* So much at once, so much a second. */
struct bucket {
	uint64_t at_ns;
	uint64_t left; /* in thousandths */
};

struct address {
	struct bucket connections;
	uint32_t guests;
};

struct call {
	struct visitor *visitor;
	struct bridge bridge;
	int32_t id; /* 0: not in use */
	bool bridged, answered;
	bool post, uplink, grpc; /* what its headers said */
	char *token;		 /* heap, while headers come */
	size_t n_token;
};

/* A connection. */
struct visitor {
	struct h2_conn h2;
	struct gate *gate;
	struct visitor *prev, *next; /* guests: by age; admitted: in no order */
	struct address *address;
	uint64_t guest_since_ns;
	struct bucket frames;
	bool guest, was_admitted;
	struct call calls[GATE_STREAMS_MAX];
	unsigned int n_bridged;
};

struct list {
	struct visitor *first, *last;
	size_t n;
};

struct gate {
	struct gate_config cfg;
	struct watch listen, life;
	struct hash_key key;
	int epoll_fd;
	uint64_t now_ns, paused_until_ns;
	bool listening, may_accept, over;
	size_t conns_max, guests_max;
	struct list guests, admitted;
	struct visitor *gone; /* freed at the end of the turn */
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	struct address addresses[ADDRESSES];
};

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void count(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* ---- limits ---- */

static bool bucket_take(struct bucket *b, uint64_t now_ns, uint64_t burst, uint64_t rate)
{
	/* Longer than it takes to fill is as long as that. */
	uint64_t passed = MIN(now_ns - b->at_ns, burst * NSEC_PER_SEC / rate);

	b->left = MIN(b->left + passed * rate / NSEC_PER_MSEC, burst * 1000);
	b->at_ns = now_ns;
	if (b->left < 1000)
		return false;
	b->left -= 1000;
	return true;
}

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
	return &g->addresses[hash_bytes(&g->key, key) % ADDRESSES];
}

/* ---- who is here ---- */

static void list_add(struct list *l, struct visitor *v)
{
	v->prev = l->last;
	v->next = NULL;
	if (l->last)
		l->last->next = v;
	else
		l->first = v;
	l->last = v;
	l->n++;
}

static void list_remove(struct list *l, struct visitor *v)
{
	if (v->prev)
		v->prev->next = v->next;
	else
		l->first = v->next;
	if (v->next)
		v->next->prev = v->prev;
	else
		l->last = v->prev;
	l->n--;
}

static void become_guest(struct visitor *v)
{
	v->guest = true;
	v->guest_since_ns = v->gate->now_ns;
	v->address->guests++;
	list_add(&v->gate->guests, v);
}

static void leave_guests(struct visitor *v)
{
	list_remove(&v->gate->guests, v);
	v->address->guests--;
	v->guest = false;
}

static void become_admitted(struct visitor *v)
{
	v->was_admitted = true;
	if (!v->guest)
		return;
	leave_guests(v);
	list_add(&v->gate->admitted, v);
}

/* A connection without calls is a guest again. */
static void lose_call(struct visitor *v)
{
	if (--v->n_bridged > 0 || v->h2.over)
		return;
	list_remove(&v->gate->admitted, v);
	become_guest(v);
}

static void call_end(struct call *c)
{
	if (c->bridged) {
		bridge_close(&c->bridge);
		c->bridged = false;
		lose_call(c->visitor);
	}
	free(c->token);
	*c = (struct call){ .visitor = c->visitor,
			    .bridge = { .watch = c->bridge.watch, .fd = -1 } };
}

static void visitor_end(struct visitor *v)
{
	struct gate_counts *n = v->gate->cfg.counts;

	if (v->h2.over)
		return;
	v->h2.over = true;
	if (v->guest)
		leave_guests(v);
	else
		list_remove(&v->gate->admitted, v);
	for (size_t i = 0; i < GATE_STREAMS_MAX; i++)
		if (v->calls[i].id)
			call_end(&v->calls[i]);
	h2_conn_close(&v->h2);
	count(v->was_admitted ? &n->admitted_ended : &n->guest_ended);
	atomic_store(&n->open, v->gate->guests.n + v->gate->admitted.n);
	v->next = v->gate->gone;
	v->gate->gone = v;
}

static void visitor_turn(struct visitor *v)
{
	struct gate_counts *n = v->gate->cfg.counts;
	int err = h2_conn_turn(&v->h2);

	if (err == 0 && v->guest && v->h2.bytes_in > GATE_GUEST_BYTES && !v->was_admitted)
		err = -EPROTO;
	if (err == 0)
		return;
	if (err == -EPROTO)
		count(&n->broken);
	else if (!v->h2.handshaken)
		count(&n->bad_handshake);
	visitor_end(v);
}

static void visitor_ready(struct watch *w, uint32_t events)
{
	struct visitor *v = container_of(w, struct visitor, h2.watch);

	(void)events;
	if (!v->h2.over)
		visitor_turn(v);
}

/* ---- calls ---- */

static struct call *call_of(nghttp2_session *s, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(s, stream_id);
}

static int call_error(struct call *c, uint32_t code)
{
	return nghttp2_submit_rst_stream(c->visitor->h2.session, NGHTTP2_FLAG_NONE, c->id, code);
}

static void local_ready(struct watch *w, uint32_t events)
{
	struct call *c = container_of(w, struct call, bridge.watch);

	(void)events;
	if (!c->bridged || c->visitor->h2.over)
		return;
	if (bridge_local_ready(&c->bridge) < 0)
		call_error(c, NGHTTP2_CANCEL);
	visitor_turn(c->visitor);
}

static ssize_t read_local(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
			  nghttp2_data_source *source, void *ctx)
{
	const nghttp2_nv trailers[] = { h2_header("grpc-status", slice_str(GRPC_OK)) };
	ssize_t got = bridge_read(source->ptr, buf, n);

	(void)ctx;
	if (got == -EAGAIN)
		return NGHTTP2_ERR_DEFERRED;
	if (got < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (got == 0) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(s, id, trailers, ARRAY_SIZE(trailers));
	}
	return got;
}

/* An answer of headers alone. */
static int refuse(struct call *c, const char *status, const char *message)
{
	const nghttp2_nv headers[] = {
		h2_header(":status", slice_str("200")),
		h2_header("content-type", slice_str("application/grpc")),
		h2_header("grpc-status", slice_str(status)),
		h2_header("grpc-message", slice_str(message)),
	};

	count(&c->visitor->gate->cfg.counts->calls_refused);
	c->answered = true;
	return nghttp2_submit_response(c->visitor->h2.session, c->id, headers, ARRAY_SIZE(headers),
				       NULL);
}

static int admit(struct call *c)
{
	struct visitor *v = c->visitor;
	const nghttp2_nv headers[] = {
		h2_header(":status", slice_str("200")),
		h2_header("content-type", slice_str("application/grpc")),
	};
	const nghttp2_data_provider body = { .source = { .ptr = &c->bridge },
					     .read_callback = read_local };
	int fd = v->gate->cfg.ops->admit(v->gate->cfg.ctx, slice_of(c->token, c->n_token));

	if (fd == -EACCES)
		return refuse(c, GRPC_UNAUTHENTICATED, "this token is not accepted");
	if (fd < 0 || bridge_open(&c->bridge, &v->h2, c->id, fd, local_ready) < 0)
		return refuse(c, GRPC_UNAVAILABLE, "not now");
	c->bridged = c->answered = true;
	v->n_bridged++;
	become_admitted(v);
	count(&v->gate->cfg.counts->calls_admitted);
	return nghttp2_submit_response(v->h2.session, c->id, headers, ARRAY_SIZE(headers), &body);
}

static int headers_over(struct call *c)
{
	count(&c->visitor->gate->cfg.counts->calls);
	if (!c->post || !c->grpc)
		return refuse(c, GRPC_UNKNOWN, "this is no gRPC call");
	if (!c->uplink)
		return refuse(c, GRPC_UNIMPLEMENTED, "there is no such method");
	if (!c->token)
		return refuse(c, GRPC_UNAUTHENTICATED, "authorization: Bearer TOKEN is missing");
	return admit(c);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *ctx)
{
	struct visitor *v = ctx;

	(void)s;
	if (hd->type == NGHTTP2_DATA)
		return 0;
	return bucket_take(&v->frames, v->gate->now_ns, GATE_FRAMES_BURST, GATE_FRAMES_RATE)
		       ? 0
		       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	struct visitor *v = ctx;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	for (size_t i = 0; i < GATE_STREAMS_MAX; i++) {
		struct call *c = &v->calls[i];

		if (c->id)
			continue;
		c->id = frame->hd.stream_id;
		nghttp2_session_set_stream_user_data(s, c->id, c);
		return 0;
	}
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
		     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *ctx)
{
	struct call *c = call_of(s, frame->hd.stream_id);
	struct slice key = slice_of(name, n_name), v = slice_of(value, n_value);
	static const char bearer[] = "Bearer ";

	(void)flags;
	(void)ctx;
	if (!c || c->answered)
		return 0;
	if (slice_eq_str(key, ":method"))
		c->post = slice_eq_str(v, "POST");
	else if (slice_eq_str(key, ":path"))
		c->uplink = slice_eq_str(v, GRPC_UPLINK_PATH);
	else if (slice_eq_str(key, "content-type"))
		c->grpc = slice_eq_str(slice_head(v, 16), "application/grpc");
	if (!slice_eq_str(key, "authorization") || c->token || v.n < 7 ||
	    !slice_eq_str(slice_head(v, 7), bearer) || v.n - 7 > GRPC_TOKEN_MAX)
		return 0;
	v = slice_from(v, 7);
	c->token = malloc(v.n + 1);
	if (!c->token)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	memcpy(c->token, v.p, v.n);
	c->n_token = v.n;
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	struct call *c = call_of(s, frame->hd.stream_id);
	int err = 0;

	(void)ctx;
	if (!c)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && !c->answered)
		err = headers_over(c);
	if (c->bridged && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		bridge_peer_over(&c->bridge);
	return err ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
		   void *ctx)
{
	struct call *c = call_of(s, id);

	(void)flags;
	(void)ctx;
	if (!c || !c->bridged) { /* nobody's: its room is given back */
		nghttp2_session_consume(s, id, n);
		return 0;
	}
	if (bridge_take(&c->bridge, slice_of(data, n)) < 0)
		call_error(c, NGHTTP2_CANCEL);
	return 0;
}

/* Our last word on a call whose peer goes on: nothing more of it is wanted (RFC 9113, section 8.1). */
static int on_sent(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	int32_t id = frame->hd.stream_id;

	(void)ctx;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    nghttp2_session_get_stream_remote_close(s, id) == 0)
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
	struct call *c = call_of(s, id);

	(void)code;
	(void)ctx;
	if (c)
		call_end(c);
	return 0;
}

static int make_callbacks(struct gate *g)
{
	if (nghttp2_session_callbacks_new(&g->callbacks) != 0 ||
	    nghttp2_option_new(&g->option) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_begin_frame_callback(g->callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(g->callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(g->callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(g->callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(g->callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(g->callbacks, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(g->callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(g->option, 1);
	nghttp2_option_set_no_closed_streams(g->option, 1);
	nghttp2_option_set_max_outbound_ack(g->option, 100);
	nghttp2_option_set_stream_reset_rate_limit(g->option, 50, 5);
	return 0;
}

static int start_session(struct visitor *v)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GATE_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GATE_HEADERS_BYTES },
	};

	if (nghttp2_session_server_new2(&v->h2.session, v->gate->callbacks, v, v->gate->option) !=
	    0)
		return -ENOMEM;
	if (nghttp2_submit_settings(v->h2.session, NGHTTP2_FLAG_NONE, settings,
				    ARRAY_SIZE(settings)) != 0 ||
	    nghttp2_session_set_local_window_size(v->h2.session, NGHTTP2_FLAG_NONE, 0,
						  H2_CONN_WINDOW) != 0)
		return -ENOMEM;
	return 0;
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
	count(&g->cfg.counts->evicted);
	visitor_end(g->guests.first);
	return true;
}

/* Takes fd over. */
static void welcome(struct gate *g, int fd, struct address *from)
{
	struct visitor *v;
	int one = 1;

	if (g->guests.n >= g->guests_max ||
	    (g->guests.n + g->admitted.n >= g->conns_max && g->guests.n > 0))
		evict_oldest(g);
	v = g->guests.n + g->admitted.n < g->conns_max ? calloc(1, sizeof(*v)) : NULL;
	if (!v) {
		count(&g->cfg.counts->refused);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	v->gate = g;
	v->address = from;
	v->frames = (struct bucket){ g->now_ns, GATE_FRAMES_BURST * 1000 };
	for (size_t i = 0; i < GATE_STREAMS_MAX; i++)
		v->calls[i] = (struct call){ .visitor = v,
					     .bridge = { .watch = { local_ready }, .fd = -1 } };
	if (h2_conn_open(&v->h2, g->epoll_fd, fd, g->cfg.tls, NULL, visitor_ready) < 0 ||
	    start_session(v) < 0) {
		count(&g->cfg.counts->refused);
		h2_conn_close(&v->h2);
		free(v);
		return;
	}
	become_guest(v);
	atomic_store(&g->cfg.counts->open, g->guests.n + g->admitted.n);
}

static bool too_many_of(struct gate *g, struct address *from)
{
	if (from->connections.at_ns == 0)
		from->connections = (struct bucket){ g->now_ns, GATE_BY_BURST * 1000 };
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
		count(&g->cfg.counts->accepted);
		from = address_of(g, &sa);
		if (too_many_of(g, from)) {
			count(&g->cfg.counts->refused);
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
		count(&g->cfg.counts->timed_out);
		visitor_end(g->guests.first);
	}
}

static void bury(struct gate *g)
{
	while (g->gone) {
		struct visitor *v = g->gone;

		g->gone = v->next;
		free(v);
	}
}

int gate_turn(struct gate *g, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = epoll_wait(g->epoll_fd, events, EVENTS_A_TURN, MIN(timeout_ms, TICK_MS));

	if (n < 0 && errno != EINTR)
		return -errno;
	g->now_ns = mono_ns();
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
	bury(g);
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
	g->now_ns = mono_ns();
	/* An admitted connection has a second descriptor. */
	g->conns_max = MIN((size_t)GATE_CONNS_MAX,
			   cfg->descriptors > SPARE_FDS ? (cfg->descriptors - SPARE_FDS) / 2 : 0);
	g->guests_max = MIN((size_t)GATE_GUESTS_MAX, MAX(g->conns_max / 4, (size_t)1));
	g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (g->epoll_fd < 0)
		return -errno;
	err = make_callbacks(g);
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
	bury(g);
	nghttp2_session_callbacks_del(g->callbacks);
	nghttp2_option_del(g->option);
	closep(&g->epoll_fd);
	free(g);
}

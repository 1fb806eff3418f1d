#include "transport/dial.h"

#include "base/clock.h"
#include "transport/bridge.h"
#include "transport/grpc.h"
#include "transport/h2header.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define EVENTS_A_TURN 16
#define TICK_MS	      500
#define AUTHORITY_MAX 300
#define ADDRESSES_MAX 16 /* of one name that are tried in turn */

struct link {
	struct h2_conn h2;
	struct bridge bridge;
	struct dialer *dialer;
	bool used, up, bridged;
	uint64_t since_ns, heard_ns, asked_ns, heard_bytes;
	char authority[AUTHORITY_MAX];
	char token[sizeof("Bearer ") + GRPC_TOKEN_MAX];
	char why[GRPC_MESSAGE_MAX + 64]; /* what the collector said */
	char status[8];			 /* grpc-status */
};

struct dialer {
	struct dial_config cfg;
	struct watch listen;
	int epoll_fd;
	uint64_t now_ns;
	unsigned int tries; /* which of the host's addresses is next */
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	struct link links[DIAL_LINKS_MAX];
};

static void link_end(struct link *l, const char *why)
{
	if (!l->used)
		return;
	l->dialer->cfg.ops->state(l->dialer->cfg.ctx, false, l->why[0] ? l->why : why);
	bridge_close(&l->bridge);
	h2_conn_close(&l->h2);
	l->used = l->bridged = l->up = false;
}

static const char *trouble_of(struct link *l, int err)
{
	if (err == -EKEYREJECTED)
		return h2_conn_trouble(&l->h2);
	if (err == -EPROTONOSUPPORT)
		return "it does not speak HTTP/2";
	if (err == -ESHUTDOWN)
		return "it ended the connection";
	return strerror(-err);
}

static void link_turn(struct link *l)
{
	int err = h2_conn_turn(&l->h2);

	if (l->h2.bytes_in != l->heard_bytes) {
		l->heard_bytes = l->h2.bytes_in;
		l->heard_ns = l->dialer->now_ns;
	}
	if (err < 0)
		link_end(l, trouble_of(l, err));
	else if (!l->bridged && l->h2.handshaken)
		link_end(l, "the call ended");
}

static void h2_ready(struct watch *w, uint32_t events)
{
	struct link *l = container_of(w, struct link, h2.watch);

	(void)events;
	if (l->used)
		link_turn(l);
}

static void local_ready(struct watch *w, uint32_t events)
{
	struct link *l = container_of(w, struct link, bridge.watch);

	(void)events;
	if (!l->used || !l->bridged)
		return;
	if (bridge_local_ready(&l->bridge) < 0)
		link_end(l, "the agent ended the stream");
	else if (l->h2.handshaken)
		link_turn(l);
}

/* ---- nghttp2's callbacks ---- */

static ssize_t read_local(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
			  nghttp2_data_source *source, void *ctx)
{
	ssize_t got = bridge_read(source->ptr, buf, n);

	(void)s;
	(void)id;
	(void)ctx;
	if (got == -EAGAIN)
		return NGHTTP2_ERR_DEFERRED;
	if (got < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (got == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return got;
}

/* What the peer says is shown to people: printable, and no longer than it may be. */
static void note(char *to, size_t cap, const char *prefix, struct slice s)
{
	int n = snprintf(to, cap, "%s", prefix);

	for (size_t i = 0; i < s.n && (size_t)n + 1 < cap; i++)
		to[n++] = s.p[i] >= ' ' && s.p[i] <= '~' ? (char)s.p[i] : '?';
	to[n] = 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
		     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *ctx)
{
	struct link *l = ctx;
	struct slice key = slice_of(name, n_name), v = slice_of(value, n_value);

	(void)s;
	(void)frame;
	(void)flags;
	if (slice_eq_str(key, ":status") && !slice_eq_str(v, "200"))
		note(l->why, sizeof(l->why), "HTTP status ", v);
	else if (slice_eq_str(key, "grpc-status"))
		note(l->status, sizeof(l->status), "", v);
	else if (slice_eq_str(key, "grpc-message"))
		note(l->why, sizeof(l->why), "the collector says: ", v);
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
	struct link *l = ctx;

	(void)s;
	if (frame->hd.type != NGHTTP2_HEADERS || l->up)
		return 0;
	if (!l->why[0] && !l->status[0]) {
		l->up = true;
		l->dialer->cfg.ops->state(l->dialer->cfg.ctx, true, "");
	}
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
		   void *ctx)
{
	struct link *l = ctx;

	(void)flags;
	if (!l->bridged)
		return nghttp2_session_consume(s, id, n);
	if (bridge_take(&l->bridge, slice_of(data, n)) < 0)
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
	struct link *l = ctx;

	(void)s;
	(void)id;
	(void)code;
	l->bridged = false;
	return 0;
}

static int make_callbacks(struct dialer *d)
{
	if (nghttp2_session_callbacks_new(&d->callbacks) != 0 ||
	    nghttp2_option_new(&d->option) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(d->callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(d->callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(d->callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(d->callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(d->option, 1);
	nghttp2_option_set_max_outbound_ack(d->option, 100);
	return 0;
}

/* ---- a call ---- */

static int start_session(struct link *l)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
	};
	struct dialer *d = l->dialer;

	if (nghttp2_session_client_new2(&l->h2.session, d->callbacks, l, d->option) != 0)
		return -ENOMEM;
	if (nghttp2_submit_settings(l->h2.session, NGHTTP2_FLAG_NONE, settings,
				    ARRAY_SIZE(settings)) != 0 ||
	    nghttp2_session_set_local_window_size(l->h2.session, NGHTTP2_FLAG_NONE, 0,
						  H2_CONN_WINDOW) != 0)
		return -ENOMEM;
	return 0;
}

static int start_call(struct link *l)
{
	const nghttp2_nv headers[] = {
		h2_header(":method", slice_str("POST")),
		h2_header(":scheme", slice_str("https")),
		h2_header(":path", slice_str(GRPC_UPLINK_PATH)),
		h2_header(":authority", slice_str(l->authority)),
		h2_header("te", slice_str("trailers")),
		h2_header("content-type", slice_str("application/grpc")),
		h2_header("user-agent", slice_str("kelpie-agent/" KELPIE_VERSION)),
		h2_header("authorization", slice_str(l->token)),
	};
	const nghttp2_data_provider body = { .source = { .ptr = &l->bridge },
					     .read_callback = read_local };

	l->bridge.stream_id = nghttp2_submit_request(l->h2.session, NULL, headers,
						     ARRAY_SIZE(headers), &body, l);
	return l->bridge.stream_id < 0 ? -ENOMEM : 0;
}

/* A socket that connects to the next of the host's addresses; negative errno. */
static int dial(struct dialer *d, const char **ret_why)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;
	const struct addrinfo *at;
	unsigned int n = 0, pick;
	int err = getaddrinfo(d->cfg.host, d->cfg.port, &hints, &list), fd, one = 1;

	if (err != 0) {
		*ret_why = gai_strerror(err);
		return -EHOSTUNREACH;
	}
	for (at = list; at && n < ADDRESSES_MAX; at = at->ai_next)
		n++;
	pick = d->tries++ % n;
	for (at = list; pick > 0; at = at->ai_next)
		pick--;
	fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	err = fd < 0 ? -errno : 0;
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) < 0 && errno != EINPROGRESS) {
		err = -errno;
		close(fd);
	}
	freeaddrinfo(list);
	return err < 0 ? err : fd;
}

static int read_token(struct link *l, const char **ret_why)
{
	int n = snprintf(l->token, sizeof(l->token), "Bearer ");
	ssize_t got = l->dialer->cfg.ops->token(l->dialer->cfg.ctx, l->token + n, GRPC_TOKEN_MAX);

	if (got < 0) {
		*ret_why = "its token cannot be read";
		return (int)got;
	}
	l->token[n + got] = 0;
	return 0;
}

/* Takes local over. */
static void link_start(struct link *l, struct dialer *d, int local)
{
	const char *why = NULL;
	int fd = -1, err;

	*l = (struct link){ .dialer = d,
			    .used = true,
			    .since_ns = d->now_ns,
			    .heard_ns = d->now_ns,
			    .h2 = { .fd = -1 },
			    .bridge = { .fd = local } };
	snprintf(l->authority, sizeof(l->authority), "%s:%s", d->cfg.name, d->cfg.port);
	err = read_token(l, &why);
	if (err == 0)
		err = fd = dial(d, &why);
	if (err >= 0)
		err = h2_conn_open(&l->h2, d->epoll_fd, fd, d->cfg.tls, d->cfg.name, h2_ready);
	if (err >= 0)
		err = start_session(l);
	if (err >= 0)
		err = bridge_open(&l->bridge, &l->h2, 0, local, local_ready);
	if (err >= 0)
		err = start_call(l);
	l->bridged = err >= 0;
	if (err < 0)
		link_end(l, why ? why : strerror(-err));
}

static void listen_ready(struct watch *w, uint32_t events)
{
	struct dialer *d = container_of(w, struct dialer, listen);
	int local = accept4(d->cfg.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (local < 0)
		return;
	for (size_t i = 0; i < DIAL_LINKS_MAX; i++) {
		if (d->links[i].used)
			continue;
		link_start(&d->links[i], d, local);
		return;
	}
	close(local);
}

/* ---- turns ---- */

static void link_tick(struct link *l, uint64_t now_ns)
{
	if (!l->up && now_ns - l->since_ns > DIAL_START_NS) {
		link_end(l, "no answer in time");
	} else if (l->up && now_ns - l->heard_ns > DIAL_SILENT_NS) {
		link_end(l, "it has fallen silent");
	} else if (l->up && now_ns - l->heard_ns > DIAL_PING_NS &&
		   now_ns - l->asked_ns > DIAL_PING_NS) {
		l->asked_ns = now_ns;
		nghttp2_submit_ping(l->h2.session, NGHTTP2_FLAG_NONE, NULL);
		link_turn(l);
	}
}

int dialer_turn(struct dialer *d, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = epoll_wait(d->epoll_fd, events, EVENTS_A_TURN, MIN(timeout_ms, TICK_MS));

	if (n < 0 && errno != EINTR)
		return -errno;
	d->now_ns = clock_mono_ns();
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		w->ready(w, events[i].events);
	}
	for (size_t i = 0; i < DIAL_LINKS_MAX; i++)
		if (d->links[i].used)
			link_tick(&d->links[i], d->now_ns);
	return 0;
}

int dialer_new(const struct dial_config *cfg, struct dialer **ret)
{
	_cleanup_(dialer_freep) struct dialer *d = calloc(1, sizeof(*d));
	struct epoll_event ev = { .events = EPOLLIN };
	int err;

	if (!d)
		return -ENOMEM;
	d->cfg = *cfg;
	d->epoll_fd = -1;
	d->listen.ready = listen_ready;
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll_fd < 0)
		return -errno;
	err = make_callbacks(d);
	if (err < 0)
		return err;
	ev.data.ptr = &d->listen;
	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, cfg->listen_fd, &ev) < 0)
		return -errno;
	*ret = TAKE_PTR(d);
	return 0;
}

int dialer_fd(const struct dialer *d)
{
	return d->epoll_fd;
}

void dialer_free(struct dialer *d)
{
	for (size_t i = 0; i < DIAL_LINKS_MAX; i++)
		link_end(&d->links[i], "stopped");
	nghttp2_session_callbacks_del(d->callbacks);
	nghttp2_option_del(d->option);
	closep(&d->epoll_fd);
	free(d);
}

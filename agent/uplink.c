/* The stream to the collector: dial, hello, dispatch, and dial again. */
#include "agent/uplink_int.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "query/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BACKOFF_MIN_NS	(100 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS	(5 * NSEC_PER_SEC)
#define TAIL_REPORT_NS	NSEC_PER_SEC
#define MESSAGES_A_TURN 64 /* handled before what is queued is written */

void uplink_wake(struct uplink *u)
{
	uint64_t one = 1;

	if (!atomic_exchange(&u->wake_sent, true) &&
	    write(u->wake_fd, &one, sizeof(one)) != sizeof(one))
		log_debug("uplink: wake failed");
}

static void take_wake(struct uplink *u)
{
	uint64_t n;

	if (read(u->wake_fd, &n, sizeof(n)) == sizeof(n))
		atomic_store(&u->wake_sent, false);
}

int uplink_push(struct uplink *u, uint64_t stream, const Kelpie__AgentMessage *m,
		size_t limit_bytes)
{
	int err = -ENOTCONN;

	pthread_mutex_lock(&u->lock);
	if (u->open && (stream == 0 || stream == u->stream))
		err = frame_writer_queued(&u->out) >= limit_bytes
			      ? -ENOBUFS
			      : frame_writer_push_message(&u->out, &m->base);
	pthread_mutex_unlock(&u->lock);
	if (err == 0)
		uplink_wake(u);
	return err;
}

bool uplink_connected(const struct uplink *u)
{
	return atomic_load(&u->connected);
}

/* A Unix connect is done at once or not at all. Descriptor or negative errno. */
static int dial(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int say_hello(struct uplink *u)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__Hello hello = KELPIE__HELLO__INIT;
	Kelpie__TableInfo infos[_TABLE_MAX], *refs[_TABLE_MAX];
	const struct table_schema *const *tables;
	size_t n;

	tables = schema_tables(&n);
	for (size_t i = 0; i < n && i < _TABLE_MAX; i++) {
		kelpie__table_info__init(&infos[i]);
		infos[i].table = tables[i]->id;
		infos[i].version = tables[i]->version;
		if (u->cfg.ops->table_range)
			u->cfg.ops->table_range(u->cfg.ctx, tables[i]->id, &infos[i].oldest_ns,
						&infos[i].newest_ns);
		refs[hello.n_tables++] = &infos[i];
	}
	hello.node = (char *)(uintptr_t)u->cfg.node;
	hello.epoch = u->cfg.epoch;
	hello.proto_version = UPLINK_PROTO_VERSION;
	hello.plan_version = WIRE_VERSION;
	hello.version = (char *)(uintptr_t)KELPIE_VERSION;
	hello.tables = refs;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_HELLO;
	m.hello = &hello;
	return uplink_push(u, 0, &m, SIZE_MAX);
}

static void on_control(struct uplink *u, const Kelpie__Control *req)
{
	char message[256] = "";
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__ControlDone done = KELPIE__CONTROL_DONE__INIT;
	int err = -EOPNOTSUPP;

	if (u->cfg.ops->control && req->verb >= KELPIE__CONTROL_VERB__CONTROL_PAUSE &&
	    req->verb <= KELPIE__CONTROL_VERB__CONTROL_PURGE)
		err = u->cfg.ops->control(u->cfg.ctx, (enum uplink_verb)req->verb, message,
					  sizeof(message));
	if (err < 0 && !message[0])
		snprintf(message, sizeof(message), "%s", strerrordesc_np(-err));
	done.id = req->id;
	done.ok = err == 0;
	done.message = message;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_CONTROL_DONE;
	m.control_done = &done;
	uplink_push(u, 0, &m, SIZE_MAX);
}

static void on_ping(struct uplink *u, const Kelpie__Ping *req)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__Pong pong = KELPIE__PONG__INIT;

	pong.id = req->id;
	pong.unix_ns = clock_unix_ns();
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_PONG;
	m.pong = &pong;
	uplink_push(u, 0, &m, SIZE_MAX);
}

static void ask_names(struct uplink *u)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__NamesWanted wanted = KELPIE__NAMES_WANTED__INIT;

	if (!u->cfg.ops->names || !u->cfg.ops->names(u->cfg.ctx, NULL))
		return;
	wanted.version = u->names_version;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_NAMES_WANTED;
	m.names_wanted = &wanted;
	uplink_push(u, 0, &m, SIZE_MAX);
}

/* A set that breaks off is asked for anew. */
static void on_names(struct uplink *u, const Kelpie__Names *m)
{
	if (!u->cfg.ops->names || m->n_entities > UPLINK_ENTITIES_MAX ||
	    !u->cfg.ops->names(u->cfg.ctx, m))
		return;
	if (m->first)
		u->names_whole = false;
	u->names_whole |= m->last;
	u->names_version = u->names_whole ? m->version : 0;
}

/* 0; -EPERM when the collector refuses us. *msg is taken over when it is set to NULL. */
static int dispatch(struct uplink *u, Kelpie__CollectorMessage **msg)
{
	Kelpie__CollectorMessage *m = *msg;

	switch (m->kind_case) {
	case KELPIE__COLLECTOR_MESSAGE__KIND_HELLO_ACK:
		if (m->hello_ack->refused[0]) {
			log_warn("uplink: the collector refuses this agent: %s",
				 m->hello_ack->refused);
			return -EPERM;
		}
		atomic_store(&u->connected, true);
		ask_names(u);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_SCAN:
		uplink_scan_request(u, m->scan);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_CREDIT:
		uplink_scan_credit(u, m->credit);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_CANCEL:
		uplink_scan_cancel(u, m->cancel->id);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_TAIL_START:
		if (uplink_tail_start(u, m) == 0)
			*msg = NULL;
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_TAIL_STOP:
		uplink_tail_stop(u, m->tail_stop->id);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_STATUS_REQUEST:
		uplink_status_request(u, m->status_request->id);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_CONTROL:
		on_control(u, m->control);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_PING:
		on_ping(u, m->ping);
		return 0;
	case KELPIE__COLLECTOR_MESSAGE__KIND_NAMES:
		on_names(u, m->names);
		return 0;
	default: /* of a later version */
		return 0;
	}
}

/* Handles whole messages. 1 when there may be more; 0; negative errno ends the stream. */
static int handle_messages(struct uplink *u, struct frame_reader *in)
{
	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		struct ProtobufCMessage *base = NULL;
		Kelpie__CollectorMessage *m;
		struct slice bytes;
		int have = frame_reader_next(in, &bytes), err;

		if (have <= 0)
			return have;
		err = frame_message_parse(&kelpie__collector_message__descriptor, bytes, &base);
		if (err < 0)
			return err;
		m = (Kelpie__CollectorMessage *)base;
		err = dispatch(u, &m);
		if (m)
			kelpie__collector_message__free_unpacked(m, NULL);
		if (err < 0)
			return err;
	}
	return 1;
}

/* As handle_messages(). */
static int read_stream(struct uplink *u, struct frame_reader *in, int fd)
{
	ssize_t n = frame_reader_fill(in, fd);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return n == 0 ? -ECONNRESET : (int)n;
	return handle_messages(u, in);
}

/* Writes what is queued and tells epoll whether to say when more can be written. */
static int write_stream(struct uplink *u, int fd, bool *want_write)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
	int left;

	pthread_mutex_lock(&u->lock);
	left = frame_writer_flush(&u->out, fd);
	if (frame_writer_queued(&u->out) < UPLINK_QUEUE_SOFT_BYTES)
		pthread_cond_broadcast(&u->progress);
	pthread_mutex_unlock(&u->lock);
	if (left < 0)
		return left;
	if (*want_write != (left == 1)) {
		*want_write = left == 1;
		if (*want_write)
			ev.events |= EPOLLOUT;
		if (epoll_ctl(u->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0)
			return -errno;
	}
	return 0;
}

static bool stopping(struct uplink *u)
{
	bool stop;

	pthread_mutex_lock(&u->lock);
	stop = u->stop;
	pthread_mutex_unlock(&u->lock);
	return stop;
}

static int wait_ms(uint64_t now_ns, uint64_t until_ns)
{
	if (until_ns <= now_ns)
		return 0;
	return (int)MIN((until_ns - now_ns) / NSEC_PER_MSEC + 1, (uint64_t)1000);
}

static int serve(struct uplink *u, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
	struct frame_reader in;
	bool want_write = false;
	uint64_t report_ns = clock_mono_ns();
	int err = 0; /* 1: messages have come that were not handled yet */

	frame_reader_init(&in, FRAME_MAX_BYTES);
	if (epoll_ctl(u->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	err = say_hello(u);
	while (err >= 0 && !stopping(u)) {
		uint64_t now_ns = clock_mono_ns(), next_ns = uplink_scans_expire(u, now_ns);
		struct epoll_event events[4];
		bool more = err == 1;
		int n;

		if (now_ns >= report_ns + TAIL_REPORT_NS) {
			uplink_tails_report(u);
			report_ns = now_ns;
		}
		err = write_stream(u, fd, &want_write);
		if (err < 0)
			break;
		n = epoll_wait(u->epoll_fd, events, ARRAY_SIZE(events),
			       more ? 0
				    : wait_ms(now_ns, MIN(next_ns, report_ns + TAIL_REPORT_NS)));
		if (more)
			err = handle_messages(u, &in);
		for (int i = 0; i < n && err >= 0; i++) {
			if (events[i].data.fd == u->wake_fd)
				take_wake(u);
			else if (!more && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				err = read_stream(u, &in, fd);
		}
	}
	frame_reader_done(&in);
	return err;
}

static void close_stream(struct uplink *u)
{
	atomic_store(&u->connected, false);
	pthread_mutex_lock(&u->lock);
	u->open = false;
	u->stream++;
	frame_writer_done(&u->out);
	uplink_scans_drop(u);
	pthread_mutex_unlock(&u->lock);
	uplink_tails_drop(u);
}

/* Half of the pause is random, so that many agents do not come back at once. */
static void pause_ns(struct uplink *u, uint64_t ns)
{
	uint64_t until, now = clock_mono_ns();
	struct hash_key key;

	hash_key_random(&key);
	until = now + ns / 2 + key.k0 % (ns / 2);
	while (now < until && !stopping(u)) {
		struct epoll_event ev;

		if (epoll_wait(u->epoll_fd, &ev, 1, wait_ms(now, until)) > 0)
			take_wake(u);
		now = clock_mono_ns();
	}
}

static void *stream_thread(void *arg)
{
	struct uplink *u = arg;
	uint64_t backoff_ns = BACKOFF_MIN_NS;

	while (!stopping(u)) {
		int err, fd = dial(u->cfg.socket_path);
		bool accepted = false;

		if (fd >= 0) {
			pthread_mutex_lock(&u->lock);
			u->open = true;
			pthread_mutex_unlock(&u->lock);
			err = serve(u, fd);
			accepted = atomic_load(&u->connected);
			close_stream(u);
			close(fd);
			log_debug("uplink: stream ended: %s", strerrordesc_np(-err));
		}
		backoff_ns = accepted ? BACKOFF_MIN_NS : MIN(2 * backoff_ns, BACKOFF_MAX_NS);
		pause_ns(u, backoff_ns);
	}
	return NULL;
}

static int start_threads(struct uplink *u)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&u->stream_thread, NULL, stream_thread, u);
	if (!err)
		u->n_threads = 1;
	for (size_t i = 0; !err && i < UPLINK_SCANS_MAX; i++) {
		err = pthread_create(&u->scan_threads[i], NULL, uplink_scan_thread, u);
		if (!err)
			u->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static int open_fds(struct uplink *u)
{
	struct epoll_event ev = { .events = EPOLLIN };

	u->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->epoll_fd < 0 || u->wake_fd < 0)
		return -errno;
	ev.data.fd = u->wake_fd;
	return epoll_ctl(u->epoll_fd, EPOLL_CTL_ADD, u->wake_fd, &ev) < 0 ? -errno : 0;
}

int uplink_start(const struct uplink_config *cfg, struct uplink **ret)
{
	_cleanup_(uplink_stopp) struct uplink *u = NULL;
	struct sockaddr_un addr;
	const char *path;
	int err;

	if (!cfg->socket_path || !cfg->node || !cfg->source || !cfg->ops)
		return -EINVAL;
	path = strncmp(cfg->socket_path, "unix:", 5) == 0 ? cfg->socket_path + 5 : cfg->socket_path;
	if (strlen(path) >= sizeof(addr.sun_path) || strlen(cfg->node) > 253)
		return -ENAMETOOLONG;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->cfg = *cfg;
	u->cfg.socket_path = path;
	u->wake_fd = u->epoll_fd = -1;
	u->stream = 1;
	pthread_mutex_init(&u->lock, NULL);
	pthread_mutex_init(&u->tails_lock, NULL);
	pthread_cond_init(&u->work, NULL);
	pthread_cond_init(&u->progress, NULL);
	frame_writer_init(&u->out, FRAME_WRITE_MAX_BYTES);
	err = open_fds(u);
	if (err == 0)
		err = start_threads(u);
	if (err < 0)
		return err;
	*ret = TAKE_PTR(u);
	return 0;
}

void uplink_stop(struct uplink *u)
{
	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	u->stop = true;
	uplink_scans_drop(u);
	pthread_cond_broadcast(&u->work);
	pthread_mutex_unlock(&u->lock);
	if (u->wake_fd >= 0)
		uplink_wake(u);
	if (u->n_threads > 0)
		pthread_join(u->stream_thread, NULL);
	for (size_t i = 1; i < u->n_threads; i++)
		pthread_join(u->scan_threads[i - 1], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(u->scans); i++)
		free(u->scans[i].plan);
	uplink_tails_drop(u);
	frame_writer_done(&u->out);
	closep(&u->wake_fd);
	closep(&u->epoll_fd);
	pthread_mutex_destroy(&u->lock);
	pthread_mutex_destroy(&u->tails_lock);
	pthread_cond_destroy(&u->work);
	pthread_cond_destroy(&u->progress);
	free(u);
}

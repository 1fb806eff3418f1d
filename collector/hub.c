/* The streams of the agents: accept, hello, dispatch, ping. */
#include "collector/hub_int.h"

#include "base/log.h"
#include "base/clock.h"
#include "query/wire.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define TICK_MS		1000
#define PING_NS		NSEC_PER_SEC
#define MESSAGES_A_TURN 64

int hub_send(struct hub *h, struct agent *a, const Kelpie__CollectorMessage *m)
{
	int err = a->dead ? -ENOTCONN : frame_writer_push_message(&a->out, &m->base);

	if (err == -ENOBUFS) /* reads nothing for 8 MiB */
		hub_kill(a);
	if (err == 0)
		hub_wake(h);
	return err;
}

void hub_wake(struct hub *h)
{
	uint64_t one = 1;

	if (!atomic_exchange(&h->wake_sent, true) &&
	    write(h->wake_fd, &one, sizeof(one)) != sizeof(one))
		log_debug("hub: wake failed");
}

void hub_kill(struct agent *a)
{
	a->dead = true;
}

bool hub_responds(const struct agent *a, uint64_t now_ns)
{
	return now_ns < a->node->seen_mono_ns + HUB_SILENT_NS;
}

static bool may_connect(const struct hub *h, uid_t uid)
{
	if (uid == 0 || uid == h->own_uid)
		return true;
	for (size_t i = 0; i < h->cfg.n_uids; i++)
		if (h->cfg.uids[i] == uid)
			return true;
	return false;
}

static void accept_agent(struct hub *h)
{
	_cleanup_(closep) int fd = accept4(h->cfg.listen_fd, NULL, NULL,
					   SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct ucred cred = { 0 };
	socklen_t n = sizeof(cred);
	struct epoll_event ev = { .events = EPOLLIN };
	struct agent *a;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || !may_connect(h, cred.uid)) {
		log_warn("agent refused: pid=%d uid=%u is not allowed to be an agent",
			 (int)cred.pid, cred.uid);
		return;
	}
	if (h->n_agents == HUB_AGENTS_MAX) {
		log_warn("agent refused: %d are connected already", HUB_AGENTS_MAX);
		return;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return;
	a->fd = fd;
	a->pid = cred.uid == h->cfg.far_uid ? 0 : cred.pid;
	a->since_ns = clock_mono_ns();
	a->whole_ns = a->since_ns;
	frame_reader_init(&a->in, HUB_HELLO_BYTES);
	frame_writer_init(&a->out, FRAME_WRITE_MAX_BYTES);
	ev.data.ptr = a;
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(a);
		return;
	}
	TAKE_FD(fd);
	a->next = h->agents;
	h->agents = a;
	h->n_agents++;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= HUB_NODE_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\')
			return false;
	return true;
}

/* The entry of that name, or a free one, or the one that has been away longest. */
static struct node *node_for(struct hub *h, const char *name)
{
	struct node *best = NULL;

	for (size_t i = 0; i < HUB_AGENTS_MAX; i++) {
		struct node *n = &h->nodes[i];

		if (n->used && strcmp(n->name, name) == 0)
			return n;
		if (n->used && n->agent)
			continue;
		if (!best || (best->used && (!n->used || n->seen_mono_ns < best->seen_mono_ns)))
			best = n;
	}
	return best;
}

static void forget_node(struct node *n)
{
	if (n->status)
		kelpie__agent_message__free_unpacked(n->status, NULL);
	*n = (struct node){ 0 };
}

/* A new epoch counts its losses from zero. */
static void greet(struct hub *h, struct agent *a, struct node *n, const Kelpie__Hello *hello)
{
	if (n->agent)
		hub_kill(n->agent); /* the newer stream of a node wins */
	if (n->used && (strcmp(n->name, hello->node) != 0 || n->epoch != hello->epoch))
		forget_node(n);
	n->used = true;
	snprintf(n->name, sizeof(n->name), "%s", hello->node);
	snprintf(n->version, sizeof(n->version), "%.63s", hello->version);
	n->epoch = hello->epoch;
	n->pid = a->pid;
	n->agent = a;
	a->node = n;
	h->covered_told = false;
}

static int on_hello(struct hub *h, struct agent *a, const Kelpie__Hello *hello)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__HelloAck ack = KELPIE__HELLO_ACK__INIT;
	struct node *n = NULL;
	const char *refused = NULL;

	if (a->node)
		return -EPROTO;
	if (!name_ok(hello->node))
		refused = "the node's name is empty, too long, or not printable";
	else if (hello->proto_version == 0)
		refused = "no protocol version";
	else if (!(n = node_for(h, hello->node)))
		refused = "too many nodes";
	ack.proto_version = HUB_PROTO_VERSION;
	ack.plan_version = WIRE_VERSION;
	ack.refused = (char *)(uintptr_t)(refused ? refused : "");
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_HELLO_ACK;
	m.hello_ack = &ack;
	hub_send(h, a, &m);
	if (refused) {
		frame_writer_flush(&a->out, a->fd);
		log_warn("agent refused: pid=%d: %s", (int)a->pid, refused);
		return -EPERM;
	}
	greet(h, a, n, hello);
	a->in.max = FRAME_MAX_BYTES;
	n->seen_mono_ns = clock_mono_ns();
	n->seen_unix_ns = clock_unix_ns();
	log_info("agent connected: node=%s pid=%d epoch=%llu version=%s", n->name, (int)a->pid,
		 (unsigned long long)n->epoch, n->version);
	hub_ask_status(h, a, clock_mono_ns());
	hub_tails_agent_new(h, a);
	pthread_cond_broadcast(&h->changed);
	return 0;
}

/* 0 or negative errno: the agent has broken the protocol. *msg is taken over when set to NULL. */
static int dispatch(struct hub *h, struct agent *a, Kelpie__AgentMessage **msg)
{
	Kelpie__AgentMessage *m = *msg;
	int err;

	if (m->kind_case == KELPIE__AGENT_MESSAGE__KIND_HELLO)
		return on_hello(h, a, m->hello);
	if (!a->node)
		return -EPROTO;
	a->node->seen_mono_ns = clock_mono_ns();
	a->node->seen_unix_ns = clock_unix_ns();
	switch (m->kind_case) {
	case KELPIE__AGENT_MESSAGE__KIND_BATCH:
		return hub_on_batch(h, a, m->batch);
	case KELPIE__AGENT_MESSAGE__KIND_SCAN_DONE:
		hub_on_scan_done(h, a, m->scan_done);
		return 0;
	case KELPIE__AGENT_MESSAGE__KIND_TAIL_ROWS:
		hub_on_tail_rows(h, a, m->tail_rows);
		return 0;
	case KELPIE__AGENT_MESSAGE__KIND_TAIL_DONE:
		hub_on_tail_done(h, a, m->tail_done);
		return 0;
	case KELPIE__AGENT_MESSAGE__KIND_STATUS:
		err = hub_on_status(h, a, m);
		if (err == 0)
			*msg = NULL;
		return err;
	case KELPIE__AGENT_MESSAGE__KIND_CONTROL_DONE:
		hub_on_control_done(h, a, m->control_done);
		return 0;
	case KELPIE__AGENT_MESSAGE__KIND_NAMES_WANTED:
		hub_on_names_wanted(h, a, m->names_wanted);
		return 0;
	default: /* a pong, or of a later version */
		return 0;
	}
}

/* 1 when there may be more; 0; negative errno. */
static int handle_messages(struct hub *h, struct agent *a)
{
	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		struct ProtobufCMessage *base = NULL;
		Kelpie__AgentMessage *m;
		struct slice bytes;
		int have = frame_reader_next(&a->in, &bytes), err;

		if (have <= 0)
			return have;
		a->whole_ns = clock_mono_ns();
		err = frame_message_parse(&kelpie__agent_message__descriptor, bytes, &base);
		if (err < 0)
			return err;
		m = (Kelpie__AgentMessage *)base;
		err = dispatch(h, a, &m);
		if (m)
			kelpie__agent_message__free_unpacked(m, NULL);
		if (err < 0)
			return err;
	}
	return 1;
}

static void input_done(struct hub *h, struct agent *a)
{
	h->input_bytes -= a->in.cap;
	frame_reader_done(&a->in);
}

/* Messages of many agents that do not come to their end: whoever has been at one for longest goes. */
static void bound_input(struct hub *h)
{
	while (h->input_bytes > HUB_INPUT_BYTES) {
		struct agent *slowest = NULL;

		for (struct agent *a = h->agents; a; a = a->next)
			if (a->in.cap > HUB_INPUT_FREE &&
			    (!slowest || a->whole_ns < slowest->whole_ns))
				slowest = a;
		if (!slowest)
			return;
		log_warn("agent dropped: node=%s pid=%d: its message does not come to an end",
			 slowest->node ? slowest->node->name : "?", (int)slowest->pid);
		input_done(h, slowest);
		hub_kill(slowest);
	}
}

static void read_agent(struct hub *h, struct agent *a)
{
	size_t before = a->in.cap;
	ssize_t n;
	int more;

	if (a->dead)
		return;
	n = frame_reader_fill(&a->in, a->fd);
	h->input_bytes += a->in.cap - before;
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		hub_kill(a);
		return;
	}
	do {
		more = handle_messages(h, a);
	} while (more == 1);
	if (more < 0) {
		log_warn("agent dropped: node=%s pid=%d: %s", a->node ? a->node->name : "?",
			 (int)a->pid, strerrordesc_np(-more));
		hub_kill(a);
	}
	bound_input(h);
}

static void write_agent(struct hub *h, struct agent *a)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = a };
	int left = a->dead ? 0 : frame_writer_flush(&a->out, a->fd);

	if (left < 0) {
		hub_kill(a);
		return;
	}
	if (a->want_write == (left == 1))
		return;
	a->want_write = left == 1;
	if (a->want_write)
		ev.events |= EPOLLOUT;
	epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, a->fd, &ev);
}

static void free_agent(struct hub *h, struct agent *a)
{
	hub_scans_agent_gone(h, a);
	hub_calls_agent_gone(h, a);
	hub_names_agent_gone(h, a);
	if (a->node && a->node->agent == a) {
		a->node->agent = NULL;
		h->covered_told = false;
		log_info("agent gone: node=%s pid=%d", a->node->name, (int)a->pid);
	}
	close(a->fd);
	input_done(h, a);
	frame_writer_done(&a->out);
	free(a);
	h->n_agents--;
	pthread_cond_broadcast(&h->changed);
}

static void sweep(struct hub *h)
{
	struct agent **at = &h->agents;

	while (*at) {
		struct agent *a = *at;

		if (!a->dead) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		free_agent(h, a);
	}
}

static void ping(struct hub *h, struct agent *a, uint64_t now_ns)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__Ping p = KELPIE__PING__INIT;

	a->ping_ns = now_ns;
	p.id = ++h->next_id;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_PING;
	m.ping = &p;
	hub_send(h, a, &m);
}

static void tick(struct hub *h)
{
	uint64_t now_ns = clock_mono_ns();

	for (struct agent *a = h->agents; a; a = a->next) {
		if (!a->node) {
			if (now_ns > a->since_ns + HUB_HELLO_NS)
				hub_kill(a);
			continue;
		}
		/* An agent that reads nothing would fill its queue with pings. */
		if (frame_writer_queued(&a->out) > KIB)
			continue;
		if (now_ns >= a->ping_ns + PING_NS)
			ping(h, a, now_ns);
		if (now_ns >= a->status_asked_ns + HUB_STATUS_NS)
			hub_ask_status(h, a, now_ns);
	}
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++)
		if (h->nodes[i].used && !h->nodes[i].agent &&
		    now_ns > h->nodes[i].seen_mono_ns + HUB_FORGET_NS)
			forget_node(&h->nodes[i]);
}

static void turn(struct hub *h, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (events[i].data.ptr == &h->wake_fd) {
			if (read(h->wake_fd, &count, sizeof(count)) == sizeof(count))
				atomic_store(&h->wake_sent, false);
		} else if (events[i].data.ptr == h) {
			accept_agent(h);
		} else if (events[i].data.ptr == &h->news) {
			hub_on_news(h);
		} else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
			read_agent(h, events[i].data.ptr);
		}
	}
	for (struct agent *a = h->agents; a; a = a->next)
		do
			write_agent(h, a);
		while (!a->want_write && hub_push_names(h, a));
	sweep(h);
	hub_tell_covered(h);
}

static void *hub_thread(void *arg)
{
	struct hub *h = arg;
	uint64_t next_tick_ns = 0;
	bool stop = false;

	while (!stop) {
		struct epoll_event events[64];
		int n = epoll_wait(h->epoll_fd, events, ARRAY_SIZE(events), TICK_MS);

		pthread_mutex_lock(&h->lock);
		if (clock_mono_ns() >= next_tick_ns) {
			tick(h);
			next_tick_ns = clock_mono_ns() + TICK_MS * NSEC_PER_MSEC;
		}
		turn(h, events, n);
		stop = h->stop;
		pthread_mutex_unlock(&h->lock);
	}
	return NULL;
}

static int watch(struct hub *h, int fd, void *tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = tag };

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_fds(struct hub *h)
{
	int err;

	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->epoll_fd < 0 || h->wake_fd < 0)
		return -errno;
	err = watch(h, h->wake_fd, &h->wake_fd);
	if (err == 0)
		err = watch(h, h->cfg.listen_fd, h);
	if (err == 0 && h->cfg.news_fd >= 0)
		err = watch(h, h->cfg.news_fd, &h->news);
	return err;
}

int hub_new(const struct hub_config *cfg, struct hub **ret)
{
	_cleanup_(hub_freep) struct hub *h = calloc(1, sizeof(*h));
	pthread_condattr_t attr;
	int err;

	if (!h)
		return -ENOMEM;
	h->cfg = *cfg;
	h->own_uid = getuid();
	h->epoll_fd = h->wake_fd = -1;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &attr);
	pthread_condattr_destroy(&attr);
	hashmap_init(&h->parts, HUB_PARTS_MAX);
	h->next_id = clock_unix_ns(); /* ids of an earlier collector never come back */
	err = open_fds(h);
	if (err == 0)
		err = hub_names_open(h);
	if (err == 0)
		err = -pthread_create(&h->thread, NULL, hub_thread, h);
	if (err < 0)
		return err;
	h->started = true;
	*ret = TAKE_PTR(h);
	return 0;
}

void hub_free(struct hub *h)
{
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_mutex_unlock(&h->lock);
	if (h->started) {
		hub_wake(h);
		pthread_join(h->thread, NULL);
	}
	for (struct agent *a = h->agents; a; a = a->next)
		hub_kill(a);
	sweep(h);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++)
		forget_node(&h->nodes[i]);
	hashmap_done(&h->parts);
	hub_names_close(h);
	closep(&h->epoll_fd);
	closep(&h->wake_fd);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->changed);
	free(h);
}

size_t hub_agents_connected(struct hub *h)
{
	size_t n = 0;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++)
		n += h->nodes[i].used && h->nodes[i].agent;
	pthread_mutex_unlock(&h->lock);
	return n;
}

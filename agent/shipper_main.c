/* The shipper process, the one that talks to the network: carries the store's stream to a collector
 * (transport/dial.h), and watches the pods of this node (agent/shipper_names.h). It opens no file of
 * Kelpie's or Kubernetes': tokens come from the attacher, anew each time.
 */
#include "agent/agent.h"
#include "agent/calls.h"
#include "agent/sandbox.h"
#include "agent/shipper_names.h"
#include "base/fds.h"
#include "base/log.h"
#include "transport/dial.h"
#include "transport/tls.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TOKEN_WAIT_MS 2000
#define TURN_MS	      100

struct shipper {
	const struct shipper_args *args;
	struct dialer *dialer; /* NULL: no collector on the network */
	struct names *names;   /* NULL: no Kubernetes */
	bool stop;
};

/* A word of the attacher's and the descriptor that came with it, or -1. */
static bool hear(struct shipper *s, struct agent_msg *m, int *ret_fd, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	const struct cmsghdr *c;
	ssize_t n = recvmsg(s->args->attacher_fd, &msg, MSG_CMSG_CLOEXEC | flags);

	*ret_fd = -1;
	if (n == 0)
		s->stop = true; /* the attacher is gone */
	if (n != sizeof(*m))
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return true;
}

/* A descriptor of that file, or negative errno. */
static int borrow(void *ctx, enum agent_file file)
{
	struct shipper *s = ctx;
	struct agent_msg m = { .type = MSG_WANT_TOKEN, .number = file };
	struct pollfd p = { .fd = s->args->attacher_fd, .events = POLLIN };
	int fd = -1;

	if (send(s->args->attacher_fd, &m, sizeof(m), MSG_NOSIGNAL) < 0)
		return -errno;
	while (!s->stop && poll(&p, 1, TOKEN_WAIT_MS) > 0 && hear(s, &m, &fd, 0)) {
		if (m.type == MSG_TOKEN && m.number == file)
			return fd < 0 ? -ENOENT : fd;
		closep(&fd);
		s->stop |= m.type == MSG_STOP;
	}
	return -ETIMEDOUT;
}

static ssize_t get_token(void *ctx, char *buf, size_t cap)
{
	_cleanup_(closep) int fd = borrow(ctx, FILE_COLLECTOR_TOKEN);

	return fd < 0 ? fd : fd_read_trimmed(fd, buf, cap);
}

static void on_state(void *ctx, bool up, const char *why)
{
	const struct shipper *s = ctx;

	if (up)
		log_info("connected to the collector %s", s->args->cfg->collector.address);
	else if (!s->stop)
		log_warn("no stream to the collector %s: %s", s->args->cfg->collector.address, why);
}

static int prepare_dialer(struct shipper *s, struct ssl_ctx_st **tls, char *why, size_t cap)
{
	static char host[CONFIG_TEXT_MAX];
	static const struct dial_ops ops = { get_token, on_state };
	const struct config *cfg = s->args->cfg;
	struct dial_config dial = { .listen_fd = s->args->listen_fd, .ops = &ops, .ctx = s };
	struct addrinfo *warm = NULL;
	char *colon;
	int r;

	snprintf(host, sizeof(host), "%s", cfg->collector.address);
	colon = strrchr(host, ':');
	if (!colon || colon == host || !colon[1]) {
		snprintf(why, cap, "collector.address: '%s' is not HOST:PORT", host);
		return -EINVAL;
	}
	*colon = 0;
	dial.port = colon + 1;
	dial.host = host;
	if (host[0] == '[' && colon[-1] == ']') {
		colon[-1] = 0;
		dial.host++;
	}
	dial.name = cfg->collector.server_name[0] ? cfg->collector.server_name : dial.host;
	r = tls_client_new(cfg->collector.ca_file, tls, why, cap);
	if (r < 0)
		return r;
	dial.tls = *tls;
	/* What the C library opens for this once is open when no more can be opened. */
	if (getaddrinfo(dial.host, dial.port, NULL, &warm) == 0)
		freeaddrinfo(warm);
	r = dialer_new(&dial, &s->dialer);
	if (r < 0)
		snprintf(why, cap, "shipper: %s", strerror(-r));
	return r;
}

static int prepare(struct shipper *s, struct ssl_ctx_st **tls, char *why, size_t cap)
{
	const struct names_opts names = { s->args->cfg, s->args->attacher_fd, borrow, s };
	int r = s->args->listen_fd >= 0 ? prepare_dialer(s, tls, why, cap) : 0;

	if (r == 0 && s->args->kubernetes)
		r = names_new(&names, &s->names, why, cap);
	return r;
}

/* Waits for whatever comes first, not longer than TURN_MS. */
static int turn(struct shipper *s)
{
	struct pollfd fds[] = {
		{ .fd = s->args->attacher_fd, .events = POLLIN },
		{ .fd = s->dialer ? dialer_fd(s->dialer) : -1, .events = POLLIN },
		{ .fd = s->names ? names_fd(s->names) : -1, .events = POLLIN },
	};
	int wait = s->names ? names_timeout_ms(s->names) : -1;
	int r = 0;

	(void)poll(fds, ARRAY_SIZE(fds), wait < 0 ? TURN_MS : MIN(wait, TURN_MS));
	if (s->dialer)
		r = dialer_turn(s->dialer, 0);
	if (s->names)
		names_turn(s->names);
	return r;
}

static void take_stop(struct shipper *s)
{
	struct agent_msg m;
	int fd;

	while (hear(s, &m, &fd, MSG_DONTWAIT)) {
		closep(&fd);
		s->stop |= m.type == MSG_STOP;
	}
}

int shipper_main(const struct shipper_args *a)
{
	const struct sandbox box = { .name = "shipper",
				     .become = &a->ids,
				     .readable_dir = "/etc", /* resolv.conf, hosts */
				     .network = true,
				     .syscalls = calls_shipper };
	struct shipper s = { .args = a };
	struct agent_msg hello = { .type = MSG_READY };
	struct ssl_ctx_st *tls = NULL;
	const char *what = "";
	int r;

	log_setup("shipper", (enum log_level)a->cfg->log.level,
		  (enum log_format)a->cfg->log.format);
	r = prepare(&s, &tls, hello.text, sizeof(hello.text));
	if (r == 0) {
		r = sandbox_enter(&box, &what);
		if (r < 0)
			snprintf(hello.text, sizeof(hello.text), "shipper: %s: %s", what,
				 strerror(-r));
	}
	if (r < 0)
		hello.type = MSG_FAILED;
	if (send(a->attacher_fd, &hello, sizeof(hello), MSG_NOSIGNAL) < 0 || r < 0)
		return 1;
	if (s.names)
		r = names_start(s.names);
	while (r == 0 && !s.stop) {
		r = turn(&s);
		take_stop(&s);
	}
	names_free(s.names);
	dialer_free(s.dialer);
	tls_free(tls);
	return r < 0;
}

/* The shipper process: carries the store's stream to a collector on the network (transport/dial.h). It
 * reads no file of Kelpie's: the token comes from the attacher, anew for each call.
 */
#include "agent/agent.h"
#include "agent/calls.h"
#include "agent/sandbox.h"
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

struct shipper {
	const struct shipper_args *args;
	struct dialer *dialer;
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

/* The file's text without the space around it. */
static ssize_t read_text(int fd, char *buf, size_t cap)
{
	ssize_t n = read(fd, buf, cap);
	struct slice text = slice_trim(slice_of(buf, n > 0 ? (size_t)n : 0));

	if (n < 0)
		return -errno;
	memmove(buf, text.p, text.n);
	return text.n ? (ssize_t)text.n : -ENODATA;
}

static ssize_t get_token(void *ctx, char *buf, size_t cap)
{
	struct shipper *s = ctx;
	struct agent_msg m = { .type = MSG_WANT_TOKEN };
	struct pollfd p = { .fd = s->args->attacher_fd, .events = POLLIN };
	_cleanup_(closep) int fd = -1;

	if (send(s->args->attacher_fd, &m, sizeof(m), MSG_NOSIGNAL) < 0)
		return -errno;
	while (!s->stop && poll(&p, 1, TOKEN_WAIT_MS) > 0 && hear(s, &m, &fd, 0)) {
		if (m.type == MSG_TOKEN)
			return fd < 0 ? -ENOENT : read_text(fd, buf, cap);
		s->stop = m.type == MSG_STOP;
	}
	return -ETIMEDOUT;
}

static void on_state(void *ctx, bool up, const char *why)
{
	const struct shipper *s = ctx;

	if (up)
		log_info("connected to the collector %s", s->args->cfg->collector.address);
	else if (!s->stop)
		log_warn("no stream to the collector %s: %s", s->args->cfg->collector.address, why);
}

static int prepare(struct shipper *s, struct ssl_ctx_st **tls, char *why, size_t cap)
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
	while (r == 0 && !s.stop) {
		r = dialer_turn(s.dialer, 100);
		take_stop(&s);
	}
	dialer_free(s.dialer);
	tls_free(tls);
	return r < 0;
}

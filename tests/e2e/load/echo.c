/* kelpie-echo: an HTTP/1 server that does what a request's X-Do header asks and logs what it saw.
 *
 * One epoll loop per thread, each with its own listening socket (SO_REUSEPORT). A connection is
 * read while it is in CONN_READ and its output is not piling up; everything else waits:
 *
 *	READ --request--> DELAY --time--> READ          (long poll; GIVE_UP ends it here)
 *	READ --request--> EVENTS --time--> ... --> READ  (server-sent events)
 *	READ --CONNECT, Upgrade--> TUNNEL                (bytes come back as they are)
 *	any  --last answer--> DRAIN --peer closes--> gone
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "plan.h"
#include "reply.h"
#include "sockio.h"
#include "text.h"
#include "truthlog.h"
#include "wire.h"

#define OUT_PILE_BYTES		(8u << 20)
#define FILE_BYTES		(8u << 20)
#define EVENTS_PER_BYTE_DIVISOR 60u

static volatile sig_atomic_t stopping;

struct options {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	unsigned int threads;
	enum send_how send;
	enum recv_how recv;
	size_t recv_bytes, split;
	int truth_fd;
	int body_fd; /* memfd of FILE_BYTES for sendfile, or -1 */
};

enum conn_state { CONN_READ, CONN_DELAY, CONN_EVENTS, CONN_TUNNEL, CONN_DRAIN };

struct conn {
	int fd;
	enum conn_state state;
	uint32_t events_watched;
	bool shut, gone, continued;
	struct wire in;
	char *ibuf;
	size_t ilen;
	struct outq out;
	struct sockio_name client, server;
	struct reply reply;
	uint64_t start_unix_ns;
	uint64_t interim_bytes;
	uint64_t due_ns;	    /* in DELAY and EVENTS */
	unsigned int event, events; /* number of the next, of all */
	struct conn *prev, *next;   /* all connections of the thread */
};

struct server {
	const struct options *o;
	int epoll_fd, listen_fd;
	unsigned int turn, waiting;
	struct truth_log *log;
	struct conn *conns;
	uint64_t accepted, exchanges, without_seq, bad;
	pthread_t thread;
	int error;
};

static void log_exchange(struct server *s, struct conn *c, const char *outcome)
{
	const struct wire_msg *m = &c->in.msg;
	bool answered = strcmp(outcome, "ok") == 0;
	char path[sizeof(m->target)];

	s->exchanges++;
	if (!m->has_seq) {
		s->without_seq++;
		return;
	}
	memcpy(path, m->target, sizeof(path));
	path[strcspn(path, "?")] = '\0';
	truth_log_put(s->log, &(struct truth_row){
				      .seq = m->seq,
				      .kind = "",
				      .method = m->method,
				      .path = path,
				      .minor = m->minor,
				      .status = answered ? (uint16_t)m->todo.status : 0,
				      .client = &c->client,
				      .server = &c->server,
				      .request_bytes = wire_total_bytes(m),
				      .request_body_bytes = m->body_bytes,
				      .request_framed_bytes = m->framed_bytes,
				      .response_bytes = c->reply.bytes,
				      .response_body_bytes = c->reply.body_bytes,
				      .response_framed_bytes = c->reply.framed_bytes,
				      .interim_bytes = c->interim_bytes,
				      .has_response_seq = answered,
				      .response_seq = m->seq,
				      .trace_id = m->trace_id,
				      .keep_alive = c->reply.keep_alive,
				      .outcome = outcome,
				      .start_unix_ns = c->start_unix_ns,
				      .end_unix_ns = sockio_unix_now_ns(),
			      });
}

static void conn_close(struct server *s, struct conn *c)
{
	if (c->state == CONN_DELAY || c->state == CONN_EVENTS) {
		log_exchange(s, c, "closed_by_client");
		s->waiting--;
	}
	close(c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	outq_done(&c->out);
	free(c->ibuf);
	free(c);
}

static void next_request(struct conn *c)
{
	wire_reset(&c->in, false);
	c->reply = (struct reply){ 0 };
	c->interim_bytes = 0;
	c->start_unix_ns = 0;
	c->continued = false;
	c->state = CONN_READ;
}

/* The answer is queued in full: log it, and go on or end the connection. */
static void finish_exchange(struct server *s, struct conn *c)
{
	bool tunnel = c->in.msg.todo.flags & PLAN_TUNNEL;
	bool keep = c->reply.keep_alive;

	c->interim_bytes += c->reply.interim_bytes;
	log_exchange(s, c, "ok");
	next_request(c);
	if (tunnel)
		c->state = CONN_TUNNEL;
	else if (!keep)
		c->state = CONN_DRAIN;
}

static void answer(struct server *s, struct conn *c)
{
	const struct wire_msg *m = &c->in.msg;

	reply_put(&c->out, m, s->o->send == SEND_SENDFILE && m->todo.body_bytes <= FILE_BYTES,
		  &c->reply);
	if (!(m->todo.flags & PLAN_EVENTS)) {
		finish_exchange(s, c);
		return;
	}
	c->state = CONN_EVENTS;
	c->event = 0;
	c->events = 1 + m->todo.body_bytes / EVENTS_PER_BYTE_DIVISOR;
	c->due_ns = sockio_now_ns() + m->todo.delay_ms * 1000000ULL;
	s->waiting++;
}

static void refuse_to_answer(struct server *s, struct conn *c, bool reset)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	log_exchange(s, c, reset ? "reset" : "closed_by_server");
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	next_request(c);
	c->state = CONN_DRAIN;
	c->gone = reset;
}

static void start_answer(struct server *s, struct conn *c)
{
	struct wire_msg *m = &c->in.msg;

	if (!m->has_do) {
		m->todo.status = 200;
		m->todo.body_bytes = (uint32_t)(m->body_bytes < FILE_BYTES ? m->body_bytes : 100);
	}
	if (m->todo.flags & PLAN_NO_ANSWER) {
		refuse_to_answer(s, c, false);
	} else if (m->todo.delay_ms && !(m->todo.flags & PLAN_EVENTS)) {
		c->state = CONN_DELAY;
		c->due_ns = sockio_now_ns() + m->todo.delay_ms * 1000000ULL;
		s->waiting++;
	} else {
		answer(s, c);
	}
}

static void on_due(struct server *s, struct conn *c)
{
	if (c->state == CONN_DELAY) {
		s->waiting--;
		c->state = CONN_READ;
		if (c->in.msg.todo.flags & PLAN_RESET)
			refuse_to_answer(s, c, true);
		else
			answer(s, c);
		return;
	}
	reply_put_event(&c->out, &c->reply, c->in.msg.seq, c->event++);
	c->due_ns += c->in.msg.todo.delay_ms * 1000000ULL;
	if (c->event < c->events)
		return;
	reply_put_event_end(&c->out, &c->reply);
	s->waiting--;
	finish_exchange(s, c);
}

/* Takes what the input buffer holds as far as the connection's state allows. */
static void take_input(struct server *s, struct conn *c)
{
	size_t at = 0;

	while (at < c->ilen && c->state == CONN_READ && c->out.file_left == 0 &&
	       c->out.tail - c->out.head < OUT_PILE_BYTES) {
		size_t used = 0;

		if (c->start_unix_ns == 0)
			c->start_unix_ns = sockio_unix_now_ns();
		if (wire_feed(&c->in, c->ibuf + at, c->ilen - at, &used) < 0) {
			s->bad++;
			c->state = CONN_DRAIN;
			break;
		}
		at += used;
		if (c->in.msg.expect_continue && !c->continued) {
			c->continued = true;
			c->interim_bytes += reply_put_continue(&c->out);
		}
		if (c->in.state == WIRE_DONE)
			start_answer(s, c);
		else if (used == 0)
			break;
	}
	if (c->state == CONN_TUNNEL && at < c->ilen) {
		outq_put(&c->out, c->ibuf + at, c->ilen - at);
		at = c->ilen;
	}
	if (c->state == CONN_DRAIN)
		at = c->ilen;
	memmove(c->ibuf, c->ibuf + at, c->ilen - at);
	c->ilen -= at;
}

/* Returns false at the end of the stream or on an error. */
static bool read_input(struct server *s, struct conn *c)
{
	ssize_t r;

	if (c->ilen == s->o->recv_bytes)
		return true;
	r = sockio_recv(c->fd, c->ibuf + c->ilen, s->o->recv_bytes - c->ilen, s->o->recv, &s->turn);
	if (r == -EAGAIN || r == -EINTR)
		return true;
	if (r <= 0)
		return false;
	c->ilen += (size_t)r;
	return true;
}

static void watch(struct server *s, struct conn *c, bool out)
{
	/* A full input buffer must not spin: it is looked at again when output or time moves on. */
	uint32_t in = c->ilen == s->o->recv_bytes ? 0 : EPOLLIN;
	struct epoll_event ev = { .events = in | (out ? EPOLLOUT : 0), .data.ptr = c };

	if (ev.events == c->events_watched)
		return;
	c->events_watched = ev.events;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* Moves a connection as far as it goes. Returns false when it is to be closed. */
static bool conn_run(struct server *s, struct conn *c)
{
	size_t before;
	bool had_output;

	do {
		before = c->ilen;
		had_output = !outq_empty(&c->out);
		take_input(s, c);
		if (c->gone)
			return false;
		if (outq_flush(&c->out, c->fd, s->o->send, s->o->split, &s->turn) < 0)
			return false;
	} while (c->ilen && c->state == CONN_READ && outq_empty(&c->out) &&
		 (c->ilen != before || had_output));
	if (c->state == CONN_DRAIN && outq_empty(&c->out) && !c->shut) {
		shutdown(c->fd, SHUT_WR);
		c->shut = true;
	}
	watch(s, c, !outq_empty(&c->out));
	return true;
}

static void accept_all(struct server *s)
{
	for (;;) {
		const int one = 1;
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event ev = { .events = EPOLLIN };
		struct conn *c;

		if (fd < 0)
			return;
		c = calloc(1, sizeof(*c));
		if (!c || !(c->ibuf = malloc(s->o->recv_bytes)))
			abort();
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		c->events_watched = EPOLLIN;
		c->out.file_fd = s->o->body_fd;
		next_request(c);
		c->next = s->conns;
		if (s->conns)
			s->conns->prev = c;
		s->conns = c;
		if (sockio_own_name(fd, &c->server) < 0 || sockio_peer_name(fd, &c->client) < 0) {
			conn_close(s, c);
			continue;
		}
		ev.data.ptr = c;
		epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
		s->accepted++;
	}
}

/* Runs what is due; returns milliseconds until the next, at most 100. */
static int run_timers(struct server *s)
{
	uint64_t now, next;

	if (s->waiting == 0)
		return 100;
	now = sockio_now_ns();
	next = now + 100000000;
	for (struct conn *c = s->conns, *after; c; c = after) {
		bool alive = true;

		after = c->next;
		if (c->state != CONN_DELAY && c->state != CONN_EVENTS)
			continue;
		if (c->due_ns <= now) {
			on_due(s, c);
			alive = conn_run(s, c);
		}
		if (!alive)
			conn_close(s, c);
		else if ((c->state == CONN_DELAY || c->state == CONN_EVENTS) && c->due_ns < next)
			next = c->due_ns;
	}
	return next <= now ? 0 : (int)((next - now + 999999) / 1000000);
}

static int server_listen(struct server *s)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	const int one = 1, zero = 0;

	s->listen_fd = socket(s->o->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0)
		return -errno;
	setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (s->o->addr.ss_family == AF_INET6)
		setsockopt(s->listen_fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(s->listen_fd, (const struct sockaddr *)&s->o->addr, s->o->addr_len) < 0 ||
	    listen(s->listen_fd, 4096) < 0)
		return -errno;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &ev) < 0)
		return -errno;
	s->log = truth_log_new(s->o->truth_fd);
	return s->log ? 0 : -ENOMEM;
}

static void *server_loop(void *arg)
{
	struct server *s = arg;
	struct epoll_event ev[256];

	while (!stopping) {
		int n = epoll_wait(s->epoll_fd, ev, 256, run_timers(s));

		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (!c)
				accept_all(s);
			else if (((ev[i].events & ~(uint32_t)EPOLLOUT) && !read_input(s, c)) ||
				 !conn_run(s, c))
				conn_close(s, c);
		}
	}
	while (s->conns)
		conn_close(s, s->conns);
	s->error = truth_log_free(s->log);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static void usage(void)
{
	puts("kelpie-echo --listen ADDR:PORT [--truth FILE.csv] [--threads N] [--send HOW]\n"
	     "            [--recv HOW] [--recv-size BYTES] [--split BYTES]\n"
	     "HOW: write send sendto writev sendmsg sendmmsg sendfile mix;\n"
	     "     read recv recvfrom readv recvmsg recvmmsg peek mix");
}

static int make_body_file(void)
{
	struct outq q = { 0 };
	int fd = memfd_create("kelpie-echo-body", MFD_CLOEXEC);
	bool ok;

	outq_put_pattern(&q, FILE_BYTES);
	ok = fd >= 0 && write(fd, q.buf, FILE_BYTES) == (ssize_t)FILE_BYTES;
	outq_done(&q);
	return ok ? fd : -1;
}

static int how_option(const char *option, int how)
{
	if (how < 0) {
		fprintf(stderr, "%s: no such system call, see --help\n", option);
		exit(2);
	}
	return how;
}

static void read_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "listen", 1, 0, 'l' }, { "truth", 1, 0, 't' }, { "threads", 1, 0, 'T' },
		{ "send", 1, 0, 's' },	 { "recv", 1, 0, 'r' },	 { "recv-size", 1, 0, 'R' },
		{ "split", 1, 0, 'S' },	 { "help", 0, 0, 'h' },	 { 0 },
	};
	bool listening = false;
	int opt, r;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'l':
			listening = sockio_address(optarg, &o->addr, &o->addr_len) == 0;
			break;
		case 't':
			r = truth_file_open(optarg, &o->truth_fd);
			if (r < 0) {
				fprintf(stderr, "%s: %s\n", optarg, strerror(-r));
				exit(1);
			}
			break;
		case 'T':
			o->threads = (unsigned int)text_option("--threads", optarg, 64);
			break;
		case 's':
			o->send = (enum send_how)how_option("--send", sockio_send_how(optarg));
			break;
		case 'r':
			o->recv = (enum recv_how)how_option("--recv", sockio_recv_how(optarg));
			break;
		case 'R':
			o->recv_bytes = (size_t)text_option("--recv-size", optarg, 16u << 20);
			break;
		case 'S':
			o->split = (size_t)text_option("--split", optarg, 1u << 20);
			break;
		default:
			usage();
			exit(opt == 'h' ? 0 : 2);
		}
	}
	if (!listening || o->threads == 0 || o->recv_bytes < 4096) {
		usage();
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options o = { .threads = 1, .recv_bytes = 65536, .truth_fd = -1, .body_fd = -1 };
	struct sigaction stop = { .sa_handler = on_signal };
	struct rlimit nofile;
	struct server *servers;
	uint64_t exchanges = 0, accepted = 0, bad = 0, without_seq = 0;
	int r = 0;

	read_options(argc, argv, &o);
	if (o.send == SEND_SENDFILE)
		o.body_fd = make_body_file();
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
		nofile.rlim_cur = nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
	servers = calloc(o.threads, sizeof(*servers));
	for (unsigned int i = 0; servers && i < o.threads && r == 0; i++) {
		servers[i].o = &o;
		r = server_listen(&servers[i]);
	}
	if (!servers || r < 0) {
		fprintf(stderr, "cannot listen: %s\n", strerror(-r));
		return 1;
	}
	for (unsigned int i = 0; i < o.threads; i++)
		pthread_create(&servers[i].thread, NULL, server_loop, &servers[i]);
	for (unsigned int i = 0; i < o.threads; i++) {
		pthread_join(servers[i].thread, NULL);
		exchanges += servers[i].exchanges;
		accepted += servers[i].accepted;
		bad += servers[i].bad;
		without_seq += servers[i].without_seq;
		r = servers[i].error < 0 ? servers[i].error : r;
	}
	printf("{\"exchanges\":%llu,\"connections\":%llu,\"bad\":%llu,\"without_seq\":%llu}\n",
	       (unsigned long long)exchanges, (unsigned long long)accepted, (unsigned long long)bad,
	       (unsigned long long)without_seq);
	free(servers);
	if (r < 0)
		fprintf(stderr, "the truth is incomplete: %s\n", strerror(-r));
	return r < 0 || bad ? 1 : 0;
}

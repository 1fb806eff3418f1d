#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "text.h"

#define HEAD_ROOM 1024u

int client_init(struct client *c, const struct client_options *o, struct client_stats *stats,
		struct truth_log *log)
{
	*c = (struct client){ .o = o, .stats = stats, .log = log, .fd = -1 };
	c->out.file_fd = -1;
	wire_reset(&c->in, true);
	c->ibuf = malloc(o->recv_bytes);
	c->fl = calloc(o->depth, sizeof(*c->fl));
	return c->ibuf && c->fl ? 0 : -ENOMEM;
}

int client_open(struct client *c, int epoll_fd)
{
	const int one = 1;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };

	c->fd = socket(c->o->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (c->o->bind_len && bind(c->fd, (const struct sockaddr *)&c->o->bind, c->o->bind_len) < 0)
		return -errno;
	if (connect(c->fd, (const struct sockaddr *)&c->o->addr, c->o->addr_len) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	c->connecting = true;
	c->events_watched = ev.events;
	c->stats->connections++;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0 ? -errno : 0;
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->connecting = c->last_sent = c->tunnel = c->held = false;
	c->ilen = 0;
	c->out.head = c->out.tail = 0;
	c->fl_head = c->fl_n = c->used = 0;
	c->interim_bytes = c->give_up_at_ns = 0;
	wire_reset(&c->in, true);
}

bool client_has_room(const struct client *c)
{
	return c->fd >= 0 && !c->connecting && !c->last_sent && !c->held && !c->pending &&
	       c->fl_n < c->o->depth;
}

static size_t put_chunks(struct outq *q, const struct plan *p)
{
	size_t total = p->request_body_bytes, framed = 0;
	bool extras = p->flags & PLAN_CHUNK_EXTRAS;
	const char *end = extras ? "0;z\r\nX-Up: 1\r\n\r\n" : "0\r\n\r\n";

	for (size_t done = 0; done < total;) {
		size_t n = 1 + (size_t)(text_mix(p->seq * 3 + done) % 2500);
		char line[48];
		int len;

		if (n > total - done)
			n = total - done;
		len = snprintf(line, sizeof(line), extras ? "%zx;n=1;q=\"x\\\"y\"\r\n" : "%zX\r\n",
			       n);
		outq_put(q, line, (size_t)len);
		outq_put_pattern(q, n);
		outq_put(q, "\r\n", 2);
		framed += (size_t)len + n + 2;
		done += n;
	}
	outq_put(q, end, strlen(end));
	return framed + strlen(end);
}

static size_t put_head(struct outq *q, const struct plan *p, bool close)
{
	char target[160], trace[33];
	char *out = outq_reserve(q, HEAD_ROOM);
	size_t n = 0;

	plan_target(p, target, sizeof(target));
	plan_trace_id(p, trace);
#define PUT(...) n += (size_t)snprintf(out + n, HEAD_ROOM - n, __VA_ARGS__)
	PUT("%s%s %s HTTP/1.%d\r\nHost: kelpie.test\r\nUser-Agent: kelpie-load/%llu\r\n"
	    "X-Seq: %llu\r\nX-Do: %x %x %x %x\r\n",
	    p->flags & PLAN_LEADING_CRLF ? "\r\n" : "", p->method, target,
	    p->flags & PLAN_HTTP10 ? 0 : 1, (unsigned long long)p->seq, (unsigned long long)p->seq,
	    p->status, p->response_body_bytes, p->flags, p->delay_ms);
	if (trace[0])
		PUT("traceparent: 00-%s-%016llx-01\r\n", trace, (unsigned long long)p->seq);
	if (close && !(p->flags & PLAN_HTTP10))
		PUT("Connection: close\r\n");
	if (p->status == 101)
		PUT("Connection: Upgrade\r\nUpgrade: kelpie-echo\r\n");
	if (p->flags & PLAN_CONTINUE)
		PUT("Expect: 100-continue\r\n");
	if (p->flags & PLAN_REQ_CHUNKED)
		PUT("Transfer-Encoding: chunked\r\n%s",
		    p->flags & PLAN_CHUNK_EXTRAS ? "Trailer: X-Up\r\n" : "");
	else if (p->request_body_bytes > 0)
		PUT("Content-Length: %u\r\n", p->request_body_bytes);
	PUT("\r\n");
#undef PUT
	q->tail += n;
	return n;
}

static void put_request(struct client *c, const struct plan *p, uint64_t due_ns)
{
	struct inflight *f = &c->fl[(c->fl_head + c->fl_n) % c->o->depth];
	bool full = c->o->per_conn && c->used + 1 >= c->o->per_conn;

	*f = (struct inflight){ .seq = p->seq, .due_ns = due_ns };
	f->start_unix_ns = sockio_unix_now_ns();
	f->last = full || (p->flags & PLAN_LAST);
	f->request_body_bytes = p->request_body_bytes;
	f->request_bytes = put_head(&c->out, p, full || (p->flags & PLAN_CLOSE));
	if (p->flags & PLAN_REQ_CHUNKED) {
		f->request_framed_bytes = put_chunks(&c->out, p);
	} else {
		f->request_framed_bytes = p->request_body_bytes;
		if (p->flags & PLAN_CONTINUE)
			c->held = true;
		else if (p->request_body_bytes)
			outq_put_pattern(&c->out, p->request_body_bytes);
	}
	f->request_bytes += f->request_framed_bytes;
	c->last_sent = f->last;
	if (p->flags & PLAN_GIVE_UP)
		c->give_up_at_ns = sockio_now_ns() + c->o->give_up_ns;
	c->fl_n++;
	c->used++;
}

void client_add(struct client *c, uint64_t seq, uint64_t due_ns)
{
	struct plan p;

	plan_make(&c->o->mix, seq, &p);
	if ((p.flags & PLAN_ALONE) && c->fl_n > 0) {
		c->pending = true;
		c->pending_seq = seq;
		c->pending_due_ns = due_ns;
		return;
	}
	put_request(c, &p, due_ns);
}

static void count_latency(struct client_stats *s, uint64_t ns)
{
	unsigned int top = ns < 64 ? 6 : 63 - (unsigned int)__builtin_clzll(ns);

	s->latency[top * 64 + ((ns >> (top - 6)) & 63)]++;
	if (ns > s->latency_max_ns)
		s->latency_max_ns = ns;
}

static void log_exchange(struct client *c, const struct plan *p, const struct inflight *f,
			 const char *outcome)
{
	const struct wire_msg *m = &c->in.msg;
	char path[160], trace[33];

	plan_path(p, path, sizeof(path));
	plan_trace_id(p, trace);
	truth_log_put(c->log, &(struct truth_row){
				      .seq = f->seq,
				      .kind = p->kind,
				      .method = p->method,
				      .path = path,
				      .minor = p->flags & PLAN_HTTP10 ? 0 : 1,
				      .status = m->status,
				      .client = &c->own,
				      .server = &c->peer,
				      .request_bytes = f->request_bytes,
				      .request_body_bytes = f->request_body_bytes,
				      .request_framed_bytes = f->request_framed_bytes,
				      .response_bytes = wire_total_bytes(m),
				      .response_body_bytes = m->body_bytes,
				      .response_framed_bytes = m->framed_bytes,
				      .interim_bytes = c->interim_bytes,
				      .has_response_seq = m->has_seq,
				      .response_seq = m->seq,
				      .trace_id = trace,
				      .keep_alive = m->keep_alive,
				      .outcome = outcome,
				      .start_unix_ns = f->start_unix_ns,
				      .end_unix_ns = sockio_unix_now_ns(),
			      });
	c->stats->done++;
}

/* Whether the answer is the one that was asked for. */
static void check_answer(struct client *c, const struct plan *p)
{
	const struct wire_msg *m = &c->in.msg;
	bool bodiless = p->flags & (PLAN_BODILESS | PLAN_TUNNEL | PLAN_EVENTS);

	if (m->has_seq && m->seq != p->seq)
		c->stats->wrong_seq++;
	if (c->o->foreign)
		return;
	if (!m->has_seq)
		c->stats->wrong_seq++;
	if (m->status != p->status)
		c->stats->wrong_status++;
	if (!bodiless && m->body_bytes != p->response_body_bytes)
		c->stats->wrong_body++;
}

static void start_tunnel(struct client *c, const struct plan *p)
{
	c->tunnel = true;
	c->tunnel_left = p->response_body_bytes;
	c->stats->tunnel_bytes += p->response_body_bytes;
	outq_put_pattern(&c->out, p->response_body_bytes);
}

/* The oldest request has its final answer. Returns false when the connection is over. */
static bool on_answer(struct client *c)
{
	struct inflight f = c->fl[c->fl_head];
	bool keep = c->in.msg.keep_alive;
	struct plan p;

	plan_make(&c->o->mix, f.seq, &p);
	check_answer(c, &p);
	count_latency(c->stats, sockio_now_ns() - f.due_ns);
	log_exchange(c, &p, &f, "ok");
	c->fl_head = (c->fl_head + 1) % c->o->depth;
	c->fl_n--;
	c->interim_bytes = 0;
	if ((p.flags & PLAN_TUNNEL) && c->in.msg.status == p.status)
		start_tunnel(c, &p);
	wire_reset(&c->in, true);
	return c->tunnel ? c->tunnel_left > 0 : keep && !f.last;
}

static void expect_answer(struct client *c)
{
	struct plan p;

	plan_make(&c->o->mix, c->fl[c->fl_head].seq, &p);
	c->in.no_body = strcmp(p.method, "HEAD") == 0 || strcmp(p.method, "CONNECT") == 0;
}

static void on_interim(struct client *c)
{
	c->interim_bytes += wire_total_bytes(&c->in.msg);
	if (c->in.msg.status == 100 && c->held) {
		unsigned int newest = (c->fl_head + c->fl_n - 1) % c->o->depth;

		c->held = false;
		outq_put_pattern(&c->out, c->fl[newest].request_body_bytes);
	}
	wire_reset(&c->in, true);
}

/* Reads answers out of the input buffer. Returns false when the connection is over. */
static bool take_answers(struct client *c)
{
	size_t at = 0;
	bool alive = true;

	while (at < c->ilen && alive && !c->tunnel) {
		size_t used = 0;

		if (c->fl_n == 0) {
			c->stats->bad++;
			return false;
		}
		expect_answer(c);
		if (wire_feed(&c->in, c->ibuf + at, c->ilen - at, &used) < 0) {
			c->stats->bad++;
			return false;
		}
		at += used;
		if (c->in.state == WIRE_DONE) {
			if (c->in.msg.status < 200 && c->in.msg.status != 101)
				on_interim(c);
			else
				alive = on_answer(c);
		} else if (used == 0) {
			break;
		}
	}
	if (c->tunnel) {
		size_t n = c->ilen - at;

		if (n > c->tunnel_left)
			c->stats->bad++;
		c->tunnel_left -= n < c->tunnel_left ? n : c->tunnel_left;
		at = c->ilen;
		alive = c->tunnel_left > 0;
	}
	memmove(c->ibuf, c->ibuf + at, c->ilen - at);
	c->ilen -= at;
	return alive;
}

/* The connection has ended: what was on the way stays without an answer. */
static void end_connection(struct client *c, const char *outcome)
{
	while (c->fl_n > 0) {
		struct inflight f = c->fl[c->fl_head];
		struct plan p;

		plan_make(&c->o->mix, f.seq, &p);
		if (p.flags & (PLAN_NO_ANSWER | PLAN_RESET | PLAN_GIVE_UP))
			c->stats->planned_failures++;
		else
			c->stats->failed++;
		log_exchange(c, &p, &f, outcome);
		wire_reset(&c->in, true);
		c->interim_bytes = 0;
		c->fl_head = (c->fl_head + 1) % c->o->depth;
		c->fl_n--;
	}
	client_close(c);
}

void client_done(struct client *c)
{
	end_connection(c, "closed_by_client");
	outq_done(&c->out);
	free(c->ibuf);
	free(c->fl);
}

bool client_flush(struct client *c, int epoll_fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (c->fd < 0 || c->connecting)
		return true;
	if (c->pending && c->fl_n == 0 && !c->last_sent) {
		c->pending = false;
		client_add(c, c->pending_seq, c->pending_due_ns);
	}
	if (outq_flush(&c->out, c->fd, c->o->send, c->o->split, &c->turn) < 0) {
		end_connection(c, "reset");
		return false;
	}
	if (!outq_empty(&c->out))
		ev.events |= EPOLLOUT;
	if (ev.events != c->events_watched) {
		c->events_watched = ev.events;
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	}
	return true;
}

static bool finish_connect(struct client *c)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err || sockio_own_name(c->fd, &c->own) < 0 || sockio_peer_name(c->fd, &c->peer) < 0) {
		client_close(c);
		return false;
	}
	c->connecting = false;
	return true;
}

bool client_on_event(struct client *c, int epoll_fd, uint32_t events)
{
	ssize_t r;

	if (c->connecting)
		return finish_connect(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		r = sockio_recv(c->fd, c->ibuf + c->ilen, c->o->recv_bytes - c->ilen, c->o->recv,
				&c->turn);
		if (r == 0 && wire_eof(&c->in))
			on_answer(c);
		if (r == 0 || (r < 0 && r != -EAGAIN)) {
			end_connection(c, r == 0 ? "closed_by_server" : "reset");
			return false;
		}
		if (r > 0)
			c->ilen += (size_t)r;
		if (r > 0 && !take_answers(c)) {
			end_connection(c, "closed_by_server");
			return false;
		}
	}
	return client_flush(c, epoll_fd);
}

bool client_check_time(struct client *c, uint64_t now_ns)
{
	if (!c->give_up_at_ns || now_ns < c->give_up_at_ns)
		return false;
	end_connection(c, "closed_by_client");
	return true;
}

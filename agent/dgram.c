#include "agent/dgram.h"

#include "agent/budget.h"
#include "agent/pipeline_int.h"
#include "base/bytes.h"
#include "protocols/dns/dns.h"
#include "protocols/dns/message.h"

#include <string.h>

#define PORT_DNS       53
#define PORT_MULTICAST 5353
#define FLOW_BIT       ((uint64_t)1 << 63) /* no number of a connection has it */

/* A datagram and what it looks like. */
struct dgram {
	const struct ev_dgram *ev;
	struct slice bytes;
	enum dir dir, request_dir;
	enum dns_shape shape;
	uint16_t id;
	uint32_t question;
	uint16_t server_port, client_port;
};

void dgram_init(struct dgrams *d)
{
	conn_table_init(&d->flows, DGRAM_FLOWS_MAX);
}

void dgram_done(struct dgrams *d)
{
	conn_table_done(&d->flows);
	free(d->known);
	free(d->twins);
}

static bool make_tables(struct dgrams *d)
{
	if (!d->known)
		d->known = calloc(DGRAM_SOCKS, sizeof(*d->known));
	if (!d->twins)
		d->twins = calloc((size_t)TWIN_SETS * TWIN_WAYS, sizeof(*d->twins));
	return d->known && d->twins;
}

/* ---- what is known ---- */

static struct dgram_known *known(struct pipeline *p, uint64_t key)
{
	struct dgram_known *k = &p->dgram.known[hash_u64(key) & (DGRAM_SOCKS - 1)];

	if (k->key != key)
		*k = (struct dgram_known){ .key = key };
	return k;
}

/* A server, whoever talks to it. */
static uint64_t server_key(const struct pipeline *p, const struct dgram *g)
{
	bool own = g->request_dir == DIR_RX;
	uint8_t bytes[22];

	memcpy(bytes, own ? g->ev->local : g->ev->remote, 16);
	put_le(bytes + 16, g->server_port, 2);
	put_le(bytes + 18, g->ev->netns, 4);
	return hash_bytes(&p->opts.id_key, slice_of(bytes, sizeof(bytes))) & ~FLOW_BIT;
}

static bool usual_port(const struct dgram *g)
{
	return g->server_port == PORT_DNS || g->server_port == PORT_MULTICAST;
}

static bool believed(struct pipeline *p, const struct dgram *g)
{
	return usual_port(g) || known(p, g->ev->sock)->is_dns || known(p, server_key(p, g))->is_dns;
}

static void tell_kernel(struct pipeline *p, const struct ev_dgram *ev, enum ctl_verdict verdict)
{
	struct conn_ctl *ctl;

	if (!p->opts.ctl || ev->slot >= p->opts.n_ctl)
		return;
	ctl = &p->opts.ctl[ev->slot];
	ctl->verdict = verdict;
	__atomic_store_n(&ctl->conn, ev->sock, __ATOMIC_RELEASE);
}

static void judge(struct pipeline *p, const struct dgram *g)
{
	known(p, g->ev->sock)->is_dns = 1;
	known(p, server_key(p, g))->is_dns = 1;
}

/* Not DNS: the socket is only counted when it goes on like that. */
static void strike(struct pipeline *p, const struct ev_dgram *ev)
{
	struct dgram_known *k = known(p, ev->sock);

	count(p, L3_D_UNREADABLE, 1);
	if (!k->is_dns && ++k->strikes >= DGRAM_STRIKES)
		tell_kernel(p, ev, CTL_COUNT);
}

/* ---- both ends of an exchange ---- */

static struct twin *twin_get(struct pipeline *p, uint64_t key)
{
	struct twin *set = &p->dgram.twins[(hash_u64(key) & (TWIN_SETS - 1)) * TWIN_WAYS];
	struct twin *oldest = set;

	for (size_t i = 0; i < TWIN_WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].last_ns < oldest->last_ns)
			oldest = &set[i];
	}
	*oldest = (struct twin){ .key = key };
	return oldest;
}

static void twin_note(struct pipeline *p, const struct dgram *g)
{
	bool server = g->request_dir == DIR_RX;
	struct hash_key key = p->opts.id_key;
	struct twin_end *end;
	struct twin *t;

	key.k0 ^= (uint64_t)g->client_port << 16 | g->server_port;
	p->dgram.twin_now = hash_bytes(&key, g->bytes);
	p->dgram.twin_now += !p->dgram.twin_now;
	t = twin_get(p, p->dgram.twin_now);
	end = server ? &t->server : &t->client;
	t->last_ns = g->ev->h.ts_ns;
	end->n++;
	end->tgid = g->ev->tgid;
	end->cgroup = g->ev->cgroup;
	end->netns = g->ev->netns;
	memcpy(end->other, g->ev->remote, sizeof(end->other));
	memcpy(end->comm, g->ev->comm, sizeof(end->comm));
	p->dgram.twin_nth = end->n;
}

void dgram_begun(struct pipeline *p, struct exchange *x)
{
	x->twin = p->dgram.twin_now;
	x->twin_nth = p->dgram.twin_nth;
}

bool dgram_server_saw(struct pipeline *p, const struct exchange *x)
{
	return x->twin && twin_get(p, x->twin)->server.n >= x->twin_nth;
}

/* A socket that is bound to no address has the one that the other end talks to: in one network
 * namespace nothing translates it on the way. */
static void own_address(struct conn *c, const struct twin_end *other)
{
	if (!other->n || other->netns != c->netns || !addr_is_any(c->local))
		return;
	memcpy(c->local, other->other, sizeof(c->local));
	c->names_gen = 0;
}

void dgram_ends(struct pipeline *p, struct conn *c, const struct exchange *x)
{
	const struct twin *t = x->twin ? twin_get(p, x->twin) : NULL;
	const struct twin_end *other;

	c->hash = x->twin;
	c->conn_sym = SYM_NONE;
	if (!t)
		return;
	other = c->request_dir == DIR_RX ? &t->client : &t->server;
	own_address(c, other);
	if (other->n < x->twin_nth ||
	    (other->tgid == c->peer_tgid && other->cgroup == c->peer_cgroup))
		return;
	c->peer_tgid = other->tgid;
	c->peer_cgroup = other->cgroup;
	memcpy(c->peer_comm, other->comm, sizeof(c->peer_comm));
	c->names_gen = 0;
}

/* ---- flows ---- */

static uint64_t flow_id(const struct pipeline *p, const struct dgram *g)
{
	uint8_t bytes[27];

	put_le(bytes, g->ev->sock, 8);
	memcpy(bytes + 8, g->ev->remote, 16);
	put_le(bytes + 24, g->ev->remote_port, 2);
	bytes[26] = (uint8_t)g->request_dir;
	return hash_bytes(&p->opts.id_key, slice_of(bytes, sizeof(bytes))) | FLOW_BIT;
}

/* The flow of a datagram. An answer whose receiver did not ask who sent it is of the flow that its socket
 * has asked last, as far as that speaks DNS: the message's id and question decide further. */
static uint64_t flow_of(struct pipeline *p, const struct dgram *g)
{
	struct dgram_known *k = known(p, g->ev->sock);
	uint64_t id = flow_id(p, g);
	const struct conn *asked;

	if (g->dir == DIR_TX && g->request_dir == DIR_TX)
		k->asked = id;
	if (g->dir == DIR_TX || g->request_dir == DIR_RX || g->ev->remote_port || !k->asked)
		return id;
	asked = conn_get(&p->dgram.flows, k->asked);
	return asked && asked->state == CONN_PARSING ? k->asked : id;
}

static void drop_held(struct pipeline *p, struct conn *c)
{
	if (!c->held)
		return;
	free(c->held);
	c->held = NULL;
	p->counts[L3_D_HELD]--;
	count(p, L3_D_UNREADABLE, 1);
}

static void end_flow(struct pipeline *p, struct conn *c)
{
	drop_held(p, c);
	pair_at(&p->pair, p, c, DIR_RX);
	if (c->parser) {
		struct sink sink = { &pair_sink, &p->pair, 0 };

		if (c->state == CONN_PARSING)
			c->ops->close(c->parser, &sink);
		pair_close(p, c);
		c->hash = 0;
		c->closed_ns = c->last_ns;
		pipeline_conn_row(p, c, "closed");
		free(c->parser);
		c->parser = NULL;
	}
	conn_del(&p->dgram.flows, c);
}

static void end_flow_as(struct pipeline *p, struct conn *c, const char *outcome)
{
	const char *before = p->pair.outcome;

	p->pair.outcome = outcome;
	end_flow(p, c);
	p->pair.outcome = before;
}

static const char *refused(struct pipeline *p, const struct conn *c)
{
	uint32_t shift = atomic_load_explicit(&p->opts.ledger->attacher.sample_shift,
					      memory_order_relaxed);
	const char *why = policy_refuses_command(&p->policy, c->comm);

	if (!why)
		why = policy_refuses_protocol(&p->policy, PROTO_DNS);
	if (!why && join_opted_out(p, c))
		why = JOIN_OPTED_OUT;
	if (!why && !budget_takes(shift, c->id))
		why = "left out: capture.budgetCores";
	return why;
}

static struct conn *make_flow(struct pipeline *p, const struct dgram *g, uint64_t id)
{
	struct conn_table *t = &p->dgram.flows;
	struct ev_conn open = { .h.ts_ns = g->ev->h.ts_ns,
				.conn = id,
				.cgroup = g->ev->cgroup,
				.slot = EV_NO_SLOT,
				.netns = g->ev->netns,
				.tgid = g->ev->tgid,
				.local_port = g->ev->local_port,
				.remote_port = g->ev->remote_port };
	struct conn *c;

	memcpy(open.local, g->ev->local, sizeof(open.local));
	memcpy(open.remote, g->ev->remote, sizeof(open.remote));
	memcpy(open.comm, g->ev->comm, sizeof(open.comm));
	open.initiator = g->request_dir == DIR_TX ? EV_INITIATOR_LOCAL : EV_INITIATOR_REMOTE;
	if (t->n >= t->max)
		end_flow_as(p, conn_idlest(t), "evicted");
	c = conn_add(t, &open, 0);
	if (!c)
		return NULL;
	c->datagram = true;
	c->role_known = true;
	c->request_dir = (uint8_t)g->request_dir;
	c->why_unreadable = refused(p, c);
	c->poisoned = pipeline_poisoned(p, id);
	if (c->why_unreadable || c->poisoned)
		c->state = CONN_IGNORED;
	return c;
}

static bool make_parser(struct conn *c, const struct dgram *g)
{
	bool multicast = g->ev->local_port == PORT_MULTICAST &&
			 g->ev->remote_port == PORT_MULTICAST;

	c->ops = multicast ? &dns_multicast_ops : &dns_dgram_ops;
	c->parser = calloc(1, c->ops->state_size);
	if (!c->parser)
		return false;
	c->ops->init(c->parser, g->request_dir, false);
	c->state = CONN_PARSING;
	c->proto = PROTO_DNS;
	return true;
}

/* ---- to the parser ---- */

static void give(struct pipeline *p, struct conn *c, struct slice v, enum dir dir,
		 uint32_t orig_len, uint64_t ts_ns)
{
	struct stream *s = &c->dir[dir];
	struct sink sink = { &pair_sink, &p->pair, 0 };
	struct parse_in in = { .buf = v, .off = s->seen, .dir = dir };
	struct drive_result r;

	s->marks[0] = (struct time_mark){ s->seen, ts_ns };
	s->n_marks = 1;
	s->seen += orig_len;
	s->next = s->seen;
	c->copied_bytes += v.n;
	pair_at(&p->pair, p, c, dir);
	r = proto_drive(c->ops, c->parser, in, &sink);
	count(p, L3_D_OUT, 1);
	count(p, L5_IN, r.consumed);
	if (!leaks(p, 5))
		count(p, L5_OUT, r.consumed - MIN(r.resynced, r.consumed));
	count(p, L5_RESYNCED, MIN(r.resynced, r.consumed));
	if (r.violated) {
		c->state = CONN_IGNORED;
		c->why_unreadable = "parser error";
	}
}

/* A query of a flow that nobody believes yet. */
struct held {
	uint64_t ts_ns, twin;
	uint32_t twin_nth, question, n;
	uint16_t id;
	uint8_t bytes[DGRAM_HELD_MAX];
};

static void hold(struct pipeline *p, struct conn *c, const struct dgram *g)
{
	struct held *h;

	drop_held(p, c); /* only the last is waited for */
	h = g->bytes.n <= DGRAM_HELD_MAX ? malloc(sizeof(*h)) : NULL;
	if (!h) {
		count(p, L3_D_UNREADABLE, 1);
		return;
	}
	h->ts_ns = g->ev->h.ts_ns;
	h->twin = p->dgram.twin_now;
	h->twin_nth = p->dgram.twin_nth;
	h->question = g->question;
	h->id = g->id;
	h->n = (uint32_t)g->bytes.n;
	memcpy(h->bytes, g->bytes.p, g->bytes.n);
	c->held = h;
	p->counts[L3_D_HELD]++;
}

/* From now on the flow speaks DNS; what was held back comes first. */
static bool start_flow(struct pipeline *p, struct conn *c, const struct dgram *g)
{
	struct held *h = c->held;
	uint64_t twin = p->dgram.twin_now;
	uint32_t nth = p->dgram.twin_nth;

	if (!make_parser(c, g))
		return false;
	judge(p, g);
	if (!h)
		return true;
	c->held = NULL;
	p->counts[L3_D_HELD]--;
	p->dgram.twin_now = h->twin;
	p->dgram.twin_nth = h->twin_nth;
	give(p, c, slice_of(h->bytes, h->n), g->request_dir, h->n, h->ts_ns);
	p->dgram.twin_now = twin;
	p->dgram.twin_nth = nth;
	free(h);
	return c->state == CONN_PARSING;
}

static bool answers_held(const struct conn *c, const struct dgram *g)
{
	const struct held *h = c->held;

	return h && g->shape == DNS_SHAPE_ANSWER && h->id == g->id && h->question == g->question;
}

/* Whether the flow, that nobody has judged yet, is DNS from this datagram on. */
static bool found_out(struct pipeline *p, struct conn *c, const struct dgram *g)
{
	if (g->shape != DNS_SHAPE_NONE && (believed(p, g) || answers_held(c, g)))
		return start_flow(p, c, g);
	if (g->shape == DNS_SHAPE_QUERY)
		hold(p, c, g);
	else
		strike(p, g->ev);
	return false;
}

/* What the datagram is to its flow. */
static void on_flow(struct pipeline *p, struct conn *c, const struct dgram *g)
{
	conn_touch(&p->dgram.flows, c, g->ev->h.ts_ns);
	if (c->poisoned || c->state == CONN_IGNORED || p->paused) {
		count(p, c->poisoned ? L3_D_POISON : L3_D_IGNORED, 1);
		return;
	}
	if (c->state == CONN_UNKNOWN_PROTO && !found_out(p, c, g))
		return;
	tell_kernel(p, g->ev, CTL_COPY);
	give(p, c, g->bytes, g->dir, g->ev->orig_len, g->ev->h.ts_ns);
}

/* Of a flow that speaks DNS anything with a header is given to the parser; else the shape must fit. */
static bool look(struct dgram *g, const struct ev_dgram *ev)
{
	bool whole = ev->cap_len == ev->orig_len, answer;
	struct dns_header h;

	g->ev = ev;
	g->bytes = slice_of(ev->data, ev->cap_len);
	g->dir = ev->h.flags & EV_F_TX ? DIR_TX : DIR_RX;
	if (!dns_read_header(g->bytes, &h))
		return false;
	g->shape = dns_shape_of(g->bytes, whole, &g->id, &g->question);
	answer = h.flags & DNS_QR;
	g->request_dir = answer ? dir_other(g->dir) : g->dir;
	g->server_port = g->request_dir == DIR_TX ? ev->remote_port : ev->local_port;
	g->client_port = g->request_dir == DIR_TX ? ev->local_port : ev->remote_port;
	return true;
}

void dgram_event(struct pipeline *p, const struct ev_dgram *ev)
{
	struct dgram g;
	struct conn *c;
	uint64_t id;

	count(p, L3_D_IN, 1);
	if (leaks(p, 3))
		return;
	if (!make_tables(&p->dgram) || !look(&g, ev)) {
		count(p, L3_D_UNREADABLE, 1);
		return;
	}
	id = flow_of(p, &g);
	c = conn_get(&p->dgram.flows, id);
	if (!c && g.shape == DNS_SHAPE_NONE) {
		strike(p, ev);
		return;
	}
	atomic_store_explicit(&p->opts.ledger->parser.at_conn, id, memory_order_relaxed);
	if (!c)
		c = make_flow(p, &g, id);
	if (!c) {
		count(p, L3_D_UNREADABLE, 1);
		return;
	}
	p->dgram.twin_now = 0;
	/* A query to a group has many servers, and the same bytes every time. */
	if (g.request_dir == g.dir && g.server_port != PORT_MULTICAST)
		twin_note(p, &g);
	on_flow(p, c, &g);
}

/* ---- time ---- */

void dgram_sweep(struct pipeline *p)
{
	uint64_t before = p->now_ns - MIN(p->now_ns, (uint64_t)DGRAM_IDLE_NS);
	struct conn_table *t = &p->dgram.flows;

	for (struct conn *c = t->lru.lru_next, *next; c != &t->lru; c = next) {
		next = c->lru_next;
		if (c->last_ns < before) {
			end_flow_as(p, c, "timed_out");
		} else if (c->open_head) {
			pair_at(&p->pair, p, c, DIR_RX);
			pair_expire(p, c, before);
		}
	}
}

bool dgram_stop(struct pipeline *p)
{
	struct conn *c = conn_idlest(&p->dgram.flows);

	if (c)
		end_flow(p, c);
	return c != NULL;
}

/* Reassembly follows the receiver: bytes are shown when the hole before them is filled, with the
 * time of the packet that filled it. A hole is given up when the receiver has acknowledged past it
 * (so the bytes existed and the capture has not got them) and STUCK_PACKETS more packets of the
 * connection have come without it, or when too much is held behind it. */
#include "agent/pcap_flow.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/util.h"
#include "protocols/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define STUCK_PACKETS 16
#define HELD_MAX      1024	 /* segments out of order in one direction */
#define JUMP_MAX      (1u << 30) /* bytes ahead of what is expected: further is no data of it */
/* An unanswered SYN at the end of the file counts as failed after this. */
#define CONNECT_MAX_NS 3000000000ULL

enum tcp_state { TCP_STATE_ESTABLISHED = 1, TCP_STATE_SYN_SENT = 2, TCP_STATE_LAST_ACK = 9 };

/* Bytes that came before their turn. */
struct held {
	struct held *next;
	uint64_t pos;
	uint32_t n, len; /* bytes recorded, bytes in all */
	uint8_t data[];
};

/* What one end sends. */
struct side {
	uint8_t addr[16];
	uint16_t port;
	bool known; /* base is */
	bool fin, eof_told;
	uint32_t base; /* sequence number of position 0 */
	uint32_t stuck;
	uint32_t n_held;
	uint64_t next;	  /* position of the first byte that was not shown yet */
	uint64_t acked;	  /* position up to which the other end has all */
	uint64_t fin_pos; /* valid with fin */
	uint64_t held_bytes;
	struct held *held; /* ascending positions */
};

enum client { CLIENT_0, CLIENT_1, CLIENT_UNKNOWN };

struct flow {
	struct flow *lru_prev, *lru_next;
	uint64_t key, conn;
	struct side side[2];
	uint8_t client; /* enum client: index of the side that connected */
	bool ipv6, opened, closed, syn, synack;
	uint64_t syn_ns, synack_ns;
	uint64_t shown_bytes, lost_bytes;
	uint32_t retransmits;
};

struct flows {
	pcap_emit_fn emit;
	void *ctx;
	struct pcap_stats *stats;
	struct hash_key hash;
	struct hashmap by_key;
	struct flow lru; /* idlest first */
	uint64_t conns, held_bytes, now_ns;
	_Alignas(8) uint8_t record[sizeof(struct ev_data) + EV_CHUNK_MAX];
};

struct flows *flows_new(pcap_emit_fn emit, void *ctx, struct pcap_stats *stats)
{
	struct flows *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->emit = emit;
	f->ctx = ctx;
	f->stats = stats;
	hash_key_random(&f->hash);
	hashmap_init(&f->by_key, PCAP_FLOWS_MAX);
	f->lru.lru_prev = f->lru.lru_next = &f->lru;
	return f;
}

/* ---- records ---- */

static struct ev_hdr header(const struct flows *f, enum ev_type type, size_t len)
{
	return (struct ev_hdr){ .len = (uint32_t)len,
				.type = (uint8_t)type,
				.version = EV_VERSION,
				.ts_ns = f->now_ns };
}

/* local: index of the side whose end the connection is shown from. */
static struct ev_conn conn_record(struct flows *f, const struct flow *fl, unsigned int local,
				  enum ev_type type)
{
	const struct side *l = &fl->side[local], *r = &fl->side[!local];
	struct ev_conn ev = { .h = header(f, type, sizeof(ev)),
			      .conn = fl->conn,
			      .isn = { r->base, l->base },
			      .slot = EV_NO_SLOT,
			      .local_port = l->port,
			      .remote_port = r->port,
			      .family = fl->ipv6 ? AF_INET6 : AF_INET,
			      .isn_known = fl->synack };

	memcpy(ev.local, l->addr, 16);
	memcpy(ev.remote, r->addr, 16);
	return ev;
}

static unsigned int server_of(const struct flow *fl)
{
	return fl->client == CLIENT_0;
}

static void tell_open(struct flows *f, struct flow *fl)
{
	struct ev_conn ev;

	if (fl->opened)
		return;
	fl->opened = true;
	fl->conn = ++f->conns;
	ev = conn_record(f, fl, server_of(fl), EV_CONN_OPEN);
	ev.tcp_state = TCP_STATE_ESTABLISHED;
	ev.initiator = fl->syn || fl->synack ? EV_INITIATOR_REMOTE : EV_INITIATOR_UNKNOWN;
	if (!fl->syn && !fl->synack)
		ev.h.flags = EV_F_OLD;
	if (fl->syn && fl->synack_ns > fl->syn_ns)
		ev.connect_ns = fl->synack_ns - fl->syn_ns;
	f->emit(f->ctx, &ev.h);
}

static void tell_failed(struct flows *f, struct flow *fl, int err)
{
	struct ev_conn ev;

	fl->conn = ++f->conns;
	ev = conn_record(f, fl, fl->client, EV_CONN_FAILED);
	ev.tcp_state = TCP_STATE_SYN_SENT;
	ev.initiator = EV_INITIATOR_LOCAL;
	ev.isn_known = 0;
	ev.err = err;
	ev.connect_ns = f->now_ns > fl->syn_ns ? f->now_ns - fl->syn_ns : 0;
	f->emit(f->ctx, &ev.h);
	fl->closed = true;
}

static void tell_eof(struct flows *f, struct flow *fl, unsigned int from)
{
	struct side *s = &fl->side[from];
	struct ev_eof ev = { .h = header(f, EV_CONN_EOF, sizeof(ev)),
			     .conn = fl->conn,
			     .pos = s->fin_pos };

	if (s->eof_told)
		return;
	s->eof_told = true;
	ev.h.flags = from == server_of(fl) ? EV_F_TX : 0;
	f->emit(f->ctx, &ev.h);
}

/* Shows bytes at their turn: data, and len - data.n bytes behind them that were not recorded. */
static void tell_data(struct flows *f, struct flow *fl, unsigned int from, struct slice data,
		      uint32_t len)
{
	struct ev_data *ev = (struct ev_data *)(void *)f->record;
	struct side *s = &fl->side[from];

	while (len > 0) {
		uint32_t n = (uint32_t)MIN(data.n, (size_t)EV_CHUNK_MAX);
		uint32_t stands_for = n < data.n ? n : len;

		*ev = (struct ev_data){ .h = header(f, EV_DATA, sizeof(*ev) + n),
					.conn = fl->conn,
					.pos = s->next,
					.orig_len = stands_for,
					.cap_len = n,
					.slot = EV_NO_SLOT };
		ev->h.flags = from == server_of(fl) ? EV_F_TX : 0;
		ev->h.miss = stands_for > n ? EV_MISS_LIMIT : EV_MISS_NONE;
		if (n > 0)
			memcpy(ev->data, data.p, n);
		f->emit(f->ctx, &ev->h);
		fl->shown_bytes += n;
		f->stats->delivered_bytes += n;
		fl->lost_bytes += stands_for - n;
		f->stats->lost_bytes += stands_for - n;
		data = slice_from(data, n);
		len -= stands_for;
		s->next += stands_for;
	}
}

/* ---- order ---- */

static void held_pop(struct flows *f, struct side *s)
{
	struct held *h = s->held;

	s->held = h->next;
	s->n_held--;
	s->held_bytes -= h->n;
	f->held_bytes -= h->n;
	free(h);
}

/* The bytes of a piece at pos that are still wanted. */
static void show(struct flows *f, struct flow *fl, unsigned int from, uint64_t pos,
		 struct slice data, uint32_t len)
{
	uint64_t old = fl->side[from].next - pos;

	if (old >= len)
		return;
	tell_data(f, fl, from, slice_from(data, (size_t)old), len - (uint32_t)old);
}

/* Shows what is held and has its turn now. */
static void drain(struct flows *f, struct flow *fl, unsigned int from)
{
	struct side *s = &fl->side[from];

	while (s->held && s->held->pos <= s->next) {
		show(f, fl, from, s->held->pos, slice_of(s->held->data, s->held->n), s->held->len);
		held_pop(f, s);
		s->stuck = 0;
	}
}

/* The hole before what is held will not be filled. */
static void give_up_hole(struct flows *f, struct flow *fl, unsigned int from)
{
	struct side *s = &fl->side[from];
	uint64_t lost;

	if (!s->held || s->held->pos <= s->next)
		return;
	lost = s->held->pos - s->next;
	fl->lost_bytes += lost;
	f->stats->lost_bytes += lost;
	s->next = s->held->pos;
	drain(f, fl, from);
}

static void give_up_all(struct flows *f, struct flow *fl)
{
	for (unsigned int i = 0; i < 2; i++)
		while (fl->side[i].held)
			give_up_hole(f, fl, i);
}

static int hold(struct flows *f, struct flow *fl, unsigned int from, uint64_t pos,
		const struct segment *seg)
{
	struct side *s = &fl->side[from];
	struct held **at = &s->held, *h;

	while (*at && (*at)->pos < pos)
		at = &(*at)->next;
	if (*at && (*at)->pos == pos && (*at)->len >= seg->payload_len) {
		fl->retransmits++;
		f->stats->retransmitted_bytes += seg->payload_len;
		return 0;
	}
	h = malloc(sizeof(*h) + seg->payload.n);
	if (!h)
		return -ENOMEM;
	*h = (struct held){ *at, pos, (uint32_t)seg->payload.n, seg->payload_len };
	if (seg->payload.n > 0)
		memcpy(h->data, seg->payload.p, seg->payload.n);
	*at = h;
	s->n_held++;
	s->held_bytes += h->n;
	f->held_bytes += h->n;
	while (s->held && (s->n_held > HELD_MAX || s->held_bytes > PCAP_FLOW_HELD_MAX ||
			   f->held_bytes > PCAP_HELD_MAX))
		give_up_hole(f, fl, from);
	return 0;
}

/* Position of a sequence number near `near`; negative for one before position 0. */
static int64_t position(const struct side *s, uint32_t seq, uint64_t near)
{
	return (int64_t)near + (int32_t)(seq - (s->base + (uint32_t)near));
}

static int take_payload(struct flows *f, struct flow *fl, unsigned int from,
			const struct segment *seg, uint32_t seq)
{
	struct side *s = &fl->side[from];
	int64_t pos = position(s, seq, s->next);
	uint64_t end;

	if (pos < 0 || (uint64_t)pos + seg->payload_len <= s->next) {
		fl->retransmits++;
		f->stats->retransmitted_bytes += seg->payload_len;
		return 0;
	}
	end = (uint64_t)pos + seg->payload_len;
	if (end > s->next + JUMP_MAX)
		return 0;
	if ((uint64_t)pos > s->next)
		return hold(f, fl, from, (uint64_t)pos, seg);
	if ((uint64_t)pos < s->next)
		f->stats->retransmitted_bytes += s->next - (uint64_t)pos;
	show(f, fl, from, (uint64_t)pos, seg->payload, seg->payload_len);
	drain(f, fl, from);
	return 0;
}

/* ---- the life of a connection ---- */

enum reset_by { RESET_BY_NOBODY, RESET_BY_CLIENT, RESET_BY_SERVER };

static void flow_close(struct flows *f, struct flow *fl, enum reset_by reset)
{
	unsigned int server = server_of(fl);
	struct ev_close ev;

	if (fl->closed)
		return;
	give_up_all(f, fl);
	fl->closed = true;
	if (!fl->opened)
		return;
	for (unsigned int i = 0; i < 2; i++)
		if (fl->side[i].fin && fl->side[i].next >= fl->side[i].fin_pos)
			tell_eof(f, fl, i);
	ev = (struct ev_close){ .h = header(f, EV_CONN_CLOSE, sizeof(ev)),
				.conn = fl->conn,
				.pos = { fl->side[!server].next, fl->side[server].next },
				.copied_bytes = fl->shown_bytes,
				.lost_bytes = fl->lost_bytes,
				.retransmits = fl->retransmits,
				.err = reset ? ECONNRESET : 0,
				.from_state = reset ? TCP_STATE_ESTABLISHED : TCP_STATE_LAST_ACK };
	if (reset == RESET_BY_SERVER)
		ev.h.flags = EV_F_TX;
	f->emit(f->ctx, &ev.h);
}

static void flow_free(struct flows *f, struct flow *fl)
{
	for (int i = 0; i < 2; i++)
		while (fl->side[i].held)
			held_pop(f, &fl->side[i]);
	hashmap_del(&f->by_key, fl->key);
	fl->lru_prev->lru_next = fl->lru_next;
	fl->lru_next->lru_prev = fl->lru_prev;
	free(fl);
}

void flows_free(struct flows *f)
{
	if (!f)
		return;
	while (f->lru.lru_next != &f->lru)
		flow_free(f, f->lru.lru_next);
	hashmap_done(&f->by_key);
	free(f);
}

/* Equal for both directions. */
static uint64_t flow_key(const struct flows *f, const struct segment *s)
{
	uint8_t a[18], b[18], both[36];
	bool swap;

	memcpy(a, s->src, 16);
	memcpy(a + 16, &s->src_port, 2);
	memcpy(b, s->dst, 16);
	memcpy(b + 16, &s->dst_port, 2);
	swap = memcmp(a, b, sizeof(a)) > 0;
	memcpy(both, swap ? b : a, 18);
	memcpy(both + 18, swap ? a : b, 18);
	return hash_bytes(&f->hash, slice_of(both, sizeof(both)));
}

static bool is_side(const struct side *s, const uint8_t addr[16], uint16_t port)
{
	return s->port == port && memcmp(s->addr, addr, 16) == 0;
}

static void flow_reset(struct flow *fl, const struct segment *s)
{
	struct flow kept = { fl->lru_prev, fl->lru_next, .key = fl->key, .client = CLIENT_UNKNOWN };

	*fl = kept;
	fl->ipv6 = s->ipv6;
	memcpy(fl->side[0].addr, s->src, 16);
	fl->side[0].port = s->src_port;
	memcpy(fl->side[1].addr, s->dst, 16);
	fl->side[1].port = s->dst_port;
}

static void touch(struct flows *f, struct flow *fl)
{
	if (fl->lru_next) {
		fl->lru_prev->lru_next = fl->lru_next;
		fl->lru_next->lru_prev = fl->lru_prev;
	}
	fl->lru_prev = f->lru.lru_prev;
	fl->lru_next = &f->lru;
	f->lru.lru_prev->lru_next = fl;
	f->lru.lru_prev = fl;
}

static void evict(struct flows *f)
{
	struct flow *idlest = f->lru.lru_next;

	if (!idlest->closed) {
		f->stats->flows_evicted++;
		if (idlest->opened)
			give_up_all(f, idlest);
	}
	flow_free(f, idlest);
}

static struct flow *flow_new(struct flows *f, uint64_t key, const struct segment *s)
{
	struct flow *fl;

	if (f->by_key.len >= PCAP_FLOWS_MAX)
		evict(f);
	fl = calloc(1, sizeof(*fl));
	if (!fl)
		return NULL;
	fl->key = key;
	if (hashmap_put_ptr(&f->by_key, key, fl) < 0) {
		free(fl);
		return NULL;
	}
	flow_reset(fl, s);
	touch(f, fl);
	f->stats->flows++;
	return fl;
}

/* ---- one segment ---- */

static void take_syn(struct flow *fl, unsigned int from, const struct segment *s)
{
	struct side *me = &fl->side[from], *peer = &fl->side[!from];

	if (!me->known) {
		me->known = true;
		me->base = s->seq + 1;
	}
	if (fl->opened)
		return; /* who is the client was told, and directions with it */
	if (s->flags & TCP_ACK) {
		fl->client = (uint8_t)!from;
		fl->synack = true;
		fl->synack_ns = s->ts_ns;
		if (!peer->known) {
			peer->known = true;
			peer->base = s->ack;
		}
	} else if (!fl->syn) {
		fl->client = (uint8_t)from;
		fl->syn = true;
		fl->syn_ns = s->ts_ns;
	}
}

/* Without a SYN: who is the client, by the first payload. */
static void judge_client(struct flow *fl, unsigned int from, const struct segment *s)
{
	struct probe_in in = { .head = s->payload };
	bool is_request = false, more;

	if (fl->client != CLIENT_UNKNOWN)
		return;
	if (proto_infer(&in, &is_request, &more) != PROTO_UNKNOWN)
		fl->client = (uint8_t)(is_request ? from : !from);
	else
		fl->client = (uint8_t)(fl->side[0].port > fl->side[1].port ? CLIENT_0 : CLIENT_1);
}

static void take_ack(struct flow *fl, unsigned int from, const struct segment *s)
{
	struct side *peer = &fl->side[!from];
	int64_t pos;

	if (!(s->flags & TCP_ACK))
		return;
	if (!peer->known) {
		peer->known = true;
		peer->base = s->ack;
		return;
	}
	pos = position(peer, s->ack, peer->next);
	if (pos > 0 && (uint64_t)pos > peer->acked && (uint64_t)pos <= peer->next + JUMP_MAX)
		peer->acked = (uint64_t)pos;
}

static void check_holes(struct flows *f, struct flow *fl)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &fl->side[i];

		if (!s->held || s->acked <= s->next)
			continue;
		if (++s->stuck > STUCK_PACKETS) {
			give_up_hole(f, fl, i);
			s->stuck = 0;
		}
	}
}

static void check_end(struct flows *f, struct flow *fl)
{
	bool ended = true;

	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &fl->side[i];

		if (s->fin && s->next >= s->fin_pos)
			tell_eof(f, fl, i);
		ended = ended && s->eof_told;
	}
	if (ended)
		flow_close(f, fl, RESET_BY_NOBODY);
}

static void take_fin(struct flow *fl, unsigned int from, const struct segment *s, uint32_t seq)
{
	struct side *me = &fl->side[from];
	int64_t pos = position(me, seq + s->payload_len, me->next);

	if (!(s->flags & TCP_FIN) || me->fin || !me->known || pos < 0)
		return;
	me->fin = true;
	me->fin_pos = (uint64_t)pos;
}

/* A reset behind both FINs ends nothing. */
static enum reset_by reset_by(const struct flow *fl, unsigned int from)
{
	if (fl->side[0].fin && fl->side[1].fin)
		return RESET_BY_NOBODY;
	return from == server_of(fl) ? RESET_BY_SERVER : RESET_BY_CLIENT;
}

static int take(struct flows *f, struct flow *fl, unsigned int from, const struct segment *s)
{
	uint32_t seq = s->seq + (s->flags & TCP_SYN ? 1 : 0);
	struct side *me = &fl->side[from];
	int e = 0;

	if (s->flags & TCP_SYN)
		take_syn(fl, from, s);
	if (s->flags & TCP_RST) {
		if (!fl->opened && fl->syn && !fl->synack && from != fl->client)
			tell_failed(f, fl, ECONNREFUSED);
		else
			flow_close(f, fl, reset_by(fl, from));
		return 0;
	}
	if (s->payload_len > 0) {
		if (!me->known) {
			me->known = true;
			me->base = seq;
		}
		judge_client(fl, from, s);
	}
	if (fl->client != CLIENT_UNKNOWN && (s->payload_len > 0 || fl->synack))
		tell_open(f, fl);
	if (s->payload_len > 0)
		e = take_payload(f, fl, from, s, seq);
	take_ack(fl, from, s);
	take_fin(fl, from, s, seq);
	if (fl->opened) {
		check_holes(f, fl);
		check_end(f, fl);
	}
	return e;
}

/* Whether a SYN begins another connection between the same ports. */
static bool is_new_connection(const struct flow *fl, unsigned int from, const struct segment *s)
{
	const struct side *me = &fl->side[from];

	return (s->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && me->known &&
	       (fl->closed || me->base != s->seq + 1);
}

int flows_push(struct flows *f, const struct segment *s)
{
	uint64_t key = flow_key(f, s);
	struct flow *fl = hashmap_get_ptr(&f->by_key, key);
	unsigned int from;

	f->now_ns = MAX(f->now_ns, s->ts_ns);
	if (!fl) {
		if (s->payload_len == 0 && !(s->flags & TCP_SYN))
			return 0; /* nothing to learn from it */
		fl = flow_new(f, key, s);
		if (!fl)
			return -ENOMEM;
	}
	from = is_side(&fl->side[0], s->src, s->src_port) ? 0 : 1;
	if (!is_side(&fl->side[from], s->src, s->src_port))
		return 0; /* two tuples with one hash */
	touch(f, fl);
	if (is_new_connection(fl, from, s)) {
		flow_close(f, fl, RESET_BY_NOBODY);
		flow_reset(fl, s);
		f->stats->flows++;
		from = 0;
	}
	return fl->closed ? 0 : take(f, fl, from, s);
}

void flows_finish(struct flows *f)
{
	for (struct flow *fl = f->lru.lru_next; fl != &f->lru; fl = fl->lru_next) {
		if (fl->closed)
			continue;
		if (fl->opened) {
			give_up_all(f, fl);
			check_end(f, fl);
		} else if (fl->syn && !fl->synack && f->now_ns - fl->syn_ns >= CONNECT_MAX_NS) {
			tell_failed(f, fl, ETIMEDOUT);
		}
	}
}

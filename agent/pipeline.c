#include "agent/pipeline.h"

#include "agent/budget.h"
#include "agent/pipeline_int.h"
#include "base/text.h"

#include <string.h>

#define SWEEP_NS	(1 * NSEC_PER_SEC) /* between looks at idle connections */
#define TCP_ESTABLISHED 1		   /* enum of the kernel's include/net/tcp_states.h */
#define TCP_CLOSE_WAIT	8
#define SNAPSHOT_ROUND	2048 /* rows of a snapshot in a round: about a quarter of the queue */
#define SLOT_USES_BACK	4 /* uses of a slot in which a connection is looked for whose end was lost */
#define REPLACED_NS	(30 * NSEC_PER_SEC) /* its end would have been told by then */
#define WAIT_NS		(1 * NSEC_PER_SEC) /* the other direction's bytes come within this, or never */

struct pipeline *pipeline_new(const struct pipeline_opts *opts)
{
	_cleanup_(freep) struct pipeline *p = calloc(1, sizeof(*p));
	struct hash_key seed;
	char why[256];

	if (!p)
		return NULL;
	p->opts = *opts;
	conn_table_init(&p->conns, CONN_MAX);
	dgram_init(&p->dgram);
	pair_init(&p->pair);
	catalogue_init(&p->catalogue);
	path_guard_init(&p->paths);
	hash_key_random(&seed);
	p->memo.seed = seed.k0;
	if (policy_init(&p->policy, opts->cfg, why, sizeof(why)) < 0)
		return NULL; /* whoever read the configuration has checked it */
	if (join_init(&p->join) < 0)
		return NULL;
	join_reset_syms(p);
	for (size_t i = 0; i < _LEDGER_MAX; i++)
		p->counts[i] = atomic_load(&p->opts.ledger->parser.count[i]);
	p->seq = atomic_load(&p->opts.ledger->parser.rows_seq);
	return TAKE_PTR(p);
}

static void drop_conn(struct pipeline *p, struct conn *c, const char *outcome)
{
	p->pair.outcome = outcome;
	pair_at(&p->pair, p, c, DIR_RX);
	stream_close(p, c);
	pair_close(p, c);
	p->pair.outcome = NULL;
	conn_del(&p->conns, c);
}

void pipeline_free(struct pipeline *p)
{
	struct conn *c;

	while ((c = conn_idlest(&p->conns)))
		drop_conn(p, c, "agent_stopped");
	p->pair.outcome = "agent_stopped";
	while (dgram_stop(p))
		;
	dgram_done(&p->dgram);
	dns_names_done(&p->names);
	join_done(&p->join);
	policy_done(&p->policy);
	pair_done(&p->pair);
	catalogue_done(&p->catalogue);
	conn_table_done(&p->conns);
	unpack_pool_done(&p->unpack);
	free(p);
}

bool pipeline_knows(const struct pipeline *p, uint64_t conn)
{
	const struct conn *c = conn_get(&p->conns, conn);

	return c && c->hash;
}

/* ---- rows of `connections` ---- */

static const char *errno_word(int err)
{
	static const struct {
		int err;
		const char *word;
	} words[] = {
		{ 104, "reset" },      { 111, "refused" },	    { 110, "timed out" },
		{ 32, "broken pipe" }, { 113, "host unreachable" }, { 101, "network unreachable" },
		{ 103, "aborted" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].err == err)
			return words[i].word;
	return "failed";
}

static const char *initiator_word(uint8_t initiator)
{
	return initiator == EV_INITIATOR_LOCAL	  ? "local"
	       : initiator == EV_INITIATOR_REMOTE ? "remote"
						  : NULL;
}

static void put_own_ends(struct pipeline *p, struct conn *c, struct row_builder *b)
{
	char addr[UNIX_ADDR_TEXT_MAX];

	join_text(p, b, COL_CONN_ADDR, slice_of(addr, conn_addr(c, false, addr)));
	join_text(p, b, COL_CONN_PEER_ADDR, slice_of(addr, conn_addr(c, true, addr)));
	if (!c->names) {
		row_int(b, COL_CONN_PORT, c->local_port);
		row_int(b, COL_CONN_PEER_PORT, c->remote_port);
	}
	if (c->tgid)
		row_int(b, COL_CONN_PID, c->tgid);
	if (c->comm[0])
		join_text(p, b, COL_CONN_COMM, slice_of(c->comm, strnlen(c->comm, EV_COMM_LEN)));
}

static void emit_connection(struct pipeline *p, struct conn *c, const char *state,
			    enum pipe_frame type)
{
	struct row_builder *b = &p->join.row;
	uint64_t end = join_unix_ns(p, c->closed_ns ? c->closed_ns : p->now_ns);

	row_begin(b, TABLE_CONNECTIONS);
	if (c->opened_ns)
		row_int(b, COL_CONN_OPENED, (int64_t)join_unix_ns(p, c->opened_ns));
	if (c->closed_ns)
		row_int(b, COL_CONN_CLOSED, (int64_t)end);
	row_int(b, COL_END_TIME, (int64_t)end);
	join_str(p, b, COL_CONN_STATE, state);
	if (initiator_word(c->initiator))
		join_str(p, b, COL_CONN_INITIATOR, initiator_word(c->initiator));
	if (c->proto)
		join_str(p, b, COL_PROTOCOL, proto_name((enum proto_id)c->proto));
	if (c->why_unreadable)
		join_str(p, b, COL_CONN_WHY_UNREADABLE, c->why_unreadable);
	put_own_ends(p, c, b);
	join_ends(p, c, b, c->opened_ns ? c->opened_ns : p->now_ns);
	row_int(b, COL_ENCRYPTED, c->proto == PROTO_TLS);
	row_int(b, COL_CONN_BYTES_SENT, (int64_t)c->dir[DIR_TX].seen);
	row_int(b, COL_CONN_BYTES_RECEIVED, (int64_t)c->dir[DIR_RX].seen);
	row_int(b, COL_CONN_BYTES_COPIED, (int64_t)c->copied_bytes);
	if (c->closed_ns) {
		row_int(b, COL_CONN_BYTES_SKIPPED, (int64_t)c->skipped_bytes);
		row_int(b, COL_CONN_BYTES_LOST, (int64_t)c->lost_bytes);
		row_int(b, COL_CONN_RETRANSMITS, c->retransmits);
		if (c->srtt_us)
			row_int(b, COL_CONN_RTT_NS, c->srtt_us * (int64_t)NSEC_PER_USEC);
	}
	row_int(b, COL_CONN_REQUESTS, (int64_t)c->n_rows);
	row_int(b, COL_CONN_OPEN_REQUESTS, c->n_open);
	if (c->err)
		join_str(p, b, COL_CONN_ERROR, errno_word(c->err));
	join_emit(p, b, end, type);
}

void pipeline_conn_row(struct pipeline *p, struct conn *c, const char *state)
{
	emit_connection(p, c, state, PIPE_ROW);
}

/* ---- records ---- */

bool pipeline_poisoned(const struct pipeline *p, uint64_t id)
{
	for (size_t i = 0; i < p->n_poison; i++)
		if (p->poison[i] == id)
			return true;
	return false;
}

void pipeline_poison(struct pipeline *p, uint64_t id)
{
	p->poison[p->n_poison % ARRAY_SIZE(p->poison)] = id;
	p->n_poison = MIN(p->n_poison + 1, ARRAY_SIZE(p->poison));
}

/* The agent is over its CPU budget: a part of the connections is not read. */
static bool sampled_out(struct pipeline *p, uint64_t identity)
{
	uint32_t shift = atomic_load_explicit(&p->opts.ledger->attacher.sample_shift,
					      memory_order_relaxed);
	bool taken = budget_takes(shift, identity);

	count(p, L3_SAMPLE_IN, 1);
	count(p, taken ? L3_SAMPLE_OUT : L3_SAMPLED, 1);
	return !taken;
}

/* The identity says which connections had the slot before. Their end comes later in this round, or it
 * was lost: the control ring was full. */
static void note_replaced(struct pipeline *p, uint64_t id)
{
	for (uint64_t n = 1; n <= SLOT_USES_BACK && id >> 32 >= n; n++) {
		struct conn *c = conn_get(&p->conns, id - (n << 32));

		if (c && !c->replaced_ns)
			c->replaced_ns = p->now_ns;
	}
}

static void on_open(struct pipeline *p, const struct ev_conn *ev)
{
	uint64_t hash = ev->isn_known ? conn_identity(&p->opts.id_key, ev) : 0;
	struct conn *c = conn_get(&p->conns, ev->conn);
	const char *refused;

	if (c) { /* told again: by the walk, or because it is known only now what it is */
		if (!c->hash && hash)
			conn_identify(&p->conns, c, ev, hash);
		return;
	}
	if (p->conns.n >= p->conns.max) {
		count(p, L3_CONN_EVICTED, 1);
		drop_conn(p, conn_idlest(&p->conns), "evicted");
	}
	count(p, L3_CONN_IN, 1);
	c = conn_add(&p->conns, ev, hash);
	if (!c) {
		count(p, L3_CONN_EVICTED, 1);
		return;
	}
	note_replaced(p, c->id);
	stream_adopt(p, c);
	refused = policy_refuses_command(&p->policy, c->comm);
	if (refused)
		stream_ignore(p, c, refused);
	else if (sampled_out(p, hash ? hash : c->id))
		stream_ignore(p, c, "left out: capture.budgetCores");
	c->poisoned = pipeline_poisoned(p, c->id);
	if (c->poisoned)
		stream_ignore(p, c, "made the parser crash");
	(void)join_find_proc(p, c->tgid, c->cgroup); /* known by its first row */
}

static void on_failed(struct pipeline *p, const struct ev_conn *ev)
{
	struct conn *c;

	on_open(p, ev);
	c = conn_get(&p->conns, ev->conn);
	if (!c)
		return;
	c->closed_ns = ev->h.ts_ns;
	c->err = ev->err;
	emit_connection(p, c, "failed", PIPE_ROW);
	count(p, L3_CONN_OUT, 1);
	drop_conn(p, c, NULL);
}

static void on_close(struct pipeline *p, const struct ev_close *ev)
{
	struct conn *c = conn_get(&p->conns, ev->conn);

	if (!c)
		return;
	c->closing = true;
	c->closed_ns = ev->h.ts_ns;
	c->err = ev->err;
	c->aborted = ev->err ? ev->h.flags & EV_F_TX
			     : !c->eof_first && (ev->from_state == TCP_ESTABLISHED ||
						 ev->from_state == TCP_CLOSE_WAIT);
	c->srtt_us = ev->srtt_us;
	c->retransmits = ev->retransmits;
	c->copied_bytes = ev->copied_bytes;
	c->skipped_bytes = ev->skipped_bytes;
	c->lost_bytes = ev->lost_bytes;
	for (int d = 0; d < 2; d++) {
		c->dir[d].seen = MAX(c->dir[d].seen, ev->pos[d]);
		/* Behind the last record: where the kernel lost none, it had none to show. */
		stream_reach(p, c, (enum dir)d, ev->pos[d],
			     ev->lost_bytes ? EV_MISS_RING : EV_MISS_NOPAYLOAD);
		/* A reset is no end of a message that only the connection's end can end. */
		if (!c->err && !c->aborted)
			stream_eof(p, c, (enum dir)d, c->dir[d].next + c->dir[d].len);
	}
	pair_at(&p->pair, p, c, DIR_RX);
	stream_close(p, c);
	pair_close(p, c);
	emit_connection(p, c, "closed", PIPE_ROW);
	count(p, L3_CONN_OUT, 1);
	conn_del(&p->conns, c);
}

/* What a bug in a parser would do, for tests of what follows. */
static void crash_if_asked(const struct conn *c, const struct ev_data *ev)
{
	static const char magic[] = "X-Kelpie-Crash: now";

	if (c->state != CONN_IGNORED && memmem(ev->data, ev->cap_len, magic, sizeof(magic) - 1))
		__builtin_trap();
}

/* Looked at again only when more has become known. */
static void mind_opt_out(struct pipeline *p, struct conn *c)
{
	if (likely(c->opt_out_gen == p->join.gen))
		return;
	c->opt_out_gen = p->join.gen;
	if (c->state != CONN_IGNORED && join_opted_out(p, c))
		stream_ignore(p, c, JOIN_OPTED_OUT);
}

static void on_data(struct pipeline *p, const struct ev_data *ev)
{
	struct conn *c = conn_get(&p->conns, ev->conn);

	count(p, L3_IN, 1);
	if (leaks(p, 3))
		return;
	if (!c) {
		count(p, L3_UNKNOWN, 1);
		return;
	}
	atomic_store_explicit(&p->opts.ledger->parser.at_conn, c->id, memory_order_relaxed);
	conn_touch(&p->conns, c, ev->h.ts_ns);
	if (!c->tgid)
		c->tgid = ev->tgid;
	c->copied_bytes += ev->cap_len;
	stream_taken(p, c, ev->h.flags & EV_F_TX ? DIR_TX : DIR_RX, ev->cap_len);
	if (c->poisoned) {
		count(p, L3_POISON, 1);
		return;
	}
	mind_opt_out(p, c);
	if (p->paused) {
		struct ev_data unseen = *ev;

		count(p, L3_IGNORED, 1);
		unseen.cap_len = 0;
		unseen.h.miss = EV_MISS_NOPAYLOAD;
		stream_data(p, c, &unseen);
		return;
	}
	if (unlikely(p->opts.simulate_crash))
		crash_if_asked(c, ev);
	count(p, L3_OUT, 1);
	stream_data(p, c, ev);
}

void pipeline_expect(struct pipeline *p, const struct ev_dgram *ev)
{
	(void)join_find_proc(p, ev->tgid, ev->cgroup);
}

void pipeline_event(struct pipeline *p, const struct ev_hdr *h)
{
	const void *ev = h;
	struct conn *c;

	count(p, L2_IN, 1);
	if (leaks(p, 2))
		return;
	count(p, L2_OUT, 1);
	p->now_ns = MAX(p->now_ns, h->ts_ns);
	switch (h->type) {
	case EV_CONN_OPEN:
		on_open(p, ev);
		break;
	case EV_CONN_FAILED:
		on_failed(p, ev);
		break;
	case EV_CONN_EOF:
		c = conn_get(&p->conns, ((const struct ev_eof *)ev)->conn);
		if (c)
			stream_eof(p, c, h->flags & EV_F_TX ? DIR_TX : DIR_RX,
				   ((const struct ev_eof *)ev)->pos);
		break;
	case EV_CONN_CLOSE:
		on_close(p, ev);
		break;
	case EV_DATA:
		on_data(p, ev);
		break;
	case EV_DGRAM:
		dgram_event(p, ev);
		break;
	default:
		break;
	}
}

void pipeline_reopen(struct pipeline *p, const struct ev_hdr *h)
{
	const void *ev = h;

	p->now_ns = MAX(p->now_ns, h->ts_ns);
	if (h->type == EV_CONN_OPEN)
		on_open(p, ev);
}

uint64_t pipeline_rows(const struct pipeline *p)
{
	return p->seq;
}

void pipeline_invalid(struct pipeline *p)
{
	count(p, L2_IN, 1);
	count(p, L2_INVALID, 1);
}

/* ---- snapshots ---- */

/* A frame without a row. False when the queue is full. */
static bool put_mark(struct pipeline *p, enum pipe_frame type, uint32_t number)
{
	uint32_t *frame = p->opts.out.reserve(p->opts.out.ctx, sizeof(*frame));

	if (!frame)
		return false;
	*frame = number;
	p->opts.out.commit(p->opts.out.ctx, type, sizeof(*frame));
	return true;
}

bool pipeline_snapshot(struct pipeline *p, uint32_t number)
{
	if (p->snapshotting || !put_mark(p, PIPE_SNAPSHOT_BEGIN, number))
		return false;
	p->snapshotting = true;
	p->snapshot = number;
	p->conns.cursor = p->conns.lru.lru_next;
	return true;
}

/* Connections that are used while the walk rests go to its end, so none is missed. */
static void snapshot_step(struct pipeline *p)
{
	struct conn_table *t = &p->conns;

	for (size_t i = 0; i < SNAPSHOT_ROUND && t->cursor != &t->lru; i++) {
		struct conn *c = t->cursor;

		t->cursor = c->lru_next;
		if (c->told != p->snapshot)
			emit_connection(p, c, "open", PIPE_SNAPSHOT);
		c->told = p->snapshot;
	}
	if (t->cursor == &t->lru && put_mark(p, PIPE_SNAPSHOT_END, p->snapshot)) {
		p->snapshotting = false;
		t->cursor = NULL;
	}
}

/* A predecessor that was taken over may have numbered rows far ahead that came to the store after its
 * death. */
static void number_on(struct pipeline *p)
{
	uint64_t stored = atomic_load_explicit(&p->opts.ledger->store.stored_seq,
					       memory_order_relaxed);

	if (stored > p->seq && stored - p->seq < UINT64_C(1) << 48)
		p->seq = stored;
}

void pipeline_commit(struct pipeline *p)
{
	struct ledger *l = p->opts.ledger;

	if (p->snapshotting)
		snapshot_step(p);
	p->counts[L3_CONN_HELD] = p->conns.n;
	p->counts[L4_HELD] = p->held_bytes;
	p->counts[L6_HELD] = p->pair.n_open;
	p->counts[L6_RESP_HELD] = p->pair.n_open_answers;
	p->counts[L6_PUSH_HELD] = p->pair.n_open_pushes;
	/* Before the rows: who comes after us gives none of their numbers again. */
	atomic_store_explicit(&l->parser.rows_seq, p->seq, memory_order_release);
	p->opts.out.publish(p->opts.out.ctx);
	number_on(p);
	for (size_t i = 0; i < _LEDGER_MAX; i++)
		ledger_set(l, LEDGER_PARSER, (enum ledger_id)i, p->counts[i]);
	atomic_store_explicit(&l->parser.at_conn, 0, memory_order_relaxed);
}

void pipeline_proc(struct pipeline *p, const struct proc_identity *id)
{
	join_proc(p, id);
}

void pipeline_pod(struct pipeline *p, const struct k8s_identity *pod, bool gone)
{
	join_pod(p, pod, gone);
}

/* ---- housekeeping ---- */

static void sweep(struct pipeline *p)
{
	uint64_t idle = p->opts.idle_timeout_ns;

	for (struct conn *c = p->conns.lru.lru_next, *next; c != &p->conns.lru; c = next) {
		uint64_t age = p->now_ns - MIN(c->last_ns, p->now_ns);

		next = c->lru_next;
		if (age < WAIT_NS)
			break; /* the list is ordered by age */
		pair_at(&p->pair, p, c, DIR_RX);
		stream_force(p, c);
		pair_settle(p, c);
		if (c->replaced_ns && p->now_ns - c->replaced_ns >= REPLACED_NS) {
			count(p, L3_CONN_EVICTED, 1);
			drop_conn(p, c, "lost");
			continue;
		}
		if (idle && age > idle)
			pair_expire(p, c, p->now_ns - idle);
	}
}

void pipeline_tick(struct pipeline *p, uint64_t boot_ns, uint64_t unix_ns)
{
	p->now_ns = MAX(p->now_ns, boot_ns);
	p->unix_minus_boot_ns = p->opts.clock_from_events ? 0 : unix_ns - boot_ns;
	join_look(p);
	if (p->now_ns - p->last_sweep_ns >= SWEEP_NS) {
		p->last_sweep_ns = p->now_ns;
		sweep(p);
		dgram_sweep(p);
		pair_rest(&p->pair);
	}
}

void pipeline_pause(struct pipeline *p, bool paused)
{
	p->paused = paused;
}

void pipeline_resyms(struct pipeline *p)
{
	join_repeat_syms(p);
	join_reset_syms(p);
}

bool pipeline_stop(struct pipeline *p, size_t conns)
{
	struct conn *c;

	p->pair.outcome = "agent_stopped";
	for (size_t n = 0; n < conns && (c = conn_idlest(&p->conns)); n++) {
		pair_at(&p->pair, p, c, DIR_RX);
		stream_close(p, c);
		pair_close(p, c);
		c->closed_ns = 0;
		emit_connection(p, c, "open", PIPE_ROW);
		count(p, L3_CONN_OUT, 1);
		conn_del(&p->conns, c);
	}
	for (size_t n = 0; n < conns && dgram_stop(p); n++)
		;
	p->pair.outcome = NULL;
	pipeline_commit(p);
	return !conn_idlest(&p->conns) && !conn_idlest(&p->dgram.flows);
}

#include "agent/join.h"

#include "agent/pipeline_int.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int join_init(struct join *j)
{
	*j = (struct join){ .gen = 1 };
	hash_key_random(&j->key);
	hashmap_init(&j->procs, PROCS_MAX);
	j->table = calloc(2 * SYM_MAX, sizeof(*j->table));
	j->arena = malloc(SYM_ARENA_MAX);
	if (!j->table || !j->arena) {
		join_done(j);
		return -ENOMEM;
	}
	return 0;
}

static void forget_procs(struct join *j)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&j->procs, e));)
		free((void *)(uintptr_t)e->value);
	hashmap_done(&j->procs);
}

void join_done(struct join *j)
{
	forget_procs(j);
	free(j->table);
	free(j->arena);
	*j = (struct join){ 0 };
}

/* ---- interned texts ---- */

void join_reset_syms(struct pipeline *p)
{
	struct join *j = &p->join;

	j->stale = !p->opts.out.reserve(p->opts.out.ctx, 0);
	if (j->stale)
		return;
	p->opts.out.commit(p->opts.out.ctx, PIPE_SYM_RESET, 0);
	memset(j->table, 0, 2 * SYM_MAX * sizeof(*j->table));
	memset(j->literals, 0, sizeof(j->literals));
	memset(j->last, 0, sizeof(j->last));
	j->n_syms = j->arena_len = 0;
	j->gen++;
}

static bool announce(struct pipeline *p, uint32_t sym, struct slice text)
{
	uint8_t *frame = p->opts.out.reserve(p->opts.out.ctx, (uint32_t)(4 + text.n));

	if (!frame)
		return false;
	memcpy(frame, &sym, 4);
	memcpy(frame + 4, text.p, text.n);
	p->opts.out.commit(p->opts.out.ctx, PIPE_SYM, (uint32_t)(4 + text.n));
	return true;
}

void join_repeat_syms(struct pipeline *p)
{
	const struct join *j = &p->join;

	for (size_t i = 0; i < 2 * SYM_MAX; i++) {
		const struct sym_entry *e = &j->table[i];

		if (e->id_plus_1 &&
		    !announce(p, e->id_plus_1 - 1, slice_of(j->arena + e->off, e->len)))
			return;
	}
}

uint32_t join_sym(struct pipeline *p, struct slice text)
{
	struct join *j = &p->join;
	uint64_t hash = hash_bytes(&j->key, text);
	size_t mask = 2 * SYM_MAX - 1, i;

	if (!text.n || text.n > SYM_TEXT_MAX)
		return SYM_NONE;
	for (i = hash & mask; j->table[i].id_plus_1; i = (i + 1) & mask) {
		struct sym_entry *e = &j->table[i];

		if (e->hash == hash && slice_eq(slice_of(j->arena + e->off, e->len), text))
			return e->id_plus_1 - 1;
	}
	/* A full table is not emptied here: the row in hand holds numbers of it. */
	if (j->n_syms == SYM_MAX || j->arena_len + text.n > SYM_ARENA_MAX ||
	    !announce(p, j->n_syms, text)) {
		j->refused = true;
		return SYM_NONE;
	}
	memcpy(j->arena + j->arena_len, text.p, text.n);
	j->table[i] = (struct sym_entry){ hash, j->arena_len, (uint32_t)text.n, ++j->n_syms };
	j->arena_len += (uint32_t)text.n;
	return j->n_syms - 1;
}

uint32_t join_text(struct pipeline *p, struct row_builder *b, uint16_t col, struct slice text)
{
	const struct column *column = schema_column(col);
	struct join_last *last = &p->join.last[col];
	uint32_t sym;

	if (!text.n)
		return SYM_NONE;
	if (last->n == text.n && memcmp(last->text, text.p, text.n) == 0) {
		row_sym(b, col, last->sym);
		return last->sym;
	}
	/* What is longer than the column's cap is cut and marked by row_text(). */
	sym = column && text.n > column->cap_bytes ? SYM_NONE : join_sym(p, text);
	if (sym == SYM_NONE) {
		row_text(b, col, text);
		return SYM_NONE;
	}
	row_sym(b, col, sym);
	if (text.n <= JOIN_LAST_MAX) {
		last->n = (uint8_t)text.n;
		last->sym = sym;
		memcpy(last->text, text.p, text.n);
	}
	return sym;
}

void join_str(struct pipeline *p, struct row_builder *b, uint16_t col, const char *text)
{
	(void)join_text(p, b, col, slice_str(text));
}

void join_literal(struct pipeline *p, struct row_builder *b, uint16_t col, const char *text)
{
	size_t slot = hash_u64((uint64_t)(uintptr_t)text) & (JOIN_LITERALS - 1);
	struct join_literal *l = &p->join.literals[slot];

	if (l->text != text) {
		uint32_t sym = join_sym(p, slice_str(text));

		if (sym == SYM_NONE) {
			row_text(b, col, slice_str(text));
			return;
		}
		*l = (struct join_literal){ text, sym };
	}
	row_sym(b, col, l->sym);
}

/* ---- processes ---- */

const struct proc_identity *join_find_proc(struct pipeline *p, uint32_t tgid)
{
	uint64_t v;

	if (!tgid)
		return NULL;
	if (hashmap_get(&p->join.procs, tgid, &v))
		return (const struct proc_identity *)(uintptr_t)v;
	if (p->join.procs.len == PROCS_MAX)
		forget_procs(&p->join);
	if (p->opts.out.want_proc && hashmap_put(&p->join.procs, tgid, 0) == 0)
		p->opts.out.want_proc(p->opts.out.ctx, tgid);
	return NULL;
}

static void emit_process(struct pipeline *p, const struct proc_identity *id)
{
	struct row_builder *b = &p->join.row;
	void *frame;
	size_t n;

	row_begin(b, TABLE_PROCESSES);
	row_int(b, COL_PID, id->tgid);
	row_text(b, COL_COMM, slice_str(id->comm));
	if (id->exe[0])
		row_text(b, COL_EXE, slice_str(id->exe));
	if (id->container[0])
		row_text(b, COL_CONTAINER, slice_str(id->container));
	if (id->unit[0])
		row_text(b, COL_SYSTEMD_UNIT, slice_str(id->unit));
	if (id->start_ns)
		row_int(b, COL_START_TIME, (int64_t)id->start_ns);
	row_text(b, COL_NODE, slice_str(p->opts.node));
	frame = p->opts.out.reserve(p->opts.out.ctx, 2048);
	n = frame ? row_end(b, 0, 0, frame, 2048) : 0;
	if (n)
		p->opts.out.commit(p->opts.out.ctx, PIPE_PROCESS, (uint32_t)n);
}

void join_proc(struct pipeline *p, const struct proc_identity *id)
{
	struct proc_identity *copy;
	uint64_t v = 0;

	if (!hashmap_get(&p->join.procs, id->tgid, &v))
		return; /* not asked for */
	copy = v ? (struct proc_identity *)(uintptr_t)v : malloc(sizeof(*copy));
	if (!copy)
		return;
	*copy = *id;
	copy->comm[sizeof(copy->comm) - 1] = 0;
	copy->container[sizeof(copy->container) - 1] = 0;
	copy->unit[sizeof(copy->unit) - 1] = 0;
	copy->exe[sizeof(copy->exe) - 1] = 0;
	(void)hashmap_put_ptr(&p->join.procs, id->tgid, copy);
	p->join.gen++;
	emit_process(p, copy);
}

/* ---- the ends of a connection ---- */

/* Order of the identity columns; both ends have the same at consecutive numbers. */
enum {
	ID_ADDR,
	ID_PORT,
	ID_PID,
	ID_COMM,
	ID_CONTAINER,
	ID_NAMESPACE,
	ID_POD,
	ID_WORKLOAD_KIND,
	ID_WORKLOAD,
	ID_SERVICE,
	ID_NODE,
	ID_NAME
};
_Static_assert(COL_CLIENT_NAME - COL_CLIENT_ADDR == ID_NAME, "client columns");
_Static_assert(COL_SERVER_NAME - COL_SERVER_ADDR == ID_NAME, "server columns");
_Static_assert(IDENTITY_SYMS == ID_NAME + 1, "identity columns");

#define NAME_TEXT_MAX (EV_COMM_LEN + 1 + UNIX_ADDR_TEXT_MAX + DNS_NAME_KEPT)

struct end {
	const struct conn *conn;
	bool remote;	  /* the end of that connection which is not its owner's */
	uint16_t port;	  /* 0: a UNIX socket's */
	uint32_t tgid;	  /* 0: not on this node, or unknown */
	const char *comm; /* "" unknown; not longer than EV_COMM_LEN, perhaps without NUL */
	bool here;	  /* on this node */
	struct slice dns; /* name that the other end knows it by, not on this node */
	bool dns_shared;  /* not asked for by that process itself */
};

bool join_owner_is_server(const struct conn *c)
{
	return c->role_known ? c->request_dir == DIR_RX : c->initiator == EV_INITIATOR_REMOTE;
}

/* An end on this node. */
static struct end end_here(const struct conn *c, bool remote, uint32_t tgid, const char *comm)
{
	return (struct end){ .conn = c,
			     .remote = remote,
			     .port = remote ? c->remote_port : c->local_port,
			     .tgid = tgid,
			     .comm = comm,
			     .here = true };
}

static struct end own_end(const struct conn *c)
{
	return end_here(c, false, c->tgid, c->comm);
}

/* Of a connection that the owner opened, the name it had for where it went. */
static struct end far_end(struct pipeline *p, const struct conn *c)
{
	struct end e = { .conn = c,
			 .remote = true,
			 .port = c->remote_port,
			 .comm = "",
			 .here = c->names != NULL };
	struct dns_asker who = { c->netns, c->tgid };

	if (!c->names && c->initiator == EV_INITIATOR_LOCAL && c->opened_ns)
		e.dns = dns_names_find(&p->names, &who, c->remote, c->opened_ns, &e.dns_shared);
	return e;
}

static struct end other_end(struct pipeline *p, const struct conn *c)
{
	if (c->peer)
		return end_here(c, true, c->peer->tgid, c->peer->comm);
	if (c->peer_tgid)
		return end_here(c, true, c->peer_tgid, c->peer_comm);
	return far_end(p, c);
}

static struct slice end_addr(const struct end *e, char *out)
{
	return slice_of(out, conn_addr(e->conn, e->remote, out));
}

uint64_t conn_server_number(const struct conn *c)
{
	static const struct hash_key key;
	bool remote = !join_owner_is_server(c);
	const char *name;

	if (!c->names)
		return remote ? c->remote_port : c->local_port;
	name = remote ? c->names->remote : c->names->local;
	return hash_bytes(&key, slice_str(name)) | 1 << 16; /* no port */
}

static struct slice comm_of(const char *comm)
{
	return slice_of(comm, strnlen(comm, EV_COMM_LEN));
}

/* The best name there is for an end. out: NAME_TEXT_MAX bytes. */
static struct slice best_name(const struct end *e, bool server, const struct proc_identity *id,
			      char *out)
{
	struct slice comm = comm_of(e->comm);
	char text[UNIX_ADDR_TEXT_MAX];
	int n;

	if (e->dns.n) {
		n = snprintf(out, NAME_TEXT_MAX, "%.*s%s", (int)e->dns.n, (const char *)e->dns.p,
			     e->dns_shared ? "?" : "");
		return slice_of(out, (size_t)n);
	}
	if (id && id->unit[0])
		return slice_str(id->unit);
	if (id && id->container[0])
		return slice_head(slice_str(id->container), 12);
	if (!comm.n)
		return slice_str(e->here ? "unknown" : "external");
	n = snprintf(out, NAME_TEXT_MAX, "%.*s", (int)comm.n, (const char *)comm.p);
	/* A client's port is different every time and names nothing. */
	if (server && e->conn->names) {
		struct slice addr = end_addr(e, text);

		if (addr.n > 5) /* a name behind "unix:" */
			n += snprintf(out + n, NAME_TEXT_MAX - (size_t)n, ":%s", text + 5);
	} else if (server) {
		n += snprintf(out + n, NAME_TEXT_MAX - (size_t)n, ":%u", e->port);
	}
	return slice_of(out, (size_t)n);
}

static void intern_end(struct pipeline *p, const struct end *e, bool server, uint32_t *syms)
{
	const struct proc_identity *id = join_find_proc(p, e->tgid);
	char addr[UNIX_ADDR_TEXT_MAX], name[NAME_TEXT_MAX];

	for (size_t i = 0; i < IDENTITY_SYMS; i++)
		syms[i] = SYM_NONE;
	syms[ID_ADDR] = join_sym(p, end_addr(e, addr));
	syms[ID_COMM] = join_sym(p, comm_of(e->comm));
	if (id && id->container[0])
		syms[ID_CONTAINER] = join_sym(p, slice_str(id->container));
	if (e->here)
		syms[ID_NODE] = join_sym(p, slice_str(p->opts.node));
	syms[ID_NAME] = join_sym(p, best_name(e, server, id, name));
}

static void put_end(struct row_builder *b, uint16_t first_col, const struct end *e,
		    const uint32_t *syms)
{
	char addr[UNIX_ADDR_TEXT_MAX];

	if (e->port)
		row_int(b, (uint16_t)(first_col + ID_PORT), e->port);
	if (e->tgid)
		row_int(b, (uint16_t)(first_col + ID_PID), e->tgid);
	for (uint16_t i = 0; i < IDENTITY_SYMS; i++)
		if (syms[i] != SYM_NONE)
			row_sym(b, (uint16_t)(first_col + i), syms[i]);
	if (syms[ID_ADDR] == SYM_NONE) {
		struct slice text = end_addr(e, addr);

		if (text.n)
			row_text(b, first_col, text);
	}
}

static void put_conn_id(struct pipeline *p, struct conn *c, struct row_builder *b)
{
	char hex[17];

	if (!c->hash)
		return;
	if (c->conn_sym != SYM_NONE) {
		row_sym(b, COL_CONN_ID, c->conn_sym);
		return;
	}
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)c->hash);
	/* One row on most connections of some clients: worth a number from the second row on. Of
	 * datagrams it is the exchange's. */
	if (c->n_rows > 1 && !c->datagram)
		c->conn_sym = join_sym(p, slice_str(hex));
	if (c->conn_sym != SYM_NONE)
		row_sym(b, COL_CONN_ID, c->conn_sym);
	else
		row_text(b, COL_CONN_ID, slice_str(hex));
}

void join_ends(struct pipeline *p, struct conn *c, struct row_builder *b)
{
	bool server_here = join_owner_is_server(c);
	struct end own = own_end(c), other = other_end(p, c);
	const struct end *client = server_here ? &other : &own;
	const struct end *server = server_here ? &own : &other;
	uint64_t gen = (uint64_t)p->join.gen << 1 | (c->peer || c->peer_tgid);

	if (c->names_gen != gen) {
		p->join.refused = false;
		intern_end(p, client, false, c->client_syms);
		intern_end(p, server, true, c->server_syms);
		if (c->names_gen >> 1 != gen >> 1)
			c->conn_sym = SYM_NONE;
		/* What had no room in the queue is interned again with the next row. */
		c->names_gen = p->join.refused ? 0 : gen;
	}
	put_end(b, COL_CLIENT_ADDR, client, c->client_syms);
	put_end(b, COL_SERVER_ADDR, server, c->server_syms);
	join_literal(p, b, COL_NODE, p->opts.node);
	put_conn_id(p, c, b);
}

/* ---- rows ---- */

uint64_t join_unix_ns(const struct pipeline *p, uint64_t boot_ns)
{
	return boot_ns ? boot_ns + p->unix_minus_boot_ns : 0;
}

void join_emit(struct pipeline *p, struct row_builder *b, uint64_t end_unix_ns,
	       enum pipe_frame type)
{
	bool stored = type == PIPE_ROW;
	uint32_t most = (uint32_t)(sizeof(struct row_hdr) + b->n_cells * sizeof(struct cell) +
				   b->text_len + 8);
	uint64_t seq = 0;
	void *frame;
	size_t n;

	if (stored) {
		count(p, L7_IN, 1);
		if (leaks(p, 7))
			return;
		if (p->join.stale) {
			/* Its numbers mean nothing to the store any more. */
			join_reset_syms(p);
			count(p, L7_QUEUE_FULL, 1);
			return;
		}
		seq = p->seq + 1;
		row_int(b, COL_SEQ, (int64_t)seq);
		row_int(b, COL_EPOCH, (int64_t)p->opts.epoch);
		most += 2 * sizeof(struct cell);
	}
	frame = most <= ROW_MAX ? p->opts.out.reserve(p->opts.out.ctx, most) : NULL;
	n = frame ? row_end(b, seq, end_unix_ns, frame, most) : 0;
	if (!n) {
		if (stored)
			count(p, most > ROW_MAX ? L7_TOO_BIG : L7_QUEUE_FULL, 1);
		return;
	}
	p->opts.out.commit(p->opts.out.ctx, type, (uint32_t)n);
	if (stored) {
		p->seq = seq;
		count(p, L7_OUT, 1);
	}
	if (p->join.n_syms > SYM_MAX - SYM_MAX / 16 || p->join.arena_len > SYM_ARENA_MAX - 65536)
		join_reset_syms(p);
}

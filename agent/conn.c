#include "agent/conn.h"

#include "base/bytes.h"
#include "base/util.h"

#include <string.h>
#include <sys/socket.h>

void conn_table_init(struct conn_table *t, size_t max)
{
	*t = (struct conn_table){ .max = max };
	hashmap_init(&t->by_id, max);
	hashmap_init(&t->by_hash, max);
	t->lru.lru_prev = t->lru.lru_next = &t->lru;
}

void conn_table_done(struct conn_table *t)
{
	hashmap_done(&t->by_id);
	hashmap_done(&t->by_hash);
	free(t->legacies);
	t->legacies = NULL;
}

uint64_t conn_identity(const struct hash_key *key, const struct ev_conn *ev)
{
	uint32_t lo, hi;
	uint8_t bytes[8];
	uint64_t h;

	/* A UNIX socket's is the same at both ends as it is. Three bytes more than of TCP: no
	 * connection of the one kind has the identity of one of the other. */
	if (ev->family == AF_UNIX) {
		uint8_t unix_bytes[11] = "unix";

		put_le(unix_bytes + 3, ev->isn[0], 4);
		put_le(unix_bytes + 7, ev->isn[1], 4);
		h = hash_bytes(key, slice_of(unix_bytes, sizeof(unix_bytes)));
		return h ? h : 1;
	}
	/* Both ends must hash the same bytes: order by value, the ports break the tie of equal ISNs
	 * without telling the ends apart. */
	lo = MIN(ev->isn[EV_RX], ev->isn[EV_TX]);
	hi = MAX(ev->isn[EV_RX], ev->isn[EV_TX]);
	put_le(bytes, lo, 4);
	put_le(bytes + 4, hi, 4);
	h = hash_bytes(key, slice_of(bytes, sizeof(bytes)));
	return h ? h : 1;
}

static struct unix_names *names_of(const struct ev_conn *ev)
{
	const struct ev_conn_unix *u = (const struct ev_conn_unix *)(const void *)ev;
	char text[2][UNIX_ADDR_TEXT_MAX];
	struct unix_names *names;
	size_t n[2];

	if (ev->family != AF_UNIX)
		return NULL;
	for (size_t end = 0; end < 2; end++)
		n[end] = format_unix_addr(slice_of(u->name[end], u->name_len[end]), text[end]) + 1;
	names = malloc(sizeof(*names) + n[0] + n[1]);
	if (!names)
		return NULL;
	memcpy(names->text, text[0], n[0]);
	memcpy(names->text + n[0], text[1], n[1]);
	names->local = names->text;
	names->remote = names->text + n[0];
	return names;
}

size_t conn_addr(const struct conn *c, bool remote, char *out)
{
	const uint8_t *addr = remote ? c->remote : c->local;
	const char *name;
	size_t n;

	if (!c->names)
		return addr_is_any(addr) ? 0 : format_addr(addr, out);
	name = remote ? c->names->remote : c->names->local;
	n = strnlen(name, UNIX_ADDR_TEXT_MAX - 1);
	memcpy(out, name, n);
	out[n] = 0;
	return n;
}

static void list_del(struct conn_table *t, struct conn *c)
{
	if (t->cursor == c)
		t->cursor = c->lru_next;
	c->lru_prev->lru_next = c->lru_next;
	c->lru_next->lru_prev = c->lru_prev;
}

static void list_add(struct conn_table *t, struct conn *c)
{
	c->lru_prev = t->lru.lru_prev;
	c->lru_next = &t->lru;
	t->lru.lru_prev->lru_next = c;
	t->lru.lru_prev = c;
}

static struct legacy *legacy_at(const struct conn_table *t, uint64_t hash)
{
	return &t->legacies[hash & (LEGACIES - 1)];
}

static void legacy_leave(struct conn_table *t, const struct conn *c)
{
	if (!t->legacies)
		t->legacies = calloc(LEGACIES, sizeof(*t->legacies));
	if (t->legacies)
		*legacy_at(t, c->hash) = (struct legacy){ c->hash, c->rows_to, c->primary_to };
}

static void legacy_find(const struct conn_table *t, struct conn *c)
{
	const struct legacy *l = t->legacies ? legacy_at(t, c->hash) : NULL;

	if (!l || l->hash != c->hash)
		return;
	c->peer_rows_to = l->rows_to;
	c->peer_primary_to = l->primary_to;
}

/* Finds the other end on this node, or leaves this one to be found. */
static void link_peer(struct conn_table *t, struct conn *c)
{
	struct conn *other = c->hash ? hashmap_get_ptr(&t->by_hash, c->hash) : NULL;

	if (!c->hash)
		return;
	if (other && other != c && !other->peer) {
		other->peer = c;
		c->peer = other;
		hashmap_del(&t->by_hash, c->hash);
	} else if (!other) {
		(void)hashmap_put_ptr(&t->by_hash, c->hash, c);
		legacy_find(t, c);
	}
}

void conn_identify(struct conn_table *t, struct conn *c, const struct ev_conn *ev, uint64_t hash)
{
	c->hash = hash;
	c->initiator = ev->initiator;
	c->names_gen = 0;
	/* Its positions were not certain either. */
	for (int d = 0; d < 2; d++)
		if (!c->dir[d].n_marks)
			c->dir[d].next = c->dir[d].seen = ev->pos[d];
	link_peer(t, c);
}

struct conn *conn_add(struct conn_table *t, const struct ev_conn *ev, uint64_t hash)
{
	struct conn *c = t->n < t->max ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	c->id = ev->conn;
	c->hash = hash;
	c->cgroup = ev->cgroup;
	c->slot = ev->slot;
	c->tgid = ev->tgid;
	c->netns = ev->netns;
	c->local_port = ev->local_port;
	c->remote_port = ev->remote_port;
	memcpy(c->local, ev->local, sizeof(c->local));
	memcpy(c->remote, ev->remote, sizeof(c->remote));
	c->initiator = ev->initiator;
	/* Found open by the walk, or by a transfer that came before the walk got there. */
	c->old = ev->h.flags & EV_F_OLD || ev->pos[EV_RX] || ev->pos[EV_TX];
	c->last_ns = ev->h.ts_ns;
	c->opened_ns = c->old ? 0 : ev->h.ts_ns - MIN(ev->connect_ns, ev->h.ts_ns);
	memcpy(c->comm, ev->comm, sizeof(c->comm) - 1);
	for (int d = 0; d < 2; d++)
		c->dir[d].next = c->dir[d].seen = ev->pos[d];
	c->names = names_of(ev);
	if ((ev->family == AF_UNIX && !c->names) || hashmap_put_ptr(&t->by_id, c->id, c) < 0) {
		free(c->names);
		free(c);
		return NULL;
	}
	list_add(t, c);
	t->n++;
	link_peer(t, c);
	return c;
}

struct conn *conn_get(const struct conn_table *t, uint64_t id)
{
	return hashmap_get_ptr(&t->by_id, id);
}

void conn_touch(struct conn_table *t, struct conn *c, uint64_t now_ns)
{
	c->last_ns = now_ns;
	if (c->lru_next == &t->lru)
		return;
	list_del(t, c);
	list_add(t, c);
}

struct conn *conn_idlest(const struct conn_table *t)
{
	return t->lru.lru_next == &t->lru ? NULL : t->lru.lru_next;
}

void conn_del(struct conn_table *t, struct conn *c)
{
	if (c->peer) {
		c->peer->peer_was_readable = c->state == CONN_PARSING;
		c->peer->peer_rows_to = c->rows_to;
		c->peer->peer_primary_to = c->primary_to;
		c->peer->peer_read_to = c->dir[c->request_dir].seen;
		c->peer->peer_tgid = c->tgid;
		c->peer->peer_cgroup = c->cgroup;
		memcpy(c->peer->peer_comm, c->comm, sizeof(c->comm));
		c->peer->peer = NULL;
	} else if (c->hash && hashmap_get_ptr(&t->by_hash, c->hash) == c) {
		hashmap_del(&t->by_hash, c->hash);
		if (c->rows_to)
			legacy_leave(t, c);
	}
	hashmap_del(&t->by_id, c->id);
	list_del(t, c);
	t->n--;
	free(c->names);
	free(c);
}

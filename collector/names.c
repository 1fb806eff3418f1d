#include "collector/names.h"

#include "base/hash.h"
#include "base/hashmap.h"

#include <errno.h>

/* An entity, packed. */
struct held {
	size_t n;
	uint8_t bytes[];
};

/* A packed CollectorMessage. */
struct packed {
	uint8_t *p;
	size_t n;
};

/* All that held at a version, cut into messages; several agents may be at it. */
struct names_set {
	size_t users;
	uint64_t version;
	size_t n_parts;
	struct packed parts[];
};

struct names {
	struct hash_key key;
	struct hashmap held; /* place_key() -> struct held */
	bool whole;
	uint64_t version;
	/* Changes that led to version - n_ring + 1 … version, oldest at `oldest`. */
	struct packed ring[NAMES_RING];
	size_t oldest, n_ring, ring_bytes;
	struct names_set *set; /* the latest that was made, or NULL */
};

int names_new(uint64_t first_version, struct names **ret)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->version = first_version;
	hash_key_random(&n->key);
	hashmap_init(&n->held, NAMES_MAX);
	*ret = n;
	return 0;
}

static void set_put(struct names_set *s)
{
	if (!s || --s->users)
		return;
	for (size_t i = 0; i < s->n_parts; i++)
		free(s->parts[i].p);
	free(s);
}

static void forget_held(struct names *n)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&n->held, e));)
		free((void *)(uintptr_t)e->value);
	hashmap_done(&n->held);
	hashmap_init(&n->held, NAMES_MAX);
}

static void forget_oldest(struct names *n)
{
	struct packed *p = &n->ring[n->oldest];

	n->ring_bytes -= p->n;
	free(p->p);
	*p = (struct packed){ 0 };
	n->oldest = (n->oldest + 1) % NAMES_RING;
	n->n_ring--;
}

static void forget_ring(struct names *n)
{
	while (n->n_ring)
		forget_oldest(n);
}

void names_free(struct names *n)
{
	forget_held(n);
	hashmap_done(&n->held);
	forget_ring(n);
	set_put(n->set);
	free(n);
}

/* ---- in ---- */

/* Of one object there is one entity of a kind at a place. */
static uint64_t place_key(const struct names *n, const Kelpie__Entity *e)
{
	uint64_t place = (uint64_t)e->kind << 32 ^ (uint64_t)e->proto << 16 ^ e->port;

	return hash_bytes(&n->key, slice_str(e->uid)) ^
	       hash_u64(hash_bytes(&n->key, slice_of(e->addr.data, e->addr.len)) ^ hash_u64(place));
}

static void remove_key(struct names *n, uint64_t key)
{
	free(hashmap_get_ptr(&n->held, key));
	(void)hashmap_del(&n->held, key);
}

static int hold(struct names *n, const Kelpie__Entity *e)
{
	uint64_t key = place_key(n, e);
	size_t size = kelpie__entity__get_packed_size(e);
	struct held *h;
	int r;

	if (!e->uid[0] || !e->kind)
		return -EPROTO;
	if (e->to_ns) {
		remove_key(n, key);
		return 0;
	}
	h = malloc(sizeof(*h) + size);
	if (!h)
		return -ENOMEM;
	h->n = kelpie__entity__pack(e, h->bytes);
	free(hashmap_get_ptr(&n->held, key));
	r = hashmap_put_ptr(&n->held, key, h);
	if (r < 0) {
		(void)hashmap_del(&n->held, key);
		free(h);
	}
	return r;
}

static int pack(const Kelpie__Names *names, struct packed *ret)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;

	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_NAMES;
	m.names = (Kelpie__Names *)(uintptr_t)names;
	ret->n = kelpie__collector_message__get_packed_size(&m);
	ret->p = malloc(ret->n + 1);
	if (!ret->p)
		return -ENOMEM;
	kelpie__collector_message__pack(&m, ret->p);
	return 0;
}

/* Remembered for those who are nearly up to date. */
static int remember(struct names *n, const Kelpie__Names *changes)
{
	Kelpie__Names m = *changes;
	struct packed p;
	int r;

	m.version = n->version + 1;
	m.first = m.last = false;
	r = pack(&m, &p);
	if (r < 0)
		return r;
	while (n->n_ring && (n->n_ring == NAMES_RING || n->ring_bytes + p.n > NAMES_RING_BYTES))
		forget_oldest(n);
	n->ring[(n->oldest + n->n_ring++) % NAMES_RING] = p;
	n->ring_bytes += p.n;
	n->version++;
	return 0;
}

int names_take(struct names *n, const Kelpie__Names *changes)
{
	int r = 0;

	if (changes->first) {
		n->whole = false;
		forget_held(n);
	}
	for (size_t i = 0; i < changes->n_entities && r == 0; i++)
		r = hold(n, changes->entities[i]);
	if (r == 0 && n->whole)
		r = remember(n, changes);
	if (r < 0) {
		n->whole = false;
		return r;
	}
	if (changes->last) {
		/* What was told before says nothing of what has ended since. */
		forget_ring(n);
		n->version++;
		n->whole = true;
	}
	return 0;
}

/* ---- out ---- */

/* Parts of at most NAMES_PART entities, an empty one when there is none. */
static int fill_parts(struct names *n, struct names_set *s)
{
	Kelpie__Entity *entities[NAMES_PART];
	Kelpie__Names m = KELPIE__NAMES__INIT;
	struct hashmap_entry *e = hashmap_next(&n->held, NULL);
	int r = 0;

	m.entities = entities;
	m.version = s->version;
	m.first = true;
	do {
		for (m.n_entities = 0; e && m.n_entities < NAMES_PART;
		     e = hashmap_next(&n->held, e)) {
			const struct held *h = (void *)(uintptr_t)e->value;

			entities[m.n_entities] = kelpie__entity__unpack(NULL, h->n, h->bytes);
			if (!entities[m.n_entities++])
				r = -ENOMEM;
		}
		m.last = !e;
		if (r == 0)
			r = pack(&m, &s->parts[s->n_parts]);
		s->n_parts += r == 0;
		m.first = false;
		for (size_t i = 0; i < m.n_entities; i++)
			if (entities[i])
				kelpie__entity__free_unpacked(entities[i], NULL);
	} while (e && r == 0);
	return r;
}

/* Whether the ring leads from that version to today's. */
static bool leads_on(const struct names *n, uint64_t version)
{
	return version <= n->version && n->version - version <= n->n_ring;
}

/* A set from which the ring leads on: the latest, or a new one. */
static struct names_set *set_get(struct names *n)
{
	struct names_set *s = n->set;
	int r;

	if (!s || !leads_on(n, s->version)) {
		s = calloc(1, sizeof(*s) + (n->held.len / NAMES_PART + 1) * sizeof(s->parts[0]));
		if (!s)
			return NULL;
		s->users = 1;
		s->version = n->version;
		r = fill_parts(n, s);
		if (r < 0) {
			set_put(s);
			return NULL;
		}
		set_put(n->set);
		n->set = s;
	}
	s->users++;
	return s;
}

void names_want(struct names *n, struct names_cursor *c, uint64_t have)
{
	names_leave(n, c);
	c->wanted = true;
	c->version = have;
}

void names_leave(struct names *n, struct names_cursor *c)
{
	(void)n;
	set_put(c->set);
	*c = (struct names_cursor){ 0 };
}

int names_next(struct names *n, struct names_cursor *c, struct slice *ret)
{
	const struct packed *p;

	if (!c->wanted || !n->whole || (!c->set && c->version == n->version))
		return 0;
	if (!c->set && !leads_on(n, c->version)) {
		c->set = set_get(n);
		c->part = 0;
		if (!c->set)
			return -ENOMEM;
	}
	if (c->set && c->part < c->set->n_parts) {
		p = &c->set->parts[c->part++];
		*ret = slice_of(p->p, p->n);
		return 1;
	}
	if (c->set) {
		c->version = c->set->version;
		set_put(c->set);
		c->set = NULL;
		return names_next(n, c, ret);
	}
	p = &n->ring[(n->oldest + n->n_ring - (size_t)(n->version - c->version)) % NAMES_RING];
	c->version++;
	*ret = slice_of(p->p, p->n);
	return 1;
}

size_t names_count(const struct names *n)
{
	return n->whole ? n->held.len : 0;
}

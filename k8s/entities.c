#include "k8s/entities_int.h"

#include <arpa/inet.h>
#include <errno.h>

/* ---- texts ---- */

bool k8s_name_ok(struct slice text)
{
	if (!text.n || text.n > K8S_NAME_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !memchr("-._:", c, 4))
			return false;
	}
	return true;
}

bool k8s_addr_parse(struct slice text, uint8_t ret[16])
{
	char copy[INET6_ADDRSTRLEN];

	text = slice_head(text, slice_find(text, '%'));
	if (!text.n || text.n >= sizeof(copy))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = 0;
	if (inet_pton(AF_INET6, copy, ret) == 1)
		return true;
	memset(ret, 0, 10);
	memset(ret + 10, 0xff, 2);
	return inet_pton(AF_INET, copy, ret + 12) == 1;
}

/* Where the text is + 1; 0 when there is no room, or it is empty. */
static uint32_t intern(struct k8s_entities_writer *w, struct slice text)
{
	struct k8s_entities *m = w->image;
	uint32_t i;

	if (!text.n)
		return 0;
	i = (uint32_t)hash_bytes(&m->key, text) & (INTERNED_MAX - 1);
	for (; w->interned[i]; i = (i + 1) & (INTERNED_MAX - 1)) {
		const uint8_t *at = m->texts + w->interned[i] - 1;

		if (slice_eq(slice_of(at + 1, *at), text))
			return w->interned[i];
	}
	if (m->text_len + 1 + text.n > K8S_ENTITIES_TEXT)
		return 0;
	m->texts[m->text_len] = (uint8_t)text.n;
	memcpy(m->texts + m->text_len + 1, text.p, text.n);
	w->interned[i] = m->text_len + 1;
	m->text_len += (uint32_t)(1 + text.n);
	return w->interned[i];
}

/* Forgets the texts of intervals that are no more. */
static void pack_texts(struct k8s_entities_writer *w)
{
	struct k8s_entities *m = w->image;
	_cleanup_(freep) uint8_t *old = malloc(K8S_ENTITIES_TEXT);

	if (!old)
		return;
	memcpy(old, m->texts, m->text_len);
	memset(w->interned, 0, INTERNED_MAX * sizeof(*w->interned));
	m->text_len = 0;
	for (uint32_t i = 0; i < m->n_used; i++) {
		struct entity_slot *s = &m->slots[i];

		for (size_t t = 0; s->kind && t < _TEXT_MAX; t++) {
			const uint8_t *at = old + s->text[t] - 1;

			if (s->text[t])
				s->text[t] = intern(w, slice_of(at + 1, *at));
		}
	}
	w->text_live = m->text_len;
}

/* ---- the writer's frame ---- */

size_t k8s_entities_bytes(void)
{
	return sizeof(struct k8s_entities);
}

/* What a writer before this one left, perhaps in the middle of a change. */
static void empty(struct k8s_entities *m)
{
	uint32_t n = MIN(m->n_used, (uint32_t)K8S_ENTITIES_MAX);

	atomic_fetch_or(&m->seq, 1);
	hash_key_random(&m->key);
	memset(m->slots, 0, n * sizeof(m->slots[0]));
	if (n)
		memset(m->heads, 0, sizeof(m->heads));
	m->n_open = m->n_closed = m->n_ports = m->free = m->n_used = m->text_len = 0;
	m->refused = 0;
	atomic_fetch_add(&m->version, 1);
	atomic_fetch_add(&m->seq, 1);
}

int k8s_entities_open(struct k8s_entities_writer *w, void *memory)
{
	*w = (struct k8s_entities_writer){ .image = memory };
	w->interned = calloc(INTERNED_MAX, sizeof(*w->interned));
	if (!w->interned)
		return -ENOMEM;
	empty(w->image);
	return 0;
}

void k8s_entities_close(struct k8s_entities_writer *w)
{
	free(w->interned);
	*w = (struct k8s_entities_writer){ 0 };
}

void k8s_entities_begin(struct k8s_entities_writer *w)
{
	if (w->depth++)
		return;
	atomic_fetch_add_explicit(&w->image->seq, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

void k8s_entities_end(struct k8s_entities_writer *w)
{
	if (--w->depth)
		return;
	atomic_fetch_add_explicit(&w->image->version, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->image->seq, 1, memory_order_release);
}

struct k8s_entities_counts k8s_entities_count(const struct k8s_entities *image)
{
	struct k8s_entities *m = (struct k8s_entities *)(uintptr_t)image;

	return (struct k8s_entities_counts){ atomic_load(&m->version), atomic_load(&m->n_open),
					     atomic_load(&m->n_closed), atomic_load(&m->refused) };
}

/* ---- slots ---- */

static uint32_t *chain_of(struct k8s_entities *m, const uint8_t addr[16], uint16_t port)
{
	return &m->heads[entity_chain(&m->key, addr, port)];
}

static void close_slot(struct k8s_entities *m, struct entity_slot *s, uint64_t to_ns)
{
	if (s->to_ns)
		return;
	/* One that ended before it began here was nobody's, and takes part in no answer. */
	s->to_ns = MAX(to_ns, s->from_ns);
	m->n_open--;
	m->n_ports -= s->port != 0;
	m->n_closed++;
}

static void drop_slot(struct k8s_entities *m, struct entity_slot *s)
{
	uint32_t number = (uint32_t)(s - m->slots) + 1;
	uint32_t *link = chain_of(m, s->addr, s->port);

	while (*link != number)
		link = &m->slots[*link - 1].next;
	*link = s->next;
	if (s->to_ns) {
		m->n_closed--;
	} else {
		m->n_open--;
		m->n_ports -= s->port != 0;
	}
	*s = (struct entity_slot){ .next = m->free };
	m->free = number;
}

/* The closed one that was met longest ago, by and large. */
static bool drop_some(struct k8s_entities_writer *w)
{
	struct k8s_entities *m = w->image;

	for (uint32_t n = 0; m->n_closed && n < m->n_used; n++) {
		struct entity_slot *s = &m->slots[w->hand];

		w->hand = (w->hand + 1) % m->n_used;
		if (s->kind && s->to_ns) {
			drop_slot(m, s);
			return true;
		}
	}
	return false;
}

/* Keeps the chain short enough to be read. */
static bool chain_room(struct k8s_entities *m, uint32_t head)
{
	struct entity_slot *oldest = NULL;
	size_t n = 0;

	for (uint32_t i = head; i; i = m->slots[i - 1].next, n++) {
		struct entity_slot *s = &m->slots[i - 1];

		if (s->to_ns && (!oldest || s->to_ns < oldest->to_ns))
			oldest = s;
	}
	if (n < K8S_ENTITIES_CHAIN)
		return true;
	if (oldest)
		drop_slot(m, oldest);
	return oldest != NULL;
}

/* Room for the texts of one interval: of those that are gone, then of those that are over. Packing costs,
 * so it has to promise something. */
static bool text_room(struct k8s_entities_writer *w, bool of_port)
{
	const uint32_t most = _TEXT_MAX * (K8S_NAME_MAX + 1);
	const uint32_t limit = (of_port ? K8S_ENTITIES_TEXT / 4 * 3 : K8S_ENTITIES_TEXT) - most;
	struct k8s_entities *m = w->image;

	if (m->text_len <= limit)
		return true;
	if (m->text_len - w->text_live > K8S_ENTITIES_TEXT / 8)
		pack_texts(w);
	if (!of_port && m->text_len > K8S_ENTITIES_TEXT - K8S_ENTITIES_TEXT / 8 && m->n_closed) {
		for (uint32_t n = m->n_closed / 2 + 1; n && drop_some(w); n--)
			;
		pack_texts(w);
	}
	return m->text_len <= limit;
}

static struct entity_slot *new_slot(struct k8s_entities_writer *w, const struct k8s_entity *e)
{
	struct k8s_entities *m = w->image;
	uint32_t *head = chain_of(m, e->addr, e->port), number;
	struct entity_slot *s;

	if (!text_room(w, e->port != 0) || !chain_room(m, *head))
		return NULL;
	if (e->port && m->n_ports >= K8S_ENTITIES_PORTS)
		return NULL;
	if (!m->free && m->n_used == K8S_ENTITIES_MAX && !drop_some(w))
		return NULL;
	number = m->free ? m->free : ++m->n_used;
	s = &m->slots[number - 1];
	if (m->free)
		m->free = s->next;
	*s = (struct entity_slot){
		.next = *head, .port = e->port, .proto = e->proto, .kind = e->kind
	};
	memcpy(s->addr, e->addr, sizeof(s->addr));
	*head = number;
	m->n_open++;
	m->n_ports += e->port != 0;
	return s;
}

/* ---- what is told ---- */

static bool fits(const struct k8s_entity *e)
{
	static const bool of_port[_K8S_ENTITY_KIND_MAX] = { [K8S_ENTITY_EXTERNAL] = true,
							    [K8S_ENTITY_NODEPORT] = true,
							    [K8S_ENTITY_ENDPOINT] = true };
	const struct slice *const texts[] = { &e->ns,	    &e->name,	 &e->workload_kind,
					      &e->workload, &e->service, &e->node };

	if (!e->kind || e->kind >= _K8S_ENTITY_KIND_MAX || !e->uid.n ||
	    of_port[e->kind] != (e->port != 0))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i]->n && !k8s_name_ok(*texts[i]))
			return false;
	return e->kind == K8S_ENTITY_POD    ? e->ns.n && e->name.n
	       : e->kind == K8S_ENTITY_NODE ? e->node.n > 0
					    : e->ns.n && e->service.n;
}

/* Whether at most one object can be at the place at a time. */
static bool exclusive(uint8_t kind)
{
	return kind != K8S_ENTITY_ENDPOINT && kind != K8S_ENTITY_EXTERNAL;
}

static bool same_place(const struct entity_slot *s, const struct k8s_entity *e)
{
	return s->kind == e->kind && s->port == e->port && s->proto == e->proto &&
	       memcmp(s->addr, e->addr, sizeof(s->addr)) == 0;
}

static void set_text(struct k8s_entities_writer *w, struct entity_slot *s, enum entity_text t,
		     struct slice text)
{
	if (text.n)
		s->text[t] = intern(w, text);
}

/* The node knows what the pod is called, the cluster which services it is in. */
static void set_service(struct k8s_entities_writer *w, struct entity_slot *s,
			enum k8s_entity_source from, struct slice service)
{
	bool node = s->kind == K8S_ENTITY_POD && from == K8S_FROM_NODE;
	bool named = s->flags & ENTITY_NAMED_BY_NODE;

	if (node ? !service.n && !named : named)
		return;
	s->text[TEXT_SERVICE] = intern(w, service);
	if (node && service.n)
		s->flags |= ENTITY_NAMED_BY_NODE;
	else
		s->flags &= (uint8_t)~ENTITY_NAMED_BY_NODE;
}

/* The source knows of it. */
static void told(const struct k8s_entities_writer *w, struct entity_slot *s,
		 enum k8s_entity_source from)
{
	if (from != K8S_FROM_NODE && s->source == K8S_FROM_NODE)
		return;
	s->source = (uint8_t)from;
	s->round = w->round[from];
}

static void fill(struct k8s_entities_writer *w, struct entity_slot *s, enum k8s_entity_source from,
		 const struct k8s_entity *e)
{
	set_text(w, s, TEXT_NS, e->ns);
	set_text(w, s, TEXT_NAME, e->name);
	/* The cluster knows a Job's CronJob, the node does not. */
	if (from == K8S_FROM_CLUSTER || !s->text[TEXT_WORKLOAD]) {
		set_text(w, s, TEXT_KIND, e->workload_kind);
		set_text(w, s, TEXT_WORKLOAD, e->workload);
	}
	set_text(w, s, TEXT_NODE, e->node);
	set_service(w, s, from, e->service);
	if (from == K8S_FROM_CLUSTER && e->covered)
		s->flags |= ENTITY_COVERED;
	else if (from == K8S_FROM_CLUSTER)
		s->flags &= (uint8_t)~ENTITY_COVERED;
	told(w, s, from);
}

/* From when the object is certainly alone at its place, as those before it have left it. Who is still
 * there has missed its end: between the newcomer's start and now the place may be either's. */
static uint64_t settle(struct k8s_entities *m, const struct k8s_entity *e, uint64_t uid,
		       uint64_t now_ns)
{
	uint64_t from = e->from_ns ? MIN(e->from_ns, now_ns) : now_ns, start = from;

	if (!exclusive(e->kind))
		return from;
	for (uint32_t i = *chain_of(m, e->addr, e->port); i; i = m->slots[i - 1].next) {
		struct entity_slot *s = &m->slots[i - 1];

		if (!same_place(s, e) || s->uid == uid)
			continue;
		if (!s->to_ns) {
			close_slot(m, s, start);
			from = now_ns;
		} else if (s->to_ns > s->from_ns) {
			from = MAX(from, s->to_ns + K8S_REUSE_GUARD_NS);
		}
	}
	return from;
}

static struct entity_slot *find_slot(struct k8s_entities *m, const struct k8s_entity *e,
				     uint64_t uid, bool closed)
{
	for (uint32_t i = *chain_of(m, e->addr, e->port); i; i = m->slots[i - 1].next) {
		struct entity_slot *s = &m->slots[i - 1];

		if (same_place(s, e) && s->uid == uid && (s->to_ns != 0) == closed)
			return s;
	}
	return NULL;
}

/* An interval that is over. What is known of it may only become shorter. */
static int put_closed(struct k8s_entities_writer *w, enum k8s_entity_source from,
		      const struct k8s_entity *e, uint64_t uid, uint64_t now_ns)
{
	struct entity_slot *s = find_slot(w->image, e, uid, false);
	uint64_t to = MIN(e->to_ns, now_ns);

	if (s) {
		if (from == K8S_FROM_NODE || s->source == from)
			close_slot(w->image, s, to);
		return 0;
	}
	s = find_slot(w->image, e, uid, true);
	if (s) {
		s->to_ns = MAX(MIN(s->to_ns, to), s->from_ns);
		return 0;
	}
	if (!e->from_ns || e->from_ns >= to)
		return 0;
	s = new_slot(w, e);
	if (!s)
		return -ENOSPC;
	s->uid = uid;
	s->from_ns = e->from_ns;
	s->source = (uint8_t)from;
	fill(w, s, from, e);
	close_slot(w->image, s, to);
	return 0;
}

static int put_open(struct k8s_entities_writer *w, enum k8s_entity_source from,
		    const struct k8s_entity *e, uint64_t uid, uint64_t now_ns)
{
	struct entity_slot *s = find_slot(w->image, e, uid, false);

	if (!s) {
		uint64_t since = settle(w->image, e, uid, now_ns);

		/* One that came back: when it did is not known. */
		if (find_slot(w->image, e, uid, true))
			since = MAX(since, now_ns);
		s = new_slot(w, e);
		if (!s)
			return -ENOSPC;
		s->uid = uid;
		s->from_ns = since;
		s->source = (uint8_t)from;
	} else if (!text_room(w, e->port != 0)) {
		told(w, s, from); /* it goes on, under the names that it has */
		return -ENOSPC;
	}
	fill(w, s, from, e);
	return 0;
}

int k8s_entities_put(struct k8s_entities_writer *w, enum k8s_entity_source from,
		     const struct k8s_entity *e, uint64_t now_ns)
{
	uint64_t uid;
	int r;

	if (!fits(e))
		return -EINVAL;
	uid = hash_bytes(&w->image->key, e->uid);
	k8s_entities_begin(w);
	r = e->to_ns ? put_closed(w, from, e, uid, now_ns) : put_open(w, from, e, uid, now_ns);
	if (r < 0)
		w->image->refused++;
	k8s_entities_end(w);
	return r;
}

/* One change of many: readers look in between. */
static void end_slot(struct k8s_entities_writer *w, struct entity_slot *s, uint64_t to_ns)
{
	k8s_entities_begin(w);
	close_slot(w->image, s, to_ns);
	k8s_entities_end(w);
}

static bool among(const uint8_t addr[16], const uint8_t (*addrs)[16], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(addr, addrs[i], 16) == 0)
			return true;
	return false;
}

void k8s_entities_leave(struct k8s_entities_writer *w, struct slice uid, const uint8_t (*addrs)[16],
			size_t n_addrs, uint64_t to_ns)
{
	struct k8s_entities *m = w->image;
	uint64_t hash = hash_bytes(&m->key, uid);

	for (uint32_t i = 0; i < m->n_used; i++) {
		struct entity_slot *s = &m->slots[i];

		if (s->kind && !s->to_ns && s->uid == hash && !among(s->addr, addrs, n_addrs))
			end_slot(w, s, to_ns);
	}
}

void k8s_entities_replace_begin(struct k8s_entities_writer *w, enum k8s_entity_source from)
{
	w->round[from]++;
}

void k8s_entities_replace_end(struct k8s_entities_writer *w, enum k8s_entity_source from,
			      uint64_t now_ns)
{
	struct k8s_entities *m = w->image;

	for (uint32_t i = 0; i < m->n_used; i++) {
		struct entity_slot *s = &m->slots[i];

		if (s->kind && !s->to_ns && s->source == from && s->round != w->round[from])
			end_slot(w, s, now_ns);
	}
}

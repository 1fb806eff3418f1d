#include "k8s/entities_int.h"

#include <errno.h>

#define TRIES_MAX 3
#define LOOKS_MAX 500 /* at a writer at work: some microseconds, what one change takes */

/* The memory may change while it is read, and whoever writes there may mean harm: every number is
 * copied once, then checked. */
static uint32_t load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	__asm__ volatile("" ::: "memory"); /* it is not read again instead */
}

/* to: K8S_NAME_MAX + 1 bytes. What is no name counts as none. */
static void copy_text(const struct k8s_entities *m, uint32_t place, char *to)
{
	uint32_t off = place - 1;
	uint8_t n;

	*to = 0;
	if (!place || off >= K8S_ENTITIES_TEXT)
		return;
	n = __atomic_load_n(&m->texts[off], __ATOMIC_RELAXED);
	if (n > K8S_NAME_MAX || off + 1 + n > K8S_ENTITIES_TEXT)
		return;
	copy(to, m->texts + off + 1, n);
	to[k8s_name_ok(slice_of(to, n)) ? n : 0] = 0;
}

struct search {
	const struct k8s_entities *m;
	const struct k8s_question *q;
	struct k8s_answer *ret;
	struct entity_slot base; /* what the address is, kind 0: nothing known */
	bool base_twice;
	char service[K8S_NAME_MAX + 1], ns[K8S_NAME_MAX + 1]; /* that the port belongs to */
	char pod[K8S_NAME_MAX + 1];			      /* behind it, where that is known */
	bool service_twice;
	bool service_covered;
};

/* Whether the interval has the time; the answer holds between the nearest bounds around it. */
static bool in_time(struct search *s, const struct entity_slot *e)
{
	const uint64_t at = s->q->at_ns, bounds[] = { e->from_ns, e->to_ns };

	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
		if (!bounds[i])
			continue;
		if (bounds[i] <= at)
			s->ret->from_ns = MAX(s->ret->from_ns, bounds[i]);
		else if (!s->ret->to_ns || bounds[i] < s->ret->to_ns)
			s->ret->to_ns = bounds[i];
	}
	return e->from_ns <= at && (!e->to_ns || at < e->to_ns);
}

static void take_base(struct search *s, const struct entity_slot *e)
{
	if (e->kind != K8S_ENTITY_POD && e->kind != K8S_ENTITY_SERVICE &&
	    e->kind != K8S_ENTITY_NODE)
		return;
	if (!in_time(s, e))
		return;
	s->base_twice |= s->base.kind != 0;
	s->base = *e;
}

static void take_port(struct search *s, const struct entity_slot *e)
{
	char service[K8S_NAME_MAX + 1], ns[K8S_NAME_MAX + 1], pod[K8S_NAME_MAX + 1];
	char name[K8S_NAME_MAX + 1], base_ns[K8S_NAME_MAX + 1];

	if (e->kind != K8S_ENTITY_ENDPOINT && e->kind != K8S_ENTITY_EXTERNAL &&
	    e->kind != K8S_ENTITY_NODEPORT)
		return;
	if (e->port != s->q->port || (e->proto && e->proto != s->q->proto) || !in_time(s, e))
		return;
	copy_text(s->m, e->text[TEXT_SERVICE], service);
	copy_text(s->m, e->text[TEXT_NS], ns);
	copy_text(s->m, e->text[TEXT_NAME], pod);
	/* A slice that still lists the pod which had the address before, or whose maker has no say about this
	 * pod: it is another namespace's. */
	copy_text(s->m, s->base.text[TEXT_NAME], name);
	copy_text(s->m, s->base.text[TEXT_NS], base_ns);
	if (s->base.kind == K8S_ENTITY_POD &&
	    ((pod[0] && strcmp(pod, name) != 0) || strcmp(ns, base_ns) != 0))
		return;
	if (s->service[0] && (strcmp(s->service, service) != 0 || strcmp(s->ns, ns) != 0))
		s->service_twice = true;
	memcpy(s->service, service, sizeof(service));
	memcpy(s->ns, ns, sizeof(ns));
	s->service_covered = e->flags & ENTITY_COVERED;
	if (pod[0])
		memcpy(s->pod, pod, sizeof(pod));
}

static void walk(struct search *s, const uint8_t addr[16], uint16_t port,
		 void (*take)(struct search *s, const struct entity_slot *e))
{
	struct hash_key key;
	uint32_t i;

	copy(&key, &s->m->key, sizeof(key));
	i = load32(&s->m->heads[entity_chain(&key, addr, port)]);
	for (size_t n = 0; i && n < K8S_ENTITIES_CHAIN; n++) {
		struct entity_slot e;

		if (i > K8S_ENTITIES_MAX)
			return;
		copy(&e, &s->m->slots[i - 1], sizeof(e));
		if (memcmp(e.addr, addr, sizeof(e.addr)) == 0)
			take(s, &e);
		i = e.next;
	}
}

static void answer_pod(struct search *s)
{
	struct k8s_answer *r = s->ret;

	r->kind = K8S_ENTITY_POD;
	r->covered = s->base.flags & ENTITY_COVERED;
	copy_text(s->m, s->base.text[TEXT_NS], r->ns);
	copy_text(s->m, s->base.text[TEXT_NAME], r->name);
	copy_text(s->m, s->base.text[TEXT_KIND], r->workload_kind);
	copy_text(s->m, s->base.text[TEXT_WORKLOAD], r->workload);
	copy_text(s->m, s->base.text[TEXT_NODE], r->node);
	copy_text(s->m, s->base.text[TEXT_SERVICE], r->service);
	if (!r->service[0] && !s->service_twice && strcmp(s->ns, r->ns) == 0)
		memcpy(r->service, s->service, sizeof(r->service));
}

/* A service by its own address, or by a port of a node or of somewhere else. */
static void answer_service(struct search *s)
{
	struct k8s_answer *r = s->ret;

	r->kind = K8S_ENTITY_SERVICE;
	r->covered = s->service_covered;
	if (s->base.kind == K8S_ENTITY_SERVICE) {
		r->covered = s->base.flags & ENTITY_COVERED;
		copy_text(s->m, s->base.text[TEXT_NS], r->ns);
		copy_text(s->m, s->base.text[TEXT_SERVICE], r->service);
		return;
	}
	memcpy(r->ns, s->ns, sizeof(r->ns));
	memcpy(r->service, s->service, sizeof(r->service));
	if (s->pod[0]) { /* in its node's network */
		r->kind = K8S_ENTITY_POD;
		memcpy(r->name, s->pod, sizeof(r->name));
		copy_text(s->m, s->base.text[TEXT_NODE], r->node);
	}
}

static void search(struct search *s)
{
	static const uint8_t any_node[16];

	walk(s, s->q->addr, 0, take_base);
	if (s->base_twice)
		return;
	if (s->q->server && s->q->port) {
		walk(s, s->q->addr, s->q->port, take_port);
		if (s->base.kind == K8S_ENTITY_NODE && !s->service[0])
			walk(s, any_node, s->q->port, take_port);
	}
	if (s->base.kind == K8S_ENTITY_POD) {
		answer_pod(s);
	} else if (s->base.kind == K8S_ENTITY_SERVICE || (s->service[0] && !s->service_twice)) {
		answer_service(s);
	} else if (s->base.kind == K8S_ENTITY_NODE) {
		s->ret->kind = K8S_ENTITY_NODE;
		s->ret->covered = s->base.flags & ENTITY_COVERED;
		copy_text(s->m, s->base.text[TEXT_NODE], s->ret->node);
	}
}

/* The number of the state that is there; odd: the writer is at work. */
static uint32_t look(const _Atomic uint32_t *seq)
{
	uint32_t now = atomic_load_explicit(seq, memory_order_acquire);

	for (int i = 0; i < LOOKS_MAX && now & 1; i++)
		now = atomic_load_explicit(seq, memory_order_acquire);
	return now;
}

int k8s_entities_find(const struct k8s_entities *image, const struct k8s_question *q,
		      struct k8s_answer *ret)
{
	const _Atomic uint32_t *seq = &image->seq;

	for (int i = 0; i < TRIES_MAX; i++) {
		struct search s = { .m = image, .q = q, .ret = ret };
		uint32_t before = look(seq);

		memset(ret, 0, sizeof(*ret));
		if (before & 1)
			continue;
		search(&s);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(seq, memory_order_relaxed) == before)
			return 0;
	}
	memset(ret, 0, sizeof(*ret));
	return -EAGAIN;
}

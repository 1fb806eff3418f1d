/* One object's entities. */
#include "k8s/cluster_int.h"

#include "k8s/identity.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define TEXTS_OF_ENTITY 7

int thing_order(const struct k8s_entity *a, const struct k8s_entity *b)
{
	int r = memcmp(a->addr, b->addr, sizeof(a->addr));

	if (r)
		return r;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	return (int)a->kind - (int)b->kind;
}

static int by_place(const void *a, const void *b)
{
	return thing_order(a, b);
}

/* Adds one, at an address given as text; what is no address is left out. */
static void add(struct thing *t, struct slice addr, struct k8s_entity e)
{
	if (addr.n && !k8s_addr_parse(addr, e.addr))
		return;
	if (t->n_entities == K8S_THING_ENTITIES_MAX) {
		t->refused++;
		return;
	}
	e.uid = t->uid;
	t->entities[t->n_entities++] = e;
}

/* Owners, references and annotations are what whoever made the object has written, of any length and never
 * checked by the API server: what is no name is left out, and nobody's text makes a message too long. */
static struct slice name_in(struct slice text)
{
	return k8s_name_ok(text) ? text : (struct slice){ 0 };
}

static uint8_t proto_of(struct slice name)
{
	static const struct {
		const char *name;
		uint8_t proto;
	} protos[] = { { "TCP", IPPROTO_TCP }, { "UDP", IPPROTO_UDP }, { "SCTP", IPPROTO_SCTP } };

	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (slice_eq_str(name, protos[i].name))
			return protos[i].proto;
	return name.n ? 0 : IPPROTO_TCP; /* the API's default */
}

static int add_addrs(const struct k8s_pod *p, struct thing *t)
{
	t->addrs = calloc(MAX((size_t)p->n_ips, (size_t)1), sizeof(*t->addrs));
	for (size_t i = 0; t->addrs && i < p->n_ips; i++)
		t->n_addrs += k8s_addr_parse(p->ips[i], t->addrs[t->n_addrs]);
	return t->addrs ? 0 : -ENOMEM;
}

/* A pod in its node's network has no address of its own, a finished one has it no more. */
static int of_pod(const struct k8s_object *o, struct thing *t)
{
	const struct k8s_pod *p = &o->pod;
	struct k8s_entity e = { .kind = K8S_ENTITY_POD,
				.ns = o->meta.ns,
				.name = o->meta.name,
				.service = name_in(o->meta.service_name),
				.node = name_in(p->node),
				.from_ns = (uint64_t)MAX(p->started_ns, (int64_t)0) };

	k8s_workload_of(&o->meta, &e.workload_kind, &e.workload);
	e.workload_kind = name_in(e.workload_kind);
	e.workload = name_in(e.workload);
	t->name = o->meta.name;
	t->node = e.node;
	if (slice_eq_str(e.workload_kind, "Job"))
		t->job = e.workload;
	t->own_service = e.service.n > 0;
	t->capture_off = slice_eq_str(o->meta.capture, "false");
	if (slice_eq_str(p->phase, "Succeeded") || slice_eq_str(p->phase, "Failed"))
		return 0;
	for (size_t i = 0; !p->host_network && i < p->n_ips; i++)
		add(t, p->ips[i], e);
	return add_addrs(p, t);
}

static void of_service(const struct k8s_object *o, struct thing *t)
{
	const struct k8s_service *s = &o->service;
	struct k8s_entity e = { .kind = K8S_ENTITY_SERVICE,
				.ns = o->meta.ns,
				.service = o->meta.name,
				.from_ns = (uint64_t)MAX(o->meta.created_ns, (int64_t)0) };

	t->name = o->meta.name;
	for (size_t i = 0; i < s->n_cluster_ips; i++)
		add(t, s->cluster_ips[i], e);
	for (size_t i = 0; i < s->n_ports; i++) {
		e.proto = proto_of(s->ports[i].protocol);
		e.kind = K8S_ENTITY_EXTERNAL;
		e.port = s->ports[i].port;
		for (size_t k = 0; k < s->n_other_ips; k++)
			add(t, s->other_ips[k], e);
		e.kind = K8S_ENTITY_NODEPORT;
		e.port = s->ports[i].node_port;
		if (e.port)
			add(t, (struct slice){ 0 }, e);
	}
}

static void add_pod(struct thing *t, struct slice name)
{
	for (size_t i = 0; i < t->n_pods; i++)
		if (slice_eq(t->pods[i], name))
			return;
	if (name.n)
		t->pods[t->n_pods++] = name;
}

static int of_slice(const struct k8s_object *o, struct thing *t)
{
	const struct k8s_endpoint_slice *s = &o->slice;

	t->service = name_in(o->meta.slice_service);
	if (!t->service.n)
		return 0;
	t->pods = calloc(MAX((size_t)s->n_endpoints, (size_t)1), sizeof(*t->pods));
	if (!t->pods)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_endpoints; i++) {
		const struct k8s_endpoint *p = &s->endpoints[i];
		struct k8s_entity e = { .kind = K8S_ENTITY_ENDPOINT,
					.ns = o->meta.ns,
					.name = name_in(p->pod_name),
					.service = t->service,
					.node = name_in(p->node) };

		add_pod(t, e.name);
		for (size_t k = 0; k < s->n_ports; k++) {
			e.port = s->ports[k].port;
			e.proto = proto_of(s->ports[k].protocol);
			if (e.port && p->addr.n)
				add(t, p->addr, e);
		}
	}
	return 0;
}

static void of_node(const struct k8s_object *o, struct thing *t)
{
	struct k8s_entity e = { .kind = K8S_ENTITY_NODE,
				.node = o->meta.name,
				.from_ns = (uint64_t)MAX(o->meta.created_ns, (int64_t)0) };

	for (size_t i = 0; i < o->node.n_addrs; i++)
		add(t, o->node.addrs[i], e);
}

static void of_job(const struct k8s_object *o, struct thing *t)
{
	t->name = o->meta.name;
	if (slice_eq_str(o->meta.owner.kind, "CronJob"))
		t->cronjob = name_in(o->meta.owner.name);
}

/* Entities that the object may have at most. */
static size_t room_for(const struct k8s_object *o)
{
	size_t n = 0;

	if (o->kind == K8S_POD)
		n = o->pod.n_ips;
	else if (o->kind == K8S_SERVICE)
		n = o->service.n_cluster_ips + o->service.n_ports * (o->service.n_other_ips + 1u);
	else if (o->kind == K8S_ENDPOINT_SLICE)
		n = (size_t)o->slice.n_endpoints * o->slice.n_ports;
	else if (o->kind == K8S_NODE)
		n = o->node.n_addrs;
	return MIN(n, (size_t)K8S_THING_ENTITIES_MAX);
}

/* In order, each place once: an address that is listed twice is there once. */
static void sort(struct thing *t)
{
	size_t n = 0;

	if (t->n_entities)
		qsort(t->entities, t->n_entities, sizeof(*t->entities), by_place);
	for (size_t i = 0; i < t->n_entities; i++)
		if (!n || thing_order(&t->entities[n - 1], &t->entities[i]) != 0)
			t->entities[n++] = t->entities[i];
	t->n_entities = n;
}

int thing_of(const struct k8s_object *o, struct thing *ret)
{
	int r = 0;

	*ret = (struct thing){ .kind = o->kind, .uid = o->meta.uid, .ns = o->meta.ns };
	ret->entities = calloc(MAX(room_for(o), (size_t)1), sizeof(*ret->entities));
	if (!ret->entities)
		return -ENOMEM;
	if (o->kind == K8S_POD)
		r = of_pod(o, ret);
	else if (o->kind == K8S_SERVICE)
		of_service(o, ret);
	else if (o->kind == K8S_ENDPOINT_SLICE)
		r = of_slice(o, ret);
	else if (o->kind == K8S_NODE)
		of_node(o, ret);
	else if (o->kind == K8S_JOB)
		of_job(o, ret);
	sort(ret);
	return r;
}

size_t thing_ports(const struct thing *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_entities; i++)
		n += t->entities[i].port != 0;
	return n;
}

void thing_bound_ports(struct thing *t, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_entities; i++) {
		bool of_port = t->entities[i].port != 0;

		if (of_port && !room) {
			t->refused++;
			continue;
		}
		room -= of_port;
		t->entities[n++] = t->entities[i];
	}
	t->n_entities = n;
}

/* ---- texts ---- */

/* Slices of one object are often the same memory (namespace, service): such are copied once in a row. */
struct copier {
	char *to;
	size_t len;
	struct {
		struct slice from;
		size_t at;
	} last[8];
	size_t turn;
};

/* With to NULL counts only. */
static void copy_text(struct copier *c, struct slice *s)
{
	size_t at = c->len;

	if (!s->n)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(c->last); i++)
		if (c->last[i].from.p == s->p && c->last[i].from.n == s->n) {
			if (c->to)
				*s = slice_of(c->to + c->last[i].at, s->n);
			return;
		}
	c->last[c->turn].from = *s;
	c->last[c->turn].at = at;
	c->turn = (c->turn + 1) % ARRAY_SIZE(c->last);
	c->len += s->n;
	if (c->to) {
		memcpy(c->to + at, s->p, s->n);
		*s = slice_of(c->to + at, s->n);
	}
}

static void copy_texts(struct copier *c, struct thing *t)
{
	struct slice *own[] = { &t->uid,  &t->ns,      &t->name,   &t->job,
				&t->node, &t->service, &t->cronjob };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		copy_text(c, own[i]);
	for (size_t i = 0; i < t->n_pods; i++)
		copy_text(c, &t->pods[i]);
	for (size_t i = 0; i < t->n_entities; i++) {
		struct k8s_entity *e = &t->entities[i];
		struct slice *texts[TEXTS_OF_ENTITY] = { &e->uid,	   &e->ns,	&e->name,
							 &e->workload,	   &e->service, &e->node,
							 &e->workload_kind };

		for (size_t k = 0; k < TEXTS_OF_ENTITY; k++)
			copy_text(c, texts[k]);
	}
}

int thing_keep(struct thing *t)
{
	struct copier count = { 0 }, copy = { 0 };
	struct k8s_entity *entities;

	copy_texts(&count, t);
	t->texts = copy.to = malloc(count.len + 1);
	if (!t->texts)
		return -ENOMEM;
	copy_texts(&copy, t);
	/* the rest of the room is given back */
	entities = reallocarray(t->entities, MAX(t->n_entities, (size_t)1), sizeof(*entities));
	if (entities)
		t->entities = entities;
	return 0;
}

void thing_done(struct thing *t)
{
	free(t->entities);
	free(t->pods);
	free(t->addrs);
	free(t->texts);
	free(t->told_service);
	free(t->told_cronjob);
	*t = (struct thing){ 0 };
}

#include "k8s/cluster.h"

#include "k8s/cluster_int.h"

#include <errno.h>
#include <string.h>

#define MEMBERSHIPS_MAX                                                                            \
	8 /* services of one pod that are told apart; with more it has no name from them */

/* The services that a pod is in, as slices of its namespace name it: whoever makes a slice somewhere else says
 * nothing of it. The pod itself may be unknown yet. */
struct member {
	struct membership {
		char *service;
		uint32_t slices; /* that say so: one per address family at least */
	} of[MEMBERSHIPS_MAX];
	size_t n;
	uint32_t beyond;   /* slices of further services */
	struct thing **in; /* all of these slices; room for the next power of two */
	size_t n_in;
};

int k8s_cluster_new(k8s_entity_fn changed, void *ctx, struct k8s_cluster **ret)
{
	struct k8s_cluster *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->changed = changed;
	c->ctx = ctx;
	hash_key_random(&c->key);
	hashmap_init(&c->things, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->members, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->jobs, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->services, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->pods, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->backings, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->covered, K8S_CLUSTER_OBJECTS_MAX);
	*ret = c;
	return 0;
}

static void member_free(struct member *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->of[i].service);
	free(m->in);
	free(m);
}

void k8s_cluster_free(struct k8s_cluster *c)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->things, e));) {
		struct thing *t = (void *)(uintptr_t)e->value;

		thing_done(t);
		free(t);
	}
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->members, e));)
		member_free((void *)(uintptr_t)e->value);
	hashmap_done(&c->things);
	hashmap_done(&c->members);
	hashmap_done(&c->jobs);
	hashmap_done(&c->services);
	hashmap_done(&c->pods);
	cover_done(c);
	free(c);
}

static uint64_t uid_key(const struct k8s_cluster *c, struct slice uid)
{
	return hash_bytes(&c->key, uid);
}

uint64_t cluster_name_key(const struct k8s_cluster *c, struct slice ns, struct slice name)
{
	return hash_u64(hash_bytes(&c->key, ns)) ^ hash_bytes(&c->key, name);
}

/* ---- telling ---- */

/* The entity with what other objects say about its pod. */
static struct k8s_entity as_told(const struct thing *t, size_t i)
{
	struct k8s_entity e = t->entities[i];

	if (t->kind != K8S_POD)
		return e;
	if (t->told_service && !t->own_service)
		e.service = slice_str(t->told_service);
	if (t->told_cronjob) {
		e.workload_kind = SLICE_LIT("CronJob");
		e.workload = slice_str(t->told_cronjob);
	}
	return e;
}

void cluster_tell(const struct k8s_cluster *c, const struct thing *t, size_t i, uint64_t to_ns)
{
	struct k8s_entity e = as_told(t, i);

	e.to_ns = to_ns;
	c->changed(c->ctx, &e);
}

static bool same(const struct k8s_entity *a, const struct k8s_entity *b)
{
	return a->from_ns == b->from_ns && a->covered == b->covered && slice_eq(a->ns, b->ns) &&
	       slice_eq(a->name, b->name) && slice_eq(a->workload_kind, b->workload_kind) &&
	       slice_eq(a->workload, b->workload) && slice_eq(a->service, b->service) &&
	       slice_eq(a->node, b->node);
}

/* Both lists are in order: what is only in the old one has ended, what differs is told; all of it when
 * facts of other objects have changed. */
static void tell_changes(const struct k8s_cluster *c, const struct thing *old,
			 const struct thing *now, bool facts, uint64_t now_ns)
{
	size_t i = 0, k = 0;

	while (i < old->n_entities || k < now->n_entities) {
		int order = i == old->n_entities ? 1
			    : k == now->n_entities
				    ? -1
				    : thing_order(&old->entities[i], &now->entities[k]);

		if (order < 0) {
			cluster_tell(c, old, i++, now_ns);
		} else if (order > 0) {
			cluster_tell(c, now, k++, 0);
		} else {
			if (facts || !same(&old->entities[i], &now->entities[k]))
				cluster_tell(c, now, k, 0);
			i++;
			k++;
		}
	}
}

static void tell_all(const struct k8s_cluster *c, const struct thing *t)
{
	for (size_t i = 0; i < t->n_entities; i++)
		cluster_tell(c, t, i, 0);
}

/* ---- facts of other objects ---- */

/* Replaces *text; whether it changed. Without memory the fact is unknown. */
static bool set_fact(char **text, struct slice fact)
{
	char *old = *text;
	bool changed = !slice_eq(old ? slice_str(old) : (struct slice){ 0 }, fact);

	if (!changed)
		return false;
	*text = fact.n ? strndup((const char *)fact.p, fact.n) : NULL;
	free(old);
	return true;
}

static struct slice only_service(const struct k8s_cluster *c, const struct thing *pod)
{
	const struct member *m = hashmap_get_ptr(&c->members,
						 cluster_name_key(c, pod->ns, pod->name));

	return m && m->n == 1 && !m->beyond ? slice_str(m->of[0].service) : (struct slice){ 0 };
}

static struct slice cronjob_of(const struct k8s_cluster *c, const struct thing *pod)
{
	const struct thing *job =
		pod->job.n ? hashmap_get_ptr(&c->jobs, cluster_name_key(c, pod->ns, pod->job))
			   : NULL;

	return job ? job->cronjob : (struct slice){ 0 };
}

/* Whether what others say about the pod is not what was told. */
static bool look_up_facts(const struct k8s_cluster *c, struct thing *pod)
{
	bool service = set_fact(&pod->told_service, only_service(c, pod));

	/* A Job that is gone leaves its pods their CronJob. */
	if (pod->told_cronjob)
		return service && !pod->own_service;
	return set_fact(&pod->told_cronjob, cronjob_of(c, pod)) || (service && !pod->own_service);
}

/* A pod of the slice. */
static void pod_changed(const struct k8s_cluster *c, const struct thing *slice, struct slice pod)
{
	struct thing *t = hashmap_get_ptr(&c->pods, cluster_name_key(c, slice->ns, pod));

	if (t && look_up_facts(c, t))
		tell_all(c, t);
}

/* NULL without memory, or beyond the bound. */
static struct member *member_of(struct k8s_cluster *c, uint64_t key)
{
	struct member *m = hashmap_get_ptr(&c->members, key);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (m && hashmap_put_ptr(&c->members, key, m) < 0) {
		free(m);
		m = NULL;
	}
	return m;
}

static void list_slice(struct k8s_cluster *c, struct member *m, struct thing *slice)
{
	struct thing **more;

	if (!(m->n_in & (m->n_in - 1))) {
		more = reallocarray(m->in, m->n_in ? 2 * m->n_in : 1, sizeof(struct thing *));
		if (!more) {
			c->refused++;
			return;
		}
		m->in = more;
	}
	m->in[m->n_in++] = slice;
}

static void unlist_slice(struct member *m, const struct thing *slice)
{
	for (size_t i = m->n_in; i-- > 0;)
		if (m->in[i] == slice) {
			m->in[i] = m->in[--m->n_in];
			return;
		}
}

static void join_service(struct k8s_cluster *c, struct thing *slice, struct slice pod)
{
	struct member *m = member_of(c, cluster_name_key(c, slice->ns, pod));
	struct slice service = slice->service;
	struct membership *of = NULL;

	for (size_t i = 0; m && i < m->n; i++)
		if (slice_eq_str(service, m->of[i].service))
			of = &m->of[i];
	if (!m) {
		c->refused++;
		return;
	}
	list_slice(c, m, slice);
	if (of) {
		of->slices++;
	} else if (m->n == MEMBERSHIPS_MAX) {
		m->beyond++;
	} else {
		of = &m->of[m->n];
		of->service = strndup((const char *)service.p, service.n);
		of->slices = 1;
		m->n += of->service != NULL;
	}
}

/* slice: as it was; at: where it is, or was. */
static void leave_service(struct k8s_cluster *c, const struct thing *at, const struct thing *slice,
			  struct slice pod)
{
	uint64_t key = cluster_name_key(c, slice->ns, pod);
	struct member *m = hashmap_get_ptr(&c->members, key);
	struct slice service = slice->service;
	struct membership *of = NULL;

	for (size_t i = 0; m && i < m->n; i++)
		if (slice_eq_str(service, m->of[i].service))
			of = &m->of[i];
	if (!m)
		return;
	unlist_slice(m, at);
	if (!of) {
		m->beyond -= m->beyond > 0;
	} else if (--of->slices == 0) {
		free(of->service);
		*of = m->of[--m->n];
	}
	if (m->n || m->beyond)
		return;
	member_free(m);
	(void)hashmap_del(&c->members, key);
}

/* The slice, which is at t, is another one now: the pods of both are looked at when both are counted. */
static void slice_changed(struct k8s_cluster *c, struct thing *t, const struct thing *old,
			  const struct thing *now)
{
	for (size_t i = 0; i < now->n_pods; i++)
		join_service(c, t, now->pods[i]);
	for (size_t i = 0; i < old->n_pods; i++)
		leave_service(c, t, old, old->pods[i]);
	for (size_t i = 0; i < now->n_pods; i++)
		pod_changed(c, now, now->pods[i]);
	for (size_t i = 0; i < old->n_pods; i++)
		pod_changed(c, old, old->pods[i]);
}

/* Pods of a CronJob's Job that were told before the Job. */
static void job_changed(struct k8s_cluster *c, struct thing *job)
{
	for (struct hashmap_entry *e = NULL; job->cronjob.n && (e = hashmap_next(&c->things, e));) {
		struct thing *t = (void *)(uintptr_t)e->value;

		if (t->kind == K8S_POD && slice_eq(t->job, job->name) && slice_eq(t->ns, job->ns) &&
		    look_up_facts(c, t))
			tell_all(c, t);
	}
}

static bool same_place(const struct thing *a, const struct thing *b)
{
	return a->capture_off == b->capture_off && slice_eq(a->node, b->node) &&
	       a->n_addrs == b->n_addrs &&
	       (!a->n_addrs || memcmp(a->addrs, b->addrs, a->n_addrs * sizeof(*a->addrs)) == 0);
}

/* The pod was another one, or is gone: its endpoints may be covered otherwise. */
static void cover_endpoints(struct k8s_cluster *c, const struct thing *pod)
{
	const struct member *m = hashmap_get_ptr(&c->members,
						 cluster_name_key(c, pod->ns, pod->name));

	for (size_t i = 0; m && i < m->n_in; i++)
		cover_slice_again(c, m->in[i]);
}

/* ---- objects ---- */

static void counted(struct k8s_cluster *c, const struct thing *t, bool there)
{
	size_t ports = thing_ports(t);

	c->n_ports += there ? ports : -ports;
	c->n_of[t->kind] += there ? 1 : (size_t)-1;
	c->n_entities += there ? t->n_entities : -t->n_entities;
}

/* Those that are looked for by their names; NULL for the others. */
static struct hashmap *by_name(struct k8s_cluster *c, const struct thing *t)
{
	return t->kind == K8S_JOB	? &c->jobs
	       : t->kind == K8S_SERVICE ? &c->services
	       : t->kind == K8S_POD	? &c->pods
					: NULL;
}

static void forget_name(struct k8s_cluster *c, const struct thing *t)
{
	struct hashmap *names = by_name(c, t);
	uint64_t key = cluster_name_key(c, t->ns, t->name);

	if (names && hashmap_get_ptr(names, key) == t)
		(void)hashmap_del(names, key);
}

static void remember_name(struct k8s_cluster *c, struct thing *t)
{
	struct hashmap *names = by_name(c, t);

	if (names && hashmap_put_ptr(names, cluster_name_key(c, t->ns, t->name), t) < 0)
		c->refused++;
}

/* The thing of that uid, an empty one when it is new. */
static struct thing *thing_for(struct k8s_cluster *c, uint64_t key, int *ret_err)
{
	struct thing *t = hashmap_get_ptr(&c->things, key);

	*ret_err = 0;
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	*ret_err = t ? hashmap_put_ptr(&c->things, key, t) : -ENOMEM;
	if (*ret_err < 0) {
		c->refused++;
		free(t);
		return NULL;
	}
	return t;
}

int k8s_cluster_put(struct k8s_cluster *c, const struct k8s_object *o, uint64_t now_ns)
{
	struct thing now, old, *t = hashmap_get_ptr(&c->things, uid_key(c, o->meta.uid));
	bool facts;
	int r;

	if (!o->meta.uid.n || o->kind <= 0 || o->kind >= _K8S_KIND_MAX || (t && t->kind != o->kind))
		return -EINVAL;
	if (o->kind == K8S_NAMESPACE)
		return 0;
	r = thing_of(o, &now);
	thing_bound_ports(&now, K8S_CLUSTER_PORTS_MAX - (c->n_ports - (t ? thing_ports(t) : 0)));
	if (!r)
		r = thing_keep(&now);
	t = r ? NULL : thing_for(c, uid_key(c, o->meta.uid), &r);
	if (!t) {
		thing_done(&now);
		return r;
	}
	c->refused += now.refused;
	old = *t;
	now.told_service = TAKE_PTR(old.told_service);
	now.told_cronjob = TAKE_PTR(old.told_cronjob);
	if (old.kind) {
		forget_name(c, t);
		counted(c, &old, false);
	}
	*t = now;
	counted(c, t, true);
	remember_name(c, t);
	facts = t->kind == K8S_POD && look_up_facts(c, t);
	cover_thing(c, t);
	tell_changes(c, &old, t, facts, now_ns);
	if (t->kind == K8S_ENDPOINT_SLICE) {
		slice_changed(c, t, &old, t);
		cover_slice(c, &old, t);
	}
	if (t->kind == K8S_JOB && !slice_eq(old.cronjob, t->cronjob))
		job_changed(c, t);
	if (t->kind == K8S_POD && !same_place(&old, t))
		cover_endpoints(c, t);
	thing_done(&old);
	return 0;
}

void k8s_cluster_gone(struct k8s_cluster *c, struct slice uid, uint64_t at_ns)
{
	struct thing *t = hashmap_get_ptr(&c->things, uid_key(c, uid)), none = { 0 };

	if (!t)
		return;
	forget_name(c, t);
	(void)hashmap_del(&c->things, uid_key(c, uid));
	counted(c, t, false);
	tell_changes(c, t, &none, false, at_ns);
	if (t->kind == K8S_ENDPOINT_SLICE) {
		slice_changed(c, t, t, &none);
		cover_slice(c, t, &none);
	}
	if (t->kind == K8S_POD)
		cover_endpoints(c, t);
	thing_done(t);
	free(t);
}

void k8s_cluster_each(const struct k8s_cluster *c, k8s_entity_fn fn, void *ctx)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->things, e));) {
		const struct thing *t = (void *)(uintptr_t)e->value;

		for (size_t i = 0; i < t->n_entities; i++) {
			struct k8s_entity entity = as_told(t, i);

			fn(ctx, &entity);
		}
	}
}

struct k8s_cluster_counts k8s_cluster_count(const struct k8s_cluster *c)
{
	return (struct k8s_cluster_counts){
		.objects = c->things.len,
		.pods = c->n_of[K8S_POD],
		.services = c->n_of[K8S_SERVICE],
		.nodes = c->n_of[K8S_NODE],
		.covered = c->covered.len,
		.entities = c->n_entities,
		.refused = c->refused,
	};
}

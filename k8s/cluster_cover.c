/* Which entities are observed at their own end: an agent runs on the node, and the pod has not opted out. Of a
 * service nobody can tell which endpoint is called, so all of them have to be. What makes a client's row count
 * no more is not believed of whoever may make slices: an endpoint is covered as the pod that it names, which
 * has to be there and to have that address.
 */
#include "k8s/cluster_int.h"

#include <string.h>

/* How many endpoints a service has, as slices list them, and how many of them are not covered. */
struct backing {
	size_t endpoints, uncovered;
};

static bool node_covered(const struct k8s_cluster *c, struct slice node)
{
	uint64_t none;

	return node.n && hashmap_get(&c->covered, hash_bytes(&c->key, node), &none);
}

static bool service_covered(const struct k8s_cluster *c, struct slice ns, struct slice service)
{
	const struct backing *b = hashmap_get_ptr(&c->backings, cluster_name_key(c, ns, service));

	return b && b->endpoints && !b->uncovered;
}

static bool pod_covered(const struct k8s_cluster *c, const struct thing *pod)
{
	return !pod->capture_off && node_covered(c, pod->node);
}

static bool endpoint_covered(const struct k8s_cluster *c, const struct k8s_entity *e)
{
	const struct thing *pod =
		e->name.n ? hashmap_get_ptr(&c->pods, cluster_name_key(c, e->ns, e->name)) : NULL;

	for (size_t i = 0; pod && i < pod->n_addrs; i++)
		if (memcmp(pod->addrs[i], e->addr, sizeof(e->addr)) == 0)
			return pod_covered(c, pod);
	return false;
}

static bool is_covered(const struct k8s_cluster *c, const struct thing *t,
		       const struct k8s_entity *e)
{
	if (t->kind == K8S_SERVICE)
		return service_covered(c, e->ns, e->service);
	if (t->kind == K8S_ENDPOINT_SLICE)
		return endpoint_covered(c, e);
	return t->kind == K8S_POD ? pod_covered(c, t) : node_covered(c, e->node);
}

void cover_thing(const struct k8s_cluster *c, struct thing *t)
{
	for (size_t i = 0; i < t->n_entities; i++)
		t->entities[i].covered = is_covered(c, t, &t->entities[i]);
}

static void tell_again(const struct k8s_cluster *c, struct thing *t)
{
	for (size_t i = 0; i < t->n_entities; i++) {
		bool now = is_covered(c, t, &t->entities[i]);

		if (now == t->entities[i].covered)
			continue;
		t->entities[i].covered = now;
		cluster_tell(c, t, i, 0);
	}
}

/* NULL without memory: the service counts as not covered. */
static struct backing *backing_of(struct k8s_cluster *c, const struct thing *slice)
{
	uint64_t key = cluster_name_key(c, slice->ns, slice->service);
	struct backing *b = hashmap_get_ptr(&c->backings, key);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (b && hashmap_put_ptr(&c->backings, key, b) < 0) {
		free(b);
		b = NULL;
	}
	return b;
}

/* Its endpoints are counted as they are marked. */
static void count(struct k8s_cluster *c, const struct thing *slice, bool there)
{
	struct backing *b = slice->service.n ? backing_of(c, slice) : NULL;

	for (size_t i = 0; b && i < slice->n_entities; i++) {
		size_t uncovered = !slice->entities[i].covered;

		b->endpoints += there ? 1 : (size_t)-1;
		b->uncovered += there ? uncovered : -uncovered;
	}
	if (!b || b->endpoints)
		return;
	(void)hashmap_del(&c->backings, cluster_name_key(c, slice->ns, slice->service));
	free(b);
}

static void tell_service(struct k8s_cluster *c, const struct thing *slice)
{
	struct thing *s = slice->service.n
				  ? hashmap_get_ptr(&c->services,
						    cluster_name_key(c, slice->ns, slice->service))
				  : NULL;

	if (s)
		tell_again(c, s);
}

void cover_slice(struct k8s_cluster *c, const struct thing *old, const struct thing *now)
{
	count(c, now, true);
	count(c, old, false);
	tell_service(c, now);
	tell_service(c, old);
}

void cover_slice_again(struct k8s_cluster *c, struct thing *slice)
{
	count(c, slice, false);
	tell_again(c, slice);
	count(c, slice, true);
	tell_service(c, slice);
}

static void forget_backings(struct k8s_cluster *c)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->backings, e));)
		free((void *)(uintptr_t)e->value);
	hashmap_done(&c->backings);
}

void cover_done(struct k8s_cluster *c)
{
	forget_backings(c);
	hashmap_done(&c->covered);
}

void k8s_cluster_cover(struct k8s_cluster *c, const struct slice *nodes, size_t n)
{
	cover_done(c);
	hashmap_init(&c->backings, K8S_CLUSTER_OBJECTS_MAX);
	hashmap_init(&c->covered, K8S_CLUSTER_OBJECTS_MAX);
	for (size_t i = 0; i < n; i++)
		if (hashmap_put(&c->covered, hash_bytes(&c->key, nodes[i]), 1) < 0)
			c->refused++;
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->things, e));) {
		struct thing *t = (void *)(uintptr_t)e->value;

		if (t->kind == K8S_SERVICE)
			continue;
		tell_again(c, t);
		if (t->kind == K8S_ENDPOINT_SLICE)
			count(c, t, true);
	}
	/* by what has been counted */
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->services, e));)
		tell_again(c, (void *)(uintptr_t)e->value);
}

/* The whole cluster's addresses, from its objects: what a watch tells goes in, changes of entities
 * (k8s/entities.h) come out, and all that is known now can be told to one who is new.
 *
 * Facts of several objects meet here: a pod's service is known from endpoint slices of its namespace
 * (only where it is in one service alone), a Job's CronJob from the Job. They may come in any order: when a fact arrives late,
 * the entities that it changes are told again.
 */
#ifndef K8S_CLUSTER_H
#define K8S_CLUSTER_H

#include "base/util.h"
#include "k8s/entities.h"
#include "k8s/objects.h"

#define K8S_CLUSTER_OBJECTS_MAX 400000 /* further ones are counted in `refused` */
/* Entities of ports, of all objects: as many as the table has intervals; further ones are refused, too. */
#define K8S_CLUSTER_PORTS_MAX  K8S_ENTITIES_MAX
#define K8S_THING_ENTITIES_MAX 2048 /* of one object: endpoints times ports */

struct k8s_cluster;

/* e, with texts that live until the call returns: opened or renewed; with to_ns: it ended then. */
typedef void (*k8s_entity_fn)(void *ctx, const struct k8s_entity *e);

/* 0 or -ENOMEM. changed: called inside put and gone. */
int k8s_cluster_new(k8s_entity_fn changed, void *ctx, struct k8s_cluster **ret);
void k8s_cluster_free(struct k8s_cluster *c);
DEFINE_CLEANUP(struct k8s_cluster, k8s_cluster_free)

/* New, or as it is now; kinds that have no addresses are ignored. 0; -EINVAL: no uid, or one of
 * another kind; -ENOSPC, counted;
 * -ENOMEM: what was known of it stays. now_ns: unix time. */
int k8s_cluster_put(struct k8s_cluster *c, const struct k8s_object *o, uint64_t now_ns);
void k8s_cluster_gone(struct k8s_cluster *c, struct slice uid, uint64_t at_ns);

/* The nodes on which an agent runs, all of them: what is called there is observed there, too. A service's
 * entities are covered where all its endpoints are. Changes are told. */
void k8s_cluster_cover(struct k8s_cluster *c, const struct slice *nodes, size_t n);

/* Everything that holds now. */
void k8s_cluster_each(const struct k8s_cluster *c, k8s_entity_fn fn, void *ctx);

struct k8s_cluster_counts {
	size_t objects, pods, services, nodes;
	size_t covered; /* nodes of k8s_cluster_cover() */
	size_t entities;
	uint64_t refused; /* objects, and entities of one, beyond the bounds */
};
struct k8s_cluster_counts k8s_cluster_count(const struct k8s_cluster *c);

#endif

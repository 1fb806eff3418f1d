/* What cluster.c (objects as they come and go) and cluster_of.c (one object's entities) share. */
#ifndef K8S_CLUSTER_INT_H
#define K8S_CLUSTER_INT_H

#include "base/hashmap.h"
#include "k8s/cluster.h"

/* What one object says. Its texts are the object's own slices until thing_keep() has copied them. */
struct thing {
	enum k8s_kind kind;
	bool own_service; /* pod: an annotation names it, slices do not count */
	bool capture_off; /* pod: its annotation says that nothing of it is observed */
	struct slice uid, ns;
	struct slice name;    /* job, service, pod */
	struct slice job;     /* pod: its Job, where it has one */
	struct slice node;    /* pod: that it is on */
	struct slice service; /* slice: whose endpoints these are */
	struct slice cronjob; /* job: its controller */
	struct slice *pods;   /* slice: names of the pods in it, each once; of its own namespace */
	size_t n_pods;
	uint8_t (*addrs)
		[16]; /* pod: where it is reached, in its node's network too; none once finished */
	size_t n_addrs;
	struct k8s_entity *entities; /* in the order of thing_order() */
	size_t n_entities;
	uint64_t refused; /* entities that found no room */
	char *texts;	  /* behind all slices, once kept */
	/* Of a pod, what others say about it; owned. */
	char *told_service, *told_cronjob;
};

/* Fills *ret from the object; texts stay the object's, the arrays are *ret's. 0 or -ENOMEM; *ret can be
 * given to thing_done() either way. */
int thing_of(const struct k8s_object *o, struct thing *ret);
/* How many of its entities are of a port; those beyond the room are left out. */
size_t thing_ports(const struct thing *t);
void thing_bound_ports(struct thing *t, size_t room);
/* Copies all texts into memory of its own. 0 or -ENOMEM. */
int thing_keep(struct thing *t);
void thing_done(struct thing *t);

/* By place: address, port, protocol, kind. Entities of one object and place are the same one. */
int thing_order(const struct k8s_entity *a, const struct k8s_entity *b);

struct k8s_cluster {
	k8s_entity_fn changed;
	void *ctx;
	struct hash_key key;
	struct hashmap things;	 /* hash of the uid -> struct thing */
	struct hashmap members;	 /* cluster_name_key() of a pod -> struct member */
	struct hashmap jobs;	 /* cluster_name_key() -> struct thing of the Job */
	struct hashmap services; /* the same of Services */
	struct hashmap pods;	 /* … and of pods */
	struct hashmap backings; /* cluster_name_key() of a Service -> struct backing */
	struct hashmap covered;	 /* hash of a node's name */
	size_t n_of[_K8S_KIND_MAX], n_entities;
	size_t n_ports; /* of the entities, those of a port */
	uint64_t refused;
};

uint64_t cluster_name_key(const struct k8s_cluster *c, struct slice ns, struct slice name);
/* Tells the entity as it is known now; to_ns: it ended then. */
void cluster_tell(const struct k8s_cluster *c, const struct thing *t, size_t i, uint64_t to_ns);

/* cluster_cover.c */

/* Marks which of the thing's entities are covered; tells nothing. */
void cover_thing(const struct k8s_cluster *c, struct thing *t);
/* A pod that the slice lists has come, gone or changed: what is covered otherwise is told again. */
void cover_slice_again(struct k8s_cluster *c, struct thing *slice);
/* A slice comes or goes: its service is told again when that changes whether it is covered. */
void cover_slice(struct k8s_cluster *c, const struct thing *old, const struct thing *now);
void cover_done(struct k8s_cluster *c);

#endif

/* The pods of this node, by the uid that stands in the cgroup paths of their processes. A pod that is
 * gone is remembered until its place is needed: rows of its last exchanges are still to come.
 */
#ifndef AGENT_PODS_H
#define AGENT_PODS_H

#include "base/hash.h"
#include "base/hashmap.h"
#include "base/util.h"
#include "k8s/identity.h"

#define PODS_MAX 1024 /* kubelet's default is 110 */

struct pods {
	struct pod_entry {
		struct k8s_identity
			*id;	/* NULL: free; containers beyond n_containers are not there */
		uint64_t gone;	/* 0: it is there; else the order of going */
		uint32_t round; /* of pods.round, when it was told last */
	} entries[PODS_MAX];
	struct hashmap by_uid; /* both uids of a pod -> entry + 1 */
	uint64_t order;
	uint32_t round;
	size_t n, n_gone;
	uint64_t refused; /* no room */
};

void pods_init(struct pods *p);
void pods_done(struct pods *p);

/* New, or told again. 0; -EINVAL: it is not well formed (k8s_identity_ok); -ENOSPC, counted; -ENOMEM. */
int pods_put(struct pods *p, const struct k8s_identity *id);
void pods_gone(struct pods *p, const struct k8s_uid *uid);
/* Between the two every pod that is there is put; the others are gone. */
void pods_replace_begin(struct pods *p);
void pods_replace_end(struct pods *p);

/* NULL: unknown. Of its containers only the first n_containers are there. Valid until the next call
 * that changes something. */
const struct k8s_identity *pods_find(const struct pods *p, const struct k8s_uid *uid);
/* The name of the container with that id, or "". */
const char *pods_container(const struct k8s_identity *pod, const char *id);

#endif

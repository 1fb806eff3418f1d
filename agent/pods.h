/* The pods of this node, by the uid that stands in the cgroup paths of their processes. A pod that is
 * gone is remembered until its place is needed: rows of its last exchanges are still to come.
 */
#ifndef AGENT_PODS_H
#define AGENT_PODS_H

#include "base/hash.h"
#include "base/hashmap.h"
#include "base/util.h"
#include "k8s/identity.h"

#define PODS_MAX       1024 /* kubelet's default is 110 */
#define PODS_LISTENERS 2    /* of pods_waiting() */

struct pod_entry {
	struct k8s_identity *id; /* NULL: free; containers beyond n_containers are not there */
	uint64_t gone;		 /* 0: it is there; else the order of going */
	uint32_t round;		 /* of pods.round, when it was told last */
	uint8_t heard;		 /* who was told what it is now: a bit per listener */
};

struct pods {
	struct pod_entry entries[PODS_MAX];
	struct hashmap by_uid; /* both uids of a pod -> entry + 1 */
	uint64_t order;
	uint32_t round;
	size_t n, n_gone;
	size_t n_waiting[PODS_LISTENERS]; /* not told to that one */
	uint64_t refused;		  /* no room */
};

void pods_init(struct pods *p);
void pods_done(struct pods *p);

/* New, or told again. 0; -EINVAL: it is not well formed (k8s_identity_ok); -ENOSPC, counted; -ENOMEM. */
int pods_put(struct pods *p, const struct k8s_identity *id);
void pods_gone(struct pods *p, const struct k8s_uid *uid);
/* Between the two every pod that is there is put; the others are gone. */
void pods_replace_begin(struct pods *p);
void pods_replace_end(struct pods *p);

/* For who tells others: a pod that this listener has not heard as it is now, gone ones too; NULL: none. */
struct pod_entry *pods_waiting(struct pods *p, unsigned int listener);
void pods_copy(const struct pod_entry *e, struct k8s_identity *ret);
void pods_heard(struct pods *p, struct pod_entry *e, unsigned int listener);
/* It is a new one, and has heard nothing. */
void pods_tell_again(struct pods *p, unsigned int listener);

/* NULL: unknown. Of its containers only the first n_containers are there. Valid until the next call
 * that changes something. */
const struct k8s_identity *pods_find(const struct pods *p, const struct k8s_uid *uid);
/* The name of the container with that id, or "". */
const char *pods_container(const struct k8s_identity *pod, const char *id);

#endif

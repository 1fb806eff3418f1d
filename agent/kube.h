/* The attacher's part of Kubernetes: it keeps the pods that the shipper tells of, for parsers that start
 * anew, and lends the shipper the files that only root may open. What the shipper says is checked: it
 * talks to the network.
 */
#ifndef AGENT_KUBE_H
#define AGENT_KUBE_H

#include "agent/agent.h"
#include "agent/pods.h"

struct kube {
	bool wanted;
	struct pods pods;
	int entities_write, entities_read; /* one memory file (k8s/entities.h); -1: none */
	int told[PODS_LISTENERS];	   /* who was told of the pods; -1: nobody */
};

/* The control group to watch by default: this node's, where several share a kernel. NULL: everything. */
const char *kube_scope(const struct kube *k);
/* Memory for addresses, where Kubernetes is wanted. 0 or negative errno. */
int kube_open(struct kube *k, const struct config *cfg);
/* A message of the shipper's, n bytes. False: none of ours. */
bool kube_hear(struct kube *k, struct ledger_attacher *l, const union agent_any_msg *m, size_t n);
/* Passes on what each has not heard, as much as it takes now. fds: PODS_LISTENERS; -1: it does not run. */
void kube_tell(struct kube *k, const int *fds);
/* Where the file that the shipper asks for is. NULL: there is none. */
const char *kube_file(const struct config *cfg, uint32_t file);

#endif

/* Who a pod is, of fixed size: what one process may tell another about it. A receiver that does not
 * trust the sender calls k8s_identity_ok() first.
 */
#ifndef K8S_IDENTITY_H
#define K8S_IDENTITY_H

#include "k8s/objects.h"

#define K8S_TEXT_MAX	  254 /* bytes of a name with its NUL: RFC 1123 subdomain */
#define K8S_LABEL_MAX	  64  /* of a label: namespace, container, kind */
#define K8S_CONTAINER_HEX 64  /* digits of a container's id */

/* A uid as cgroup paths and objects have it: 32 hexadecimal digits, with '-' or '_' between them or
 * without. All zeros: none. */
struct k8s_uid {
	uint8_t bytes[16];
};

struct k8s_identity {
	struct k8s_uid uid;
	struct k8s_uid config_hash; /* of a static pod: its uid in cgroup paths */
	char ns[K8S_LABEL_MAX], name[K8S_TEXT_MAX];
	char workload_kind[K8S_LABEL_MAX], workload[K8S_TEXT_MAX]; /* "": it has no controller */
	char service[K8S_TEXT_MAX]; /* that an annotation names; or "" */
	char node[K8S_TEXT_MAX];
	bool capture_off; /* annotation kelpie.io/capture: "false" */
	bool host_network;
	uint8_t n_ips, n_containers;
	uint8_t ips[K8S_ADDRS_MAX][16];
	int64_t from_ns,
		to_ns; /* unix time in which its addresses are its own; 0: not known, not over */
	struct k8s_identity_container {
		char id[K8S_CONTAINER_HEX + 1]; /* "": not known yet */
		char name[K8S_LABEL_MAX];
	} containers[K8S_CONTAINERS_MAX];
};

/* False: no uid. */
bool k8s_uid_parse(struct slice text, struct k8s_uid *ret);
bool k8s_uid_is(const struct k8s_uid *a, const struct k8s_uid *b);
bool k8s_uid_none(const struct k8s_uid *u);

/* Fills *ret from a pod. now_ns: when it was heard of, unix time: the end of one that has finished and
 * does not say when. False: no pod, or one without uid, namespace or name; a text that does not fit is
 * left out. */
bool k8s_identity_of(const struct k8s_object *o, int64_t now_ns, struct k8s_identity *ret);

/* The workload by the controller of a pod (ReplicaSet without watching ReplicaSets: Kubernetes puts the
 * template's hash behind the Deployment's name). A Job's CronJob is not in it. */
void k8s_workload_of(const struct k8s_meta *pod, struct slice *ret_kind, struct slice *ret_name);

/* Whether every text ends and is a name, and every number is in its range. */
bool k8s_identity_ok(const struct k8s_identity *id);

#endif

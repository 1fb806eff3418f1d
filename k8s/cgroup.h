/* From the path of a control group to the pod and the container it belongs to: the grammar of the
 * kubelet and the container runtimes, for both drivers. Pure.
 *
 *	/kubepods[/burstable|/besteffort]/pod<uid>/[crio-]<id>			     cgroupfs
 *	…/kubepods[-burstable|-besteffort]-pod<uid>.slice/<runtime>-<id>.scope	     systemd
 *	…/kubepods[-…]-pod<uid>.slice:<runtime>:<id>			kubelet systemd, runc cgroupfs
 *	…/docker/<id>, …/docker-<id>.scope, …/libpod-<id>.scope		no Kubernetes
 *
 * <uid> is 8-4-4-4-12 hexadecimal digits with '-' or '_' between, or, of a static pod, 32 digits: then
 * it is the annotation kubernetes.io/config.hash and not the uid of the object that the API shows.
 * <id> is 64 digits. Anything may stand before the pod (the node's own container under kind, /.. as a
 * private cgroup namespace shows it) and below the container (crun's /container, systemd, a docker
 * inside): the container is what stands right below the pod. Where one pod stands below another the
 * upper one is meant: whoever runs in a pod may make groups of any name below its own.
 */
#ifndef K8S_CGROUP_H
#define K8S_CGROUP_H

#include "base/slice.h"

#define K8S_CGROUP_PATH_MAX 4096 /* bytes; a longer path is no answer */
#define K8S_POD_UID_MAX	    37	 /* with NUL */
#define K8S_CONTAINER_MAX   65	 /* with NUL */

struct k8s_cgroup {
	char pod_uid[K8S_POD_UID_MAX]; /* dashed, or the 32 digits of a config hash; "": no pod */
	char container[K8S_CONTAINER_MAX]; /* "": the pod's own group, or what is no container */
};

/* path: below the root of the hierarchy, as /proc/PID/cgroup and the kernel's events have it. Whether
 * there is a pod or a container in it; *ret is set in any case. */
bool k8s_cgroup_parse(struct slice path, struct k8s_cgroup *ret);

/* The same for the text of /proc/PID/cgroup: the unified hierarchy's line, else the one of memory, cpu,
 * pids, name=systemd, the first that names a pod; without any, the first that names a container. */
bool k8s_cgroup_of_process(struct slice proc_cgroup, struct k8s_cgroup *ret);

#endif

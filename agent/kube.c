#include "agent/kube.h"

#include "agent/cgroup.h"
#include "base/log.h"
#include "k8s/client.h"
#include "k8s/entities.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

bool agent_in_kubernetes(const struct config *cfg)
{
	const char *node = getenv("NODE_NAME");

	if (cfg->kubernetes.enabled != CONFIG_AUTO)
		return cfg->kubernetes.enabled == CONFIG_ON;
	return getenv("KUBERNETES_SERVICE_HOST") && node && *node;
}

int kube_open(struct kube *k, const struct config *cfg)
{
	char path[64];
	int fd;

	*k = (struct kube){ .entities_write = -1, .entities_read = -1, .told = { -1, -1 } };
	pods_init(&k->pods);
	k->wanted = agent_in_kubernetes(cfg);
	if (!k->wanted)
		return 0;
	fd = memfd_create("kelpie-entities", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)k8s_entities_bytes()) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	k->entities_write = fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	k->entities_read = open(path, O_RDONLY | O_CLOEXEC);
	return k->entities_read < 0 ? -errno : 0;
}

const char *kube_scope(const struct kube *k)
{
	static char path[CGROUP_TEXT_MAX];
	_cleanup_(closep) int root = k->wanted ? cgroup_open_root() : -1;

	if (root < 0 || !cgroup_of_node(root, path))
		return NULL;
	log_info("kubernetes: this node is the control group %s", path);
	return path;
}

static void hear_state(struct ledger_attacher *l, const struct agent_msg *m)
{
	size_t n = strnlen(m->text, sizeof(m->text));

	n = MIN(n, sizeof(l->kubernetes_why) - 1);
	for (size_t i = 0; i < n; i++)
		l->kubernetes_why[i] = (char)(m->text[i] >= ' ' && m->text[i] < 127 ? m->text[i]
										    : '?');
	l->kubernetes_why[n] = 0;
	atomic_store(&l->kubernetes, m->number ? KUBERNETES_SYNCED : KUBERNETES_WAITING);
}

bool kube_hear(struct kube *k, struct ledger_attacher *l, const union agent_any_msg *m, size_t n)
{
	if (!k->wanted)
		return false;
	if (n == sizeof(m->pod) && m->type == MSG_POD) {
		if (m->pod.over)
			pods_gone(&k->pods, &m->pod.pod.uid);
		else if (pods_put(&k->pods, &m->pod.pod) == -ENOSPC && k->pods.refused == 1)
			log_warn("kubernetes: more than %d pods on this node: the others have no "
				 "names",
				 PODS_MAX);
	} else if (n == sizeof(m->msg) && m->type == MSG_PODS_BEGIN) {
		pods_replace_begin(&k->pods);
	} else if (n == sizeof(m->msg) && m->type == MSG_PODS_END) {
		pods_replace_end(&k->pods);
	} else if (n == sizeof(m->msg) && m->type == MSG_KUBERNETES) {
		hear_state(l, &m->msg);
	} else {
		return false;
	}
	atomic_store(&l->pods, (uint32_t)(k->pods.n - k->pods.n_gone));
	return true;
}

static void tell(struct kube *k, unsigned int listener, int fd)
{
	static struct agent_pod_msg m;
	struct pod_entry *e;

	if (fd != k->told[listener])
		pods_tell_again(&k->pods, listener);
	k->told[listener] = fd;
	while (fd >= 0 && (e = pods_waiting(&k->pods, listener))) {
		m.type = MSG_POD;
		m.over = e->gone != 0;
		pods_copy(e, &m.pod);
		if (send(fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(m))
			return; /* as soon as it has read */
		pods_heard(&k->pods, e, listener);
	}
}

void kube_tell(struct kube *k, const int *fds)
{
	for (unsigned int i = 0; i < PODS_LISTENERS; i++)
		tell(k, i, fds[i]);
}

const char *kube_file(const struct config *cfg, uint32_t file)
{
	const char *const named[_FILE_MAX] = {
		[FILE_COLLECTOR_TOKEN] = cfg->collector.token_file,
		[FILE_KUBERNETES_TOKEN] = cfg->kubernetes.token_file,
		[FILE_KUBERNETES_CA] = cfg->kubernetes.ca_file,
	};
	static const char *const usual[_FILE_MAX] = {
		[FILE_KUBERNETES_TOKEN] = K8S_ACCOUNT_DIR "token",
		[FILE_KUBERNETES_CA] = K8S_ACCOUNT_DIR "ca.crt",
	};

	if (file >= _FILE_MAX)
		return NULL;
	if (named[file][0])
		return named[file];
	/* Another API server than the cluster's has other files, or none. */
	return cfg->kubernetes.server[0] ? NULL : usual[file];
}

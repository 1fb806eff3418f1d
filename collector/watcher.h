/* The process that watches the API server, once for all agents (k8s/watch.h): it has the cluster's
 * token and reads objects that anybody with a right to make them has written, and nothing else. What
 * changes of what addresses stand for it tells the hub, as framed ClusterNews.
 */
#ifndef COLLECTOR_WATCHER_H
#define COLLECTOR_WATCHER_H

#include "config/config.h"
#include "k8s/client.h"

#include <sys/types.h>

struct watcher {
	pid_t pid; /* 0: none */
	int fd; /* ClusterNews, for reading, non-blocking; the process ends when it is closed; -1 */
};

/* Whether and how the cluster is to be watched: kubernetes.* of the configuration, what is empty there
 * from the pod that this runs in. 1; 0: it is not; negative errno, reported on standard error. */
int watcher_config(const struct config *cfg, struct k8s_config *ret);
/* Makes the process, which ends with the caller's. 0; negative errno, reported on standard error. */
int watcher_open(const struct k8s_config *cfg, struct watcher *ret);

#endif

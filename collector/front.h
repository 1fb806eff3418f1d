/* HTTPS for the API server of a Kubernetes cluster, whose service proxy brings people's requests: the
 * same API as on the Unix socket, for one role. Nobody can tell who asks, so nothing can be changed,
 * payloads are not shown, and the audit log calls all of them "service-proxy". Errors are objects that
 * kubectl shows to people (k8s.io/apimachinery, meta/v1 Status).
 *
 * Whoever can reach the port is in that role: a NetworkPolicy keeps others away.
 */
#ifndef COLLECTOR_FRONT_H
#define COLLECTOR_FRONT_H

#include "collector/http.h"

struct front_config {
	const char *address;		  /* ADDR:PORT; NULL: none of this */
	const char *cert_file, *key_file; /* PEM: the certificate with its chain, and its key */
};

/* Zero it, but for listener.fd = -1. */
struct front {
	struct listener listener;
	struct http *http;
	char *cert, *key; /* PEM texts, until front_start() */
};

/* Reads the files and listens, with the caller's rights. 0, or -EINVAL, reported on standard error. */
int front_open(const struct front_config *cfg, struct front *ret);
/* Serves, with the limits of like. 0 or negative errno. */
int front_start(struct front *f, const struct http_config *like);
/* As http_reconfigure(). */
void front_reconfigure(struct front *f, const struct http_config *like);
/* As http_stop(). */
bool front_stop(struct front *f, uint64_t until_ns);

#endif

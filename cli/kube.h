/* A Kelpie in a Kubernetes cluster, asked as kubectl asks: each request is one run of kubectl through
 * the API server's proxy to the collector's service. Contexts, certificates, plug-ins that log in and
 * impersonation are kubectl's affair; nothing of a kubeconfig is read here.
 */
#ifndef CLI_KUBE_H
#define CLI_KUBE_H

#include "cli/cli.h"
#include "cli/client.h"

/* deploy/helm/kelpie gives these to the collector's service and its port. */
#define KUBE_SELECTOR "app.kubernetes.io/name=kelpie,app.kubernetes.io/component=collector"
#define KUBE_PORT     "https"

/* Whether there is a kubeconfig, so that kubectl may know a cluster. */
bool kube_configured(void);
/* What kubectl's configuration says of the context that the flags choose: its name ("" when it has
 * none) and its namespace. 0 or -EIO with *t set. */
int kube_context(const struct options *o, struct options_scope *ret, struct trouble *t);

/* Finds the collector's service. 0 or -EIO with *t set. */
int kube_new(const struct options *o, struct kube **ret, struct trouble *t);
void kube_free(struct kube *k);
DEFINE_CLEANUP(struct kube, kube_free)
/* For footers: "context prod, kelpie/kelpie-collector". Borrowed. */
const char *kube_name(const struct kube *k);
/* As client_do(). */
int kube_do(struct kube *k, const struct client_request *req, struct trouble *t);

/* kube_trouble.c: what kubectl said on standard error when it failed, as a sentence with the way out
 * and an exit code. where: the collector's namespace; NULL while it is being looked for. -EIO. */
int kube_trouble(struct slice said, const char *where, struct trouble *t);

#endif

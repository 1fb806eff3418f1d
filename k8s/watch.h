/* The objects of a cluster as they change: one list and watch (k8s/reflector.h) for each resource, with
 * everything that goes wrong on the way repaired inside.
 *
 * What the callbacks promise, for each resource:
 *   - the callback first hears of each object that exists, then synced(), then of changes as they come;
 *     an object is told again only when its resourceVersion is a newer one;
 *   - what vanished while nobody watched is told as K8S_GONE before the next synced(); such an object has
 *     its kind and meta.uid, nothing else, and at_unix_ns is the latest time at which it was there no more;
 *   - beyond K8S_KNOWN_MAX objects of one resource more are told, but not that they vanished unseen;
 *   - objects that leave a field selector come as K8S_GONE, those that enter it as K8S_PUT.
 */
#ifndef K8S_WATCH_H
#define K8S_WATCH_H

#include "k8s/client.h"
#include "k8s/known.h"
#include "k8s/objects.h"

#define K8S_RESOURCES_MAX 8
#define K8S_SELECTOR_MAX  300 /* bytes of a field selector with NUL */

struct k8s_watch;

enum k8s_event { K8S_PUT = 1, K8S_GONE };

struct k8s_resource {
	enum k8s_kind kind;
	const char *field_selector; /* such as spec.nodeName=NODE, not escaped; NULL: all */
};

struct k8s_watch_ops {
	/* o and its texts are valid inside the call. at: when we heard of it. */
	void (*object)(void *ctx, enum k8s_event event, const struct k8s_object *o,
		       uint64_t at_unix_ns);
	/* What is known of this kind is complete. Again after each time that it had to be listed anew. */
	void (*synced)(void *ctx, enum k8s_kind kind);
	/* Why a resource cannot be watched now, for people, with what is done about it; NULL: it is well
	 * again. Told when it changes. */
	void (*condition)(void *ctx, enum k8s_kind kind, const char *text);
};

struct k8s_watch_opts {
	struct k8s_client *client; /* borrowed; outlives the watch */
	const struct k8s_resource *resources;
	size_t n_resources;
	const struct k8s_watch_ops *ops; /* borrowed */
	void *ctx;
	/* The first requests are spread over so long, for a fleet that starts at once. */
	uint64_t start_within_ns;
};

/* 0, -EINVAL (too many resources, a selector too long), -ENOMEM. It works inside k8s_client_turn(). */
int k8s_watch_new(const struct k8s_watch_opts *opts, struct k8s_watch **ret);
void k8s_watch_free(struct k8s_watch *w);
DEFINE_CLEANUP(struct k8s_watch, k8s_watch_free)

/* Since the start, of all resources. */
struct k8s_watch_stats {
	uint64_t requests, lists, bytes, events, puts, gones;
	uint64_t stale;	   /* told before, or older than what was told */
	uint64_t synced;   /* complete sets */
	uint64_t failed;   /* requests that ended in an error */
	uint64_t bad;	   /* frames that could not be read; the connection is given up then */
	uint64_t nameless; /* objects without an uid that could be kept */
	uint64_t known;	   /* objects now */
};
void k8s_watch_stats(const struct k8s_watch *w, struct k8s_watch_stats *ret);

#endif

/* HTTP to the API server: one libcurl multi behind one descriptor, for a loop that polls.
 *
 *	k8s_client_new() -> k8s_client_fd() is readable, or k8s_client_timeout_ms() has passed ->
 *	k8s_client_turn() -> … -> k8s_client_free()
 *
 * Single-threaded; callbacks run inside k8s_client_turn(). Whoever uses the client (k8s/watch.h) is
 * freed before it. The process ignores SIGPIPE. Nothing is read from the environment but by k8s_config_in_cluster().
 */
#ifndef K8S_CLIENT_H
#define K8S_CLIENT_H

#include "base/slice.h"
#include "base/util.h"

/* Where a pod has its token and the authority of its API server. */
#define K8S_ACCOUNT_DIR	   "/var/run/secrets/kubernetes.io/serviceaccount/"
#define K8S_SERVER_MAX	   300		       /* bytes of the server's URL with NUL */
#define K8S_PATH_MAX	   512		       /* bytes of a file's path with NUL */
#define K8S_TOKEN_MAX	   (32 * KIB)	       /* bytes of a token; usual are 1 to 3 KiB */
#define K8S_ANSWER_MAX	   (1 * MIB)	       /* bytes of the answer to a POST */
#define K8S_POSTS_MAX	   64		       /* POSTs at once */
#define K8S_POST_NS	   (10 * NSEC_PER_SEC) /* until a POST is answered */
#define K8S_CONNECT_NS	   (10 * NSEC_PER_SEC)
#define K8S_TOKEN_FRESH_NS (60 * NSEC_PER_SEC) /* the token's file is read again after so long */
/* A watch that says nothing is given up; bookmarks come each 60 s. */
#define K8S_SILENT_NS (180 * NSEC_PER_SEC)

/* Where the API server is and who we are. "" = none. */
struct k8s_config {
	/* https://HOST:PORT, no slash at the end; http:// is for tests. */
	char server[K8S_SERVER_MAX];
	char ca_file[K8S_PATH_MAX]; /* read at each new connection */
	/* Read each minute, and when the server refused what was shown. Shown over https only. */
	char token_file[K8S_PATH_MAX];
	char cert_file[K8S_PATH_MAX], key_file[K8S_PATH_MAX]; /* of a client certificate */
	uint64_t silent_ns;				      /* 0: K8S_SILENT_NS */
};

/* From KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and the service account's files. 0, or -ENOENT:
 * this process does not run in a pod. */
int k8s_config_in_cluster(struct k8s_config *ret);

struct k8s_client;

/* 0 or negative errno. cfg is copied. */
int k8s_client_new(const struct k8s_config *cfg, struct k8s_client **ret);
void k8s_client_free(struct k8s_client *c);
DEFINE_CLEANUP(struct k8s_client, k8s_client_free)

/* To be polled for reading; stays the client's. */
int k8s_client_fd(const struct k8s_client *c);
/* Until k8s_client_turn() has something to do by itself; -1: nothing. */
int k8s_client_timeout_ms(const struct k8s_client *c);
/* Does what there is to do; never waits. */
void k8s_client_turn(struct k8s_client *c);

/* status: of HTTP, or negative errno when there was no answer: -ETIMEDOUT, -EMSGSIZE (longer than
 * K8S_ANSWER_MAX), -ECONNREFUSED, -EIO. body is valid inside the call. */
typedef void (*k8s_answer_fn)(void *ctx, int status, struct slice body);

/* Sends a JSON document to a path such as /apis/authentication.k8s.io/v1/tokenreviews. fn is called once,
 * never before this returns; not at all when the client is freed before. 0, -EBUSY: K8S_POSTS_MAX wait;
 * -ENOMEM. A 401 is tried once more with the token as the file has it then. */
int k8s_client_post(struct k8s_client *c, const char *path, struct slice json, k8s_answer_fn fn,
		    void *ctx);

#endif

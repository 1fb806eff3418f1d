/* HTTP to the collector: over a Unix socket, TCP or kubectl, one request at a time, streamed. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/strbuf.h"
#include "cli/trouble.h"

#define CLIENT_LINE_MAX	 (32 * MIB) /* one line of a streamed answer */
#define CLIENT_ERROR_MAX (64 * KIB) /* kept of an error's body */

struct client;
struct kube;

/* address: "unix:PATH", "ADDR:PORT", "http://...", "https://..." ($KELPIE_CA_FILE: PEM file of the
 * authorities to trust). 0 or -EIO with *t set. */
int client_new(const char *address, struct client **ret, struct trouble *t);
/* Through kubectl; takes kube over, also on failure. */
int client_new_kube(struct kube *kube, struct client **ret, struct trouble *t);
void client_free(struct client *c);
DEFINE_CLEANUP(struct client, client_free)

struct client_request {
	const char *method;  /* "GET", "POST" */
	const char *path;    /* with the query string */
	struct slice body;   /* JSON */
	uint64_t timeout_ns; /* of the whole; 0: none */
	/* One line of the answer without its end, borrowed for the call; a negative errno ends the
	 * request with it. The last line may lack its newline. */
	int (*line)(void *ctx, struct slice line);
	void *ctx;
};

/* 0: status 200..299 and every line delivered. -EINTR: interrupted. -EIO: *t says why (unreachable,
 * refused, an error of the API with its message and hint). Else what line() returned. */
int client_do(struct client *c, const struct client_request *req, struct trouble *t);
/* The whole body of a GET into out. */
int client_get(struct client *c, const char *path, struct strbuf *out, struct trouble *t);
/* Appends text percent-encoded (RFC 3986: unreserved characters stay). */
void client_escape(struct slice text, struct strbuf *out);

#endif

/* What the client gives to the module's own files: requests, and a place in its clock. */
#ifndef K8S_CLIENT_INT_H
#define K8S_CLIENT_INT_H

#include "base/strbuf.h"
#include "k8s/client.h"

#define CLIENT_WHY_MAX 256 /* bytes of what went wrong, with NUL: CURL_ERROR_SIZE */

struct client_transfer;

enum client_end {
	CLIENT_EOF,    /* the answer is whole */
	CLIENT_BROKEN, /* it is not, or there is none */
	CLIENT_LATE,   /* the time given for it has passed */
};

struct client_ops {
	/* Before the first body() and before end(), unless there was no answer at all. */
	void (*head)(void *ctx, int status, struct slice content_type, uint64_t retry_after_s);
	/* Negative: the connection is given up, end() follows. */
	int (*body)(void *ctx, struct slice bytes);
	/* Once; the transfer is no more. why: for people. */
	void (*end)(void *ctx, enum client_end how, const char *why);
};

struct client_request {
	const char *path;   /* and query */
	const char *accept; /* header */
	struct slice json;  /* of a POST; none: a GET */
	uint64_t limit_ns;  /* until it must have ended; 0: as long as it says something */
	bool alone;	    /* on a connection of its own, which ends with it */
	bool fresh_token;
	const struct client_ops *ops;
	void *ctx;
};

/* Callbacks come from k8s_client_turn() only. 0 or -ENOMEM. */
int client_send(struct k8s_client *c, const struct client_request *q, struct client_transfer **ret);
/* Without end(). Not from inside a callback of the same transfer. */
void client_stop(struct client_transfer *t);

/* Something that is done at a time, by k8s_client_turn(). */
struct client_timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC; UINT64_MAX: never */
	void (*fn)(void *ctx);
	void *ctx;
	struct client_timer *next;
};

void client_timer_add(struct k8s_client *c, struct client_timer *t);
void client_timer_del(struct k8s_client *c, struct client_timer *t);

/* What is freed with the client, unless it is disowned before: its free() disowns it. */
struct client_owned {
	void (*free)(void *ctx);
	void *ctx;
	struct client_owned *next;
};

void client_own(struct k8s_client *c, struct client_owned *o);
void client_disown(struct k8s_client *c, struct client_owned *o);
size_t client_owned_count(const struct k8s_client *c);

/* config.c: what the file has now as an Authorization header's line. 0; -ENOENT: there is none; -EINVAL: it
 * is no token; another negative errno. */
int client_token_header(const char *path, struct strbuf *out);

#endif

/* The HTTP side: who may ask, how much at once, which handler answers. Connections are served by
 * one thread of the HTTP library; handlers that wait (queries, live rows) run as jobs on threads of
 * their own and hand their answer over through a `struct out`.
 */
#ifndef COLLECTOR_HTTP_H
#define COLLECTOR_HTTP_H

#include "base/strbuf.h"
#include "collector/hub.h"
#include "collector/listen.h"
#include "collector/out.h"
#include "collector/peers.h"
#include "query/worker.h"

#define HTTP_BODY_MAX	      (512 * KIB)
#define HTTP_BODY_WAIT_MAX    (8 * MIB) /* read to the end before it is refused */
#define HTTP_CONNECTIONS_MAX  PEERS_MAX
#define HTTP_IDLE_S	      30 /* a client that neither sends nor takes is cut off */
#define HTTP_PARAMS_MAX	      128
#define HTTP_QUERIES_MAX      20 /* at once */
#define HTTP_QUERIES_USER_MAX 4
#define HTTP_TAPS_MAX	      16
#define HTTP_TAPS_USER_MAX    4
#define HTTP_JOBS_MAX	      32 /* status, metrics, control at once */
#define HTTP_TOKEN_BYTES      32 /* random */

struct http;

struct gate_counts;

struct http_config {
	struct listener *listener; /* stays the caller's */
	struct hub *hub;
	struct worker_pool *pool;
	uint64_t timeout_ns, rows, bytes, memory_bytes; /* of a query */
	uint64_t default_range_ns; /* when a query names no range; 0: everything retained */
	char token[2 * HTTP_TOKEN_BYTES + 1]; /* "": none asked for (Unix socket) */
	int statm_fd;			      /* /proc/self/statm, -1: none */
	int audit_fd;			      /* where audit lines go, -1: nowhere */
	const struct gate_counts *gate;	      /* of the door to the network; NULL: there is none */
	bool service_proxy;		      /* everybody is the one role of front.h */
	const char *tls_cert, *tls_key;	      /* PEM texts: HTTPS; NULL: HTTP */
};

struct http_param {
	char *name, *value; /* heap, decoded */
	size_t value_n;
};

enum http_limit {
	HTTP_LIMIT_NONE,
	HTTP_LIMIT_QUERY,
	HTTP_LIMIT_TAP,
	HTTP_LIMIT_JOB,
	_HTTP_LIMIT_MAX
};

struct http_route;

/* One request. Handlers read it and answer through out. */
struct request {
	struct http *http;
	const struct http_config *cfg;
	const struct http_route *route;
	struct out *out;
	struct strbuf body;
	struct http_param params[HTTP_PARAMS_MAX];
	size_t n_params;
	uint64_t user; /* whose limits count: uid, or UINT64_MAX for everybody over TCP */
	pid_t pid;     /* of the client, 0 over TCP */
	/* http.c's own */
	struct request *next, *prev;
	unsigned int refs;
	int fd;
	bool started, too_large, counted;
};

struct http_route {
	const char *method, *path;
	void (*fn)(struct request *r);
	enum http_limit limit; /* other than NONE: runs as a job */
	bool open;	       /* needs no token */
	bool changes;	       /* something: not for the service proxy */
};

/* 0 or negative errno. */
int http_start(const struct http_config *cfg, struct http **ret);
/* New values for the limits of queries, after a reload. */
void http_reconfigure(struct http *h, const struct http_config *cfg);
/* Cancels what runs and waits for it until until_ns. False when something did not end in time; then
 * nothing was freed and the caller has to exit. */
bool http_stop(struct http *h, uint64_t until_ns);
/* Running jobs of one kind. */
size_t http_running(struct http *h, enum http_limit limit);

/* NULL when absent; the first one. */
const struct http_param *request_param(const struct request *r, const char *name);
struct slice request_value(const struct request *r, const char *name);

/* Answers with an error object. hint may be NULL; position -1: unknown. */
void request_error(struct request *r, unsigned int status, const char *code, const char *message,
		   const char *hint, int position);
/* Answers with a whole body; a failed buffer becomes an error. */
void request_reply(struct request *r, unsigned int status, const char *type, struct strbuf *body);

/* The handlers. */
void api_query(struct request *r);
void api_tap(struct request *r);
void api_schema(struct request *r);
void api_scripts(struct request *r);
void api_status(struct request *r);
void api_control(struct request *r);
void api_healthz(struct request *r);
void api_readyz(struct request *r);
void api_metrics(struct request *r);

#endif

/* Requests: read, check, limit, dispatch. */
#include "collector/http.h"

#include "base/log.h"
#include "base/text.h"
#include "base/clock.h"
#include "collector/audit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define WATCH_MS	  100 /* how soon a client's going is noticed while its answer is made */
#define HTTPS_PRIORITIES  "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define TLS_OPTIONS	  3
#define JOB_STACK_BYTES	  (1 * MIB)
#define CONN_MEMORY_BYTES (64 * KIB) /* of one connection: headers and read buffer */

struct http {
	struct http_config cfg;
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a request came or went, or stop */
	pthread_t watcher;
	bool watching, stop;
	struct request *requests; /* started and not completed */
	size_t running[_HTTP_LIMIT_MAX];
	size_t jobs;
	struct peers peers;
	struct {
		uint64_t user;
		size_t n;
	} users[_HTTP_LIMIT_MAX][HTTP_JOBS_MAX];
};

static const struct http_route routes[] = {
	{ "POST", "/api/v1/query", api_query, HTTP_LIMIT_QUERY, false, false },
	{ "GET", "/api/v1/query", api_query, HTTP_LIMIT_QUERY, false, false },
	{ "GET", "/api/v1/tap", api_tap, HTTP_LIMIT_TAP, false, false },
	{ "GET", "/api/v1/schema", api_schema, HTTP_LIMIT_NONE, false, false },
	{ "GET", "/api/v1/scripts", api_scripts, HTTP_LIMIT_NONE, false, false },
	{ "GET", "/api/v1/status", api_status, HTTP_LIMIT_JOB, false, false },
	{ "POST", "/api/v1/control/pause", api_control, HTTP_LIMIT_JOB, false, true },
	{ "POST", "/api/v1/control/resume", api_control, HTTP_LIMIT_JOB, false, true },
	{ "POST", "/api/v1/control/purge", api_control, HTTP_LIMIT_JOB, false, true },
	{ "GET", "/healthz", api_healthz, HTTP_LIMIT_NONE, true, false },
	{ "GET", "/readyz", api_readyz, HTTP_LIMIT_NONE, true, false },
	{ "GET", "/metrics", api_metrics, HTTP_LIMIT_JOB, false, false },
};

static const struct {
	size_t all, user;
} limits[_HTTP_LIMIT_MAX] = {
	[HTTP_LIMIT_QUERY] = { HTTP_QUERIES_MAX, HTTP_QUERIES_USER_MAX },
	[HTTP_LIMIT_TAP] = { HTTP_TAPS_MAX, HTTP_TAPS_USER_MAX },
	[HTTP_LIMIT_JOB] = { HTTP_JOBS_MAX, HTTP_JOBS_MAX },
};

const struct http_param *request_param(const struct request *r, const char *name)
{
	for (size_t i = 0; i < r->n_params; i++)
		if (strcmp(r->params[i].name, name) == 0)
			return &r->params[i];
	return NULL;
}

struct slice request_value(const struct request *r, const char *name)
{
	const struct http_param *p = request_param(r, name);

	return p ? slice_of(p->value, p->value_n) : slice_of(NULL, 0);
}

void request_reply(struct request *r, unsigned int status, const char *type, struct strbuf *body)
{
	if (body->failed) {
		request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "memory",
			      "the answer found no memory", NULL, -1);
		return;
	}
	out_replace(r->out, status, type, strbuf_slice(body));
}

/* What kubectl shows of an error: one line, that says that it is ours and not the API server's. */
static void add_status(struct strbuf *b, unsigned int status, const char *message, const char *hint,
		       int position)
{
	struct strbuf line = STRBUF_INIT(8 * KIB);

	strbuf_addf(&line, "kelpie: %s%s%s", message, hint && hint[0] ? "; " : "",
		    hint ? hint : "");
	if (position >= 0)
		strbuf_addf(&line, " (at byte %d)", position);
	for (size_t i = 0; i < line.len; i++)
		if ((uint8_t)line.p[i] < ' ')
			line.p[i] = ' ';
	strbuf_addf(b,
		    "\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
		    "\"status\":\"Failure\",\"code\":%u,\"reason\":\"%s\",\"message\":",
		    status,
		    status == MHD_HTTP_FORBIDDEN	     ? "Forbidden"
		    : status == MHD_HTTP_SERVICE_UNAVAILABLE ? "ServiceUnavailable"
		    : status < 500			     ? "BadRequest"
							     : "InternalError");
	strbuf_add_json(b, strbuf_slice(&line));
	strbuf_addch(b, ',');
	strbuf_done(&line);
}

void request_error(struct request *r, unsigned int status, const char *code, const char *message,
		   const char *hint, int position)
{
	struct strbuf b = STRBUF_INIT(32 * KIB);

	strbuf_addch(&b, '{');
	if (r->cfg->service_proxy)
		add_status(&b, status, message, hint, position);
	strbuf_adds(&b, "\"error\":{\"code\":");
	strbuf_add_json(&b, slice_str(code));
	strbuf_adds(&b, ",\"message\":");
	strbuf_add_json(&b, slice_str(message));
	strbuf_adds(&b, ",\"hint\":");
	if (hint && hint[0])
		strbuf_add_json(&b, slice_str(hint));
	else
		strbuf_adds(&b, "null");
	if (position >= 0)
		strbuf_addf(&b, ",\"position\":%d}}\n", position);
	else
		strbuf_adds(&b, ",\"position\":null}}\n");
	if (!out_replace(r->out, status, "application/json", strbuf_slice(&b)))
		out_finish(r->out, NULL, true);
	strbuf_done(&b);
}

/* Equal in a time that tells nothing about where they differ. */
static bool same_secret(const char *a, const char *b, size_t n)
{
	volatile uint8_t diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= (uint8_t)(a[i] ^ b[i]);
	return diff == 0;
}

static bool has_token(struct MHD_Connection *conn, const char *token)
{
	static const char scheme[] = "Bearer ";
	const char *value = MHD_lookup_connection_value(conn, MHD_HEADER_KIND,
							MHD_HTTP_HEADER_AUTHORIZATION);
	size_t n = strlen(token);

	if (!value || strncmp(value, scheme, sizeof(scheme) - 1) != 0)
		return false;
	value += sizeof(scheme) - 1;
	return strlen(value) == n && same_secret(value, token, n);
}

/* A name that an attacker's DNS could point at us is refused; literal addresses and localhost are
 * what people type. */
static bool host_ok(struct MHD_Connection *conn)
{
	const char *value = MHD_lookup_connection_value(conn, MHD_HEADER_KIND,
							MHD_HTTP_HEADER_HOST);
	char host[64];
	const char *end;
	struct in6_addr addr;
	size_t n;

	if (!value)
		return false;
	if (value[0] == '[') {
		end = strchr(++value, ']');
	} else {
		end = strchr(value, ':');
		end = end ? end : value + strlen(value);
	}
	n = end ? (size_t)(end - value) : sizeof(host);
	if (n >= sizeof(host))
		return false;
	memcpy(host, value, n);
	host[n] = '\0';
	return strcasecmp(host, "localhost") == 0 || inet_pton(AF_INET, host, &addr) == 1 ||
	       inet_pton(AF_INET6, host, &addr) == 1;
}

static const struct http_route *find_route(const char *method, const char *path, bool *ret_path)
{
	const struct http_route *found = NULL;

	*ret_path = false;
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (strcmp(routes[i].path, path) != 0)
			continue;
		*ret_path = true;
		if (strcmp(routes[i].method, method) == 0)
			found = &routes[i];
	}
	return found;
}

static void free_request(struct request *r)
{
	for (size_t i = 0; i < r->n_params; i++) {
		free(r->params[i].name);
		free(r->params[i].value);
	}
	strbuf_done(&r->body);
	out_put(r->out);
	free(r);
}

/* With lock. */
static void put_request(struct request *r)
{
	if (--r->refs == 0)
		free_request(r);
}

static int fd_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/* Whose limits count. *ret_pid: of the client, 0 over TCP. */
static uint64_t user_of(const struct http *h, int fd, pid_t *ret_pid)
{
	struct ucred cred = { 0 };
	socklen_t n = sizeof(cred);

	*ret_pid = 0;
	if (!h->cfg.listener->is_unix || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return UINT64_MAX;
	*ret_pid = cred.pid;
	return cred.uid;
}

/* Before anything is read of it. Over TCP users cannot be told apart that early. */
static void on_connection(void *cls, struct MHD_Connection *conn, void **slot,
			  enum MHD_ConnectionNotificationCode what)
{
	static const char enough[] =
		"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n"
		"Content-Type: application/json\r\n\r\n"
		"{\"error\":{\"code\":\"busy\",\"message\":\"this user has too many connections "
		"open\",\"hint\":\"close some\"}}\n";
	struct http *h = cls;
	int fd = fd_of(conn);
	pid_t pid;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		peers_leave(*slot);
		return;
	}
	if (!h->cfg.listener->is_unix)
		return;
	*slot = peers_enter(&h->peers, user_of(h, fd, &pid));
	if (*slot)
		return;
	(void)send(fd, enough, sizeof(enough) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_RDWR);
}

/* A body that is announced as far too long is not waited for; of another the client hears when it has
 * sent it. */
static bool announces_too_much(struct MHD_Connection *conn)
{
	const char *length = MHD_lookup_connection_value(conn, MHD_HEADER_KIND,
							 MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t n = 0;

	return length && (parse_u64(slice_str(length), &n) < 0 || n > HTTP_BODY_WAIT_MAX);
}

static struct request *new_request(struct http *h, struct MHD_Connection *conn)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->http = h;
	r->cfg = &h->cfg;
	r->refs = 1;
	strbuf_init(&r->body, HTTP_BODY_MAX);
	r->out = out_new(conn);
	if (!r->out) {
		free(r);
		return NULL;
	}
	r->fd = fd_of(conn);
	r->user = user_of(h, r->fd, &r->pid);
	r->too_large = announces_too_much(conn);
	return r;
}

static enum MHD_Result copy_param(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_n,
				  const char *value, size_t value_n)
{
	struct request *r = cls;
	struct http_param *p = &r->params[r->n_params];

	(void)kind;
	if (r->n_params == HTTP_PARAMS_MAX)
		return MHD_NO;
	p->name = strndup(key, key_n);
	p->value = calloc(1, value_n + 1);
	if (!p->name || !p->value) {
		free(p->name);
		free(p->value);
		return MHD_NO;
	}
	if (value_n)
		memcpy(p->value, value, value_n);
	p->value_n = value_n;
	r->n_params++;
	return MHD_YES;
}

/* The people behind the service proxy are one user to us, and many. */
static size_t user_limit(const struct http *h, enum http_limit l)
{
	return h->cfg.service_proxy ? limits[l].all : limits[l].user;
}

/* With lock. A slot for one more of this kind: false when the user or everybody has enough. */
static bool count_in(struct http *h, struct request *r)
{
	enum http_limit l = r->route->limit;
	size_t free_slot = SIZE_MAX, slot = SIZE_MAX;

	if (h->running[l] >= limits[l].all)
		return false;
	for (size_t i = 0; i < HTTP_JOBS_MAX; i++) {
		if (h->users[l][i].n == 0)
			free_slot = MIN(free_slot, i);
		else if (h->users[l][i].user == r->user)
			slot = i;
	}
	slot = slot == SIZE_MAX ? free_slot : slot;
	if (slot == SIZE_MAX || h->users[l][slot].n >= user_limit(h, l))
		return false;
	h->users[l][slot].user = r->user;
	h->users[l][slot].n++;
	h->running[l]++;
	r->counted = true;
	return true;
}

/* With lock. */
static void count_out(struct http *h, struct request *r)
{
	enum http_limit l = r->route->limit;

	for (size_t i = 0; i < HTTP_JOBS_MAX && r->counted; i++)
		if (h->users[l][i].n > 0 && h->users[l][i].user == r->user) {
			h->users[l][i].n--;
			h->running[l]--;
			r->counted = false;
		}
}

/* A client that has its answer may ask again at once: the slot is free before it can know. */
static void on_answer(void *ctx)
{
	struct request *r = ctx;

	pthread_mutex_lock(&r->http->lock);
	count_out(r->http, r);
	pthread_mutex_unlock(&r->http->lock);
}

static void *job(void *arg)
{
	struct request *r = arg;
	struct http *h = r->http;

	r->route->fn(r);
	out_finish(r->out, NULL, true); /* whatever was left open */
	pthread_mutex_lock(&h->lock);
	h->jobs--;
	put_request(r);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static int start_thread(struct request *r)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, JOB_STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, job, r);
	pthread_attr_destroy(&attr);
	return -err;
}

static void start_job(struct http *h, struct request *r)
{
	bool allowed, started = false;

	pthread_mutex_lock(&h->lock);
	allowed = !h->stop && count_in(h, r);
	if (allowed) {
		r->out->on_end = on_answer;
		r->out->end_ctx = r;
		r->refs++;
		h->jobs++;
		started = start_thread(r) == 0;
		if (!started) {
			r->out->on_end = NULL;
			r->refs--;
			h->jobs--;
			count_out(h, r);
		}
	}
	pthread_mutex_unlock(&h->lock);
	if (!allowed)
		request_error(r, MHD_HTTP_TOO_MANY_REQUESTS, "busy",
			      "too many requests of this kind are running",
			      "wait for one of yours to end, or end it", -1);
	else if (!started)
		request_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "no thread to run this on",
			      NULL, -1);
}

static void check_and_start(struct http *h, struct request *r, struct MHD_Connection *conn,
			    const char *url, const char *method)
{
	bool path_known;

	r->route = find_route(method, url, &path_known);
	if (!h->cfg.listener->is_unix && !h->cfg.service_proxy && !host_ok(conn)) {
		request_error(r, MHD_HTTP_FORBIDDEN, "bad_host", "this Host is not answered",
			      "use localhost or the address itself", -1);
	} else if (h->cfg.token[0] && !(r->route && r->route->open) &&
		   !has_token(conn, h->cfg.token)) {
		request_error(r, MHD_HTTP_UNAUTHORIZED, "unauthorized", "a token is needed",
			      "send 'Authorization: Bearer TOKEN' with the token printed at start",
			      -1);
	} else if (!path_known) {
		request_error(r, MHD_HTTP_NOT_FOUND, "not_found", "there is nothing here",
			      "docs/api.md lists the paths", -1);
	} else if (!r->route) {
		request_error(r, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
			      "this path has another method", NULL, -1);
	} else if (r->route->changes && h->cfg.service_proxy) {
		request_error(r, MHD_HTTP_FORBIDDEN, "not_allowed",
			      "nothing can be changed through the service proxy",
			      "it hides who asks; use the collector's own socket", -1);
		audit_verb(r, strrchr(r->route->path, '/') + 1, "not_allowed", 0, 0);
	} else if (r->too_large || r->body.failed) {
		request_error(r, MHD_HTTP_CONTENT_TOO_LARGE, "too_large",
			      "the request is longer than 512 KiB", NULL, -1);
	} else {
		MHD_get_connection_values_n(conn, MHD_GET_ARGUMENT_KIND, copy_param, r);
		if (r->route->limit == HTTP_LIMIT_NONE)
			r->route->fn(r);
		else
			start_job(h, r);
	}
}

static void list_request(struct http *h, struct request *r)
{
	pthread_mutex_lock(&h->lock);
	r->next = h->requests;
	if (r->next)
		r->next->prev = r;
	h->requests = r;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_n, void **slot)
{
	struct http *h = cls;
	struct request *r = *slot;

	(void)version;
	if (!r) {
		r = *slot = new_request(h, conn);
		if (!r || !r->too_large)
			return r ? MHD_YES : MHD_NO;
	}
	if (*upload_n > 0) {
		if (r->body.len + *upload_n > HTTP_BODY_MAX)
			r->too_large = true;
		else
			strbuf_add(&r->body, upload, *upload_n);
		*upload_n = 0;
		return MHD_YES;
	}
	if (!r->started) {
		r->started = true;
		list_request(h, r);
		check_and_start(h, r, conn, url, method);
	}
	return out_answer(r->out, conn);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **slot,
			 enum MHD_RequestTerminationCode code)
{
	struct http *h = cls;
	struct request *r = *slot;

	(void)conn;
	(void)code;
	if (!r)
		return;
	out_detach(r->out);
	pthread_mutex_lock(&h->lock);
	if (r->started) {
		if (r->prev)
			r->prev->next = r->next;
		else
			h->requests = r->next;
		if (r->next)
			r->next->prev = r->prev;
	}
	put_request(r);
	pthread_mutex_unlock(&h->lock);
	*slot = NULL;
}

/* A suspended connection is polled by nobody: its client's going is seen here. */
static void look_at_clients(struct http *h)
{
	for (struct request *r = h->requests; r; r = r->next) {
		struct pollfd p = { .fd = r->fd, .events = POLLRDHUP };

		if (h->stop ||
		    (poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR))))
			out_abort(r->out);
	}
}

static void *watch_clients(void *arg)
{
	struct http *h = arg;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		struct timespec until = clock_timespec(clock_mono_ns() + WATCH_MS * NSEC_PER_MSEC);

		if (!h->requests) {
			pthread_cond_wait(&h->changed, &h->lock);
			continue;
		}
		while (!h->stop && pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
			;
		look_at_clients(h);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void log_library(void *cls, const char *fmt, va_list ap)
{
	char text[256];

	(void)cls;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

static void http_free(struct http *h)
{
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->changed);
	free(h);
}

static int start_daemon(struct http *h)
{
	unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			     MHD_USE_ERROR_LOG | MHD_USE_ITC | (h->cfg.tls_key ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)h->cfg.tls_cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)h->cfg.tls_key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTPS_PRIORITIES },
		{ MHD_OPTION_END, 0, NULL },
	};

	h->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
		MHD_OPTION_LISTEN_SOCKET, h->cfg.listener->fd, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS_MAX,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONN_MEMORY_BYTES, MHD_OPTION_ARRAY,
		h->cfg.tls_key ? tls : &tls[TLS_OPTIONS], MHD_OPTION_END);
	/* The library has read them. */
	h->cfg.tls_cert = h->cfg.tls_key = NULL;
	return h->daemon ? 0 : -EIO;
}

int http_start(const struct http_config *cfg, struct http **ret)
{
	struct http *h = calloc(1, sizeof(*h));
	pthread_condattr_t attr;
	int err;

	if (!h)
		return -ENOMEM;
	h->cfg = *cfg;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &attr);
	pthread_condattr_destroy(&attr);
	err = -pthread_create(&h->watcher, NULL, watch_clients, h);
	if (err < 0) {
		http_free(h);
		return err;
	}
	err = start_daemon(h);
	if (err < 0) {
		http_stop(h, 0);
		return err;
	}
	*ret = h;
	return 0;
}

void http_reconfigure(struct http *h, const struct http_config *cfg)
{
	pthread_mutex_lock(&h->lock);
	h->cfg.timeout_ns = cfg->timeout_ns;
	h->cfg.rows = cfg->rows;
	h->cfg.memory_bytes = cfg->memory_bytes;
	pthread_mutex_unlock(&h->lock);
}

size_t http_running(struct http *h, enum http_limit limit)
{
	size_t n;

	pthread_mutex_lock(&h->lock);
	n = h->running[limit];
	pthread_mutex_unlock(&h->lock);
	return n;
}

bool http_stop(struct http *h, uint64_t until_ns)
{
	struct timespec until = clock_timespec(until_ns);
	bool quiet;

	if (h->daemon)
		MHD_quiesce_daemon(h->daemon); /* the listener is the caller's to close */
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	look_at_clients(h);
	pthread_cond_broadcast(&h->changed);
	while (h->jobs > 0 && pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
		;
	quiet = h->jobs == 0;
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->watcher, NULL);
	if (!quiet)
		return false;
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	http_free(h);
	return true;
}

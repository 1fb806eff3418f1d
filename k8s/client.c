#include "k8s/client_int.h"

#include "base/clock.h"
#include "base/log.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#define EVENTS_MAX     32
#define IDLE_CONNS_MAX 4
#define USER_TIMEOUT_MS                                                                            \
	60000 /* what the peer does not acknowledge for so long ends the connection */

struct client_transfer {
	struct k8s_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct client_request q; /* path and accept are not kept */
	bool headed, given_up;
	char why[CLIENT_WHY_MAX];
	struct client_transfer *next;
};

_Static_assert(CLIENT_WHY_MAX >= CURL_ERROR_SIZE, "curl writes so much");

struct k8s_client {
	struct k8s_config cfg;
	CURLM *multi;
	int epoll;
	bool tls;
	uint64_t curl_due_ns; /* UINT64_MAX: never */
	struct strbuf token;  /* the header's line */
	uint64_t token_ns;    /* when it was read, 0: never */
	struct client_transfer *transfers;
	struct client_timer *timers;
	struct client_owned *owned;
	size_t n_owned;
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct k8s_client *c = ctx;
	struct epoll_event ev = { .data.fd = fd };

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(c->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0 &&
	    epoll_ctl(c->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) < 0)
		return -1;
	curl_multi_assign(c->multi, fd, c);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
	struct k8s_client *c = ctx;

	(void)multi;
	c->curl_due_ns = ms < 0 ? UINT64_MAX : clock_mono_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	return 0;
}

int k8s_client_new(const struct k8s_config *cfg, struct k8s_client **ret)
{
	_cleanup_(k8s_client_freep) struct k8s_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	c->tls = strncmp(cfg->server, "https:", 6) == 0;
	if (!c->cfg.silent_ns)
		c->cfg.silent_ns = K8S_SILENT_NS;
	c->curl_due_ns = UINT64_MAX;
	strbuf_init(&c->token, K8S_TOKEN_MAX + 64);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0)
		return -errno;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	c->multi = curl_multi_init();
	if (!c->multi)
		return -ENOMEM;
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNS_MAX);
	*ret = TAKE_PTR(c);
	return 0;
}

void client_own(struct k8s_client *c, struct client_owned *o)
{
	o->next = c->owned;
	c->owned = o;
	c->n_owned++;
}

void client_disown(struct k8s_client *c, struct client_owned *o)
{
	struct client_owned **p = &c->owned;

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	c->n_owned--;
}

size_t client_owned_count(const struct k8s_client *c)
{
	return c->n_owned;
}

void k8s_client_free(struct k8s_client *c)
{
	while (c->transfers)
		client_stop(c->transfers);
	while (c->owned)
		c->owned->free(c->owned->ctx);
	if (c->multi) {
		curl_multi_cleanup(c->multi);
		curl_global_cleanup();
	}
	closep(&c->epoll);
	if (c->token.p)
		explicit_bzero(c->token.p, c->token.cap);
	strbuf_done(&c->token);
	free(c);
}

int k8s_client_fd(const struct k8s_client *c)
{
	return c->epoll;
}

int k8s_client_timeout_ms(const struct k8s_client *c)
{
	uint64_t due = c->curl_due_ns, now = clock_mono_ns();

	for (const struct client_timer *t = c->timers; t; t = t->next)
		due = MIN(due, t->due_ns);
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int)MIN((due - now) / NSEC_PER_MSEC + 1, (uint64_t)INT32_MAX);
}

void client_timer_add(struct k8s_client *c, struct client_timer *t)
{
	t->next = c->timers;
	c->timers = t;
}

void client_timer_del(struct k8s_client *c, struct client_timer *t)
{
	for (struct client_timer **p = &c->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			return;
		}
}

static void tell_head(struct client_transfer *t)
{
	char *type = NULL;
	curl_off_t after = 0;
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->headed || status == 0)
		return;
	t->headed = true;
	curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after);
	t->q.ops->head(t->q.ctx, (int)status, slice_str(type), after > 0 ? (uint64_t)after : 0);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct client_transfer *t = ctx;

	tell_head(t);
	if (t->q.ops->body(t->q.ctx, slice_of(p, size * n)) >= 0)
		return size * n;
	t->given_up = true;
	return size * n > 0 ? 0 : 1; /* anything but what was given */
}

static int on_new_socket(void *ctx, curl_socket_t fd, curlsocktype what)
{
	unsigned int ms = USER_TIMEOUT_MS;

	(void)ctx;
	(void)what;
	/* without it a dead peer is found later, by silence */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

/* Only a server that has proved who it is sees it. The file is looked at each minute, and when the server refused what it had. While it cannot be read the
 * token of before is shown. */
static void refresh_token(struct k8s_client *c, bool now)
{
	uint64_t t = clock_mono_ns();
	int r;

	if (!c->cfg.token_file[0] || !c->tls ||
	    (!now && c->token_ns && t - c->token_ns < K8S_TOKEN_FRESH_NS))
		return;
	c->token_ns = t;
	r = client_token_header(c->cfg.token_file, &c->token);
	if (r < 0)
		log_warn("%s: no token for the API server: %s", c->cfg.token_file, strerror(-r));
}

static bool add_header(struct client_transfer *t, const char *line)
{
	struct curl_slist *longer = curl_slist_append(t->headers, line);

	if (longer)
		t->headers = longer;
	return longer != NULL;
}

static bool set_headers(struct client_transfer *t)
{
	const struct client_request *q = &t->q;
	const struct strbuf *token = &t->client->token;
	char accept[300];

	snprintf(accept, sizeof(accept), "Accept: %s", q->accept);
	if (!add_header(t, accept) || (token->len > 0 && !add_header(t, strbuf_str(token))))
		return false;
	if (q->json.p &&
	    (!add_header(t, "Content-Type: application/json") || !add_header(t, "Expect:")))
		return false;
	return curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK;
}

/* Only the given CA is trusted: the distribution's folder of them has no say about a cluster. */
static void set_tls(CURL *e, const struct k8s_config *cfg)
{
	if (cfg->ca_file[0]) {
		curl_easy_setopt(e, CURLOPT_CAINFO, cfg->ca_file);
		curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	}
	if (cfg->cert_file[0]) {
		curl_easy_setopt(e, CURLOPT_SSLCERT, cfg->cert_file);
		curl_easy_setopt(e, CURLOPT_SSLKEY, cfg->key_file);
	}
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* an authority that is replaced counts from the next connection on */
	curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 0L);
}

/* No compression is asked for: the API server's streams in gzip are more than one member, which curl does
 * not read. No proxy of the environment, no redirect: the token goes to this server only. */
static void set_transport(struct client_transfer *t)
{
	const struct k8s_config *cfg = &t->client->cfg;
	CURL *e = t->easy;

	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, t->client->tls ? "https" : "http");
	curl_easy_setopt(e, CURLOPT_USERAGENT, "kelpie/" KELPIE_VERSION);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(K8S_CONNECT_NS / NSEC_PER_MSEC));
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME,
			 (long)MAX(cfg->silent_ns / NSEC_PER_SEC, (uint64_t)1));
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 10L);
	curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, (long)t->q.alone);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, (long)t->q.alone);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(t->q.limit_ns / NSEC_PER_MSEC));
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->why);
	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	set_tls(e, cfg);
}

static int set_request(struct client_transfer *t)
{
	struct strbuf url = STRBUF_INIT(64 * KIB);
	CURLcode r = CURLE_OUT_OF_MEMORY;

	strbuf_addf(&url, "%s%s", t->client->cfg.server, t->q.path);
	if (!url.failed)
		r = curl_easy_setopt(t->easy, CURLOPT_URL, strbuf_str(&url));
	strbuf_done(&url);
	if (r == CURLE_OK && t->q.json.p) {
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)t->q.json.n);
		r = curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, t->q.json.p);
	}
	return r == CURLE_OK && set_headers(t) ? 0 : -ENOMEM;
}

static void transfer_free(struct client_transfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	free(t);
}

int client_send(struct k8s_client *c, const struct client_request *q, struct client_transfer **ret)
{
	struct client_transfer *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (!t)
		return -ENOMEM;
	t->client = c;
	t->q = *q;
	t->easy = curl_easy_init();
	refresh_token(c, q->fresh_token);
	if (t->easy) {
		set_transport(t);
		r = set_request(t);
	}
	t->q.path = t->q.accept = NULL;
	if (r < 0 || curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
		transfer_free(t);
		return -ENOMEM;
	}
	t->next = c->transfers;
	c->transfers = t;
	*ret = t;
	return 0;
}

void client_stop(struct client_transfer *t)
{
	struct client_transfer **p = &t->client->transfers;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	curl_multi_remove_handle(t->client->multi, t->easy);
	transfer_free(t);
}

static void ended(struct client_transfer *t, CURLcode result)
{
	struct client_request q = t->q;
	enum client_end how = CLIENT_BROKEN;
	char why[CLIENT_WHY_MAX];

	if (!t->given_up)
		tell_head(t);
	if (result == CURLE_OK)
		how = CLIENT_EOF;
	else if (result == CURLE_OPERATION_TIMEDOUT)
		how = CLIENT_LATE;
	snprintf(why, sizeof(why), "%s", t->why[0] ? t->why : curl_easy_strerror(result));
	client_stop(t);
	q.ops->end(q.ctx, how, why);
}

static void collect_ended(struct k8s_client *c)
{
	int left;

	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
		CURLcode result = m->data.result;
		char *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		ended((struct client_transfer *)(void *)t, result);
	}
}

static void run_timers(struct k8s_client *c)
{
	uint64_t now = clock_mono_ns();

	for (struct client_timer *t = c->timers, *next; t; t = next) {
		next = t->next;
		if (t->due_ns <= now)
			t->fn(t->ctx);
	}
}

void k8s_client_turn(struct k8s_client *c)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(c->epoll, events, EVENTS_MAX, 0), running;

	for (int i = 0; i < n; i++) {
		uint32_t e = events[i].events;
		int what = (e & EPOLLIN ? CURL_CSELECT_IN : 0) |
			   (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			   (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

		curl_multi_socket_action(c->multi, events[i].data.fd, what, &running);
	}
	if (c->curl_due_ns <= clock_mono_ns()) {
		c->curl_due_ns = UINT64_MAX;
		curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	collect_ended(c);
	run_timers(c);
}

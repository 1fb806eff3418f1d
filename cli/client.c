#include "cli/client.h"

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/kube.h"
#include "cli/lines.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#define CONNECT_TIMEOUT_MS 3000L

struct client {
	struct kube *kube; /* of a Kelpie in a cluster; nothing else is set then */
	CURL *easy;
	CURLM *multi;
	char *address;
	char *socket; /* path of a Unix socket, or NULL */
	char *base;   /* "http://localhost" */
	char curl_error[CURL_ERROR_SIZE];
};

struct transfer {
	CURL *easy;
	struct line_split lines;
	struct strbuf error_body;
};

static int set_address(struct client *c, const char *address, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf base = STRBUF_INIT(4096);

	c->address = strdup(address);
	if (strncmp(address, "unix:", 5) == 0) {
		c->socket = strdup(address + 5);
		strbuf_adds(&base, "http://localhost");
		if (!address[5])
			return trouble_set(t, EXIT_USAGE,
					   "'unix:' without a path; write unix:/path/of.sock");
	} else if (strncmp(address, "http://", 7) == 0 || strncmp(address, "https://", 8) == 0) {
		strbuf_add(&base, address, strlen(address) - (address[strlen(address) - 1] == '/'));
	} else if (strchr(address, ':') && !strchr(address, '/')) {
		strbuf_addf(&base, "http://%s", address);
	} else {
		return trouble_set(t, EXIT_USAGE,
				   "'%s' is no address; write unix:PATH or ADDR:PORT", address);
	}
	c->base = strbuf_take(&base);
	if (!c->address || !c->base || (strncmp(address, "unix:", 5) == 0 && !c->socket))
		return trouble_set(t, EXIT_ERROR, "out of memory");
	return 0;
}

int client_new(const char *address, struct client **ret, struct trouble *t)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	c->easy = curl_easy_init();
	c->multi = curl_multi_init();
	if (!c->easy || !c->multi)
		r = trouble_set(t, EXIT_ERROR, "out of memory");
	else
		r = set_address(c, address, t);
	if (r < 0) {
		client_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int client_new_kube(struct kube *kube, struct client **ret, struct trouble *t)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		kube_free(kube);
		return trouble_set(t, EXIT_ERROR, "out of memory");
	}
	c->kube = kube;
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	kube_free(c->kube);
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	free(c->address);
	free(c->socket);
	free(c->base);
	free(c);
}

static bool is_error(struct transfer *x)
{
	long status = 0;

	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	return status < 200 || status > 299;
}

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *x = ctx;
	struct slice bytes = slice_of(data, size * n);

	if (is_error(x)) {
		strbuf_add(&x->error_body, bytes.p,
			   MIN(bytes.n, x->error_body.max - x->error_body.len));
		return bytes.n;
	}
	return line_split_add(&x->lines, bytes) < 0 ? 0 : bytes.n;
}

static int unreachable(const struct client *c, CURLcode code, struct trouble *t)
{
	long os = 0;

	curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os);
	if (os == EACCES)
		return trouble_set(
			t, EXIT_NOT_ALLOWED,
			"not allowed to use %s; become root, or join the group of that socket",
			c->address);
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
		return trouble_set(t, EXIT_UNREACHABLE,
				   "%s does not prove who it is: %s; $KELPIE_CA_FILE names the "
				   "authority that its certificate comes from",
				   c->address, curl_easy_strerror(code));
	if (code == CURLE_OPERATION_TIMEDOUT)
		return trouble_set(t, EXIT_UNREACHABLE, "no answer from %s in time", c->address);
	if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
		return trouble_set(t, EXIT_UNREACHABLE, "%s ended in the middle of its answer",
				   c->address);
	return trouble_set(t, EXIT_UNREACHABLE,
			   "cannot reach Kelpie at %s: %s; is `kelpie run` running? "
			   "--server or $KELPIE_SERVER name another address",
			   c->address, os ? strerror((int)os) : curl_easy_strerror(code));
}

/* {"error":{"code","message","hint","position"}} with its HTTP status. */
static int api_error(const struct client *c, long status, struct slice body, struct trouble *t)
{
	int code = status == 401 || status == 403   ? EXIT_NOT_ALLOWED
		   : status == 502 || status == 503 ? EXIT_UNREACHABLE
						    : EXIT_ERROR;
	struct json doc = { 0 };
	const struct json_node *error = NULL;
	struct slice message, hint;

	if (json_parse(&doc, body) == 0)
		error = json_get(&doc, &doc.nodes[0], "error");
	message = json_text(json_get(&doc, error, "message"));
	hint = json_text(json_get(&doc, error, "hint"));
	if (message.n)
		trouble_set(t, code, "%.*s%s%.*s", (int)MIN(message.n, (size_t)1000),
			    (const char *)message.p, hint.n ? "; " : "",
			    (int)MIN(hint.n, (size_t)500), (const char *)hint.p);
	else
		trouble_set(t, code, "%s answered with status %ld", c->address, status);
	t->position = json_int(json_get(&doc, error, "position"), -1);
	json_done(&doc);
	return -EIO;
}

static int run_transfer(struct client *c, struct transfer *x, CURLcode *ret)
{
	struct curl_waitfd stop = { .fd = interrupt_fd(), .events = CURL_WAIT_POLLIN };
	int running = 1, left;
	CURLMsg *msg;

	*ret = CURLE_OK;
	while (running) {
		if (interrupted())
			return -EINTR;
		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			return -EIO;
		if (running)
			curl_multi_poll(c->multi, &stop, stop.fd >= 0 ? 1 : 0, 1000, NULL);
	}
	while ((msg = curl_multi_info_read(c->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			*ret = msg->data.result;
	return x->lines.status;
}

static struct curl_slist *headers_for(const struct client_request *req)
{
	const char *token = getenv("KELPIE_TOKEN");
	struct curl_slist *list =
		curl_slist_append(NULL, "Accept: application/x-ndjson, application/json");

	if (req->body.n)
		list = curl_slist_append(list, "Content-Type: application/json");
	if (token && *token) {
		_cleanup_(strbuf_done) struct strbuf header = STRBUF_INIT(8192);

		strbuf_addf(&header, "Authorization: Bearer %s", token);
		list = curl_slist_append(list, strbuf_str(&header));
	}
	return list;
}

static void set_options(struct client *c, const struct client_request *req, struct transfer *x,
			const char *url, struct curl_slist *headers)
{
	const char *ca = getenv("KELPIE_CA_FILE");

	curl_easy_reset(c->easy);
	if (c->socket)
		curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, c->socket);
	curl_easy_setopt(c->easy, CURLOPT_URL, url);
	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	if (ca && *ca)
		curl_easy_setopt(c->easy, CURLOPT_CAINFO, ca);
	curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	if (req->timeout_ns)
		curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
				 (long)(req->timeout_ns / NSEC_PER_MSEC));
	curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->curl_error);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, x);
	if (strcmp(req->method, "POST") == 0) {
		curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
		curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS,
				 req->body.n ? (const char *)req->body.p : "");
	}
}

static int do_http(struct client *c, const struct client_request *req, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf url = STRBUF_INIT(256 * KIB);
	struct curl_slist *headers = headers_for(req);
	struct transfer x = { .easy = c->easy, .lines = { .fn = req->line, .ctx = req->ctx } };
	CURLcode code;
	long status = 0;
	int r;

	strbuf_init(&x.lines.line, CLIENT_LINE_MAX);
	strbuf_init(&x.error_body, CLIENT_ERROR_MAX);
	strbuf_addf(&url, "%s%s", c->base, req->path);
	set_options(c, req, &x, strbuf_str(&url), headers);
	curl_multi_add_handle(c->multi, c->easy);
	r = run_transfer(c, &x, &code);
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (r == 0 && code != CURLE_OK)
		r = unreachable(c, code, t);
	else if (r == 0 && (status < 200 || status > 299))
		r = api_error(c, status, strbuf_slice(&x.error_body), t);
	else if (r == 0)
		r = line_split_end(&x.lines);
	if (r == -EMSGSIZE)
		r = trouble_set(t, EXIT_ERROR, "%s sent a line that is too long", c->address);
	curl_multi_remove_handle(c->multi, c->easy);
	curl_slist_free_all(headers);
	strbuf_done(&x.lines.line);
	strbuf_done(&x.error_body);
	return r;
}

int client_do(struct client *c, const struct client_request *req, struct trouble *t)
{
	return c->kube ? kube_do(c->kube, req, t) : do_http(c, req, t);
}

static int append_line(void *ctx, struct slice line)
{
	struct strbuf *out = ctx;

	strbuf_add(out, line.p, line.n);
	strbuf_addch(out, '\n');
	return out->failed ? -EMSGSIZE : 0;
}

int client_get(struct client *c, const char *path, struct strbuf *out, struct trouble *t)
{
	struct client_request req = { .method = "GET",
				      .path = path,
				      .timeout_ns = 20 * NSEC_PER_SEC,
				      .line = append_line,
				      .ctx = out };

	return client_do(c, &req, t);
}

void client_escape(struct slice text, struct strbuf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t ch = text.p[i];

		if ((ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') ||
		    strchr("-._~", ch ? ch : ' '))
			strbuf_addch(out, (char)ch);
		else
			strbuf_addf(out, "%%%02X", ch);
	}
}

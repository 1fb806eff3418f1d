/* One JSON document to the API server, one answer. */
#include "k8s/client_int.h"

#include <errno.h>

struct post {
	struct k8s_client *client;
	k8s_answer_fn fn;
	void *ctx;
	struct client_transfer *transfer;
	struct strbuf path, json, answer;
	int status;
	bool tried; /* with a token that was read anew */
	struct client_owned owned;
};

static int start(struct post *p);

static void on_head(void *ctx, int status, struct slice content_type, uint64_t retry_after_s)
{
	struct post *p = ctx;

	(void)content_type;
	(void)retry_after_s;
	p->status = status;
}

static int on_body(void *ctx, struct slice bytes)
{
	struct post *p = ctx;

	strbuf_add(&p->answer, bytes.p, bytes.n);
	return p->answer.failed ? -EMSGSIZE : 0;
}

static void post_free(void *ctx)
{
	struct post *p = ctx;

	client_disown(p->client, &p->owned);
	strbuf_done(&p->path);
	if (p->json.p)
		explicit_bzero(p->json.p, p->json.cap); /* a token to be reviewed */
	strbuf_done(&p->json);
	strbuf_done(&p->answer);
	free(p);
}

static int status_of(const struct post *p, enum client_end how)
{
	if (p->answer.failed)
		return -EMSGSIZE;
	if (how == CLIENT_LATE)
		return -ETIMEDOUT;
	if (how == CLIENT_EOF)
		return p->status;
	return p->status ? -EIO : -ECONNREFUSED;
}

static void on_end(void *ctx, enum client_end how, const char *why)
{
	struct post *p = ctx;

	(void)why;
	if (how == CLIENT_EOF && p->status == 401 && !p->tried) {
		p->tried = true;
		p->status = 0;
		strbuf_reset(&p->answer);
		if (start(p) == 0)
			return;
	}
	p->fn(p->ctx, status_of(p, how), strbuf_slice(&p->answer));
	post_free(p);
}

static int start(struct post *p)
{
	static const struct client_ops ops = { on_head, on_body, on_end };
	struct client_request q = {
		.path = strbuf_str(&p->path),
		.accept = "application/json",
		.json = strbuf_slice(&p->json),
		.limit_ns = K8S_POST_NS,
		.fresh_token = p->tried,
		.ops = &ops,
		.ctx = p,
	};

	return client_send(p->client, &q, &p->transfer);
}

int k8s_client_post(struct k8s_client *c, const char *path, struct slice json, k8s_answer_fn fn,
		    void *ctx)
{
	struct post *p;
	int r;

	if (client_owned_count(c) >= K8S_POSTS_MAX)
		return -EBUSY;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct post){ .client = c, .fn = fn, .ctx = ctx };
	strbuf_init(&p->path, K8S_PATH_MAX);
	strbuf_init(&p->json, K8S_ANSWER_MAX);
	strbuf_init(&p->answer, K8S_ANSWER_MAX);
	strbuf_adds(&p->path, path);
	strbuf_add(&p->json, json.p, json.n);
	p->owned = (struct client_owned){ .free = post_free, .ctx = p };
	client_own(c, &p->owned);
	r = p->path.failed || p->json.failed ? -ENOMEM : start(p);
	if (r < 0)
		post_free(p);
	return r;
}

#include "k8s/watch.h"

#include "base/clock.h"
#include "k8s/client_int.h"
#include "k8s/reflector.h"

#include <errno.h>

struct stream {
	struct k8s_watch *watch;
	struct reflector *reflector;
	struct client_transfer *transfer; /* NULL: it waits */
	struct reflector_request next;
	char selector[K8S_SELECTOR_MAX];
	uint64_t due_ns, begun_ns;
	enum k8s_kind kind;
};

struct k8s_watch {
	struct k8s_watch_opts opts;
	struct client_timer timer;
	struct hash_key random;
	uint64_t randoms;
	size_t n;
	struct stream streams[K8S_RESOURCES_MAX];
};

static uint32_t random_of(struct k8s_watch *w)
{
	uint64_t count = w->randoms++;

	return (uint32_t)hash_bytes(&w->random, slice_of(&count, sizeof(count)));
}

static void on_put(void *ctx, const struct k8s_object *o)
{
	struct stream *s = ctx;

	s->watch->opts.ops->object(s->watch->opts.ctx, K8S_PUT, o, clock_unix_ns());
}

static void on_gone(void *ctx, const struct k8s_object *o)
{
	struct stream *s = ctx;

	s->watch->opts.ops->object(s->watch->opts.ctx, K8S_GONE, o, clock_unix_ns());
}

static void on_synced(void *ctx)
{
	struct stream *s = ctx;

	s->watch->opts.ops->synced(s->watch->opts.ctx, s->kind);
}

static void on_condition(void *ctx, const char *text)
{
	struct stream *s = ctx;

	s->watch->opts.ops->condition(s->watch->opts.ctx, s->kind, text);
}

static void on_head(void *ctx, int status, struct slice content_type, uint64_t retry_after_s)
{
	struct stream *s = ctx;

	reflector_head(s->reflector, status, content_type, retry_after_s);
}

static int on_body(void *ctx, struct slice bytes)
{
	struct stream *s = ctx;

	return reflector_body(s->reflector, bytes);
}

/* The next request waits for its time. */
static void plan(struct stream *s)
{
	struct k8s_watch *w = s->watch;

	reflector_next(s->reflector, random_of(w), &s->next);
	s->due_ns = clock_mono_ns() + s->next.wait_ns;
	w->timer.due_ns = MIN(w->timer.due_ns, s->due_ns);
}

static void on_end(void *ctx, enum client_end how, const char *why)
{
	struct stream *s = ctx;

	s->transfer = NULL;
	reflector_end(s->reflector, how == CLIENT_EOF ? REFLECTOR_EOF : REFLECTOR_BROKEN, why,
		      clock_mono_ns() - s->begun_ns);
	plan(s);
}

static void start(struct stream *s)
{
	static const struct client_ops ops = { on_head, on_body, on_end };
	struct client_request q = {
		.path = s->next.url,
		.accept = s->next.accept,
		.alone = true,
		.fresh_token = s->next.fresh_token,
		.ops = &ops,
		.ctx = s,
	};

	s->begun_ns = clock_mono_ns();
	if (client_send(s->watch->opts.client, &q, &s->transfer) == 0)
		return;
	s->transfer = NULL;
	reflector_end(s->reflector, REFLECTOR_BROKEN, "no memory for the request", 0);
	plan(s);
}

static void on_time(void *ctx)
{
	struct k8s_watch *w = ctx;
	uint64_t now = clock_mono_ns(), due = UINT64_MAX;

	for (size_t i = 0; i < w->n; i++)
		if (!w->streams[i].transfer && w->streams[i].due_ns <= now)
			start(&w->streams[i]);
	for (size_t i = 0; i < w->n; i++)
		if (!w->streams[i].transfer)
			due = MIN(due, w->streams[i].due_ns);
	w->timer.due_ns = due;
}

static const struct reflector_ops reflector_calls = { on_put, on_gone, on_synced, on_condition };

static int add_stream(struct k8s_watch *w, const struct k8s_resource *what)
{
	struct stream *s = &w->streams[w->n];
	size_t n = what->field_selector ? strlen(what->field_selector) : 0;
	struct reflector_opts opts = {
		.kind = what->kind, .field_selector = s->selector, .ops = &reflector_calls, .ctx = s
	};
	int r;

	if (n >= sizeof(s->selector) || what->kind < K8S_POD || what->kind >= _K8S_KIND_MAX)
		return -EINVAL;
	memcpy(s->selector, n ? what->field_selector : "", n);
	s->watch = w;
	s->kind = what->kind;
	r = reflector_new(&opts, &s->reflector);
	if (r < 0)
		return r;
	w->n++;
	plan(s);
	if (w->opts.start_within_ns)
		s->due_ns += random_of(w) % MAX(w->opts.start_within_ns / NSEC_PER_MSEC, 1u) *
			     NSEC_PER_MSEC;
	return 0;
}

int k8s_watch_new(const struct k8s_watch_opts *opts, struct k8s_watch **ret)
{
	_cleanup_(k8s_watch_freep) struct k8s_watch *w = NULL;
	int r;

	if (opts->n_resources > K8S_RESOURCES_MAX)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->opts = *opts;
	w->timer = (struct client_timer){ .due_ns = 0, .fn = on_time, .ctx = w };
	hash_key_random(&w->random);
	client_timer_add(opts->client, &w->timer);
	for (size_t i = 0; i < opts->n_resources; i++) {
		r = add_stream(w, &opts->resources[i]);
		if (r < 0)
			return r;
	}
	w->opts.resources = NULL;
	*ret = TAKE_PTR(w);
	return 0;
}

void k8s_watch_free(struct k8s_watch *w)
{
	client_timer_del(w->opts.client, &w->timer);
	for (size_t i = 0; i < w->n; i++) {
		if (w->streams[i].transfer)
			client_stop(w->streams[i].transfer);
		reflector_free(w->streams[i].reflector);
	}
	free(w);
}

void k8s_watch_stats(const struct k8s_watch *w, struct k8s_watch_stats *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < w->n; i++) {
		const struct reflector_counts *c = &w->streams[i].reflector->counts;

		ret->requests += c->requests;
		ret->lists += c->lists;
		ret->bytes += c->bytes;
		ret->events += c->events;
		ret->puts += c->puts;
		ret->gones += c->gones;
		ret->stale += c->stale;
		ret->synced += c->synced;
		ret->failed += c->failed;
		ret->bad += c->bad;
		ret->nameless += c->nameless;
		ret->known += w->streams[i].reflector->known.len;
	}
}

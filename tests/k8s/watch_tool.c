/* kelpie-watch-tool: the list and watch client at a command line, for tests. One line on stdout for each
 * thing that is told:
 *
 *	put OBJECT (tests/k8s/show.h)	gone KIND UID	synced KIND	condition KIND TEXT|well
 *	answer STATUS BODY (of --post)	stats NAME=N …  (at the end of stdin, then it ends)
 *
 *	kelpie-watch-tool --server URL [--ca FILE] [--token FILE] [--cert FILE --key FILE] [--silent SECONDS]
 *		[--post PATH JSON] KIND[,FIELD SELECTOR] ...
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "k8s/watch.h"
#include "tests/k8s/show.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

static struct strbuf line = STRBUF_INIT(MIB);

static void on_object(void *ctx, enum k8s_event event, const struct k8s_object *o,
		      uint64_t at_unix_ns)
{
	(void)ctx;
	(void)at_unix_ns;
	if (event == K8S_GONE) {
		printf("gone %s %.*s\n", show_kind(o->kind), (int)o->meta.uid.n,
		       (const char *)o->meta.uid.p);
		return;
	}
	strbuf_reset(&line);
	show_object(&line, o);
	printf("put %s\n", strbuf_str(&line));
}

static void on_synced(void *ctx, enum k8s_kind kind)
{
	(void)ctx;
	printf("synced %s\n", show_kind(kind));
}

static void on_condition(void *ctx, enum k8s_kind kind, const char *text)
{
	(void)ctx;
	printf("condition %s %s\n", show_kind(kind), text ? text : "well");
}

static void on_answer(void *ctx, int status, struct slice body)
{
	(void)ctx;
	body = slice_trim(body);
	printf("answer %d %.*s\n", status, (int)body.n, (const char *)body.p);
}

struct options {
	struct k8s_config config;
	const char *path, *json;
	struct k8s_resource resources[K8S_RESOURCES_MAX];
	size_t n;
};

static bool copy(char *to, size_t cap, const char *from)
{
	return from && snprintf(to, cap, "%s", from) < (int)cap;
}

static bool option(struct options *o, const char *name, const char *value)
{
	struct k8s_config *c = &o->config;
	uint64_t seconds;

	if (strcmp(name, "--server") == 0)
		return copy(c->server, sizeof(c->server), value);
	if (strcmp(name, "--ca") == 0)
		return copy(c->ca_file, sizeof(c->ca_file), value);
	if (strcmp(name, "--token") == 0)
		return copy(c->token_file, sizeof(c->token_file), value);
	if (strcmp(name, "--cert") == 0)
		return copy(c->cert_file, sizeof(c->cert_file), value);
	if (strcmp(name, "--key") == 0)
		return copy(c->key_file, sizeof(c->key_file), value);
	if (strcmp(name, "--silent") == 0 && value && parse_u64(slice_str(value), &seconds) == 0) {
		c->silent_ns = seconds * NSEC_PER_SEC;
		return true;
	}
	return false;
}

static bool resource(struct options *o, char *word)
{
	char *comma = strchr(word, ',');

	if (comma)
		*comma++ = '\0';
	if (o->n == K8S_RESOURCES_MAX)
		return false;
	o->resources[o->n].kind = show_kind_named(slice_str(word));
	o->resources[o->n].field_selector = comma;
	return o->resources[o->n++].kind != 0;
}

static bool options(struct options *o, char **argv)
{
	for (; *argv; argv++) {
		if (strcmp(*argv, "--post") == 0 && argv[1] && argv[2]) {
			o->path = argv[1];
			o->json = argv[2];
			argv += 2;
		} else if (strncmp(*argv, "--", 2) == 0) {
			if (!option(o, argv[0], argv[1]))
				return false;
			argv++;
		} else if (!resource(o, *argv)) {
			return false;
		}
	}
	return o->config.server[0] != '\0';
}

static void print_stats(const struct k8s_watch *w)
{
	struct k8s_watch_stats s;

	k8s_watch_stats(w, &s);
	printf("stats requests=%llu lists=%llu events=%llu puts=%llu gones=%llu stale=%llu "
	       "synced=%llu "
	       "failed=%llu bad=%llu nameless=%llu known=%llu\n",
	       (unsigned long long)s.requests, (unsigned long long)s.lists,
	       (unsigned long long)s.events, (unsigned long long)s.puts,
	       (unsigned long long)s.gones, (unsigned long long)s.stale,
	       (unsigned long long)s.synced, (unsigned long long)s.failed,
	       (unsigned long long)s.bad, (unsigned long long)s.nameless,
	       (unsigned long long)s.known);
}

/* Until stdin ends. */
static void loop(struct k8s_client *c)
{
	struct pollfd fds[2] = { { .fd = k8s_client_fd(c), .events = POLLIN },
				 { .fd = STDIN_FILENO, .events = POLLIN } };

	while (poll(fds, 2, k8s_client_timeout_ms(c)) >= 0 || errno == EINTR) {
		k8s_client_turn(c);
		if (fds[1].revents)
			break;
	}
}

int main(int argc, char **argv)
{
	static const struct k8s_watch_ops ops = { on_object, on_synced, on_condition };
	_cleanup_(k8s_client_freep) struct k8s_client *c = NULL;
	_cleanup_(k8s_watch_freep) struct k8s_watch *w = NULL;
	struct options o = { 0 };
	struct k8s_watch_opts opts = { .resources = o.resources, .ops = &ops };

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup("kelpie-watch-tool", LOG_WARN, LOG_FORMAT_LOGFMT);
	if (!options(&o, argv + 1) || k8s_client_new(&o.config, &c) < 0) {
		fprintf(stderr, "usage: see tests/k8s/watch_tool.c\n");
		return 2;
	}
	opts.client = c;
	opts.n_resources = o.n;
	if (k8s_watch_new(&opts, &w) < 0)
		return 1;
	if (o.path && k8s_client_post(c, o.path, slice_str(o.json), on_answer, NULL) < 0)
		return 1;
	loop(c);
	print_stats(w);
	strbuf_done(&line);
	return 0;
}

#include "collector/watcher.h"

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/run_as.h"
#include "collector/complain.h"
#include "collector/guard.h"
#include "k8s/cluster.h"
#include "k8s/watch.h"
#include "proto/frame.h"

#include <errno.h>
#include <kelpie.pb-c.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define TELL_MAX  512		     /* entities of one message */
#define STATE_NS  (5 * NSEC_PER_SEC) /* the state is told at least so often */
#define TURN_MS	  1000
#define RESOURCES 5

static const struct k8s_resource resources[RESOURCES] = {
	{ .kind = K8S_POD },  { .kind = K8S_SERVICE }, { .kind = K8S_ENDPOINT_SLICE },
	{ .kind = K8S_NODE }, { .kind = K8S_JOB },
};

struct lookout {
	int fd; /* to the hub */
	bool over;
	struct k8s_cluster *cluster;
	struct frame_writer out;
	struct frame_reader in;
	bool synced[_K8S_KIND_MAX], told_all;
	char conditions[_K8S_KIND_MAX][256];
	uint64_t state_due_ns;
	/* What is told next. */
	Kelpie__Names names;
	Kelpie__Entity entities[TELL_MAX], *list[TELL_MAX];
	char *texts[TELL_MAX];
	uint8_t addrs[TELL_MAX][16];
};

/* ---- telling ---- */

/* Waits for the hub: what it has not taken is not made. */
static void push(struct lookout *l, const Kelpie__ClusterNews *news)
{
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };
	int r = frame_writer_push_message(&l->out, &news->base);

	while (r >= 0 && (r = frame_writer_flush(&l->out, l->fd)) == 1)
		(void)poll(&p, 1, -1);
	l->over |= r < 0;
}

static void flush_names(struct lookout *l)
{
	Kelpie__ClusterNews news = KELPIE__CLUSTER_NEWS__INIT;

	if (!l->told_all || (!l->names.n_entities && !l->names.first && !l->names.last))
		return;
	news.names = &l->names;
	push(l, &news);
	for (size_t i = 0; i < l->names.n_entities; i++)
		free(l->texts[i]);
	l->names.n_entities = 0;
	l->names.first = l->names.last = false;
}

/* One memory for all texts of an entity. */
static char *add_text(char **at, struct slice text)
{
	char *to = *at;

	memcpy(to, text.p ? text.p : (const uint8_t *)"", text.n);
	to[text.n] = 0;
	*at += text.n + 1;
	return to;
}

static void on_entity(void *ctx, const struct k8s_entity *e)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct lookout *l = ctx;
	size_t at = l->names.n_entities;
	Kelpie__Entity *to = &l->entities[at];
	bool v4 = memcmp(e->addr, mapped, sizeof(mapped)) == 0;
	size_t n = e->uid.n + e->ns.n + e->name.n + e->workload_kind.n + e->workload.n +
		   e->service.n + e->node.n;
	char *text = malloc(n + 7);

	if (!l->told_all || !text) {
		l->over |= !text; /* a change that is not told would stay untold */
		free(text);
		return;
	}
	kelpie__entity__init(to);
	l->texts[at] = text;
	memcpy(l->addrs[at], e->addr, 16);
	to->kind = (Kelpie__EntityKind)e->kind;
	to->addr.data = l->addrs[at] + (v4 ? sizeof(mapped) : 0);
	to->addr.len = e->kind == K8S_ENTITY_NODEPORT ? 0 : v4 ? 4 : 16;
	to->port = e->port;
	to->proto = e->proto;
	to->uid = add_text(&text, e->uid);
	to->ns = add_text(&text, e->ns);
	to->name = add_text(&text, e->name);
	to->workload_kind = add_text(&text, e->workload_kind);
	to->workload = add_text(&text, e->workload);
	to->service = add_text(&text, e->service);
	to->node = add_text(&text, e->node);
	to->from_ns = e->from_ns;
	to->to_ns = e->to_ns;
	to->covered = e->covered;
	l->names.n_entities++;
	if (l->names.n_entities == TELL_MAX)
		flush_names(l);
}

/* Once everything is known: a set that is not whole would end what is missing in it. */
static void tell_all(struct lookout *l)
{
	l->told_all = true;
	l->names.first = true;
	k8s_cluster_each(l->cluster, on_entity, l);
	l->names.last = true;
	flush_names(l);
}

static bool all_synced(const struct lookout *l)
{
	for (size_t i = 0; i < RESOURCES; i++)
		if (!l->synced[resources[i].kind])
			return false;
	return true;
}

static void tell_state(struct lookout *l)
{
	Kelpie__ClusterNews news = KELPIE__CLUSTER_NEWS__INIT;
	Kelpie__ClusterState state = KELPIE__CLUSTER_STATE__INIT;
	struct k8s_cluster_counts n = k8s_cluster_count(l->cluster);

	l->state_due_ns = clock_mono_ns() + STATE_NS;
	state.synced = l->told_all;
	for (size_t i = 0; i < RESOURCES && !state.condition[0]; i++)
		state.condition = l->conditions[resources[i].kind];
	state.pods = n.pods;
	state.services = n.services;
	state.nodes = n.nodes;
	state.entities = n.entities;
	state.refused = n.refused;
	state.covered = n.covered;
	news.state = &state;
	push(l, &news);
}

/* ---- hearing ---- */

static void on_object(void *ctx, enum k8s_event event, const struct k8s_object *o,
		      uint64_t at_unix_ns)
{
	struct lookout *l = ctx;

	if (event == K8S_GONE)
		k8s_cluster_gone(l->cluster, o->meta.uid, at_unix_ns);
	else
		(void)k8s_cluster_put(l->cluster, o, at_unix_ns); /* refusals are counted there */
}

static void on_synced(void *ctx, enum k8s_kind kind)
{
	struct lookout *l = ctx;

	l->synced[kind] = true;
	l->state_due_ns = 0;
	if (!l->told_all && all_synced(l))
		tell_all(l);
}

static void on_condition(void *ctx, enum k8s_kind kind, const char *text)
{
	struct lookout *l = ctx;

	snprintf(l->conditions[kind], sizeof(l->conditions[kind]), "%s", text ? text : "");
	l->state_due_ns = 0;
}

static void take_covered(struct lookout *l, struct slice bytes)
{
	struct ProtobufCMessage *base = NULL;
	const Kelpie__CoveredNodes *m;
	struct slice *nodes;

	if (frame_message_parse(&kelpie__covered_nodes__descriptor, bytes, &base) < 0)
		return;
	m = (const Kelpie__CoveredNodes *)base;
	nodes = calloc(m->n_nodes + 1, sizeof(*nodes));
	for (size_t i = 0; nodes && i < m->n_nodes; i++)
		nodes[i] = slice_str(m->nodes[i]);
	if (nodes)
		k8s_cluster_cover(l->cluster, nodes, m->n_nodes);
	l->state_due_ns = 0;
	free(nodes);
	frame_message_free(base);
}

/* What the hub says. It has ended when there is nothing more to come. */
static void hear(struct lookout *l)
{
	ssize_t n = frame_reader_fill(&l->in, l->fd);
	struct slice bytes;
	int more = 0;

	if (n == -EAGAIN)
		return;
	while (n > 0 && (more = frame_reader_next(&l->in, &bytes)) == 1)
		take_covered(l, bytes);
	l->over |= n <= 0 || more < 0;
}

static void turn(struct lookout *l, struct k8s_client *client)
{
	struct pollfd fds[] = { { .fd = k8s_client_fd(client), .events = POLLIN },
				{ .fd = l->fd, .events = POLLIN } };
	int wait = k8s_client_timeout_ms(client);

	(void)poll(fds, ARRAY_SIZE(fds), wait < 0 ? TURN_MS : MIN(wait, TURN_MS));
	if (fds[1].revents)
		hear(l);
	k8s_client_turn(client);
	flush_names(l);
	if (clock_mono_ns() >= l->state_due_ns)
		tell_state(l);
}

/* The files are read anew now and then: their folders, since Kubernetes changes a link in them. */
static int confine(const struct k8s_config *cfg)
{
	char dirs[4][K8S_PATH_MAX];
	const char *files[] = { cfg->token_file, cfg->ca_file, cfg->cert_file, cfg->key_file };
	struct guard_paths paths = { .internet = true };
	struct run_as_ids ids;
	bool landlock;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(dirs[i], sizeof(dirs[i]), "%s", files[i]);
		paths.read[i] = files[i][0] ? dirname(dirs[i]) : NULL;
	}
	run_as_find(RUN_AS_WATCHER, &ids);
	err = geteuid() == 0 ? guard_become(&ids) : 0;
	return err < 0 ? err : guard_enter(&paths, &landlock);
}

static int watcher_main(const struct k8s_config *cfg, int fd)
{
	static const struct k8s_watch_ops ops = { on_object, on_synced, on_condition };
	static struct lookout l;
	_cleanup_(k8s_client_freep) struct k8s_client *client = NULL;
	_cleanup_(k8s_watch_freep) struct k8s_watch *watch = NULL;
	const struct k8s_watch_opts opts = {
		.resources = resources, .n_resources = RESOURCES, .ops = &ops, .ctx = &l
	};
	struct k8s_watch_opts with = opts;
	sigset_t none;
	int err;

	fds_close_but((const int[]){ fd, -1 });
	prctl(PR_SET_NAME, "kelpie-cluster");
	log_setup("collector-cluster", LOG_INFO, LOG_FORMAT_LOGFMT);
	/* It ends with the collector, whatever else the signal was sent to. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	l.fd = fd;
	kelpie__names__init(&l.names);
	l.names.entities = l.list;
	for (size_t i = 0; i < TELL_MAX; i++)
		l.list[i] = &l.entities[i];
	frame_writer_init(&l.out, FRAME_WRITE_MAX_BYTES);
	frame_reader_init(&l.in, FRAME_MAX_BYTES);
	/* libcurl and OpenSSL read what they want of /etc and /usr while they start. */
	err = k8s_client_new(cfg, &client);
	if (err == 0)
		err = confine(cfg);
	if (err == 0)
		err = k8s_cluster_new(on_entity, &l, &l.cluster);
	with.client = client;
	if (err == 0)
		err = k8s_watch_new(&with, &watch);
	if (err < 0)
		log_error("cannot watch the cluster: %s", strerrordesc_np(-err));
	while (err == 0 && !l.over)
		turn(&l, client);
	return err;
}

int watcher_config(const struct config *cfg, struct k8s_config *ret)
{
	int err;

	*ret = (struct k8s_config){ 0 };
	if (cfg->kubernetes.enabled == CONFIG_OFF)
		return 0;
	err = k8s_config_in_cluster(ret);
	if (err < 0 && cfg->kubernetes.enabled == CONFIG_AUTO)
		return 0;
	/* Another API server than the cluster's has other files, or none: the pod's token is not for it. */
	if (cfg->kubernetes.server[0]) {
		*ret = (struct k8s_config){ 0 };
		snprintf(ret->server, sizeof(ret->server), "%s", cfg->kubernetes.server);
	}
	if (cfg->kubernetes.ca_file[0])
		snprintf(ret->ca_file, sizeof(ret->ca_file), "%s", cfg->kubernetes.ca_file);
	if (cfg->kubernetes.token_file[0])
		snprintf(ret->token_file, sizeof(ret->token_file), "%s",
			 cfg->kubernetes.token_file);
	if (ret->server[0])
		return 1;
	return complain("kubernetes.enabled",
			"is true, but this is no pod and kubernetes.server says "
			"no API server");
}

int watcher_open(const struct k8s_config *cfg, struct watcher *ret)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return complain("cannot watch the cluster", strerrordesc_np(errno));
	fflush(NULL);
	ret->pid = fork();
	if (ret->pid < 0)
		return complain("cannot watch the cluster", strerrordesc_np(errno));
	if (ret->pid == 0)
		_exit(watcher_main(cfg, pair[1]) < 0);
	close(pair[1]);
	ret->fd = pair[0];
	return 0;
}

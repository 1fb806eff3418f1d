#include "agent/shipper_names.h"

#include "base/clock.h"
#include "base/log.h"
#include "k8s/client.h"
#include "k8s/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define LEND_NS                                                                                    \
	(30 * NSEC_PER_SEC) /* between two looks at the lent files; the client looks each 60 s */
#define LENT_MAX      (256 * KIB)	 /* bytes of one */
#define FIRST_LIST_NS (2 * NSEC_PER_SEC) /* so many agents of a cluster may start at once */

/* A copy of a file that we may not open, as one that the client can: it changes, and is read again. */
struct lent {
	int fd; /* a memory file; -1: not wanted */
	char path[32];
};

struct names {
	struct names_opts o;
	struct k8s_client *client;
	struct k8s_watch *watch;
	struct lent files[_FILE_MAX];
	uint64_t lent_ns;
	char selector[K8S_SELECTOR_MAX];
	char why[160];
	bool synced;
};

/* ---- files ---- */

static int lend_open(struct lent *l)
{
	l->fd = memfd_create("kelpie-lent", MFD_CLOEXEC);
	if (l->fd < 0)
		return -errno;
	snprintf(l->path, sizeof(l->path), "/proc/self/fd/%d", l->fd);
	return 0;
}

/* What cannot be borrowed now stays as it was. */
static void lend(struct names *n, enum agent_file file)
{
	struct lent *l = &n->files[file];
	_cleanup_(closep) int from = -1;
	char buf[4096];
	off_t at = 0;
	ssize_t got;

	if (l->fd < 0)
		return;
	from = n->o.borrow(n->o.ctx, file);
	if (from < 0 || ftruncate(l->fd, 0) < 0)
		return;
	while (at < (off_t)LENT_MAX && (got = read(from, buf, sizeof(buf))) > 0) {
		if (pwrite(l->fd, buf, (size_t)got, at) != got)
			break;
		at += got;
	}
}

static void lend_all(struct names *n)
{
	n->lent_ns = clock_mono_ns();
	lend(n, FILE_KUBERNETES_TOKEN);
	lend(n, FILE_KUBERNETES_CA);
}

/* ---- what the watch says ---- */

static void tell(struct names *n, const void *m, size_t len)
{
	/* The attacher reads all the time; without it there is nobody to tell. */
	if (send(n->o.attacher_fd, m, len, MSG_NOSIGNAL) < 0)
		log_debug("kubernetes: the attacher does not hear: %s", strerror(errno));
}

static void tell_state(struct names *n)
{
	struct agent_msg m = { .type = MSG_KUBERNETES, .number = n->synced };

	snprintf(m.text, sizeof(m.text), "%s", n->why);
	tell(n, &m, sizeof(m));
}

static void on_object(void *ctx, enum k8s_event event, const struct k8s_object *o,
		      uint64_t at_unix_ns)
{
	static struct agent_pod_msg m;
	struct names *n = ctx;

	memset(&m, 0, sizeof(m));
	m.type = MSG_POD;
	m.over = event == K8S_GONE;
	if (m.over ? !k8s_uid_parse(o->meta.uid, &m.pod.uid)
		   : !k8s_identity_of(o, (int64_t)at_unix_ns, &m.pod))
		return;
	tell(n, &m, sizeof(m));
}

static void on_synced(void *ctx, enum k8s_kind kind)
{
	struct names *n = ctx;
	struct agent_msg m = { .type = MSG_PODS_END };

	(void)kind;
	if (n->synced)
		return; /* what went since is told one by one */
	n->synced = true;
	tell(n, &m, sizeof(m));
	tell_state(n);
	log_info("kubernetes: the pods of node %s are known", n->o.cfg->node);
}

static void on_condition(void *ctx, enum k8s_kind kind, const char *text)
{
	struct names *n = ctx;

	(void)kind;
	snprintf(n->why, sizeof(n->why), "%s", text ? text : "");
	tell_state(n);
	if (text)
		log_warn("kubernetes: %s", text);
}

/* ---- life ---- */

static int server(const struct names *n, struct k8s_config *ret)
{
	const char *url = n->o.cfg->kubernetes.server;

	if (!url[0])
		return k8s_config_in_cluster(ret);
	*ret = (struct k8s_config){ 0 };
	snprintf(ret->server, sizeof(ret->server), "%s", url);
	return 0;
}

/* A pod's files are lent; of another server's, those that are named. */
static int lent_files(struct names *n, struct k8s_config *k)
{
	const struct config *cfg = n->o.cfg;
	const bool pod = !cfg->kubernetes.server[0];
	int r = 0;

	if (pod || cfg->kubernetes.token_file[0])
		r = lend_open(&n->files[FILE_KUBERNETES_TOKEN]);
	if (r == 0 && (pod || cfg->kubernetes.ca_file[0]))
		r = lend_open(&n->files[FILE_KUBERNETES_CA]);
	memcpy(k->token_file, n->files[FILE_KUBERNETES_TOKEN].path, sizeof(n->files[0].path));
	memcpy(k->ca_file, n->files[FILE_KUBERNETES_CA].path, sizeof(n->files[0].path));
	return r;
}

int names_start(struct names *n)
{
	static const struct k8s_watch_ops ops = { on_object, on_synced, on_condition };
	const struct k8s_resource pods = { K8S_POD, n->selector };
	const struct k8s_watch_opts o = { .client = n->client,
					  .resources = &pods,
					  .n_resources = 1,
					  .ops = &ops,
					  .ctx = n,
					  .start_within_ns = FIRST_LIST_NS };
	struct agent_msg m = { .type = MSG_PODS_BEGIN };

	lend_all(n);
	snprintf(n->selector, sizeof(n->selector), "spec.nodeName=%s", n->o.cfg->node);
	tell(n, &m, sizeof(m));
	return k8s_watch_new(&o, &n->watch);
}

int names_new(const struct names_opts *o, struct names **ret, char *why, size_t cap)
{
	_cleanup_(names_freep) struct names *n = calloc(1, sizeof(*n));
	struct k8s_config k;
	int r = n ? 0 : -ENOMEM;

	if (r == 0) {
		n->o = *o;
		for (size_t i = 0; i < _FILE_MAX; i++)
			n->files[i].fd = -1;
		r = server(n, &k);
	}
	if (r == -ENOENT) {
		snprintf(why, cap,
			 "kubernetes.enabled: this is no pod; kubernetes.server names an "
			 "API server elsewhere");
		return r;
	}
	if (r == 0)
		r = lent_files(n, &k);
	if (r == 0)
		r = k8s_client_new(&k, &n->client);
	if (r < 0) {
		snprintf(why, cap, "kubernetes: %s", strerror(-r));
		return r;
	}
	*ret = TAKE_PTR(n);
	return 0;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	if (n->watch)
		k8s_watch_free(n->watch);
	if (n->client)
		k8s_client_free(n->client);
	for (size_t i = 0; i < _FILE_MAX; i++)
		closep(&n->files[i].fd);
	free(n);
}

int names_fd(const struct names *n)
{
	return k8s_client_fd(n->client);
}

int names_timeout_ms(const struct names *n)
{
	return k8s_client_timeout_ms(n->client);
}

void names_turn(struct names *n)
{
	if (clock_mono_ns() - n->lent_ns >= LEND_NS)
		lend_all(n);
	k8s_client_turn(n->client);
}

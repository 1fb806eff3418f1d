/* What addresses stand for: from the process that watches the API server to the agents that ask. */
#include "collector/hub_int.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

#define NAMES_UNSENT (256 * KIB)	/* queued for one agent before it has taken some */
#define SETTLE_NS    (6 * NSEC_PER_SEC) /* agents call again after 5 s at most (agent/uplink.c) */

static void say_gone(struct hub *h, const char *why)
{
	log_error("no names of the cluster any more: %s", why);
	closep(&h->cfg.news_fd);
	h->cfg.news_fd = -1;
	frame_reader_done(&h->news);
	h->cluster.synced = false;
	snprintf(h->cluster.condition, sizeof(h->cluster.condition), "%s", why);
}

static void take_state(struct hub *h, const Kelpie__ClusterState *s)
{
	struct hub_cluster *c = &h->cluster;

	if (strcmp(c->condition, s->condition) != 0 && s->condition[0])
		log_warn("watching the cluster: %s", s->condition);
	if (!c->synced && s->synced)
		log_info("cluster known: pods=%llu services=%llu nodes=%llu",
			 (unsigned long long)s->pods, (unsigned long long)s->services,
			 (unsigned long long)s->nodes);
	c->synced = s->synced;
	snprintf(c->condition, sizeof(c->condition), "%s", s->condition);
	c->pods = s->pods;
	c->services = s->services;
	c->nodes = s->nodes;
	c->entities = s->entities;
	c->refused = s->refused;
	h->covered = s->covered;
}

/* After a restart agents keep the names that they have until it is known again which nodes have an agent:
 * names that do not know of a node would make both rows of each exchange with it primary. */
static bool may_have_names(struct hub *h)
{
	if (!h->settled)
		h->settled = (h->cluster.synced && h->covered >= h->cluster.nodes) ||
			     clock_mono_ns() - h->opened_ns >= SETTLE_NS;
	return h->settled;
}

static int take_news(struct hub *h, struct slice bytes)
{
	struct ProtobufCMessage *base = NULL;
	const Kelpie__ClusterNews *news;
	int err = frame_message_parse(&kelpie__cluster_news__descriptor, bytes, &base);

	if (err < 0)
		return err;
	news = (const Kelpie__ClusterNews *)base;
	if (news->names)
		err = names_take(h->names, news->names);
	if (news->state)
		take_state(h, news->state);
	frame_message_free(base);
	return err;
}

void hub_on_news(struct hub *h)
{
	ssize_t n = frame_reader_fill(&h->news, h->cfg.news_fd);
	struct slice bytes;
	int more = 1, err = 0;

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		say_gone(h, "the process that watches the API server has ended");
		return;
	}
	while (err == 0 && (more = frame_reader_next(&h->news, &bytes)) == 1)
		err = take_news(h, bytes);
	if (more < 0 || err < 0)
		say_gone(h, strerrordesc_np(more < 0 ? -more : -err));
}

static void queue_covered(struct hub *h)
{
	Kelpie__CoveredNodes m = KELPIE__COVERED_NODES__INIT;
	char *nodes[HUB_AGENTS_MAX];

	m.nodes = nodes;
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++)
		if (h->nodes[i].used && h->nodes[i].agent && !hub_paused(&h->nodes[i]))
			nodes[m.n_nodes++] = h->nodes[i].name;
	h->covered_told = frame_writer_push_message(&h->to_watcher, &m.base) == 0;
}

void hub_tell_covered(struct hub *h)
{
	if (h->cfg.news_fd < 0)
		return;
	if (!h->covered_told)
		queue_covered(h);
	if (frame_writer_flush(&h->to_watcher, h->cfg.news_fd) < 0)
		say_gone(h, "the process that watches the API server takes nothing any more");
}

void hub_on_names_wanted(struct hub *h, struct agent *a, const Kelpie__NamesWanted *w)
{
	if (h->names)
		names_want(h->names, &a->names, w->version);
}

bool hub_push_names(struct hub *h, struct agent *a)
{
	bool pushed = false;
	struct slice bytes;

	if (!h->names || !may_have_names(h))
		return false;
	while (!a->dead && frame_writer_queued(&a->out) < NAMES_UNSENT &&
	       names_next(h->names, &a->names, &bytes) == 1) {
		if (frame_writer_push(&a->out, bytes) < 0) {
			hub_kill(a); /* a change that it missed would stay missed */
			break;
		}
		pushed = true;
	}
	return pushed;
}

void hub_names_agent_gone(struct hub *h, struct agent *a)
{
	if (h->names)
		names_leave(h->names, &a->names);
}

bool hub_cluster(struct hub *h, struct hub_cluster *ret)
{
	pthread_mutex_lock(&h->lock);
	*ret = h->cluster;
	pthread_mutex_unlock(&h->lock);
	return h->names != NULL;
}

int hub_names_open(struct hub *h)
{
	if (h->cfg.news_fd < 0)
		return 0;
	h->opened_ns = clock_mono_ns();
	frame_reader_init(&h->news, FRAME_MAX_BYTES);
	frame_writer_init(&h->to_watcher, FRAME_WRITE_MAX_BYTES);
	return names_new(clock_unix_ns(), &h->names);
}

void hub_names_close(struct hub *h)
{
	closep(&h->cfg.news_fd);
	frame_reader_done(&h->news);
	frame_writer_done(&h->to_watcher);
	if (h->names)
		names_free(h->names);
}

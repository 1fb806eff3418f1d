/* What hub.c (streams), hub_scan.c, hub_tail.c, hub_status.c and hub_names.c share. One lock covers everything;
 * it is held while a message is handled, so handlers only move data.
 */
#ifndef COLLECTOR_HUB_INT_H
#define COLLECTOR_HUB_INT_H

#include "collector/hub.h"

#include "base/hashmap.h"
#include "base/losses.h"
#include "collector/names.h"
#include "proto/frame.h"

#include <pthread.h>

#define HUB_PROTO_VERSION 1
#define HUB_PARTS_MAX	  4096 /* scan parts that run at once */
/* Batches of one part that wait: what the window allows, and the one that overdraws it. */
#define HUB_QUEUE_BUFS	 (HUB_WINDOW_BYTES / BATCH_COST_BYTES + 2)
#define HUB_LOSS_STEPS	 64 /* remembered growths of an agent's losses */
#define HUB_CONTROLS_MAX 4

/* Losses grew by so much between two looks. */
struct loss_step {
	uint64_t from_ns, to_ns;
	struct losses grown;
};

/* A node that was heard of; agent is NULL while it is away. */
struct node {
	bool used;
	char name[HUB_NODE_MAX];
	char version[64];
	uint64_t epoch, seen_mono_ns, seen_unix_ns;
	pid_t pid;
	struct agent *agent;
	Kelpie__AgentMessage *status; /* owns the latest status, or NULL */
	uint64_t status_mono_ns, status_unix_ns;
	struct losses losses; /* totals of this epoch, as last seen */
	struct loss_step steps[HUB_LOSS_STEPS];
	size_t n_steps;
};

struct agent {
	struct agent *next;
	int fd;
	bool dead, want_write;
	pid_t pid;
	struct frame_reader in;
	struct frame_writer out;
	struct node *node; /* NULL before hello */
	uint64_t since_ns, ping_ns, status_asked_ns;
	uint64_t whole_ns; /* when its last message had come to its end */
	struct names_cursor names;
};

struct hub_part {
	struct hub_scan *scan;
	uint64_t id;
	struct node *node;
	struct agent *agent; /* while running */
	struct hub_part_info info;
	struct hub_buf bufs[HUB_QUEUE_BUFS]; /* ring */
	size_t first, n_bufs;
	size_t queued_bytes;
};

struct hub_scan {
	struct hub *hub;
	pthread_cond_t cond;
	size_t n_parts;
	struct hub_part parts[];
};

struct hub_tail {
	struct hub *hub;
	struct hub_tail *next;
	uint64_t id;
	Kelpie__CollectorMessage *msg; /* owns start */
	struct hub_tail_ops ops;
	void *ctx;
};

struct hub_call {
	bool used;
	uint64_t id;
	struct hub_control_result *results;
	struct agent *agents[HUB_AGENTS_MAX]; /* NULL: answered or gone */
	size_t n, waiting;
};

struct hub {
	struct hub_config cfg;
	uid_t own_uid;
	pthread_t thread;
	bool started;
	int epoll_fd, wake_fd;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a status or control answer came, or an agent went */
	atomic_bool wake_sent;
	bool stop;
	struct agent *agents;
	size_t n_agents, input_bytes;
	struct node nodes[HUB_AGENTS_MAX];
	uint64_t next_id;
	struct hashmap parts; /* id -> struct hub_part */
	struct hub_tail *tails;
	size_t n_tails;
	struct hub_call calls[HUB_CONTROLS_MAX];
	struct names *names; /* NULL: no Kubernetes */
	struct frame_reader news;
	struct frame_writer to_watcher;
	bool covered_told; /* which nodes have an agent */
	uint64_t covered;  /* of them the watcher knows */
	bool settled;	   /* so many that agents may have names */
	uint64_t opened_ns;
	struct hub_cluster cluster;
};

/* All with the lock. */
int hub_send(struct hub *h, struct agent *a, const Kelpie__CollectorMessage *m);
void hub_wake(struct hub *h);
bool hub_responds(const struct agent *a, uint64_t now_ns);
void hub_kill(struct agent *a); /* closes it at the end of the turn */

int hub_on_batch(struct hub *h, struct agent *a, Kelpie__Batch *b);
void hub_on_scan_done(struct hub *h, struct agent *a, const Kelpie__ScanDone *d);
void hub_scans_agent_gone(struct hub *h, struct agent *a);

void hub_tails_agent_new(struct hub *h, struct agent *a);
void hub_on_tail_rows(struct hub *h, struct agent *a, const Kelpie__TailRows *r);
void hub_on_tail_done(struct hub *h, struct agent *a, const Kelpie__TailDone *d);

/* Whether its agent says that it captures nothing now. */
bool hub_paused(const struct node *n);
/* Takes the message over when it returns 0; -EDQUOT: too many lines. */
int hub_on_status(struct hub *h, struct agent *a, Kelpie__AgentMessage *m);
void hub_ask_status(struct hub *h, struct agent *a, uint64_t now_ns);
void hub_on_control_done(struct hub *h, struct agent *a, const Kelpie__ControlDone *d);
void hub_calls_agent_gone(struct hub *h, struct agent *a);

int hub_names_open(struct hub *h);
void hub_names_close(struct hub *h);
void hub_on_news(struct hub *h);
/* Which nodes have an agent, where that has changed since it was told. */
void hub_tell_covered(struct hub *h);
void hub_on_names_wanted(struct hub *h, struct agent *a, const Kelpie__NamesWanted *w);
/* Queues what it lacks, as far as it takes it; whether there was something. */
bool hub_push_names(struct hub *h, struct agent *a);
void hub_names_agent_gone(struct hub *h, struct agent *a);

#endif

/* The agents: accepts their streams, asks them, hands on what they answer. One thread reads and
 * writes all streams; any thread may ask. Agents are less trusted than the collector: each message
 * is checked, each queue is bounded, one that breaks a bound loses its stream.
 *
 * A node stays known for HUB_FORGET_NS after its stream ended, so that an answer can say that it is
 * missing.
 */
#ifndef COLLECTOR_HUB_H
#define COLLECTOR_HUB_H

#include "base/strbuf.h"
#include "storage/scan.h"

#include <kelpie.pb-c.h>
#include <stdatomic.h>
#include <sys/types.h>

#define HUB_AGENTS_MAX	 256
#define HUB_UIDS_MAX	 8
#define HUB_NODE_MAX	 254	   /* bytes of a node's name with NUL */
#define HUB_WINDOW_BYTES (2 * MIB) /* of one scan on one node, on its way or unread */
#define HUB_TAILS_MAX	 16
#define HUB_STATUS_LINES 2048	     /* fields, or ledger lines, of a status; compared in pairs */
#define HUB_STATUS_BYTES (512 * KIB) /* of one status: the last one of each node is kept */
#define HUB_HELLO_BYTES	 (64 * KIB)  /* of a hello */
#define HUB_INPUT_BYTES	 (64 * MIB)  /* of messages of all agents that have not come to their end */
#define HUB_INPUT_FREE	 (256 * KIB) /* of one agent: not counted as such */
#define HUB_HELLO_NS	 (5 * NSEC_PER_SEC) /* a stream without hello is closed after */
#define HUB_SILENT_NS	 (5 * NSEC_PER_SEC) /* an agent that does not answer pings is not asked */
#define HUB_STATUS_NS	 (5 * NSEC_PER_SEC) /* status is asked for so often */
#define HUB_FORGET_NS	 (600 * NSEC_PER_SEC)

struct hub;

struct hub_config {
	int listen_fd;		  /* non-blocking Unix listener; stays the caller's */
	uid_t uids[HUB_UIDS_MAX]; /* whose processes are agents, beside root and our own */
	size_t n_uids;
	uid_t far_uid; /* of them: who brings agents of other machines; (uid_t)-1: nobody */
	int news_fd; /* framed ClusterNews come here (collector/watcher.h), non-blocking; taken over; -1:
		      * no Kubernetes */
};

/* 0 or negative errno. */
int hub_new(const struct hub_config *cfg, struct hub **ret);
void hub_free(struct hub *h);
DEFINE_CLEANUP(struct hub, hub_free)

/* Scans. */

enum hub_part_state {
	HUB_PART_RUNNING,
	HUB_PART_DONE,
	HUB_PART_GONE,	 /* the stream ended, or the node was not there to be asked */
	HUB_PART_SILENT, /* the agent has not answered pings; it was not asked */
};

struct hub_buf {
	uint8_t *p; /* heap */
	size_t n;
};

/* What is known of one node's part when it is over. */
struct hub_part_info {
	char node[HUB_NODE_MAX];
	enum hub_part_state state;
	Kelpie__ScanStatus status; /* of HUB_PART_DONE */
	char message[160];
	struct scan_coverage coverage;
};

struct hub_scan;

/* Sends the encoded plan to every agent. The known nodes are the parts, 0..n-1. 0, -ENOMEM. */
int hub_scan_start(struct hub *h, struct slice plan, uint64_t budget_ns, struct hub_scan **ret);
size_t hub_scan_parts(const struct hub_scan *s);
/* Next batch of part i; the caller frees ret->p. 1; 0: no more; -ETIME; -ECANCELED. */
int hub_scan_take(struct hub_scan *s, size_t i, uint64_t until_ns, const atomic_bool *cancel,
		  struct hub_buf *ret);
void hub_scan_info(struct hub_scan *s, size_t i, struct hub_part_info *ret);
/* Cancels what still runs and frees it. */
void hub_scan_end(struct hub_scan *s);

/* Live rows. Both callbacks run on the hub's thread and must not block or call the hub. */
struct hub_tail_ops {
	void (*rows)(void *ctx, const char *node, const Kelpie__TailRows *rows);
	/* A node cannot or will not go on. */
	void (*done)(void *ctx, const char *node, const char *message);
};
struct hub_tail;
/* start: copied. Agents that connect later are asked too. 0; -EBUSY: HUB_TAILS_MAX; -ENOMEM. */
int hub_tail_start(struct hub *h, const Kelpie__TailStart *start, const struct hub_tail_ops *ops,
		   void *ctx, struct hub_tail **ret);
/* No callback runs after it returned. */
void hub_tail_stop(struct hub_tail *t);

/* Status. */

struct hub_agent_info {
	const char *node, *version;
	uint64_t epoch;
	bool connected, responding;
	uint64_t seen_unix_ns;	      /* last heard of */
	pid_t pid;		      /* 0: on another machine */
	const Kelpie__Status *status; /* latest, NULL before the first */
};

/* Asks all agents unless their answer is younger than max_age_ns, and waits for them until
 * until_ns. */
void hub_status_refresh(struct hub *h, uint64_t max_age_ns, uint64_t until_ns);
/* Calls fn for each known node; the info is valid inside the call. */
void hub_each_agent(struct hub *h, void (*fn)(void *ctx, const struct hub_agent_info *info),
		    void *ctx);
size_t hub_agents_connected(struct hub *h);

/* Losses that agents counted, in this run by when they were seen to grow, and of earlier runs what
 * they left written down. */
void hub_losses(struct hub *h, const struct loss_times *t, struct loss_cover *ret);

/* Since when every connected node has captured and kept everything, unix ns: the latest of their
 * starts, as long as none has rows of an earlier run or let rows expire. 0: cannot be told. */
uint64_t hub_reach(struct hub *h);

/* Kubernetes. */

struct hub_cluster {
	bool synced;	     /* the whole cluster has been told once */
	char condition[256]; /* why something cannot be watched, for people; "": all is well */
	uint64_t pods, services, nodes;
	uint64_t entities, refused; /* names of addresses; those for which there was no room */
};
/* False: the cluster is not watched. */
bool hub_cluster(struct hub *h, struct hub_cluster *ret);

/* Control. */

struct hub_control_result {
	char node[HUB_NODE_MAX];
	bool ok;
	char message[256];
};
/* Asks every connected agent and waits. Number of results (at most max), or -ENOTCONN, -EBUSY. */
int hub_control(struct hub *h, Kelpie__ControlVerb verb, uint64_t until_ns,
		struct hub_control_result *ret, size_t max);

#endif

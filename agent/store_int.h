/* What the files of the store process share; nobody else includes this. */
#ifndef AGENT_STORE_INT_H
#define AGENT_STORE_INT_H

#include "agent/agent.h"
#include "agent/join.h"
#include "storage/memscan.h"
#include "agent/red.h"
#include "agent/uplink.h"
#include "base/shmring.h"
#include "k8s/entities.h"
#include "storage/store.h"

#include <kelpie.pb-c.h>
#include <pthread.h>

struct store_proc {
	const struct store_args *args;
	struct scan_source source; /* what the uplink's scans open; first of all tables */
	struct ledger *ledger;
	const struct bpf_counters *bpf_counters; /* args->n_cpus entries, or NULL */
	struct shmring rows;
	struct store *store;
	struct uplink *uplink;
	uint8_t *frame; /* the frame in hand, copied out of shared memory */
	uint64_t frames;
	uint64_t again_until; /* of the queue: frames before it a predecessor may have had */
	uint64_t base_out, base_rejected, base_disk, rejected_here;
	uint32_t leak;
	atomic_bool purge_wanted; /* until the writer has done it */
	atomic_bool polite;	  /* little waits in the queue: others may have the CPU */

	pthread_mutex_t lock;
	pthread_cond_t open_ready, purged; /* with CLOCK_MONOTONIC */
	struct row_builder copy;   /* for copying a row with its texts filled in; under lock */
	struct red red;		   /* under lock */
	struct mem_rows processes; /* under lock */
	struct mem_rows open_next; /* being filled by the parser's snapshot; under lock */
	struct mem_rows open_done; /* the last whole snapshot; under lock */
	uint32_t open_number;	   /* which one; under lock */
	uint64_t open_done_ns;	   /* since when, boot time; under lock */

	pthread_mutex_t names_lock;
	struct k8s_entities_writer names; /* image NULL: no Kubernetes; under names_lock */
};

/* small.c: the tables that are made up when asked. */
void small_init(struct store_proc *sp);
void small_add_process(struct store_proc *sp, const struct row *r);
/* Adds an exchange to the running seconds when it stands for itself (is_primary). */
void small_add_red(struct store_proc *sp, const struct row *r);
/* A purge: what is counted of rows goes with them. */
void small_forget_red(struct store_proc *sp);
void small_begin_open(struct store_proc *sp);
void small_add_open(struct store_proc *sp, const struct row *r);
void small_end_open(struct store_proc *sp, struct slice number);
/* Forgets a snapshot that nobody has asked for in a while: it may be large. */
void small_rest(struct store_proc *sp, uint64_t now_ns);
/* scan_source.open of all tables; any thread. */
int store_proc_open_scan(struct scan_source *src, const struct scan_plan *plan, struct scan **ret);

/* store_names.c: the table of addresses. 0 or negative errno; before the row queue is read. */
int store_names_open(struct store_proc *sp);
/* How the watch of this node's pods is. */
struct store_kubernetes {
	bool on;
	const char *state; /* off, starting, waiting, synced */
	uint32_t pods, addresses;
	char why[200]; /* "" or what is wrong, for people */
};
void store_names_state(const struct store_proc *sp, struct store_kubernetes *ret);
void store_names_pod(struct store_proc *sp, const struct agent_pod_msg *m);
/* uplink_ops.names */
bool store_names_cluster(void *ctx, const Kelpie__Names *m);

/* status.c: answers to the collector's questions about the agent itself. */
extern const struct uplink_ops store_uplink_ops;
/* The sum over CPUs of a kernel counter. */
uint64_t store_proc_bpf_counter(const struct store_proc *sp, enum bpf_counter id);
/* Calls fn for each counter of the ledger, kernel's and ours. */
void store_proc_each_counter(struct store_proc *sp,
			     void (*fn)(void *ctx, const struct ledger_counter *c, uint64_t value),
			     void *ctx);

#endif

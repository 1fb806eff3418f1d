/* Hops 2 to 7 as one object without I/O: records of agent/bpf/events.h go in, encoded rows come
 * out. The parser process drives it from the rings; `replay` drives it from a file.
 * Single-threaded.
 */
#ifndef AGENT_PIPELINE_H
#define AGENT_PIPELINE_H

#include "agent/bpf/events.h"
#include "agent/ledger.h"
#include "base/hash.h"
#include "base/slice.h"
#include "base/util.h"
#include "config/config.h"
#include "k8s/identity.h"

struct pipeline;
struct k8s_entities;

/* What is known of a process beyond its pid: told by the attacher, which may read /proc. */
struct proc_identity {
	uint32_t tgid;
	uint32_t pad;
	uint64_t cgroup;   /* cgroup v2 id that was asked with it */
	uint64_t start_ns; /* unix time */
	struct k8s_uid pod_uid;
	char comm[EV_COMM_LEN];
	char container[72]; /* 64 hexadecimal digits, or "" */
	char unit[96];	    /* systemd unit, or "" */
	char exe[192];
};

/* Frames that the pipeline writes for the store. */
enum pipe_frame {
	PIPE_ROW = 1,	       /* an encoded row (protocols/record.h) to be stored */
	PIPE_SYM = 2,	       /* u32 number, then the text: announced before its first use */
	PIPE_SYM_RESET = 3,    /* all numbers are forgotten; they start again at 0 */
	PIPE_SNAPSHOT = 4,     /* an encoded row of `connections` that is still open; not stored */
	PIPE_SNAPSHOT_END = 5, /* u32: the request it answers (ledger.snapshot_wanted) */
	PIPE_PROCESS = 6,      /* an encoded row of `processes` */
	/* Rows of an older snapshot that has not ended are to be forgotten. */
	PIPE_SNAPSHOT_BEGIN = 7,
};

struct pipeline_out {
	void *ctx;
	/* Room for a frame of at most n bytes, 8-aligned, or NULL when the queue is full. */
	void *(*reserve)(void *ctx, uint32_t n);
	void (*commit)(void *ctx, enum pipe_frame type, uint32_t n);
	/* Makes the committed frames visible to the store. */
	void (*publish)(void *ctx);
	/* Asks who a process is; the answer comes later through pipeline_proc(), or never. */
	void (*want_proc)(void *ctx, uint32_t tgid, uint64_t cgroup);
};

struct pipeline_opts {
	const char *node; /* borrowed for the pipeline's life, as all pointers here */
	uint64_t epoch;
	struct hash_key id_key; /* of conn_id: the same on all nodes that shall be joined */
	struct conn_ctl *ctl;	/* n_ctl entries shared with the kernel, or NULL (replay) */
	uint32_t n_ctl;
	struct ledger *ledger;
	struct pipeline_out out;
	const struct k8s_entities *entities; /* who addresses are; NULL: unknown */
	const struct config *cfg; /* redaction lists, allowed and denied commands, protocols */
	bool want_headers, want_bodies, want_literals;
	uint32_t body_max_bytes;
	bool wire; /* records come from packets: role is `wire`, positions may jump */
	uint64_t idle_timeout_ns; /* an open request without traffic is given up after this */
	bool clock_from_events;	  /* replay: event times are unix time already */
	bool simulate_crash; /* hidden test switch: the header "X-Kelpie-Crash: now" is a bug */
};

/* NULL without memory. */
struct pipeline *pipeline_new(const struct pipeline_opts *opts);
void pipeline_free(struct pipeline *p);
DEFINE_CLEANUP(struct pipeline, pipeline_free)

/* One checked record. Closes and ends are to be given after the data that precedes them. */
void pipeline_event(struct pipeline *p, const struct ev_hdr *h);
/* A datagram that is about to be given: asks who sent or received it. */
void pipeline_expect(struct pipeline *p, const struct ev_dgram *ev);
/* A control record that an earlier parser process has read and counted, and whose connection this one
 * does not know yet. */
void pipeline_reopen(struct pipeline *p, const struct ev_hdr *h);
/* Whether the connection is known, and which one it is: a data record of one that is not may have
 * overtaken its EV_CONN_OPEN, which the caller then fetches first. */
bool pipeline_knows(const struct pipeline *p, uint64_t conn);

void pipeline_proc(struct pipeline *p, const struct proc_identity *id);
/* A pod of this node, new, changed or gone. What is not well formed is passed over. */
void pipeline_pod(struct pipeline *p, const struct k8s_identity *pod, bool gone);
/* Ends a round: rows become visible, then the counters that speak of them. What was given since the
 * last call may be given again after a crash, and nothing is counted twice. */
void pipeline_commit(struct pipeline *p);
/* Rows made since the epoch began: how full the queue may have become. */
uint64_t pipeline_rows(const struct pipeline *p);
/* A record that was refused before it became an event. */
void pipeline_invalid(struct pipeline *p);
/* boot_ns: CLOCK_BOOTTIME now; unix_ns: CLOCK_REALTIME now. Housekeeping: timeouts, waits that
 * cannot be satisfied any more, gauges. Called after each round of records, and at least every 100
 * ms. */
void pipeline_tick(struct pipeline *p, uint64_t boot_ns, uint64_t unix_ns);
/* Begins to write the rows of all open connections, then PIPE_SNAPSHOT_END with the number: some
 * with each pipeline_commit(), so that the queue keeps room for what is stored. False while one is
 * under way. */
bool pipeline_snapshot(struct pipeline *p, uint32_t number);
/* Connection `id` made a parser crash: never parse it again. */
void pipeline_poison(struct pipeline *p, uint64_t id);
/* While paused, payload is passed over, counted as not wanted. */
void pipeline_pause(struct pipeline *p, bool paused);
/* The store died with all interned texts: they are announced once more, for the rows that wait in the
 * queue, then numbered anew as they are used. */
void pipeline_resyms(struct pipeline *p);
/* The agent stops: open exchanges become rows with outcome agent_stopped, open connections rows too,
 * those of at most `conns` connections at a time. True when all is done and committed. */
bool pipeline_stop(struct pipeline *p, size_t conns);

#endif

/* The agent's processes and what they say to each other.
 *
 *	attacher (root, few capabilities) --+-- fork --> store   (its own user, its directory only)
 *	  BPF, /proc, restarts              |-- fork --> parser  (its own user, no file, no socket)
 *	                                    \-- fork --> shipper (its own user, the network; where a
 *	                                                 collector on the network is configured)
 *
 *	kernel rings ==> parser ==> row ring ==> store	memory, mapped before the fork or passed on
 *	parser <-> attacher: struct agent_msg over a SOCK_SEQPACKET pair, as store <-> attacher and
 *	shipper <-> attacher
 *	store <-> shipper: the stream for the collector, over a Unix socket in the data directory
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/ledger.h"
#include "agent/pipeline.h"
#include "base/run_as.h"
#include "config/config.h"

#define ROW_RING_BYTES (8u * MIB)
#define POISON_MAX     16

enum agent_msg_type {
	MSG_READY = 1,	    /* child -> attacher: sandboxed and serving */
	MSG_FAILED = 2,	    /* child -> attacher: cannot start, text says why */
	MSG_WANT_PROC = 3,  /* parser -> attacher: proc.tgid */
	MSG_PROC = 4,	    /* attacher -> parser */
	MSG_STOP = 5,	    /* attacher -> child: finish what is there and exit */
	MSG_RESYMS = 6,	    /* attacher -> parser: the store is new, announce all texts again */
	MSG_WANT_TOKEN = 7, /* shipper -> attacher */
	MSG_TOKEN = 8, /* attacher -> shipper: with the open file; without, it cannot be opened */
	/* struct agent_pod_msg: a pod of this node, new or changed; `over`: it is gone. shipper ->
	 * attacher -> parser, store */
	MSG_POD = 9,
	MSG_PODS_BEGIN = 10, /* shipper -> attacher: all pods that there are follow, */
	MSG_PODS_END = 11,   /* these were all */
	MSG_KUBERNETES = 12, /* shipper -> attacher: how the watch is, text says what is wrong */
};

/* Files that only the attacher may open, by the number in MSG_WANT_TOKEN and MSG_TOKEN. */
enum agent_file { FILE_COLLECTOR_TOKEN, FILE_KUBERNETES_TOKEN, FILE_KUBERNETES_CA, _FILE_MAX };

struct agent_msg {
	uint32_t type;
	uint32_t number; /* MSG_WANT_TOKEN, MSG_TOKEN: enum agent_file; MSG_KUBERNETES: 1 synced */
	union {
		struct proc_identity proc;
		char text[400];
	};
};

struct agent_pod_msg {
	uint32_t type;
	uint32_t over; /* 1: gone */
	struct k8s_identity pod;
};

/* What may come from a child, told apart by its length. */
union agent_any_msg {
	uint32_t type;
	struct agent_msg msg;
	struct agent_pod_msg pod;
};

struct parser_args {
	int attacher_fd, row_ring_fd;
	const struct ledger_fds *ledger;
	struct run_as_ids ids;
	int data_ring_fd, ctl_ring_fd, conn_ctl_fd;
	int entities_fd; /* who addresses are (k8s/entities.h), for reading; -1: nobody says */
	uint64_t data_ring_bytes, ctl_ring_bytes, conn_ctl_bytes;
	uint32_t n_ctl;
	const struct config *cfg;
	uint64_t epoch;
	struct hash_key id_key;
	const uint64_t *poison;
	size_t n_poison;
	const char *simulate; /* hidden test switches, or NULL */
	pid_t attacher;
};

struct store_args {
	int attacher_fd, row_ring_fd, bpf_counters_fd;
	int entities_fd; /* as the parser's, for writing; -1: no Kubernetes */
	const struct ledger_fds *ledger;
	struct run_as_ids ids;
	size_t n_cpus;		   /* entries of bpf_counters */
	size_t bpf_counters_bytes; /* of the mapping */
	const struct config *cfg;
	const char *collector; /* path of the collector's socket for agents; NULL: none */
	uint64_t epoch;
	const char *rung;     /* capture mode, for the status table */
	const char *simulate; /* hidden test switches, or NULL */
	pid_t attacher;
};

struct shipper_args {
	int attacher_fd;
	int listen_fd;	 /* the store connects there; -1: no collector on the network */
	bool kubernetes; /* it watches this node's pods */
	struct run_as_ids ids;
	const struct config *cfg;
};

struct attacher_args {
	const struct config *cfg;
	const char *collector; /* path of the collector's socket for agents; NULL: none */
	const char *reads;     /* capture_read_parse()'s word; NULL: the best that loads */
	const char *cgroup;    /* of struct capture_opts */
	const char *heartbeat; /* file of heartbeat.h, or NULL */
	const char *simulate;  /* hidden test switches, or NULL */
	uint8_t leak_hop;      /* hidden: this hop counts wrongly; 0: none */
	int ready_fd;	       /* is told "ready" when all runs, then closed; -1: nobody waits */
};

/* The process that root starts: captures until it is told to end. Its exit code. */
int attacher_main(const struct attacher_args *a);

/* Each runs in a forked child and returns its exit code. */
int parser_main(const struct parser_args *a);
int store_main(const struct store_args *a);
int shipper_main(const struct shipper_args *a);

/* Whether Kubernetes is to be asked for names: kubernetes.enabled, and what a pod's environment says. */
bool agent_in_kubernetes(const struct config *cfg);

/* Who the process was that was seen in a control group (cgroup v2 id, 0: not known): from the group's
 * path, and from /proc where it is still there. What cannot be read stays empty. */
void proc_identify(uint32_t tgid, uint64_t cgroup, struct proc_identity *ret);

/* agent/replay.c: `kelpie-agent --replay FILE`: exit code. */
int replay_main(const struct config *cfg, const char *file);

/* agent/record.c: `kelpie-agent --record FILE --for DURATION`: exit code. ports: CFG_PORTS entries,
 * the first 0 for all. */
int record_main(const struct config *cfg, const char *file, uint64_t for_ns, const uint16_t *ports);

#endif

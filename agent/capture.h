/* Capture: loads the BPF programs, chooses the hook the kernel has, attaches, and hands out the
 * maps. Lives in the attacher process, which alone may call bpf(). Nothing is pinned: everything is
 * gone when the last descriptor closes.
 *
 * Order of calls:
 *	capture_new -> capture_load -> capture_attach (bytes are captured from here)
 *	-> capture_walk (connections that were open before) -> getters ... -> capture_free
 */
#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include "agent/bpf/config.h"
#include "agent/bpf/events.h"
#include "agent/features.h"
#include "base/util.h"

enum capture_rung {
	CAPTURE_RUNG_AUTO,
	CAPTURE_RUNG_SOCKLEN,	 /* tp_btf/sock_{send,recv}_length */
	CAPTURE_RUNG_SYSEXIT,	 /* tp_btf/sys_exit */
	CAPTURE_RUNG_RAWTP,	 /* raw_tp/sys_exit */
	CAPTURE_RUNG_TRACEPOINT, /* tracepoint/syscalls/sys_{enter,exit}_NAME; needs tracefs */
	_CAPTURE_RUNG_MAX
};

/* How kernel memory is read. */
enum capture_read {
	CAPTURE_READ_AUTO,
	CAPTURE_READ_BTF,   /* typed loads, bpf_rdonly_cast: works under lockdown=confidentiality */
	CAPTURE_READ_PROBE, /* bpf_probe_read_kernel: kernels before 6.2 */
	_CAPTURE_READ_MAX
};

/* Zero means the default for every field. */
struct capture_opts {
	enum capture_rung rung;
	enum capture_read read;
	uint32_t data_ring_bytes;    /* power of two, default 8 MiB */
	uint32_t ctl_ring_bytes;     /* power of two, default 1 MiB */
	uint32_t conns_max;	     /* default 16384, at most EV_CONNS_MAX */
	uint32_t wake_bytes;	     /* default an eighth of the data ring; of the control ring
				      * never more than a quarter */
	uint64_t probe_budget_bytes; /* per direction of an unjudged connection, default an
				      * eighth of the data ring, at least 256 KiB */
	uint32_t dgram_budget;	     /* datagrams copied of an unjudged UDP socket, default 32 */
	const char *cgroup;	     /* cgroup v2 directory; NULL: every process */
	uint16_t deny_ports[CFG_PORTS];
	uint16_t allow_ports[CFG_PORTS];
	bool unix_sockets; /* UNIX stream sockets too */
	/* UNIX sockets bound to these paths are left alone, at both ends: Kelpie's own. Absolute
	 * paths, borrowed until capture_load(); NULL is none. */
	const char *deny_paths[CFG_NAMES];
	bool simulate_leak; /* lost chunks are not counted: proves that the balance can fail */
};

struct capture;

/* Copies opts. -ENOMEM, -EINVAL (a size that is no power of two, too many connections). */
int capture_new(const struct capture_opts *opts, struct capture **ret);

/* Loads the programs of the best rung that loads, or of the one asked for, and fills the slots.
 * -ENOTSUP: the kernel lacks what the rungs need; another error: the last one that was tried did
 * not load. capture_why() tells all of it. */
int capture_load(struct capture *c);

/* Attaches; capture runs when this returns 0. */
int capture_attach(struct capture *c);

/* Announces the connections that are open already: EV_CONN_OPEN with EV_F_OLD in the control ring,
 * and with EV_F_KNOWN those that were told before (a new reader asks again; a socket that several
 * processes hold is told once for each).
 * ret_found: sockets announced. -ENOTSUP: the kernel has no such iterator. */
int capture_walk(struct capture *c, uint64_t *ret_found);

/* UNIX sockets that were closed are found so, some at once, the rest here: to be called about once a
 * second. 0 also where UNIX sockets are not captured. */
int capture_sweep(struct capture *c);

/* Never capture this process (its number in the caller's pid namespace). At most CFG_SELF_MAX;
 * -ENOSPC beyond. After capture_load(); the calling process is in already. */
int capture_add_self(struct capture *c, uint32_t tgid);

/* That process has ended: its number may become somebody else's. */
void capture_drop_self(struct capture *c, uint32_t tgid);

/* Nor what this process has started and will start: the collector. */
int capture_family(struct capture *c, uint32_t tgid);

/* Descriptors, owned by the capture, and their sizes; valid after capture_load(). */
int capture_ctl_ring_fd(const struct capture *c);
int capture_data_ring_fd(const struct capture *c);
uint32_t capture_ctl_ring_bytes(const struct capture *c);
uint32_t capture_data_ring_bytes(const struct capture *c);
int capture_conn_ctl_fd(const struct capture *c); /* capture_ctl_entries() of struct conn_ctl */
int capture_counters_fd(
	const struct capture *c); /* capture_cpus() entries of struct bpf_counters */
uint32_t capture_ctl_entries(const struct capture *c);
uint32_t capture_cpus(const struct capture *c);

/* Whether UNIX stream sockets are captured: asked for, and possible. */
bool capture_unix_sockets(const struct capture *c);
/* Whether capture_attach() wants CAP_NET_ADMIN; without it some senders of datagrams are unknown. */
bool capture_needs_net_admin(const struct capture *c);

enum capture_rung capture_rung(const struct capture *c);
enum capture_read capture_read(const struct capture *c);
const char *capture_rung_name(enum capture_rung rung); /* "socklen", ... */
const char *capture_read_name(enum capture_read read); /* "btf", "probe" */
/* AUTO for a name that is none. */
enum capture_rung capture_rung_parse(const char *name);
enum capture_read capture_read_parse(const char *name);

/* What was tried and refused on the way, one line each, "" when nothing; valid until
 * capture_free(). */
const char *capture_why(const struct capture *c);

/* Hook runs that the kernel skipped because the program was already running on that CPU (its guard
 * against recursion), of the programs that see transfers and of those that see connections come and go;
 * 0 where the kernel does not say. */
struct missed_runs {
	uint64_t data, state;
};
struct missed_runs capture_missed_runs(const struct capture *c);

/* The layouts of the memory that other processes map. */
size_t capture_conn_ctl_map_bytes(const struct capture *c);
size_t capture_counters_map_bytes(const struct capture *c);

/* No further event; what is in the rings stays there. NULL is fine, as for capture_free(). */
void capture_detach(struct capture *c);
void capture_free(struct capture *c);
DEFINE_CLEANUP(struct capture, capture_free)

#endif

/* The agent's end of the stream to the collector (proto/kelpie.proto), for the store process:
 * dials, says hello, answers scans from a `struct scan_source`, feeds live tails, passes on status
 * and control.
 *
 * Threads: one for the stream (epoll over the socket and an eventfd) and UPLINK_SCANS_MAX that run
 * scans; all are made by uplink_start(), so a seccomp filter installed afterwards needs no clone.
 * Make it with all signals blocked in the caller if the caller's own thread should get them.
 * Callbacks of `struct uplink_ops` run on the stream's thread; scan_source->open() and the scans
 * run on the scan threads, two at once, so the source must allow that. The tail calls may come from
 * any one thread of the store at a time.
 *
 * System calls after the start: socket connect getsockopt recvfrom sendto close epoll_ctl
 * epoll_wait read write futex clock_gettime getrandom mmap munmap mprotect madvise brk
 * rt_sigprocmask exit, and whatever the source uses. No file is opened.
 *
 * Bounds: 8 MiB unsent, 4 MiB of one message, UPLINK_SCANS_MAX scans at once and UPLINK_QUEUE_MAX
 * waiting with UPLINK_PLANS_BYTES (above: an honest "busy"), UPLINK_TAILS_MAX tails. The collector is
 * a less trusted process: all that it sends is checked.
 */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include "protocols/record.h"
#include "storage/scan.h"
#include "base/util.h"

#include <kelpie.pb-c.h>

#define UPLINK_SCANS_MAX 2
/* A query of `requests` asks for a scan of each protocol's table at once. */
#define UPLINK_QUEUE_MAX     128
#define UPLINK_PLANS_BYTES   (4 * MIB)		   /* of all scans that wait or run */
#define UPLINK_SCAN_NS_MAX   (3600 * NSEC_PER_SEC) /* of one: what it reads cannot be deleted */
#define UPLINK_TAILS_MAX     16
#define UPLINK_TAIL_RATE_MAX 10000 /* rows a second that a subscriber may ask for */
#define UPLINK_FIELDS_MAX    1024  /* status fields and ledger lines of one answer */

struct uplink;
struct uplink_status;

enum uplink_verb { UPLINK_PAUSE = 1, UPLINK_RESUME, UPLINK_PURGE };

struct uplink_ops {
	/* Fills the answer to a status request with the uplink_status_*() calls below. */
	void (*status)(void *ctx, struct uplink_status *out);
	/* 0, or a negative errno and a sentence for people in message (cap bytes). Bounded time:
	 * the stream waits. */
	int (*control)(void *ctx, enum uplink_verb verb, char *message, size_t cap);
	/* End times of the oldest and newest row held; 0 when there is none. May be NULL. */
	void (*table_range)(void *ctx, uint16_t table, uint64_t *ret_oldest_ns,
			    uint64_t *ret_newest_ns);
	/* The text of CELL_SYM number sym in the row that uplink_tail_row() is looking at (called
	 * on its thread, inside it). Empty when unknown. */
	struct slice (*symbol)(void *ctx, uint32_t sym);
	/* What addresses of the cluster stand for, new, changed or all of it: not checked yet. False, and
	 * NULL: it is not asked for. Called with NULL to know whether. */
	bool (*names)(void *ctx, const Kelpie__Names *m);
};

/* Strings and pointers are borrowed until uplink_stop(). */
struct uplink_config {
	const char *socket_path; /* the collector's Unix socket for agents, with or
				  * without "unix:" before it */
	const char *node;	 /* name of this node, at most 253 bytes */
	uint64_t epoch;		 /* this agent's start, unix ns: COL_EPOCH of its rows */
	struct scan_source *source;
	const struct uplink_ops *ops;
	void *ctx;
};

/* Starts the threads and keeps dialling (100 ms to 5 s apart, with jitter) until uplink_stop().
 * 0; -EINVAL; -ENAMETOOLONG when the path is no Unix address; -ENOMEM; -EAGAIN or another errno of
 * thread creation. */
int uplink_start(const struct uplink_config *cfg, struct uplink **ret);
/* Cancels what runs, closes the stream, joins the threads. Takes as long as the source needs to see
 * a cancel. NULL is fine. */
void uplink_stop(struct uplink *u);
/* Whether a collector has accepted our hello. Any thread. */
bool uplink_connected(const struct uplink *u);

/* Whether any tail wants rows: one load, so that a row costs nothing while nobody looks. */
bool uplink_has_tails(const struct uplink *u);
/* Offers one row to all tails. Never blocks on the network: what does not fit is skipped and
 * counted. */
void uplink_tail_row(struct uplink *u, const struct row *row);

/* Inside uplink_ops.status only. Keys are dotted lower-case paths that become nested JSON objects:
 * "hook.rung", "watched.processes", "budget.memory_bytes". Texts are copied. Above
 * UPLINK_FIELDS_MAX, and when memory is short, entries are left out. */
void uplink_status_text(struct uplink_status *s, const char *key, const char *text);
void uplink_status_int(struct uplink_status *s, const char *key, int64_t value);
void uplink_status_bool(struct uplink_status *s, const char *key, bool value);

/* One counter, as kelpie_ledger has them. kind: "in", "out", "held" or "loss". */
struct uplink_ledger_line {
	uint32_t hop;
	const char *stage, *counter, *kind, *unit;
	bool intentional;
	uint64_t value;
};
void uplink_status_ledger(struct uplink_status *s, const struct uplink_ledger_line *line);

/* What is known of a time before this run. unknown: nothing, the numbers say nothing. */
struct uplink_span {
	uint64_t from_ns, to_ns;
	bool unknown;
	uint64_t units, bytes, sampled;
};
void uplink_status_span(struct uplink_status *s, const struct uplink_span *span);

DEFINE_CLEANUP(struct uplink, uplink_stop)

#endif

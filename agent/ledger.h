/* The ledger: what came in, went out, is held and was lost at each hop. Every process of the agent
 * has a part with counters of its own and is the only one that can write there: the parts are memory
 * files, and each process has the others' by descriptors for reading alone. What another process wrote
 * is a number that may be wrong, never an index or a length. The store reads all parts and the
 * kernel's counters, and answers for the table `kelpie_ledger`.
 *
 * Law: at rest, in = out + held + losses for each (hop, stage, unit). `in` of a hop is counted where
 * the hop begins, never derived from the hop before.
 */
#ifndef AGENT_LEDGER_H
#define AGENT_LEDGER_H

#include "agent/bpf/events.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_kind { LEDGER_IN, LEDGER_OUT, LEDGER_HELD, LEDGER_LOSS };

/* X(name, hop, stage, counter, kind, intentional, unit) */
#define LEDGER(X)                                                                                  \
	X(L1_MISSED, 1, "hooks", "not_run", IN, 0, "runs")                                         \
	X(L1_MISSED_DATA, 1, "hooks", "busy_with_a_transfer", LOSS, 0, "runs")                     \
	X(L1_MISSED_STATE, 1, "hooks", "busy_with_a_state", LOSS, 0, "runs")                       \
	X(L2_IN, 2, "intake", "read", IN, 0, "records")                                            \
	X(L2_OUT, 2, "intake", "valid", OUT, 0, "records")                                         \
	X(L2_INVALID, 2, "intake", "invalid", LOSS, 0, "records")                                  \
	X(L3_IN, 3, "connection", "data", IN, 0, "records")                                        \
	X(L3_OUT, 3, "connection", "to_stream", OUT, 0, "records")                                 \
	X(L3_UNKNOWN, 3, "connection", "unknown_connection", LOSS, 0, "records")                   \
	X(L3_EVICTED, 3, "connection", "evicted", LOSS, 0, "records")                              \
	X(L3_IGNORED, 3, "connection", "not_wanted", LOSS, 1, "records")                           \
	X(L3_POISON, 3, "connection", "crashed_parser", LOSS, 0, "records")                        \
	X(L3_CRASH, 3, "connection", "lost_in_crash", LOSS, 0, "records")                          \
	X(L3_SAMPLE_IN, 3, "sampling", "opened", IN, 0, "connections")                             \
	X(L3_SAMPLE_OUT, 3, "sampling", "taken", OUT, 0, "connections")                            \
	X(L3_SAMPLED, 3, "sampling", "sampled", LOSS, 1, "connections")                            \
	X(L3_D_IN, 3, "datagrams", "read", IN, 0, "datagrams")                                     \
	X(L3_D_OUT, 3, "datagrams", "to_parser", OUT, 0, "datagrams")                              \
	X(L3_D_HELD, 3, "datagrams", "held_for_its_answer", HELD, 0, "datagrams")                  \
	X(L3_D_UNREADABLE, 3, "datagrams", "no_protocol", LOSS, 1, "datagrams")                    \
	X(L3_D_IGNORED, 3, "datagrams", "not_wanted", LOSS, 1, "datagrams")                        \
	X(L3_D_POISON, 3, "datagrams", "crashed_parser", LOSS, 0, "datagrams")                     \
	X(L3_D_CRASH, 3, "datagrams", "lost_in_crash", LOSS, 0, "datagrams")                       \
	X(L3_CONN_IN, 3, "connections", "opened", IN, 0, "connections")                            \
	X(L3_CONN_OUT, 3, "connections", "closed", OUT, 0, "connections")                          \
	X(L3_CONN_HELD, 3, "connections", "open", HELD, 0, "connections")                          \
	X(L3_CONN_EVICTED, 3, "connections", "evicted", LOSS, 0, "connections")                    \
	X(L3_CONN_CRASH, 3, "connections", "lost_in_crash", LOSS, 0, "connections")                \
	X(L4_IN, 4, "stream", "payload", IN, 0, "bytes")                                           \
	X(L4_OUT, 4, "stream", "to_parser", OUT, 0, "bytes")                                       \
	X(L4_HELD, 4, "stream", "buffered", HELD, 0, "bytes")                                      \
	X(L4_DUPLICATE, 4, "stream", "duplicate", LOSS, 1, "bytes")                                \
	X(L4_UNWANTED, 4, "stream", "not_wanted", LOSS, 1, "bytes")                                \
	X(L4_UNREADABLE, 4, "stream", "no_protocol", LOSS, 1, "bytes")                             \
	X(L4_EVICTED, 4, "stream", "evicted", LOSS, 0, "bytes")                                    \
	X(L4_CUT, 4, "stream", "cut_by_gap", LOSS, 0, "bytes")                                     \
	X(L4_REST, 4, "stream", "unfinished_at_close", LOSS, 0, "bytes")                           \
	X(L4_CRASH, 4, "stream", "lost_in_crash", LOSS, 0, "bytes")                                \
	X(L4_GAP_IN, 4, "missing", "not_delivered", IN, 0, "bytes")                                \
	X(L4_GAP_UNWANTED, 4, "missing", "not_wanted", LOSS, 1, "bytes")                           \
	X(L4_GAP_NOPAYLOAD, 4, "missing", "sent_by_kernel", LOSS, 1, "bytes")                      \
	X(L4_GAP_START, 4, "missing", "before_first_record", LOSS, 1, "bytes")                     \
	X(L4_GAP_BUDGET, 4, "missing", "budget", LOSS, 1, "bytes")                                 \
	X(L4_GAP_WINDOW, 4, "missing", "wanted_over_window", LOSS, 0, "bytes")                     \
	X(L4_GAP_LOST, 4, "missing", "gap", LOSS, 0, "bytes")                                      \
	X(L5_IN, 5, "parser", "input", IN, 0, "bytes")                                             \
	X(L5_OUT, 5, "parser", "understood", OUT, 0, "bytes")                                      \
	X(L5_RESYNCED, 5, "parser", "resynced", LOSS, 0, "bytes")                                  \
	X(L5_PACKED, 5, "parser", "not_unpacked", LOSS, 0, "bytes")                                \
	X(L5_CRASH, 5, "parser", "lost_in_crash", LOSS, 0, "bytes")                                \
	X(L6_IN, 6, "pair", "requests", IN, 0, "exchanges")                                        \
	X(L6_OUT, 6, "pair", "rows", OUT, 0, "exchanges")                                          \
	X(L6_HELD, 6, "pair", "open", HELD, 0, "exchanges")                                        \
	X(L6_EVICTED, 6, "pair", "evicted", LOSS, 0, "exchanges")                                  \
	X(L6_CRASH, 6, "pair", "lost_in_crash", LOSS, 0, "exchanges")                              \
	X(L6_RESP_IN, 6, "pair", "responses", IN, 0, "responses")                                  \
	X(L6_RESP_OUT, 6, "pair", "answers", OUT, 0, "responses")                                  \
	X(L6_RESP_HELD, 6, "pair", "open_answers", HELD, 0, "responses")                           \
	X(L6_RESP_ONLY, 6, "pair", "response_only", LOSS, 0, "responses")                          \
	X(L6_RESP_OLD, 6, "pair", "asked_before_start", LOSS, 1, "responses")                      \
	X(L6_RESP_CRASH, 6, "pair", "lost_in_crash", LOSS, 0, "responses")                         \
	X(L6_DROPPED, 6, "pair", "no_request", LOSS, 1, "exchanges")                               \
	X(L6_PUSH_IN, 6, "pushes", "pushes", IN, 0, "pushes")                                      \
	X(L6_PUSH_OUT, 6, "pushes", "rows", OUT, 0, "pushes")                                      \
	X(L6_PUSH_HELD, 6, "pushes", "open", HELD, 0, "pushes")                                    \
	X(L6_PUSH_CRASH, 6, "pushes", "lost_in_crash", LOSS, 0, "pushes")                          \
	X(L7_IN, 7, "join", "rows", IN, 0, "rows")                                                 \
	X(L7_OUT, 7, "join", "queued", OUT, 0, "rows")                                             \
	X(L7_QUEUE_FULL, 7, "join", "queue_full", LOSS, 0, "rows")                                 \
	X(L7_TOO_BIG, 7, "join", "too_big", LOSS, 0, "rows")                                       \
	X(L7_CRASH, 7, "join", "lost_in_crash", LOSS, 0, "rows")                                   \
	X(L7_PODS_IN, 7, "names", "in_pods", IN, 0, "ends")                                        \
	X(L7_PODS_OUT, 7, "names", "named", OUT, 0, "ends")                                        \
	X(L7_PODS_UNKNOWN, 7, "names", "metadata_missing", LOSS, 1, "ends")                        \
	X(L8_IN, 8, "storage", "rows", IN, 0, "rows")                                              \
	X(L8_OUT, 8, "storage", "written", OUT, 0, "rows")                                         \
	X(L8_HELD, 8, "storage", "not_yet_written", HELD, 0, "rows")                               \
	X(L8_REJECTED, 8, "storage", "rejected", LOSS, 0, "rows")                                  \
	X(L8_DISK, 8, "storage", "disk_full", LOSS, 0, "rows")                                     \
	X(L8_CRASH, 8, "storage", "lost_in_crash", LOSS, 0, "rows")                                \
	X(L8_KEPT_IN, 8, "retention", "written", IN, 0, "rows")                                    \
	X(L8_KEPT_HELD, 8, "retention", "kept", HELD, 0, "rows")                                   \
	X(L8_EXPIRED, 8, "retention", "expired", LOSS, 1, "rows")                                  \
	X(L8_DAMAGED, 8, "retention", "damaged", LOSS, 0, "rows")

enum ledger_id {
#define X(name, hop, stage, counter, kind, intentional, unit) name,
	LEDGER(X)
#undef X
		_LEDGER_MAX
};

struct ledger_counter {
	uint8_t hop, kind, intentional; /* kind: enum ledger_kind */
	const char *stage, *counter, *unit;
};

extern const struct ledger_counter ledger_counters[_LEDGER_MAX];
extern const struct ledger_counter bpf_ledger_counters[_BC_MAX];

enum ledger_writer { LEDGER_ATTACHER, LEDGER_PARSER, LEDGER_STORE, _LEDGER_WRITERS };

/* Rows are numbered without holes, and no more than this can be between the parser and the store: a number
 * beyond it is none that the parser gave. */
#define ROWS_AHEAD_MAX (UINT64_C(1) << 20)

enum kubernetes_state {
	KUBERNETES_OFF,
	KUBERNETES_STARTING,
	KUBERNETES_WAITING,
	KUBERNETES_SYNCED
};

struct ledger_attacher {
	_Atomic uint64_t count[_LEDGER_MAX];
	_Atomic uint32_t parser_restarts, store_restarts;
	_Atomic uint32_t cpu_millicores; /* that the agent's processes used of late */
	_Atomic uint32_t sample_shift;	 /* control: one new connection in 1 << this is read */
	_Atomic uint32_t kubernetes;	 /* enum kubernetes_state */
	_Atomic uint32_t pods;		 /* of this node, that are known and there */
	char kubernetes_why[200];	 /* what is wrong with it; whoever reads ends it himself */
	uint8_t simulate_leak_hop; /* hidden switch for tests: lose one unit in 1000 there, uncounted */
};

struct ledger_parser {
	_Atomic uint64_t count[_LEDGER_MAX];
	_Atomic uint64_t
		at_conn; /* the connection that it is working on: what a crash is blamed on */
	_Atomic uint64_t beat_ns;   /* CLOCK_BOOTTIME of its last round */
	_Atomic uint64_t rows_seq;  /* last sequence number given to a row: goes on after a crash */
	_Atomic uint64_t opens_pos; /* of the control ring: opens before it were counted as read */
};

struct ledger_store {
	_Atomic uint64_t count[_LEDGER_MAX];
	_Atomic uint64_t stored_seq;	  /* last row it took: a new one does not take it again */
	_Atomic uint32_t paused;	  /* control: 1 = parser drops data unread (counted) */
	_Atomic uint32_t snapshot_wanted; /* control: asks for the open connections, by number */
};

#define LEDGER_PART_BYTES 65536 /* a page of any machine */

/* In the order of enum ledger_writer; each part begins with its counters. */
struct ledger {
	union {
		struct ledger_attacher attacher;
		uint8_t attacher_part[LEDGER_PART_BYTES];
	};
	union {
		struct ledger_parser parser;
		uint8_t parser_part[LEDGER_PART_BYTES];
	};
	union {
		struct ledger_store store;
		uint8_t store_part[LEDGER_PART_BYTES];
	};
};

/* One memory file per part, of a size that nobody can change. */
struct ledger_fds {
	int writable[_LEDGER_WRITERS], readable[_LEDGER_WRITERS];
};

/* 0 or negative errno. */
int ledger_create(struct ledger_fds *ret);
/* The whole ledger, the part of `self` alone writable. NULL on failure, errno set. */
struct ledger *ledger_map(const struct ledger_fds *fds, enum ledger_writer self);
void ledger_unmap(struct ledger *l);
/* The descriptors that `self` needs to map it, into ret[_LEDGER_WRITERS]. */
void ledger_fds_of(const struct ledger_fds *fds, enum ledger_writer self, int *ret);

/* A counter in the part of one writer. */
static inline _Atomic uint64_t *ledger_count(struct ledger *l, enum ledger_writer w,
					     enum ledger_id id)
{
	_Atomic uint64_t *const parts[] = { l->attacher.count, l->parser.count, l->store.count };

	return &parts[w][id];
}

static inline void ledger_add(struct ledger *l, enum ledger_writer w, enum ledger_id id, uint64_t n)
{
	_Atomic uint64_t *c = ledger_count(l, w, id);

	/* One writer per part: a plain add whose store readers see whole. */
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void ledger_set(struct ledger *l, enum ledger_writer w, enum ledger_id id, uint64_t n)
{
	atomic_store_explicit(ledger_count(l, w, id), n, memory_order_relaxed);
}

/* Sum over the parts. */
uint64_t ledger_get(const struct ledger *l, enum ledger_id id);

/* A process died with things in hand: what it held becomes its hop's lost_in_crash, so that the law
 * holds again. Called by the attacher before the process is started anew, with a mapping in which the
 * dead one's part is writable. */
void ledger_book_crash(struct ledger *l, enum ledger_writer dead);

/* The same moment: the numbers of rows that the dead process left are such that its successor and the
 * other end go on. It may have been taken over. */
void ledger_mend_numbers(struct ledger *l, enum ledger_writer dead);

#endif

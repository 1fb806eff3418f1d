/* What the hops share inside the pipeline; nobody else includes this. */
#ifndef AGENT_PIPELINE_INT_H
#define AGENT_PIPELINE_INT_H

#include "agent/catalogue.h"
#include "agent/conn.h"
#include "agent/dgram.h"
#include "agent/dns_names.h"
#include "agent/join.h"
#include "agent/memo.h"
#include "agent/pair.h"
#include "agent/policy.h"
#include "agent/stmts.h"
#include "agent/unpack.h"
#include "agent/pipeline.h"
#include "base/path_template.h"
#include "base/util.h"

struct pipeline {
	struct pipeline_opts opts;
	struct conn_table conns;
	struct dgrams dgram;
	struct dns_names names;
	struct pair pair;
	struct unpack_pool unpack;
	struct catalogue catalogue;
	struct join join;
	struct policy policy;
	struct path_guard paths;
	struct memo memo;
	uint64_t now_ns;	     /* time of the record in hand, CLOCK_BOOTTIME */
	uint64_t unix_minus_boot_ns; /* added to boot time to get unix time */
	uint64_t held_bytes;	     /* in all stream buffers */
	uint64_t buf_bytes;	     /* allocated for them, <= STREAM_BYTES_MAX */
	uint64_t stmt_bytes;	     /* of prepared statements, <= STMTS_BYTES_MAX */
	uint64_t last_sweep_ns;
	uint64_t poison[16]; /* connections that must not be parsed */
	size_t n_poison;
	bool paused;
	bool snapshotting;
	uint32_t snapshot; /* number of the last one begun */
	uint32_t leak;	   /* simulate: counts units of the leaking hop */
	/* Counted here and copied to the shared page by pipeline_commit(), together with the rows:
	 * a crash undoes the whole round, so nothing is counted twice when it is read again. */
	uint64_t counts[_LEDGER_MAX];
	uint64_t seq; /* last number given to a row */
};

static inline void count(struct pipeline *p, enum ledger_id id, uint64_t n)
{
	p->counts[id] += n;
}

/* Hidden test switch: true once in a thousand units of that hop; the caller then forgets the unit.
 */
static inline bool leaks(struct pipeline *p, unsigned int hop)
{
	return unlikely(p->opts.ledger->attacher.simulate_leak_hop == hop) && ++p->leak % 1000 == 0;
}

/* pipeline.c */
/* The row of table `connections`. */
void pipeline_conn_row(struct pipeline *p, struct conn *c, const char *state);
bool pipeline_poisoned(const struct pipeline *p, uint64_t id);

/* stream.c */
/* A connection that an earlier parser process knew: goes on where that one was with the kernel. */
void stream_adopt(struct pipeline *p, struct conn *c);
/* n bytes of payload have left the kernel's ring, whatever becomes of them. */
void stream_taken(struct pipeline *p, struct conn *c, enum dir dir, uint32_t n);
void stream_data(struct pipeline *p, struct conn *c, const struct ev_data *ev);
/* The direction is told to have got to pos: what was not delivered on the way is missing. */
void stream_reach(struct pipeline *p, struct conn *c, enum dir dir, uint64_t pos, enum ev_miss why);
/* No byte at or beyond pos will come. */
void stream_eof(struct pipeline *p, struct conn *c, enum dir dir, uint64_t pos);
/* The parser is told that the connection is over; buffers are given back. */
void stream_close(struct pipeline *p, struct conn *c);
/* Resolves waits for the other direction that will not be satisfied. */
void stream_force(struct pipeline *p, struct conn *c);
/* Why nothing is read from it from now on: a literal. */
void stream_ignore(struct pipeline *p, struct conn *c, const char *why);
/* Completion time of the call that carried the byte at pos (boot time). */
uint64_t stream_time(const struct stream *s, uint64_t pos);

#endif

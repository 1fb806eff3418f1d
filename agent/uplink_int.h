/* What uplink.c (stream), uplink_scan.c (scans), uplink_tail.c (live rows) and uplink_status.c
 * share.
 *
 * Locks, in this order: tails_lock, lock. `lock` covers the writer, the scans and the state of the
 * stream; `tails_lock` the tails. Neither is held while a callback or the source runs, but for
 * uplink_ops.symbol (tails_lock).
 */
#ifndef AGENT_UPLINK_INT_H
#define AGENT_UPLINK_INT_H

#include "agent/uplink.h"
#include "proto/frame.h"

#include <kelpie.pb-c.h>
#include <pthread.h>

#define UPLINK_PROTO_VERSION	1
#define UPLINK_QUEUE_SOFT_BYTES (4 * MIB)   /* scans and tails stop here: the rest is for answers */
#define UPLINK_ENTITIES_MAX	4096	    /* of one Names */
#define UPLINK_BATCH_BYTES	(512 * KIB) /* payload of one Batch aimed at; one row may pass it */

enum uplink_scan_state { SCAN_FREE, SCAN_QUEUED, SCAN_RUNNING };

struct uplink_scan {
	enum uplink_scan_state state;
	uint64_t id;
	uint64_t order;	      /* of arrival */
	uint64_t stream;      /* u->stream when it came: answers to a closed stream are dropped */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	int64_t credit_bytes; /* what may still be sent; one batch may overdraw it */
	bool deadline_hit;
	atomic_bool cancel; /* what the source polls: by the peer, the deadline, or the end */
	uint8_t *plan;
	size_t plan_bytes;
};

struct uplink_tail {
	Kelpie__CollectorMessage *msg; /* owns start; NULL: free slot */
	const Kelpie__TailStart *start;
	uint64_t tokens_milli; /* thousandths of a row */
	uint64_t refill_ns;
	uint64_t skipped, reported; /* in all, and told so far */
};

struct uplink {
	struct uplink_config cfg;
	pthread_t stream_thread, scan_threads[UPLINK_SCANS_MAX];
	size_t n_threads; /* that were made, the stream's first */
	int wake_fd, epoll_fd;

	pthread_mutex_t lock;
	pthread_cond_t work;	 /* a scan was queued, or stop */
	pthread_cond_t progress; /* credit, room in the queue, a cancel, or stop */
	bool stop;
	uint64_t stream; /* number of the stream, from 1; grows when it ends */
	bool open;
	struct frame_writer out;
	struct uplink_scan scans[UPLINK_SCANS_MAX + UPLINK_QUEUE_MAX];
	uint64_t scan_order;

	pthread_mutex_t tails_lock;
	struct uplink_tail tails[UPLINK_TAILS_MAX];

	/* Of what the collector told, over streams; the stream's thread only. */
	uint64_t names_version;
	bool names_whole; /* the last set that began has ended */

	atomic_uint n_tails;
	atomic_bool connected, wake_sent;
};

/* Makes the stream's thread look at its queue. */
void uplink_wake(struct uplink *u);
/* Queues for the open stream and wakes its thread. stream: the only one it may go to, 0: any. 0;
 * -ENOTCONN; -ENOBUFS when limit_bytes or more are unsent; -EMSGSIZE; -ENOMEM. */
int uplink_push(struct uplink *u, uint64_t stream, const Kelpie__AgentMessage *m,
		size_t limit_bytes);

/* uplink_scan.c; under no lock unless said. */
void *uplink_scan_thread(void *arg);
void uplink_scan_request(struct uplink *u, const Kelpie__Scan *req);
void uplink_scan_credit(struct uplink *u, const Kelpie__Credit *req);
void uplink_scan_cancel(struct uplink *u, uint64_t id);
/* With lock: cancels all scans of the stream that ended. */
void uplink_scans_drop(struct uplink *u);
/* Raises the cancel of scans past their deadline; the next deadline, UINT64_MAX when none. */
uint64_t uplink_scans_expire(struct uplink *u, uint64_t now_ns);

/* uplink_tail.c. Takes msg over when it returns 0. */
int uplink_tail_start(struct uplink *u, Kelpie__CollectorMessage *msg);
void uplink_tail_stop(struct uplink *u, uint64_t id);
void uplink_tails_drop(struct uplink *u);
/* Tells subscribers what was skipped since the last time. */
void uplink_tails_report(struct uplink *u);

/* uplink_status.c */
void uplink_status_request(struct uplink *u, uint64_t id);

#endif

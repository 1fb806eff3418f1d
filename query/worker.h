/* Statements of strangers: query_run() in a child process that can do nothing but compute.
 *
 *	parent (threads)                fork server (no threads)       child, one per statement
 *	worker_run() -- statement ------------------------------------> query_run()
 *	             <- open plan, next ------------------------------- scan source proxy
 *	             -- batch, coverage ------------------------------>
 *	             <- columns, rows, coverage, error ----------------
 *
 * The fork server is started before any thread of the program, so that a child never inherits a
 * lock. A child has an address-space limit, a CPU limit, no file descriptor but its socket, and a
 * system-call filter that kills it for anything but memory, that socket and the clock. The parent
 * treats what it sends as hostile. Running out of memory or time ends the child, never the parent.
 */
#ifndef QUERY_WORKER_H
#define QUERY_WORKER_H

#include "base/run_as.h"
#include "query/query.h"

#define WORKER_CHILDREN_MAX	  32	      /* at once, in one pool */
#define WORKER_MEMORY_DEFAULT	  (512 * MIB) /* address space beyond what the fork server has */
#define WORKER_TIMEOUT_DEFAULT_NS (10 * NSEC_PER_SEC)
#define WORKER_GRACE_NS		  (200 * NSEC_PER_MSEC) /* between the deadline and SIGKILL */

struct worker_pool;

/* Forks the server. Call it before the program has threads, with only the descriptors open that may
 * be seen by nobody else's code (the server closes all of them but its own). as: whom the server
 * and its children become, when the caller is root; NULL: they stay who they are. 0 or negative
 * errno.
 */
int worker_pool_new(const struct run_as_ids *as, struct worker_pool **ret);
/* Kills what still runs, ends the server and waits for it. */
void worker_pool_free(struct worker_pool *p);
DEFINE_CLEANUP(struct worker_pool, worker_pool_free)
/* Once true after the server has died: no statement can be run any more. Does not wait. */
bool worker_pool_died(struct worker_pool *p);

/* As query_run(), for any thread; src is used by the calling thread only, for the time of the call.
 * limits.timeout_ns 0 means WORKER_TIMEOUT_DEFAULT_NS, limits.memory_bytes 0 WORKER_MEMORY_DEFAULT.
 * Additional errors: -EBUSY (WORKER_CHILDREN_MAX run), -EPIPE (the fork server is gone). */
int worker_run(struct worker_pool *p, struct scan_source *src, const struct query *q,
	       const struct query_sink *sink, struct query_coverage *ret_coverage,
	       struct query_error *ret_error);

#endif

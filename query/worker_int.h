/* Between the files of the worker: the parent's side (worker.c), the fork server (zygote.c), the
 * child (worker_child.c). */
#ifndef QUERY_WORKER_INT_H
#define QUERY_WORKER_INT_H

#include "query/worker.h"
#include "query/worker_msg.h"

#include <sys/types.h>

/* To the fork server, one packet each. ZYGOTE_RUN carries two descriptors: the child's socket, and
 * the end of a pipe to which the server writes the child's wait status when it is gone. */
enum zygote_op { ZYGOTE_RUN = 1, ZYGOTE_KILL };

struct zygote_request {
	uint32_t op; /* enum zygote_op */
	uint32_t pad;
	uint64_t serial; /* of the child, chosen by the parent */
	uint64_t memory_bytes, cpu_s;
};

#define CHILD_FAILED_SANDBOX 70 /* exit status: the limits could not be set, nothing was run */
#define CHILD_FAILED	     71

/* Never returns. as: whom to become, or NULL. control: the server's end; all other descriptors
 * above 2 are closed. */
__attribute__((noreturn)) void zygote_main(int control, const struct run_as_ids *as);

/* A scan source whose scans run at the other end of fd. */
struct proxy {
	struct scan_source base;
	int fd;
};

void proxy_init(struct proxy *p);
/* Reads one query from fd and answers it. 0 or negative errno. */
int child_main(struct query_conn *conn, struct proxy *proxy, int fd);

#endif

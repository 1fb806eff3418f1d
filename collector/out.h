/* The way of an answer from the thread that makes it to the client: a bounded buffer with a slow
 * reader at one end. The status line is held back until out_commit(), so that an error that shows
 * early still gets its fitting HTTP status.
 */
#ifndef COLLECTOR_OUT_H
#define COLLECTOR_OUT_H

#include "base/slice.h"
#include "base/util.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#define OUT_BUFFER_MAX (1 * MIB)  /* bytes that wait for the client */
#define OUT_COMMIT_AT  (64 * KIB) /* from here on the status is settled */

struct out {
	pthread_mutex_t lock;
	pthread_cond_t room;
	unsigned int refs;
	struct MHD_Connection *conn; /* NULL when the request is over */
	struct MHD_Response *response;
	bool suspended, committed, finished, broken, gone;
	unsigned int status;
	const char *type; /* content type, a literal */
	char *trailer;	  /* value of Kelpie-Coverage, or NULL */
	/* Called once before the client can see that the answer is whole; NULL: nothing. */
	void (*on_end)(void *ctx);
	void *end_ctx;
	uint8_t *buf;
	size_t off, len, cap;
	atomic_bool cancel; /* the client went, or the program ends */
};

/* With one reference. NULL without memory. */
struct out *out_new(struct MHD_Connection *conn);
void out_put(struct out *o);

/* Producer. */

/* Waits for room until until_ns (CLOCK_MONOTONIC). 0; -ECANCELED: nobody reads any more; -ETIME;
 * -ENOMEM. The answer is committed with 200 when OUT_COMMIT_AT is passed. */
int out_write(struct out *o, const void *p, size_t n, uint64_t until_ns);
/* Never waits: -EAGAIN when the whole of p does not fit. */
int out_try_write(struct out *o, const void *p, size_t n);
/* Content type of the answer; before the first write. */
void out_set_type(struct out *o, const char *type);
/* Starts the answer with what is there. */
void out_commit(struct out *o, unsigned int status);
/* Whether the status is settled. */
bool out_committed(struct out *o);
/* An answer that was not committed is replaced by this one. False when it is too late for that. */
bool out_replace(struct out *o, unsigned int status, const char *type, struct slice body);
/* coverage: copied, one line, may be NULL. broken: the connection is cut, so that the client sees
 * that something is missing. */
void out_finish(struct out *o, const char *coverage, bool broken);

/* HTTP side. */

/* Called by the handler: answers if the producer has committed, else suspends the connection. */
enum MHD_Result out_answer(struct out *o, struct MHD_Connection *conn);
/* The client is gone: cancels, wakes both ends. */
void out_abort(struct out *o);
/* The request is over; no call into the connection after this. */
void out_detach(struct out *o);

#endif

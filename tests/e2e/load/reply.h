/* What the echo server answers: bytes of responses, from the request's X-Do. */
#ifndef TESTS_E2E_LOAD_REPLY_H
#define TESTS_E2E_LOAD_REPLY_H

#include "sockio.h"
#include "wire.h"

struct reply {
	uint64_t bytes, body_bytes, framed_bytes; /* of the final response */
	uint64_t interim_bytes;
	bool keep_alive;
	bool by_file; /* the body goes out by sendfile: q->file_left is set */
};

/* Appends the whole answer to req (interim responses included) to q. use_file: a body that has a
 * length comes from q->file_fd. For PLAN_EVENTS only the head is appended. */
void reply_put(struct outq *q, const struct wire_msg *req, bool use_file, struct reply *ret);

/* 100 Continue. Returns its bytes. */
size_t reply_put_continue(struct outq *q);

/* One server-sent event as a chunk; the end of the chunked body. Both add to r. */
void reply_put_event(struct outq *q, struct reply *r, uint64_t seq, unsigned int number);
void reply_put_event_end(struct outq *q, struct reply *r);

#endif

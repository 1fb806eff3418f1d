/* What a worker child and its parent say to each other: frames over a stream socket.
 *
 *	0       4      5                    5 + length
 *	| length | type | payload ......... |           length: little-endian, of the payload
 */
#ifndef QUERY_WORKER_MSG_H
#define QUERY_WORKER_MSG_H

#include "query/query.h"

#define FRAME_MAX	 (16 * MIB) /* bytes of a payload */
#define FRAME_HEAD_BYTES 5

enum frame_type {
	/* to the child */
	FRAME_QUERY = 1,
	FRAME_OPENED,	/* number of the scan */
	FRAME_BATCH,	/* wire.h */
	FRAME_END,	/* no more rows */
	FRAME_COVERAGE, /* wire.h */
	FRAME_FAILED,	/* errno */
	/* to the parent */
	FRAME_OPEN = 32, /* a plan of wire.h */
	FRAME_NEXT,	 /* number of the scan; so the two below */
	FRAME_ASK_COVERAGE,
	FRAME_CLOSE, /* the only one without an answer */
	FRAME_COLUMNS,
	FRAME_ROWS, /* one or more */
	FRAME_DONE, /* result, coverage, error */
};

/* Starts a frame in out (emptied); frame_end() fills in the length. */
void frame_begin(struct strbuf *out, enum frame_type type);
/* 0, or -E2BIG when the payload is too long or memory ran out. */
int frame_end(struct strbuf *out);

void msg_put_query(struct strbuf *out, const struct query *q);
/* Texts borrow in; *ret_params is owned by the caller. 0, -EBADMSG, -ENOMEM. */
int msg_get_query(struct slice in, struct query *ret, struct query_param **ret_params);

void msg_put_columns(struct strbuf *out, const struct query_column *cols, size_t n);
/* cols: QUERY_COLUMNS_MAX. Their texts live in *texts (initialised by the caller). 0 or -EBADMSG.
 */
int msg_get_columns(struct slice in, struct query_column *cols, size_t *ret_n,
		    struct strbuf *texts);

void msg_put_row(struct strbuf *out, const struct query_cell *cells, size_t n);
/* The next row of a frame; false at its end and when in->bad is set. Texts borrow the frame. */
struct reader;
bool msg_get_row(struct reader *in, struct query_cell *cells, size_t n);

void msg_put_done(struct strbuf *out, int result, const struct query_coverage *cov,
		  const struct query_error *e);
/* *ret_cov is to be freed in any case. 0, -EBADMSG, -ENOMEM. */
int msg_get_done(struct slice in, int *ret_result, struct query_coverage *ret_cov,
		 struct query_error *ret_error);

#endif

#include "query/worker_int.h"

#include "query/wire.h"
#include "query/wire_int.h"

#include <errno.h>
#include <sys/socket.h>

/* In the child: the statement runs here, its scans in the parent. Everything is one question and
 * one answer, so a blocking socket is all there is. */
#define ROWS_FLUSH_BYTES 65536 /* rows are sent in frames of about this size */

struct proxy_scan {
	struct scan base;
	struct proxy *proxy;
	uint64_t number;
	uint16_t *cols; /* of the plan */
	struct scan_plan plan;
	struct strbuf in; /* what the batch points into */
	struct wire_batch batch;
};

struct child {
	struct proxy *proxy;
	struct strbuf rows; /* a frame under way, empty when len is 0 */
	struct strbuf out;
	size_t n_cols;
};

static int write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		ssize_t done = send(fd, at, n, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -EPIPE;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

static int read_all(int fd, void *p, size_t n)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t done = recv(fd, at, n, 0);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -EPIPE;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

static int send_frame(int fd, struct strbuf *frame)
{
	int r = frame_end(frame);

	return r < 0 ? r : write_all(fd, frame->p, frame->len);
}

/* The next frame's type; its payload is in *in. */
static int recv_frame(int fd, struct strbuf *in)
{
	uint8_t head[FRAME_HEAD_BYTES];
	struct reader r;
	uint32_t n;
	void *p;
	int err = read_all(fd, head, sizeof(head));

	if (err < 0)
		return err;
	r = reader_of(slice_of(head, 4));
	n = read_le32(&r);
	if (n > FRAME_MAX)
		return -EBADMSG;
	strbuf_reset(in);
	p = strbuf_reserve(in, n);
	if (!p)
		return -ENOMEM;
	err = read_all(fd, p, n);
	if (err < 0)
		return err;
	in->len = n;
	return head[4];
}

/* Sends a frame with one number and returns the type of the answer. */
static int call(struct proxy_scan *s, enum frame_type type)
{
	struct strbuf out = STRBUF_INIT(64);
	int r;

	frame_begin(&out, type);
	put_number(&out, s->number);
	r = send_frame(s->proxy->fd, &out);
	strbuf_done(&out);
	return r < 0 || type == FRAME_CLOSE ? r : recv_frame(s->proxy->fd, &s->in);
}

/* The parent's errno in a frame that was received. */
static int failure(const struct strbuf *in)
{
	struct reader r = reader_of(strbuf_slice(in));
	uint64_t e = get_bounded(&r, 4095);

	return r.bad || !e ? -EBADMSG : -(int)e;
}

static int proxy_next(struct scan *scan, struct scan_batch *ret)
{
	struct proxy_scan *s = (struct proxy_scan *)scan;
	int r = call(s, FRAME_NEXT);

	if (r == FRAME_END)
		return 0;
	if (r == FRAME_FAILED)
		return failure(&s->in);
	if (r != FRAME_BATCH)
		return r < 0 ? r : -EBADMSG;
	r = wire_get_batch(strbuf_slice(&s->in), &s->plan, &s->batch);
	if (r < 0)
		return r;
	*ret = s->batch.batch;
	return 1;
}

static void proxy_coverage(const struct scan *scan, struct scan_coverage *ret)
{
	/* The buffer is free to use: after a batch was read nobody asks for the coverage first. */
	struct proxy_scan *s = (struct proxy_scan *)(uintptr_t)scan;

	memset(ret, 0, sizeof(*ret));
	if (call(s, FRAME_ASK_COVERAGE) == FRAME_COVERAGE)
		wire_get_coverage(strbuf_slice(&s->in), ret);
}

static void free_scan(struct proxy_scan *s)
{
	free(s->cols);
	strbuf_done(&s->in);
	wire_batch_done(&s->batch);
	free(s);
}

static void proxy_close(struct scan *scan)
{
	call((struct proxy_scan *)scan, FRAME_CLOSE);
	free_scan((struct proxy_scan *)scan);
}

static const struct scan_ops proxy_ops = { proxy_next, proxy_coverage, proxy_close };

/* The plan's columns are kept: batches are checked against them. */
static int ask_open(struct proxy_scan *s, const struct scan_plan *plan)
{
	struct strbuf out = STRBUF_INIT(2 * WIRE_PLAN_MAX);
	struct reader r;
	int err;

	frame_begin(&out, FRAME_OPEN);
	err = wire_put_plan(&out, plan);
	if (err == 0)
		err = send_frame(s->proxy->fd, &out);
	strbuf_done(&out);
	if (err == 0)
		err = recv_frame(s->proxy->fd, &s->in);
	if (err == FRAME_FAILED)
		return failure(&s->in);
	if (err != FRAME_OPENED)
		return err < 0 ? err : -EBADMSG;
	r = reader_of(strbuf_slice(&s->in));
	s->number = read_varint(&r);
	return r.bad ? -EBADMSG : 0;
}

static int proxy_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct proxy_scan *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->base.ops = &proxy_ops;
	s->proxy = (struct proxy *)src;
	strbuf_init(&s->in, FRAME_MAX);
	s->cols = calloc(plan->n_cols + 1, sizeof(*s->cols));
	r = s->cols ? ask_open(s, plan) : -ENOMEM;
	if (r < 0) {
		free_scan(s);
		return r;
	}
	memcpy(s->cols, plan->cols, plan->n_cols * sizeof(*s->cols));
	s->plan.cols = s->cols;
	s->plan.n_cols = plan->n_cols;
	*ret = &s->base;
	return 0;
}

void proxy_init(struct proxy *p)
{
	p->base.open = proxy_open;
	p->fd = -1;
}

static int send_columns(void *ctx, const struct query_column *cols, size_t n)
{
	struct child *ch = ctx;

	ch->n_cols = n;
	frame_begin(&ch->out, FRAME_COLUMNS);
	msg_put_columns(&ch->out, cols, n);
	return send_frame(ch->proxy->fd, &ch->out);
}

static int flush_rows(struct child *ch)
{
	int r = ch->rows.len ? send_frame(ch->proxy->fd, &ch->rows) : 0;

	strbuf_reset(&ch->rows);
	return r;
}

static int send_row(void *ctx, const struct query_cell *cells, size_t n)
{
	struct child *ch = ctx;

	if (!ch->rows.len)
		frame_begin(&ch->rows, FRAME_ROWS);
	msg_put_row(&ch->rows, cells, n);
	return ch->rows.len > ROWS_FLUSH_BYTES || ch->rows.failed ? flush_rows(ch) : 0;
}

static int run_query(struct child *ch, struct query_conn *conn, const struct query *q)
{
	const struct query_sink sink = { ch, send_columns, send_row };
	struct query_coverage cov;
	struct query_error e;
	int result = query_run(conn, q, &sink, &cov, &e);
	int r = flush_rows(ch);

	frame_begin(&ch->out, FRAME_DONE);
	msg_put_done(&ch->out, result, &cov, &e);
	if (r == 0)
		r = send_frame(ch->proxy->fd, &ch->out);
	query_coverage_done(&cov);
	return r;
}

int child_main(struct query_conn *conn, struct proxy *proxy, int fd)
{
	_cleanup_(freep) struct query_param *params = NULL;
	struct child ch = { .proxy = proxy };
	struct strbuf in = STRBUF_INIT(FRAME_MAX);
	struct query q;
	int r;

	proxy->fd = fd;
	strbuf_init(&ch.rows, FRAME_MAX + 64);
	strbuf_init(&ch.out, FRAME_MAX + 64);
	r = recv_frame(fd, &in);
	if (r == FRAME_QUERY)
		r = msg_get_query(strbuf_slice(&in), &q, &params);
	else if (r >= 0)
		r = -EBADMSG;
	if (r == 0)
		r = run_query(&ch, conn, &q);
	strbuf_done(&ch.rows);
	strbuf_done(&ch.out);
	strbuf_done(&in);
	return r;
}

#include "query/worker_int.h"
#include "base/clock.h"

#include "query/wire.h"
#include "query/wire_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SCANS_MAX      128 /* open at once in one statement */
#define CANCEL_LOOK_MS 50  /* between looks at the cancel flag */
#define STATUS_WAIT_MS 2000

struct worker_pool {
	int control;
	pid_t zygote;
	atomic_uint running;
	atomic_uint_least64_t serials;
};

struct session_scan {
	struct scan *scan; /* NULL: free */
	struct scan_batch batch;
	size_t next; /* row of the batch to be sent */
};

/* One statement in a child. */
struct session {
	struct worker_pool *pool;
	struct scan_source *src;
	const struct query *q;
	const struct query_sink *sink;
	uint64_t serial, deadline_ns;
	int fd, status_fd;
	struct session_scan scans[SCANS_MAX];
	struct strbuf in, out;
	size_t n_cols;
	uint64_t rows, bytes;
	bool has_columns, done;
	int result;
	struct query_coverage *cov;
	struct query_error *error;
};

int worker_pool_new(const struct run_as_ids *as, struct worker_pool **ret)
{
	_cleanup_(freep) struct worker_pool *p = calloc(1, sizeof(*p));
	int fds[2];

	if (!p)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	p->zygote = fork();
	if (p->zygote == 0)
		zygote_main(fds[1], as);
	close(fds[1]);
	if (p->zygote < 0) {
		close(fds[0]);
		return -EAGAIN;
	}
	p->control = fds[0];
	*ret = TAKE_PTR(p);
	return 0;
}

void worker_pool_free(struct worker_pool *p)
{
	if (!p)
		return;
	close(p->control);
	while (waitpid(p->zygote, NULL, 0) < 0 && errno == EINTR)
		;
	free(p);
}

bool worker_pool_died(struct worker_pool *p)
{
	return waitpid(p->zygote, NULL, WNOHANG) == p->zygote;
}

static int fail(struct session *s, int result, const char *code, const char *hint,
		const char *message)
{
	memset(s->error, 0, sizeof(*s->error));
	s->error->position = -1;
	snprintf(s->error->code, sizeof(s->error->code), "%s", code);
	snprintf(s->error->message, sizeof(s->error->message), "%s", message);
	snprintf(s->error->hint, sizeof(s->error->hint), "%s", hint);
	s->cov->complete = false;
	s->cov->truncated = true;
	return result;
}

static int fail_deadline(struct session *s)
{
	return fail(s, -ETIME, "timeout", "narrow the time range or the conditions",
		    "the query took too long and was stopped");
}

static int send_request(struct session *s, enum zygote_op op, int child_fd, int status_fd)
{
	struct zygote_request req = { .op = op,
				      .serial = s->serial,
				      .memory_bytes = s->q->limits.memory_bytes
							      ? s->q->limits.memory_bytes
							      : WORKER_MEMORY_DEFAULT };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &req, sizeof(req) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[2] = { child_fd, status_fd };

	req.cpu_s = (s->q->limits.timeout_ns ? s->q->limits.timeout_ns
					     : WORKER_TIMEOUT_DEFAULT_NS) /
			    NSEC_PER_SEC +
		    2;
	if (op == ZYGOTE_RUN) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)),
							 .cmsg_level = SOL_SOCKET,
							 .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, sizeof(fds));
	}
	if (sendmsg(s->pool->control, &msg, MSG_NOSIGNAL) != sizeof(req))
		return fail(s, -EPIPE, "worker", "restart the program",
			    "the process that starts query workers is gone");
	return 0;
}

static int start_child(struct session *s)
{
	int pair[2], status[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(s, -errno, "worker", "", "no socket for a query worker");
	if (pipe2(status, O_CLOEXEC) < 0) {
		close(pair[0]);
		close(pair[1]);
		return fail(s, -EMFILE, "worker", "", "no pipe for a query worker");
	}
	s->fd = pair[0];
	s->status_fd = status[0];
	r = send_request(s, ZYGOTE_RUN, pair[1], status[1]);
	close(pair[1]);
	close(status[1]);
	return r;
}

/* Waits for the socket: 0; -ETIME past the deadline and its grace; -ECANCELED. */
static int wait_for(struct session *s, short events)
{
	struct pollfd p = { .fd = s->fd, .events = events };

	for (;;) {
		uint64_t now = clock_mono_ns(), left_ms;
		int r;

		if (s->q->cancel && atomic_load(s->q->cancel))
			return fail(s, -ECANCELED, "cancelled", "", "the query was cancelled");
		if (now >= s->deadline_ns)
			return fail_deadline(s);
		left_ms = (s->deadline_ns - now) / NSEC_PER_MSEC + 1;
		if (s->q->cancel)
			left_ms = MIN(left_ms, (uint64_t)CANCEL_LOOK_MS);
		r = poll(&p, 1, (int)MIN(left_ms, (uint64_t)INT32_MAX));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return fail(s, -errno, "worker", "", "waiting for a query worker failed");
	}
}

static int io_all(struct session *s, void *p, size_t n, bool out)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t done = out ? send(s->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT)
				   : recv(s->fd, at, n, MSG_DONTWAIT);
		int r;

		if (done > 0) {
			at += done;
			n -= (size_t)done;
			continue;
		}
		if (done == 0 || (errno != EAGAIN && errno != EINTR))
			return -EPIPE; /* the child is gone; its status says why */
		r = wait_for(s, out ? POLLOUT : POLLIN);
		if (r < 0)
			return r;
	}
	return 0;
}

static int recv_frame(struct session *s)
{
	uint8_t head[FRAME_HEAD_BYTES];
	int r = wait_for(s, POLLIN);
	struct reader in;
	uint32_t n;
	void *p;

	if (r == 0)
		r = io_all(s, head, sizeof(head), false);
	if (r < 0)
		return r;
	in = reader_of(slice_of(head, 4));
	n = read_le32(&in);
	if (n > FRAME_MAX)
		return -EBADMSG;
	strbuf_reset(&s->in);
	p = strbuf_reserve(&s->in, n);
	if (!p)
		return -ENOMEM;
	r = io_all(s, p, n, false);
	s->in.len = n;
	return r < 0 ? r : head[4];
}

static int send_out(struct session *s)
{
	int r = frame_end(&s->out);

	return r < 0 ? r : io_all(s, s->out.p, s->out.len, true);
}

static int send_number(struct session *s, enum frame_type type, uint64_t v)
{
	frame_begin(&s->out, type);
	put_number(&s->out, v);
	return send_out(s);
}

static int on_open(struct session *s, struct slice payload)
{
	struct wire_plan plan;
	size_t i = 0;
	int r;

	while (i < SCANS_MAX && s->scans[i].scan)
		i++;
	if (i == SCANS_MAX)
		return send_number(s, FRAME_FAILED, EMFILE);
	r = wire_get_plan(payload, &plan);
	if (r < 0)
		return r;
	plan.plan.cancel = s->q->cancel;
	r = s->src->open(s->src, &plan.plan, &s->scans[i].scan);
	wire_plan_done(&plan);
	if (r < 0) {
		s->scans[i].scan = NULL;
		return send_number(s, FRAME_FAILED, (uint64_t)-r);
	}
	s->scans[i].batch.n_rows = s->scans[i].next = 0;
	return send_number(s, FRAME_OPENED, i);
}

static struct session_scan *scan_of(struct session *s, struct slice payload)
{
	struct reader in = reader_of(payload);
	uint64_t i = read_varint(&in);

	return in.bad || i >= SCANS_MAX || !s->scans[i].scan ? NULL : &s->scans[i];
}

static int on_next(struct session *s, struct slice payload)
{
	struct session_scan *sc = scan_of(s, payload);
	int r;

	if (!sc)
		return -EBADMSG;
	while (sc->next >= sc->batch.n_rows) {
		r = sc->scan->ops->next(sc->scan, &sc->batch);
		sc->next = 0;
		if (r <= 0)
			sc->batch.n_rows = 0;
		if (r < 0)
			return send_number(s, FRAME_FAILED, (uint64_t)-r);
		if (r == 0) {
			frame_begin(&s->out, FRAME_END);
			return send_out(s);
		}
	}
	frame_begin(&s->out, FRAME_BATCH);
	r = wire_put_batch(&s->out, &sc->batch, sc->next, &sc->next);
	return r < 0 ? send_number(s, FRAME_FAILED, (uint64_t)-r) : send_out(s);
}

static int on_coverage(struct session *s, struct slice payload)
{
	struct session_scan *sc = scan_of(s, payload);
	struct scan_coverage cov = { 0 };

	if (!sc)
		return -EBADMSG;
	sc->scan->ops->coverage(sc->scan, &cov);
	frame_begin(&s->out, FRAME_COVERAGE);
	wire_put_coverage(&s->out, &cov);
	return send_out(s);
}

static int on_close(struct session *s, struct slice payload)
{
	struct session_scan *sc = scan_of(s, payload);

	if (!sc)
		return -EBADMSG;
	sc->scan->ops->close(sc->scan);
	sc->scan = NULL;
	return 0;
}

static int on_columns(struct session *s, struct slice payload)
{
	struct query_column cols[QUERY_COLUMNS_MAX];
	struct strbuf texts = STRBUF_INIT(FRAME_MAX);
	int r = s->has_columns ? -EBADMSG : msg_get_columns(payload, cols, &s->n_cols, &texts);

	s->has_columns = true;
	if (r == 0) {
		r = s->sink->columns(s->sink->ctx, cols, s->n_cols);
		if (r < 0)
			r = fail(s, r, "sink", "", "the answer could not be delivered");
	}
	strbuf_done(&texts);
	return r;
}

static int on_rows(struct session *s, struct slice payload)
{
	struct query_cell cells[QUERY_COLUMNS_MAX];
	const struct query_limits *l = &s->q->limits;
	struct reader in = reader_of(payload);

	if (!s->has_columns)
		return -EBADMSG;
	while (msg_get_row(&in, cells, s->n_cols)) {
		int r;

		/* The child keeps to the caps; one that does not is not believed in anything. */
		s->rows++;
		for (size_t i = 0; i < s->n_cols; i++)
			s->bytes += cells[i].text.n + 8;
		if ((l->rows && s->rows > l->rows) || (l->bytes && s->bytes > l->bytes))
			return -EBADMSG;
		r = s->sink->row(s->sink->ctx, cells, s->n_cols);
		if (r < 0)
			return fail(s, r, "sink", "", "the answer could not be delivered");
	}
	return in.bad || reader_left(&in) ? -EBADMSG : 0;
}

static int on_done(struct session *s, struct slice payload)
{
	int r;

	query_coverage_done(s->cov);
	r = msg_get_done(payload, &s->result, s->cov, s->error);
	s->done = r == 0;
	s->cov->rows = s->rows;
	return r;
}

static int serve(struct session *s)
{
	static const struct {
		int type;
		int (*handle)(struct session *, struct slice);
	} table[] = {
		{ FRAME_OPEN, on_open },
		{ FRAME_NEXT, on_next },
		{ FRAME_ASK_COVERAGE, on_coverage },
		{ FRAME_CLOSE, on_close },
		{ FRAME_COLUMNS, on_columns },
		{ FRAME_ROWS, on_rows },
		{ FRAME_DONE, on_done },
	};

	while (!s->done) {
		int type = recv_frame(s), r = -EBADMSG;

		if (type < 0)
			return type;
		for (size_t i = 0; i < ARRAY_SIZE(table); i++)
			if (table[i].type == type)
				r = table[i].handle(s, strbuf_slice(&s->in));
		if (r < 0)
			return r;
	}
	return s->result;
}

/* The child ended without an answer: what its end says. */
static int explain_death(struct session *s)
{
	struct pollfd p = { .fd = s->status_fd, .events = POLLIN };
	int status = 0;

	if (poll(&p, 1, STATUS_WAIT_MS) <= 0 ||
	    read(s->status_fd, &status, sizeof(status)) != sizeof(status))
		return fail(s, -EPIPE, "worker", "restart the program",
			    "the query worker could not be started");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return fail(s, -EACCES, "not_allowed", "",
			    "the query tried to reach outside its worker");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return fail_deadline(s);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return fail(s, -ENOMEM, "memory", "narrow the time range, group by fewer values",
			    "the query worker was killed, most likely for want of memory");
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_FAILED_SANDBOX)
		return fail(s, -EIO, "worker", "see kelpie doctor",
			    "this system does not let a query worker be limited");
	return fail(s, -EIO, "worker", "please report it with the statement",
		    "the query worker ended unexpectedly");
}

static int run_session(struct session *s, const struct query *q)
{
	int r = start_child(s);

	if (r < 0)
		return r;
	frame_begin(&s->out, FRAME_QUERY);
	msg_put_query(&s->out, q);
	r = send_out(s);
	if (r == 0)
		r = serve(s);
	if (s->done)
		return s->result;
	if (r == -EPIPE && !s->error->code[0])
		return explain_death(s);
	send_request(s, ZYGOTE_KILL, -1, -1);
	if (s->error->code[0])
		return r;
	if (r == -ENOMEM)
		return fail(s, r, "memory", "", "no memory for the answer");
	return fail(s, -EIO, "worker", "please report it with the statement",
		    "the query worker broke its protocol");
}

int worker_run(struct worker_pool *p, struct scan_source *src, const struct query *q,
	       const struct query_sink *sink, struct query_coverage *ret_coverage,
	       struct query_error *ret_error)
{
	_cleanup_(freep) struct session *s = calloc(1, sizeof(*s));
	struct query copy = *q;
	int r;

	memset(ret_coverage, 0, sizeof(*ret_coverage));
	memset(ret_error, 0, sizeof(*ret_error));
	ret_error->position = -1;
	if (!s)
		return -ENOMEM;
	if (!copy.limits.timeout_ns)
		copy.limits.timeout_ns = WORKER_TIMEOUT_DEFAULT_NS;
	*s = (struct session){ .pool = p,
			       .src = src,
			       .q = q,
			       .sink = sink,
			       .fd = -1,
			       .status_fd = -1,
			       .cov = ret_coverage,
			       .error = ret_error };
	strbuf_init(&s->in, FRAME_MAX);
	strbuf_init(&s->out, FRAME_MAX + FRAME_HEAD_BYTES);
	s->serial = atomic_fetch_add(&p->serials, 1) + 1;
	s->deadline_ns = clock_mono_ns() + copy.limits.timeout_ns + WORKER_GRACE_NS;
	if (atomic_fetch_add(&p->running, 1) >= WORKER_CHILDREN_MAX)
		r = fail(s, -EBUSY, "busy", "try again in a moment",
			 "too many queries are running");
	else
		r = run_session(s, &copy);
	atomic_fetch_sub(&p->running, 1);
	for (size_t i = 0; i < SCANS_MAX; i++)
		if (s->scans[i].scan)
			s->scans[i].scan->ops->close(s->scans[i].scan);
	closep(&s->fd);
	closep(&s->status_fd);
	strbuf_done(&s->in);
	strbuf_done(&s->out);
	return r;
}

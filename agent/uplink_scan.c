/* The scan pool of the uplink: requests wait in order of arrival, UPLINK_SCANS_MAX run at once. A
 * scan sends only what the collector gave credit for, so a slow reader stops its own scan and
 * nothing else.
 */
#include "agent/uplink_int.h"
#include "base/clock.h"

#include "query/wire.h"

#include <errno.h>

#define CREDIT_MAX_BYTES (64 * MIB) /* a peer cannot ask for more to be on its way */
#define CELL_COST_BYTES	 10	    /* of a number on the wire, at most */

static void send_done(struct uplink *u, uint64_t stream, uint64_t id, Kelpie__ScanStatus status,
		      const char *message, const struct scan_coverage *cov)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__ScanDone done = KELPIE__SCAN_DONE__INIT;
	Kelpie__Coverage c = KELPIE__COVERAGE__INIT;

	done.id = id;
	done.status = status;
	done.message = (char *)(uintptr_t)message;
	if (cov) {
		c.rows_scanned = cov->rows_scanned;
		c.rows_matched = cov->rows_matched;
		c.segments_read = cov->segments_read;
		c.segments_skipped = cov->segments_skipped;
		c.segments_bad = cov->segments_bad;
		c.rows_bad = cov->rows_bad;
		c.oldest_ns = cov->oldest_ns;
		c.newest_ns = cov->newest_ns;
		c.truncated = cov->truncated;
		done.coverage = &c;
	}
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_SCAN_DONE;
	m.scan_done = &done;
	uplink_push(u, stream, &m, SIZE_MAX);
}

static struct uplink_scan *find_scan(struct uplink *u, uint64_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(u->scans); i++)
		if (u->scans[i].state != SCAN_FREE && u->scans[i].stream == u->stream &&
		    u->scans[i].id == id)
			return &u->scans[i];
	return NULL;
}

static struct uplink_scan *next_queued(struct uplink *u)
{
	struct uplink_scan *best = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(u->scans); i++)
		if (u->scans[i].state == SCAN_QUEUED && (!best || u->scans[i].order < best->order))
			best = &u->scans[i];
	return best;
}

static size_t plan_bytes(const struct uplink *u)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(u->scans); i++)
		n += u->scans[i].state == SCAN_FREE ? 0 : u->scans[i].plan_bytes;
	return n;
}

/* 0 or the status to refuse with. */
static int queue_scan(struct uplink *u, const Kelpie__Scan *req)
{
	struct uplink_scan *s = NULL;
	uint8_t *plan;

	if (find_scan(u, req->id))
		return KELPIE__SCAN_STATUS__SCAN_BAD_REQUEST;
	if (plan_bytes(u) + req->plan.len > UPLINK_PLANS_BYTES)
		return KELPIE__SCAN_STATUS__SCAN_BUSY;
	for (size_t i = 0; i < ARRAY_SIZE(u->scans) && !s; i++)
		if (u->scans[i].state == SCAN_FREE)
			s = &u->scans[i];
	if (!s)
		return KELPIE__SCAN_STATUS__SCAN_BUSY;
	plan = malloc(req->plan.len + 1);
	if (!plan)
		return KELPIE__SCAN_STATUS__SCAN_FAILED;
	if (req->plan.len)
		memcpy(plan, req->plan.data, req->plan.len);
	s->state = SCAN_QUEUED;
	s->id = req->id;
	s->order = ++u->scan_order;
	s->stream = u->stream;
	s->deadline_ns = clock_mono_ns() + UPLINK_SCAN_NS_MAX;
	if (req->deadline_ms && req->deadline_ms < UPLINK_SCAN_NS_MAX / NSEC_PER_MSEC)
		s->deadline_ns = clock_mono_ns() + req->deadline_ms * NSEC_PER_MSEC;
	s->credit_bytes = (int64_t)MIN(req->credit_bytes, (uint64_t)CREDIT_MAX_BYTES);
	s->deadline_hit = false;
	atomic_store(&s->cancel, false);
	s->plan = plan;
	s->plan_bytes = req->plan.len;
	pthread_cond_signal(&u->work);
	return 0;
}

void uplink_scan_request(struct uplink *u, const Kelpie__Scan *req)
{
	const char *why = "the id is in use";
	int refused;

	if (req->plan_version > WIRE_VERSION) {
		send_done(u, 0, req->id, KELPIE__SCAN_STATUS__SCAN_UNSUPPORTED,
			  "this agent is older than the collector's plan", NULL);
		return;
	}
	pthread_mutex_lock(&u->lock);
	refused = queue_scan(u, req);
	pthread_mutex_unlock(&u->lock);
	if (!refused)
		return;
	if (refused == KELPIE__SCAN_STATUS__SCAN_BUSY)
		why = "too many scans on this node";
	else if (refused == KELPIE__SCAN_STATUS__SCAN_FAILED)
		why = "no memory";
	send_done(u, 0, req->id, (Kelpie__ScanStatus)refused, why, NULL);
}

void uplink_scan_credit(struct uplink *u, const Kelpie__Credit *req)
{
	struct uplink_scan *s;

	pthread_mutex_lock(&u->lock);
	s = find_scan(u, req->id);
	if (s) {
		int64_t sum = s->credit_bytes +
			      (int64_t)MIN(req->bytes, (uint64_t)CREDIT_MAX_BYTES);

		s->credit_bytes = MIN(sum, (int64_t)CREDIT_MAX_BYTES);
		pthread_cond_broadcast(&u->progress);
	}
	pthread_mutex_unlock(&u->lock);
}

void uplink_scan_cancel(struct uplink *u, uint64_t id)
{
	struct uplink_scan *s;

	pthread_mutex_lock(&u->lock);
	s = find_scan(u, id);
	if (s) {
		atomic_store(&s->cancel, true);
		pthread_cond_broadcast(&u->progress);
	}
	pthread_mutex_unlock(&u->lock);
}

void uplink_scans_drop(struct uplink *u)
{
	for (size_t i = 0; i < ARRAY_SIZE(u->scans); i++)
		if (u->scans[i].state != SCAN_FREE)
			atomic_store(&u->scans[i].cancel, true);
	pthread_cond_broadcast(&u->progress);
}

uint64_t uplink_scans_expire(struct uplink *u, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < ARRAY_SIZE(u->scans); i++) {
		struct uplink_scan *s = &u->scans[i];

		if (s->state == SCAN_FREE || s->deadline_hit)
			continue;
		if (s->deadline_ns <= now_ns) {
			s->deadline_hit = true;
			atomic_store(&s->cancel, true);
			pthread_cond_broadcast(&u->progress);
		} else {
			next = MIN(next, s->deadline_ns);
		}
	}
	pthread_mutex_unlock(&u->lock);
	return next;
}

/* Waits until the scan may send. 0 or -ECANCELED. */
static int wait_for_credit(struct uplink *u, struct uplink_scan *s)
{
	int ret = 0;

	pthread_mutex_lock(&u->lock);
	while (!u->stop && !atomic_load(&s->cancel) &&
	       (s->credit_bytes <= 0 || frame_writer_queued(&u->out) >= UPLINK_QUEUE_SOFT_BYTES))
		pthread_cond_wait(&u->progress, &u->lock);
	if (u->stop || atomic_load(&s->cancel))
		ret = -ECANCELED;
	pthread_mutex_unlock(&u->lock);
	return ret;
}

/* The row after the last one that should share a message with row first. */
static size_t piece_end(const struct scan_batch *b, size_t first)
{
	size_t bytes = 0, row = first;

	while (row < b->n_rows) {
		for (size_t c = 0; c < b->n_cols; c++) {
			bytes += CELL_COST_BYTES;
			if (b->cols[c].kinds[row] == VALUE_TEXT)
				bytes += b->cols[c].texts[row].n;
		}
		row++;
		if (bytes > UPLINK_BATCH_BYTES)
			break;
	}
	return row;
}

static int send_batch(struct uplink *u, struct uplink_scan *s, const struct scan_batch *b,
		      struct strbuf *buf)
{
	size_t row = 0;

	while (row < b->n_rows) {
		struct scan_batch piece = *b;
		Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
		Kelpie__Batch msg = KELPIE__BATCH__INIT;
		int err = wait_for_credit(u, s);

		if (err < 0)
			return err;
		piece.n_rows = piece_end(b, row);
		strbuf_reset(buf);
		err = wire_put_batch(buf, &piece, row, &row);
		if (err < 0)
			return err;
		msg.id = s->id;
		msg.data.data = (uint8_t *)buf->p;
		msg.data.len = buf->len;
		m.kind_case = KELPIE__AGENT_MESSAGE__KIND_BATCH;
		m.batch = &msg;
		err = uplink_push(u, s->stream, &m, SIZE_MAX);
		if (err < 0)
			return err;
		pthread_mutex_lock(&u->lock);
		s->credit_bytes -= (int64_t)(buf->len + BATCH_COST_BYTES);
		pthread_mutex_unlock(&u->lock);
	}
	return 0;
}

/* Reads the scan to its end. 0 or negative errno; *ret_cov says what was read in both cases. */
static int pump(struct uplink *u, struct uplink_scan *s, struct scan *scan,
		struct scan_coverage *ret_cov)
{
	struct strbuf buf = STRBUF_INIT(WIRE_BATCH_MAX + KIB);
	struct scan_batch batch;
	int have, err = 0;

	while (err == 0 && (have = scan->ops->next(scan, &batch)) != 0)
		err = have < 0 ? have : send_batch(u, s, &batch, &buf);
	scan->ops->coverage(scan, ret_cov);
	strbuf_done(&buf);
	return err;
}

static void report(struct uplink *u, const struct uplink_scan *s, int err,
		   const struct scan_coverage *cov)
{
	Kelpie__ScanStatus status = KELPIE__SCAN_STATUS__SCAN_OK;
	const char *message = "";

	if (s->deadline_hit && (err == -ECANCELED || (cov && cov->truncated))) {
		status = KELPIE__SCAN_STATUS__SCAN_DEADLINE;
	} else if (err == -ECANCELED) {
		status = KELPIE__SCAN_STATUS__SCAN_CANCELLED;
	} else if (err == -EBADMSG) {
		status = KELPIE__SCAN_STATUS__SCAN_BAD_REQUEST;
		message = "the plan does not decode";
	} else if (err == -EINVAL) {
		status = KELPIE__SCAN_STATUS__SCAN_UNSUPPORTED;
		message = "this agent does not know a table, column or operator of the plan";
	} else if (err < 0) {
		status = KELPIE__SCAN_STATUS__SCAN_FAILED;
		message = strerrordesc_np(-err);
	}
	send_done(u, s->stream, s->id, status, message, cov);
}

static void run_scan(struct uplink *u, struct uplink_scan *s)
{
	struct scan_coverage cov = { 0 };
	struct wire_plan wire;
	struct scan *scan;
	int err;

	err = wire_get_plan(slice_of(s->plan, s->plan_bytes), &wire);
	if (err < 0) {
		report(u, s, err, NULL);
		return;
	}
	wire.plan.cancel = &s->cancel;
	err = atomic_load(&s->cancel) ? -ECANCELED
				      : u->cfg.source->open(u->cfg.source, &wire.plan, &scan);
	if (err < 0) {
		cov.truncated = true;
		report(u, s, err, &cov);
	} else {
		err = pump(u, s, scan, &cov);
		scan->ops->close(scan);
		if (err < 0)
			cov.truncated = true;
		report(u, s, err, &cov);
	}
	wire_plan_done(&wire);
}

void *uplink_scan_thread(void *arg)
{
	struct uplink *u = arg;

	pthread_mutex_lock(&u->lock);
	while (!u->stop) {
		struct uplink_scan *s = next_queued(u);

		if (!s) {
			pthread_cond_wait(&u->work, &u->lock);
			continue;
		}
		s->state = SCAN_RUNNING;
		pthread_mutex_unlock(&u->lock);
		run_scan(u, s);
		pthread_mutex_lock(&u->lock);
		free(s->plan);
		s->plan = NULL;
		s->state = SCAN_FREE;
	}
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* Bounded hand-over of an answer. */
#include "collector/out.h"

#include "base/clock.h"

#include <errno.h>

#define BLOCK_BYTES (32 * KIB) /* what the HTTP library asks for at once */

struct out *out_new(struct MHD_Connection *conn)
{
	struct out *o = calloc(1, sizeof(*o));
	pthread_condattr_t attr;

	if (!o)
		return NULL;
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->room, &attr);
	pthread_condattr_destroy(&attr);
	o->refs = 1;
	o->conn = conn;
	o->type = "application/json";
	return o;
}

void out_put(struct out *o)
{
	unsigned int left;

	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	left = --o->refs;
	pthread_mutex_unlock(&o->lock);
	if (left)
		return;
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->room);
	free(o->trailer);
	free(o->buf);
	free(o);
}

/* With lock. */
static void wake_reader(struct out *o)
{
	if (!o->suspended || !o->conn)
		return;
	o->suspended = false;
	MHD_resume_connection(o->conn);
}

/* With lock. */
static int append(struct out *o, const void *p, size_t n)
{
	if (o->off == o->len)
		o->off = o->len = 0;
	if (o->cap - o->len < n && o->off > 0) {
		memmove(o->buf, o->buf + o->off, o->len - o->off);
		o->len -= o->off;
		o->off = 0;
	}
	if (o->cap - o->len < n) {
		size_t want = MAX(o->len + n, 2 * o->cap);
		uint8_t *buf = realloc(o->buf, want);

		if (!buf)
			return -ENOMEM;
		o->buf = buf;
		o->cap = want;
	}
	memcpy(o->buf + o->len, p, n);
	o->len += n;
	if (!o->committed && o->len - o->off >= OUT_COMMIT_AT) {
		o->committed = true;
		o->status = MHD_HTTP_OK;
	}
	if (o->committed)
		wake_reader(o);
	return 0;
}

int out_write(struct out *o, const void *p, size_t n, uint64_t until_ns)
{
	struct timespec until = clock_timespec(until_ns);
	int err = 0;

	pthread_mutex_lock(&o->lock);
	while (!atomic_load(&o->cancel) && o->len - o->off >= OUT_BUFFER_MAX && err == 0)
		err = -pthread_cond_timedwait(&o->room, &o->lock, &until);
	if (atomic_load(&o->cancel))
		err = -ECANCELED;
	else if (err == -ETIMEDOUT)
		err = -ETIME;
	else
		err = n ? append(o, p, n) : 0;
	pthread_mutex_unlock(&o->lock);
	return err;
}

int out_try_write(struct out *o, const void *p, size_t n)
{
	int err;

	pthread_mutex_lock(&o->lock);
	if (atomic_load(&o->cancel))
		err = -ECANCELED;
	else if (o->len - o->off + n > OUT_BUFFER_MAX)
		err = -EAGAIN;
	else
		err = append(o, p, n);
	pthread_mutex_unlock(&o->lock);
	return err;
}

void out_set_type(struct out *o, const char *type)
{
	o->type = type;
}

void out_commit(struct out *o, unsigned int status)
{
	pthread_mutex_lock(&o->lock);
	if (!o->committed) {
		o->committed = true;
		o->status = status;
	}
	wake_reader(o);
	pthread_mutex_unlock(&o->lock);
}

bool out_committed(struct out *o)
{
	bool committed;

	pthread_mutex_lock(&o->lock);
	committed = o->committed;
	pthread_mutex_unlock(&o->lock);
	return committed;
}

static void tell_end(struct out *o)
{
	void (*fn)(void *ctx) = o->on_end;

	o->on_end = NULL;
	if (fn)
		fn(o->end_ctx);
}

bool out_replace(struct out *o, unsigned int status, const char *type, struct slice body)
{
	bool done = false;

	tell_end(o);
	pthread_mutex_lock(&o->lock);
	if (!o->committed) {
		o->off = o->len = 0;
		o->type = type;
		o->committed = o->finished = true;
		o->status = status;
		done = append(o, body.p, body.n) == 0;
		wake_reader(o);
	}
	pthread_mutex_unlock(&o->lock);
	return done;
}

void out_finish(struct out *o, const char *coverage, bool broken)
{
	tell_end(o);
	pthread_mutex_lock(&o->lock);
	if (!o->finished) {
		o->trailer = coverage ? strdup(coverage) : NULL;
		o->finished = true;
		o->broken = broken;
		if (!o->committed) {
			o->committed = true;
			o->status = MHD_HTTP_OK;
		}
	}
	wake_reader(o);
	pthread_mutex_unlock(&o->lock);
}

/* Called by the HTTP library for more bytes. */
static ssize_t read_out(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct out *o = cls;
	ssize_t n = 0;

	(void)pos;
	pthread_mutex_lock(&o->lock);
	if (o->gone) {
		n = MHD_CONTENT_READER_END_WITH_ERROR;
	} else if (o->off < o->len) {
		size_t take = MIN(max, o->len - o->off);

		memcpy(buf, o->buf + o->off, take);
		o->off += take;
		n = (ssize_t)take;
		pthread_cond_broadcast(&o->room);
	} else if (o->finished) {
		if (o->trailer)
			MHD_add_response_footer(o->response, "Kelpie-Coverage", o->trailer);
		n = o->broken ? MHD_CONTENT_READER_END_WITH_ERROR
			      : MHD_CONTENT_READER_END_OF_STREAM;
	} else if (o->conn) {
		o->suspended = true;
		MHD_suspend_connection(o->conn);
	}
	pthread_mutex_unlock(&o->lock);
	return n;
}

static void free_reader(void *cls)
{
	out_put(cls);
}

/* With lock: a whole answer gets its length, one in the making is streamed. */
static struct MHD_Response *make_response(struct out *o)
{
	struct MHD_Response *r;

	if (o->finished && !o->broken) {
		r = MHD_create_response_from_buffer(o->len - o->off, o->buf + o->off,
						    MHD_RESPMEM_MUST_COPY);
		if (r && o->trailer)
			MHD_add_response_header(r, "Kelpie-Coverage", o->trailer);
		return r;
	}
	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_out, o,
					      free_reader);
	if (r)
		o->refs++;
	o->response = r;
	return r;
}

enum MHD_Result out_answer(struct out *o, struct MHD_Connection *conn)
{
	enum MHD_Result ret = MHD_NO;
	struct MHD_Response *r;

	pthread_mutex_lock(&o->lock);
	if (o->gone) {
		pthread_mutex_unlock(&o->lock);
		return MHD_NO;
	}
	if (!o->committed) {
		o->suspended = true;
		MHD_suspend_connection(conn);
		pthread_mutex_unlock(&o->lock);
		return MHD_YES;
	}
	r = make_response(o);
	pthread_mutex_unlock(&o->lock);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", o->type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	ret = MHD_queue_response(conn, o->status, r);
	MHD_destroy_response(r);
	return ret;
}

void out_abort(struct out *o)
{
	pthread_mutex_lock(&o->lock);
	atomic_store(&o->cancel, true);
	o->gone = true;
	pthread_cond_broadcast(&o->room);
	wake_reader(o);
	pthread_mutex_unlock(&o->lock);
}

void out_detach(struct out *o)
{
	pthread_mutex_lock(&o->lock);
	o->conn = NULL;
	if (!o->finished || o->off < o->len)
		atomic_store(&o->cancel, true);
	pthread_cond_broadcast(&o->room);
	pthread_mutex_unlock(&o->lock);
}

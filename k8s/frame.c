#include "k8s/frame.h"

void frames_init(struct frames *f, enum frame_format format)
{
	*f = (struct frames){ .format = format };
	strbuf_init(&f->held, K8S_FRAME_MAX);
}

void frames_done(struct frames *f)
{
	strbuf_done(&f->held);
}

void frame_reset(struct strbuf *held)
{
	size_t max = held->max;

	if (held->cap > K8S_FRAME_KEPT) {
		strbuf_done(held);
		strbuf_init(held, max);
	} else {
		strbuf_reset(held);
	}
}

bool frame_take(struct strbuf *held, struct slice *in, size_t n)
{
	strbuf_add(held, in->p, n);
	*in = slice_from(*in, n);
	return !held->failed;
}

static enum frame_result give(struct frames *f, struct frame *ret)
{
	f->whole = true;
	*ret = (struct frame){ (uint8_t *)f->held.p, f->held.len };
	return FRAME_ONE;
}

static enum frame_result next_pb(struct frames *f, struct slice *in, struct frame *ret)
{
	while (f->n_head < sizeof(f->head) && in->n > 0) {
		f->head[f->n_head++] = in->p[0];
		*in = slice_from(*in, 1);
		if (f->n_head == sizeof(f->head))
			f->want = (uint32_t)f->head[0] << 24 | (uint32_t)f->head[1] << 16 |
				  (uint32_t)f->head[2] << 8 | f->head[3];
	}
	if (f->n_head < sizeof(f->head))
		return FRAME_MORE;
	/* An event is never empty. */
	if (f->want == 0 || f->want >= K8S_FRAME_MAX)
		return FRAME_BAD;
	if (!frame_take(&f->held, in, MIN(in->n, f->want - f->held.len)))
		return FRAME_BAD;
	if (f->held.len < f->want)
		return FRAME_MORE;
	f->n_head = 0;
	return give(f, ret);
}

/* Empty lines are none. */
static enum frame_result next_line(struct frames *f, struct slice *in, struct frame *ret)
{
	while (in->n > 0) {
		size_t n = slice_find(*in, '\n');
		bool ended = n < in->n;

		if (!frame_take(&f->held, in, n))
			return FRAME_BAD;
		if (!ended)
			break;
		*in = slice_from(*in, 1);
		if (slice_trim(strbuf_slice(&f->held)).n > 0)
			return give(f, ret);
		frame_reset(&f->held);
	}
	return FRAME_MORE;
}

enum frame_result frames_next(struct frames *f, struct slice *in, struct frame *ret)
{
	if (f->whole) {
		frame_reset(&f->held);
		f->whole = false;
	}
	if (in->n == 0)
		return FRAME_MORE;
	return f->format == FRAME_PB ? next_pb(f, in, ret) : next_line(f, in, ret);
}

bool frames_between(const struct frames *f)
{
	return f->n_head == 0 && (f->whole || f->held.len == 0);
}

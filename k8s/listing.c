#include "k8s/listing.h"

#define MAGIC	       "k8s" /* and its NUL */
#define JSON_DEPTH_MAX 64
#define FIELD_META     1
#define FIELD_ITEMS    2
#define FIELD_RAW      2

enum state { AT_MAGIC, AT_TAG, AT_LENGTH, AT_VARINT, AT_SKIP, AT_COLLECT };

void listing_init(struct listing *l, enum frame_format format)
{
	*l = (struct listing){ .format = format };
	strbuf_init(&l->held, K8S_FRAME_MAX);
}

void listing_done(struct listing *l)
{
	strbuf_done(&l->held);
}

static enum frame_result give(struct listing *l, struct frame *ret)
{
	l->whole = true;
	*ret = (struct frame){ (uint8_t *)l->held.p, l->held.len };
	return FRAME_ONE;
}

/* protobuf: a field is a tag, and what its wire type says. A step takes one byte, or what it can of a
 * run that is skipped or collected. */
static void to(struct listing *l, enum state s)
{
	l->state = (uint8_t)s;
	if (s == AT_TAG || s == AT_LENGTH || s == AT_VARINT) {
		l->v = 0;
		l->shift = 0;
	}
}

/* The list itself has ended where its length says. */
static bool after_field(struct listing *l)
{
	to(l, AT_TAG);
	if (l->inside && l->left == 0) {
		l->inside = false;
		l->done = true;
	}
	return true;
}

static bool has_tag(struct listing *l)
{
	static const struct {
		uint8_t state, n;
	} next[8] = { [0] = { AT_VARINT, 0 },
		      [1] = { AT_SKIP, 8 },
		      [2] = { AT_LENGTH, 0 },
		      [5] = { AT_SKIP, 4 } };

	l->wire = l->v & 7;
	l->number = l->v >> 3;
	if (l->number == 0 || next[l->wire].state == AT_MAGIC ||
	    (l->inside && next[l->wire].n > l->left))
		return false;
	to(l, next[l->wire].state);
	if (next[l->wire].n)
		l->v = next[l->wire].n;
	return true;
}

static bool has_length(struct listing *l)
{
	if (!l->inside && l->number == FIELD_RAW) {
		if (l->done)
			return false; /* a second list */
		l->inside = true;
		l->left = l->v;
		return after_field(l);
	}
	if (l->inside && l->v > l->left)
		return false;
	if (l->inside && (l->number == FIELD_META || l->number == FIELD_ITEMS)) {
		if (l->v >= K8S_FRAME_MAX)
			return false;
		to(l, AT_COLLECT);
		return true;
	}
	if (l->v == 0)
		return after_field(l);
	to(l, AT_SKIP);
	return true;
}

/* One byte of a varint. */
static bool step_varint(struct listing *l, uint8_t c)
{
	if (l->shift > 63 || (l->shift == 63 && c > 1))
		return false;
	l->v |= (uint64_t)(c & 0x7f) << l->shift;
	l->shift = (uint8_t)(l->shift + 7);
	if (c & 0x80)
		return true;
	if (l->state == AT_TAG)
		return has_tag(l);
	if (l->state == AT_LENGTH)
		return has_length(l);
	return after_field(l);
}

static bool step_magic(struct listing *l, uint8_t c)
{
	if (c != (uint8_t)MAGIC[l->v])
		return false;
	if (++l->v == sizeof(MAGIC))
		to(l, AT_TAG);
	return true;
}

static bool spend(struct listing *l, uint64_t n)
{
	if (!l->inside)
		return true;
	if (n > l->left)
		return false;
	l->left -= n;
	return true;
}

static bool step_run(struct listing *l, struct slice *in)
{
	size_t n = l->v < in->n ? (size_t)l->v : in->n;

	if (!spend(l, n))
		return false;
	l->v -= n;
	if (l->state == AT_COLLECT)
		return frame_take(&l->held, in, n);
	*in = slice_from(*in, n);
	return l->v > 0 || after_field(l);
}

static bool step_byte(struct listing *l, struct slice *in)
{
	uint8_t c = in->p[0];

	*in = slice_from(*in, 1);
	if (l->state == AT_MAGIC)
		return step_magic(l, c);
	return spend(l, 1) && step_varint(l, c);
}

static enum frame_result next_pb(struct listing *l, struct slice *in, struct frame *ret,
				 enum listing_what *ret_what)
{
	for (;;) {
		if (l->state == AT_COLLECT && l->v == 0) {
			*ret_what = l->number == FIELD_META ? LISTING_META : LISTING_ITEM;
			after_field(l);
			return give(l, ret);
		}
		if (in->n == 0)
			return FRAME_MORE;
		if (!(l->state == AT_SKIP || l->state == AT_COLLECT ? step_run(l, in)
								    : step_byte(l, in)))
			return FRAME_BAD;
	}
}

/* JSON: strings, depth, and the name of the member of the outermost object. What is collected is checked
 * by its decoder. */
static void in_string(struct listing *l, uint8_t c)
{
	if (l->escaped)
		l->escaped = false;
	else if (c == '\\')
		l->escaped = true;
	else if (c == '"')
		l->in_string = false;
	if (l->in_string && l->depth == 1 && !l->in_value && l->n_key < sizeof(l->key))
		l->key[l->n_key++] = (char)c;
}

static bool key_is(const struct listing *l, const char *key)
{
	return slice_eq_str(slice_of(l->key, l->n_key), key);
}

static bool enter(struct listing *l, uint8_t c)
{
	if (l->done || (l->depth == 0 && c != '{') || l->depth == JSON_DEPTH_MAX)
		return false;
	if (!l->collecting && c == '{' &&
	    ((l->depth == 1 && l->in_value && key_is(l, "metadata")) ||
	     (l->depth == 2 && l->in_items))) {
		l->collecting = true;
		l->outside = l->depth;
	}
	if (l->depth == 1 && c == '[' && l->in_value)
		l->in_items = key_is(l, "items");
	l->depth++;
	return true;
}

static bool leave(struct listing *l)
{
	if (l->depth == 0)
		return false;
	l->depth--;
	if (l->depth == 1 && !l->collecting)
		l->in_items = false;
	l->done = l->depth == 0;
	return true;
}

static bool step_json(struct listing *l, uint8_t c)
{
	if (l->in_string) {
		in_string(l, c);
		return true;
	}
	switch (c) {
	case '"':
		l->in_string = true;
		if (!l->in_value)
			l->n_key = 0;
		return l->depth > 0;
	case ':':
		l->in_value |= l->depth == 1;
		return l->depth > 0;
	case ',':
		l->in_value &= l->depth != 1;
		return l->depth > 0;
	case '{':
	case '[':
		return enter(l, c);
	case '}':
	case ']':
		return leave(l);
	}
	return l->depth > 0 || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static enum frame_result next_json(struct listing *l, struct slice *in, struct frame *ret,
				   enum listing_what *ret_what)
{
	size_t from = 0, i = 0;

	for (; i < in->n; i++) {
		bool before = l->collecting;

		if (!step_json(l, in->p[i]))
			return FRAME_BAD;
		if (l->collecting && !before)
			from = i;
		if (!l->collecting || l->in_string || l->depth > l->outside)
			continue;
		l->collecting = false;
		*ret_what = l->outside == 1 ? LISTING_META : LISTING_ITEM;
		strbuf_add(&l->held, in->p + from, i + 1 - from);
		*in = slice_from(*in, i + 1);
		return l->held.failed ? FRAME_BAD : give(l, ret);
	}
	if (l->collecting)
		strbuf_add(&l->held, in->p + from, i - from);
	*in = slice_from(*in, i);
	return l->held.failed ? FRAME_BAD : FRAME_MORE;
}

enum frame_result listing_next(struct listing *l, struct slice *in, struct frame *ret,
			       enum listing_what *ret_what)
{
	if (l->whole) {
		frame_reset(&l->held);
		l->whole = false;
	}
	return l->format == FRAME_PB ? next_pb(l, in, ret, ret_what)
				     : next_json(l, in, ret, ret_what);
}

bool listing_complete(const struct listing *l)
{
	return l->done && (l->format == FRAME_JSON || (l->state == AT_TAG && l->shift == 0));
}

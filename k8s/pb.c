#include "k8s/pb.h"

#include "base/bytes.h"
#include "base/util.h"

#include <errno.h>

#define UNIX_SECONDS_MAX 9223372036LL /* the year 2262, the last that nanoseconds can say */

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct cursor {
	struct reader r;
	uint64_t number, v; /* v: of WIRE_VARINT */
	struct slice bytes; /* of WIRE_BYTES */
	enum wire wire;
};

/* The next field. False at the end and when the bytes are none; then r.bad. */
static bool next_field(struct cursor *c)
{
	uint64_t tag;

	if (reader_left(&c->r) == 0)
		return false;
	tag = read_varint(&c->r);
	c->number = tag >> 3;
	c->wire = (enum wire)(tag & 7);
	switch (c->wire) {
	case WIRE_VARINT:
		c->v = read_varint(&c->r);
		break;
	case WIRE_64:
		read_bytes(&c->r, 8);
		break;
	case WIRE_BYTES:
		tag = read_varint(&c->r);
		c->bytes = read_bytes(&c->r, (size_t)tag);
		break;
	case WIRE_32:
		read_bytes(&c->r, 4);
		break;
	default: /* groups are not used, 6 and 7 are nothing */
		c->r.bad = true;
	}
	if (c->number == 0)
		c->r.bad = true;
	return !c->r.bad;
}

/* Time{seconds = 1, nanos = 2}. */
static int read_time(const struct field *f, void *base, struct slice bytes)
{
	struct cursor c = { .r = reader_of(bytes) };
	int64_t seconds = 0, nanos = 0;

	while (next_field(&c)) {
		if (c.wire == WIRE_VARINT && c.number == 1)
			seconds = (int64_t)c.v;
		if (c.wire == WIRE_VARINT && c.number == 2)
			nanos = (int64_t)c.v;
	}
	if (c.r.bad)
		return -EBADMSG;
	if (seconds > 0 && seconds < UNIX_SECONDS_MAX && nanos >= 0 &&
	    nanos < (int64_t)NSEC_PER_SEC)
		field_put_num(f, base, seconds * (int64_t)NSEC_PER_SEC + nanos);
	return 0;
}

static int read_bytes_field(const struct field *f, void *base, struct slice bytes)
{
	_Alignas(max_align_t) uint8_t element[FIELD_ELEMENT_MAX];
	int r;

	switch (f->type) {
	case FIELD_MESSAGE:
		return k8s_pb_read(f->of, (uint8_t *)base + f->offset, bytes);
	case FIELD_EACH:
	case FIELD_MAP:
		memset(element, 0, f->of->size);
		r = k8s_pb_read(f->of, element, bytes);
		if (r == 0)
			f->add((uint8_t *)base + f->offset, element);
		return r;
	case FIELD_TIME:
		return read_time(f, base, bytes);
	default:
		field_put_text(f, base, bytes);
		return 0;
	}
}

int k8s_pb_read(const struct fields *t, void *base, struct slice bytes)
{
	struct cursor c = { .r = reader_of(bytes) };
	int r;

	while (next_field(&c)) {
		const struct field *f = field_by_number(t, c.number);

		if (!f)
			continue;
		if (c.wire == WIRE_VARINT && f->type != FIELD_TIME)
			field_put_num(f, base, (int64_t)c.v);
		if (c.wire != WIRE_BYTES)
			continue;
		r = read_bytes_field(f, base, c.bytes);
		if (r < 0)
			return r;
	}
	return c.r.bad ? -EBADMSG : 0;
}

int k8s_pb_envelope(struct slice bytes, struct k8s_envelope *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!slice_starts(bytes, slice_of("k8s", 4)))
		return -EBADMSG;
	r = k8s_pb_read(&k8s_envelope_fields, ret, slice_from(bytes, 4));
	return r == 0 && ret->encoding.n > 0 ? -EBADMSG : r;
}

int k8s_pb_object(enum k8s_kind kind, struct slice bytes, struct k8s_object *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->kind = kind;
	return k8s_pb_read(k8s_object_fields(kind), ret, bytes);
}

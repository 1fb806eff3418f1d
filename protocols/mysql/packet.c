#include "protocols/mysql/packet.h"

#include "base/util.h"

#define TRACK_SCHEMA 1 /* type of a session's change: its default database */

uint64_t read_lenenc(struct reader *r)
{
	static const uint8_t widths[] = { 2, 3, 8 };
	uint8_t first = read_u8(r);

	if (first < 0xfb)
		return first;
	if (first >= 0xfc && first <= 0xfe)
		return read_le(r, widths[first - 0xfc]);
	r->bad = true;
	return 0;
}

struct slice read_lenenc_text(struct reader *r)
{
	uint64_t n = read_lenenc(r);

	if (n > reader_left(r))
		r->bad = true;
	return read_bytes(r, r->bad ? 0 : (size_t)n);
}

struct slice read_nul_text(struct reader *r)
{
	struct slice left = slice_of(r->p, r->bad ? 0 : reader_left(r));
	size_t n = slice_find(left, 0);

	if (n == left.n) {
		r->bad = true;
		return slice_of(r->end, 0);
	}
	(void)read_bytes(r, n + 1);
	return slice_head(left, n);
}

/* The changes of a session's state; see CAP_SESSION_TRACK. */
static void track_parse(struct slice changes, struct ok_packet *ret)
{
	struct reader r = reader_of(changes);

	while (reader_left(&r) > 0) {
		uint8_t type = read_u8(&r);
		struct reader data = reader_of(read_lenenc_text(&r));

		if (r.bad)
			return;
		if (type == TRACK_SCHEMA) {
			ret->schema = read_lenenc_text(&data);
			ret->has_schema = !data.bad;
		}
	}
}

void ok_parse(struct slice payload, uint32_t len, bool cap41, struct ok_packet *ret)
{
	struct reader r = reader_of(slice_from(payload, 1));

	*ret = (struct ok_packet){ 0 };
	if (payload.n > 0 && payload.p[0] == 0xfe && is_eof_length(len)) {
		(void)read_le16(&r); /* warnings */
		ret->status = read_le16(&r);
		ret->has_status = !r.bad;
		return;
	}
	ret->affected = read_lenenc(&r);
	ret->has_affected = !r.bad;
	(void)read_lenenc(&r); /* insert id */
	ret->status = read_le16(&r);
	ret->has_status = !r.bad;
	if (cap41)
		(void)read_le16(&r); /* warnings */
	if (r.bad || !(ret->status & STATUS_STATE_CHANGED))
		return;
	(void)read_lenenc_text(&r); /* info */
	track_parse(read_lenenc_text(&r), ret);
}

bool err_parse(struct slice payload, struct err_packet *ret)
{
	struct reader r = reader_of(slice_from(payload, 1));

	*ret = (struct err_packet){ .code = read_le16(&r) };
	if (r.bad)
		return false;
	if (reader_left(&r) >= 6 && *r.p == '#') {
		(void)read_u8(&r);
		ret->sqlstate = read_bytes(&r, 5);
	}
	ret->message = slice_of(r.p, reader_left(&r));
	return true;
}

/* Bytes of a value by its type (enum_field_types); LENGTH_BYTE: a byte tells, else it is a text. */
#define LENGTH_BYTE 0xff
static uint8_t value_width(uint8_t type)
{
	static const struct {
		uint8_t type, width;
	} widths[] = { { 1, 1 },
		       { 2, 2 },
		       { 13, 2 },
		       { 3, 4 },
		       { 9, 4 },
		       { 8, 8 },
		       { 4, 4 },
		       { 5, 8 },
		       { 7, LENGTH_BYTE },
		       { 10, LENGTH_BYTE },
		       { 11, LENGTH_BYTE },
		       { 12, LENGTH_BYTE } };

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++)
		if (widths[i].type == type)
			return widths[i].width;
	return 0;
}

static void pass_value(struct reader *r, uint8_t type)
{
	uint8_t width = value_width(type);

	if (width == LENGTH_BYTE)
		(void)read_bytes(r, read_u8(r));
	else if (width)
		(void)read_bytes(r, width);
	else
		(void)read_lenenc_text(r);
}

#define ATTRIBUTES_MAX 32 /* more: the reader gives up */

void read_query_attributes(struct reader *r)
{
	uint64_t count = read_lenenc(r);
	uint8_t types[ATTRIBUTES_MAX];
	struct slice nulls;

	(void)read_lenenc(r); /* sets: always 1 */
	if (count == 0)
		return;
	if (count > ATTRIBUTES_MAX) {
		r->bad = true;
		return;
	}
	nulls = read_bytes(r, ((size_t)count + 7) / 8);
	if (read_u8(r) != 1)
		r->bad = true; /* types that were told before: a query has none */
	for (size_t i = 0; i < count; i++) {
		types[i] = (uint8_t)read_le16(r); /* the upper byte: unsigned */
		(void)read_lenenc_text(r);
	}
	for (size_t i = 0; i < count && !r->bad; i++)
		if (!(nulls.p[i / 8] >> i % 8 & 1) && types[i] != 6)
			pass_value(r, types[i]);
}

/* Bounded reads and writes of integers in wire order. A reader that runs out sets `bad` and from
 * then on returns zeros, so that a decoder checks once at the end of a record.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/slice.h"

struct reader {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct reader reader_of(struct slice s)
{
	/* An empty slice may have no address, which nothing may be added to (C17 6.5.6). */
	return (struct reader){ s.p, s.n ? s.p + s.n : s.p, false };
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->p);
}

/* Borrowed view of the next n bytes; empty and bad when there are fewer. */
static inline struct slice read_bytes(struct reader *r, size_t n)
{
	struct slice s;

	if (r->bad || n > reader_left(r)) {
		r->bad = true;
		return slice_of(r->end, 0);
	}
	s = slice_of(r->p, n);
	r->p += n;
	return s;
}

static inline uint64_t read_be(struct reader *r, size_t width)
{
	struct slice s = read_bytes(r, width);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | s.p[i];
	return v;
}

static inline uint64_t read_le(struct reader *r, size_t width)
{
	struct slice s = read_bytes(r, width);
	uint64_t v = 0;

	for (size_t i = s.n; i > 0; i--)
		v = v << 8 | s.p[i - 1];
	return v;
}

static inline uint8_t read_u8(struct reader *r)
{
	return (uint8_t)read_be(r, 1);
}

static inline uint16_t read_be16(struct reader *r)
{
	return (uint16_t)read_be(r, 2);
}

static inline uint32_t read_be32(struct reader *r)
{
	return (uint32_t)read_be(r, 4);
}

static inline uint16_t read_le16(struct reader *r)
{
	return (uint16_t)read_le(r, 2);
}

static inline uint32_t read_le32(struct reader *r)
{
	return (uint32_t)read_le(r, 4);
}

static inline uint64_t read_le64(struct reader *r)
{
	return read_le(r, 8);
}

/* Unsigned LEB128, at most ten bytes; bad when longer or cut off. */
static inline uint64_t read_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t b = read_u8(r);

		if (shift == 63 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return r->bad ? 0 : v;
	}
	r->bad = true;
	return 0;
}

static inline uint64_t zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Writes v as LEB128 into out (at least ten bytes); returns the bytes written. */
static inline size_t put_varint(uint8_t *out, uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return n;
}

static inline void put_le(uint8_t *out, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static inline void put_be(uint8_t *out, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		out[width - 1 - i] = (uint8_t)(v >> (8 * i));
}

#endif

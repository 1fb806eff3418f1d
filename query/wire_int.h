/* The elements of wire.h's formats and of the workers' messages. */
#ifndef QUERY_WIRE_INT_H
#define QUERY_WIRE_INT_H

#include "base/bytes.h"
#include "base/strbuf.h"

static inline void put_number(struct strbuf *out, uint64_t v)
{
	uint8_t bytes[10];

	strbuf_add(out, bytes, put_varint(bytes, v));
}

static inline void put_text(struct strbuf *out, struct slice s)
{
	put_number(out, s.n);
	strbuf_add(out, s.p, s.n);
}

/* Borrowed from the reader's bytes. */
static inline struct slice get_text(struct reader *in)
{
	uint64_t n = read_varint(in);

	if (n > reader_left(in)) {
		in->bad = true;
		n = 0;
	}
	return read_bytes(in, (size_t)n);
}

/* A number that has to be at most max; 0 and bad otherwise. */
static inline uint64_t get_bounded(struct reader *in, uint64_t max)
{
	uint64_t v = read_varint(in);

	if (v > max) {
		in->bad = true;
		return 0;
	}
	return v;
}

#endif

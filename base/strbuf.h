/* A growing byte string with a maximum stated at init; always followed by a NUL that len does not
 * count. A write that would pass the maximum, or that finds no memory, sets `failed` and changes
 * nothing; so do all later writes. Callers check once, at the end.
 */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include "base/slice.h"
#include "base/util.h"

#include <stdarg.h>

struct strbuf {
	char *p;
	size_t len, cap, max; /* bytes */
	bool failed;
};

#define STRBUF_INIT(max_bytes)                                                                     \
	{                                                                                          \
		.max = (max_bytes)                                                                 \
	}

void strbuf_init(struct strbuf *b, size_t max);
void strbuf_done(struct strbuf *b);
/* Empties it and keeps the memory. */
void strbuf_reset(struct strbuf *b);

void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __printf(2, 3);
void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap) __printf(2, 0);
void strbuf_addch(struct strbuf *b, char c);
void strbuf_adds(struct strbuf *b, const char *s);
/* Room for n more bytes, to be written by the caller and then counted with b->len += n. NULL on
 * failure. Borrowed until the next write. */
void *strbuf_reserve(struct strbuf *b, size_t n);

/* The text, "" when nothing was written. Borrowed until the next write. */
static inline const char *strbuf_str(const struct strbuf *b)
{
	return b->p ? b->p : "";
}

static inline struct slice strbuf_slice(const struct strbuf *b)
{
	return slice_of(b->p, b->len);
}

/* Hands the heap text to the caller (free() it) and leaves b empty; NULL if it failed. */
char *strbuf_take(struct strbuf *b);

/* A JSON string literal with its quotes. Bytes that are no UTF-8 become the six characters \\xNN
 * (an escaped backslash, x, two digits), so the output is always valid JSON and UTF-8. */
void strbuf_add_json(struct strbuf *b, struct slice s);

#endif

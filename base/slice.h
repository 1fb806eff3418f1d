/* A borrowed run of bytes. A slice is never stored beyond the call it was given to unless the
 * owner's lifetime is stated where it is stored.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *p;
	size_t n; /* bytes */
};

#define SLICE_LIT(s) ((struct slice){ (const uint8_t *)(s), sizeof(s) - 1 })

static inline struct slice slice_of(const void *p, size_t n)
{
	return (struct slice){ (const uint8_t *)p, n };
}

static inline struct slice slice_str(const char *s)
{
	return slice_of(s, s ? strlen(s) : 0);
}

/* From byte off on; empty when off is beyond the end. */
static inline struct slice slice_from(struct slice s, size_t off)
{
	return off < s.n ? slice_of(s.p + off, s.n - off) : slice_of(s.p + s.n, 0);
}

/* The first n bytes, or all when there are fewer. */
static inline struct slice slice_head(struct slice s, size_t n)
{
	return slice_of(s.p, n < s.n ? n : s.n);
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

/* ASCII case folded. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		uint8_t x = a.p[i], y = b.p[i];

		if (x >= 'A' && x <= 'Z')
			x = (uint8_t)(x | 0x20);
		if (y >= 'A' && y <= 'Z')
			y = (uint8_t)(y | 0x20);
		if (x != y)
			return false;
	}
	return true;
}

static inline bool slice_starts(struct slice a, struct slice prefix)
{
	return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

/* Without the spaces, line ends and other control bytes at both ends. */
static inline struct slice slice_trim(struct slice s)
{
	while (s.n > 0 && s.p[0] <= ' ')
		s = slice_from(s, 1);
	while (s.n > 0 && s.p[s.n - 1] <= ' ')
		s.n--;
	return s;
}

/* Index of the first byte c, or a.n. */
static inline size_t slice_find(struct slice a, uint8_t c)
{
	const void *hit = a.n ? memchr(a.p, c, a.n) : NULL;

	return hit ? (size_t)((const uint8_t *)hit - a.p) : a.n;
}

#endif

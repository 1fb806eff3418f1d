/* A pull reader of JSON (RFC 8259) in the caller's own memory: one pass, no tree, no allocation. Text of
 * strings is decoded in place, so the bytes of a string that was read are no JSON any more; skipped values
 * stay as they are.
 *
 *	if (jsonread_enter(&j, '{'))
 *		while (jsonread_next(&j)) {
 *			jsonread_key(&j, &key);
 *			jsonread_scalar(&j, &v), jsonread_enter(&j, …) or jsonread_skip(&j)
 *		}
 *
 * What is no JSON sets `bad`; from then on nothing is read and next() says false, so a caller checks once.
 */
#ifndef BASE_JSONREAD_H
#define BASE_JSONREAD_H

#include "base/slice.h"

#define JSONREAD_DEPTH_MAX 64

enum jsonread_kind {
	JSONREAD_NULL,
	JSONREAD_BOOL,
	JSONREAD_INT,
	JSONREAD_REAL, /* a number that is no 64-bit integer */
	JSONREAD_STRING,
	JSONREAD_ARRAY,
	JSONREAD_OBJECT,
};

struct jsonread {
	uint8_t *p, *end;
	uint64_t objects, more; /* by depth: what it is, and that an element was there */
	unsigned int depth;
	bool bad;
};

struct jsonread_value {
	enum jsonread_kind kind;
	int64_t i;	   /* of INT; of BOOL 0 or 1 */
	struct slice text; /* of STRING: decoded; half a surrogate pair is U+FFFD */
};

struct jsonread jsonread_of(uint8_t *text, size_t n);
/* Of the value that comes next, which is not read; NULL when there is none. */
enum jsonread_kind jsonread_peek(struct jsonread *j);
/* Steps into the array or object that comes next; false when something else does. open: '[' or '{'. */
bool jsonread_enter(struct jsonread *j, char open);
/* Whether another element or member follows; false steps out. */
bool jsonread_next(struct jsonread *j);
/* The name of the member that follows, and its colon. */
bool jsonread_key(struct jsonread *j, struct slice *ret);
/* A value that is no array or object. */
bool jsonread_scalar(struct jsonread *j, struct jsonread_value *ret);
/* Past any value; *ret is its source text. */
struct slice jsonread_skip(struct jsonread *j);
/* Whether all of the text was read and nothing but space is left. */
bool jsonread_done(struct jsonread *j);

#endif

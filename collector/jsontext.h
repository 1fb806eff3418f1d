/* Reading JSON (RFC 8259) that a client or a captured header map wrote: a flat walk, no tree. */
#ifndef COLLECTOR_JSONTEXT_H
#define COLLECTOR_JSONTEXT_H

#include "base/strbuf.h"

#define JSONTEXT_DEPTH_MAX 16

enum jsontext_kind {
	JSONTEXT_NULL,
	JSONTEXT_BOOL,
	JSONTEXT_INT,
	JSONTEXT_REAL, /* any number that is no 64-bit integer */
	JSONTEXT_STRING,
	JSONTEXT_ARRAY,
	JSONTEXT_OBJECT,
};

struct jsontext_value {
	enum jsontext_kind kind;
	int64_t i;	  /* of INT; of BOOL 0 or 1 */
	struct slice raw; /* as written, borrowed */
};

/* Calls fn for each member of the object that is the whole of text. key is decoded and valid inside
 * the call; a result other than 0 ends the walk and is returned. 0; -EBADMSG when text is no such
 * object (checked to the end before the first call); -ENOMEM. */
int jsontext_members(struct slice text,
		     int (*fn)(void *ctx, struct slice key, const struct jsontext_value *v),
		     void *ctx);
/* Appends the decoded text of a JSONTEXT_STRING. -EBADMSG for a lone surrogate, which is no text.
 */
int jsontext_string(const struct jsontext_value *v, struct strbuf *out);
/* Whether text is one JSON value in valid UTF-8, at most JSONTEXT_DEPTH_MAX deep. */
bool jsontext_valid(struct slice text);

#endif

/* The steps of a parser that walks over the bytes of one parse() call, and what they mean to the
 * driver. Only parsers include this. */
#ifndef PROTOCOLS_STEP_H
#define PROTOCOLS_STEP_H

#include "base/util.h"
#include "protocols/protocol.h"

/* What one step of a walk came to. Whatever is not STEP_GO ends the call. */
enum step {
	STEP_GO,     /* take the next one */
	STEP_ENDED,  /* a message ended, and one is all that may end in a call */
	STEP_MORE,   /* the rest of what is being read has not come */
	STEP_SKIP,   /* the next bytes are not wanted */
	STEP_WAIT,   /* the other direction has to advance first */
	STEP_LOST,   /* this is no message */
	STEP_SWITCH, /* another protocol goes on here */
	STEP_UNPACK, /* what follows is compressed */
	STEP_STOP,   /* this connection can be read no further */
};

/* The answer of a call that took `at` bytes before its last step. need: bytes that must be there in
 * all if that was STEP_MORE; 0: one more than there are. skip, next and why are the walk's to set.
 * At the end of a direction STEP_MORE is PARSE_OK: the caller takes what is left as it is. */
static inline struct parse_result step_result(enum step step, const struct parse_in *in, size_t at,
					      size_t need)
{
	static const enum parse_status status[] = {
		[STEP_GO] = PARSE_OK,	      [STEP_ENDED] = PARSE_OK,
		[STEP_MORE] = PARSE_OK,	      [STEP_SKIP] = PARSE_OK,
		[STEP_WAIT] = PARSE_WAIT,     [STEP_LOST] = PARSE_RESYNC,
		[STEP_SWITCH] = PARSE_SWITCH, [STEP_UNPACK] = PARSE_UNPACK,
		[STEP_STOP] = PARSE_STOP,
	};
	struct parse_result r = { .st = status[step], .next = PROTO_UNKNOWN, .consumed = at };

	if (step == STEP_MORE && !in->eof && at == 0 && in->buf.n > 0) {
		r.st = PARSE_NEED;
		r.need = MAX(in->buf.n + 1, need);
	}
	return r;
}

#endif

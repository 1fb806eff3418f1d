/* Trace identities that requests carry in their headers: W3C Trace Context (traceparent, version 00
 * and later) and Zipkin's B3, single and multiple headers. Strict: an id that breaks its format
 * does not count. traceparent wins over b3, b3 over the X-B3 headers.
 *
 * The span id is the one the request carries: for traceparent the caller's (its parent-id field).
 */
#ifndef PROTOCOLS_TRACE_CONTEXT_H
#define PROTOCOLS_TRACE_CONTEXT_H

#include "base/slice.h"

/* Lower-case hexadecimal without NUL; valid where the has_ flag is set. */
struct trace_context {
	char trace_id[32], span_id[16], parent_span_id[16];
	uint8_t source; /* internal: which header won so far */
	bool has_trace, has_span, has_parent;
};

/* Takes note of one header. Whether it was one of these. t: zeroed before the first of a request.
 */
bool trace_context_header(struct trace_context *t, struct slice name, struct slice value);

#endif

/* HTTP/1.0 and HTTP/1.1 (RFC 9112, RFC 9110): one parser for both directions of a connection.
 *
 * Emitted, in order. Request: METHOD, TARGET, VERSION, headers, BODY pieces, trailers, BODY_BYTES.
 * Response: INTERIM (one per 1xx before it, the first four), STATUS, VERSION, REASON, headers, BODY
 * pieces, trailers, BODY_BYTES. Interim messages have no begin and end of their own.
 */
#ifndef PROTOCOLS_HTTP1_HTTP1_H
#define PROTOCOLS_HTTP1_HTTP1_H

#include "protocols/protocol.h"

#define HTTP1_LINE_MAX	      16384 /* bytes of a line; the rest is dropped */
#define HTTP1_HEADERS_MAX     256   /* header and trailer fields of a message that are emitted */
#define HTTP1_HEAD_MAX	      65536 /* bytes of header and trailer lines that are emitted */
#define HTTP1_OUTSTANDING_MAX 256   /* requests without an answer; more wait (PARSE_WAIT) */
#define HTTP1_PROBE_MAX	      64 /* bytes of a head: as many or more decide by what they look like */
#define HTTP1_BAD_LINES_MAX   4	 /* of a head, that are no fields; then framing is lost */

extern const struct proto_ops http1_ops;

/* See struct proto_ops. */
enum probe_result http1_probe(const struct probe_in *in);

#endif

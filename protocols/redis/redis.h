/* Redis and Valkey: RESP2, RESP3 and inline commands (https://redis.io/docs/latest/develop/reference/
 * protocol-spec/), one parser for both directions of a connection.
 *
 * Emitted, in order. Request: METHOD (in capitals, with the subcommand: "CONFIG GET"; only names of
 * the table in commands.c, and those of modules), KEY (the first key, or the channel of pub/sub; its
 * first REDIS_KEY_MAX bytes) and ARG (see below) as they come. Response: REPLY_TYPE (enum
 * redis_type), MESSAGE of an error. Push: METHOD ("MESSAGE", "INVALIDATE", ...), KEY (the channel).
 * Session: USER and DATABASE once the server has agreed.
 *
 * ARG: one text for each argument that is neither name nor key: an option word of the table in
 * capitals ("EX", "LIMIT"), else its length in angle brackets ("<5>"); behind REDIS_ARGS_SHOWN of
 * them one more text with how many are left out ("+12"). Of commands that carry a credential
 * "<REDACTED>" alone. Values are never looked at.
 *
 * Left (PARSE_STOP): a replica's connection at PSYNC, SYNC or REPLCONF ACK, a monitor's behind the
 * answer to MONITOR.
 */
#ifndef PROTOCOLS_REDIS_REDIS_H
#define PROTOCOLS_REDIS_REDIS_H

#include "protocols/protocol.h"

#define REDIS_NAME_MAX	  32   /* bytes of a command's name and of a subcommand's */
#define REDIS_KEY_MAX	  256  /* bytes of a key that are read */
#define REDIS_MESSAGE_MAX 256  /* bytes of an error that are read */
#define REDIS_NEED_MAX	  1024 /* bytes that have to be contiguous */
#define REDIS_ARGS_SHOWN  8
#define REDIS_DEPTH_MAX	  32	    /* aggregates inside one another; deeper: framing is lost */
#define REDIS_COUNT_MAX	  INT32_MAX /* elements of an aggregate */
#define REDIS_LENGTH_MAX  INT64_C(1) << 40 /* bytes of a bulk string */
#define REDIS_SPECIAL_MAX 128 /* open requests of which more than their number has to be known */

enum redis_type {
	REDIS_SIMPLE,
	REDIS_ERROR,
	REDIS_INTEGER,
	REDIS_BULK,
	REDIS_NULL,
	REDIS_ARRAY,
	REDIS_MAP,
	REDIS_SET,
	REDIS_DOUBLE,
	REDIS_BOOLEAN,
	REDIS_BIG_NUMBER,
	REDIS_VERBATIM,
	REDIS_PUSH,
	REDIS_QUEUED, /* queued by MULTI and never run */
	_REDIS_TYPE_MAX,
};

extern const struct proto_ops redis_ops;

/* "simple", "error", ...; NULL when type is none. */
const char *redis_type_name(int64_t type);

/* See registry.c. The first is certain, the second asks for a request and its answer. */
enum probe_result redis_probe(const struct probe_in *in);
enum probe_result redis_probe_evidence(const struct probe_in *in);

#endif

/* The load tools' own reading of HTTP/1 (RFC 9112), for both directions.
 *
 * It shares nothing with the product's parser on purpose: it is the second opinion that the counts
 * are compared with. It trusts its peer to be the other tool or a well-behaved server and rejects
 * anything else with -EBADMSG.
 */
#ifndef TESTS_E2E_LOAD_WIRE_H
#define TESTS_E2E_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum wire_state {
	WIRE_HEAD,
	WIRE_LENGTH,
	WIRE_CHUNK_SIZE,
	WIRE_CHUNK_DATA,
	WIRE_CHUNK_END,
	WIRE_TRAILER,
	WIRE_UNTIL_CLOSE,
	WIRE_DONE,
};

struct wire_msg {
	char method[24];
	char target[160];
	char trace_id[33];
	uint16_t status;
	uint8_t minor; /* HTTP/1.minor */
	bool keep_alive, chunked, has_length, expect_continue, has_seq, has_do;
	uint64_t seq;	       /* X-Seq */
	uint64_t length;       /* Content-Length */
	uint64_t head_bytes;   /* start line and fields, empty lines before them included */
	uint64_t body_bytes;   /* content */
	uint64_t framed_bytes; /* content with chunk sizes, extensions and trailers */
	struct {
		uint32_t status, body_bytes, flags, delay_ms;
	} todo; /* X-Do */
};

struct wire {
	bool response;
	bool no_body; /* set by the caller before a response to HEAD or a successful CONNECT */
	enum wire_state state;
	uint64_t left; /* of the body or chunk */
	struct wire_msg msg;
};

void wire_reset(struct wire *w, bool response);

/* Consumes from buf as much as belongs to the message. ret_used: bytes consumed; 0 with a state
 * other than WIRE_DONE: more contiguous input is needed. Returns 0 or -EBADMSG. */
int wire_feed(struct wire *w, const char *buf, size_t n, size_t *ret_used);

/* Tells that the stream has ended; true when that completes the message. */
bool wire_eof(struct wire *w);

static inline uint64_t wire_total_bytes(const struct wire_msg *m)
{
	return m->head_bytes + m->framed_bytes;
}

#endif

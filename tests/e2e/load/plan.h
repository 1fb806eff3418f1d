/* What exchange number N looks like.
 *
 * Everything about an exchange follows from its sequence number and the mix: the load generator
 * computes the plan, writes the request and tells the echo server its part in the X-Do header, so
 * that both ends know what was meant and each logs what it really saw.
 */
#ifndef TESTS_E2E_LOAD_PLAN_H
#define TESTS_E2E_LOAD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum plan_flag {
	PLAN_REQ_CHUNKED = 1u << 0,
	PLAN_RESP_CHUNKED = 1u << 1,
	PLAN_CHUNK_EXTRAS = 1u << 2, /* chunk extensions and trailer fields, on chunked sides */
	PLAN_CONTINUE = 1u << 3,     /* Expect: 100-continue, the body waits for the 100 */
	PLAN_EARLY_HINTS = 1u << 4,  /* one 103 before the final response */
	PLAN_UNTIL_CLOSE = 1u << 5,  /* neither length nor chunks: the close ends the response */
	PLAN_HTTP10 = 1u << 6,
	PLAN_TUNNEL = 1u << 7,	      /* CONNECT or Upgrade, then raw bytes both ways */
	PLAN_NO_ANSWER = 1u << 8,     /* the server closes instead of answering */
	PLAN_RESET = 1u << 9,	      /* the server resets instead of answering */
	PLAN_GIVE_UP = 1u << 10,      /* the client closes before the answer */
	PLAN_EVENTS = 1u << 11,	      /* server-sent events, delay_ms between them */
	PLAN_BODILESS = 1u << 12,     /* the response has a length but no body: HEAD, 304 */
	PLAN_LEADING_CRLF = 1u << 13, /* an empty line before the request line (RFC 9112 2.2) */
	PLAN_STAR = 1u << 14,	      /* OPTIONS * */
	PLAN_QUERY = 1u << 15,	      /* a query string after the path */
	PLAN_TRACE = 1u << 16,	      /* a traceparent header */
	PLAN_CLOSE = 1u << 17,	      /* the request asks for Connection: close */
};

/* The exchange is the last one of its connection. */
#define PLAN_LAST                                                                                  \
	(PLAN_UNTIL_CLOSE | PLAN_HTTP10 | PLAN_TUNNEL | PLAN_NO_ANSWER | PLAN_RESET |              \
	 PLAN_GIVE_UP | PLAN_CLOSE)
/* It must not share its connection with unanswered requests. */
#define PLAN_ALONE (PLAN_RESET | PLAN_GIVE_UP)

struct plan {
	uint64_t seq;
	const char *kind;
	const char *method;
	uint32_t flags;
	uint16_t status;
	uint32_t request_body_bytes, response_body_bytes;
	uint32_t delay_ms; /* before the response; between events */
};

#define PLAN_KINDS_MAX 40

/* A mix: weights per kind, summed up so that one lookup picks the kind. */
struct plan_mix {
	uint32_t upto[PLAN_KINDS_MAX];
	uint32_t total;
	uint64_t seed;
};

/* Reads "get=8,post,chunked=2" (weight 1 unless said) or the name of a preset.
 * Returns 0, or -EINVAL with the offending word printed on stderr. */
int plan_mix_read(struct plan_mix *m, const char *text);

bool plan_mix_has(const struct plan_mix *m, const char *kind);

/* Prints kinds and presets, one per line. */
void plan_mix_help(void);

void plan_make(const struct plan_mix *m, uint64_t seq, struct plan *ret);

/* The request target, and the path that a row should show (the target without query). Both at most
 * 120 bytes. Return the length. */
size_t plan_target(const struct plan *p, char *out, size_t room);
size_t plan_path(const struct plan *p, char *out, size_t room);

/* The trace id that the traceparent of p carries, 32 hex digits, or "" without one. */
void plan_trace_id(const struct plan *p, char out[33]);

#endif

/* The lines of HTTP/1 as pure functions of their bytes. A line comes without its line end. Tolerant
 * where RFC 9112 section 2.2 allows it or real peers need it; a verdict never depends on how the
 * bytes arrived. */
#ifndef PROTOCOLS_HTTP1_SYNTAX_H
#define PROTOCOLS_HTTP1_SYNTAX_H

#include "base/slice.h"

enum line_verdict {
	LINE_BAD,
	LINE_OK,
	LINE_PREFACE, /* the request line of an HTTP/2 connection preface */
};

struct request_line {
	struct slice method, target;
	int version; /* 10, 11, ... */
};

struct status_line {
	struct slice reason;
	int status; /* 100..999 */
	int version;
};

/* cut: the line was longer than HTTP1_LINE_MAX and ends early; the target is what is there of it
 * and the version is taken to be 1.1. */
enum line_verdict request_line_parse(struct slice line, bool cut, struct request_line *ret);
enum line_verdict status_line_parse(struct slice line, struct status_line *ret);

/* Characters of a token (RFC 9110 section 5.6.2). */
extern const bool token_char[256];

static inline bool is_ows(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Space and tab at both ends. */
static inline struct slice trim_ows(struct slice s)
{
	while (s.n > 0 && is_ows(s.p[0]))
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n > 0 && is_ows(s.p[s.n - 1]))
		s.n--;
	return s;
}

static inline size_t token_len(struct slice s)
{
	size_t n = 0;

	while (n < s.n && token_char[s.p[n]])
		n++;
	return n;
}

/* `name: value`. False when there is no colon or the name is no token. Space around both is left
 * out. */
static inline bool header_line_parse(struct slice line, struct slice *ret_name,
				     struct slice *ret_value)
{
	size_t n = token_len(line);
	size_t colon = n;

	while (colon < line.n && is_ows(line.p[colon]))
		colon++;
	if (n == 0 || colon == line.n || line.p[colon] != ':')
		return false;
	*ret_name = slice_of(line.p, n);
	*ret_value = trim_ows(slice_from(line, colon + 1));
	return true;
}

/* Adds one Content-Length value (a number, or a list of equal ones) to *length, which is set when
 * *known. False when it is no number, above 2^62, or differs from what was known. */
bool content_length_parse(struct slice value, bool *known, uint64_t *length);

/* Chunk size line: hexadecimal size, extensions ignored. False when there is no size, or above
 * 2^62. */
bool chunk_size_parse(struct slice line, uint64_t *ret);

/* Whether the last coding of a Transfer-Encoding value is `chunked`. */
bool last_coding_is_chunked(struct slice value);

/* Whether a comma-separated list has the word, ASCII case folded, parameters and versions aside. */
bool list_has(struct slice list, struct slice word);

/* Offset of the next plausible start of a request or of a response; s.n when there is none. A start
 * that s cuts off counts as plausible. Among unknown bytes only registered methods are believed,
 * and a target without spaces; nothing before s is looked at, so the answer does not depend on how
 * the bytes were cut. */
size_t find_request(struct slice s);
size_t find_response(struct slice s);

/* Whether s, the first bytes of a direction, begins a request. *ret_more when it could with more.
 */
bool looks_like_request(struct slice s, bool *ret_more);
bool looks_like_response(struct slice s, bool *ret_more);

#endif

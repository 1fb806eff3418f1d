/* The lines of RESP: a type byte, a number or text, CR LF. */
#ifndef PROTOCOLS_REDIS_RESP_H
#define PROTOCOLS_REDIS_RESP_H

#include "base/slice.h"

enum resp_got {
	RESP_OK,
	RESP_MORE, /* it goes on behind what is there */
	RESP_BAD,
};

#define RESP_STREAMED (-2) /* length "?": the end is marked */

/* "T<number>CR LF" at the beginning of s, T any byte: at most 18 digits with a minus before them,
 * or a question mark, which gives RESP_STREAMED. *ret_n: bytes of the line. */
enum resp_got resp_number(struct slice s, int64_t *ret, size_t *ret_n);

/* A bulk string of at most max bytes at the beginning of s: its bytes, and how many it takes with
 * its length and its end. RESP_BAD when it is longer. */
enum resp_got resp_bulk(struct slice s, size_t max, struct slice *ret, size_t *ret_n);

/* Capitals of a word of at most max bytes. False when it is longer or has other bytes in it than
 * letters, digits, '.', '-', '_', '|'. out: max bytes. */
bool resp_word(struct slice s, size_t max, char *out);

/* The number that s is, without a sign; false when it is none, or over INT32_MAX. */
bool resp_count(struct slice s, uint32_t *ret);

#endif

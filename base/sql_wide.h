/* SQL text in a character set whose characters may hold a \ or a ` as their second byte: GBK, GB18030, Big5,
 * SJIS, CP932. To who does not know the set, and so to sql_lex(), such a byte escapes a quote, or begins or
 * ends a name, and behind it what is a literal and what is none is the wrong way round.
 *
 * A text that is UTF-8 is taken for that. In any other, what stands behind a byte of 0x81 or more and one of
 * these two is not sure. (Text of these sets is hardly ever valid UTF-8; one of Latin 1 may be cut needlessly.)
 */
#ifndef BASE_SQL_WIDE_H
#define BASE_SQL_WIDE_H

#include "base/slice.h"

#include <stdbool.h>

/* Zeroed at the beginning of a text. */
struct sql_wide {
	uint8_t more;	   /* bytes that the UTF-8 character at hand has yet to come */
	uint8_t low, high; /* between which the next of them is */
	uint8_t last;	   /* the byte before */
	bool other;	   /* it is no UTF-8 */
};

/* Reads on, pieces of any length. Returns how many bytes of the piece are sure: all, or those before the
 * first such \ or ` behind bytes that are no UTF-8; then not to be called again. */
size_t sql_wide(struct sql_wide *w, struct slice piece);

/* Of a text as a whole, whose last character may be cut. Stricter: bytes that are no UTF-8 may also stand
 * behind what is not sure. */
size_t sql_sure(struct slice text);

#endif

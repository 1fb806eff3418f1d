/* Regular expressions in time proportional to the text: the pattern becomes a small program whose
 * states advance together over the text (Thompson 1968), so no pattern can be made to explode.
 *
 * Syntax: literals, ., [a-z] [^...] with \d \w \s \D \W \S inside and outside, \b \B, ^ $ (of the
 * whole text), groups (...) and (?:...), alternation, * + ? {m} {m,} {m,n} and their lazy forms,
 * (?i) at the start, escapes \n \r \t \f \v \xHH and of any punctuation. Bytes, not characters:
 * . takes one byte other than newline, multi-byte UTF-8 characters match as literals but are no
 * members of classes. No back references, no look-around.
 */
#ifndef QUERY_REGEX_H
#define QUERY_REGEX_H

#include "base/slice.h"
#include "base/util.h"

#define REGEX_PATTERN_MAX 1024 /* bytes */
#define REGEX_PROGRAM_MAX 4096 /* instructions after expansion of {m,n} */
#define REGEX_REPEAT_MAX  255  /* largest m or n of {m,n} */
#define REGEX_DEPTH_MAX	  64   /* nested groups */
#define REGEX_ERROR_MAX	  96

struct regex;

struct regex_error {
	char message[REGEX_ERROR_MAX];
	size_t position; /* byte of the pattern */
};

/* 0; -EINVAL with *ret_error set; -ENOMEM. */
int regex_new(struct slice pattern, struct regex **ret, struct regex_error *ret_error);
void regex_free(struct regex *re);
DEFINE_CLEANUP(struct regex, regex_free)

/* Whether the pattern matches anywhere in the text. Not for two threads at once. */
bool regex_match(struct regex *re, struct slice text);
/* Bytes every match contains at its start, exactly as written; empty when there are none. Borrowed.
 */
struct slice regex_literal(const struct regex *re);
/* Steps (instructions visited) of all matches so far: what a test counts in place of time. */
uint64_t regex_steps(const struct regex *re);

#endif

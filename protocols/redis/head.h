/* What a request is before its arguments: how many words it has, which command they name. The words stand
 * in an array of bulk strings or on a line.
 */
#ifndef PROTOCOLS_REDIS_HEAD_H
#define PROTOCOLS_REDIS_HEAD_H

#include "protocols/redis/commands.h"
#include "protocols/redis/redis.h"
#include "protocols/redis/resp.h"

#define COUNT_DIGITS 10 /* of a number among the arguments */
#define INLINE_WORDS 64 /* words of an inline command that are looked at */

/* What has to be known of a request before it is told. */
struct head {
	const struct command *command;
	char name[2 * REDIS_NAME_MAX + 1]; /* in capitals */
	size_t name_n;			   /* 0: it is no name that could be shown */
	uint32_t words;			   /* of the request */
	uint32_t used;			   /* of these, how many are read */
	uint32_t arg;			   /* of the class: channels, the database */
	enum command_class class;
	enum { REPLY_AS_BEFORE, REPLY_ON, REPLY_OFF, REPLY_SKIP } reply;
};

/* The next word of a request, which *from moves behind. RESP_OK without a word when it is longer than
 * max; then an array's is still to come, and ret->p NULL. */
struct words {
	enum resp_got (*next)(struct slice *from, size_t max, struct slice *ret);
};
extern const struct words array_words, line_words;

/* How many words a line has, at most INLINE_WORDS. */
uint32_t count_words(struct slice line);

/* from: behind what says how many words there are (h->words), moved behind those that are read. */
enum resp_got head_read(struct head *h, struct slice *from, const struct words *words);

#endif

/* What is known of each command: https://redis.io/docs/latest/commands/, https://valkey.io/commands/
 */
#ifndef PROTOCOLS_REDIS_COMMANDS_H
#define PROTOCOLS_REDIS_COMMANDS_H

#include "base/slice.h"

/* What a command does to the conversation. */
enum command_class {
	CLASS_PLAIN, /* one answer */
	/* One confirmation for each channel. */
	CLASS_SUBSCRIBE,
	CLASS_UNSUBSCRIBE,
	CLASS_PSUBSCRIBE,
	CLASS_PUNSUBSCRIBE,
	CLASS_SSUBSCRIBE,
	CLASS_SUNSUBSCRIBE,
	CLASS_MULTI,
	CLASS_EXEC,
	CLASS_DISCARD,
	CLASS_WATCH, /* with an error inside a transaction, it does not spoil that */
	CLASS_SELECT,
	CLASS_AUTH,
	CLASS_HELLO,
	CLASS_RESET,
	CLASS_MONITOR,
	CLASS_REPLICA, /* the connection becomes a replica's */
	CLASS_REPLY,   /* CLIENT REPLY */
	CLASS_REPLCONF,
	CLASS_HOLE, /* not a command: requests without an answer */
};

enum command_flag {
	COMMAND_CONTAINER = 1 << 0, /* the next word is a subcommand */
	COMMAND_NUMKEYS = 1 << 1,   /* at `key` stands how many keys follow it */
	COMMAND_STREAMS = 1 << 2,   /* the key follows the word STREAMS */
	COMMAND_SECRET = 1 << 3,    /* among the arguments is a credential */
	COMMAND_LEADING = 1 << 4,   /* the first that is no option word ends them */
};

struct command {
	const char *name; /* in capitals; with a subcommand behind one space */
	uint8_t n;	  /* bytes of the name */
	uint8_t class;	  /* enum command_class */
	uint8_t flags;	  /* enum command_flag */
	uint8_t key;	  /* argument that is the first key or channel; the name is 0, 0: none */
	uint8_t options;  /* first argument that may be an option word; 0: none is */
};

/* name: in capitals. NULL when it is not known. */
const struct command *command_find(struct slice name);

#define OPTION_MAX 12 /* bytes of the longest option word */

/* The option word that s is, in capitals; empty when it is none. */
struct slice option_find(struct slice s);

#endif

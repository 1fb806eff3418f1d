/* The commands of MySQL and MariaDB: what they are called, how a packet that is one looks, what
 * answers it. */
#ifndef PROTOCOLS_MYSQL_COMMAND_H
#define PROTOCOLS_MYSQL_COMMAND_H

#include "base/slice.h"

enum command_id {
	COM_QUIT = 0x01,
	COM_INIT_DB = 0x02,
	COM_QUERY = 0x03,
	COM_CHANGE_USER = 0x11,
	COM_STMT_PREPARE = 0x16,
	COM_STMT_EXECUTE = 0x17,
	COM_STMT_SEND_LONG_DATA = 0x18,
	COM_STMT_CLOSE = 0x19,
	COM_STMT_FETCH = 0x1c,
	COM_RESET_CONNECTION = 0x1f,
};

/* What the server says to a command. An error may come instead of each of them. */
enum reply_kind {
	REPLY_NONE,
	REPLY_OK,      /* OK, or EOF from older servers */
	REPLY_RESULT,  /* results, each an OK or columns and rows; or the wish for a local file */
	REPLY_STRING,  /* a packet that is text */
	REPLY_PREPARE, /* a statement's number, its parameters, its columns */
	REPLY_ROWS,    /* rows of a cursor */
	REPLY_FIELDS,  /* columns up to an EOF */
	REPLY_AUTH,    /* a dialog that ends with OK */
	REPLY_STREAM,  /* no end: replication */
};

/* What its payload holds behind the command byte that is of interest. */
enum command_args {
	ARGS_NONE,
	ARGS_TEXT,	/* a statement */
	ARGS_STATEMENT, /* the number of a prepared statement */
	ARGS_DATABASE,
	ARGS_USER, /* user, what authenticates, database */
};

struct command {
	struct slice name;
	uint8_t reply, args;
	uint32_t min, max; /* bytes of its payload; max 0: any */
};

/* NULL: no client sends such a command. */
const struct command *command_of(uint8_t id);

/* Whether a packet may be this command: its length, and its text where it has one. payload: what is
 * there of its first COMMAND_LOOK bytes, of len in all. */
#define COMMAND_LOOK 32
bool command_plausible(struct slice payload, uint32_t len);

/* Whether a query's text, or as much as is there of it, may begin with attributes: their count, and the
 * count of their sets. No statement begins so. */
bool attributes_plausible(struct slice text);

#endif

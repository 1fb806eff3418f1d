/* MySQL's client/server protocol, version 10, as MySQL 4.0 to 9.x and MariaDB speak it (MySQL source
 * documentation, "Client/Server Protocol"; MariaDB Knowledge Base, "Client/Server Protocol"): one
 * parser for both directions of a connection.
 *
 * Emitted, in order. Request: COMMAND, then what the command has of DATABASE, USER, STMT_ID,
 * STATEMENT pieces, STMT_CLOSE, STMT_RESET. Response: STMT_ID (of a prepare), CODE, SQLSTATE and
 * MESSAGE of an error, else ROWS, AFFECTED_ROWS and CODE 0. Of the session: USER, DATABASE, once
 * the server has agreed; BACKSLASH when it is not what was told before (at first: 1), by the status
 * of a reply, for what is sent after it.
 *
 * One exchange is one command, and of a query with several statements one statement: the results
 * that come belong to them in order. A fetch that directly follows its execute (or an earlier fetch
 * of it) belongs to that exchange, whose response then ends with the last one; so do parameters that
 * were sent ahead as long data: the request then begins with them. A login that succeeds is no
 * exchange, one that fails is, with the command CONNECT.
 *
 * Never looked at: what authenticates, parameters, rows, the content of local files.
 */
#ifndef PROTOCOLS_MYSQL_MYSQL_H
#define PROTOCOLS_MYSQL_MYSQL_H

#include "protocols/protocol.h"

#define MYSQL_STATEMENT_MAX 32768 /* bytes of a statement that are emitted */
#define MYSQL_PENDING_MAX   128	  /* statements without an answer; what follows waits */
#define MYSQL_MESSAGE_MAX   1024  /* bytes of an error's message that are emitted */
#define MYSQL_NAME_MAX	    255	 /* bytes of a user's or database's name; longer ones are unknown */
#define MYSQL_HEAD_MAX	    4096 /* bytes of a packet's beginning that are looked at together */
#define MYSQL_COLUMNS_MAX   65535
#define MYSQL_GREETING_MAX  512

extern const struct proto_ops mysql_ops;

/* See struct proto_ops. A server's greeting is certain by itself. */
enum probe_result mysql_probe_greeting(const struct probe_in *in);
/* A connection that is older than its first byte here: two commands and the beginnings of two
 * replies, or one command whose reply could be nothing else. */
enum probe_result mysql_probe_pair(const struct probe_in *in);
/* The same in compressed packets: a command and its reply. */
enum probe_result mysql_probe_packed(const struct probe_in *in);

#endif

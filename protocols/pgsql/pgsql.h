/* PostgreSQL's protocol, versions 3.0 and 3.2 (documentation of PostgreSQL 18, chapter "Frontend/
 * Backend Protocol").
 *
 * What is an exchange (its fields in this order; request | response):
 *
 *	a statement of a simple query	STATEMENT.. [STMT_CALLS | STMT_CLOSE [STMT_NAME]] PREPARED |
 *					TAG [ROWS], or an error
 *	an Execute, with the Parse, Bind and Describe that belong to it
 *					[STMT_ID] [STMT_NAME] [STATEMENT..] [STMT_CALLS | STMT_CLOSE]
 *					PREPARED |
 *					[PREPARED=1] TAG [ROWS], or an error
 *	these or Close alone		the same and COMMAND: PARSE, BIND, DESCRIBE, CLOSE |
 *	a function call			COMMAND | nothing, or an error
 *	a failed login			COMMAND=CONNECT USER DATABASE | an error
 *	a cancel request		COMMAND=CANCEL, one-way
 *	COPY				one exchange with its data, counted as FIELD_BODY_BYTES
 * pushes: a notice (COMMAND=NOTICE and an error's fields), a notification (COMMAND=NOTIFY), an error
 * that answers nothing (COMMAND=ERROR): the server's farewell, or a commit that failed at Sync.
 * An error is SEVERITY SQLSTATE MESSAGE. MSG_CONN: USER and DATABASE, at AuthenticationOk;
 * BACKSLASH at ReadyForQuery, when standard_conforming_strings is not what was told before (at first: on).
 *
 * FIELD_STMT_ID is a hash of the statement's name, 0 for the one without; a request that has a Parse
 * names what it prepares, any other what it executes. FIELD_PREPARED of a response: the server has
 * prepared it. FIELD_STMT_CLOSE (Close, and DEALLOCATE or PREPARE as SQL) holds once the request has
 * succeeded; behind PREPARE the id is of what its text prepares (sql_prepared()). FIELD_STMT_CALLS is
 * EXECUTE as SQL; FIELD_STMT_RESET of a response (DEALLOCATE ALL, DISCARD ALL) at once.
 *
 * Flush and Sync end a group: what was sent without an Execute stands alone. A simple query is cut at
 * its top-level `;`; the message's header belongs to the first statement, its NUL to the last, white
 * space and comments between two to the second.
 *
 * When a statement fails, the server passes over the rest of the query, or everything up to Sync. Those
 * exchanges are there, because the client did send them, and end without an answer (MSG_UNANSWERED)
 * with ReadyForQuery: no status, no failure of their own. A query whose text has a syntax error fails
 * before any of its statements is run: its error belongs to the statement that it points at.
 *
 * Passwords and everything else of an authentication are skipped. Reading ends where TLS or GSS
 * encryption begins, and behind CopyBothResponse (replication).
 */
#ifndef PROTOCOLS_PGSQL_PGSQL_H
#define PROTOCOLS_PGSQL_PGSQL_H

#include "protocols/pgsql/grammar.h"
#include "protocols/protocol.h"

#define PGSQL_TEXT_MAX	65536 /* bytes of one statement that are emitted */
#define PGSQL_NEED_MAX	16384 /* bytes of a server's message that are looked at together */
#define PGSQL_NAME_MAX	63    /* bytes of a name that count: the server cuts them there */
#define PGSQL_HEAD_MAX	160   /* bytes of a statement that are looked at for what it closes */
#define PGSQL_PORTALS	32    /* whose statement is remembered */
#define PGSQL_LINES_MAX 16    /* statements of a simple query that an error may point at */

extern const struct proto_ops pgsql_ops;

#endif

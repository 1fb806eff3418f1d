/* Hop 6, what the protocols that carry SQL have in common: statements and prepared statements, their
 * fingerprints, rows, errors. A protocol's pair_ops uses sql_field() and sql_num() as they are, or
 * calls them for what it does not know itself, and put_sql() among its columns.
 *
 * A prepared statement is remembered when the server has agreed to it: FIELD_STMT_ID of a response,
 * with the text of its request. FIELD_STMT_ID of a request is what it executes; which statement that
 * is is looked up when the exchange ends. A statement whose text executes another one (EXECUTE name,
 * FIELD_STMT_CALLS) is its own statement and has the other one's resource. FIELD_STMT_CLOSE and
 * FIELD_STMT_RESET hold at once.
 */
#ifndef AGENT_PAIR_SQL_H
#define AGENT_PAIR_SQL_H

#include "agent/pair.h"
#include "base/sql_norm.h"

#define STATEMENT_MAX 8192 /* bytes of a statement that are looked at */

/* What is kept of an exchange; a protocol's own texts and numbers come behind. */
enum sql_text {
	SQL_TEXT_STATEMENT,
	SQL_TEXT_COMMAND,
	SQL_TEXT_TAG,
	SQL_TEXT_STATE,
	SQL_TEXT_SEVERITY,
	SQL_TEXT_MESSAGE,
	_SQL_TEXT_MAX
};
enum sql_num {
	SQL_NUM_STMT,
	SQL_NUM_PREPARED,
	SQL_NUM_ROWS,
	SQL_NUM_AFFECTED,
	SQL_NUM_CODE,
	SQL_NUM_CALLS, /* FIELD_STMT_CALLS */
	_SQL_NUM_MAX
};

void sql_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
	       struct slice v);
void sql_num(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
	     int64_t v);

/* Behind the id stands, on the connection at hand, what the text says; cut: it goes on. */
void sql_prepare(struct pipeline *p, uint64_t id, struct slice text, bool cut);

/* The columns resource, method, error, statement, prepared, rows, sqlstate, message, database, user
 * and the trace's. The dialect is the protocol's. A statement that is not known leaves its columns
 * NULL and the row degraded; so does a user who logged in before the agent came, or in bytes that
 * were lost. */
void put_sql(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b);

#endif

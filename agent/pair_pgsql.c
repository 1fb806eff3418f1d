/* Hop 6 for PostgreSQL: what protocols/pgsql says becomes columns. What a statement is, and what is
 * prepared, is the same for all SQL (pair_sql.c); the rest is here: names of requests without a
 * statement, command tags, SQLSTATEs and whose fault they are. */
#include "agent/pair_sql.h"
#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "protocols/pgsql/names.h"

/* Behind the texts of all SQL: of a failed login, whom it wanted to be; of a push, the SQLSTATE of a
 * notice and the channel of a notification. */
enum pgsql_text {
	TEXT_USER = _SQL_TEXT_MAX,
	TEXT_DATABASE,
	_PGSQL_TEXT_MAX,
	TEXT_NOTICE = TEXT_USER,
	TEXT_CHANNEL = TEXT_DATABASE,
};
enum pgsql_num {
	NUM_CLOSES = _SQL_NUM_MAX, /* id of the statement that means something else after this */
	NUM_LASTING,		   /* 1: what it prepares has a name that lasts */
	_PGSQL_NUM_MAX
};

_Static_assert(_PGSQL_TEXT_MAX <= EXCHANGE_TEXTS, "texts");
_Static_assert(_PGSQL_NUM_MAX <= EXCHANGE_NUMS, "numbers");

#define NAME_BYTES 128 /* of a user, database or channel */

static bool is_notice(const struct exchange *x)
{
	return x->kind == EXCHANGE_PUSH &&
	       !slice_eq_str(exchange_text(x, SQL_TEXT_COMMAND), "ERROR");
}

static void pgsql_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
			struct slice v)
{
	if (f == FIELD_USER)
		exchange_keep(x, TEXT_USER, v, NAME_BYTES);
	else if (f == FIELD_DATABASE)
		exchange_keep(x, TEXT_DATABASE, v, NAME_BYTES);
	else if (f == FIELD_TARGET)
		exchange_keep(x, TEXT_CHANNEL, v, NAME_BYTES);
	else if (f == FIELD_STMT_NAME)
		x->num[NUM_LASTING] = catalogue_is_lasting(v);
	else if (f == FIELD_SQLSTATE && is_notice(x))
		exchange_keep(x, TEXT_NOTICE, v, 5);
	else
		sql_field(p, x, kind, f, v);
}

/* The server has prepared the statement of x. */
static void prepared(struct pipeline *p, struct exchange *x)
{
	int64_t id = x->num[SQL_NUM_STMT];
	struct stmt s;

	if (id < 0)
		return;
	sql_num(p, x, MSG_RESPONSE, FIELD_STMT_ID, id);
	if (x->num[NUM_LASTING] == 1 && stmts_get(p->pair.c, (uint64_t)id, &s))
		catalogue_put(&p->catalogue, p->pair.c, (uint64_t)id, &s);
}

/* The server has prepared the statement inside of x, PREPARE name AS ... */
static void prepared_inside(struct pipeline *p, struct exchange *x)
{
	struct slice text = exchange_text(x, SQL_TEXT_STATEMENT);
	uint64_t id = (uint64_t)x->num[NUM_CLOSES];
	bool cut = x->truncated && text.n >= STATEMENT_MAX;
	struct stmt s;

	text = sql_prepared(text);
	if (!text.n || x->msg[MSG_REQUEST].flags & MSG_LOST) {
		stmts_del(p, p->pair.c, id);
		return;
	}
	sql_prepare(p, id, text, cut);
	if (x->num[NUM_LASTING] == 1 && x->num[SQL_NUM_STMT] < 0 && stmts_get(p->pair.c, id, &s))
		catalogue_put(&p->catalogue, p->pair.c, id, &s);
}

static void pgsql_num(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		      int64_t v)
{
	if (f == FIELD_STMT_CLOSE)
		x->num[NUM_CLOSES] = v;
	else if (f != FIELD_PREPARED || kind == MSG_REQUEST)
		sql_num(p, x, kind, f, v);
	else
		prepared(p, x);
}

/* Classes of SQLSTATE (first two characters) in which the service failed: a statement that could have
 * succeeded. In all others the caller erred: what he sent cannot succeed as it is, or he gave it up.
 *	08 connection, 53 resources, 54 limits of the server, 57 operator (but 57014: cancelled, or
 *	over the caller's own timeout), 58 and XX the system, F0 its configuration, 40 deadlocks and
 *	serialization, 72 snapshot too old, HV a foreign server */
static const char service_classes[][3] = { "08", "40", "53", "54", "57",
					   "58", "72", "F0", "HV", "XX" };

static bool service_failed(struct slice sqlstate)
{
	if (slice_eq_str(sqlstate, "57014"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(service_classes); i++)
		if (slice_eq_str(slice_head(sqlstate, 2), service_classes[i]))
			return true;
	return false;
}

static void put_result(struct pipeline *p, const struct exchange *x, struct row_builder *b)
{
	const struct message *resp = &x->msg[MSG_RESPONSE];
	struct slice sqlstate = exchange_text(x, SQL_TEXT_STATE);
	bool failed = sqlstate.n && service_failed(sqlstate);

	/* An answer whose end was lost may have been an error. */
	if (!resp->done && !(resp->flags & MSG_UNANSWERED))
		return;
	if (!sqlstate.n && resp->flags & MSG_LOST && !x->text[SQL_TEXT_TAG].n)
		return;
	row_int(b, COL_FAILED, failed);
	row_int(b, COL_CLIENT_ERROR, sqlstate.n && !failed);
	if (sqlstate.n)
		join_text(p, b, COL_STATUS, sqlstate);
	else if (resp->done && x->kind == EXCHANGE_REQUEST)
		join_literal(p, b, COL_STATUS, "OK");
}

/* What a request is called that has no statement, or whose statement is not known: what the server
 * says that it did. */
static void put_method(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	struct slice command = exchange_text(x, SQL_TEXT_COMMAND);
	struct slice tag = exchange_text(x, SQL_TEXT_TAG);

	if (command.n)
		join_text(p, b, COL_METHOD, command);
	else if (x->msg[MSG_REQUEST].flags & MSG_DEGRADED && !x->text[SQL_TEXT_STATEMENT].n)
		join_text(p, b, COL_METHOD, slice_head(tag, slice_find(tag, ' ')));
}

/* A statement that this connection prepared before the agent came: what others prepare under its name. */
static void put_known_by_others(struct pipeline *p, struct conn *c, const struct exchange *x,
				struct row_builder *b)
{
	bool called = x->num[SQL_NUM_CALLS] >= 0;
	int64_t id = x->num[called ? SQL_NUM_CALLS : SQL_NUM_STMT];
	struct stmt s;

	/* Where all was seen, or the server knows no such statement, there is nothing to guess. */
	if ((!c->old && !c->dir[c->request_dir].gap_ns) ||
	    slice_eq_str(exchange_text(x, SQL_TEXT_STATE), "26000"))
		return;
	if (id <= 0 || (x->text[SQL_TEXT_STATEMENT].n && !called) ||
	    stmts_get(c, (uint64_t)id, &s) || !catalogue_get(&p->catalogue, c, (uint64_t)id, &s))
		return;
	join_text(p, b, COL_RESOURCE, s.fingerprint);
	if (called)
		return;
	if (s.verb)
		join_literal(p, b, COL_METHOD, s.verb);
	join_text(p, b, COL_DB_STATEMENT, s.statement);
}

/* What is known of prepared statements once x has succeeded. */
static void remember(struct pipeline *p, struct conn *c, struct exchange *x)
{
	struct slice tag = exchange_text(x, SQL_TEXT_TAG);

	if (!x->msg[MSG_RESPONSE].done || x->text[SQL_TEXT_STATE].n)
		return;
	if (x->num[NUM_CLOSES] >= 0 && slice_eq_str(tag, "PREPARE"))
		prepared_inside(p, x);
	else if (x->num[NUM_CLOSES] >= 0)
		stmts_del(p, c, (uint64_t)x->num[NUM_CLOSES]);
	else if (slice_eq_str(tag, "DEALLOCATE") || slice_eq_str(tag, "PREPARE"))
		stmts_clear(p, c); /* one of them, but which? */
}

static void pgsql_columns(struct pipeline *p, struct conn *c, struct exchange *x,
			  struct row_builder *b)
{
	put_sql(p, c, x, b);
	put_known_by_others(p, c, x, b);
	put_method(p, x, b);
	put_result(p, x, b);
	join_text(p, b, COL_DB_COMMAND_TAG, exchange_text(x, SQL_TEXT_TAG));
	join_text(p, b, COL_DB_SEVERITY, exchange_text(x, SQL_TEXT_SEVERITY));
	if (is_notice(x)) {
		join_text(p, b, COL_DB_SQLSTATE, exchange_text(x, TEXT_NOTICE));
		put_redacted(p, b, COL_RESOURCE, exchange_text(x, TEXT_CHANNEL));
	} else if (x->kind == EXCHANGE_REQUEST) {
		put_redacted(p, b, COL_DB_USER, exchange_text(x, TEXT_USER));
		put_redacted(p, b, COL_DB_DATABASE, exchange_text(x, TEXT_DATABASE));
	}
	remember(p, c, x);
}

const struct pair_ops pair_pgsql_ops = {
	.table = TABLE_PGSQL,
	.field = pgsql_field,
	.num = pgsql_num,
	.columns = pgsql_columns,
};

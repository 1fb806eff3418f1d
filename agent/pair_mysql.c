/* Hop 6 for MySQL and MariaDB: the columns of an exchange behind those of all SQL, and what an error
 * says about whose fault it was. */
#include "agent/pair_sql.h"
#include "agent/pair_text.h"
#include "agent/pipeline_int.h"

#define NAME_MAX_BYTES 64 /* of a user or database that a failed login wanted */
#define NUMBER_MAX     12

/* A login that failed has names that did not become the session's. */
enum mysql_text { TEXT_USER = _SQL_TEXT_MAX, TEXT_DATABASE, _MYSQL_TEXT_MAX };

_Static_assert(_MYSQL_TEXT_MAX <= EXCHANGE_TEXTS, "texts");

static void mysql_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
			struct slice v)
{
	if (f == FIELD_USER)
		exchange_keep(x, TEXT_USER, v, NAME_MAX_BYTES);
	else if (f == FIELD_DATABASE)
		exchange_keep(x, TEXT_DATABASE, v, NAME_MAX_BYTES);
	else
		sql_field(p, x, kind, f, v);
}

/* ---- whose fault an error is ---- */

enum fault { FAULT_SERVICE, FAULT_CALLER };

/* Errors whose SQLSTATE says nothing (HY000), or the wrong thing. */
static const struct {
	uint16_t code;
	uint8_t fault;
} by_code[] = {
	{ 1007, FAULT_CALLER },	 /* the database exists */
	{ 1008, FAULT_CALLER },	 /* the database does not exist */
	{ 1093, FAULT_CALLER },	 /* the target table is read, too */
	{ 1099, FAULT_CALLER },	 /* locked for reading */
	{ 1100, FAULT_CALLER },	 /* not locked */
	{ 1137, FAULT_CALLER },	 /* a temporary table twice */
	{ 1153, FAULT_CALLER },	 /* packet too large */
	{ 1193, FAULT_CALLER },	 /* unknown variable */
	{ 1210, FAULT_CALLER },	 /* wrong arguments */
	{ 1213, FAULT_SERVICE }, /* deadlock */
	{ 1226, FAULT_SERVICE }, /* a user's share is used up */
	{ 1238, FAULT_CALLER },	 /* read-only variable */
	{ 1243, FAULT_CALLER },	 /* unknown prepared statement */
	{ 1295, FAULT_CALLER },	 /* cannot be prepared */
	{ 1356, FAULT_CALLER },	 /* broken view */
	{ 1364, FAULT_CALLER },	 /* no default */
	{ 1366, FAULT_CALLER },	 /* wrong value */
	{ 1390, FAULT_CALLER },	 /* too many parameters */
	{ 1411, FAULT_CALLER },	 /* wrong date */
	{ 1418, FAULT_CALLER },	 /* unsafe function */
	{ 1419, FAULT_CALLER },	 /* privilege for binary logging */
	{ 1442, FAULT_CALLER },	 /* a table that a trigger uses */
	{ 1525, FAULT_CALLER },	 /* wrong value of a type */
	{ 3065, FAULT_CALLER },	 /* ORDER BY with DISTINCT */
	{ 3819, FAULT_CALLER },	 /* a check failed */
	{ 3948, FAULT_CALLER },	 /* local files are switched off */
};

/* The classes of SQLSTATE that say that the caller erred; all others: the service failed. Among
 * those are 08 (connection), 40 (rolled back), 53 (resources), 70 (interrupted), HY (anything). */
static const char caller_classes[][3] = { "01", "02", "07", "0A", "0K", "0Z", "20", "21", "22",
					  "23", "24", "25", "28", "2B", "2F", "34", "35", "38",
					  "39", "3B", "3C", "3D", "3F", "42", "44", "45", "XA" };

static enum fault fault_of(int64_t code, struct slice sqlstate)
{
	for (size_t i = 0; i < ARRAY_SIZE(by_code); i++)
		if (by_code[i].code == code)
			return (enum fault)by_code[i].fault;
	for (size_t i = 0; i < ARRAY_SIZE(caller_classes); i++)
		if (slice_eq_str(slice_head(sqlstate, 2), caller_classes[i]))
			return FAULT_CALLER;
	return FAULT_SERVICE;
}

/* ---- columns ---- */

static void put_code(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	int64_t code = x->num[SQL_NUM_CODE];
	struct slice sqlstate = exchange_text(x, SQL_TEXT_STATE);
	bool caller;
	char text[NUMBER_MAX];
	size_t at = sizeof(text);

	if (code < 0)
		return;
	caller = code > 0 && fault_of(code, sqlstate) == FAULT_CALLER;
	row_int(b, COL_FAILED, code > 0 && !caller);
	row_int(b, COL_CLIENT_ERROR, caller);
	if (code == 0) {
		join_literal(p, b, COL_STATUS, "OK");
		return;
	}
	row_int(b, COL_STATUS_CODE, code);
	for (int64_t left = code; left > 0 && at > 0; left /= 10)
		text[--at] = (char)('0' + left % 10);
	join_text(p, b, COL_STATUS, slice_of(text + at, sizeof(text) - at));
}

/* Commands that execute what is known as a statement; the others are called by their own name. */
static const struct {
	const char *command;
	int8_t prepared;
} executing[] = {
	{ "COM_QUERY", 0 },
	{ "COM_STMT_EXECUTE", 1 },
	{ "COM_STMT_BULK_EXECUTE", 1 },
};

static void put_command(struct pipeline *p, struct slice command, struct row_builder *b)
{
	static const struct slice prefixes[] = { { (const uint8_t *)"COM_STMT_", 9 },
						 { (const uint8_t *)"COM_", 4 } };
	struct slice method = command;

	join_text(p, b, COL_DB_COMMAND, command);
	for (size_t i = 0; i < ARRAY_SIZE(executing); i++)
		if (slice_eq_str(command, executing[i].command))
			return;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes) && method.n == command.n; i++)
		if (slice_starts(command, prefixes[i]))
			method = slice_from(command, prefixes[i].n);
	join_text(p, b, COL_METHOD, method);
}

static void mysql_columns(struct pipeline *p, struct conn *c, struct exchange *x,
			  struct row_builder *b)
{
	struct slice command = exchange_text(x, SQL_TEXT_COMMAND);
	struct slice message = exchange_text(x, SQL_TEXT_MESSAGE);
	uint8_t buf[REDACT_BUF];

	for (size_t i = 0; i < ARRAY_SIZE(executing); i++)
		if (slice_eq_str(command, executing[i].command))
			x->num[SQL_NUM_PREPARED] = executing[i].prepared;
	put_sql(p, c, x, b);
	put_code(p, x, b);
	put_command(p, x->kind == EXCHANGE_PUSH ? SLICE_LIT("") : command, b);
	put_redacted(p, b, COL_DB_USER, exchange_text(x, TEXT_USER));
	put_redacted(p, b, COL_DB_DATABASE, exchange_text(x, TEXT_DATABASE));
	if (x->num[SQL_NUM_AFFECTED] >= 0)
		row_int(b, COL_DB_AFFECTED_ROWS, x->num[SQL_NUM_AFFECTED]);
	if (x->num[SQL_NUM_CODE] > 0 && message.n)
		row_text(b, COL_ERROR, text_redacted(p, COL_DB_MESSAGE, message, buf));
}

const struct pair_ops pair_mysql_ops = {
	.table = TABLE_MYSQL,
	.field = mysql_field,
	.num = sql_num,
	.columns = mysql_columns,
};

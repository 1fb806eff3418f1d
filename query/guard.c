#include "query/query_int.h"

/* What a statement of a stranger may do: read our tables, call the functions listed here, recurse.
 * Everything else is refused while it is prepared; what is left is bounded by SQLite's limits and
 * by the progress handler. */

/* SQLite's own, without those that reach files, extensions or internals. */
static const char *const allowed_functions[] = {
	"->",
	"->>",
	"abs",
	"acos",
	"acosh",
	"asin",
	"asinh",
	"atan",
	"atan2",
	"atanh",
	"avg",
	"ceil",
	"ceiling",
	"char",
	"changes",
	"coalesce",
	"concat",
	"cos",
	"cosh",
	"count",
	"cume_dist",
	"date",
	"datetime",
	"degrees",
	"dense_rank",
	"exp",
	"first_value",
	"floor",
	"format",
	"glob",
	"group_concat",
	"hex",
	"ifnull",
	"iif",
	"instr",
	"json",
	"json_array",
	"json_array_length",
	"json_each",
	"json_extract",
	"json_group_array",
	"json_group_object",
	"json_object",
	"json_patch",
	"json_quote",
	"json_remove",
	"json_replace",
	"json_set",
	"json_insert",
	"json_tree",
	"json_type",
	"json_valid",
	"julianday",
	"lag",
	"last_value",
	"lead",
	"length",
	"like",
	"likelihood",
	"likely",
	"ln",
	"log",
	"log10",
	"log2",
	"lower",
	"ltrim",
	"max",
	"min",
	"mod",
	"nth_value",
	"ntile",
	"nullif",
	"percent_rank",
	"pi",
	"pow",
	"power",
	"printf",
	"quote",
	"radians",
	"random",
	"rank",
	"replace",
	"round",
	"row_number",
	"rtrim",
	"sign",
	"sin",
	"sinh",
	"sqrt",
	"strftime",
	"substr",
	"substring",
	"sum",
	"tan",
	"tanh",
	"time",
	"total",
	"trim",
	"trunc",
	"typeof",
	"unicode",
	"unixepoch",
	"unlikely",
	"upper",
	"zeroblob",
};

static const char *const other_tables[] = { "kelpie_columns", "kelpie_ledger_balance", "json_each",
					    "json_tree" };

/* SQLite's name of an action, for the message. */
static const struct {
	int code;
	const char *what;
} actions[] = {
	{ SQLITE_ATTACH, "ATTACH" },
	{ SQLITE_DETACH, "DETACH" },
	{ SQLITE_PRAGMA, "PRAGMA" },
	{ SQLITE_INSERT, "writing" },
	{ SQLITE_UPDATE, "writing" },
	{ SQLITE_DELETE, "writing" },
	{ SQLITE_TRANSACTION, "a transaction" },
	{ SQLITE_SAVEPOINT, "a transaction" },
	{ SQLITE_ANALYZE, "ANALYZE" },
	{ SQLITE_REINDEX, "REINDEX" },
};

static bool listed(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sqlite3_stricmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool function_allowed(const char *name)
{
	size_t n;
	const struct function *ours = funcs_table(&n);

	for (size_t i = 0; i < n; i++)
		if (sqlite3_stricmp(name, ours[i].name) == 0)
			return true;
	return listed(name, allowed_functions, ARRAY_SIZE(allowed_functions));
}

/* list: words, each with a line feed behind it. */
static bool listed_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *end; (end = strchr(list, '\n')); list = end + 1)
		if ((size_t)(end - list) == n && sqlite3_strnicmp(list, word, (int)n) == 0)
			return true;
	return false;
}

/* Whether SQLite itself has a table of this name. */
static bool is_internal(const struct query_conn *c, const char *name)
{
	return sqlite3_strnicmp(name, "sqlite_", 7) == 0 ||
	       sqlite3_strnicmp(name, "pragma_", 7) == 0 ||
	       listed_word(strbuf_str(&c->modules), name);
}

static int deny(struct query_conn *c, const char *hint, const char *what)
{
	query_fail(c, "not_allowed", -1, hint, "%s is not allowed", what);
	return SQLITE_DENY;
}

static int authorize(void *arg, int action, const char *a, const char *b, const char *database,
		     const char *inside)
{
	struct query_conn *c = arg;
	char what[128];

	(void)inside;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_READ:
		if (!a || catalog_find(a) || listed(a, other_tables, ARRAY_SIZE(other_tables)))
			return SQLITE_OK;
		/* A subquery or table expression without a used column: its own name, no database.
		 */
		if (!database && !is_internal(c, a))
			return SQLITE_OK;
		snprintf(what, sizeof(what), "reading %s", a);
		return deny(c, "the tables are in kelpie_columns", what);
	case SQLITE_FUNCTION:
		if (function_allowed(b))
			return SQLITE_OK;
		snprintf(what, sizeof(what), "the function %s()", b);
		return deny(c, "", what);
	default:
		for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
			if (actions[i].code == action)
				return deny(c, "only SELECT is", actions[i].what);
		return deny(c, "only SELECT is", "this statement");
	}
}

static int progress(void *arg)
{
	return query_check_time(arg) < 0;
}

static const struct {
	int id, value;
} limits[] = {
	{ SQLITE_LIMIT_LENGTH, QUERY_VALUE_MAX },   { SQLITE_LIMIT_SQL_LENGTH, 4 * QUERY_SQL_MAX },
	{ SQLITE_LIMIT_COLUMN, QUERY_COLUMNS_MAX }, { SQLITE_LIMIT_EXPR_DEPTH, 100 },
	{ SQLITE_LIMIT_COMPOUND_SELECT, 20 },	    { SQLITE_LIMIT_VDBE_OP, 100000 },
	{ SQLITE_LIMIT_FUNCTION_ARG, 16 },	    { SQLITE_LIMIT_ATTACHED, 0 },
	{ SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500 },  { SQLITE_LIMIT_VARIABLE_NUMBER, 1000 },
	{ SQLITE_LIMIT_TRIGGER_DEPTH, 1 },	    { SQLITE_LIMIT_WORKER_THREADS, 0 },
};

static const struct {
	int option, value;
} options[] = {
	{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
	{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
	{ SQLITE_DBCONFIG_DQS_DML, 0 }, /* "x" is a name, never a text that was meant to be one */
	{ SQLITE_DBCONFIG_DQS_DDL, 0 },
	{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
	{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
	{ SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 },
};

/* Tables that SQLite brings along, for is_internal(). */
static int list_modules(struct query_conn *c)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(c->db, "SELECT name FROM pragma_module_list", -1, &stmt, NULL);

	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		strbuf_addf(&c->modules, "%s\n", (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return c->modules.failed ? SQLITE_NOMEM : rc;
}

int guard_install(struct query_conn *c)
{
	int rc = list_modules(c);

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		sqlite3_limit(c->db, limits[i].id, limits[i].value);
	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_SIZE(options); i++)
		rc = sqlite3_db_config(c->db, options[i].option, options[i].value, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_set_authorizer(c->db, authorize, c);
	sqlite3_progress_handler(c->db, PROGRESS_STEPS, progress, c);
	return rc;
}

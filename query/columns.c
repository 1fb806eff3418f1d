#include "query/query_int.h"

/* kelpie_columns: the catalogue as a table. */
enum { C_TABLE, C_NAME, C_TYPE, C_UNIT, C_IN_STAR, C_OTEL, C_DOC };

struct columns_cursor {
	sqlite3_vtab_cursor base;
	size_t table, column;
};

static int columns_connect(sqlite3 *db, void *arg, int argc, const char *const *argv,
			   sqlite3_vtab **ret, char **ret_error)
{
	int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(table_name TEXT, name TEXT, type TEXT, "
					  "unit TEXT, in_star INTEGER, otel TEXT, doc TEXT)");

	(void)arg;
	(void)argc;
	(void)argv;
	(void)ret_error;
	if (rc == SQLITE_OK)
		rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
	if (rc != SQLITE_OK)
		return rc;
	*ret = sqlite3_malloc(sizeof(**ret));
	if (!*ret)
		return SQLITE_NOMEM;
	memset(*ret, 0, sizeof(**ret));
	return SQLITE_OK;
}

static int columns_disconnect(sqlite3_vtab *v)
{
	sqlite3_free(v);
	return SQLITE_OK;
}

static int columns_best_index(sqlite3_vtab *v, sqlite3_index_info *info)
{
	(void)v;
	info->estimatedCost = 500;
	info->estimatedRows = 500;
	return SQLITE_OK;
}

static int columns_open(sqlite3_vtab *v, sqlite3_vtab_cursor **ret)
{
	struct columns_cursor *cur = sqlite3_malloc(sizeof(*cur));

	(void)v;
	if (!cur)
		return SQLITE_NOMEM;
	memset(cur, 0, sizeof(*cur));
	*ret = &cur->base;
	return SQLITE_OK;
}

static int columns_close(sqlite3_vtab_cursor *c)
{
	sqlite3_free(c);
	return SQLITE_OK;
}

static int columns_filter(sqlite3_vtab_cursor *c, int idx_num, const char *idx_str, int argc,
			  sqlite3_value **argv)
{
	struct columns_cursor *cur = (struct columns_cursor *)c;

	(void)idx_num;
	(void)idx_str;
	(void)argc;
	(void)argv;
	cur->table = cur->column = 0;
	return SQLITE_OK;
}

static int columns_next(sqlite3_vtab_cursor *c)
{
	struct columns_cursor *cur = (struct columns_cursor *)c;
	size_t n;
	const struct sql_table *tables = catalog_tables(&n);

	if (++cur->column == tables[cur->table].n_columns) {
		cur->table++;
		cur->column = 0;
	}
	return SQLITE_OK;
}

static int columns_eof(sqlite3_vtab_cursor *c)
{
	size_t n;

	catalog_tables(&n);
	return ((struct columns_cursor *)c)->table >= n;
}

static void result_literal(sqlite3_context *ctx, const char *s)
{
	if (s)
		sqlite3_result_text(ctx, s, -1, SQLITE_STATIC);
}

static int columns_column(sqlite3_vtab_cursor *c, sqlite3_context *ctx, int i)
{
	struct columns_cursor *cur = (struct columns_cursor *)c;
	size_t n;
	const struct sql_table *table = &catalog_tables(&n)[cur->table];
	const struct column *col = table->columns[cur->column];

	if (i == C_TABLE)
		result_literal(ctx, table->name);
	else if (i == C_NAME)
		result_literal(ctx, col->name);
	else if (i == C_TYPE)
		result_literal(ctx, col->type == COL_INT ? "INTEGER" : "TEXT");
	else if (i == C_UNIT)
		result_literal(ctx, unit_name((enum col_unit)col->unit));
	else if (i == C_IN_STAR)
		sqlite3_result_int(ctx, !(col->flags & COL_F_PAYLOAD));
	else if (i == C_OTEL)
		result_literal(ctx, col->otel);
	else
		result_literal(ctx, col->doc);
	return SQLITE_OK;
}

static int columns_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *ret)
{
	struct columns_cursor *cur = (struct columns_cursor *)c;

	*ret = (sqlite3_int64)cur->table * CATALOG_COLUMNS_MAX + (sqlite3_int64)cur->column;
	return SQLITE_OK;
}

static const sqlite3_module columns_module = {
	.iVersion = 2,
	.xConnect = columns_connect,
	.xBestIndex = columns_best_index,
	.xDisconnect = columns_disconnect,
	.xOpen = columns_open,
	.xClose = columns_close,
	.xFilter = columns_filter,
	.xNext = columns_next,
	.xEof = columns_eof,
	.xColumn = columns_column,
	.xRowid = columns_rowid,
};

int columns_register(struct query_conn *c)
{
	return sqlite3_create_module(c->db, "kelpie_columns", &columns_module, c);
}

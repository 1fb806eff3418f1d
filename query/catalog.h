/* The tables as SQL sees them: those of the schema, the two views over all exchange tables, and
 * which stored columns each SQL column needs.
 */
#ifndef QUERY_CATALOG_H
#define QUERY_CATALOG_H

#include "base/strbuf.h"
#include "protocols/schema.h"

#define CATALOG_TABLES_MAX  (_TABLE_MAX + 2)
#define CATALOG_COLUMNS_MAX 128

struct sql_table {
	const char *name, *doc;
	uint16_t members[_TABLE_MAX]; /* enum table_id */
	size_t n_members;
	const struct column *columns[CATALOG_COLUMNS_MAX]; /* in SQL's order, without hidden ones */
	size_t n_columns;
	bool primary_only; /* only rows with is_primary = 1 */
	bool has_identity; /* rows have node, epoch and seq */
	bool has_end_time; /* time ranges apply */
	bool ordered;	   /* scans deliver it by end_time: it is kept in segments */
};

/* All of them in a fixed order; made on the first call, never freed. */
const struct sql_table *catalog_tables(size_t *ret_n);
/* By name, case folded; NULL when absent. */
const struct sql_table *catalog_find(const char *name);
/* The column of any table with this name, or NULL. */
const struct column *catalog_column(struct slice name);
/* Whether a column of some table has this name and holds a time. */
bool catalog_is_time(struct slice name);

/* The statement that declares the table to SQLite. */
void catalog_declare(const struct sql_table *t, struct strbuf *out);
/* The stored columns that the column is made of: one, or those a computed one needs. */
size_t catalog_needs(const struct column *col, uint16_t ret[3]);

/* The known name most like the given one, for a hint; NULL when nothing is near.
 * names: NULL-terminated by next(i) returning NULL. */
const char *catalog_nearest(struct slice name, const char *(*next)(size_t i));
const char *catalog_column_name(size_t i);
/* The same among the columns of one table, with the edits between the two names. */
const char *catalog_nearest_column(const struct sql_table *t, struct slice name, size_t *ret_edits);

#endif

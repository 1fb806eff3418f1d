#include "query/query_int.h"

/* What a result column shows. A plain reference has its column's unit; of a call of a known
 * function the table below says whether it keeps its argument's unit or has one of its own. */
enum rule { KEEP, OWN };

static const struct {
	const char *name;
	uint8_t rule; /* enum rule */
	uint8_t unit; /* enum col_unit, of OWN */
	const char *unit_name;
} rules[] = {
	{ "p50", KEEP, 0, "" },
	{ "p90", KEEP, 0, "" },
	{ "p95", KEEP, 0, "" },
	{ "p99", KEEP, 0, "" },
	{ "quantile", KEEP, 0, "" },
	{ "min", KEEP, 0, "" },
	{ "max", KEEP, 0, "" },
	{ "sum", KEEP, 0, "" },
	{ "total", KEEP, 0, "" },
	{ "avg", KEEP, 0, "" },
	{ "abs", KEEP, 0, "" },
	{ "round", KEEP, 0, "" },
	{ "coalesce", KEEP, 0, "" },
	{ "ifnull", KEEP, 0, "" },
	{ "first_value", KEEP, 0, "" },
	{ "last_value", KEEP, 0, "" },
	{ "lag", KEEP, 0, "" },
	{ "lead", KEEP, 0, "" },
	{ "now", OWN, UNIT_TIME_NS, "unix_ns" },
	{ "ago", OWN, UNIT_TIME_NS, "unix_ns" },
	{ "time_bucket", OWN, UNIT_TIME_NS, "unix_ns" },
	{ "count", OWN, UNIT_COUNT, "count" },
	{ "count_distinct", OWN, UNIT_COUNT, "count" },
	{ "contains", OWN, UNIT_BOOL, "bool" },
	{ "regex", OWN, UNIT_BOOL, "bool" },
	{ "histogram", OWN, UNIT_JSON, "json" },
	{ "ms", OWN, UNIT_NONE, "ms" },
	{ "rate", OWN, UNIT_NONE, "1/s" },
};

#define NESTING_MAX 8

/* Truth values and numbers of things are added, not kept: their sum is a count, their mean has no
 * unit. */
static void keep_unit(struct slice function, struct query_column *ret)
{
	bool counts = ret->unit == UNIT_BOOL || ret->unit == UNIT_COUNT;
	bool sum = slice_eq_nocase(function, SLICE_LIT("sum")) ||
		   slice_eq_nocase(function, SLICE_LIT("total"));

	if (counts && slice_eq_nocase(function, SLICE_LIT("avg")))
		ret->unit = UNIT_NONE;
	else if (counts && sum)
		ret->unit = UNIT_COUNT;
	else
		return;
	ret->unit_name = unit_name((enum col_unit)ret->unit);
}

static void unit_of(struct query_conn *c, struct tok_range r, unsigned int depth,
		    struct query_column *ret)
{
	struct slice name;
	struct tok_range arg;

	if (depth > NESTING_MAX)
		return;
	if (!sqltext_call(c->text, r, &name, &arg)) {
		struct slice column = sqltext_name(c->text, r);
		const struct column *col = column.n ? catalog_column(column) : NULL;

		if (col) {
			/* A quantile of sketches is one of what they stand for. */
			ret->unit = col->id == COL_SKETCH && depth > 0 ? UNIT_DURATION_NS
								       : col->unit;
			ret->unit_name = unit_name((enum col_unit)ret->unit);
		}
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (!slice_eq_nocase(name, slice_str(rules[i].name)))
			continue;
		if (rules[i].rule == KEEP) {
			unit_of(c, arg, depth + 1, ret);
			keep_unit(name, ret);
		} else {
			ret->unit = rules[i].unit;
			ret->unit_name = rules[i].unit_name;
		}
	}
}

static const char *const estimates[] = { "p50", "p90", "p95", "p99", "quantile" };

/* Whether an estimate is made among the tokens. */
static bool estimated(const struct query_conn *c, struct tok_range r)
{
	for (size_t i = 0; i < ARRAY_SIZE(estimates); i++)
		if (sqltext_calls(c->text, r, estimates[i]))
			return true;
	return c->distinct_estimated && sqltext_calls(c->text, r, "count_distinct");
}

bool describe_estimated(struct query_conn *c, sqlite3_stmt *stmt, int i, int n)
{
	struct tok_range all = { 0, c->text->n }, r, other;
	bool known = sqltext_column(c->text, (size_t)i, (size_t)n, &r);

	if (known && estimated(c, r))
		return true;
	if (!estimated(c, all) || sqlite3_column_origin_name(stmt, i))
		return false;
	/* The estimate is made elsewhere: in another result column, or in a part of the statement
	 * that this column may come from. */
	for (int k = 0; k < n; k++)
		if (k != i && sqltext_column(c->text, (size_t)k, (size_t)n, &other) &&
		    estimated(c, other))
			return false;
	return true;
}

static const char *type_name(int type)
{
	switch (type) {
	case SQLITE_INTEGER:
		return "INTEGER";
	case SQLITE_FLOAT:
		return "REAL";
	case SQLITE_TEXT:
		return "TEXT";
	case SQLITE_BLOB:
		return "BLOB";
	default:
		return "";
	}
}

void describe_column(struct query_conn *c, sqlite3_stmt *stmt, int i, int n, bool has_row,
		     struct query_column *ret)
{
	const char *declared = sqlite3_column_decltype(stmt, i);
	const char *origin = sqlite3_column_origin_name(stmt, i);
	const char *table = origin ? sqlite3_column_table_name(stmt, i) : NULL;
	const struct sql_table *t = table ? catalog_find(table) : NULL;
	struct tok_range r;

	memset(ret, 0, sizeof(*ret));
	ret->name = sqlite3_column_name(stmt, i);
	ret->name = ret->name ? ret->name : "";
	ret->type = declared ? declared : has_row ? type_name(sqlite3_column_type(stmt, i)) : "";
	ret->unit_name = "";
	ret->approximate = describe_estimated(c, stmt, i, n);
	for (size_t k = 0; t && k < t->n_columns; k++)
		if (strcmp(t->columns[k]->name, origin) == 0) {
			ret->unit = t->columns[k]->unit;
			ret->unit_name = unit_name((enum col_unit)ret->unit);
			return;
		}
	if (!origin && sqltext_column(c->text, (size_t)i, (size_t)n, &r))
		unit_of(c, r, 0, ret);
}

#include "query/catalog.h"

#include "base/util.h"
#include "query/query.h"

#include <pthread.h>
#include <sqlite3.h>

static struct sql_table tables[CATALOG_TABLES_MAX];
static size_t n_tables;
/* Asked for with each word of a statement, and few. */
static const struct column *times[16];
static size_t n_times;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void add_columns(struct sql_table *t, const struct column *const *columns, size_t n)
{
	bool epoch = false, seq = false;

	for (size_t i = 0; i < n && t->n_columns < CATALOG_COLUMNS_MAX; i++) {
		epoch |= columns[i]->id == COL_EPOCH;
		seq |= columns[i]->id == COL_SEQ;
		t->has_end_time |= columns[i]->id == COL_END_TIME;
		if (!(columns[i]->flags & COL_F_HIDDEN))
			t->columns[t->n_columns++] = columns[i];
	}
	t->has_identity = epoch && seq;
	t->ordered = t->has_identity && t->has_end_time;
}

static void add_exchanges(const char *name, const char *doc, bool primary_only)
{
	struct sql_table *t = &tables[n_tables++];
	const struct table_schema *const *all;
	const struct column *const *common;
	size_t n, n_common;

	t->name = name;
	t->doc = doc;
	t->primary_only = primary_only;
	all = schema_tables(&n);
	for (size_t i = 0; i < n; i++)
		if (all[i]->flags & TABLE_F_EXCHANGES)
			t->members[t->n_members++] = all[i]->id;
	common = schema_common(&n_common);
	add_columns(t, common, n_common);
}

static void add_times(void)
{
	for (uint16_t id = 0; id < _COL_MAX && n_times < ARRAY_SIZE(times); id++) {
		const struct column *col = schema_column(id);

		if (col && col->unit == UNIT_TIME_NS)
			times[n_times++] = col;
	}
}

static void make(void)
{
	const struct table_schema *const *all;
	size_t n;

	add_times();

	add_exchanges("requests", "one row per exchange, of all protocols", true);
	add_exchanges("observations", "exchanges as each observed end saw them", false);
	all = schema_tables(&n);
	for (size_t i = 0; i < n; i++) {
		struct sql_table *t = &tables[n_tables++];

		t->name = all[i]->name;
		t->doc = all[i]->doc;
		t->members[t->n_members++] = all[i]->id;
		t->primary_only = all[i]->flags & TABLE_F_EXCHANGES;
		add_columns(t, all[i]->columns, all[i]->n_columns);
	}
}

const struct sql_table *catalog_tables(size_t *ret_n)
{
	pthread_once(&once, make);
	*ret_n = n_tables;
	return tables;
}

const struct sql_table *catalog_find(const char *name)
{
	size_t n;

	catalog_tables(&n);
	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(slice_str(tables[i].name), slice_str(name)))
			return &tables[i];
	return NULL;
}

const struct column *catalog_column(struct slice name)
{
	size_t n;

	catalog_tables(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < tables[i].n_columns; c++)
			if (slice_eq_nocase(slice_str(tables[i].columns[c]->name), name))
				return tables[i].columns[c];
	return NULL;
}

bool catalog_is_time(struct slice name)
{
	pthread_once(&once, make);
	for (size_t i = 0; i < n_times; i++)
		if (slice_eq_nocase(slice_str(times[i]->name), name))
			return true;
	return false;
}

void catalog_declare(const struct sql_table *t, struct strbuf *out)
{
	strbuf_adds(out, "CREATE TABLE x(");
	for (size_t i = 0; i < t->n_columns; i++)
		strbuf_addf(out, "%s\"%s\" %s%s", i ? "," : "", t->columns[i]->name,
			    t->columns[i]->type == COL_INT ? "INTEGER" : "TEXT",
			    t->columns[i]->flags & COL_F_PAYLOAD ? " HIDDEN" : "");
	strbuf_adds(out, ")");
}

size_t catalog_needs(const struct column *col, uint16_t ret[3])
{
	switch (col->id) {
	case COL_ID:
		ret[0] = COL_NODE;
		ret[1] = COL_EPOCH;
		ret[2] = COL_SEQ;
		return 3;
	case COL_EXCHANGE_ID:
		ret[0] = COL_CONN_ID;
		ret[1] = COL_REQUEST_OFFSET;
		return 2;
	default:
		ret[0] = col->id;
		return 1;
	}
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

#define NEAR_NAME_MAX 48

/* Edits between two names; more than NEAR_NAME_MAX when one is too long to compare. */
static size_t edits_between(struct slice a, struct slice b)
{
	size_t row[NEAR_NAME_MAX + 1];

	if (a.n > NEAR_NAME_MAX || b.n > NEAR_NAME_MAX)
		return NEAR_NAME_MAX + 1;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t above = row[j];
			size_t change = diagonal + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
			size_t step = MIN(row[j - 1], above) + 1;

			row[j] = MIN(change, step);
			diagonal = above;
		}
	}
	return row[b.n];
}

/* More edits than this and the names have nothing to do with each other. */
static size_t near_enough(struct slice name)
{
	return name.n / 4 + 1;
}

static size_t distance(struct slice name, struct slice candidate)
{
	/* "latency" for "latency_ns": a beginning is near too, if less so. */
	if (name.n >= 3 && candidate.n > name.n &&
	    slice_eq_nocase(slice_head(candidate, name.n), name))
		return 1;
	return edits_between(name, candidate);
}

const char *catalog_nearest(struct slice name, const char *(*next)(size_t i))
{
	size_t best = near_enough(name);
	const char *found = NULL, *candidate;

	for (size_t i = 0; (candidate = next(i)); i++) {
		size_t edits = distance(name, slice_str(candidate));

		if (edits <= best && (edits < best || !found)) {
			best = edits;
			found = candidate;
		}
	}
	return found;
}

const char *catalog_nearest_column(const struct sql_table *t, struct slice name, size_t *ret_edits)
{
	const char *found = NULL;

	*ret_edits = near_enough(name) + 1;
	for (size_t i = 0; i < t->n_columns; i++) {
		size_t edits = distance(name, slice_str(t->columns[i]->name));

		if (edits < *ret_edits) {
			*ret_edits = edits;
			found = t->columns[i]->name;
		}
	}
	return found;
}

const char *catalog_column_name(size_t i)
{
	size_t n;

	catalog_tables(&n);
	for (size_t t = 0; t < n; t++) {
		if (i < tables[t].n_columns)
			return tables[t].columns[i]->name;
		i -= tables[t].n_columns;
	}
	return NULL;
}

const char *query_table_name(size_t i)
{
	static const char *const more[] = { "kelpie_columns", "kelpie_ledger_balance" };
	size_t n;

	catalog_tables(&n);
	if (i < n)
		return tables[i].name;
	return i - n < ARRAY_SIZE(more) ? more[i - n] : NULL;
}

bool query_is_complete(const char *sql)
{
	return sqlite3_complete(sql) == 1;
}

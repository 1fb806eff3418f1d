/* schema: what can be asked for. Needs no server. */
#include "cli/schema_view.h"

#include "base/text.h"
#include "cli/print.h"
#include "protocols/schema.h"

/* Tables that the query layer makes of others; their columns are these tables' ones. */
static const struct {
	const char *name, *like, *doc;
} derived[] = {
	{ "requests", NULL, "one row per exchange, all protocols: the columns that all share" },
	{ "observations", NULL, "both ends of each exchange; is_primary 1 stands in requests" },
};

static const struct view_col table_cols[] = {
	{ "name", "TABLE", SHAPE_PLAIN, 100, 12, VIEW_NAME },
	{ "columns", "COLUMNS", SHAPE_COUNT, 50, 0, 0 },
	{ "doc", "ABOUT", SHAPE_PLAIN, 60, 20, VIEW_FLEX },
};
static const struct view view_tables = { table_cols, ARRAY_SIZE(table_cols) };

static const struct view_col column_cols[] = {
	{ "name", "COLUMN", SHAPE_PLAIN, 100, 12, VIEW_NAME },
	{ "type", "TYPE", SHAPE_PLAIN, 70, 0, 0 },
	{ "unit", "UNIT", SHAPE_PLAIN, 60, 0, 0 },
	{ "doc", "ABOUT", SHAPE_PLAIN, 90, 20, VIEW_FLEX },
	{ "otel", "OPENTELEMETRY", SHAPE_PLAIN, 20, 0, VIEW_WIDE },
};
static const struct view view_columns = { column_cols, ARRAY_SIZE(column_cols) };

static int open_printer(const struct options *o, const struct view *view, struct printer **ret,
			struct answer_sink *ret_sink)
{
	struct print_opts print;
	int r;

	print_opts_init(&print, o, view);
	r = printer_new(&print, ret);
	if (!r)
		*ret_sink = printer_sink(*ret);
	return r;
}

static struct datum text_or_null(const char *s)
{
	return s && *s ? datum_text(slice_str(s)) : (struct datum){ .kind = DATUM_NULL };
}

static size_t visible(const struct column *const *columns, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += !(columns[i]->flags & COL_F_HIDDEN);
	return count;
}

int schema_show_all(const struct options *o)
{
	static const struct answer_col cols[] = {
		{ .name = "name", .type = "TEXT" },
		{ .name = "columns", .type = "INTEGER", .unit = "count", .shape = SHAPE_COUNT },
		{ .name = "doc", .type = "TEXT" }
	};
	_cleanup_(printer_freep) struct printer *p = NULL;
	struct answer_sink sink = { 0 };
	size_t n, n_common;
	const struct table_schema *const *tables = schema_tables(&n);
	const struct column *const *common = schema_common(&n_common);

	if (open_printer(o, &view_tables, &p, &sink) != 0)
		return cli_fail(EXIT_ERROR, "out of memory");
	sink.columns(sink.ctx, cols, ARRAY_SIZE(cols));
	for (size_t i = 0; i < ARRAY_SIZE(derived); i++) {
		struct datum row[] = { text_or_null(derived[i].name),
				       datum_int((int64_t)visible(common, n_common)),
				       text_or_null(derived[i].doc) };

		sink.row(sink.ctx, row);
	}
	for (size_t i = 0; i < n; i++) {
		struct datum row[] = { text_or_null(tables[i]->name),
				       datum_int((int64_t)visible(tables[i]->columns,
								  tables[i]->n_columns)),
				       text_or_null(tables[i]->doc) };

		sink.row(sink.ctx, row);
	}
	print_end(p);
	return EXIT_OK;
}

static int unknown_table(const char *name)
{
	size_t n, best = 4;
	const struct table_schema *const *tables = schema_tables(&n);
	const char *near = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = text_distance(name, tables[i]->name);

		if (d < best) {
			best = d;
			near = tables[i]->name;
		}
	}
	return near ? cli_fail(EXIT_ERROR, "no table '%s'; did you mean %s?", name, near)
		    : cli_fail(EXIT_ERROR, "no table '%s'; `kelpie schema` lists them", name);
}

int schema_show_table(const struct options *o, const char *name)
{
	static const struct answer_col cols[] = { { .name = "name", .type = "TEXT" },
						  { .name = "type", .type = "TEXT" },
						  { .name = "unit", .type = "TEXT" },
						  { .name = "otel", .type = "TEXT" },
						  { .name = "doc", .type = "TEXT" } };
	_cleanup_(printer_freep) struct printer *p = NULL;
	const struct table_schema *table = schema_table_by_name(name);
	const struct column *const *columns = table ? table->columns : NULL;
	size_t n = table ? table->n_columns : 0;
	struct answer_sink sink = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(derived) && !columns; i++)
		if (strcmp(name, derived[i].name) == 0)
			columns = schema_common(&n);
	if (!columns)
		return unknown_table(name);
	if (open_printer(o, &view_columns, &p, &sink) != 0)
		return cli_fail(EXIT_ERROR, "out of memory");
	sink.columns(sink.ctx, cols, ARRAY_SIZE(cols));
	for (size_t i = 0; i < n; i++) {
		const struct column *c = columns[i];
		struct datum row[] = { text_or_null(c->name),
				       text_or_null(c->type == COL_INT ? "INTEGER" : "TEXT"),
				       text_or_null(unit_name((enum col_unit)c->unit)),
				       text_or_null(c->otel), text_or_null(c->doc) };

		if (!(c->flags & COL_F_HIDDEN))
			sink.row(sink.ctx, row);
	}
	print_end(p);
	return EXIT_OK;
}

int cmd_schema(const struct options *o)
{
	return o->n_args ? schema_show_table(o, o->args[0]) : schema_show_all(o);
}

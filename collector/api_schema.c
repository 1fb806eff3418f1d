/* /api/v1/schema and /api/v1/scripts: what can be asked. */
#include "collector/http.h"

#include "collector/result.h"
#include "query/catalog.h"

#define SCHEMA_MAX (4 * MIB)

static const struct {
	uint16_t flag;
	const char *name;
} flag_names[] = {
	{ COL_F_PAYLOAD, "payload" }, /* not in SELECT * */
	{ COL_F_COMPUTED, "computed" },
	{ COL_F_NAME, "never_empty" },
};

static void add_column(struct strbuf *b, const struct column *c)
{
	bool first = true;

	result_add_column(b, c->name, c->type == COL_INT ? "INTEGER" : "TEXT",
			  unit_name((enum col_unit)c->unit));
	b->len--; /* the closing brace: more follows */
	strbuf_adds(b, ",\"doc\":");
	strbuf_add_json(b, slice_str(c->doc));
	strbuf_adds(b, ",\"otel\":");
	if (c->otel)
		strbuf_add_json(b, slice_str(c->otel));
	else
		strbuf_adds(b, "null");
	strbuf_adds(b, ",\"flags\":[");
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++) {
		if (!(c->flags & flag_names[i].flag))
			continue;
		strbuf_addf(b, "%s\"%s\"", first ? "" : ",", flag_names[i].name);
		first = false;
	}
	strbuf_adds(b, "]}");
}

static void add_table(struct strbuf *b, const struct sql_table *t)
{
	strbuf_adds(b, "{\"name\":");
	strbuf_add_json(b, slice_str(t->name));
	strbuf_adds(b, ",\"doc\":");
	strbuf_add_json(b, slice_str(t->doc));
	strbuf_adds(b, ",\"columns\":[");
	for (size_t i = 0; i < t->n_columns; i++) {
		if (i)
			strbuf_addch(b, ',');
		add_column(b, t->columns[i]);
	}
	strbuf_adds(b, "]}");
}

static void add_functions(struct strbuf *b)
{
	const char *name;

	for (size_t i = 0; (name = query_function_name(i)); i++) {
		const char *doc = query_function_doc(i);

		strbuf_adds(b, i ? ",{\"name\":" : "{\"name\":");
		strbuf_add_json(b, slice_str(name));
		strbuf_adds(b, ",\"doc\":");
		strbuf_add_json(b, slice_str(doc ? doc : ""));
		strbuf_addch(b, '}');
	}
}

void api_schema(struct request *r)
{
	struct strbuf b = STRBUF_INIT(SCHEMA_MAX);
	const struct sql_table *tables;
	size_t n;

	tables = catalog_tables(&n);
	strbuf_adds(&b, "{\"tables\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			strbuf_addch(&b, ',');
		add_table(&b, &tables[i]);
	}
	strbuf_adds(&b, "],\"functions\":[");
	add_functions(&b);
	strbuf_adds(&b, "]}\n");
	request_reply(r, MHD_HTTP_OK, "application/json", &b);
	strbuf_done(&b);
}

void api_scripts(struct request *r)
{
	struct strbuf b = STRBUF_INIT(KIB);

	strbuf_adds(&b, "{\"scripts\":[]}\n");
	request_reply(r, MHD_HTTP_OK, "application/json", &b);
	strbuf_done(&b);
}

/* The formats for programs: json, jsonl, csv, name. */
#include "cli/print_int.h"

#include "cli/json.h"
#include "cli/screen.h"

#include <math.h>

/* A JSON object that came as text stays an object; what is none stays text. */
static void add_json_object(struct strbuf *out, struct slice text)
{
	struct json doc = { 0 };

	if (json_parse(&doc, text) == 0 && doc.nodes[0].kind == JSON_OBJECT)
		json_add_node(out, &doc, &doc.nodes[0]);
	else
		json_add_string(out, text);
	json_done(&doc);
}

static void add_json_cell(struct printer *p, const struct answer_col *col, const struct datum *d)
{
	_cleanup_(strbuf_done) struct strbuf exact = STRBUF_INIT(64 * MIB);

	if (d->kind == DATUM_NULL || (d->kind == DATUM_REAL && !isfinite(d->d))) {
		strbuf_adds(&p->line, "null");
	} else if (d->kind == DATUM_TEXT && col->shape == SHAPE_JSON) {
		add_json_object(&p->line, d->text);
	} else if (d->kind == DATUM_TEXT) {
		json_add_string(&p->line, d->text);
	} else {
		format_exact(d, (enum shape)col->shape, &exact);
		if (col->shape == SHAPE_TIME && d->kind == DATUM_INT)
			json_add_string(&p->line, strbuf_slice(&exact));
		else
			strbuf_adds(&p->line, strbuf_str(&exact));
	}
}

static int json_columns(struct printer *p)
{
	strbuf_adds(&p->line, "{\"columns\":[");
	for (size_t i = 0; i < p->n_cols; i++) {
		strbuf_adds(&p->line, i ? ",{\"name\":" : "{\"name\":");
		json_add_string(&p->line, slice_str(p->cols[i].name));
		strbuf_adds(&p->line, ",\"type\":");
		json_add_string(&p->line, slice_str(p->cols[i].type));
		strbuf_adds(&p->line, ",\"unit\":");
		json_add_string(&p->line, slice_str(p->cols[i].unit));
		strbuf_addch(&p->line, '}');
	}
	strbuf_adds(&p->line, "],\"rows\":[");
	return 0;
}

static int json_row(struct printer *p, const struct datum *cells)
{
	strbuf_adds(&p->line, p->rows ? ",\n[" : "\n[");
	for (size_t i = 0; i < p->n_cols; i++) {
		strbuf_adds(&p->line, i ? "," : "");
		add_json_cell(p, &p->cols[i], &cells[i]);
	}
	strbuf_addch(&p->line, ']');
	return 0;
}

static int json_end(struct printer *p)
{
	struct json doc = { 0 };

	strbuf_adds(&p->line, "\n],\"coverage\":");
	if (json_parse(&doc, strbuf_slice(&p->coverage)) == 0)
		json_add_node(&p->line, &doc, &doc.nodes[0]);
	else
		strbuf_adds(&p->line, "null");
	strbuf_adds(&p->line, "}\n");
	json_done(&doc);
	return 0;
}

static int no_columns(struct printer *p)
{
	(void)p;
	return 0;
}

static int nothing_left(struct printer *p)
{
	(void)p;
	return 0;
}

static int jsonl_row(struct printer *p, const struct datum *cells)
{
	strbuf_addch(&p->line, '{');
	for (size_t i = 0; i < p->n_cols; i++) {
		strbuf_adds(&p->line, i ? "," : "");
		json_add_string(&p->line, slice_str(p->cols[i].name));
		strbuf_addch(&p->line, ':');
		add_json_cell(p, &p->cols[i], &cells[i]);
	}
	strbuf_adds(&p->line, "}\n");
	return 0;
}

/* Bytes that are no UTF-8 as \xNN; on a terminal whatever it would obey too. The rest exactly. */
static void add_csv_text(struct printer *p, struct slice s, struct strbuf *out)
{
	if (p->opts.terminal) {
		screen_escape(s, out);
		return;
	}
	while (s.n) {
		struct screen_char c = screen_next(s);

		if (c.invalid)
			strbuf_addf(out, "\\x%02x", c.code);
		else
			strbuf_add(out, s.p, c.n);
		s = slice_from(s, c.n);
	}
}

/* RFC 4180. A text that a spreadsheet would take for a formula gets a ' in front. */
static void add_csv_cell(struct printer *p, struct slice s, bool text)
{
	bool formula = text && s.n && strchr("=+-@\t\r", s.p[0]) && s.p[0] && !p->opts.csv_exact;
	bool quote = text && !s.n;

	for (size_t i = 0; i < s.n && !quote; i++)
		quote = s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r';
	if (quote)
		strbuf_addch(&p->line, '"');
	if (formula)
		strbuf_addch(&p->line, '\'');
	while (s.n) {
		size_t run = slice_find(s, '"');

		strbuf_add(&p->line, s.p, run);
		if (run < s.n)
			strbuf_adds(&p->line, "\"\"");
		s = slice_from(s, run + 1);
	}
	if (quote)
		strbuf_addch(&p->line, '"');
}

static int csv_columns(struct printer *p)
{
	for (size_t i = 0; i < p->n_cols && !p->opts.no_headers; i++) {
		_cleanup_(strbuf_done) struct strbuf name = STRBUF_INIT(4096);

		strbuf_adds(&p->line, i ? "," : "");
		add_csv_text(p, slice_str(p->cols[i].name), &name);
		add_csv_cell(p, strbuf_slice(&name), true);
	}
	if (!p->opts.no_headers)
		strbuf_addch(&p->line, '\n');
	return 0;
}

static int csv_row(struct printer *p, const struct datum *cells)
{
	for (size_t i = 0; i < p->n_cols; i++) {
		_cleanup_(strbuf_done) struct strbuf exact = STRBUF_INIT(64 * MIB);
		const struct datum *d = &cells[i];

		strbuf_adds(&p->line, i ? "," : "");
		if (d->kind == DATUM_NULL)
			continue;
		if (d->kind == DATUM_TEXT)
			add_csv_text(p, d->text, &exact);
		else
			format_exact(d, (enum shape)p->cols[i].shape, &exact);
		add_csv_cell(p, strbuf_slice(&exact), d->kind == DATUM_TEXT);
	}
	strbuf_addch(&p->line, '\n');
	return 0;
}

static int name_columns(struct printer *p)
{
	p->name_at = 0;
	for (size_t i = 0; p->opts.view && i < p->opts.view->n; i++) {
		size_t at = print_find(p, p->opts.view->cols[i].name);

		if ((p->opts.view->cols[i].flags & VIEW_NAME) && at != SIZE_MAX)
			p->name_at = at;
	}
	return 0;
}

static int name_row(struct printer *p, const struct datum *cells)
{
	_cleanup_(strbuf_done) struct strbuf exact = STRBUF_INIT(64 * MIB);

	if (!p->n_cols || cells[p->name_at].kind == DATUM_NULL)
		return 0;
	format_exact(&cells[p->name_at], (enum shape)p->cols[p->name_at].shape, &exact);
	screen_escape(strbuf_slice(&exact), &p->line);
	strbuf_addch(&p->line, '\n');
	return 0;
}

const struct print_format print_json = { json_columns, json_row, json_end };
const struct print_format print_jsonl = { no_columns, jsonl_row, nothing_left };
const struct print_format print_csv = { csv_columns, csv_row, nothing_left };
const struct print_format print_name = { name_columns, name_row, nothing_left };

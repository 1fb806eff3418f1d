#include "cli/record.h"

#include "cli/json.h"
#include "cli/screen.h"
#include "cli/timeline.h"

#include <errno.h>
#include <stdio.h>

#define NAME_COLUMNS_MAX 28
#define VALUE_MIN	 20 /* columns; where there is less, values stand below their names */
#define INDENT		 4

struct record {
	const struct showing *s;
	struct answer_col cols[ANSWER_COLS_MAX];
	size_t n, width;
	uint64_t rows;
	struct strbuf coverage;
	struct strbuf out;
};

static int on_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	struct record *r = ctx;

	memcpy(r->cols, cols, n * sizeof(*cols));
	r->n = n;
	for (size_t i = 0; i < n; i++)
		r->width = MIN(MAX(r->width, strlen(cols[i].name)), (size_t)NAME_COLUMNS_MAX);
	return 0;
}

/* The members of a JSON object, one a line. */
static bool add_object(struct record *r, struct slice text)
{
	struct json doc = { 0 };
	const struct json_node *n = NULL;
	bool object = json_parse(&doc, text) == 0 && doc.nodes[0].kind == JSON_OBJECT &&
		      doc.nodes[0].n;

	while (object && (n = json_each(&doc, &doc.nodes[0], n))) {
		strbuf_addf(&r->out, "\n%*s  ", (int)r->width, "");
		screen_escape(n->key, &r->out);
		strbuf_adds(&r->out, ": ");
		screen_escape(n->text, &r->out);
	}
	json_done(&doc);
	return object;
}

/* Escaped text from column `at` on, broken before the end of the line: between words where there
 * are some. */
static void add_broken(struct slice text, size_t at, size_t width, struct strbuf *out)
{
	while (text.n) {
		size_t n = 0, space = 0, columns = 0;

		while (n < text.n) {
			struct screen_char c = screen_next(slice_from(text, n));
			size_t w = c.columns > 0 ? (size_t)c.columns : 0;

			if (columns + w > width - at)
				break;
			space = text.p[n] == ' ' ? n + 1 : space;
			columns += w;
			n += c.n;
		}
		if (n < text.n && text.p[n] != ' ' && space)
			n = space;
		strbuf_add(out, text.p, n);
		text = slice_from(text, n);
		if (text.n)
			strbuf_addf(out, "\n%*s", (int)at, "");
	}
}

/* A text with its own lines, each broken to fit; below its name where there is no room beside. */
static void add_lines(struct record *r, struct slice text)
{
	size_t width = MAX(r->s->print->width, (size_t)SCREEN_WIDTH_MIN);
	size_t at = r->width + 2;
	bool first = true;

	if (at + VALUE_MIN > width) {
		at = INDENT;
		strbuf_addf(&r->out, "\n%*s", INDENT, "");
	}
	do {
		_cleanup_(strbuf_done) struct strbuf line = STRBUF_INIT(64 * MIB);
		size_t n = slice_find(text, '\n');

		screen_escape(slice_head(text, n - (n && text.p[n - 1] == '\r')), &line);
		if (!first)
			strbuf_addf(&r->out, "\n%*s", (int)at, "");
		add_broken(strbuf_slice(&line), at, width, &r->out);
		first = false;
		text = slice_from(text, MIN(n + 1, text.n));
	} while (text.n);
}

static void add_value(struct record *r, const struct answer_col *col, const struct datum *d)
{
	if (col->shape == SHAPE_JSON && d->kind == DATUM_TEXT && add_object(r, d->text))
		return;
	if (d->kind == DATUM_TEXT && col->shape != SHAPE_TIME && r->s->print->terminal)
		add_lines(r, d->text);
	else
		format_cell(d, (enum shape)col->shape, &r->s->print->clock, &r->out);
}

static int64_t number_of(const struct record *r, const struct datum *cells, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->cols[i].name, name) == 0)
			return cells[i].kind == DATUM_INT ? cells[i].i : -1;
	return -1;
}

static void add_timeline(struct record *r, const struct datum *cells)
{
	struct timeline t = { .request_ns = number_of(r, cells, "request_ns"),
			      .ttfb_ns = number_of(r, cells, "ttfb_ns"),
			      .latency_ns = number_of(r, cells, "latency_ns") };
	size_t before = r->out.len;

	timeline_add(&t, r->s->print->width, &r->out);
	if (r->out.len > before)
		strbuf_addch(&r->out, '\n');
}

static int on_row(void *ctx, const struct datum *cells)
{
	struct record *r = ctx;

	if (r->rows++)
		strbuf_addch(&r->out, '\n');
	if (r->s->timeline)
		add_timeline(r, cells);
	for (size_t i = 0; i < r->n; i++) {
		_cleanup_(strbuf_done) struct strbuf name = STRBUF_INIT(1024);

		if (cells[i].kind == DATUM_NULL)
			continue;
		screen_escape(slice_str(r->cols[i].name), &name);
		strbuf_addf(&r->out, "%-*s  ", (int)r->width, strbuf_str(&name));
		add_value(r, &r->cols[i], &cells[i]);
		strbuf_addch(&r->out, '\n');
	}
	if (r->out.failed)
		return -E2BIG;
	fwrite(strbuf_str(&r->out), 1, r->out.len, r->s->print->out);
	strbuf_reset(&r->out);
	return ferror(r->s->print->out) ? -EPIPE : 0;
}

static int on_coverage(void *ctx, struct slice json)
{
	struct record *r = ctx;

	strbuf_reset(&r->coverage);
	strbuf_add(&r->coverage, json.p, json.n);
	return 0;
}

int record_answer(const struct showing *s, struct strbuf *footer, struct trouble *t)
{
	_cleanup_(freep) struct record *r = calloc(1, sizeof(*r));
	_cleanup_(strbuf_done) struct strbuf own = STRBUF_INIT(MIB);
	struct answer_sink sink = { r, on_columns, on_row, on_coverage, NULL };
	int err;

	if (!r)
		return trouble_set(t, EXIT_ERROR, "out of memory"), EXIT_ERROR;
	r->s = s;
	strbuf_init(&r->out, 64 * MIB);
	strbuf_init(&r->coverage, MIB);
	err = source_ask(s->source, s->q, &sink, t);
	if (err == 0) {
		struct footer f = { .what = s->what,
				    .rows = r->rows,
				    .q = s->q,
				    .source = source_name(s->source),
				    .coverage = strbuf_slice(&r->coverage),
				    .now_ns = wall_ns(),
				    .width = footer ? s->print->width : screen_note_width() };

		fflush(s->print->out);
		footer_add(&f, footer ? footer : &own);
		if (!footer)
			fputs(strbuf_str(&own), stderr);
	}
	strbuf_done(&r->out);
	strbuf_done(&r->coverage);
	if (err == -EINTR)
		return EXIT_INTERRUPTED;
	if (err < 0 && err != -EIO && err != -EPIPE)
		trouble_set(t, EXIT_ERROR, "cannot show the answer: %s", strerror(-err));
	return err == 0 || err == -EPIPE ? EXIT_OK : t->code;
}

#include "cli/record.h"

#include "cli/json.h"
#include "cli/screen.h"

#include <errno.h>
#include <stdio.h>

#define NAME_COLUMNS_MAX 28

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

static int on_row(void *ctx, const struct datum *cells)
{
	struct record *r = ctx;

	if (r->rows++)
		strbuf_addch(&r->out, '\n');
	for (size_t i = 0; i < r->n; i++) {
		_cleanup_(strbuf_done) struct strbuf name = STRBUF_INIT(1024);

		if (cells[i].kind == DATUM_NULL)
			continue;
		screen_escape(slice_str(r->cols[i].name), &name);
		strbuf_addf(&r->out, "%-*s  ", (int)r->width, strbuf_str(&name));
		if (r->cols[i].shape != SHAPE_JSON || cells[i].kind != DATUM_TEXT ||
		    !add_object(r, cells[i].text))
			format_cell(&cells[i], (enum shape)r->cols[i].shape, &r->s->print->clock,
				    &r->out);
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

int record_answer(const struct showing *s, struct trouble *t)
{
	_cleanup_(freep) struct record *r = calloc(1, sizeof(*r));
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(MIB);
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
				    .width = screen_note_width() };

		fflush(s->print->out);
		footer_add(&f, &text);
		fputs(strbuf_str(&text), stderr);
	}
	strbuf_done(&r->out);
	strbuf_done(&r->coverage);
	if (err == -EINTR)
		return EXIT_INTERRUPTED;
	if (err < 0 && err != -EIO && err != -EPIPE)
		trouble_set(t, EXIT_ERROR, "cannot show the answer: %s", strerror(-err));
	return err == 0 || err == -EPIPE ? EXIT_OK : t->code;
}

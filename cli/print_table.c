/* Tables. Held until the last row, then laid out: columns are cut where that is allowed, dropped by
 * priority where it does not suffice, never wrapped. A stream has fixed columns instead.
 */
#include "cli/print_int.h"

#include "cli/json.h"
#include "cli/screen.h"

#include <errno.h>

#define GAP	    2  /* columns between two cells */
#define FLEX_MIN    12 /* of a text column of a statement */
#define NATURAL_MAX 64 /* longer texts are cut unless -o wide */
#define HEAD_MIN    2  /* columns of a cut cell before its tail */
#define PORT_DIGITS 5
#define MAIN_SHARE  3
#define SGR_RED	    "\x1b[31m"
#define SGR_YELLOW  "\x1b[33m"
#define SGR_BOLD    "\x1b[1m"
#define SGR_RESET   "\x1b[0m"

static bool is_wide(const struct printer *p)
{
	return p->opts.output == OUTPUT_WIDE;
}

static void add_layout(struct printer *p, struct layout_col col)
{
	col.right = format_right((enum shape)col.shape, p->cols[col.source].type);
	col.natural = col.min = screen_columns(slice_str(col.head));
	col.kept = true;
	p->layout[p->n_layout++] = col;
}

#define VIEW_TEXT_MIN 8 /* of a text column that the view gives no minimum */

/* Texts come from outside and may be of any length: in a held table each of them can be cut. */
static void bound_column(struct printer *p, const struct view_col *v)
{
	struct layout_col *l = &p->layout[p->n_layout - 1];

	if (p->opts.stream) {
		l->min = l->natural = MAX(l->min, (size_t)v->min);
	} else if (!l->right && l->shape != SHAPE_TIME) {
		l->flags |= VIEW_FLEX;
		l->min = MAX(l->min, v->min ? (size_t)v->min : (size_t)VIEW_TEXT_MIN);
	}
}

static void layout_from_view(struct printer *p)
{
	for (size_t i = 0; i < p->opts.view->n; i++) {
		const struct view_col *v = &p->opts.view->cols[i];
		size_t source = print_find(p, v->name);
		bool ordered = p->opts.order && !strcmp(v->name, p->opts.order);

		if (source == SIZE_MAX || ((v->flags & VIEW_WIDE) && !is_wide(p) && !ordered))
			continue;
		add_layout(p, (struct layout_col){ .source = source,
						   .head = v->head,
						   .shape = v->shape,
						   .flags = v->flags,
						   .priority = ordered ? UINT8_MAX : v->priority });
		bound_column(p, v);
	}
}

/* Columns of a statement: the first matter most. */
static void layout_from_columns(struct printer *p)
{
	for (size_t i = 0; i < p->n_cols; i++) {
		const struct answer_col *c = &p->cols[i];
		bool flex = !format_right((enum shape)c->shape, c->type) && c->shape != SHAPE_TIME;

		add_layout(p,
			   (struct layout_col){ .source = i,
						.head = c->name,
						.shape = c->shape,
						.flags = flex ? VIEW_FLEX : 0,
						.priority = (uint8_t)(255 - MIN(i, (size_t)254)) });
	}
}

static size_t total(const struct printer *p, bool least)
{
	size_t sum = 0;

	for (size_t i = 0; i < p->n_layout; i++) {
		const struct layout_col *l = &p->layout[i];

		if (l->kept)
			sum += (sum ? GAP : 0) + (least && (l->flags & VIEW_FLEX)
							  ? MIN(l->min, l->natural)
							  : l->natural);
	}
	return sum;
}

static struct layout_col *least_important(struct printer *p)
{
	struct layout_col *found = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < p->n_layout; i++) {
		struct layout_col *l = &p->layout[i];

		kept += l->kept;
		if (l->kept && (!found || l->priority <= found->priority))
			found = l;
	}
	return kept > 1 ? found : NULL;
}

/* Shares of the room that flexible columns have together. */
static size_t share_of(const struct layout_col *l)
{
	return l->flags & VIEW_MAIN ? MAIN_SHARE : 1;
}

/* Takes columns from the widest flexible ones, by their shares, until the line fits. */
static void shrink(struct printer *p, size_t excess)
{
	while (excess) {
		struct layout_col *widest = NULL;

		for (size_t i = 0; i < p->n_layout; i++) {
			struct layout_col *l = &p->layout[i];

			if (l->kept && (l->flags & VIEW_FLEX) && l->width > l->min &&
			    (!widest || l->width * share_of(widest) > widest->width * share_of(l)))
				widest = l;
		}
		if (!widest)
			break;
		widest->width--;
		excess--;
	}
}

/* In a stream the flexible columns share what is left. */
static void grow(struct printer *p, size_t room)
{
	size_t flex = 0;

	for (size_t i = 0; i < p->n_layout; i++)
		if (p->layout[i].kept && (p->layout[i].flags & VIEW_FLEX))
			flex += share_of(&p->layout[i]);
	for (size_t i = 0; i < p->n_layout && flex; i++)
		if (p->layout[i].kept && (p->layout[i].flags & VIEW_FLEX)) {
			size_t share = room * share_of(&p->layout[i]) / flex;

			flex -= share_of(&p->layout[i]);
			p->layout[i].width += share;
			room -= share;
		}
}

static void fit(struct printer *p)
{
	struct layout_col *victim;
	size_t sum;

	for (size_t i = 0; i < p->n_layout; i++) {
		struct layout_col *l = &p->layout[i];

		if (!is_wide(p) && (l->flags & VIEW_FLEX) && !p->opts.stream)
			l->natural = MIN(l->natural, (size_t)NATURAL_MAX);
		if (!p->opts.view && (l->flags & VIEW_FLEX))
			l->min = MIN(l->natural, MAX(l->min, (size_t)FLEX_MIN));
	}
	while (!is_wide(p) && total(p, true) > p->opts.width && (victim = least_important(p))) {
		victim->kept = false;
		p->dropped++;
	}
	for (size_t i = 0; i < p->n_layout; i++)
		p->layout[i].width = p->layout[i].natural;
	sum = total(p, false);
	if (!is_wide(p) && sum > p->opts.width) {
		shrink(p, sum - p->opts.width);
		/* the last resort of a single column that is wider than the screen */
		for (size_t i = 0; i < p->n_layout; i++)
			p->layout[i].width = MIN(p->layout[i].width, p->opts.width);
	} else if (p->opts.stream && sum < p->opts.width) {
		grow(p, p->opts.width - sum);
	}
}

static size_t last_kept(const struct printer *p)
{
	size_t last = 0;

	for (size_t i = 0; i < p->n_layout; i++)
		if (p->layout[i].kept)
			last = i;
	return last;
}

/* Bytes of ":8080" at the end of a name; 0 without. */
static size_t port_length(struct slice text)
{
	size_t n = 0;

	while (n < text.n && n < PORT_DIGITS && text.p[text.n - 1 - n] >= '0' &&
	       text.p[text.n - 1 - n] <= '9')
		n++;
	return n && n < text.n && text.p[text.n - 1 - n] == ':' ? n + 1 : 0;
}

/* What tells one cell from another outlives the cut: the sign behind a status, which says what the
 * colour says, and a port. */
static size_t cut_cell(const struct layout_col *l, struct slice text, struct strbuf *out)
{
	bool marked = l->shape == SHAPE_STATUS && text.n > 2 && l->width > 3 &&
		      text.p[text.n - 2] == ' ' && strchr("!~", text.p[text.n - 1]);
	size_t tail = marked ? 2 : port_length(text), used;

	if (!tail || l->width < tail + HEAD_MIN)
		return screen_cut(text, l->width, out);
	used = screen_cut(slice_head(text, text.n - tail), l->width - tail, out);
	strbuf_add(out, text.p + text.n - tail, tail);
	return used + tail;
}

/* One cell with its padding and colour; nothing is padded behind the last. */
static void put_cell(struct printer *p, size_t at, bool first, bool last, struct slice text,
		     const char *sgr)
{
	const struct layout_col *l = &p->layout[at];
	size_t columns = screen_columns(text), pad;
	bool cut = columns > l->width;

	pad = cut ? 0 : l->width - columns;
	for (size_t i = 0; !first && i < GAP; i++)
		strbuf_addch(&p->line, ' ');
	for (size_t i = 0; l->right && i < pad; i++)
		strbuf_addch(&p->line, ' ');
	if (sgr && p->opts.color)
		strbuf_adds(&p->line, sgr);
	if (cut && !is_wide(p))
		pad = l->width - cut_cell(l, text, &p->line);
	else
		strbuf_add(&p->line, text.p, text.n);
	if (sgr && p->opts.color)
		strbuf_adds(&p->line, SGR_RESET);
	for (size_t i = 0; !l->right && !last && i < pad; i++)
		strbuf_addch(&p->line, ' ');
}

static void put_head(struct printer *p)
{
	size_t last = last_kept(p);
	bool first = true;

	if (p->opts.no_headers)
		return;
	for (size_t i = 0; i < p->n_layout; i++) {
		_cleanup_(strbuf_done) struct strbuf head = STRBUF_INIT(4096);

		if (!p->layout[i].kept)
			continue;
		screen_escape(slice_str(p->layout[i].head), &head);
		put_cell(p, i, first, i == last, strbuf_slice(&head), SGR_BOLD);
		first = false;
	}
	strbuf_addch(&p->line, '\n');
}

static const char *row_color(const struct printer *p, const struct held_row *row, size_t at,
			     const struct held_cell *cell)
{
	if (cell->alarm)
		return SGR_RED;
	if (p->layout[at].shape != SHAPE_STATUS)
		return NULL;
	return row->failed ? SGR_RED : row->client_error ? SGR_YELLOW : NULL;
}

static void put_row(struct printer *p, const struct held_row *row)
{
	size_t last = last_kept(p);
	bool first = true;

	for (size_t i = 0; i < p->n_layout; i++) {
		const struct held_cell *cell = &p->cells[row->at + i];

		if (!p->layout[i].kept)
			continue;
		put_cell(p, i, first, i == last, slice_of(p->text.p + cell->off, cell->len),
			 row_color(p, row, i, cell));
		first = false;
	}
	strbuf_addch(&p->line, '\n');
}

static int table_columns(struct printer *p)
{
	p->n_layout = 0;
	p->failed_at = print_find(p, "failed");
	p->client_error_at = print_find(p, "client_error");
	if (p->opts.view)
		layout_from_view(p);
	else
		layout_from_columns(p);
	if (p->opts.stream) {
		fit(p);
		put_head(p);
	}
	return 0;
}

static bool flag_at(const struct datum *cells, size_t at)
{
	return at != SIZE_MAX && cells[at].kind == DATUM_INT && cells[at].i;
}

static int reserve(struct printer *p)
{
	if (p->n_cells + p->n_layout > p->cap_cells) {
		size_t cap = MAX(p->cap_cells * 2, p->n_layout + 256);
		struct held_cell *cells = reallocarray(p->cells, cap, sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		p->cells = cells;
		p->cap_cells = cap;
	}
	if (p->n_held == p->cap_held) {
		size_t cap = MAX(p->cap_held * 2, (size_t)64);
		struct held_row *held = reallocarray(p->held, cap, sizeof(*held));

		if (!held)
			return -ENOMEM;
		p->held = held;
		p->cap_held = cap;
	}
	return 0;
}

static bool above_zero(const struct datum *d)
{
	return (d->kind == DATUM_INT && d->i > 0) || (d->kind == DATUM_REAL && d->d > 0);
}

static void hold_cell(struct printer *p, const struct datum *d, struct layout_col *l,
		      const struct held_row *row)
{
	struct held_cell *cell = &p->cells[p->n_cells++];
	size_t off = p->text.len;

	format_cell(d, (enum shape)l->shape, &p->opts.clock, &p->text);
	cell->alarm = (l->flags & VIEW_ALARM) && above_zero(d);
	/* a sign beside the colour: not everybody sees red */
	if (l->shape == SHAPE_STATUS && (row->failed || row->client_error))
		strbuf_adds(&p->text, row->failed ? " !" : " ~");
	else if (cell->alarm)
		strbuf_adds(&p->text, "!");
	cell->off = (uint32_t)off;
	cell->len = (uint32_t)(p->text.len - off);
	cell->columns = (uint32_t)screen_columns(slice_of(p->text.p + off, cell->len));
	if (!p->opts.stream)
		l->natural = MAX(l->natural, (size_t)cell->columns);
}

static void add_keys(struct printer *p, const struct datum *cells)
{
	struct strbuf *keys = p->opts.keys;
	bool first = true;

	strbuf_addch(keys, '[');
	for (size_t i = 0; i < p->opts.view->n; i++) {
		size_t at = print_find(p, p->opts.view->cols[i].name);

		if (!(p->opts.view->cols[i].flags & VIEW_KEY) || at == SIZE_MAX)
			continue;
		strbuf_adds(keys, first ? "" : ",");
		first = false;
		if (cells[at].kind == DATUM_TEXT)
			json_add_string(keys, cells[at].text);
		else
			strbuf_adds(keys, "null");
	}
	strbuf_adds(keys, "]\n");
}

/* The cells of a row that is held, also of columns that will not fit. */
static void add_uncut(struct printer *p, const struct held_row *row)
{
	for (size_t i = 0; i < p->n_layout; i++) {
		const struct held_cell *cell = &p->cells[row->at + i];

		strbuf_add(p->opts.uncut, p->text.p + cell->off, cell->len);
		strbuf_addch(p->opts.uncut, i + 1 < p->n_layout ? ' ' : '\n');
	}
}

static int table_row(struct printer *p, const struct datum *cells)
{
	struct held_row row = { .failed = flag_at(cells, p->failed_at),
				.client_error = flag_at(cells, p->client_error_at) };
	int r;

	if (p->opts.stream) {
		p->n_cells = p->n_held = 0;
		strbuf_reset(&p->text);
	}
	r = reserve(p);
	if (r < 0)
		return r;
	if (p->opts.keys && p->opts.view)
		add_keys(p, cells);
	row.at = p->n_cells;
	for (size_t i = 0; i < p->n_layout; i++)
		hold_cell(p, &cells[p->layout[i].source], &p->layout[i], &row);
	if (p->text.failed)
		return -E2BIG;
	if (p->opts.uncut && p->n_layout)
		add_uncut(p, &row);
	if (p->opts.stream)
		put_row(p, &row);
	else
		p->held[p->n_held++] = row;
	return 0;
}

static int table_end(struct printer *p)
{
	if (p->opts.stream)
		return 0;
	fit(p);
	if (p->n_held)
		put_head(p);
	for (size_t i = 0; i < p->n_held; i++) {
		put_row(p, &p->held[i]);
		if (print_flush(p) < 0)
			return p->status;
	}
	return 0;
}

const struct print_format print_table = { table_columns, table_row, table_end };

/* What all formats have in common: columns, counting, the coverage, writing. */
#include "cli/print.h"

#include "cli/print_int.h"
#include "cli/screen.h"

#include <errno.h>

static const struct print_format *const formats[_OUTPUT_MAX] = {
	[OUTPUT_TABLE] = &print_table, [OUTPUT_WIDE] = &print_table, [OUTPUT_JSON] = &print_json,
	[OUTPUT_JSONL] = &print_jsonl, [OUTPUT_CSV] = &print_csv,    [OUTPUT_NAME] = &print_name,
};

void print_opts_init(struct print_opts *p, const struct options *o, const struct view *view)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	*p = (struct print_opts){
		.output = o->output,
		.no_headers = o->no_headers,
		.csv_exact = o->csv_exact,
		.terminal = isatty(STDOUT_FILENO) == 1,
		.clock = { .utc = o->utc,
			   .now_ns = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec },
		.width = screen_width(STDOUT_FILENO),
		.view = view,
		.order = o->sort_by && *o->sort_by == '-' ? o->sort_by + 1 : o->sort_by,
		.out = stdout,
	};
	if (o->color == COLOR_AUTO)
		p->color = p->terminal && !(no_color && *no_color) &&
			   !(term && strcmp(term, "dumb") == 0);
	else
		p->color = o->color == COLOR_ALWAYS;
}

int printer_new(const struct print_opts *opts, struct printer **ret)
{
	struct printer *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->opts = *opts;
	strbuf_init(&p->coverage, MIB);
	strbuf_init(&p->line, 64 * MIB);
	strbuf_init(&p->text, PRINT_HELD_MAX);
	*ret = p;
	return 0;
}

void printer_free(struct printer *p)
{
	if (!p)
		return;
	strbuf_done(&p->coverage);
	strbuf_done(&p->line);
	strbuf_done(&p->text);
	free(p->cells);
	free(p->held);
	free(p);
}

size_t print_find(const struct printer *p, const char *name)
{
	for (size_t i = 0; i < p->n_cols; i++)
		if (strcmp(p->cols[i].name, name) == 0)
			return i;
	return SIZE_MAX;
}

int print_flush(struct printer *p)
{
	if (p->line.failed && !p->status)
		p->status = -E2BIG;
	if (!p->status && p->line.len &&
	    fwrite(p->line.p, 1, p->line.len, p->opts.out) != p->line.len)
		p->status = errno ? -errno : -EIO;
	strbuf_reset(&p->line);
	return p->status;
}

static int on_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	struct printer *p = ctx;

	if (n > ANSWER_COLS_MAX)
		return -E2BIG;
	memcpy(p->cols, cols, n * sizeof(*cols));
	p->n_cols = n;
	p->have_columns = true;
	formats[p->opts.output]->columns(p);
	return print_flush(p);
}

static int on_row(void *ctx, const struct datum *cells)
{
	struct printer *p = ctx;
	int r = formats[p->opts.output]->row(p, cells);

	p->rows++;
	if (r < 0)
		return r;
	r = print_flush(p);
	if (!r && p->opts.stream && fflush(p->opts.out) != 0)
		r = p->status = -errno;
	return r;
}

static int on_coverage(void *ctx, struct slice json)
{
	struct printer *p = ctx;

	strbuf_reset(&p->coverage);
	strbuf_add(&p->coverage, json.p, json.n);
	return p->coverage.failed ? -E2BIG : 0;
}

struct answer_sink printer_sink(struct printer *p)
{
	return (struct answer_sink){
		.ctx = p, .columns = on_columns, .row = on_row, .coverage = on_coverage
	};
}

int print_end(struct printer *p)
{
	if (p->have_columns) {
		int r = formats[p->opts.output]->end(p);

		if (r < 0)
			return r;
	}
	print_flush(p);
	if (!p->status && fflush(p->opts.out) != 0)
		p->status = -errno;
	return p->status;
}

uint64_t printer_rows(const struct printer *p)
{
	return p->rows;
}

struct slice printer_coverage(const struct printer *p)
{
	return strbuf_slice(&p->coverage);
}

size_t printer_dropped(const struct printer *p)
{
	return p->dropped;
}

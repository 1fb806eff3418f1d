/* top, tap, slow, errors, conns: one statement each, shown once or again and again. */
#include "cli/interrupt.h"
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>

#define INTERVAL_MS	2000
#define INTERVAL_TAP_MS 1000
#define LIVE_ROWS	200
#define REASON_ROWS	10

static int keep_number(void *ctx, const struct datum *cells)
{
	if (cells[0].kind == DATUM_INT && cells[0].i > 0)
		*(uint64_t *)ctx = (uint64_t)cells[0].i;
	return 0;
}

static int ignore_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	(void)ctx;
	(void)cols;
	return n ? 0 : -EINVAL;
}

int verb_number(struct source *src, const struct question *q, uint64_t *ret, struct trouble *t)
{
	struct answer_sink sink = { .ctx = ret, .columns = ignore_columns, .row = keep_number };

	return source_ask(src, q, &sink, t);
}

/* Rates are per second since the first row of the range: a Kelpie that runs for ten seconds does
 * not divide by five minutes. */
static int rate_span(const struct question *range, struct source *src, uint64_t now_ns,
		     uint64_t *ret_ns, struct trouble *t)
{
	uint64_t oldest = range->from_ns, end = range->to_ns == UINT64_MAX ? now_ns : range->to_ns;
	_cleanup_(question_done) struct question q;
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(256);
	int r;

	question_init(&q);
	q.from_ns = range->from_ns;
	q.to_ns = range->to_ns;
	r = sqlgen_oldest(&q, &why);
	if (!r)
		r = verb_number(src, &q, &oldest, t);
	if (r < 0)
		return r;
	*ret_ns = end > oldest ? MAX(end - oldest, NSEC_PER_SEC) : NSEC_PER_SEC;
	return 0;
}

static int build_top(struct question *q, const struct options *o, struct source *src,
		     struct strbuf *why, struct trouble *t)
{
	uint64_t now = wall_ns(), span = SQLGEN_RANGE_NS;
	int r = sqlgen_range(q, o, now, SQLGEN_RANGE_NS, why);

	if (r < 0)
		return r;
	if (src && !o->explain)
		r = rate_span(q, src, now, &span, t);
	if (r < 0)
		return r;
	return sqlgen_top(q, o, span, src && source_client(src) && sqlgen_top_can_run(q, o, now),
			  why);
}

static int build_slow(struct question *q, const struct options *o, struct source *src,
		      struct strbuf *why, struct trouble *t)
{
	int r = sqlgen_range(q, o, wall_ns(), SQLGEN_RANGE_NS, why);

	(void)src;
	(void)t;
	return r < 0 ? r : sqlgen_slow(q, o, why);
}

static int build_errors(struct question *q, const struct options *o, struct source *src,
			struct strbuf *why, struct trouble *t)
{
	int r = sqlgen_range(q, o, wall_ns(), SQLGEN_RANGE_NS, why);

	(void)src;
	(void)t;
	return r < 0 ? r : sqlgen_errors(q, o, why);
}

static int build_conns(struct question *q, const struct options *o, struct source *src,
		       struct strbuf *why, struct trouble *t)
{
	int r = sqlgen_range(q, o, wall_ns(), SQLGEN_RANGE_NS, why);

	(void)src;
	(void)t;
	return r < 0 ? r : sqlgen_conns(q, o, why);
}

static int build_tap(struct question *q, const struct options *o, struct source *src,
		     struct strbuf *why, struct trouble *t)
{
	int r = sqlgen_range(q, o, wall_ns(), SQLGEN_RANGE_NS, why);

	(void)src;
	(void)t;
	return r < 0 ? r : sqlgen_tap(q, o, why);
}

int verb_build(const struct asking *a, struct question *q, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(4096);
	int r = a->verb->build(q, a->o, a->source, &why, t);

	if (r == -EINVAL)
		r = trouble_set(t, EXIT_USAGE, "%s", strbuf_str(&why));
	return r;
}

int verb_show(const struct asking *a, const struct print_opts *print, struct strbuf *footer,
	      struct trouble *t)
{
	_cleanup_(question_done) struct question q;
	struct showing s = {
		.o = a->o, .source = a->source, .q = &q, .print = print, .what = a->verb->what
	};
	int r;

	question_init(&q);
	r = verb_build(a, &q, t);
	if (r == -EINTR)
		return EXIT_INTERRUPTED;
	if (r < 0)
		return t->code;
	return show_answer(&s, footer, t);
}

/* A wrong flag is told before anybody is asked. */
static int check_usage(const struct asking *a)
{
	_cleanup_(question_done) struct question q;
	struct trouble t;

	question_init(&q);
	return verb_build(a, &q, &t) < 0 ? trouble_fail(&t) : EXIT_OK;
}

static int explain(const struct asking *a)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(MIB);
	_cleanup_(question_done) struct question q;
	struct trouble t;

	question_init(&q);
	if (verb_build(a, &q, &t) < 0)
		return trouble_fail(&t);
	question_explain(&q, &out);
	printf("%s\n", strbuf_str(&out));
	return EXIT_OK;
}

/* -f into a pipe: a block every two seconds. */
static int repeat(const struct asking *a, const struct print_opts *print)
{
	struct trouble t;

	for (;;) {
		int code = verb_show(a, print, NULL, &t);

		if (code == EXIT_INTERRUPTED)
			return EXIT_OK;
		if (code != EXIT_OK && code != EXIT_INCOMPLETE)
			return trouble_fail(&t);
		if (print->output <= OUTPUT_WIDE)
			putchar('\n');
		if (fflush(stdout) != 0)
			return EXIT_OK;
		if (interrupt_wait(-1, INTERVAL_MS) == -EINTR)
			return EXIT_OK;
	}
}

static int run_verb(const struct options *o, const struct verb *verb, bool live, bool follow)
{
	_cleanup_(source_freep) struct source *source = NULL;
	struct asking a = { .o = o, .verb = verb };
	struct print_opts print;
	struct trouble t;
	int code;

	if (o->explain)
		return explain(&a);
	code = check_usage(&a);
	if (code != EXIT_OK)
		return code;
	interrupt_install();
	if (source_open(o, &source, &t) < 0)
		return trouble_fail(&t);
	a.source = source;
	print_opts_init(&print, o, verb->view);
	if (live)
		return verb_live(&a, &t);
	if (follow)
		return repeat(&a, &print);
	code = verb_show(&a, &print, NULL, &t);
	if (code != EXIT_OK && code != EXIT_INCOMPLETE && code != EXIT_INTERRUPTED)
		return trouble_fail(&t);
	return code;
}

static bool on_terminal(const struct options *o)
{
	return isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) &&
	       (!o->output_given || o->output <= OUTPUT_WIDE);
}

int cmd_top(const struct options *o)
{
	enum top_by by = top_by_parse(o->by);
	struct verb verb = { .name = "top",
			     .what = o->by ? o->by : "services",
			     .view = &view_top[TOP_SERVICE],
			     .sorts = { NULL, "rate_per_s", "error_pct", "p99_ns", "total_ns" },
			     .interval_ms = INTERVAL_MS,
			     .build = build_top };
	static const char *const plural[_TOP_MAX] = { "services", "endpoints",	"clients",
						      "pods",	  "statements", "pairs" };

	if (by < _TOP_MAX) {
		verb.what = plural[by];
		verb.view = &view_top[by];
	}
	return run_verb(o, &verb, on_terminal(o) && !o->once && !o->output_given, o->follow);
}

static const struct verb verb_map = { .name = "map",
				      .what = "pairs",
				      .view = &view_top[TOP_PAIR],
				      .sorts = { NULL, "rate_per_s", "error_pct", "p99_ns",
						 "total_ns" },
				      .interval_ms = INTERVAL_MS,
				      .build = build_top };

int cmd_map(const struct options *o)
{
	struct options pairs = *o;

	pairs.by = "pair";
	return run_verb(&pairs, &verb_map, o->follow && on_terminal(o), o->follow);
}

const struct verb verb_slow = { .name = "slow",
				.what = "requests",
				.view = &view_slow,
				.sorts = { NULL, "time", "ttfb_ns", "response_bytes",
					   "request_bytes" },
				.live_rows = LIVE_ROWS,
				.interval_ms = INTERVAL_MS,
				.build = build_slow };

int cmd_slow(const struct options *o)
{
	return run_verb(o, &verb_slow, o->follow && on_terminal(o), o->follow);
}

static const struct verb verb_errors = { .name = "errors",
					 .what = "errors",
					 .view = &view_errors,
					 .sorts = { NULL, "time", "latency_ns", "server_name",
						    "status" },
					 .live_rows = LIVE_ROWS,
					 .interval_ms = INTERVAL_MS,
					 .build = build_errors };

int cmd_errors(const struct options *o)
{
	return run_verb(o, &verb_errors, o->follow && on_terminal(o), o->follow);
}

static const struct verb verb_conns = { .name = "conns",
					.what = "connections",
					.view = &view_conns,
					.sorts = { NULL, "bytes_sent", "bytes_received", "rtt_ns",
						   "retransmits" },
					.live_rows = LIVE_ROWS,
					.interval_ms = INTERVAL_MS,
					.build = build_conns };

int cmd_conns(const struct options *o)
{
	return run_verb(o, &verb_conns, o->follow && on_terminal(o), o->follow);
}

/* What is told of one pod, or whatever else has a name. */
static const struct {
	const char *title;
	const struct verb *verb;
	const char *by;
	enum filter_kind only; /* a filter more; _FILTER_MAX: none */
} reasons[] = {
	{ "Who calls it, and whom it calls", &verb_map, "pair", _FILTER_MAX },
	{ "What failed", &verb_errors, NULL, _FILTER_MAX },
	{ "What was slow", &verb_slow, NULL, _FILTER_MAX },
	{ "Connections that failed", &verb_conns, NULL, FILTER_FAILED },
};

static int show_reason(const struct asking *all, size_t i, struct trouble *t)
{
	struct options o = *all->o;
	const struct asking one = { .o = &o, .verb = reasons[i].verb, .source = all->source };
	struct print_opts print;

	o.by = reasons[i].by;
	o.limit = REASON_ROWS;
	if (reasons[i].only != _FILTER_MAX)
		o.filters[o.n_filters++] = (struct filter){ .kind = (uint8_t)reasons[i].only };
	print_opts_init(&print, &o, one.verb->view);
	if (o.output <= OUTPUT_WIDE)
		printf("%s%s\n", i ? "\n" : "", reasons[i].title);
	fflush(stdout);
	return verb_show(&one, &print, NULL, t);
}

int cmd_why(const struct options *o)
{
	_cleanup_(strbuf_done) struct strbuf about = STRBUF_INIT(4 * KIB);
	_cleanup_(source_freep) struct source *source = NULL;
	struct options of = *o;
	struct asking a = { .o = &of };
	struct trouble t;
	int code = EXIT_OK;

	if (of.n_filters + 2 > CLI_FILTERS_MAX)
		return cli_fail(EXIT_USAGE, "more than %d filters", CLI_FILTERS_MAX - 2);
	strbuf_addf(&about, "%s%s", strchr(o->args[0], '/') ? "" : "pod/", o->args[0]);
	of.filters[of.n_filters++] = (struct filter){ .kind = FILTER_ABOUT,
						      .value = strbuf_str(&about) };
	a.verb = &verb_map;
	code = check_usage(&a);
	if (code != EXIT_OK)
		return code;
	interrupt_install();
	if (source_open(o, &source, &t) < 0)
		return trouble_fail(&t);
	a.source = source;
	for (size_t i = 0; i < ARRAY_SIZE(reasons) && code == EXIT_OK; i++)
		code = show_reason(&a, i, &t);
	return code == EXIT_OK || code == EXIT_INTERRUPTED ? code : trouble_fail(&t);
}

/* The filters as parameters of the stream, named like the flags; --not becomes a leading !. */
static void tap_path(const struct options *o, struct strbuf *path)
{
	char sep = '?';

	strbuf_adds(path, "/api/v1/tap");
	for (size_t i = 0; i < o->n_filters; i++) {
		const struct filter *f = &o->filters[i];

		strbuf_addf(path, "%c%s=%s", sep, filter_name(f->kind), f->negate ? "!" : "");
		client_escape(slice_str(f->value ? f->value : "1"), path);
		sep = '&';
	}
	strbuf_addf(path, "%cformat=ndjson", sep);
}

struct limited {
	struct answer_sink inner;
	uint64_t left;	  /* rows still wanted */
	uint64_t skipped; /* told already */
};

static int limited_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	struct limited *l = ctx;

	return l->inner.columns(l->inner.ctx, cols, n);
}

static int limited_row(void *ctx, const struct datum *cells)
{
	struct limited *l = ctx;
	int r = l->inner.row(l->inner.ctx, cells);

	return r < 0 ? r : --l->left ? 0 : -ECANCELED;
}

/* What was left out because this end, or the rate limit, was too slow stands between the rows. */
static int tap_progress(void *ctx, uint64_t skipped)
{
	struct limited *l = ctx;

	if (skipped > l->skipped) {
		fflush(stdout);
		cli_note("── %llu requests skipped: more than can be shown ──",
			 (unsigned long long)(skipped - l->skipped));
	}
	l->skipped = skipped;
	return 0;
}

static int tap_coverage(void *ctx, struct slice json)
{
	struct limited *l = ctx;

	return l->inner.coverage(l->inner.ctx, json);
}

static const struct verb tap_verb = { .name = "tap",
				      .what = "requests",
				      .view = &view_tap,
				      .sorts = { NULL, "latency_ns", "response_bytes", "status" },
				      .live_rows = LIVE_ROWS,
				      .live_order = "end_time",
				      .tells_unseen = true,
				      .interval_ms = INTERVAL_TAP_MS,
				      .build = build_tap };

static int tap_stream(const struct options *o)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(64 * KIB);
	_cleanup_(source_freep) struct source *source = NULL;
	_cleanup_(printer_freep) struct printer *p = NULL;
	const struct asking dry = { .o = o, .verb = &tap_verb };
	struct limited l = { .left = o->limit ? o->limit : UINT64_MAX };
	struct answer_sink sink = { &l, limited_columns, limited_row, tap_coverage, tap_progress };
	struct print_opts print;
	struct trouble t;
	int r = check_usage(&dry);

	if (r != EXIT_OK)
		return r;
	interrupt_install();
	if (source_open(o, &source, &t) < 0)
		return trouble_fail(&t);
	print_opts_init(&print, o, &view_tap);
	print.stream = true;
	if (printer_new(&print, &p) < 0)
		return cli_fail(EXIT_ERROR, "out of memory");
	l.inner = printer_sink(p);
	tap_path(o, &path);
	r = source_stream(source, strbuf_str(&path), &sink, &t);
	print_end(p);
	if (r == -EIO)
		return trouble_fail(&t);
	if (r < 0 && r != -EINTR && r != -ECANCELED && r != -EPIPE)
		return cli_fail(EXIT_ERROR, "cannot show the stream: %s", strerror(-r));
	if (r != -EPIPE)
		cli_note("%llu request%s · live · %s", (unsigned long long)printer_rows(p),
			 printer_rows(p) == 1 ? "" : "s", source_name(source));
	return EXIT_OK;
}

int cmd_tap(const struct options *o)
{
	/* asked for a part of the past, or of files: rows that are there */
	if ((o->last || o->since || o->until || o->data_dir || o->explain) && !o->follow)
		return run_verb(o, &tap_verb, false, false);
	/* a number of rows is a list that ends, which stays on the terminal */
	if (on_terminal(o) && !o->limit)
		return run_verb(o, &tap_verb, true, true);
	return tap_stream(o);
}

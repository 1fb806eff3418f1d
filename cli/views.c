#include "cli/views.h"

#include "cli/screen.h"

#include <errno.h>
#include <stdio.h>

#define TOP_NUMBERS                                                                                \
	{ "rate_per_s", "RATE", SHAPE_RATE, 90, 0, 0 },                                            \
		{ "total_ns", "TOTAL", SHAPE_DURATION, 55, 0, 0 },                                 \
		{ "error_pct", "ERR%", SHAPE_PERCENT, 95, 0, VIEW_ALARM },                         \
		{ "client_error_pct", "CLIENT%", SHAPE_PERCENT, 65, 0, 0 },                        \
		{ "p50_ns", "P50", SHAPE_DURATION, 60, 0, 0 },                                     \
		{ "p90_ns", "P90", SHAPE_DURATION, 50, 0, 0 },                                     \
		{ "p99_ns", "P99", SHAPE_DURATION, 80, 0, 0 },                                     \
		{ "max_ns", "MAX", SHAPE_DURATION, 30, 0, VIEW_WIDE },                             \
		{ "requests", "REQUESTS", SHAPE_COUNT, 45, 0, 0 },                                 \
		{ "request_bytes", "IN", SHAPE_BYTES, 30, 0, VIEW_WIDE },                          \
	{                                                                                          \
		"response_bytes", "OUT", SHAPE_BYTES, 35, 0, 0                                     \
	}

#define VIEW_OF(cols)                                                                              \
	{                                                                                          \
		cols, ARRAY_SIZE(cols)                                                             \
	}

static const struct view_col top_service[] = {
	{ "service", "SERVICE", SHAPE_PLAIN, 100, 12, VIEW_FLEX | VIEW_NAME | VIEW_KEY },
	TOP_NUMBERS,
};
static const struct view_col top_endpoint[] = {
	{ "service", "SERVICE", SHAPE_PLAIN, 70, 10, VIEW_FLEX | VIEW_KEY },
	{ "method", "METHOD", SHAPE_PLAIN, 75, 4, VIEW_FLEX | VIEW_KEY },
	{ "resource", "RESOURCE", SHAPE_PLAIN, 100, 16,
	  VIEW_FLEX | VIEW_MAIN | VIEW_NAME | VIEW_KEY },
	TOP_NUMBERS,
};
static const struct view_col top_client[] = {
	{ "client", "CLIENT", SHAPE_PLAIN, 100, 12, VIEW_FLEX | VIEW_NAME | VIEW_KEY },
	TOP_NUMBERS,
};
static const struct view_col top_pod[] = {
	{ "pod", "POD", SHAPE_PLAIN, 100, 12, VIEW_FLEX | VIEW_NAME | VIEW_KEY },
	TOP_NUMBERS,
};
static const struct view_col top_statement[] = {
	{ "protocol", "PROTOCOL", SHAPE_PLAIN, 65, 6, VIEW_FLEX | VIEW_KEY },
	/* nearly always the statement's first word */
	{ "method", "METHOD", SHAPE_PLAIN, 75, 4, VIEW_FLEX | VIEW_WIDE | VIEW_KEY },
	{ "resource", "STATEMENT", SHAPE_PLAIN, 100, 28,
	  VIEW_FLEX | VIEW_MAIN | VIEW_NAME | VIEW_KEY },
	TOP_NUMBERS,
};
static const struct view_col top_pair[] = {
	{ "client", "CLIENT", SHAPE_PLAIN, 99, 10, VIEW_FLEX | VIEW_KEY },
	{ "service", "SERVICE", SHAPE_PLAIN, 100, 10, VIEW_FLEX | VIEW_NAME | VIEW_KEY },
	TOP_NUMBERS,
};

const struct view view_top[_TOP_MAX] = {
	[TOP_SERVICE] = VIEW_OF(top_service),	  [TOP_ENDPOINT] = VIEW_OF(top_endpoint),
	[TOP_CLIENT] = VIEW_OF(top_client),	  [TOP_POD] = VIEW_OF(top_pod),
	[TOP_STATEMENT] = VIEW_OF(top_statement), [TOP_PAIR] = VIEW_OF(top_pair),
};

static const struct view_col tap_cols[] = {
	{ "time", "TIME", SHAPE_TIME, 80, 12, 0 },
	{ "client_name", "CLIENT", SHAPE_PLAIN, 50, 10, VIEW_FLEX },
	{ "server_name", "SERVER", SHAPE_PLAIN, 70, 10, VIEW_FLEX },
	{ "protocol", "PROTO", SHAPE_PLAIN, 20, 5, VIEW_WIDE },
	{ "method", "METHOD", SHAPE_PLAIN, 90, 6, 0 },
	{ "resource", "RESOURCE", SHAPE_PLAIN, 100, 12, VIEW_FLEX | VIEW_MAIN },
	{ "status", "STATUS", SHAPE_STATUS, 95, 7, 0 },
	{ "latency_ns", "LATENCY", SHAPE_DURATION, 90, 7, 0 },
	{ "outcome", "OUTCOME", SHAPE_PLAIN, 30, 9, VIEW_WIDE },
	{ "request_bytes", "IN", SHAPE_BYTES, 20, 7, VIEW_WIDE },
	{ "response_bytes", "OUT", SHAPE_BYTES, 20, 7, VIEW_WIDE },
	{ "id", "ID", SHAPE_PLAIN, 10, 24, VIEW_WIDE | VIEW_NAME | VIEW_KEY },
};
const struct view view_tap = VIEW_OF(tap_cols);

static const struct view_col slow_cols[] = {
	{ "latency_ns", "LATENCY", SHAPE_DURATION, 100, 0, 0 },
	{ "request_ns", "UPLOAD", SHAPE_DURATION, 20, 0, VIEW_WIDE },
	{ "ttfb_ns", "FIRST BYTE", SHAPE_DURATION, 40, 0, 0 },
	{ "time", "TIME", SHAPE_TIME, 60, 0, 0 },
	{ "client_name", "CLIENT", SHAPE_PLAIN, 50, 10, VIEW_FLEX },
	{ "server_name", "SERVER", SHAPE_PLAIN, 70, 10, VIEW_FLEX },
	{ "method", "METHOD", SHAPE_PLAIN, 80, 4, VIEW_FLEX },
	{ "resource", "RESOURCE", SHAPE_PLAIN, 99, 12, VIEW_FLEX | VIEW_MAIN },
	{ "status", "STATUS", SHAPE_STATUS, 85, 8, VIEW_FLEX },
	{ "response_bytes", "OUT", SHAPE_BYTES, 15, 0, VIEW_WIDE },
	{ "id", "ID", SHAPE_PLAIN, 10, 0, VIEW_WIDE | VIEW_NAME | VIEW_KEY },
};
const struct view view_slow = VIEW_OF(slow_cols);

static const struct view_col errors_cols[] = {
	{ "time", "TIME", SHAPE_TIME, 80, 0, 0 },
	{ "client_name", "CLIENT", SHAPE_PLAIN, 60, 7, VIEW_FLEX },
	{ "server_name", "SERVER", SHAPE_PLAIN, 70, 10, VIEW_FLEX },
	{ "method", "METHOD", SHAPE_PLAIN, 85, 4, VIEW_FLEX },
	{ "resource", "RESOURCE", SHAPE_PLAIN, 90, 12, VIEW_FLEX | VIEW_MAIN },
	{ "status", "STATUS", SHAPE_STATUS, 100, 7, VIEW_FLEX },
	{ "why", "ERROR", SHAPE_PLAIN, 88, 22, VIEW_FLEX | VIEW_MAIN },
	{ "outcome", "OUTCOME", SHAPE_PLAIN, 30, 8, VIEW_FLEX | VIEW_WIDE },
	{ "latency_ns", "LATENCY", SHAPE_DURATION, 40, 0, 0 },
	{ "id", "ID", SHAPE_PLAIN, 10, 0, VIEW_WIDE | VIEW_NAME | VIEW_KEY },
};
const struct view view_errors = VIEW_OF(errors_cols);

static const struct view_col conns_cols[] = {
	{ "state", "STATE", SHAPE_STATUS, 90, 8, VIEW_FLEX },
	{ "client_name", "CLIENT", SHAPE_PLAIN, 95, 10, VIEW_FLEX },
	{ "client_addr", "ADDRESS", SHAPE_PLAIN, 20, 0, VIEW_WIDE },
	{ "client_port", "PORT", SHAPE_PLAIN, 30, 0, VIEW_WIDE },
	{ "server_name", "SERVER", SHAPE_PLAIN, 100, 14, VIEW_FLEX },
	{ "server_addr", "ADDRESS", SHAPE_PLAIN, 20, 0, VIEW_WIDE },
	{ "server_port", "PORT", SHAPE_PLAIN, 60, 0, 0 },
	{ "protocol", "PROTOCOL", SHAPE_PLAIN, 58, 8, VIEW_FLEX },
	{ "requests", "REQUESTS", SHAPE_COUNT, 80, 0, 0 },
	{ "open_requests", "OPEN", SHAPE_COUNT, 50, 0, 0 },
	{ "bytes_sent", "SENT", SHAPE_BYTES, 45, 0, 0 },
	{ "bytes_received", "RECEIVED", SHAPE_BYTES, 45, 0, 0 },
	{ "rtt_ns", "RTT", SHAPE_DURATION, 40, 0, 0 },
	{ "retransmits", "RETRANS", SHAPE_COUNT, 30, 0, VIEW_ALARM },
	{ "bytes_lost", "LOST", SHAPE_BYTES, 25, 0, VIEW_ALARM | VIEW_WIDE },
	{ "error", "ERROR", SHAPE_PLAIN, 85, 6, VIEW_FLEX },
	{ "times", "TIMES", SHAPE_COUNT, 84, 0, 0 },
	{ "why_unreadable", "UNREADABLE", SHAPE_PLAIN, 55, 10, VIEW_FLEX },
	{ "opened", "OPENED", SHAPE_TIME, 20, 0, VIEW_WIDE },
	{ "closed", "CLOSED", SHAPE_TIME, 20, 0, VIEW_WIDE },
	{ "comm", "COMM", SHAPE_PLAIN, 20, 0, VIEW_WIDE },
	{ "pid", "PID", SHAPE_PLAIN, 20, 0, VIEW_WIDE },
	{ "conn_id", "ID", SHAPE_PLAIN, 10, 0, VIEW_WIDE | VIEW_NAME | VIEW_KEY },
};
const struct view view_conns = VIEW_OF(conns_cols);

uint64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void write_footer(const struct showing *s, struct printer *p, struct strbuf *footer)
{
	_cleanup_(strbuf_done) struct strbuf own = STRBUF_INIT(MIB);
	struct strbuf *out = footer ? footer : &own;
	struct footer f = { .what = s->what,
			    .rows = printer_rows(p),
			    .q = s->q,
			    .source = source_name(s->source),
			    .coverage = printer_coverage(p),
			    .dropped = printer_dropped(p),
			    .filtered = s->o->n_filters > 0,
			    .now_ns = wall_ns(),
			    .width = footer ? s->print->width : screen_note_width() };

	/* $(kelpie errors -o name) should be quiet when all is well */
	if (s->print->output == OUTPUT_NAME && f.rows && footer_complete(f.coverage))
		return;
	footer_add(&f, out);
	if (!footer)
		fputs(strbuf_str(&own), stderr);
}

int show_answer(const struct showing *s, struct strbuf *footer, struct trouble *t)
{
	_cleanup_(printer_freep) struct printer *p = NULL;
	struct answer_sink sink;
	int r = printer_new(s->print, &p), end;

	if (r < 0) {
		trouble_set(t, EXIT_ERROR, "out of memory");
		return EXIT_ERROR;
	}
	sink = printer_sink(p);
	r = source_ask(s->source, s->q, &sink, t);
	end = print_end(p);
	if (r == -EINTR)
		return EXIT_INTERRUPTED;
	if (r == -EPIPE || end == -EPIPE)
		return EXIT_OK; /* head, less: nobody wants more */
	if (r == -E2BIG)
		trouble_set(t, EXIT_ERROR,
			    "the answer is too large for a table; use -o jsonl or --limit");
	else if (r < 0 && r != -EIO)
		trouble_set(t, EXIT_ERROR, "cannot show the answer: %s", strerror(-r));
	else if (r == 0 && end < 0)
		r = trouble_set(t, EXIT_ERROR, "cannot write the output: %s", strerror(-end));
	if (r < 0)
		return t->code;
	write_footer(s, p, footer);
	if (s->o->require_complete && !footer_complete(printer_coverage(p))) {
		cli_note("kelpie: the answer is not complete, and --require-complete was given");
		return EXIT_INCOMPLETE;
	}
	return EXIT_OK;
}

/* status, pause, resume, purge: the agents about themselves, and what they are told. */
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/views.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>

#define WAIT_DEFAULT_NS (30 * NSEC_PER_SEC)
#define WAIT_STEP_MS	200

static const struct view_col field_cols[] = {
	{ "key", "KEY", SHAPE_PLAIN, 100, 12, VIEW_NAME },
	{ "value", "VALUE", SHAPE_PLAIN, 90, 20, VIEW_FLEX },
};
static const struct view view_fields = { field_cols, ARRAY_SIZE(field_cols) };

static const struct view_col balance_cols[] = {
	{ "hop", "HOP", SHAPE_PLAIN, 90, 0, 0 },
	{ "stage", "STAGE", SHAPE_PLAIN, 100, 10, VIEW_FLEX },
	{ "unit", "UNIT", SHAPE_PLAIN, 70, 0, 0 },
	{ "in", "IN", SHAPE_COUNT, 80, 0, 0 },
	{ "out", "OUT", SHAPE_COUNT, 75, 0, 0 },
	{ "held", "HELD", SHAPE_COUNT, 60, 0, 0 },
	{ "loss", "LOST", SHAPE_COUNT, 95, 0, 0 },
	{ "difference", "DIFFERENCE", SHAPE_COUNT, 98, 0, VIEW_ALARM },
};
static const struct view view_balance = { balance_cols, ARRAY_SIZE(balance_cols) };

struct fields {
	struct answer_sink sink;
	struct format_clock clock;
	int status;
};

static void add(struct fields *f, const char *key, struct slice value)
{
	struct datum row[] = { datum_text(slice_str(key)), datum_text(value) };

	if (!f->status)
		f->status = f->sink.row(f->sink.ctx, row);
}

/* Bytes, times and durations among the numbers are shown as such, by the end of their keys. */
static enum shape shape_of_key(const char *key)
{
	static const struct {
		const char *end;
		uint8_t shape;
	} ends[] = { { "bytes", SHAPE_BYTES },
		     { "bytes_max", SHAPE_BYTES },
		     { "oldest_ns", SHAPE_TIME },
		     { "newest_ns", SHAPE_TIME },
		     { "_ns", SHAPE_DURATION } };
	size_t n = strlen(key);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t m = strlen(ends[i].end);

		if (n >= m && strcmp(key + n - m, ends[i].end) == 0)
			return (enum shape)ends[i].shape;
	}
	return SHAPE_PLAIN;
}

static void add_node(struct fields *f, const char *key, const struct json_node *n)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(64 * KIB);
	struct datum d = datum_int(n->i);
	enum shape shape = shape_of_key(key);

	if (n->kind == JSON_INT && shape == SHAPE_TIME && !n->i)
		strbuf_addch(&text, '-');
	else if (n->kind == JSON_INT)
		format_cell(&d, shape, &f->clock, &text);
	else if (n->kind == JSON_BOOL)
		strbuf_adds(&text, n->i ? "yes" : "no");
	else if (n->kind == JSON_NULL)
		strbuf_addch(&text, '-');
	else
		strbuf_add(&text, n->text.p, n->text.n);
	add(f, key, strbuf_slice(&text));
}

static void add_tree(struct fields *f, const struct json *doc, const struct json_node *at,
		     const char *prefix)
{
	const struct json_node *n = NULL;

	while ((n = json_each(doc, at, n))) {
		_cleanup_(strbuf_done) struct strbuf key = STRBUF_INIT(4096);

		strbuf_addf(&key, "%s%s%.*s", prefix, *prefix ? "." : "", (int)n->key.n,
			    (const char *)n->key.p);
		if (n->kind == JSON_OBJECT)
			add_tree(f, doc, n, strbuf_str(&key));
		else if (n->kind != JSON_ARRAY)
			add_node(f, strbuf_str(&key), n);
	}
}

static bool paused(const struct json *doc, const struct json_node *agent)
{
	const struct json_node *status = json_get(doc, agent, "status");

	return json_true(json_get(doc, json_get(doc, status, "capture"), "paused"));
}

/* Some agent answers and none of those is paused. */
static bool capturing(const struct json *doc)
{
	const struct json_node *agents = json_get(doc, &doc->nodes[0], "agents"), *a = NULL;

	if (!json_true(json_get(doc, &doc->nodes[0], "ready")))
		return false;
	while ((a = json_each(doc, agents, a)))
		if (json_true(json_get(doc, a, "responding")) && paused(doc, a))
			return false;
	return true;
}

static void add_agent(struct fields *f, const struct json *doc, const struct json_node *agent)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(4096);
	struct slice node = json_text(json_get(doc, agent, "node"));
	struct slice version = json_text(json_get(doc, agent, "version"));
	int64_t pid = json_int(json_get(doc, agent, "pid"), 0); /* 0: on another machine */

	strbuf_addf(&text, "%.*s: agent %.*s, ", (int)node.n, (const char *)node.p, (int)version.n,
		    (const char *)version.p);
	if (pid)
		strbuf_addf(&text, "pid %lld, ", (long long)pid);
	strbuf_addf(&text, "%s",
		    !json_true(json_get(doc, agent, "connected"))    ? "not connected"
		    : !json_true(json_get(doc, agent, "responding")) ? "does not answer"
		    : paused(doc, agent)			     ? "paused"
								     : "capturing");
	add(f, "node", strbuf_slice(&text));
	add_tree(f, doc, json_get(doc, agent, "status"), "");
}

/* What the collector knows of the cluster; nothing where it watches none. */
static void add_cluster(struct fields *f, const struct json *doc)
{
	const struct json_node *k = json_get(doc, &doc->nodes[0], "kubernetes"),
			       *why = json_get(doc, k, "condition");
	char text[320];

	if (!k || k->kind != JSON_OBJECT)
		return;
	snprintf(text, sizeof(text), "%s: %lld pods, %lld services, %lld nodes",
		 json_true(json_get(doc, k, "synced")) ? "synced" : "not complete",
		 (long long)json_int(json_get(doc, k, "pods"), 0),
		 (long long)json_int(json_get(doc, k, "services"), 0),
		 (long long)json_int(json_get(doc, k, "nodes"), 0));
	add(f, "kubernetes", slice_str(text));
	if (why && why->kind == JSON_STRING)
		add(f, "kubernetes.condition", why->text);
}

static int print_fields(const struct options *o, const struct json *doc, const char *source)
{
	static const struct answer_col cols[] = { { .name = "key", .type = "TEXT" },
						  { .name = "value", .type = "TEXT" } };
	_cleanup_(printer_freep) struct printer *p = NULL;
	const struct json_node *root = &doc->nodes[0], *agents = json_get(doc, root, "agents"),
			       *a = NULL;
	struct print_opts print;
	struct fields f = { 0 };

	print_opts_init(&print, o, &view_fields);
	f.clock = print.clock;
	if (printer_new(&print, &p) < 0)
		return -ENOMEM;
	f.sink = printer_sink(p);
	f.status = f.sink.columns(f.sink.ctx, cols, ARRAY_SIZE(cols));
	add(&f, "capturing", slice_str(capturing(doc) ? "yes" : "no"));
	add(&f, "source", slice_str(source));
	add(&f, "collector", json_text(json_get(doc, root, "version")));
	add_cluster(&f, doc);
	while ((a = json_each(doc, agents, a)))
		add_agent(&f, doc, a);
	print_end(p);
	return f.status;
}

static void balance_row(const struct json *doc, const struct json_node *line,
			struct answer_sink *sink)
{
	struct datum row[ARRAY_SIZE(balance_cols)];

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		const struct json_node *n = json_get(doc, line, balance_cols[i].name);

		row[i] = n && n->kind == JSON_STRING ? datum_text(n->text)
						     : datum_int(json_int(n, 0));
	}
	sink->row(sink->ctx, row);
}

/* The ledger in brief: each stage, and whether its sum closes. */
static int print_balance(const struct options *o, const struct json *doc,
			 const struct json_node *agent)
{
	struct answer_col cols[ARRAY_SIZE(balance_cols)] = { 0 };
	_cleanup_(printer_freep) struct printer *p = NULL;
	const struct json_node *lines = json_get(doc, agent, "balance"), *n = NULL;
	struct print_opts print;
	struct answer_sink sink;

	if (!lines || !lines->n)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(cols); i++) {
		snprintf(cols[i].name, sizeof(cols[i].name), "%s", balance_cols[i].name);
		snprintf(cols[i].type, sizeof(cols[i].type), i == 1 || i == 2 ? "TEXT" : "INTEGER");
		cols[i].shape = balance_cols[i].shape;
	}
	print_opts_init(&print, o, &view_balance);
	if (printer_new(&print, &p) < 0)
		return -ENOMEM;
	putchar('\n');
	sink = printer_sink(p);
	sink.columns(sink.ctx, cols, ARRAY_SIZE(cols));
	while ((n = json_each(doc, lines, n)))
		balance_row(doc, n, &sink);
	return print_end(p);
}

static int print_status(const struct options *o, const struct json *doc, const char *source)
{
	const struct json_node *agents = json_get(doc, &doc->nodes[0], "agents"), *a = NULL;
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(16 * MIB);
	int r;

	if (o->output == OUTPUT_JSON || o->output == OUTPUT_JSONL) {
		json_add_node(&out, doc, &doc->nodes[0]);
		printf("%s\n", strbuf_str(&out));
		return 0;
	}
	r = print_fields(o, doc, source);
	while (r == 0 && o->output <= OUTPUT_WIDE && (a = json_each(doc, agents, a)))
		r = print_balance(o, doc, a);
	return r;
}

static int fetch(struct source *source, struct strbuf *body, struct json *doc, struct trouble *t)
{
	int r;

	strbuf_reset(body);
	r = client_get(source_client(source), "/api/v1/status", body, t);
	if (r < 0)
		return r;
	if (json_parse(doc, strbuf_slice(body)) < 0 || doc->nodes[0].kind != JSON_OBJECT)
		return trouble_set(t, EXIT_ERROR, "%s does not answer like Kelpie",
				   source_name(source));
	return 0;
}

/* Until it captures; also until there is something to reach. */
static int wait_for(const struct options *o, struct source *source, struct strbuf *body,
		    struct json *doc, struct trouble *t)
{
	uint64_t wait_ns = WAIT_DEFAULT_NS, end;
	int r;

	if (o->wait && o->wait_for && parse_duration_ns(slice_str(o->wait_for), &wait_ns) < 0)
		return trouble_set(t, EXIT_USAGE, "--wait '%s' is no duration; write 30s",
				   o->wait_for);
	end = wall_ns() + wait_ns;
	for (;;) {
		r = fetch(source, body, doc, t);
		if (!o->wait || r == -EINTR || (r == 0 && capturing(doc)) || wall_ns() >= end)
			return r;
		if (interrupt_wait(-1, WAIT_STEP_MS) < 0)
			return -EINTR;
	}
}

static int open_live(const struct options *o, struct source **ret, struct trouble *t)
{
	int r = source_open(o, ret, t);

	if (r == 0 && !source_client(*ret))
		return trouble_set(t, EXIT_UNREACHABLE, "no Kelpie runs on %s", source_name(*ret));
	return r;
}

int cmd_status(const struct options *o)
{
	_cleanup_(source_freep) struct source *source = NULL;
	_cleanup_(strbuf_done) struct strbuf body = STRBUF_INIT(16 * MIB);
	_cleanup_(json_done) struct json doc = { 0 };
	struct trouble t;
	int r;

	interrupt_install();
	r = open_live(o, &source, &t);
	if (!r)
		r = wait_for(o, source, &body, &doc, &t);
	if (r == -EINTR)
		return EXIT_INTERRUPTED;
	if (r < 0)
		return trouble_fail(&t);
	r = print_status(o, &doc, source_name(source));
	if (r < 0 && r != -EPIPE)
		return cli_fail(EXIT_ERROR, "cannot write the output: %s", strerror(-r));
	if (capturing(&doc))
		return EXIT_OK;
	return cli_fail(EXIT_ERROR, "nothing is being captured: %s",
			json_true(json_get(&doc, &doc.nodes[0], "ready"))
				? "it is paused; `kelpie resume` goes on"
				: "no agent is connected; is kelpie-agent running?");
}

static int keep_body(void *ctx, struct slice line)
{
	strbuf_add(ctx, line.p, line.n);
	return 0;
}

static int control(const struct options *o, const char *verb, const char *done)
{
	_cleanup_(source_freep) struct source *source = NULL;
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(256);
	_cleanup_(strbuf_done) struct strbuf body = STRBUF_INIT(MIB);
	struct client_request req = { .method = "POST",
				      .body = SLICE_LIT("{}"),
				      .timeout_ns = 30 * NSEC_PER_SEC,
				      .line = keep_body,
				      .ctx = &body };
	struct trouble t;
	int r;

	interrupt_install();
	r = open_live(o, &source, &t);
	if (r < 0)
		return trouble_fail(&t);
	strbuf_addf(&path, "/api/v1/control/%s", verb);
	req.path = strbuf_str(&path);
	r = client_do(source_client(source), &req, &t);
	if (r == -EINTR)
		return EXIT_INTERRUPTED;
	if (r < 0)
		return trouble_fail(&t);
	cli_note("%s · %s", done, source_name(source));
	return EXIT_OK;
}

int cmd_pause(const struct options *o)
{
	return control(o, "pause", "paused; `kelpie resume` goes on");
}

int cmd_resume(const struct options *o)
{
	return control(o, "resume", "capturing");
}

int cmd_purge(const struct options *o)
{
	char answer[16] = "";

	if (!o->yes) {
		if (!isatty(STDIN_FILENO))
			return cli_fail(EXIT_USAGE, "purge forgets every stored row; say --yes");
		fprintf(stderr, "Forget every stored row? [y/N] ");
		if (!fgets(answer, sizeof(answer), stdin) || (answer[0] | 0x20) != 'y')
			return cli_fail(EXIT_ERROR, "nothing was purged");
	}
	return control(o, "purge", "every stored row is forgotten");
}

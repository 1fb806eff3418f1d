/* Agents made of uplink.c and computed rows, a hub and the fan above it, in one process: what comes
 * out of the union, who is missing, what a hostile agent can do.
 */
#include "agent/uplink.h"
#include "base/log.h"
#include "base/clock.h"
#include "collector/fan.h"
#include "collector/listen.h"
#include "proto/frame.h"
#include "tests/lib/test.h"
#include "tests/unit/collector/memsource.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BASE_NS 1700000000000000000ULL
#define AGENTS	3

struct world {
	char dir[64], path[100];
	struct listener listener;
	struct hub *hub;
	struct memsource sources[AGENTS];
	struct uplink *uplinks[AGENTS];
	_Atomic uint64_t lost;
	atomic_bool earlier; /* the agent knows of an earlier run */
	atomic_uint controls;
};

static void on_status(void *ctx, struct uplink_status *out)
{
	struct world *w = ctx;
	struct uplink_ledger_line line = {
		2, "intake", "invalid", "loss", "records", false, w->lost
	};

	uplink_status_int(out, "answer", 42);
	uplink_status_ledger(out, &line);
	if (w->earlier) {
		uplink_status_span(out, &(struct uplink_span){ 10 * NSEC_PER_SEC, 20 * NSEC_PER_SEC,
							       false, 7, 70, 0 });
		uplink_status_span(out, &(struct uplink_span){ 20 * NSEC_PER_SEC, 30 * NSEC_PER_SEC,
							       .unknown = true });
	}
}

static int on_control(void *ctx, enum uplink_verb verb, char *message, size_t cap)
{
	struct world *w = ctx;

	atomic_fetch_add(&w->controls, 1);
	if (verb != UPLINK_PURGE)
		return 0;
	snprintf(message, cap, "no purge today");
	return -EPERM;
}

static struct slice on_symbol(void *ctx, uint32_t sym)
{
	(void)ctx;
	return sym == 7 ? SLICE_LIT("symbolic") : slice_of(NULL, 0);
}

static const struct uplink_ops ops = {
	.status = on_status,
	.control = on_control,
	.symbol = on_symbol,
};

static void nap_ms(uint64_t ms)
{
	struct timespec t = clock_timespec(ms * NSEC_PER_MSEC);

	nanosleep(&t, NULL);
}

static bool world_begin(struct world *w)
{
	const struct listen_opts opts = { 0600, (uid_t)-1, (gid_t)-1, (uid_t)-1 };
	struct hub_config cfg = { .news_fd = -1 };
	char why[200];

	*w = (struct world){ 0 };
	log_setup("test", LOG_ERROR, LOG_FORMAT_LOGFMT);
	snprintf(w->dir, sizeof(w->dir), "/tmp/kelpie-test-stream-XXXXXX");
	if (!EXPECT(mkdtemp(w->dir) != NULL))
		return false;
	snprintf(w->path, sizeof(w->path), "unix:%s/agents.sock", w->dir);
	if (!EXPECT_EQ(listener_open(w->path, &opts, &w->listener, why, sizeof(why)), 0))
		return false;
	cfg.listen_fd = w->listener.fd;
	return EXPECT_EQ(hub_new(&cfg, &w->hub), 0);
}

static void world_end(struct world *w)
{
	for (size_t i = 0; i < AGENTS; i++) {
		atomic_store(&w->sources[i].release, true);
		uplink_stop(w->uplinks[i]);
	}
	hub_free(w->hub);
	listener_close(&w->listener);
	rmdir(w->dir);
}

/* Agent i of the world; its rows lie between those of the others. */
static bool add_agent(struct world *w, size_t i, const char *node, uint64_t rows)
{
	struct uplink_config cfg = {
		.socket_path = w->path + strlen("unix:"),
		.node = node,
		.epoch = BASE_NS + i,
		.source = &w->sources[i].source,
		.ops = &ops,
		.ctx = w,
	};
	size_t before = hub_agents_connected(w->hub);

	memsource_init(&w->sources[i], node, rows, BASE_NS + i * 100, 1000);
	if (!EXPECT_EQ(uplink_start(&cfg, &w->uplinks[i]), 0))
		return false;
	for (int k = 0; k < 300 && hub_agents_connected(w->hub) == before; k++)
		nap_ms(10);
	return EXPECT_EQ(hub_agents_connected(w->hub), before + 1);
}

static const uint16_t plain_cols[] = { COL_SEQ, COL_NODE, COL_HTTP_PATH, COL_HTTP_USER_AGENT };

static struct scan_plan plan_all(void)
{
	return (struct scan_plan){
		.table = TABLE_HTTP,
		.to_ns = UINT64_MAX,
		.cols = plain_cols,
		.n_cols = ARRAY_SIZE(plain_cols),
	};
}

struct tally {
	uint64_t rows, last_order;
	uint64_t per_node[AGENTS];
	bool ordered, texts_right;
	struct scan_coverage cov;
};

/* The order of a row over all nodes: its end time, told from node and sequence. */
static void count_row(struct world *w, const struct scan_batch *b, size_t i, bool newest,
		      struct tally *t)
{
	uint64_t seq = (uint64_t)b->cols[0].ints[i], order;
	char buf[64];
	size_t a = 0;

	while (a < AGENTS &&
	       !(w->sources[a].node && slice_eq_str(b->cols[1].texts[i], w->sources[a].node)))
		a++;
	if (!EXPECT(a < AGENTS))
		return;
	order = (seq - 1) * 1000 + a * 100;
	t->ordered &= t->rows == 0 || (newest ? order <= t->last_order : order >= t->last_order);
	t->last_order = order;
	t->per_node[a]++;
	t->rows++;
	t->texts_right &= slice_eq(memsource_cell(&w->sources[a], seq - 1, COL_HTTP_PATH, buf).text,
				   b->cols[2].texts[i]);
	t->texts_right &= slice_eq(SLICE_LIT("bad \xff\xfe end"), b->cols[3].texts[i]);
}

/* Result of the last next(), or of open(). */
static int drain(struct world *w, struct fan *fan, const struct scan_plan *plan, struct tally *t)
{
	struct scan_batch b;
	struct scan *scan;
	int have = fan->source.open(&fan->source, plan, &scan);

	*t = (struct tally){ .ordered = true, .texts_right = true };
	if (have < 0)
		return have;
	while ((have = scan->ops->next(scan, &b)) == 1) {
		EXPECT_EQ(b.n_cols, plan->n_cols);
		for (size_t i = 0; i < b.n_rows; i++)
			count_row(w, &b, i, plan->newest_first, t);
	}
	scan->ops->coverage(scan, &t->cov);
	scan->ops->close(scan);
	return have;
}

static void begin_fan(struct world *w, struct fan *f, uint64_t ms)
{
	fan_init(f, w->hub, clock_mono_ns() + ms * NSEC_PER_MSEC, NULL);
}

static void test_stream__one_agent(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct tally t;
	struct fan f;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 50000));
	begin_fan(&w, &f, 20000);
	EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
	EXPECT_EQ(t.rows, 50000);
	EXPECT(t.ordered);
	EXPECT(t.texts_right);
	EXPECT_EQ(t.cov.rows_matched, 50000);
	EXPECT_EQ(t.cov.oldest_ns, BASE_NS);
	EXPECT(!t.cov.truncated);
	EXPECT_EQ(f.asked.n, 1);
	EXPECT_EQ(f.missing.n, 0);
	fan_done(&f);
	world_end(&w);
}

static void test_stream__three_agents_in_order(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct tally t;
	struct fan f;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 7000));
	ASSERT(add_agent(&w, 1, "beta", 12345));
	ASSERT(add_agent(&w, 2, "gamma", 0));
	for (int newest = 0; newest < 2; newest++) {
		plan.newest_first = newest;
		plan.limit = 0;
		begin_fan(&w, &f, 20000);
		EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
		EXPECT_EQ(t.rows, 19345);
		EXPECT_EQ(t.per_node[1], 12345);
		EXPECT(t.ordered);
		EXPECT(t.texts_right);
		EXPECT_EQ(f.missing.n, 0);
		fan_done(&f);

		plan.limit = 100;
		begin_fan(&w, &f, 20000);
		EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
		EXPECT_EQ(t.rows, 100);
		EXPECT(t.ordered);
		EXPECT_EQ(t.per_node[1], newest ? 100 : 50); /* the newest are all of beta */
		EXPECT_EQ(f.missing.n, 0);
		fan_done(&f);
	}
	world_end(&w);
}

static void test_stream__predicates_travel(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct value v = { .kind = VALUE_INT, .i = 500 };
	struct scan_pred pred = { COL_STATUS_CODE, PRED_GE, &v, 1 };
	struct tally t;
	struct fan f;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 1000));
	plan.preds = &pred;
	plan.n_preds = 1;
	begin_fan(&w, &f, 20000);
	EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
	EXPECT_EQ(t.rows, 100);
	EXPECT_EQ(t.cov.rows_scanned, 1000);
	fan_done(&f);
	world_end(&w);
}

static void test_stream__nobody_there(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct tally t;
	struct fan f;

	ASSERT(world_begin(&w));
	begin_fan(&w, &f, 1000);
	EXPECT_EQ(drain(&w, &f, &plan, &t), -ENOTCONN);
	EXPECT(f.asked_nobody);
	fan_done(&f);
	world_end(&w);
}

static void test_stream__one_hangs(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct tally t;
	struct fan f;
	uint64_t start_ns;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 3000));
	ASSERT(add_agent(&w, 1, "beta", 3000));
	w.sources[1].deaf = true; /* its uplink answers pings, its scan sees no deadline */
	start_ns = clock_mono_ns();
	begin_fan(&w, &f, 500);
	EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
	EXPECT(clock_mono_ns() - start_ns < 2 * NSEC_PER_SEC);
	EXPECT_EQ(t.rows, 3000);
	EXPECT_EQ(t.per_node[1], 0);
	EXPECT(t.cov.truncated);
	ASSERT_EQ(f.missing.n, 1);
	EXPECT_STR(f.missing.v[0], "beta");
	EXPECT(f.timed_out);
	EXPECT(!f.all_failed);
	fan_done(&f);

	/* one that keeps to the deadline says so itself */
	w.sources[1].deaf = false;
	w.sources[1].hang = true;
	begin_fan(&w, &f, 500);
	f.deadline_ns += 500 * NSEC_PER_MSEC;
	EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
	EXPECT_EQ(f.missing.n, 1);
	fan_done(&f);
	world_end(&w);
}

static void test_stream__all_fail(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct tally t;
	struct fan f;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 3000));
	w.sources[0].fail = true;
	begin_fan(&w, &f, 2000);
	EXPECT_EQ(drain(&w, &f, &plan, &t), -EIO);
	EXPECT(f.all_failed);
	fan_done(&f);
	world_end(&w);
}

static void test_stream__agent_goes_and_is_remembered(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct tally t;
	struct fan f;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 10));
	ASSERT(add_agent(&w, 1, "beta", 10));
	uplink_stop(w.uplinks[1]);
	w.uplinks[1] = NULL;
	for (int k = 0; k < 300 && hub_agents_connected(w.hub) == 2; k++)
		nap_ms(10);
	begin_fan(&w, &f, 2000);
	EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
	EXPECT_EQ(t.rows, 10);
	ASSERT_EQ(f.missing.n, 1);
	EXPECT_STR(f.missing.v[0], "beta");
	fan_done(&f);
	ASSERT(add_agent(&w, 1, "beta", 10)); /* and back */
	begin_fan(&w, &f, 2000);
	EXPECT_EQ(drain(&w, &f, &plan, &t), 0);
	EXPECT_EQ(t.rows, 20);
	EXPECT_EQ(f.missing.n, 0);
	fan_done(&f);
	world_end(&w);
}

static void test_stream__cancel_reaches_the_source(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct scan_batch b;
	struct scan *scan;
	struct fan f;
	atomic_bool cancel = true;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 10));
	w.sources[0].hang = true;
	begin_fan(&w, &f, 20000);
	f.cancel = &cancel;
	ASSERT_EQ(f.source.open(&f.source, &plan, &scan), 0);
	EXPECT_EQ(scan->ops->next(scan, &b), -ECANCELED);
	scan->ops->close(scan);
	for (int k = 0; k < 300 && w.sources[0].closed < w.sources[0].opened; k++)
		nap_ms(10);
	EXPECT(w.sources[0].closed == w.sources[0].opened);
	fan_done(&f);
	world_end(&w);
}

/* A reader that takes nothing holds up its own scan, and others go on. */
static void test_stream__slow_reader_is_alone(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct scan_batch b;
	struct scan *stuck;
	struct tally t;
	struct fan f, g;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 300000));
	begin_fan(&w, &f, 30000);
	ASSERT_EQ(f.source.open(&f.source, &plan, &stuck), 0);
	nap_ms(300); /* its window is full now */
	begin_fan(&w, &g, 30000);
	EXPECT_EQ(drain(&w, &g, &plan, &t), 0);
	EXPECT_EQ(t.rows, 300000);
	EXPECT(t.texts_right);
	fan_done(&g);
	/* a reader that has enough (a LIMIT behind a condition, a merge) lacks nothing */
	EXPECT_EQ(stuck->ops->next(stuck, &b), 1);
	stuck->ops->coverage(stuck, &t.cov);
	EXPECT(!t.cov.truncated);
	stuck->ops->close(stuck);
	fan_done(&f);
	world_end(&w);
}

/* Batches of a few bytes each: their number is bounded by the credit too. */
static void test_stream__many_small_batches(void)
{
	static const uint16_t cols[] = { COL_STATUS_CODE };
	struct world w;
	struct scan_plan plan = plan_all();
	struct scan_batch b;
	struct scan *scan;
	struct fan f;
	uint64_t rows = 0;
	int have;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 1000000));
	plan.cols = cols;
	plan.n_cols = 1;
	begin_fan(&w, &f, 60000);
	ASSERT_EQ(f.source.open(&f.source, &plan, &scan), 0);
	nap_ms(1000);
	while ((have = scan->ops->next(scan, &b)) == 1)
		rows += b.n_rows;
	EXPECT_EQ(have, 0);
	EXPECT_EQ(rows, 1000000);
	EXPECT_EQ(f.missing.n, 0);
	scan->ops->close(scan);
	fan_done(&f);
	world_end(&w);
}

/* UPLINK_SCANS_MAX run, UPLINK_QUEUE_MAX wait, the next is told "busy" at once. */
static void test_stream__busy_is_said(void)
{
	struct world w;
	struct scan_plan plan = plan_all();
	struct scan *scans[UPLINK_SCANS_MAX + UPLINK_QUEUE_MAX];
	struct tally t;
	struct fan f, g;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 10));
	w.sources[0].hang = true;
	begin_fan(&w, &f, 60000);
	for (size_t i = 0; i < ARRAY_SIZE(scans); i++)
		ASSERT_EQ(f.source.open(&f.source, &plan, &scans[i]), 0);
	begin_fan(&w, &g, 60000);
	EXPECT_EQ(drain(&w, &g, &plan, &t), -EIO);
	ASSERT_EQ(g.notes.n, 1);
	EXPECT_STR(g.notes.v[0], "alpha: too many scans on this node");
	fan_done(&g);
	w.sources[0].hang = false;
	for (size_t i = 0; i < ARRAY_SIZE(scans); i++)
		scans[i]->ops->close(scans[i]);
	fan_done(&f);
	world_end(&w);
}

struct heard {
	atomic_uint rows, skipped, wrong;
};

static void on_rows(void *ctx, const char *node, const Kelpie__TailRows *rows)
{
	struct heard *h = ctx;

	(void)node;
	atomic_fetch_add(&h->skipped, (unsigned int)rows->skipped);
	for (size_t i = 0; i < rows->n_rows; i++) {
		const Kelpie__TailRow *r = rows->rows[i];
		bool right = r->n_cells == 3 && r->cells[0]->number % 3 == 2 &&
			     slice_eq(slice_of(r->cells[1]->text.data, r->cells[1]->text.len),
				      SLICE_LIT("symbolic")) &&
			     slice_eq(slice_of(r->cells[2]->text.data, r->cells[2]->text.len),
				      SLICE_LIT("alpha"));

		atomic_fetch_add(&h->rows, 1);
		atomic_fetch_add(&h->wrong, !right);
	}
}

static void on_done(void *ctx, const char *node, const char *message)
{
	struct heard *h = ctx;

	(void)node;
	(void)message;
	atomic_fetch_add(&h->wrong, 1000);
}

/* Row n: sequence n, method by n % 3, a symbol for the client's name. */
static void feed(struct uplink *u, uint64_t n)
{
	static const char *const methods[] = { "PUT", "GET", "POST" };
	static struct row_builder b;
	static uint64_t encoded[ROW_MAX / 8];
	struct row row;
	size_t len;

	row_begin(&b, TABLE_HTTP);
	row_text(&b, COL_METHOD, slice_str(methods[n % 3]));
	row_sym(&b, COL_CLIENT_NAME, 7);
	len = row_end(&b, n, BASE_NS + n, encoded, sizeof(encoded));
	ASSERT(len > 0 && row_check(slice_of(encoded, len), &row) == 0);
	uplink_tail_row(u, &row);
}

static void test_stream__tail(void)
{
	static const struct hub_tail_ops tail_ops = { on_rows, on_done };
	uint32_t cols[] = { COL_SEQ, COL_CLIENT_NAME, COL_NODE };
	Kelpie__TailStart start = KELPIE__TAIL_START__INIT;
	Kelpie__Clause clause = KELPIE__CLAUSE__INIT, *clauses[] = { &clause };
	Kelpie__Term term = KELPIE__TERM__INIT, *terms[] = { &term };
	Kelpie__Test test = KELPIE__TEST__INIT, *tests[] = { &test };
	struct heard heard = { 0 };
	struct hub_tail *tail;
	struct world w;

	test.column = COL_METHOD;
	test.op = KELPIE__TEST_OP__TEST_GLOB;
	test.value_case = KELPIE__TEST__VALUE_TEXT;
	test.text.data = (uint8_t[]){ 'P', 'O', '*', 'T' };
	test.text.len = 4;
	term.all = tests;
	term.n_all = 1;
	clause.any = terms;
	clause.n_any = 1;
	start.columns = cols;
	start.n_columns = 3;
	start.all = clauses;
	start.n_all = 1;
	start.max_rows_per_s = 50;
	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 10));
	EXPECT(!uplink_has_tails(w.uplinks[0]));
	feed(w.uplinks[0], 2); /* nobody looks */
	ASSERT_EQ(hub_tail_start(w.hub, &start, &tail_ops, &heard, &tail), 0);
	for (int k = 0; k < 300 && !uplink_has_tails(w.uplinks[0]); k++)
		nap_ms(10);
	for (uint64_t n = 0; n < 3000; n++)
		feed(w.uplinks[0], n);
	for (int k = 0; k < 300 && heard.rows + heard.skipped < 1000; k++)
		nap_ms(10);
	EXPECT_EQ(heard.rows + heard.skipped, 1000); /* every third matched, none vanished */
	EXPECT(heard.rows >= 50 && heard.rows < 300);
	EXPECT_EQ(heard.wrong, 0);
	hub_tail_stop(tail);
	for (int k = 0; k < 300 && uplink_has_tails(w.uplinks[0]); k++)
		nap_ms(10);
	EXPECT(!uplink_has_tails(w.uplinks[0]));
	world_end(&w);
}

/* The costliest filter there may be, on texts that are made for it: the store has other things to
 * do. */
static void test_stream__a_costly_filter_is_cheap_or_refused(void)
{
	enum { TERMS = 200, LONG = 500 };
	static const struct hub_tail_ops tail_ops = { on_rows, on_done };
	static Kelpie__Test tests[TERMS], *test_refs[TERMS][1];
	static Kelpie__Term terms[TERMS], *term_refs[TERMS];
	static uint8_t pattern[LONG];
	static struct row_builder b;
	static uint64_t encoded[ROW_MAX / 8];
	uint32_t cols[] = { COL_SEQ };
	Kelpie__TailStart start = KELPIE__TAIL_START__INIT;
	Kelpie__Clause clause = KELPIE__CLAUSE__INIT, *clauses[] = { &clause };
	struct heard heard = { 0 };
	struct hub_tail *tail;
	struct row row;
	struct world w;
	char text[8000];
	uint64_t from_ns;
	size_t len;

	memset(text, 'a', sizeof(text));
	memset(pattern, 'a', sizeof(pattern));
	pattern[0] = pattern[LONG - 1] = '*';
	pattern[LONG - 2] = 'b';
	for (size_t i = 0; i < TERMS; i++) {
		kelpie__test__init(&tests[i]);
		tests[i].column = COL_HTTP_PATH;
		tests[i].op = KELPIE__TEST_OP__TEST_GLOB;
		tests[i].value_case = KELPIE__TEST__VALUE_TEXT;
		tests[i].text.data = pattern;
		tests[i].text.len = LONG;
		test_refs[i][0] = &tests[i];
		kelpie__term__init(&terms[i]);
		terms[i].all = test_refs[i];
		terms[i].n_all = 1;
		term_refs[i] = &terms[i];
	}
	clause.any = term_refs;
	clause.n_any = TERMS;
	start.columns = cols;
	start.n_columns = 1;
	start.all = clauses;
	start.n_all = 1;
	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 10));
	ASSERT_EQ(hub_tail_start(w.hub, &start, &tail_ops, &heard, &tail), 0);
	for (int k = 0; k < 300 && !uplink_has_tails(w.uplinks[0]); k++)
		nap_ms(10);
	ASSERT(uplink_has_tails(w.uplinks[0]));
	row_begin(&b, TABLE_HTTP);
	row_text(&b, COL_HTTP_PATH, slice_of(text, sizeof(text)));
	len = row_end(&b, 1, BASE_NS, encoded, sizeof(encoded));
	ASSERT(len > 0 && row_check(slice_of(encoded, len), &row) == 0);
	from_ns = clock_mono_ns();
	for (int i = 0; i < 5; i++)
		uplink_tail_row(w.uplinks[0], &row);
	EXPECT(clock_mono_ns() - from_ns < 2 * NSEC_PER_SEC);
	hub_tail_stop(tail);
	pattern[1] = '?'; /* has no short cut */
	for (int k = 0; k < 300 && uplink_has_tails(w.uplinks[0]); k++)
		nap_ms(10);
	ASSERT_EQ(hub_tail_start(w.hub, &start, &tail_ops, &heard, &tail), 0);
	for (int k = 0; k < 300 && heard.wrong == 0; k++)
		nap_ms(10);
	EXPECT_EQ(heard.wrong, 1000); /* refused by the agent */
	EXPECT(!uplink_has_tails(w.uplinks[0]));
	hub_tail_stop(tail);
	world_end(&w);
}

struct seen {
	int64_t answer;
	size_t n;
};

static void see_agent(void *ctx, const struct hub_agent_info *info)
{
	struct seen *s = ctx;

	s->n++;
	if (info->status && info->status->n_fields == 1)
		s->answer = info->status->fields[0]->number;
}

static void test_stream__status_losses_control(void)
{
	struct hub_control_result results[AGENTS];
	struct loss_times all = { 0, UINT64_MAX, 0, 0 }, past = { 0 }, known;
	struct loss_cover lost;
	struct seen seen = { 0 };
	struct world w;
	uint64_t before_ns;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 10));
	hub_status_refresh(w.hub, 0, clock_mono_ns() + 2 * NSEC_PER_SEC);
	hub_each_agent(w.hub, see_agent, &seen);
	EXPECT_EQ(seen.n, 1);
	EXPECT_EQ(seen.answer, 42);
	before_ns = clock_unix_ns();
	hub_losses(w.hub, &all, &lost);
	EXPECT_EQ(lost.lost.units, 0);
	nap_ms(20);
	w.lost = 5;
	hub_status_refresh(w.hub, 0, clock_mono_ns() + 2 * NSEC_PER_SEC);
	hub_losses(w.hub, &all, &lost);
	EXPECT_EQ(lost.lost.units, 5);
	past.to_ns = before_ns - 10 * NSEC_PER_SEC;
	hub_losses(w.hub, &past, &lost);
	EXPECT_EQ(lost.lost.units, 0); /* not in that range */

	/* what the agent knows of earlier runs: 7 lost in seconds 10 to 20, nothing known of 20 to
	 * 30 */
	w.earlier = true;
	hub_status_refresh(w.hub, 0, clock_mono_ns() + 2 * NSEC_PER_SEC);
	known = (struct loss_times){ 15 * NSEC_PER_SEC, 25 * NSEC_PER_SEC, 15 * NSEC_PER_SEC,
				     25 * NSEC_PER_SEC };
	hub_losses(w.hub, &known, &lost);
	EXPECT_EQ(lost.lost.units, 7);
	EXPECT_EQ(lost.lost.bytes, 70);
	EXPECT_EQ(lost.unknown_from_ns, 20 * NSEC_PER_SEC);
	EXPECT_EQ(lost.unknown_to_ns, 25 * NSEC_PER_SEC);
	known = (struct loss_times){ 40 * NSEC_PER_SEC, 50 * NSEC_PER_SEC, 40 * NSEC_PER_SEC,
				     50 * NSEC_PER_SEC };
	hub_losses(w.hub, &known, &lost);
	EXPECT_EQ(lost.lost.units, 0);
	EXPECT_EQ(lost.unknown_to_ns, 0);

	EXPECT_EQ(hub_control(w.hub, KELPIE__CONTROL_VERB__CONTROL_PAUSE,
			      clock_mono_ns() + 2 * NSEC_PER_SEC, results, AGENTS),
		  1);
	EXPECT(results[0].ok);
	EXPECT_STR(results[0].node, "alpha");
	EXPECT_EQ(hub_control(w.hub, KELPIE__CONTROL_VERB__CONTROL_PURGE,
			      clock_mono_ns() + 2 * NSEC_PER_SEC, results, AGENTS),
		  1);
	EXPECT(!results[0].ok);
	EXPECT_STR(results[0].message, "no purge today");
	EXPECT_EQ(w.controls, 2);
	world_end(&w);
}

static int dial(const struct world *w)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", w->path + strlen("unix:"));
	EXPECT_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Whether the hub hangs up within two seconds. */
static bool hangs_up(int fd)
{
	uint64_t until_ns = clock_mono_ns() + 2 * NSEC_PER_SEC;
	char buf[4096];

	while (clock_mono_ns() < until_ns) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 100) == 1 && read(fd, buf, sizeof(buf)) <= 0)
			return true;
	}
	return false;
}

static void send_message(int fd, const Kelpie__AgentMessage *m)
{
	struct frame_writer out;

	frame_writer_init(&out, FRAME_WRITE_MAX_BYTES);
	EXPECT_EQ(frame_writer_push_message(&out, &m->base), 0);
	while (frame_writer_flush(&out, fd) == 1)
		nap_ms(1);
	frame_writer_done(&out);
}

static void send_hello(int fd, const char *node)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__Hello hello = KELPIE__HELLO__INIT;

	hello.node = (char *)(uintptr_t)node;
	hello.epoch = 1;
	hello.proto_version = 1;
	hello.plan_version = 1;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_HELLO;
	m.hello = &hello;
	send_message(fd, &m);
}

static void test_stream__hostile_agents(void)
{
	static const uint8_t huge[] = { 0, 0xff, 0xff, 0xff, 0xff }, flag[] = { 9, 0, 0, 0, 0 },
			     junk[] = { 0, 0, 0, 0, 3, 0xff, 0xff, 0xff };
	static const struct slice openings[] = {
		{ huge, sizeof(huge) },
		{ flag, sizeof(flag) },
		{ junk, sizeof(junk) },
	};
	static const char *const names[] = { "", "a b", "x\"y", "line\nbreak" };
	struct world w;
	int fd;

	ASSERT(world_begin(&w));
	for (size_t i = 0; i < ARRAY_SIZE(openings); i++) {
		fd = dial(&w);
		EXPECT_EQ(write(fd, openings[i].p, openings[i].n), (ssize_t)openings[i].n);
		EXPECT(hangs_up(fd));
		close(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		fd = dial(&w);
		send_hello(fd, names[i]);
		EXPECT(hangs_up(fd));
		close(fd);
	}
	fd = dial(&w); /* twice hello */
	send_hello(fd, "mallory");
	send_hello(fd, "mallory");
	EXPECT(hangs_up(fd));
	close(fd);
	EXPECT_EQ(hub_agents_connected(w.hub), 0);
	world_end(&w);
}

/* A status that would cost its readers hours is the end of the stream. */
static void test_stream__hostile_status(void)
{
	static Kelpie__LedgerLine line, *lines[HUB_STATUS_LINES + 1];
	static char text[HUB_STATUS_BYTES + 1];
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__Status status = KELPIE__STATUS__INIT;
	struct world w;
	int fd;

	kelpie__ledger_line__init(&line);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		lines[i] = &line;
	status.ledger = lines;
	status.n_ledger = ARRAY_SIZE(lines);
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_STATUS;
	m.status = &status;
	ASSERT(world_begin(&w));
	fd = dial(&w);
	send_hello(fd, "mallory");
	send_message(fd, &m);
	EXPECT(hangs_up(fd));
	close(fd);
	/* Few lines, much text: it would be kept for as long as the node is known. */
	memset(text, 'x', sizeof(text) - 1);
	line.counter = text;
	status.n_ledger = 1;
	fd = dial(&w);
	send_hello(fd, "mallory");
	send_message(fd, &m);
	EXPECT(hangs_up(fd));
	close(fd);
	world_end(&w);
}

/* Batches for a scan that was not asked of this agent, and rows for another's tail, go nowhere. */
static void test_stream__foreign_answers(void)
{
	struct scan_plan plan = plan_all();
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__ScanDone done = KELPIE__SCAN_DONE__INIT;
	struct world w;
	struct fan f;
	struct scan *scan;
	struct scan_batch b;
	int fd, have;
	uint64_t rows = 0;

	ASSERT(world_begin(&w));
	ASSERT(add_agent(&w, 0, "alpha", 5000));
	w.sources[0].delay_ns = 200 * NSEC_PER_MSEC;
	fd = dial(&w);
	send_hello(fd, "mallory");
	for (int k = 0; k < 300 && hub_agents_connected(w.hub) == 1; k++)
		nap_ms(10);
	begin_fan(&w, &f, 3000);
	ASSERT_EQ(f.source.open(&f.source, &plan, &scan), 0);
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_SCAN_DONE;
	m.scan_done = &done;
	for (uint64_t guess = 0; guess < 100; guess++) { /* ids near by, as an attacker would */
		done.id = clock_unix_ns() + guess;
		send_message(fd, &m);
	}
	close(fd);
	while ((have = scan->ops->next(scan, &b)) == 1)
		rows += b.n_rows;
	EXPECT_EQ(have, 0);
	EXPECT_EQ(rows, 5000);
	scan->ops->close(scan);
	ASSERT_EQ(f.missing.n, 1);
	EXPECT_STR(f.missing.v[0], "mallory");
	fan_done(&f);
	world_end(&w);
}

/* The uplink against a collector that sends nonsense: it hangs up and dials again. */
static void test_stream__hostile_collector(void)
{
	static const uint8_t junk[] = { 0, 0, 0, 0, 3, 0xff, 0xff, 0xff };
	const struct listen_opts opts = { 0600, (uid_t)-1, (gid_t)-1, (uid_t)-1 };
	char dir[] = "/tmp/kelpie-test-stream-XXXXXX", path[100], why[200];
	struct world w = { 0 };
	struct uplink_config cfg = { .node = "alpha", .epoch = 1, .ops = &ops, .ctx = &w };
	struct listener l;
	struct uplink *u = NULL;

	ASSERT(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "unix:%s/s", dir);
	ASSERT_EQ(listener_open(path, &opts, &l, why, sizeof(why)), 0);
	memsource_init(&w.sources[0], "alpha", 10, BASE_NS, 1);
	cfg.source = &w.sources[0].source;
	cfg.socket_path = path + strlen("unix:");
	ASSERT_EQ(uplink_start(&cfg, &u), 0);
	for (int round = 0; round < 2; round++) {
		struct pollfd p = { .fd = l.fd, .events = POLLIN };
		int fd;

		ASSERT_EQ(poll(&p, 1, 5000), 1);
		fd = accept4(l.fd, NULL, NULL, SOCK_CLOEXEC);
		ASSERT(fd >= 0);
		EXPECT_EQ(write(fd, junk, sizeof(junk)), (ssize_t)sizeof(junk));
		EXPECT(hangs_up(fd));
		close(fd);
	}
	EXPECT(!uplink_connected(u));
	uplink_stop(u);
	listener_close(&l);
	rmdir(dir);
}

static void test_stream__sockets(void)
{
	const struct listen_opts opts = { 0600, (uid_t)-1, (gid_t)-1, (uid_t)-1 };
	char dir[] = "/tmp/kelpie-test-stream-XXXXXX", path[100], why[300];
	struct listener a, b;
	struct stat st;

	ASSERT(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "unix:%s/sub/s", dir);
	ASSERT_EQ(listener_open(path, &opts, &a, why, sizeof(why)), 0);
	EXPECT_EQ(stat(path + 5, &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0600);
	EXPECT_EQ(listener_open(path, &opts, &b, why, sizeof(why)), -EADDRINUSE);
	EXPECT(strstr(why, "running instance") != NULL);
	close(a.fd); /* died without removing it */
	a.fd = -1;
	ASSERT_EQ(listener_open(path, &opts, &b, why, sizeof(why)), 0);
	listener_close(&a); /* not its file any more */
	EXPECT_EQ(stat(path + 5, &st), 0);
	listener_close(&b);
	EXPECT_EQ(stat(path + 5, &st), -1);
	EXPECT_EQ(listener_open("unix:relative", &opts, &b, why, sizeof(why)), -EINVAL);
	EXPECT_EQ(listener_open("example.org:80", &opts, &b, why, sizeof(why)), -EINVAL);
	EXPECT_EQ(listener_open("127.0.0.1:99999", &opts, &b, why, sizeof(why)), -EINVAL);
	ASSERT_EQ(listener_open("127.0.0.1:0", &opts, &a, why, sizeof(why)), 0);
	EXPECT(a.port != 0);
	snprintf(path, sizeof(path), "127.0.0.1:%u", a.port);
	EXPECT_STR(a.text, path);
	EXPECT_EQ(listener_open(path, &opts, &b, why, sizeof(why)), -EADDRINUSE);
	listener_close(&a);
	snprintf(path, sizeof(path), "%s/sub", dir);
	rmdir(path);
	rmdir(dir);
}

TEST_MAIN(TEST(test_stream__one_agent), TEST(test_stream__three_agents_in_order),
	  TEST(test_stream__predicates_travel), TEST(test_stream__nobody_there),
	  TEST(test_stream__one_hangs), TEST(test_stream__all_fail),
	  TEST(test_stream__agent_goes_and_is_remembered),
	  TEST(test_stream__cancel_reaches_the_source), TEST(test_stream__slow_reader_is_alone),
	  TEST(test_stream__many_small_batches), TEST(test_stream__busy_is_said),
	  TEST(test_stream__tail), TEST(test_stream__a_costly_filter_is_cheap_or_refused),
	  TEST(test_stream__status_losses_control), TEST(test_stream__hostile_agents),
	  TEST(test_stream__hostile_status), TEST(test_stream__foreign_answers),
	  TEST(test_stream__hostile_collector), TEST(test_stream__sockets))

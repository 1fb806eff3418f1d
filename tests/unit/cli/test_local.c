/* A data directory read in this process: rows that storage wrote come back through --data-dir, with
 * the filters, parameters, ranges and coverage that a running Kelpie gives. */
#include "cli/interrupt.h"
#include "cli/source.h"
#include "cli/sqlgen.h"
#include "cli/views.h"

#include "protocols/record.h"
#include "storage/store.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#define ROWS 500
#define T0   (1772619630 * NSEC_PER_SEC)

static char dir[] = "/tmp/kelpie-test-local.XXXXXX";

static void remove_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		(void)!unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

static void append_row(struct store *s, unsigned int i)
{
	static struct row_builder b;
	static _Alignas(8) uint8_t row[ROW_MAX];
	uint64_t end = T0 + i * 10 * NSEC_PER_MSEC;
	struct slice service = i % 2 ? SLICE_LIT("orders") : SLICE_LIT("shop");
	struct row checked;
	size_t n;

	row_begin(&b, TABLE_HTTP);
	row_int(&b, COL_TIME, (int64_t)(end - i * NSEC_PER_USEC));
	row_int(&b, COL_END_TIME, (int64_t)end);
	row_int(&b, COL_LATENCY_NS, (int64_t)(i * NSEC_PER_USEC));
	row_text(&b, COL_PROTOCOL, SLICE_LIT("http"));
	row_text(&b, COL_METHOD, SLICE_LIT("GET"));
	row_text(&b, COL_RESOURCE, SLICE_LIT("/a/\x1b[2J"));
	row_text(&b, COL_HTTP_PATH, SLICE_LIT("/a/1"));
	row_int(&b, COL_STATUS_CODE, i % 100 ? 200 : 503);
	row_text(&b, COL_STATUS, i % 100 ? SLICE_LIT("200") : SLICE_LIT("503"));
	row_int(&b, COL_FAILED, i % 100 == 0);
	row_text(&b, COL_CLIENT_NAME, SLICE_LIT("curl"));
	row_text(&b, COL_SERVER_NAME, service);
	row_int(&b, COL_IS_PRIMARY, 1);
	n = row_end(&b, i + 1, end, row, sizeof(row));
	EXPECT(n > 0);
	EXPECT(row_check(slice_of(row, n), &checked) == 0 && store_append(s, &checked) == 0);
}

#define RUN_FROM (T0 - 10 * NSEC_PER_SEC)
#define RUN_TO	 (T0 + 10 * NSEC_PER_SEC)

/* What the agent's ledger says at the end. */
static void end_run(struct store *s, uint64_t lost)
{
	struct epoch_line l = { .hop = 7,
				.kind = EPOCH_LOSS,
				.stage = "join",
				.counter = "queue_full",
				.unit = "rows",
				.value = lost };

	EXPECT_EQ(store_ledger(s, &l, 1, RUN_TO, true), 0);
}

static bool fill(void)
{
	struct store_opts o;
	struct store_diag diag = { 0 };
	struct store *s;

	store_opts_init(&o);
	o.dir = dir;
	o.node = "n1";
	o.epoch = RUN_FROM;
	o.retention_bytes = 64 * MIB;
	o.reserve_bytes = 0;
	if (!EXPECT_EQ(store_open(&o, T0, NSEC_PER_SEC, &s, &diag), 0)) {
		printf("# %s\n", diag.text);
		return false;
	}
	for (unsigned int i = 0; i < ROWS; i++)
		append_row(s, i);
	end_run(s, 0);
	store_close(s);
	return true;
}

struct seen {
	uint64_t rows;
	int64_t first; /* of the first cell */
	char coverage[2048];
	struct answer_col cols[ANSWER_COLS_MAX];
};

static int on_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	struct seen *s = ctx;

	memcpy(s->cols, cols, n * sizeof(*cols));
	return 0;
}

static int on_row(void *ctx, const struct datum *cells)
{
	struct seen *s = ctx;

	if (!s->rows++ && cells[0].kind == DATUM_INT)
		s->first = cells[0].i;
	return 0;
}

static int on_coverage(void *ctx, struct slice json)
{
	struct seen *s = ctx;

	snprintf(s->coverage, sizeof(s->coverage), "%.*s", (int)json.n, (const char *)json.p);
	return 0;
}

static struct seen seen;

static int ask(const struct question *q, struct trouble *t)
{
	struct options o = { .data_dir = dir };
	struct answer_sink sink = { &seen, on_columns, on_row, on_coverage, NULL };
	struct source *source;
	int r;

	seen = (struct seen){ 0 };
	r = source_open(&o, &source, t);
	if (r == 0) {
		r = source_ask(source, q, &sink, t);
		source_free(source);
	}
	return r;
}

static int ask_text(const char *sql, struct trouble *t)
{
	struct question q;
	int r;

	question_init(&q);
	strbuf_adds(&q.sql, sql);
	q.is_default = true;
	r = ask(&q, t);
	question_done(&q);
	return r;
}

static void test_local__counts(void)
{
	struct trouble t;

	ASSERT_EQ(ask_text("SELECT count(*) FROM http", &t), 0);
	EXPECT_EQ(seen.first, ROWS);
	EXPECT(strstr(seen.coverage, "\"complete\":true") != NULL);
	ASSERT_EQ(ask_text("SELECT end_time, latency_ns FROM requests", &t), 0);
	EXPECT_EQ(seen.rows, ROWS);
	EXPECT_EQ(seen.cols[0].shape, SHAPE_TIME);
	EXPECT_EQ(seen.cols[1].shape, SHAPE_DURATION);
}

static void test_local__filters(void)
{
	static const struct filter filters[] = { { .kind = FILTER_SERVICE, .value = "shop" },
						 { .kind = FILTER_STATUS, .value = "5xx" } };
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(1024);
	struct options o = { .n_filters = 2 };
	struct question q;
	struct trouble t;

	memcpy(o.filters, filters, sizeof(filters));
	question_init(&q);
	ASSERT_EQ(sqlgen_slow(&q, &o, &why), 0);
	ASSERT_EQ(ask(&q, &t), 0);
	EXPECT_EQ(seen.rows, 5); /* every hundredth row, all of them with an even number */
	o.filters[1].negate = true;
	question_done(&q);
	question_init(&q);
	o.limit = 1000;
	ASSERT_EQ(sqlgen_slow(&q, &o, &why), 0);
	ASSERT_EQ(ask(&q, &t), 0);
	EXPECT_EQ(seen.rows, ROWS / 2 - 5);
	question_done(&q);
}

static void test_local__top_and_errors(void)
{
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(1024);
	struct options o = { 0 };
	struct question q;
	struct trouble t;

	question_init(&q);
	ASSERT_EQ(sqlgen_top(&q, &o, 5 * NSEC_PER_SEC, false, &why), 0);
	if (!EXPECT_EQ(ask(&q, &t), 0))
		printf("# %s\n", t.message);
	EXPECT_EQ(seen.rows, 2);
	question_done(&q);
	question_init(&q);
	ASSERT_EQ(sqlgen_errors(&q, &o, &why), 0);
	if (!EXPECT_EQ(ask(&q, &t), 0))
		printf("# %s\n", t.message);
	EXPECT_EQ(seen.rows, 5);
	question_done(&q);
	question_init(&q);
	ASSERT_EQ(sqlgen_conns(&q, &o, &why), 0);
	if (!EXPECT_EQ(ask(&q, &t), 0))
		printf("# %s\n", t.message);
	question_done(&q);
}

/* An endless statement ends at a signal, not after ten minutes. */
static void test_local__interrupted(void)
{
	struct question q;
	struct trouble t;

	question_init(&q);
	strbuf_adds(&q.sql, "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
			    "SELECT count(*) FROM r");
	ASSERT_EQ(interrupt_install(), 0);
	ASSERT_EQ(raise(SIGTERM), 0);
	EXPECT_EQ(ask(&q, &t), -EINTR);
	interrupt_clear();
	question_done(&q);
}

static void test_local__range(void)
{
	struct question q;
	struct trouble t;

	question_init(&q);
	strbuf_adds(&q.sql, "SELECT count(*) FROM requests");
	q.from_ns = T0 + NSEC_PER_SEC;
	q.to_ns = T0 + 2 * NSEC_PER_SEC;
	ASSERT_EQ(ask(&q, &t), 0);
	EXPECT_EQ(seen.first, 101);
	q.from_ns = T0 + 3600 * NSEC_PER_SEC;
	q.to_ns = UINT64_MAX;
	ASSERT_EQ(ask(&q, &t), 0);
	EXPECT_EQ(seen.first, 0);
	question_done(&q);
}

static void test_local__wrong(void)
{
	struct trouble t;

	EXPECT(ask_text("SELECT nope FROM http", &t) < 0);
	EXPECT_EQ(t.code, EXIT_ERROR);
	EXPECT(strstr(t.message, "nope") != NULL);
	EXPECT(ask_text("DELETE FROM http", &t) < 0);
	EXPECT(ask_text("SELECT load_extension('x')", &t) < 0);
}

/* Files that once were an agent's know what it lost, and admit when nobody knows. */
static void test_local__ledger(void)
{
	struct trouble t;
	struct store_opts o;
	struct store_diag diag;
	struct store *s;
	char name[40];
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	ASSERT_EQ(ask_text("SELECT value FROM kelpie_ledger WHERE counter = 'queue_full'", &t), 0);
	EXPECT_EQ(seen.first, 0);
	ASSERT_EQ(ask_text("SELECT count(*) FROM requests", &t), 0);
	EXPECT(strstr(seen.coverage, "\"complete\":true") != NULL);

	store_opts_init(&o);
	o.dir = dir;
	o.node = "n1";
	o.epoch = RUN_FROM;
	ASSERT_EQ(store_open(&o, T0, NSEC_PER_SEC, &s, &diag), 0);
	end_run(s, 3);
	store_close(s);
	ASSERT_EQ(ask_text("SELECT loss_count FROM kelpie_ledger_balance WHERE stage = 'join'", &t),
		  0);
	EXPECT_EQ(seen.first, 3);
	ASSERT_EQ(ask_text("SELECT count(*) FROM requests", &t), 0);
	EXPECT(strstr(seen.coverage, "\"complete\":false") != NULL);
	EXPECT(strstr(seen.coverage, "\"lost\":3") != NULL);
	EXPECT(strstr(seen.coverage, "not known") == NULL);

	snprintf(name, sizeof(name), "%llx.ledger", (unsigned long long)RUN_FROM);
	EXPECT_EQ(unlinkat(fd, name, 0), 0);
	ASSERT_EQ(ask_text("SELECT count(*) FROM requests", &t), 0);
	EXPECT_EQ(seen.first, ROWS);
	EXPECT(strstr(seen.coverage, "\"complete\":false") != NULL);
	EXPECT(strstr(seen.coverage, "not known to be complete") != NULL);
	close(fd);
}

static void test_local__fill(void)
{
	ASSERT(mkdtemp(dir) != NULL);
	atexit(remove_dir);
	fill();
}

TEST_MAIN(TEST(test_local__fill), TEST(test_local__counts), TEST(test_local__filters),
	  TEST(test_local__top_and_errors), TEST(test_local__interrupted), TEST(test_local__range),
	  TEST(test_local__wrong), TEST(test_local__ledger))

#include "rows.h"

#include "query/sandbox.h"
#include "query/worker.h"
#include "query/worker_msg.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct worker_pool *pool;
static struct mem_source source;

static void test_worker__setup(void)
{
	ASSERT_EQ(worker_pool_new(NULL, &pool), 0);
	mem_source_init(&source);
	rows_fill(&source, 300, 5);
}

static void ask_worker(const struct query *q, struct answer *ret)
{
	struct query_sink sink;

	answer_sink(ret, &sink);
	ret->result = worker_run(pool, &source.base, q, &sink, &ret->cov, &ret->error);
}

/* A child gives what the process itself would. */
static void test_worker__same_as_in_process(void)
{
	static const char *const statements[] = {
		"SELECT * FROM http ORDER BY end_time",
		"SELECT method, count(*), ms(p99(latency_ns)), NULL, 1.5, x'00ff' FROM http GROUP "
		"BY 1",
		"SELECT h.id, c.state FROM http h LEFT JOIN connections c USING (conn_id) ORDER BY "
		"1, 2",
		"SELECT id FROM http ORDER BY end_time DESC LIMIT 3",
		"SELECT path FROM http WHERE path = 'nothing'",
		"SELECT nope FROM http",
		"SELECT count(*) FROM http WHERE time > 'x'",
		"PRAGMA user_version",
		"SELECT response_body FROM http WHERE host = :host ORDER BY end_time",
	};
	struct query_param params[] = { { "host",
					  { .kind = VALUE_TEXT, .text = SLICE_LIT("shop") } } };
	struct query_conn *conn;

	ASSERT_EQ(query_open(&source.base, &conn), 0);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		struct query q = { .sql = slice_str(statements[i]),
				   .range = { 0, UINT64_MAX, true },
				   .params = params,
				   .n_params = 1,
				   .now_ns = T0 + 3600000000000LL };
		struct strbuf want_json = STRBUF_INIT(65536), got_json = STRBUF_INIT(65536);
		struct answer want, got;

		ask_query(conn, &q, &want);
		ask_worker(&q, &got);
		EXPECT_EQ(got.result, want.result);
		EXPECT_STR(strbuf_str(&got.text), strbuf_str(&want.text));
		EXPECT_STR(strbuf_str(&got.names), strbuf_str(&want.names));
		EXPECT_STR(got.error.code, want.error.code);
		EXPECT_STR(got.error.message, want.error.message);
		EXPECT_STR(got.error.hint, want.error.hint);
		EXPECT_EQ(got.error.position, want.error.position);
		query_coverage_json(&want.cov, &want_json);
		query_coverage_json(&got.cov, &got_json);
		EXPECT_STR(strbuf_str(&got_json), strbuf_str(&want_json));
		strbuf_done(&want_json);
		strbuf_done(&got_json);
		answer_done(&want);
		answer_done(&got);
	}
	query_close(conn);
	EXPECT_EQ(source.open_scans, 0);
}

static void test_worker__out_of_memory(void)
{
	struct query q = {
		.sql = SLICE_LIT("SELECT count(DISTINCT hex(zeroblob(200000)) || a.id || b.id) "
				 "FROM http a, http b"),
		.range = { 0, UINT64_MAX, true },
		.limits = { .memory_bytes = 64 * MIB, .timeout_ns = 20 * NSEC_PER_SEC }
	};
	struct answer a;

#ifdef __SANITIZE_ADDRESS__
	test_skip("the address sanitizer needs all of the address space");
	return;
#endif
	ask_worker(&q, &a);
	EXPECT_EQ(a.result, -ENOMEM);
	EXPECT_STR(a.error.code, "memory");
	EXPECT(a.error.hint[0]);
	EXPECT(!a.cov.complete);
	answer_done(&a);
	EXPECT_EQ(source.open_scans, 0);
}

static void test_worker__deadline(void)
{
	struct query q = { .sql = SLICE_LIT(
				   "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
				   "FROM r) SELECT count(*) FROM r"),
			   .limits.timeout_ns = 100 * NSEC_PER_MSEC };
	struct answer a;

	ask_worker(&q, &a);
	EXPECT_EQ(a.result, -ETIME);
	EXPECT_STR(a.error.code, "timeout");
	answer_done(&a);
	/* One instruction of SQLite that runs for seconds: only a signal ends it. */
	q.sql = SLICE_LIT("SELECT instr(replace(hex(zeroblob(900000)), '0', 'a'), "
			  "replace(hex(zeroblob(450000)), '0', 'a') || 'b')");
	ask_worker(&q, &a);
	EXPECT_EQ(a.result, -ETIME);
	EXPECT_STR(a.error.code, "timeout");
	answer_done(&a);
}

static int slow_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	const struct timespec pause = { 0, 500000000 };

	(void)src;
	nanosleep(&pause, NULL);
	return source.base.open(&source.base, plan, ret);
}

/* A source that does not notice: the child is killed when the parent does. */
static void test_worker__slow_source(void)
{
	struct scan_source slow = { slow_open };
	struct query q = { .sql = SLICE_LIT("SELECT count(*) FROM http"),
			   .range = { 0, UINT64_MAX, true },
			   .limits.timeout_ns = 50 * NSEC_PER_MSEC };
	struct query_sink sink;
	struct answer a;

	answer_sink(&a, &sink);
	a.result = worker_run(pool, &slow, &q, &sink, &a.cov, &a.error);
	EXPECT_EQ(a.result, -ETIME);
	EXPECT_STR(a.error.code, "timeout");
	answer_done(&a);
	EXPECT_EQ(source.open_scans, 0);
}

static void *cancel_soon(void *flag)
{
	const struct timespec pause = { 0, 50000000 };

	nanosleep(&pause, NULL);
	atomic_store((atomic_bool *)flag, true);
	return NULL;
}

static void test_worker__cancel(void)
{
	atomic_bool cancel = false;
	struct query q = { .sql = SLICE_LIT(
				   "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
				   "FROM r) SELECT count(*) FROM r"),
			   .cancel = &cancel };
	struct answer a;
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
	ask_worker(&q, &a);
	EXPECT_EQ(a.result, -ECANCELED);
	EXPECT_STR(a.error.code, "cancelled");
	answer_done(&a);
	pthread_join(thread, NULL);
}

static void *ask_often(void *arg)
{
	struct mem_source mine;
	long wrong = 0;

	(void)arg;
	mem_source_init(&mine);
	rows_fill(&mine, 20, 8);
	for (int i = 0; i < 20; i++) {
		struct query q = { .sql = SLICE_LIT("SELECT count(*) FROM http"),
				   .range = { 0, UINT64_MAX, true } };
		struct query_sink sink;
		struct answer a;

		answer_sink(&a, &sink);
		wrong += worker_run(pool, &mine.base, &q, &sink, &a.cov, &a.error) != 0 ||
			 strcmp(strbuf_str(&a.text), "20\n") != 0;
		answer_done(&a);
	}
	mem_source_done(&mine);
	return (void *)wrong;
}

static void test_worker__many_threads(void)
{
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, ask_often, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *wrong = NULL;

		pthread_join(threads[i], &wrong);
		EXPECT(wrong == NULL);
	}
}

static void test_worker__source_failure(void)
{
	struct query q = { .sql = SLICE_LIT("SELECT count(path) FROM http"),
			   .range = { 0, UINT64_MAX, true } };
	struct answer a;

	source.fail_with = -EIO;
	ask_worker(&q, &a);
	source.fail_with = 0;
	EXPECT_EQ(a.result, -EIO);
	EXPECT_STR(a.error.code, "source");
	answer_done(&a);
}

static int refuse_row(void *ctx, const struct query_cell *cells, size_t n)
{
	(void)ctx;
	(void)cells;
	(void)n;
	return -EPIPE;
}

static int accept_columns(void *ctx, const struct query_column *cols, size_t n)
{
	(void)ctx;
	(void)cols;
	(void)n;
	return 0;
}

static void test_worker__sink_failure(void)
{
	struct query q = { .sql = SLICE_LIT("SELECT path FROM http"),
			   .range = { 0, UINT64_MAX, true } };
	struct query_sink sink = { NULL, accept_columns, refuse_row };
	struct query_coverage cov;
	struct query_error e;

	EXPECT_EQ(worker_run(pool, &source.base, &q, &sink, &cov, &e), -EPIPE);
	EXPECT_STR(e.code, "sink");
	query_coverage_done(&cov);
	EXPECT_EQ(source.open_scans, 0);
}

/* What each attempt in the sandbox ends with: the exit status, or minus the signal. */
static int attempt(void (*fn)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (sandbox_enter(sandbox_filter(), sandbox_memory_in_use() + 256 * MIB, 10) < 0)
			_exit(99);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void try_open(void)
{
	_exit(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? 1 : 2);
}

static void try_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void try_fork(void)
{
	fork();
}

static void try_exec(void)
{
	execl("/bin/true", "true", NULL);
}

static void try_exec_memory(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_kill(void)
{
	kill(getppid(), 0);
}

static void test_worker__sandbox(void)
{
	EXPECT_EQ(attempt(try_open), 1);
	EXPECT_EQ(attempt(try_socket), -SIGSYS);
	EXPECT_EQ(attempt(try_fork), -SIGSYS);
	EXPECT_EQ(attempt(try_exec), -SIGSYS);
	EXPECT_EQ(attempt(try_exec_memory), -SIGSYS);
	EXPECT_EQ(attempt(try_kill), -SIGSYS);
}

/* Messages cut short anywhere are refused. */
static void test_worker__messages_are_checked(void)
{
	struct query_param params[] = { { "a", { .kind = VALUE_INT, .i = -5 } },
					{ "b", { .kind = VALUE_TEXT, .text = SLICE_LIT("x") } } };
	struct query q = { .sql = SLICE_LIT("SELECT 1"), .params = params, .n_params = 2 }, back;
	struct query_param *got = NULL;
	struct query_coverage cov = { .rows = 5 }, cov_back;
	struct query_error e = { .code = "limit", .position = 7 }, e_back;
	struct strbuf out = STRBUF_INIT(65536);
	int result;

	msg_put_query(&out, &q);
	ASSERT_EQ(msg_get_query(strbuf_slice(&out), &back, &got), 0);
	EXPECT_STR(back.params[1].name, "b");
	EXPECT_EQ(back.params[0].value.i, -5);
	free(got);
	for (size_t n = 0; n < out.len; n++)
		EXPECT_EQ(msg_get_query(slice_of(out.p, n), &back, &got), -EBADMSG);
	strbuf_reset(&out);
	query_list_add(&cov.notes, "note");
	msg_put_done(&out, -EINVAL, &cov, &e);
	EXPECT_EQ(msg_get_done(strbuf_slice(&out), &result, &cov_back, &e_back), 0);
	EXPECT_EQ(result, -EINVAL);
	EXPECT_EQ(e_back.position, 7);
	EXPECT_EQ(cov_back.notes.n, 1);
	query_coverage_done(&cov_back);
	for (size_t n = 0; n < out.len; n++) {
		EXPECT_EQ(msg_get_done(slice_of(out.p, n), &result, &cov_back, &e_back), -EBADMSG);
		query_coverage_done(&cov_back);
	}
	query_coverage_done(&cov);
	strbuf_done(&out);
}

static void test_worker__teardown(void)
{
	worker_pool_free(pool);
	mem_source_done(&source);
}

TEST_MAIN(TEST(test_worker__setup), TEST(test_worker__same_as_in_process),
	  TEST(test_worker__out_of_memory), TEST(test_worker__deadline),
	  TEST(test_worker__slow_source), TEST(test_worker__cancel),
	  TEST(test_worker__many_threads), TEST(test_worker__source_failure),
	  TEST(test_worker__sink_failure), TEST(test_worker__sandbox),
	  TEST(test_worker__messages_are_checked), TEST(test_worker__teardown))

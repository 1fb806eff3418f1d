/* kill -9 at random moments of ingest, sealing, retention and queries: every row that was flushed
 * before the kill is there after it, no (epoch, seq) twice, and the store opens within 2 s.
 * KELPIE_KILLS: how often (default 60).
 */
#include "tests/unit/storage/fixture.h"

#include "base/text.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

static struct {
	_Atomic uint64_t acked; /* rows whose flush returned */
	_Atomic uint64_t appended;
	_Atomic uint64_t expired; /* rows deleted by retention in this run */
} * shared;

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static uint64_t env_number(const char *name, uint64_t usual)
{
	const char *env = getenv(name);
	uint64_t v = usual;

	if (env)
		(void)parse_u64(slice_str(env), &v);
	return v;
}

/* The child: rows 1, 2, 3, ... of its epoch until it is killed. */
static _Noreturn void ingest(struct fixture *f)
{
	static struct row_builder b;
	static _Alignas(8) uint8_t out[4096];
	uint64_t seq = 0;

	if (!fixture_open(f))
		_exit(1);
	for (int i = 0;; i++) {
		struct row row;
		size_t n;

		row_begin(&b, TABLE_HTTP);
		row_int(&b, COL_LATENCY_NS, (int64_t)(seq * 31 % 1000));
		row_text(&b, COL_SERVER_NAME, SLICE_LIT("shop"));
		row_text(&b, COL_HTTP_REQUEST_BODY, SLICE_LIT("{\"a body\":\"of some length\"}"));
		n = row_end(&b, ++seq, f->now += 1000, out, sizeof(out));
		if (row_check(slice_of(out, n), &row) < 0 || store_append(f->s, &row) < 0)
			_exit(2);
		if (i % 37)
			continue;
		f->boot += NSEC_PER_SEC;
		store_tick(f->s, f->now += NSEC_PER_SEC, f->boot);
		shared->acked = seq;
		shared->expired = counters_of(f->s).rows_expired;
		if (i % 370 == 0) {
			struct scan_plan plan;
			struct scan_coverage cov;
			char *text = NULL;

			model_plan_all(&plan);
			plan.limit = 50;
			(void)model_run(store_source(f->s), &plan, &cov, &text);
			free(text);
		}
	}
}

/* Reads every (epoch, seq); true when no epoch has one twice and, unless rows were expired, each
 * has at least its acknowledged rows. */
static bool rows_are_right(struct fixture *f, const uint64_t *acked, size_t n_epochs, bool expires)
{
	static const uint16_t cols[] = { COL_EPOCH, COL_SEQ };
	struct scan_plan plan = {
		.table = TABLE_HTTP, .to_ns = UINT64_MAX, .cols = cols, .n_cols = 2
	};
	struct scan_source *src = store_source(f->s);
	uint64_t *seen = calloc(n_epochs, sizeof(*seen)), *last = calloc(n_epochs, sizeof(*last));
	struct scan_coverage cov;
	struct scan_batch batch;
	struct scan *scan;
	bool ok = EXPECT_EQ(src->open(src, &plan, &scan), 0);

	while (ok && scan_next(scan, &batch) == 1) {
		for (size_t i = 0; i < batch.n_rows && ok; i++) {
			uint64_t epoch = (uint64_t)batch.cols[0].ints[i] - 42;
			uint64_t seq = (uint64_t)batch.cols[1].ints[i];

			ok = EXPECT(epoch < n_epochs) &&
			     EXPECT(seq == last[epoch] + 1 || (expires && !last[epoch]));
			if (ok) {
				last[epoch] = seq;
				seen[epoch]++;
			}
		}
	}
	scan_coverage(scan, &cov);
	scan_close(scan);
	ok &= EXPECT_EQ(cov.segments_bad, 0);
	for (size_t i = 0; i < n_epochs && ok; i++)
		ok &= EXPECT(acked[i] == 0 || last[i] >= acked[i] || (expires && seen[i] == 0));
	free(seen);
	free(last);
	return ok;
}

static void kill_loop(uint64_t kills, bool expires)
{
	struct fixture f;
	uint64_t *acked = calloc(2 * kills + 2, sizeof(*acked)), slowest = 0, total = 0;
	bool ok = true;

	fixture_init(&f, 1);
	f.o.flush_rows = 500;
	f.o.bucket_bytes = 40 * KIB;
	f.o.sync_ns = 0;
	if (expires)
		f.o.retention_bytes = f.o.payload_bytes = 150 * KIB;
	for (uint64_t i = 0; i < kills && ok; i++) {
		uint64_t t, us = 500 + model_random(&f.m, 30000);
		pid_t pid;
		int status;

		shared->acked = 0;
		pid = fork();
		if (pid == 0)
			ingest(&f);
		f.epoch++;
		f.now += 1000 * NSEC_PER_SEC; /* later than anything the child wrote */
		usleep((useconds_t)us);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		ok &= EXPECT(WIFSIGNALED(status));
		acked[f.epoch - 42] = shared->acked;
		total += shared->acked;
		t = monotonic_ns();
		ok &= EXPECT(fixture_open(&f));
		slowest = MAX(slowest, monotonic_ns() - t);
		ok = ok && EXPECT_EQ(counters_of(f.s).files_bad, 0) &&
		     EXPECT_EQ(counters_of(f.s).rows_damaged, 0) && law_holds(f.s) &&
		     rows_are_right(&f, acked, 2 * kills + 2, expires);
		store_close(f.s);
		f.s = NULL;
	}
	printf("# %llu kills, %llu rows acknowledged, slowest open %.1f ms\n",
	       (unsigned long long)kills, (unsigned long long)total, (double)slowest / 1e6);
	EXPECT(total > kills);
	EXPECT(slowest < 2 * NSEC_PER_SEC);
	free(acked);
	fixture_done(&f);
}

static void test_kill__acked_rows_stay(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	kill_loop(env_number("KELPIE_KILLS", 60), false);
}

static void test_kill__with_retention(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	kill_loop(env_number("KELPIE_KILLS", 60) / 2, true);
}

TEST_MAIN(TEST(test_kill__acked_rows_stay), TEST(test_kill__with_retention))

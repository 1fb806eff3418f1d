/* The store against a plain array of rows: every type, NULL pattern, predicate, order and limit, over
 * rows in the builder, in logs, in sealed files, after restarts.
 */
#include "tests/lib/test.h"
#include "tests/unit/storage/model.h"

#include "base/util.h"

#include <stdio.h>

#define START_NS (1700000000 * NSEC_PER_SEC)

struct fixture {
	char dir[256];
	struct store *s;
	struct store_opts o;
	struct model m;
	uint64_t now, boot;
	uint64_t epoch;
};

static bool open_again(struct fixture *f)
{
	struct store_diag diag;

	f->o.dir = f->dir;
	f->o.node = "node-1";
	f->o.epoch = ++f->epoch;
	model_forget_syms();
	if (store_open(&f->o, f->now, f->boot, &f->s, &diag) == 0)
		return true;
	printf("  %s\n", diag.text);
	return false;
}

static bool setup(struct fixture *f, uint64_t seed)
{
	*f = (struct fixture){ .now = START_NS, .boot = 5 * NSEC_PER_SEC, .epoch = 41 };
	store_opts_init(&f->o);
	f->o.reserve_bytes = 0;
	f->o.sync_ns = 0;
	model_init(&f->m, seed);
	temp_dir(f->dir, sizeof(f->dir));
	return open_again(f);
}

static void teardown(struct fixture *f)
{
	store_close(f->s);
	model_done(&f->m);
	remove_dir(f->dir);
}

static void pass_time(struct fixture *f, uint64_t ns)
{
	f->now += ns;
	f->boot += ns;
	store_tick(f->s, f->now, f->boot);
}

/* n rows, mostly in order, some late. */
static void add_rows(struct fixture *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t late = model_random(&f->m, 10) ? 0 : model_random(&f->m, 3 * NSEC_PER_SEC);

		f->now += model_random(&f->m, 3) * NSEC_PER_MSEC;
		f->boot += NSEC_PER_MSEC;
		EXPECT_EQ(model_append(&f->m, f->s, f->now - late, f->epoch), 0);
	}
}

static bool law_holds(struct store *s)
{
	struct store_counters c;
	bool ok;

	store_counters(s, &c);
	ok = EXPECT_EQ(c.rows_in, c.rows_written + c.rows_held + c.rows_rejected + c.rows_lost);
	ok &= EXPECT_EQ(c.rows_found + c.rows_written, c.rows_stored + c.rows_expired + c.rows_damaged);
	return ok;
}

static void test_store__round_trip(void)
{
	struct fixture f;
	struct scan_plan plan;

	ASSERT(setup(&f, 1));
	model_plan_all(&plan);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	add_rows(&f, 3000);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	EXPECT_EQ(store_flush(f.s), 0);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	law_holds(f.s);
	store_close(f.s);
	ASSERT(open_again(&f));
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	plan.newest_first = true;
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	teardown(&f);
}

/* A long random life: appends, ticks, restarts, seals, and after each step random questions. */
static void life(uint64_t seed, uint32_t flush_rows, uint64_t bucket_bytes, int steps)
{
	struct fixture f;
	struct store_reader *r;
	struct store_diag diag;
	struct scan_plan plan;

	ASSERT(setup(&f, seed));
	store_close(f.s);
	f.o.flush_rows = flush_rows;
	f.o.bucket_bytes = bucket_bytes;
	ASSERT(open_again(&f));
	for (int i = 0; i < steps; i++) {
		add_rows(&f, model_random(&f.m, 900));
		switch (model_random(&f.m, 6)) {
		case 0:
			EXPECT_EQ(store_flush(f.s), 0);
			break;
		case 1:
			store_close(f.s);
			ASSERT(open_again(&f));
			break;
		case 2:
			store_sym_reset(f.s);
			model_forget_syms();
			break;
		default:
			for (uint64_t n = model_random(&f.m, 4); n > 0; n--)
				pass_time(&f, model_random(&f.m, 2 * NSEC_PER_SEC));
		}
		law_holds(f.s);
		for (int q = 0; q < 6; q++) {
			model_plan(&f.m, &plan);
			if (!EXPECT(model_agrees(&f.m, store_source(f.s), &plan))) {
				printf("  seed %llu step %d question %d\n", (unsigned long long)seed, i, q);
				teardown(&f);
				return;
			}
		}
	}
	EXPECT_EQ(store_flush(f.s), 0);
	ASSERT_EQ(store_reader_open(f.dir, &r, &diag), 0);
	EXPECT(store_reader_is_live(r));
	for (int q = 0; q < 20; q++) {
		model_plan(&f.m, &plan);
		EXPECT(model_agrees(&f.m, store_reader_source(r), &plan));
	}
	store_reader_close(r);
	teardown(&f);
}

static void test_store__life_big_segments(void)
{
	for (uint64_t seed = 10; seed < 13; seed++)
		life(seed, 4096, 0, 12);
}

static void test_store__life_small_segments(void)
{
	for (uint64_t seed = 20; seed < 24; seed++)
		life(seed, 100, 60 * KIB, 15);
}

static void test_store__life_tiny_buckets(void)
{
	for (uint64_t seed = 30; seed < 33; seed++)
		life(seed, 37, 1, 6);
}

TEST_MAIN(TEST(test_store__round_trip), TEST(test_store__life_big_segments),
	  TEST(test_store__life_small_segments), TEST(test_store__life_tiny_buckets))

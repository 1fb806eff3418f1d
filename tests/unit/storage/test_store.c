/* The store against a plain array of rows: every type, NULL pattern, predicate, order and limit,
 * over rows in the builder, in logs, in sealed files, after restarts.
 */
#include "tests/unit/storage/fixture.h"

#include "base/util.h"
#include "tests/lib/test.h"

#include <stdio.h>

static void test_store__round_trip(void)
{
	struct fixture f;
	struct scan_plan plan;

	fixture_init(&f, 1);
	ASSERT(fixture_open(&f));
	model_plan_all(&plan);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	add_rows(&f, 3000);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	pass_time(&f, NSEC_PER_SEC); /* now they are in the log and in the builder */
	EXPECT_EQ(counters_of(f.s).rows_held, 0);
	add_rows(&f, 10);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	EXPECT_EQ(store_flush(f.s), 0);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	law_holds(f.s);
	store_close(f.s);
	ASSERT(fixture_open(&f));
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	plan.newest_first = true;
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	fixture_done(&f);
}

/* A long random life: appends, ticks, restarts, seals, and after each step random questions. */
static void life(uint64_t seed, uint32_t flush_rows, uint64_t bucket_bytes, int steps)
{
	struct fixture f;
	struct store_reader *r;
	struct store_diag diag;
	struct scan_plan plan;

	fixture_init(&f, seed);
	f.o.flush_rows = flush_rows;
	f.o.bucket_bytes = bucket_bytes;
	ASSERT(fixture_open(&f));
	for (int i = 0; i < steps; i++) {
		add_rows(&f, model_random(&f.m, 900));
		switch (model_random(&f.m, 6)) {
		case 0:
			EXPECT_EQ(store_flush(f.s), 0);
			break;
		case 1:
			store_close(f.s);
			ASSERT(fixture_open(&f));
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
				printf("  seed %llu step %d question %d\n",
				       (unsigned long long)seed, i, q);
				fixture_done(&f);
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
	fixture_done(&f);
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

/* Rows of every table, most of them with texts of their own: none is lost to the bound on memory. */
static void test_store__rows_under_way_have_bounded_memory(void)
{
	static struct row_builder b;
	static _Alignas(8) uint8_t bytes[ROW_MAX];
	const struct table_schema *const *tables;
	struct fixture f;
	struct row row;
	size_t n_tables;
	char text[600];
	uint64_t stored = 0, most = 0;

	tables = schema_tables(&n_tables);
	fixture_init(&f, 60);
	f.o.open_bytes = 3 * MIB;
	ASSERT(fixture_open(&f));
	for (uint64_t i = 1; i <= 60000; i++) {
		row_begin(&b, tables[i % n_tables]->id);
		snprintf(text, sizeof(text), "%0*llu", (int)(10 + i % 500), (unsigned long long)i);
		for (size_t k = 0; k < tables[i % n_tables]->n_columns; k++) {
			const struct column *c = tables[i % n_tables]->columns[k];

			if (c->flags & COL_F_COMPUTED || (i + k) % 3 == 0)
				continue;
			if (c->type == COL_INT)
				row_int(&b, c->id, (int64_t)i);
			else if (k % 8 == 0)
				row_text(&b, c->id, slice_str(text));
		}
		ASSERT(row_end(&b, i, f.now + i, bytes, sizeof(bytes)) > 0);
		ASSERT_EQ(row_check(slice_of(bytes, ((struct row_hdr *)(void *)bytes)->len), &row),
			  0);
		stored += store_append(f.s, &row) == 0;
		if (i % 100 == 0)
			most = MAX(most, counters_of(f.s).bytes_open);
	}
	EXPECT(stored > 30000);
	EXPECT(most > f.o.open_bytes / 2);
	EXPECT(most <= f.o.open_bytes);
	EXPECT_EQ(store_flush(f.s), 0);
	EXPECT_EQ(counters_of(f.s).rows_stored, stored);
	EXPECT_EQ(counters_of(f.s).rows_lost, 0);
	law_holds(f.s);
	fixture_done(&f);
}

/* What a scan had encoded of them is kept for the next one, not for ever. */
static void test_store__looks_at_open_rows_leave_no_memory_behind(void)
{
	struct fixture f;
	struct scan_plan plan;

	fixture_init(&f, 61);
	ASSERT(fixture_open(&f));
	model_plan_all(&plan);
	add_rows(&f, 500);
	for (int i = 0; i < 3; i++) {
		EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
		EXPECT(counters_of(f.s).bytes_pieces > 0);
		pass_time(&f, NSEC_PER_SEC);
		EXPECT(counters_of(f.s).bytes_pieces > 0);
		pass_time(&f, 10 * NSEC_PER_SEC);
		EXPECT_EQ(counters_of(f.s).bytes_pieces, 0);
	}
	fixture_done(&f);
}

/* A crash leaves a record a second; sealing makes them whole segments again. */
static void test_store__small_segments_are_merged(void)
{
	struct fixture f;
	struct scan_plan plan;
	char command[700], copy[256];

	fixture_init(&f, 50);
	ASSERT(fixture_open(&f));
	for (int i = 0; i < 60; i++) {
		add_rows(&f, 40);
		pass_time(&f, NSEC_PER_SEC);
	}
	temp_dir(copy, sizeof(copy)); /* what kill -9 would leave */
	snprintf(command, sizeof(command), "cp %s/http-* %s/", f.dir, copy);
	ASSERT_EQ(system(command), 0);
	store_close(f.s);
	remove_dir(f.dir);
	snprintf(f.dir, sizeof(f.dir), "%s", copy);
	f.o.bucket_ns = NSEC_PER_SEC;
	ASSERT(fixture_open(&f));
	EXPECT_EQ(counters_of(f.s).segments, 60);
	model_plan_all(&plan);
	EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
	pass_time(&f, 2 * NSEC_PER_SEC);
	seal_all(&f);
	EXPECT_EQ(count_files(f.dir, ".meta.db", NULL, 0), 1);
	EXPECT_EQ(counters_of(f.s).segments, 1);
	EXPECT_EQ(counters_of(f.s).rows_stored, 2400);
	law_holds(f.s);
	for (int q = 0; q < 20; q++) {
		EXPECT(model_agrees(&f.m, store_source(f.s), &plan));
		model_plan(&f.m, &plan);
	}
	fixture_done(&f);
}

TEST_MAIN(TEST(test_store__round_trip), TEST(test_store__rows_under_way_have_bounded_memory),
	  TEST(test_store__looks_at_open_rows_leave_no_memory_behind),
	  TEST(test_store__small_segments_are_merged), TEST(test_store__life_big_segments),
	  TEST(test_store__life_small_segments), TEST(test_store__life_tiny_buckets))

/* Failing system calls: the Nth write, sync, truncate, rename, open or unlink of a store's life
 * fails, once or for a while, with EIO or ENOSPC or a short write, in the store's own files and in
 * SQLite's. Nothing may crash, the laws hold exactly, and what was not counted as lost is there,
 * once.
 */
#include "fault_vfs.h"
#include "tests/unit/storage/fixture.h"

#include "base/util.h"
#include "storage/io.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

static struct {
	uint64_t calls, first, n; /* calls [first, first + n) fail */
	int error;		  /* negative errno, or a positive number of bytes */
} plan;

static bool fails(void)
{
	plan.calls++;
	return plan.calls >= plan.first && plan.calls < plan.first + plan.n;
}

static int fail_io(enum io_op op)
{
	if (!fails())
		return 0;
	if (plan.error > 0)
		return op == IO_WRITE ? plan.error : -ENOSPC;
	return plan.error;
}

static int fail_sqlite(enum fault_call call)
{
	(void)call;
	if (!fails())
		return SQLITE_OK;
	return plan.error == -EIO ? SQLITE_IOERR_WRITE : SQLITE_FULL;
}

static bool sealed_files_are_sound(const char *dir)
{
	char path[600], command[700], text[64] = "";
	FILE *p;

	if (count_files(dir, ".meta.db", path, sizeof(path)) == 0)
		return true;
	snprintf(command, sizeof(command), "sqlite3 'file:%s?immutable=1' 'PRAGMA integrity_check'",
		 path);
	p = popen(command, "r");
	if (!p || !fgets(text, sizeof(text), p))
		text[0] = 0;
	if (p)
		pclose(p);
	return strcmp(text, "ok\n") == 0;
}

/* One life with faults in it. *ret_calls: how many calls it made. */
static bool live(uint64_t first, uint64_t n, int error, uint64_t *ret_calls)
{
	struct fixture f;
	struct scan_plan all;
	struct store_counters c;
	bool ok;

	fixture_init(&f, 3);
	f.o.bucket_bytes = 60 * KIB;
	f.o.flush_rows = 100;
	f.o.sync_ns = NSEC_PER_SEC;
	f.o.retention_bytes = 1024 * MIB;
	ok = EXPECT(fixture_open(&f));
	plan.calls = 0;
	plan.first = first;
	plan.n = n;
	plan.error = error;
	for (int i = 0; ok && i < 8; i++) {
		add_rows(&f, 130);
		pass_time(&f, NSEC_PER_SEC);
		seal_all(&f);
		ok &= law_holds(f.s);
	}
	*ret_calls = plan.calls;
	plan.n = 0;
	for (int i = 0; i < 6; i++)
		pass_time(&f, NSEC_PER_SEC);
	seal_all(&f);
	c = counters_of(f.s);
	model_plan_all(&all);
	ok &= law_holds(f.s) && EXPECT_EQ(c.rows_lost, 0) && EXPECT_EQ(c.rows_expired, 0);
	ok = ok && EXPECT(n == 0 || *ret_calls < first || c.write_errors > 0);
	ok = ok && EXPECT(model_agrees(&f.m, store_source(f.s), &all));
	ok = ok && EXPECT(sealed_files_are_sound(f.dir));
	store_close(f.s);
	f.s = NULL;
	ok = ok && EXPECT(fixture_open(&f)) && EXPECT(model_agrees(&f.m, store_source(f.s), &all));
	ok = ok && EXPECT_EQ(counters_of(f.s).files_bad, 0) &&
	     EXPECT_EQ(counters_of(f.s).segments_bad, 0);
	fixture_done(&f);
	return ok;
}

/* Every call fails in turn, or every `step`th when there are many. */
static void each_call(uint64_t at_a_time, int error, uint64_t step)
{
	uint64_t calls;

	ASSERT(live(1, 0, 0, &calls));
	EXPECT(calls > 20);
	for (uint64_t i = 1, more; i <= calls; i += step) {
		if (!live(i, at_a_time, error, &more)) {
			printf("# call %llu of %llu, %llu at a time, error %d\n",
			       (unsigned long long)i, (unsigned long long)calls,
			       (unsigned long long)at_a_time, error);
			return;
		}
	}
}

static void test_faults__own_files_eio(void)
{
	io_fault = fail_io;
	each_call(1, -EIO, 1);
	io_fault = NULL;
}

static void test_faults__own_files_short_write(void)
{
	io_fault = fail_io;
	each_call(1, 70, 1);
	io_fault = NULL;
}

static void test_faults__own_files_full_for_a_while(void)
{
	io_fault = fail_io;
	each_call(5, -ENOSPC, 3);
	io_fault = NULL;
}

static void test_faults__sqlite_eio(void)
{
	fault_vfs_install();
	fault_vfs_ask = fail_sqlite;
	each_call(1, -EIO, 7);
	fault_vfs_ask = NULL;
}

static void test_faults__sqlite_full(void)
{
	fault_vfs_install();
	fault_vfs_ask = fail_sqlite;
	each_call(3, -ENOSPC, 11);
	fault_vfs_ask = NULL;
}

/* Nothing can be written for long: memory is bounded, the oldest rows are lost and counted, the
 * newest can be queried; when writing works again, so does everything. */
static void test_faults__memory_bound(void)
{
	struct fixture f;
	struct scan_plan newest;
	struct store_counters c;

	fixture_init(&f, 4);
	f.o.flush_rows = 200;
	f.o.held_bytes = 600 * KIB;
	ASSERT(fixture_open(&f));
	add_rows(&f, 500);
	EXPECT_EQ(store_flush(f.s), 0);
	io_fault = fail_io;
	plan.calls = 0;
	plan.first = 0;
	plan.n = UINT64_MAX;
	plan.error = -ENOSPC;
	for (int i = 0; i < 40; i++) {
		add_rows(&f, 200);
		pass_time(&f, NSEC_PER_SEC);
		law_holds(f.s);
	}
	c = counters_of(f.s);
	EXPECT(c.rows_lost > 0);
	EXPECT(c.rows_held > 300);
	EXPECT(c.bytes_held <= 600 * KIB);
	EXPECT(c.disk_full);
	model_plan_all(&newest);
	newest.newest_first = true;
	newest.limit = 250;
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	io_fault = NULL;
	for (int i = 0; i < 5; i++)
		pass_time(&f, NSEC_PER_SEC);
	c = counters_of(f.s);
	EXPECT(!c.disk_full);
	EXPECT_EQ(c.rows_held, 0);
	law_holds(f.s);
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	store_close(f.s);
	ASSERT(fixture_open(&f));
	EXPECT_EQ(counters_of(f.s).rows_damaged, 0); /* the rows that were lost are known to be */
	EXPECT_EQ(counters_of(f.s).rows_stored, c.rows_stored);
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	fixture_done(&f);
}

TEST_MAIN(TEST(test_faults__own_files_eio), TEST(test_faults__own_files_short_write),
	  TEST(test_faults__own_files_full_for_a_while), TEST(test_faults__sqlite_eio),
	  TEST(test_faults__sqlite_full), TEST(test_faults__memory_bound))

/* A disk that is really full: a small tmpfs, filled by somebody else. Needs root. */
#include "tests/unit/storage/fixture.h"

#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

static bool mount_small(char *dir, size_t cap)
{
	temp_dir(dir, cap);
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", dir, "tmpfs", 0, "size=6m") == 0)
		return true;
	test_skip("needs root and a mount namespace");
	return false;
}

/* Writes until the filesystem is full. */
static void fill(const char *path)
{
	static char zeros[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	while (write(fd, zeros, sizeof(zeros)) > 0 || write(fd, zeros, 512) > 0)
		;
	close(fd);
}

static void test_full__held_then_recovered(void)
{
	struct fixture f;
	struct scan_plan newest;
	struct store_counters before, c;
	char dir[200], filler[300];

	if (!mount_small(dir, sizeof(dir)))
		return;
	fixture_init(&f, 21);
	remove_dir(f.dir);
	snprintf(f.dir, sizeof(f.dir), "%s/data", dir);
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	f.o.flush_rows = 300;
	f.o.bucket_bytes = 150 * KIB;
	f.o.retention_bytes = 64 * MIB;
	f.o.floor_bytes = 300 * KIB;
	f.o.held_bytes = 2 * MIB;
	ASSERT(fixture_open(&f));
	add_rows(&f, 3000);
	seal_all(&f);
	before = counters_of(f.s);
	fill(filler);
	for (int i = 0; i < 12; i++) {
		add_rows(&f, 300);
		fill(filler);
		pass_time(&f, NSEC_PER_SEC);
		fill(filler);
		law_holds(f.s);
	}
	c = counters_of(f.s);
	EXPECT(c.write_errors > 0);
	EXPECT(c.rows_expired_full > 0); /* the oldest went, but not below the floor */
	EXPECT(c.rows_stored > 0);
	EXPECT(c.rows_held > 0);
	EXPECT(before.rows_stored + before.rows_held == 3000);
	model_plan_all(&newest);
	newest.newest_first = true;
	newest.limit = 280;
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	EXPECT_EQ(unlink(filler), 0);
	for (int i = 0; i < 4; i++) /* back within 5 s */
		pass_time(&f, NSEC_PER_SEC);
	c = counters_of(f.s);
	EXPECT(!c.disk_full);
	EXPECT_EQ(c.rows_held, 0);
	law_holds(f.s);
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	store_close(f.s);
	f.s = NULL;
	EXPECT(fixture_open(&f));
	EXPECT_EQ(counters_of(f.s).files_bad, 0);
	EXPECT_EQ(counters_of(f.s).rows_damaged, 0);
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	fixture_done(&f);
	umount(dir);
	remove_dir(dir);
}

/* The filesystem is smaller than the budget: the store lives within what there is, nobody else's
 * help needed. */
static void test_full__budget_larger_than_disk(void)
{
	struct fixture f;
	struct scan_plan newest;
	struct store_counters c;
	char dir[200];

	if (!mount_small(dir, sizeof(dir)))
		return;
	fixture_init(&f, 22);
	remove_dir(f.dir);
	snprintf(f.dir, sizeof(f.dir), "%s/data", dir);
	f.o.flush_rows = 300;
	f.o.bucket_bytes = 300 * KIB;
	f.o.retention_bytes = 64 * MIB;
	f.o.floor_bytes = 500 * KIB;
	f.o.reserve_bytes = MIB;
	ASSERT(fixture_open(&f));
	model_plan_all(&newest);
	newest.newest_first = true;
	newest.limit = 300;
	for (int i = 0; i < 60; i++) {
		add_rows(&f, 500);
		for (int k = 0; k < 4; k++)
			pass_time(&f, NSEC_PER_SEC);
		law_holds(f.s);
	}
	c = counters_of(f.s);
	EXPECT_EQ(c.rows_lost, 0);
	EXPECT(c.rows_expired_full + c.payload_expired > 0);
	EXPECT(c.bytes_disk > MIB);
	EXPECT(c.bytes_disk < 6 * MIB);
	EXPECT(model_agrees(&f.m, store_source(f.s), &newest));
	fixture_done(&f);
	umount(dir);
	remove_dir(dir);
}

TEST_MAIN(TEST(test_full__held_then_recovered), TEST(test_full__budget_larger_than_disk))

/* Ledgers beside the rows: what is written is read, damage is absence, losses are found by time,
 * and where no run speaks it is said so. */
#include "storage/epochs.h"
#include "storage/memscan.h"

#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static char dir[] = "/tmp/kelpie-test-epochs.XXXXXX";
static int dirfd_;

static void clear_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		(void)!unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

static void remove_dir(void)
{
	clear_dir();
	rmdir(dir);
}

static struct epoch_line line(uint8_t hop, enum epoch_kind kind, bool intentional,
			      const char *counter, const char *unit, uint64_t value)
{
	struct epoch_line l = {
		.hop = hop, .kind = (uint8_t)kind, .intentional = intentional, .value = value
	};

	snprintf(l.stage, sizeof(l.stage), "stage");
	snprintf(l.counter, sizeof(l.counter), "%s", counter);
	snprintf(l.unit, sizeof(l.unit), "%s", unit);
	return l;
}

/* One run from..to that loses units at `at` (0: nothing). */
static int write_run(uint64_t from, uint64_t to, uint64_t at, uint64_t units)
{
	struct epoch e;
	struct epoch_line l = line(7, EPOCH_LOSS, false, "queue_full", "rows", 0);
	int err;

	epoch_init(&e, "node 1", from, from);
	if (at) {
		EXPECT_EQ(epoch_count(&e, &l, 1, at - 1), 0);
		l.value = units;
		EXPECT_EQ(epoch_count(&e, &l, 1, at), 1);
	}
	EXPECT_EQ(epoch_count(&e, &l, 1, to), 0);
	e.ended = true;
	err = epoch_write(dirfd_, &e);
	epoch_done(&e);
	return err;
}

static void test_epochs__round_trip(void)
{
	struct epoch_line lines[] = {
		line(1, EPOCH_IN, false, "seen", "bytes", 1000),
		line(1, EPOCH_LOSS, true, "sampled", "rows", 0),
		line(4, EPOCH_LOSS, false, "gap", "bytes", 0),
		line(8, EPOCH_HELD, false, "not_yet_written", "rows", UINT64_MAX >> 1),
	};
	struct epochs all;
	struct epoch e;
	struct mem_rows rows;

	clear_dir();
	epoch_init(&e, "odd\tname\n", 0xabc, 100);
	EXPECT_EQ(epoch_count(&e, lines, 4, 200), 0);
	lines[1].value = 5;
	lines[2].value = 60;
	EXPECT_EQ(epoch_count(&e, lines, 4, 300), 1);
	ASSERT_EQ(epoch_write(dirfd_, &e), 0);
	EXPECT_EQ(faccessat(dirfd_, "abc.ledger", R_OK, 0), 0);
	epoch_done(&e);

	ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
	ASSERT_EQ(all.n, 1);
	EXPECT_STR(all.v[0].node, "odd?name?");
	EXPECT_EQ(all.v[0].epoch, 0xabc);
	EXPECT_EQ(all.v[0].from_ns, 100);
	EXPECT_EQ(all.v[0].to_ns, 300);
	EXPECT(!all.v[0].ended);
	ASSERT_EQ(all.v[0].n_lines, 4);
	EXPECT_STR(all.v[0].lines[2].counter, "gap");
	EXPECT_EQ(all.v[0].lines[3].value, UINT64_MAX >> 1);
	ASSERT_EQ(all.v[0].n_losses, 1);
	EXPECT_EQ(all.v[0].losses[0].from_ns, 200);
	EXPECT_EQ(all.v[0].losses[0].lost.bytes, 60);
	EXPECT_EQ(all.v[0].losses[0].lost.sampled, 5);
	/* It goes on where it stood: no loss is booked twice. */
	EXPECT_EQ(epoch_count(&all.v[0], lines, 4, 400), 0);
	lines[2].value++;
	EXPECT_EQ(epoch_count(&all.v[0], lines, 4, 500), 1);
	EXPECT_EQ(all.v[0].losses[1].lost.bytes, 1);
	mem_rows_init(&rows, 100);
	EXPECT_EQ(epochs_rows(&all, &rows), 0);
	EXPECT_EQ(rows.n, 4);
	mem_rows_done(&rows);
	epochs_done(&all);
}

/* Any change of a file makes it absent, never wrong. */
static void test_epochs__damage(void)
{
	char text[4096];
	struct epochs all;
	ssize_t n;
	int fd;

	clear_dir();
	ASSERT_EQ(write_run(100, 200, 150, 3), 0);
	fd = openat(dirfd_, "64.ledger", O_RDWR);
	ASSERT(fd >= 0);
	n = read(fd, text, sizeof(text));
	ASSERT(n > 50);
	for (ssize_t i = 0; i < n; i++) {
		char flipped = text[i] ^ 1;

		EXPECT_EQ(pwrite(fd, &flipped, 1, i), 1);
		ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
		EXPECT_EQ(all.n, 0);
		EXPECT_EQ(all.bad, 1);
		epochs_done(&all);
		EXPECT_EQ(pwrite(fd, &text[i], 1, i), 1);
	}
	for (ssize_t i = 0; i < n; i++) {
		EXPECT_EQ(ftruncate(fd, i), 0);
		ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
		EXPECT_EQ(all.n, 0);
		epochs_done(&all);
		EXPECT_EQ(pwrite(fd, text, (size_t)n, 0), n);
	}
	ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
	EXPECT_EQ(all.n, 1);
	epochs_done(&all);
	/* another run's file under this name */
	EXPECT_EQ(renameat(dirfd_, "64.ledger", dirfd_, "65.ledger"), 0);
	ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
	EXPECT_EQ(all.n, 0);
	epochs_done(&all);
	close(fd);
}

static struct loss_cover ask(const struct epochs *e, uint64_t from, uint64_t to)
{
	struct loss_cover c;

	epochs_cover(e, &(struct loss_times){ from, to, from, to }, &c);
	return c;
}

static void test_epochs__cover(void)
{
	struct epochs all;
	struct loss_cover c;

	clear_dir();
	ASSERT_EQ(write_run(100, 200, 150, 3), 0);
	ASSERT_EQ(write_run(300, 400, 0, 0), 0);
	ASSERT_EQ(write_run(400, 500, 450, 4), 0);
	ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
	ASSERT_EQ(all.n, 3);
	c = ask(&all, 100, 200);
	EXPECT_EQ(c.lost.units, 3);
	EXPECT_EQ(c.unknown_to_ns, 0);
	c = ask(&all, 151, 200);
	EXPECT_EQ(c.lost.units, 0);
	c = ask(&all, 300, 500);
	EXPECT_EQ(c.lost.units, 4);
	EXPECT_EQ(c.unknown_to_ns, 0);
	c = ask(&all, 120, 350); /* nobody ran from 200 to 300 */
	EXPECT_EQ(c.unknown_from_ns, 200);
	EXPECT_EQ(c.unknown_to_ns, 300);
	c = ask(&all, 50, 60);
	EXPECT_EQ(c.unknown_from_ns, 50);
	EXPECT_EQ(c.unknown_to_ns, 60);
	c = ask(&all, 90, 150);
	EXPECT_EQ(c.unknown_from_ns, 90);
	EXPECT_EQ(c.unknown_to_ns, 100);
	c = ask(&all, 450, 900);
	EXPECT_EQ(c.unknown_from_ns, 500);
	EXPECT_EQ(c.unknown_to_ns, 900);
	/* Without rows nobody has to speak, but losses are told. */
	epochs_cover(&all, &(struct loss_times){ 0, UINT64_MAX, 0, 0 }, &c);
	EXPECT_EQ(c.lost.units, 7);
	EXPECT_EQ(c.unknown_to_ns, 0);
	epochs_done(&all);
}

/* Both bounds: files of a directory, times of a run. */
static void test_epochs__bounds(void)
{
	struct epoch_line l = line(7, EPOCH_LOSS, false, "queue_full", "rows", 0);
	struct epochs all;
	struct epoch e;
	uint64_t units = 0;

	clear_dir();
	for (uint64_t i = 1; i <= EPOCHS_MAX + 3; i++)
		ASSERT_EQ(write_run(i * 10, i * 10 + 9, 0, 0), 0);
	EXPECT_EQ(mknodat(dirfd_, "1.ledger.tmp", S_IFREG | 0600, 0), 0);
	ASSERT_EQ(epochs_read(dirfd_, false, &all), 0);
	EXPECT_EQ(all.n, EPOCHS_MAX);
	EXPECT_EQ(all.v[0].epoch, 40); /* the oldest three are left out */
	epochs_done(&all);
	EXPECT_EQ(faccessat(dirfd_, "a.ledger", R_OK, 0), 0);
	ASSERT_EQ(epochs_read(dirfd_, true, &all), 0);
	EXPECT_EQ(all.n, EPOCHS_MAX);
	epochs_done(&all);
	EXPECT(faccessat(dirfd_, "a.ledger", R_OK, 0) < 0);
	EXPECT(faccessat(dirfd_, "1.ledger.tmp", R_OK, 0) < 0);

	epoch_init(&e, "n", 5, 5);
	for (uint64_t i = 1; i <= EPOCH_LOSSES_MAX + 20; i++) {
		l.value = i;
		EXPECT_EQ(epoch_count(&e, &l, 1, 5 + i), 1);
	}
	EXPECT_EQ(e.n_losses, EPOCH_LOSSES_MAX);
	for (size_t i = 0; i < e.n_losses; i++)
		units += e.losses[i].lost.units;
	EXPECT_EQ(units, EPOCH_LOSSES_MAX + 20); /* coarser, but nothing is forgotten */
	EXPECT_EQ(epoch_write(dirfd_, &e), 0);
	EXPECT_EQ(epoch_count(&e, &l, EPOCH_LINES_MAX + 1, 1000), -EINVAL);
	epoch_done(&e);
}

static void test_epochs__begin(void)
{
	ASSERT(mkdtemp(dir) != NULL);
	atexit(remove_dir);
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	ASSERT(dirfd_ >= 0);
}

TEST_MAIN(TEST(test_epochs__begin), TEST(test_epochs__round_trip), TEST(test_epochs__damage),
	  TEST(test_epochs__cover), TEST(test_epochs__bounds))

/* The file of an epoch's counters from any bytes, its checksum right: refused, or read, written and
 * read again with the same meaning. */
#include "base/crc32c.h"
#include "base/util.h"
#include "storage/epochs.h"
#include "tests/fuzz/work.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The counters' array is made at once; names of files are few. */
static const struct work_bound read_bound = { "epochs_read", 128, 65536 };

/* libFuzzer ends without atexit(): scripts/fuzz gives it a TMPDIR that it removes. */
static char folder[256];
static int dirfd_ = -1;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void remove_folder(void)
{
	for (int i = 1; i < 64; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%x.ledger", i);
		(void)unlinkat(dirfd_, name, 0);
	}
	(void)rmdir(folder);
}

static void write_file(const uint8_t *data, size_t size)
{
	int fd = openat(dirfd_, "1.ledger", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char sum[16];
	int n = snprintf(sum, sizeof(sum), "crc\t%08x\n", crc32c(0, data, size));

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size && write(fd, sum, (size_t)n) == n);
	close(fd);
}

static void check_text(const char *text, size_t size)
{
	must(memchr(text, 0, size) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct epochs all, again;

	if (dirfd_ < 0) {
		const char *tmp = getenv("TMPDIR");

		snprintf(folder, sizeof(folder), "%s/fuzz_epochs.XXXXXX", tmp ? tmp : "/tmp");
		must(mkdtemp(folder) != NULL);
		dirfd_ = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(dirfd_ >= 0 && atexit(remove_folder) == 0);
	}
	if (size >= EPOCH_FILE_MAX)
		return 0;
	write_file(data, size);
	work_begin();
	must(epochs_read(dirfd_, false, &all) == 0);
	work_end(&read_bound, size);
	must(all.n + all.bad == 1);
	for (size_t i = 0; i < all.n; i++) {
		const struct epoch *e = &all.v[i];

		check_text(e->node, sizeof(e->node));
		for (size_t k = 0; k < e->n_lines; k++) {
			check_text(e->lines[k].stage, sizeof(e->lines[k].stage));
			check_text(e->lines[k].counter, sizeof(e->lines[k].counter));
			check_text(e->lines[k].unit, sizeof(e->lines[k].unit));
		}
		must(epoch_write(dirfd_, e) == 0);
		must(epochs_read(dirfd_, false, &again) == 0 && again.n == 1);
		must(again.v[0].n_lines == e->n_lines && again.v[0].n_losses == e->n_losses);
		must(again.v[0].total.units == e->total.units);
		epochs_done(&again);
	}
	epochs_done(&all);
	return 0;
}

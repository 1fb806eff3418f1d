#include "agent/ledger.h"

#include "base/util.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

const struct ledger_counter ledger_counters[_LEDGER_MAX] = {
#define X(name, hop, stage, counter, kind, intentional, unit)                                      \
	[name] = { hop, LEDGER_##kind, intentional, stage, counter, unit },
	LEDGER(X)
#undef X
};

const struct ledger_counter bpf_ledger_counters[_BC_MAX] = {
#define X(name, unit, kind, intentional)                                                           \
	[name] = { 1, LEDGER_##kind, intentional, "kernel", #name, unit },
	BPF_COUNTERS(X)
#undef X
};

static_assert(sizeof(struct ledger) == (size_t)_LEDGER_WRITERS * LEDGER_PART_BYTES,
	      "one part each");

int ledger_create(struct ledger_fds *ret)
{
	for (int w = 0; w < _LEDGER_WRITERS; w++) {
		int fd = memfd_create("kelpie-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		char path[64];

		if (fd < 0 || ftruncate(fd, LEDGER_PART_BYTES) < 0 ||
		    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
			return -errno;
		ret->writable[w] = fd;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ret->readable[w] = open(path, O_RDONLY | O_CLOEXEC);
		if (ret->readable[w] < 0)
			return -errno;
	}
	return 0;
}

void ledger_fds_of(const struct ledger_fds *fds, enum ledger_writer self, int *ret)
{
	for (int w = 0; w < _LEDGER_WRITERS; w++)
		ret[w] = w == (int)self ? fds->writable[w] : fds->readable[w];
}

struct ledger *ledger_map(const struct ledger_fds *fds, enum ledger_writer self)
{
	uint8_t *all = mmap(NULL, sizeof(struct ledger), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	int part[_LEDGER_WRITERS];

	if (all == MAP_FAILED)
		return NULL;
	ledger_fds_of(fds, self, part);
	for (int w = 0; w < _LEDGER_WRITERS; w++) {
		int prot = w == (int)self ? PROT_READ | PROT_WRITE : PROT_READ;

		if (mmap(all + (size_t)w * LEDGER_PART_BYTES, LEDGER_PART_BYTES, prot,
			 MAP_SHARED | MAP_FIXED, part[w], 0) == MAP_FAILED) {
			munmap(all, sizeof(struct ledger));
			return NULL;
		}
	}
	return (struct ledger *)(void *)all;
}

void ledger_unmap(struct ledger *l)
{
	munmap(l, sizeof(*l));
}

/* Readers have no way to write, so the cast gives nothing away. */
static uint64_t load(const struct ledger *l, enum ledger_writer w, enum ledger_id id)
{
	return atomic_load_explicit(ledger_count((struct ledger *)(uintptr_t)l, w, id),
				    memory_order_relaxed);
}

uint64_t ledger_get(const struct ledger *l, enum ledger_id id)
{
	uint64_t sum = 0;

	for (size_t w = 0; w < _LEDGER_WRITERS; w++)
		sum += load(l, (enum ledger_writer)w, id);
	return sum;
}

/* Whether two counters belong to the same account. */
static bool same_account(const struct ledger_counter *a, const struct ledger_counter *b)
{
	return a->hop == b->hop && strcmp(a->stage, b->stage) == 0 && strcmp(a->unit, b->unit) == 0;
}

void ledger_mend_numbers(struct ledger *l, enum ledger_writer dead)
{
	uint64_t given = atomic_load(&l->parser.rows_seq),
		 stored = atomic_load(&l->store.stored_seq);

	/* What is given and not yet stored is in the queue, or died with the parser. */
	if (dead == LEDGER_PARSER && (given < stored || given - stored >= ROWS_AHEAD_MAX))
		atomic_store(&l->parser.rows_seq, stored);
	else if (dead == LEDGER_STORE && stored > given && stored - given > ROWS_AHEAD_MAX)
		atomic_store(&l->store.stored_seq, given);
}

void ledger_book_crash(struct ledger *l, enum ledger_writer dead)
{
	for (size_t crash = 0; crash < _LEDGER_MAX; crash++) {
		const struct ledger_counter *c = &ledger_counters[crash];
		int64_t open = 0;
		bool ours = false;

		if (strcmp(c->counter, "lost_in_crash") != 0)
			continue;
		for (size_t i = 0; i < _LEDGER_MAX; i++) {
			const struct ledger_counter *d = &ledger_counters[i];
			uint64_t v = ledger_get(l, (enum ledger_id)i);

			if (!same_account(c, d))
				continue;
			if (d->kind == LEDGER_IN) {
				open += (int64_t)v;
				ours = load(l, dead, (enum ledger_id)i) > 0;
			} else if (d->kind == LEDGER_HELD) {
				ledger_set(l, dead, (enum ledger_id)i, 0);
			} else {
				open -= (int64_t)v;
			}
		}
		if (ours && open > 0)
			ledger_add(l, dead, (enum ledger_id)crash, (uint64_t)open);
	}
}

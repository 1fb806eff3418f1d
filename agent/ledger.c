#include "agent/ledger.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

const struct ledger_counter ledger_counters[_LEDGER_MAX] = {
#define X(name, hop, stage, counter, kind, intentional, unit)                                      \
	[name] = { hop, LEDGER_##kind, intentional, stage, counter, unit },
	LEDGER(X)
#undef X
};

const struct ledger_counter bpf_ledger_counters[_BC_MAX] = {
#define X(name, unit, kind, intentional) [name] = { 1, LEDGER_##kind, intentional, "kernel", #name, unit },
	BPF_COUNTERS(X)
#undef X
};

int ledger_create(void)
{
	_cleanup_(closep) int fd = memfd_create("kelpie-ledger", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, sizeof(struct ledger)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

struct ledger *ledger_map(int fd)
{
	void *p = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

uint64_t ledger_get(const struct ledger *l, enum ledger_id id)
{
	uint64_t sum = 0;

	for (size_t w = 0; w < _LEDGER_WRITERS; w++)
		sum += atomic_load_explicit(&l->page[w][id], memory_order_relaxed);
	return sum;
}

/* Whether two counters belong to the same account. */
static bool same_account(const struct ledger_counter *a, const struct ledger_counter *b)
{
	return a->hop == b->hop && strcmp(a->stage, b->stage) == 0 && strcmp(a->unit, b->unit) == 0;
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
				ours = atomic_load(&l->page[dead][i]) > 0;
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

#include "agent/budget.h"

#include "base/util.h"

static void judge(struct budget *b)
{
	b->over = b->used > b->limit ? (uint8_t)(b->over + 1) : 0;
	b->under = b->used < b->limit / 4 * 3 ? (uint8_t)(b->under + 1) : 0;
	if (b->over >= BUDGET_OVER) {
		b->over = 0;
		b->shift = (uint8_t)MIN(b->shift + 1, BUDGET_SHIFT_MAX);
	} else if (b->under >= BUDGET_UNDER) {
		b->under = 0;
		b->shift = (uint8_t)MAX(b->shift - 1, 0);
	}
}

bool budget_step(struct budget *b, uint64_t now_ns, uint64_t cpu_ns)
{
	uint64_t ns = now_ns - b->at_ns, used = cpu_ns - b->cpu_ns;
	bool measured = b->at_ns && ns && cpu_ns >= b->cpu_ns;
	uint8_t before = b->shift;

	b->at_ns = now_ns;
	b->cpu_ns = cpu_ns;
	if (!measured)
		return false;
	b->used = (uint32_t)MIN(used * 1000 / ns, (uint64_t)UINT32_MAX);
	if (b->limit)
		judge(b);
	return b->shift != before;
}

bool budget_takes(uint32_t shift, uint64_t identity)
{
	/* The finaliser of SplitMix64: an identity may be a counter. */
	identity = (identity ^ identity >> 30) * 0xbf58476d1ce4e5b9u;
	identity = (identity ^ identity >> 27) * 0x94d049bb133111ebu;
	identity ^= identity >> 31;
	return (identity & ((UINT64_C(1) << MIN(shift, (uint32_t)BUDGET_SHIFT_MAX)) - 1)) == 0;
}

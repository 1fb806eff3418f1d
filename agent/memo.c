#include "agent/memo.h"

#include "base/hash.h"

static uint64_t mix(uint64_t h, struct slice s)
{
	uint64_t w = 0;
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8) {
		memcpy(&w, s.p + i, 8);
		h = (h ^ w) * 0x9fb21c651e98df25ULL;
		h ^= h >> 32;
	}
	w = s.n;
	for (; i < s.n; i++)
		w = w << 8 | s.p[i];
	h = (h ^ w) * 0x9fb21c651e98df25ULL;
	return h ^ h >> 32;
}

static size_t slot_of(const struct memo *m, enum memo_kind kind, struct slice a, struct slice b)
{
	return hash_u64(mix(mix(m->seed + kind, a), b)) & (MEMO_ENTRIES - 1);
}

bool memo_get(const struct memo *m, enum memo_kind kind, struct slice a, struct slice b,
	      struct slice *ret)
{
	const struct memo_entry *e;

	if (a.n + b.n > MEMO_IN_MAX)
		return false;
	e = &m->entries[slot_of(m, kind, a, b)];
	if (e->kind != kind || e->a_n != a.n || e->b_n != b.n ||
	    !slice_eq(slice_of(e->in, a.n), a) || !slice_eq(slice_of(e->in + a.n, b.n), b))
		return false;
	*ret = slice_of(e->out, e->out_n);
	return true;
}

void memo_put(struct memo *m, enum memo_kind kind, struct slice a, struct slice b, struct slice out)
{
	struct memo_entry *e;

	if (a.n + b.n > MEMO_IN_MAX || out.n > MEMO_OUT_MAX)
		return;
	e = &m->entries[slot_of(m, kind, a, b)];
	e->kind = (uint8_t)kind;
	e->a_n = (uint16_t)a.n;
	e->b_n = (uint16_t)b.n;
	e->out_n = (uint8_t)out.n;
	if (a.n)
		memcpy(e->in, a.p, a.n);
	if (b.n)
		memcpy(e->in + a.n, b.p, b.n);
	if (out.n)
		memcpy(e->out, out.p, out.n);
}

#include "agent/memo.h"

_Static_assert(MEMO_IN_MAX <= UINT8_MAX && MEMO_OUT_MAX <= UINT8_MAX, "lengths of an entry");

/* Both halves of a product depend on all bits of both factors. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t load(const uint8_t *p, size_t n)
{
	uint64_t w = 0;

	memcpy(&w, p, n);
	return w;
}

/* Of a few places, whatever the length: texts that are the same at both ends and in the middle, and
 * as long, want the same places. */
static uint64_t hash_of(const struct memo *m, uint16_t kind, struct slice s)
{
	uint64_t a = m->seed ^ kind, b = 0x9fb21c651e98df25ULL ^ (uint64_t)s.n << 56;

	if (s.n >= 8) {
		a ^= load(s.p, 8);
		b ^= load(s.p + s.n - 8, 8);
		if (s.n > 16)
			b = fold(b, load(s.p + s.n / 2 - 4, 8) ^ m->seed);
	} else if (s.n >= 4) {
		a ^= load(s.p, 4) << 32 | load(s.p + s.n - 4, 4);
	} else {
		a ^= (uint64_t)s.p[0] << 16 | (uint64_t)s.p[s.n / 2] << 8 | s.p[s.n - 1];
	}
	return fold(a, b);
}

static struct memo_set *set_of(struct memo *m, uint64_t hash)
{
	return &m->sets[hash & (MEMO_SETS - 1)];
}

static uint16_t tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48 | 1);
}

struct memo_entry *memo_get(struct memo *m, uint16_t kind, struct slice in)
{
	struct memo_set *set;
	uint64_t hash;

	if (in.n > MEMO_IN_MAX)
		return NULL;
	hash = hash_of(m, kind, in);
	set = set_of(m, hash);
	for (size_t i = 0; i < MEMO_WAYS; i++) {
		struct memo_entry *e = &set->entries[i];

		if (set->tags[i] == tag_of(hash) && e->kind == kind && e->in_n == in.n &&
		    memcmp(e->in, in.p, in.n) == 0) {
			e->used = true;
			return e;
		}
	}
	return NULL;
}

/* The place for a new text; NULL when all were of use, which they have to prove again. */
static struct memo_entry *give_way(struct memo_set *set, uint16_t tag)
{
	for (size_t i = 0; i < MEMO_WAYS; i++)
		if (!set->entries[i].used) {
			set->tags[i] = tag;
			return &set->entries[i];
		}
	for (size_t i = 0; i < MEMO_WAYS; i++)
		set->entries[i].used = false;
	return NULL;
}

struct memo_entry *memo_put(struct memo *m, uint16_t kind, struct slice in, struct slice out)
{
	struct memo_entry *e;
	uint64_t hash;

	if (in.n > MEMO_IN_MAX || out.n > MEMO_OUT_MAX)
		return NULL;
	hash = hash_of(m, kind, in);
	e = give_way(set_of(m, hash), tag_of(hash));
	if (!e)
		return NULL;
	e->kind = kind;
	e->in_n = (uint8_t)in.n;
	e->out_n = (uint8_t)out.n;
	e->line = (struct memo_line){ 0 };
	e->sym = e->sym_gen = 0;
	memcpy(e->in, in.p, in.n);
	if (out.n)
		memcpy(e->out, out.p, out.n);
	return e;
}

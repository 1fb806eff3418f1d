#include "agent/memo.h"

#include "base/hash.h"

_Static_assert(MEMO_IN_MAX <= UINT8_MAX && MEMO_OUT_MAX <= UINT8_MAX, "lengths of an entry");

static uint64_t mix(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9fb21c651e98df25ULL;
	return h ^ h >> 32;
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
	uint64_t h = m->seed + kind + ((uint64_t)s.n << 32);

	if (s.n > 16)
		h = mix(mix(h, load(s.p, 8)), load(s.p + s.n / 2 - 4, 8));
	else if (s.n > 8)
		h = mix(h, load(s.p, 8));
	if (s.n >= 8)
		h = mix(h, load(s.p + s.n - 8, 8));
	else if (s.n >= 4)
		h = mix(h, load(s.p, 4) << 32 | load(s.p + s.n - 4, 4));
	else
		h = mix(h, (uint64_t)s.p[0] << 16 | (uint64_t)s.p[s.n / 2] << 8 | s.p[s.n - 1]);
	return hash_u64(h);
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

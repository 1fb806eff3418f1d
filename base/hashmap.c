#include "base/hashmap.h"

#include "base/hash.h"
#include "base/util.h"

#include <errno.h>

#define CAP_LEAST 16

void hashmap_init(struct hashmap *m, size_t max_entries)
{
	struct hash_key key;

	hash_key_random(&key);
	*m = (struct hashmap){ .max = max_entries, .seed = key.k0 };
}

void hashmap_done(struct hashmap *m)
{
	free(m->slots);
	*m = (struct hashmap){ .max = m->max, .seed = m->seed };
}

static size_t home(const struct hashmap *m, uint64_t key)
{
	return hash_u64(key ^ m->seed) & (m->cap - 1);
}

/* The slot that holds key, or the free slot where it would go. cap > len always. */
static struct hashmap_entry *find(const struct hashmap *m, uint64_t key)
{
	size_t i = home(m, key);

	while (m->slots[i].used && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static int resize(struct hashmap *m, size_t cap)
{
	struct hashmap other = *m;

	other.cap = cap;
	other.slots = calloc(cap, sizeof(*other.slots));
	if (!other.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].used)
			*find(&other, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = other;
	return 0;
}

int hashmap_put(struct hashmap *m, uint64_t key, uint64_t value)
{
	struct hashmap_entry *e = m->cap ? find(m, key) : NULL;

	if (e && e->used) {
		e->value = value;
		return 0;
	}
	if (m->len >= m->max)
		return -ENOSPC;
	if (!e || m->len + 1 > m->cap - m->cap / 4) {
		int r = resize(m, m->cap ? m->cap * 2 : CAP_LEAST);

		if (r < 0)
			return r;
		e = find(m, key);
	}
	*e = (struct hashmap_entry){ key, value, true };
	m->len++;
	return 0;
}

bool hashmap_get(const struct hashmap *m, uint64_t key, uint64_t *ret)
{
	struct hashmap_entry *e = m->cap ? find(m, key) : NULL;

	if (!e || !e->used)
		return false;
	*ret = e->value;
	return true;
}

bool hashmap_del(struct hashmap *m, uint64_t key)
{
	struct hashmap_entry *e = m->cap ? find(m, key) : NULL;
	size_t hole, i;

	if (!e || !e->used)
		return false;
	/* Linear probing without tombstones: move back what the hole would hide. */
	hole = (size_t)(e - m->slots);
	for (i = (hole + 1) & (m->cap - 1); m->slots[i].used; i = (i + 1) & (m->cap - 1)) {
		size_t h = home(m, m->slots[i].key);

		if (((i - h) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].used = false;
	m->len--;
	/* Without memory it stays as large as it is. */
	if (m->cap > CAP_LEAST && m->len < m->cap / 8)
		(void)resize(m, m->cap / 2);
	return true;
}

struct hashmap_entry *hashmap_next(const struct hashmap *m, const struct hashmap_entry *after)
{
	for (size_t i = after ? (size_t)(after - m->slots) + 1 : 0; i < m->cap; i++)
		if (m->slots[i].used)
			return &m->slots[i];
	return NULL;
}

/* Open-addressing map from a 64-bit key to a pointer or number, with a maximum stated at init. It
 * grows with its entries and shrinks with them.
 * Keys are hashed with a per-map random seed, so they may come from outside. Single-threaded.
 */
#ifndef BASE_HASHMAP_H
#define BASE_HASHMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap_entry {
	uint64_t key;
	uint64_t value;
	bool used;
};

struct hashmap {
	struct hashmap_entry *slots;
	size_t cap, len, max; /* entries; cap is 0 or a power of two */
	uint64_t seed;
};

void hashmap_init(struct hashmap *m, size_t max_entries);
void hashmap_done(struct hashmap *m);
/* 0; -ENOSPC at the maximum; -ENOMEM. Replaces the value of a key that is there. */
int hashmap_put(struct hashmap *m, uint64_t key, uint64_t value);
/* Whether the key is there; *ret is set only then. */
bool hashmap_get(const struct hashmap *m, uint64_t key, uint64_t *ret);
/* Whether it was there. */
bool hashmap_del(struct hashmap *m, uint64_t key);

static inline int hashmap_put_ptr(struct hashmap *m, uint64_t key, void *p)
{
	return hashmap_put(m, key, (uint64_t)(uintptr_t)p);
}

/* NULL when absent. */
static inline void *hashmap_get_ptr(const struct hashmap *m, uint64_t key)
{
	uint64_t v = 0;

	return hashmap_get(m, key, &v) ? (void *)(uintptr_t)v : NULL;
}

/* for (struct hashmap_entry *e = NULL; (e = hashmap_next(m, e));) ... ; no put or del inside. */
struct hashmap_entry *hashmap_next(const struct hashmap *m, const struct hashmap_entry *after);

#endif

/* The map against a plain array, through lives in which it grows and shrinks. */
#include "base/hash.h"
#include "base/hashmap.h"
#include "tests/lib/test.h"

#define KEYS 4096

static struct {
	struct hashmap map;
	uint64_t value[KEYS]; /* 0: not there */
	size_t n;
	uint64_t random;
} t;

static uint64_t any(uint64_t below)
{
	t.random = hash_u64(t.random + 1);
	return t.random % below;
}

static void check_all(void)
{
	EXPECT_EQ(t.map.len, t.n);
	for (uint64_t k = 0; k < KEYS; k++) {
		uint64_t v = 0;

		if (!EXPECT(hashmap_get(&t.map, k, &v) == (t.value[k] != 0)) ||
		    !EXPECT_EQ(v, t.value[k]))
			return;
	}
}

static void put(uint64_t k)
{
	t.n += t.value[k] == 0;
	t.value[k] = any(1000) + 1;
	EXPECT_EQ(hashmap_put(&t.map, k, t.value[k]), 0);
}

static void del(uint64_t k)
{
	EXPECT(hashmap_del(&t.map, k) == (t.value[k] != 0));
	t.n -= t.value[k] != 0;
	t.value[k] = 0;
}

static void test_hashmap__says_what_was_put(void)
{
	memset(&t, 0, sizeof(t));
	hashmap_init(&t.map, KEYS);
	for (int life = 0; life < 6; life++) {
		for (int i = 0; i < 20000; i++)
			any(10) < (life % 2 ? 2 : 8) ? put(any(KEYS)) : del(any(KEYS));
		check_all();
	}
	hashmap_done(&t.map);
}

static void test_hashmap__shrinks_with_its_entries(void)
{
	memset(&t, 0, sizeof(t));
	hashmap_init(&t.map, KEYS);
	for (uint64_t k = 0; k < KEYS; k++)
		put(k);
	EXPECT(t.map.cap >= KEYS);
	for (uint64_t k = 10; k < KEYS; k++) {
		del(k);
		if (!EXPECT(t.map.cap <= 16 || t.map.cap <= t.map.len * 8))
			return;
	}
	EXPECT(t.map.cap <= 128);
	check_all();
	hashmap_done(&t.map);
}

static void test_hashmap__stops_at_its_maximum(void)
{
	memset(&t, 0, sizeof(t));
	hashmap_init(&t.map, 100);
	for (uint64_t k = 0; k < 100; k++)
		put(k);
	EXPECT(hashmap_put(&t.map, 100, 1) < 0);
	EXPECT_EQ(hashmap_put(&t.map, 99, t.value[99] = 7), 0);
	check_all();
	hashmap_done(&t.map);
}

TEST_MAIN(TEST(test_hashmap__says_what_was_put), TEST(test_hashmap__shrinks_with_its_entries),
	  TEST(test_hashmap__stops_at_its_maximum))

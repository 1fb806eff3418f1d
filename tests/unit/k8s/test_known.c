#include "base/util.h"
#include "k8s/known.h"
#include "tests/lib/test.h"

#include <errno.h>

static struct known_uid uid_of(uint32_t i)
{
	struct known_uid uid = { 0 };

	memcpy(uid.b, &i, sizeof(i));
	return uid;
}

static void test_known__uid(void)
{
	static const char text[] = "0f5a2c1e-77b3-4d10-9a4e-3c2b1a0f9e8d";
	char out[KNOWN_UID_TEXT], copy[sizeof(text)];
	struct known_uid uid;

	EXPECT(known_uid_parse(slice_str(text), &uid));
	known_uid_format(&uid, out);
	EXPECT_STR(out, text);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		memcpy(copy, text, sizeof(text));
		copy[i] = copy[i] == '-' ? 'a' : '-';
		EXPECT(!known_uid_parse(slice_str(copy), &uid));
		EXPECT(!known_uid_parse(slice_of(text, i), &uid));
	}
	EXPECT(!known_uid_parse(slice_str("0F5a2c1e-77b3-4d10-9a4e-3c2b1a0f9e8d"), &uid));
}

/* Against a plain array, through growth and deletion. */
static void test_known__as_a_set(void)
{
	enum { N = 5000 };
	static bool there[N];
	struct known k;
	uint64_t x = 1;
	size_t n = 0;

	known_init(&k);
	for (size_t step = 0; step < 40000; step++) {
		struct known_slot *s;
		struct known_uid uid;
		uint32_t i;

		x = hash_u64(x + 1);
		i = (uint32_t)(x % N);
		uid = uid_of(i);
		s = known_find(&k, &uid);
		if (!EXPECT_EQ(s != NULL, there[i]))
			break;
		if (s) {
			EXPECT_EQ(s->version, i);
			known_del(&k, s);
			n--;
		} else {
			EXPECT_EQ(known_add(&k, &uid, i, 1), 0);
			n++;
		}
		there[i] = !there[i];
	}
	EXPECT_EQ(k.len, n);
	known_done(&k);
}

struct swept {
	size_t n;
	bool seen[3000], twice;
};

static void note(void *ctx, const struct known_uid *uid)
{
	struct swept *s = ctx;
	uint32_t i;

	memcpy(&i, uid->b, sizeof(i));
	s->twice |= s->seen[i];
	s->seen[i] = true;
	s->n++;
}

/* At every fullness of the table, the end that wraps to the beginning among it. */
static void test_known__sweep(void)
{
	for (uint32_t n = 1; n < 3000; n += 7) {
		struct swept s = { 0 };
		struct known k;

		known_init(&k);
		for (uint32_t i = 0; i < n; i++) {
			struct known_uid uid = uid_of(i);

			known_add(&k, &uid, 1, i % 3 ? 1 : 2);
		}
		known_sweep(&k, 2, note, &s);
		EXPECT_EQ(k.len, (n + 2) / 3);
		EXPECT_EQ(s.n, n - (n + 2) / 3);
		EXPECT(!s.twice);
		for (uint32_t i = 0; i < n; i++) {
			struct known_uid uid = uid_of(i);

			if (!EXPECT_EQ(known_find(&k, &uid) != NULL, i % 3 == 0))
				break;
		}
		known_done(&k);
	}
}

static void test_known__limit(void)
{
	struct known k;
	struct known_uid uid;

	known_init(&k);
	for (uint32_t i = 0; i < K8S_KNOWN_MAX; i++) {
		uid = uid_of(i);
		if (!EXPECT_EQ(known_add(&k, &uid, 0, 0), 0))
			break;
	}
	uid = uid_of(K8S_KNOWN_MAX);
	EXPECT_EQ(known_add(&k, &uid, 0, 0), -ENOSPC);
	known_done(&k);
}

TEST_MAIN(TEST(test_known__uid), TEST(test_known__as_a_set), TEST(test_known__sweep),
	  TEST(test_known__limit))

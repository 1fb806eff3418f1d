#include "base/losses.h"
#include "tests/lib/test.h"

static void test_losses__what_counts(void)
{
	struct losses l = { 0 };

	losses_count(&l, "not_wanted", true, "bytes", 1000);
	losses_count(&l, "sampled", true, "connections", 7);
	EXPECT_EQ(l.units, 0);
	EXPECT_EQ(l.bytes, 0);
	EXPECT_EQ(l.sampled, 7);
	losses_count(&l, "gap", false, "bytes", 30);
	losses_count(&l, "BC_DB_RING", false, "datagram_bytes", 4);
	losses_count(&l, "BC_D_RING", false, "datagrams", 1);
	losses_count(&l, "rejected", false, "rows", 2);
	EXPECT_EQ(l.bytes, 34);
	EXPECT_EQ(l.units, 3);
}

static void test_losses__growth(void)
{
	struct losses before = { 5, 5, 5 }, now = { 7, 4, 5 };
	struct losses grown = losses_growth(&now, &before);

	EXPECT_EQ(grown.units, 2);
	EXPECT_EQ(grown.bytes, 0);
	EXPECT_EQ(grown.sampled, 0);
	EXPECT(losses_any(&grown));
	losses_add(&before, &grown);
	EXPECT_EQ(before.units, 7);
	EXPECT(!losses_any(&(struct losses){ 0 }));
}

TEST_MAIN(TEST(test_losses__what_counts), TEST(test_losses__growth))

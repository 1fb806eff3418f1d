/* The CPU budget: what is read of the new connections follows what the agent uses. */
#include "agent/budget.h"

#include "base/util.h"
#include "tests/lib/test.h"

#define STEP_NS UINT64_C(1000000000)

/* Steps in which `used` thousandths of a core are spent; how often the share changed. */
static int spend(struct budget *b, int steps, uint64_t used)
{
	uint64_t now = MAX(b->at_ns, STEP_NS), cpu = b->cpu_ns;
	int changes = 0;

	while (steps--) {
		now += STEP_NS;
		cpu += used * STEP_NS / 1000;
		changes += budget_step(b, now, cpu);
	}
	return changes;
}

static void test_budget__without_one_all_is_read(void)
{
	struct budget b = { 0 };

	EXPECT_EQ(spend(&b, 100, 4000), 0);
	EXPECT_EQ(b.shift, 0);
	EXPECT_EQ(b.used, 4000);
}

static void test_budget__follows_the_load(void)
{
	struct budget b = { .limit = 500 };

	EXPECT_EQ(spend(&b, 1 + BUDGET_OVER - 1, 501), 0); /* the first step measures nothing */
	EXPECT_EQ(spend(&b, 1, 500), 0);		   /* not in a row */
	EXPECT_EQ(spend(&b, BUDGET_OVER, 501), 1);
	EXPECT_EQ(b.shift, 1);
	EXPECT_EQ(spend(&b, 2 * BUDGET_OVER, 900), 2);
	EXPECT_EQ(b.shift, 3);
	EXPECT_EQ(spend(&b, 1000, 450), 0); /* in budget, but not by so much that more would be */
	EXPECT_EQ(spend(&b, BUDGET_UNDER, 100), 1);
	EXPECT_EQ(b.shift, 2);
	EXPECT_EQ(spend(&b, 10 * BUDGET_UNDER, 0), 2);
	EXPECT_EQ(b.shift, 0);
	EXPECT_EQ(spend(&b, 1000, 100000), BUDGET_SHIFT_MAX);
}

static void test_budget__a_process_started_anew(void)
{
	struct budget b = { .limit = 100 };

	EXPECT_EQ(spend(&b, 2, 50), 0);
	EXPECT_EQ(budget_step(&b, b.at_ns + STEP_NS, 1), 0);
	EXPECT_EQ(b.used, 50);
	EXPECT_EQ(budget_step(&b, b.at_ns, 5), 0); /* no time has passed */
	EXPECT_EQ(spend(&b, 1, 70), 0);
	EXPECT_EQ(b.used, 70);
}

/* One in 1 << shift, of counters too; what a smaller share takes a larger one takes. */
static void test_budget__takes_its_share(void)
{
	enum { N = 1 << 16 };

	for (uint32_t shift = 0; shift <= BUDGET_SHIFT_MAX + 3; shift++) {
		uint32_t want = N >> MIN(shift, (uint32_t)BUDGET_SHIFT_MAX), got = 0;

		for (uint64_t id = 1; id <= N; id++) {
			bool takes = budget_takes(shift, id);

			got += takes;
			if (shift && takes)
				EXPECT(budget_takes(shift - 1, id));
		}
		EXPECT(got > want * 3 / 4 && got < want * 5 / 4 + 1);
	}
	EXPECT(budget_takes(0, 0));
	(void)budget_takes(UINT32_MAX, 7);
}

TEST_MAIN(TEST(test_budget__without_one_all_is_read), TEST(test_budget__follows_the_load),
	  TEST(test_budget__a_process_started_anew), TEST(test_budget__takes_its_share))

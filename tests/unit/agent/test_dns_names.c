/* Names of addresses: who asked, how long it holds, what is ambiguous. */
#include "agent/dns_names.h"
#include "tests/lib/test.h"

#define S NSEC_PER_SEC

static const uint8_t addr[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const struct dns_asker shop = { 1, 10 }, other = { 1, 11 }, elsewhere = { 2, 10 };

static bool named(const struct dns_names *d, const struct dns_asker *who, uint64_t at,
		  const char *want, bool want_shared)
{
	bool shared = false;
	struct slice got = dns_names_find(d, who, addr, at, &shared);

	return slice_eq_str(got, want) && shared == want_shared;
}

static void test_dns_names__who_and_how_long(void)
{
	struct dns_names d = { 0 };

	EXPECT(named(&d, &shop, 0, "", false));
	dns_names_learn(&d, &shop, addr, SLICE_LIT("pond.test"), 60, 100 * S);
	EXPECT(named(&d, &shop, 100 * S, "pond.test", false));
	EXPECT(named(&d, &shop, 160 * S, "pond.test", false));
	EXPECT(named(&d, &shop, 99 * S, "", false));
	EXPECT(named(&d, &shop, 161 * S, "", false));
	EXPECT(named(&d, &other, 100 * S, "pond.test", true));
	EXPECT(named(&d, &elsewhere, 100 * S, "", false));
	dns_names_learn(&d, &elsewhere, addr, SLICE_LIT("zero.test"), 0, 100 * S);
	EXPECT(named(&d, &elsewhere, 104 * S, "zero.test", false));
	EXPECT(named(&d, &elsewhere, 106 * S, "", false));
	dns_names_done(&d);
}

static void test_dns_names__two_names(void)
{
	struct dns_names d = { 0 };

	dns_names_learn(&d, &shop, addr, SLICE_LIT("a.test"), 60, 100 * S);
	dns_names_learn(&d, &other, addr, SLICE_LIT("b.test"), 60, 110 * S);
	EXPECT(named(&d, &shop, 120 * S, "a.test", false));
	EXPECT(named(&d, &other, 120 * S, "b.test", false));
	EXPECT(named(&d, &(struct dns_asker){ 1, 12 }, 120 * S, "", true));
	dns_names_learn(&d, &shop, addr, SLICE_LIT("c.test"), 60, 120 * S);
	EXPECT(named(&d, &shop, 121 * S, "", false));
	/* when both have run out, a new one counts again */
	dns_names_learn(&d, &shop, addr, SLICE_LIT("c.test"), 60, 500 * S);
	EXPECT(named(&d, &shop, 501 * S, "c.test", false));
	dns_names_done(&d);
}

/* As many as there is room for, and more: the table stays as large as it is. */
static void test_dns_names__many(void)
{
	struct dns_names d = { 0 };
	size_t found = 0;
	bool shared;

	for (uint32_t i = 1; i <= 20000; i++)
		dns_names_learn(&d, &(struct dns_asker){ i, 0 }, addr, SLICE_LIT("x.test"), 60,
				i * (S / 1000));
	for (uint32_t i = 1; i <= 20000; i++)
		found += dns_names_find(&d, &(struct dns_asker){ i, 0 }, addr, 30 * S, &shared).n >
			 0;
	EXPECT(found > 0 && found <= DNS_NAMES_SETS * DNS_NAMES_WAYS);
	dns_names_done(&d);
}

static const struct test_case cases[] = {
	TEST(test_dns_names__who_and_how_long),
	TEST(test_dns_names__two_names),
	TEST(test_dns_names__many),
};

int main(int argc, char **argv)
{
	return test_run(cases, ARRAY_SIZE(cases), argc, argv);
}

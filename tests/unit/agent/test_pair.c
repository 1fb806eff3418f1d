/* Hop 6's table: what the rest of the pipeline takes for granted of each protocol's entry. */
#include "agent/pair.h"
#include "agent/policy.h"
#include "protocols/schema.h"
#include "tests/lib/test.h"

#include <stdio.h>

static void test_pair__every_parser_has_its_exchanges(void)
{
	size_t n = 0;

	for (int id = 0; id < _PROTO_MAX; id++) {
		const struct pair_ops *ops = pair_ops_of((enum proto_id)id);
		const struct table_schema *table;

		EXPECT(!ops == !proto_get((enum proto_id)id));
		if (!ops)
			continue;
		n++;
		table = schema_table(ops->table);
		EXPECT(table && (table->flags & TABLE_F_EXCHANGES));
		EXPECT(ops->field && ops->num && ops->columns);
		EXPECT(!ops->known == !ops->learn);
	}
	EXPECT(n > 0);
	EXPECT(pair_ops_of(_PROTO_MAX) == NULL);
	EXPECT(pair_ops_of(PROTO_UNKNOWN) == NULL);
}

/* What can be read can be switched off, by the key that bears its name in column `protocol`. */
static void test_pair__every_parser_can_be_switched_off(void)
{
	static struct config all, none;
	struct policy on = { .cfg = &all }, off = { .cfg = &none }, defaults = { 0 };

	memset(all.capture.protocols, 1, sizeof(all.capture.protocols));
	for (enum proto_id id = 0; id < _PROTO_MAX; id++) {
		struct config but_one = all;
		struct policy one_off = { .cfg = &but_one };
		char key[64];

		EXPECT(!policy_refuses_protocol(&on, id));
		EXPECT(!policy_refuses_protocol(&defaults, id));
		if (!proto_get(id))
			continue;
		snprintf(key, sizeof(key), "capture.protocols.%s.enabled", proto_name(id));
		EXPECT(policy_refuses_protocol(&off, id));
		EXPECT(strstr(policy_refuses_protocol(&off, id), key));
		EXPECT(config_key(key));
		*((bool *)&but_one + config_key(key)->offset) = false;
		EXPECT(policy_refuses_protocol(&one_off, id));
	}
}

TEST_MAIN(TEST(test_pair__every_parser_has_its_exchanges),
	  TEST(test_pair__every_parser_can_be_switched_off))

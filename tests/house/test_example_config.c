/* deploy/kelpie.yaml is what the table of keys says: it loads, every key in it has its default, and
 * every key is in it, other than the switches of protocols and layers that are not read yet. */
#include "base/strbuf.h"
#include "base/util.h"
#include "config/config.h"
#include "tests/lib/test.h"

#define EXAMPLE "deploy/kelpie.yaml"

static char *const no_environment[] = { NULL };

static const char *const not_yet[] = { "capture.protocols.", "tls.", "payload.sqlLiterals" };

static bool is_not_yet(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_yet); i++)
		if (strncmp(key, not_yet[i], strlen(not_yet[i])) == 0)
			return true;
	return false;
}

static bool load(struct config *ret)
{
	struct config_opts opts = { .file = EXAMPLE, .env = no_environment };
	struct config_diag diag = { 0 };
	bool ok = config_load(&opts, ret, &diag) == 0;

	if (!ok)
		printf("# %s\n", diag.message);
	return ok;
}

static void test_example_config__loads(void)
{
	_cleanup_(freep) struct config *c = calloc(1, sizeof(*c));

	ASSERT(c != NULL);
	EXPECT(load(c));
}

static void test_example_config__holds_the_defaults(void)
{
	_cleanup_(freep) struct config *c = calloc(1, sizeof(*c));
	size_t n;
	const struct config_key *keys = config_keys(&n);

	ASSERT(c != NULL);
	ASSERT(load(c));
	for (size_t i = 0; i < n; i++) {
		struct config *defaults = calloc(1, sizeof(*defaults));
		struct config_opts opts = { .file = "/dev/null", .env = no_environment };
		struct config_diag diag;
		struct strbuf got = STRBUF_INIT(64 * KIB), want = STRBUF_INIT(64 * KIB);

		if (defaults && EXPECT_EQ(config_load(&opts, defaults, &diag), 0)) {
			config_format(c, &keys[i], &got);
			config_format(defaults, &keys[i], &want);
			if (strcmp(keys[i].name, "node") != 0)
				EXPECT_STR(strbuf_str(&got), strbuf_str(&want));
		}
		strbuf_done(&got);
		strbuf_done(&want);
		free(defaults);
	}
}

static void test_example_config__names_every_key(void)
{
	_cleanup_(freep) struct config *c = calloc(1, sizeof(*c));
	size_t n;
	const struct config_key *keys = config_keys(&n);

	ASSERT(c != NULL);
	ASSERT(load(c));
	for (size_t i = 0; i < n; i++)
		if (!is_not_yet(keys[i].name) && !EXPECT(c->origins[i].from == CONFIG_FROM_FILE))
			printf("# %s is not in " EXAMPLE "\n", keys[i].name);
}

TEST_MAIN(TEST(test_example_config__loads), TEST(test_example_config__holds_the_defaults),
	  TEST(test_example_config__names_every_key))

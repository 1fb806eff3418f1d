/* 1,000 random files: a valid one loads with exactly the values that were written; the same file
 * with one mistake is refused, names the line of the mistake and leaves the old values alone. 1,000
 * more are valid files with random bytes in them: no crash, and a refusal always has a message. */
#include "config/config.h"

#include "base/hash.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

#define ROUNDS 1000

static char *const no_env[] = { NULL };
static uint64_t rng_state;

static uint64_t rng(uint64_t below)
{
	rng_state += 0x9e3779b97f4a7c15ull;
	return hash_u64(rng_state) % below;
}

static int load(const struct strbuf *text, struct config *ret, struct config_diag *diag)
{
	char path[] = "/tmp/kelpie-test-config.XXXXXX";
	int fd = mkstemp(path), r;
	struct config_opts opts = { .file = path, .env = no_env };

	if (fd < 0 || write(fd, text->p, text->len) != (ssize_t)text->len)
		return -EIO;
	close(fd);
	r = config_load(&opts, ret, diag);
	unlink(path);
	return r;
}

/* One of words that stand with spaces between them. */
static void one_word(const char *words, struct strbuf *out)
{
	struct slice left = slice_str(words), word;
	uint64_t skip = rng(4);

	do {
		word = slice_head(left, slice_find(left, ' '));
		left = slice_from(left, word.n + 1);
	} while (skip-- && left.n);
	strbuf_add(out, word.p, word.n);
}

static void add_value(struct strbuf *out, const struct config_key *key)
{
	static const char *const addresses[] = { "'unix:/run/k.sock'", "'10.0.0.1:8080'",
						 "'[::1]:65535'" };
	uint64_t v;

	switch ((enum config_type)key->type) {
	case CONFIG_TEXT:
		if (key->words) {
			strbuf_adds(out, rng(2) ? "auto" : "socklen");
			break;
		}
		__attribute__((fallthrough));
	case CONFIG_PATH:
		strbuf_addf(out, "\"t%llu\"", (unsigned long long)rng(1000000));
		break;
	case CONFIG_ADDRESS:
		strbuf_adds(out, addresses[rng(ARRAY_SIZE(addresses))]);
		break;
	case CONFIG_WORD:
		one_word(key->words, out);
		break;
	case CONFIG_BOOL:
		strbuf_adds(out, rng(2) ? "true" : "false");
		break;
	case CONFIG_SIZE:
		v = key->flags & CONFIG_POWER_OF_TWO ? 1ull << (16 + rng(13))
						     : key->min + rng(key->max - key->min + 1);
		strbuf_addf(out, "%llu", (unsigned long long)v);
		break;
	case CONFIG_DURATION:
		strbuf_addf(out, "%lluns",
			    (unsigned long long)(key->min + rng(key->max - key->min + 1)));
		break;
	case CONFIG_COUNT:
		strbuf_addf(out, "%llu", (unsigned long long)(key->min + rng(key->max)));
		break;
	case CONFIG_CORES:
		strbuf_addf(out, "%llu.%03llu", (unsigned long long)rng(1000),
			    (unsigned long long)rng(1000));
		break;
	case CONFIG_LIST:
		strbuf_addf(out, "[\"a%llu\", \"b*\"]", (unsigned long long)rng(1000));
		break;
	case _CONFIG_TYPE_MAX:
		break;
	}
}

/* What config_format() should give for the text that add_value() wrote, by loading it alone. */
static bool same(const struct config *a, const struct config *b, const struct config_key *key)
{
	_cleanup_(strbuf_done) struct strbuf x = STRBUF_INIT(65536), y = STRBUF_INIT(65536);

	config_format(a, key, &x);
	config_format(b, key, &y);
	return slice_eq(strbuf_slice(&x), strbuf_slice(&y));
}

/* A random half of the keys, one a line, in random order; *ret_lines of them. */
static void random_file(struct strbuf *out, size_t *chosen, size_t *ret_lines)
{
	size_t n, m = 0;
	const struct config_key *keys = config_keys(&n);
	bool used[CONFIG_KEYS_MAX] = { false };

	for (size_t tries = 0; tries < n; tries++) {
		size_t i = rng(n);

		/* a pair that check_together() binds is left to test_config */
		if (used[i] || strncmp(keys[i].name, "retention.", 10) == 0)
			continue;
		used[i] = true;
		chosen[m++] = i;
		strbuf_addf(out, "%s: ", keys[i].name);
		add_value(out, &keys[i]);
		strbuf_addch(out, '\n');
	}
	*ret_lines = m;
}

static void test_random__valid_and_spoiled(void)
{
	static const char *const spoiled[] = { "captur.hook: auto\n", "query.rows: many\n",
					       "log.levels: info\n",  "tls: maybe\n",
					       "listen: nowhere\n",   "dataDir: [a]\n" };
	size_t n;
	const struct config_key *keys = config_keys(&n);

	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(1u << 20);
		_cleanup_(strbuf_done) struct strbuf alone = STRBUF_INIT(1u << 20);
		size_t chosen[CONFIG_KEYS_MAX], lines, pick;
		struct config_diag diag;
		struct config c, one, old;

		rng_state = (uint64_t)round;
		random_file(&text, chosen, &lines);
		if (!EXPECT_EQ(load(&text, &c, &diag), 0)) {
			printf("# round %d: %s\n", round, diag.message);
			return;
		}
		for (size_t i = 0; i < lines; i++)
			ASSERT_EQ(c.origins[chosen[i]].line, i + 1);
		if (lines) {
			const char *line = text.p;

			pick = rng(lines);
			for (size_t i = 0; i < pick; i++)
				line = strchr(line, '\n') + 1;
			strbuf_add(&alone, line, (size_t)(strchr(line, '\n') - line));
			ASSERT_EQ(load(&alone, &one, &diag), 0);
			ASSERT(same(&c, &one, &keys[chosen[pick]]));
		}
		strbuf_adds(&text, spoiled[rng(ARRAY_SIZE(spoiled))]);
		memcpy(&old, &c, sizeof(old));
		if (!EXPECT_EQ(load(&text, &c, &diag), -EINVAL) ||
		    !EXPECT_EQ(diag.line, lines + 1)) {
			printf("# round %d: %s\n", round, diag.message);
			return;
		}
		ASSERT(memcmp(&c, &old, sizeof(c)) == 0);
	}
}

static void test_random__bytes(void)
{
	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(1u << 20);
		size_t chosen[CONFIG_KEYS_MAX], lines;
		struct config_diag diag;
		struct config c;

		rng_state = 77777 + (uint64_t)round;
		random_file(&text, chosen, &lines);
		for (int i = 0; text.len && i < 4; i++)
			text.p[rng(text.len)] = (char)rng(256);
		if (load(&text, &c, &diag) < 0)
			ASSERT(diag.message[0] != 0 && strlen(diag.message) < sizeof(diag.message));
	}
}

TEST_MAIN(TEST(test_random__valid_and_spoiled), TEST(test_random__bytes))

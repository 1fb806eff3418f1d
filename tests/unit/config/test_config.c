/* Every type of value, who wins over whom, and what a wrong file is told. */
#include "config/config.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

static char *const no_env[] = { NULL };

/* Writes text to a file of its own and loads it. */
static int load_text(const char *text, char *const *env, struct config *ret,
		     struct config_diag *diag)
{
	char path[] = "/tmp/kelpie-test-config.XXXXXX";
	int fd = mkstemp(path), r;
	struct config_opts opts = { .file = path, .env = env ? env : no_env };

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -EIO;
	close(fd);
	r = config_load(&opts, ret, diag);
	unlink(path);
	return r;
}

static void expect_refused(const char *text, unsigned int line, const char *part)
{
	struct config before, c;
	struct config_diag diag;

	memset(&before, 0x5a, sizeof(before));
	memcpy(&c, &before, sizeof(c));
	EXPECT_EQ(load_text(text, NULL, &c, &diag), -EINVAL);
	EXPECT_EQ(diag.line, line);
	if (!EXPECT(strstr(diag.message, part) != NULL))
		printf("# message: %s\n", diag.message);
	EXPECT_MEM(&c, sizeof(c), &before, sizeof(before));
}

static void test_config__defaults(void)
{
	struct config_opts opts = { .file = "/dev/null", .env = no_env };
	struct config_diag diag;
	struct config c;

	ASSERT_EQ(config_load(&opts, &c, &diag), 0);
	EXPECT_STR(c.data_dir, "/var/lib/kelpie");
	EXPECT_STR(c.listen, "unix:/run/kelpie/kelpie.sock");
	EXPECT_STR(c.capture.hook, "auto");
	EXPECT_EQ(c.capture.ring_bytes, 8 * MIB);
	EXPECT_EQ(c.capture.allow.n, 0);
	EXPECT(c.capture.protocols[CONFIG_HTTP]);
	EXPECT(!c.payload.bodies);
	EXPECT(!c.payload.sql_literals);
	EXPECT_EQ(c.query.timeout_ns, 10 * NSEC_PER_SEC);
	EXPECT(c.node[0] != 0);
}

static void test_config__every_type(void)
{
	struct config_diag diag;
	struct config c;

	ASSERT_EQ(load_text("dataDir: /srv/k\n"
			    "listen: '127.0.0.1:9411'\n"
			    "node: n1\n"
			    "capture:\n"
			    "  ringBytes: 64KiB\n"
			    "  deny: [sshd, 'kube*']\n"
			    "  budgetCores: 0.25\n"
			    "  protocols:\n"
			    "    http: {enabled: false}\n"
			    "payload.maxBytes: 512\n"
			    "redaction: { headersAllow: [X-Tenant] }\n"
			    "retention: { age: 36h, bytes: 1GiB, payloadBytes: 10MiB }\n"
			    "query:\n"
			    "log: { level: warn, format: json }\n",
			    NULL, &c, &diag),
		  0);
	EXPECT_STR(c.data_dir, "/srv/k");
	EXPECT_STR(c.listen, "127.0.0.1:9411");
	EXPECT_STR(c.node, "n1");
	EXPECT_EQ(c.capture.ring_bytes, 64 * KIB);
	ASSERT_EQ(c.capture.deny.n, 2);
	EXPECT_STR(c.capture.deny.items[1], "kube*");
	EXPECT_EQ(c.capture.budget_millicores, 250);
	EXPECT(!c.capture.protocols[CONFIG_HTTP]);
	EXPECT(c.capture.protocols[CONFIG_DNS]);
	EXPECT_EQ(c.payload.max_bytes, 512);
	EXPECT_STR(c.redaction.headers_allow.items[0], "x-tenant");
	EXPECT_EQ(c.retention.age_ns, 36 * 3600 * NSEC_PER_SEC);
	EXPECT_EQ(c.log.level, 2);
	EXPECT_EQ(c.log.format, CONFIG_LOG_JSON);
}

static void test_config__who_wins(void)
{
	char level[] = "KELPIE_LOG_LEVEL=error", dir[] = "KELPIE_DATA_DIR=/from/env";
	char deny[] = "KELPIE_CAPTURE_DENY=a,b",
	     foreign[] = "KELPIE_COLLECTOR_SERVICE_HOST=10.0.0.1";
	char *env[] = { level, dir, deny, foreign, NULL };
	struct config_flag flags[] = { { "dataDir", "/from/flag" } };
	struct config_opts opts = { .file = "/dev/null", .env = env, .flags = flags, .n_flags = 1 };
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(4096);
	struct config_diag diag;
	struct config c;

	ASSERT_EQ(config_load(&opts, &c, &diag), 0);
	EXPECT_STR(c.data_dir, "/from/flag");
	EXPECT_EQ(c.log.level, 3);
	EXPECT_EQ(c.capture.deny.n, 2);
	config_format_origin(&c, config_key("dataDir"), &out);
	strbuf_addch(&out, ' ');
	config_format_origin(&c, config_key("log.level"), &out);
	strbuf_addch(&out, ' ');
	config_format_origin(&c, config_key("query.rows"), &out);
	EXPECT_STR(strbuf_str(&out), "flag KELPIE_LOG_LEVEL default");
}

static void test_config__file_under_environment(void)
{
	char level[] = "KELPIE_LOG_LEVEL=error";
	char *env[] = { level, NULL };
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(4096);
	struct config_diag diag;
	struct config c;

	ASSERT_EQ(load_text("log:\n  level: debug\n  format: json\n", env, &c, &diag), 0);
	EXPECT_EQ(c.log.level, 3);
	EXPECT_EQ(c.log.format, CONFIG_LOG_JSON);
	config_format_origin(&c, config_key("log.format"), &out);
	EXPECT(strstr(strbuf_str(&out), ":3") != NULL);
}

static void test_config__wrong_files(void)
{
	expect_refused("dataDir: /x\ncapture:\n  ringByte: 8MiB\n", 3,
		       "did you mean capture.ringBytes?");
	expect_refused("capture:\n  ringBytes: 12x\n", 2, "capture.ringBytes: '12x' is no size");
	expect_refused("capture:\n  ringBytes: 100KiB\n", 2, "power of two");
	expect_refused("capture:\n  ringBytes: 4KiB\n", 2, "between 64KiB and 256MiB");
	expect_refused("capture: {hook: kprobe}\n", 1, "not one of: auto socklen");
	expect_refused("log:\n  level: loud\n", 2, "not one of: debug info warn error");
	expect_refused("log:\n  level: info\n  level: warn\n", 3, "stands twice, first in line 2");
	expect_refused("payload: true\n", 1, "is a section");
	expect_refused("dataDir: {a: b}\n", 1, "needs a value");
	expect_refused("capture: [a]\n", 1, "a list has no place here");
	expect_refused("capture: {allow: nginx}\n", 1, "must be a list");
	expect_refused("capture: {allow: [[a]]}\n", 1, "a list has no place here");
	expect_refused("dataDir:\n", 1, "has no value");
	expect_refused("x: &a 1\n", 1, "no such key");
	expect_refused("dataDir: *a\n", 1, "aliases");
	expect_refused("dataDir: /x\n bad: [\n", 2, "no valid YAML");
	expect_refused("just text\n", 1, "expected keys with values");
	expect_refused("dataDir: \"/a\\x1b[2J\"\n", 1, "control character");
	expect_refused("listen: unix\n", 1, "'unix' is no address");
	expect_refused("listen: 'unix:'\n", 1, "without a path");
	expect_refused("listen: '::1:80'\n", 1, "brackets");
	expect_refused("listen: '127.0.0.1:0'\n", 1, "no address");
	expect_refused("capture: {protocols: {htp: {enabled: true}}}\n", 1,
		       "did you mean capture.protocols.http?");
	expect_refused("retention: {bytes: 16MiB, payloadBytes: 1GiB}\n", 0,
		       "larger than retention.bytes");
	expect_refused("query: {timeout: 5}\n", 1, "no duration");
	expect_refused("capture: {budgetCores: 1.}\n", 1, "no number of cores");
}

static void test_config__missing_file(void)
{
	struct config_opts opts = { .file = "/nonexistent/kelpie.yaml", .env = no_env };
	struct config_diag diag;
	struct config c;

	EXPECT_EQ(config_load(&opts, &c, &diag), -ENOENT);
	EXPECT(strstr(diag.message, "/nonexistent/kelpie.yaml: cannot be read") != NULL);
}

/* What `config show` prints can be read back and means the same. */
static void test_config__round_trip(void)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(65536);
	struct config_diag diag;
	struct config a, b;
	size_t n;
	const struct config_key *keys = config_keys(&n);

	ASSERT_EQ(
		load_text(
			"capture: {deny: ['a\"b', 'c: d'], budgetCores: 1.05}\nlisten: '[::1]:80'\n"
			"payload: {reason: \"it's #1\"}\nretention: {age: 90s}\n",
			NULL, &a, &diag),
		0);
	for (size_t i = 0; i < n; i++) {
		strbuf_addf(&text, "%s: ", keys[i].name);
		config_format(&a, &keys[i], &text);
		strbuf_addch(&text, '\n');
	}
	if (!EXPECT_EQ(load_text(strbuf_str(&text), NULL, &b, &diag), 0))
		printf("# %s\n", diag.message);
	memcpy(b.file, a.file, sizeof(b.file));
	memcpy(b.origins, a.origins, sizeof(b.origins));
	EXPECT_MEM(&a, sizeof(a), &b, sizeof(b));
}

static void test_config__table(void)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);

	for (size_t i = 0; i < n; i++) {
		EXPECT(config_key(keys[i].name) == &keys[i]);
		EXPECT(keys[i].doc && *keys[i].doc);
	}
	for (int p = 0; p < _CONFIG_PROTOCOL_MAX; p++) {
		_cleanup_(strbuf_done) struct strbuf name = STRBUF_INIT(128);

		strbuf_addf(&name, "capture.protocols.%s.enabled", config_protocol_name(p));
		EXPECT(config_key(strbuf_str(&name)) != NULL);
	}
}

TEST_MAIN(TEST(test_config__defaults), TEST(test_config__every_type), TEST(test_config__who_wins),
	  TEST(test_config__file_under_environment), TEST(test_config__wrong_files),
	  TEST(test_config__missing_file), TEST(test_config__round_trip), TEST(test_config__table))

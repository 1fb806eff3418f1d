/* The tables of commands and flags agree with themselves, with help and with docs/cli.md. */
#include "cli/cli.h"
#include "config/config.h"

#include "tests/lib/test.h"

#include <ctype.h>
#include <stdio.h>

static bool read_file(const char *path, struct strbuf *out)
{
	FILE *f = fopen(path, "re");
	char buf[4096];
	size_t n;

	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		strbuf_add(out, buf, n);
	if (f)
		fclose(f);
	return f != NULL;
}

static void test_table__commands(void)
{
	size_t n;
	const struct command *cmds = cli_commands(&n);

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(cmds[i].summary);

		EXPECT(cli_command(cmds[i].name) == &cmds[i]);
		EXPECT(cmds[i].fn != NULL);
		EXPECT(len > 0 && cmds[i].summary[len - 1] != '.' && len < 66);
		for (size_t k = 0; k < 2; k++)
			EXPECT(cmds[i].examples[k] && strstr(cmds[i].examples[k], "kelpie ") &&
			       strstr(cmds[i].examples[k], cmds[i].name));
	}
}

static void test_table__flags(void)
{
	size_t n;
	const struct flag *flags = cli_flags(&n);

	for (size_t i = 0; i < n; i++) {
		EXPECT(flags[i].doc && *flags[i].doc);
		for (size_t k = 0; k < i; k++) {
			if (!(flags[i].groups & flags[k].groups))
				continue;
			EXPECT(strcmp(flags[i].name, flags[k].name) != 0);
			EXPECT(!flags[i].shortcut || flags[i].shortcut != flags[k].shortcut);
		}
	}
}

/* No command has two flags of one name or letter, and its help fits one screen of 80 columns. */
static void test_table__help(void)
{
	size_t n, m;
	const struct command *cmds = cli_commands(&n);
	const struct flag *flags = cli_flags(&m);

	for (size_t i = 0; i < n; i++) {
		_cleanup_(strbuf_done) struct strbuf help = STRBUF_INIT(65536);
		size_t lines = 0, width = 0;

		cli_help(&cmds[i], &help);
		for (size_t k = 0; k < m; k++) {
			char name[64];

			snprintf(name, sizeof(name), "--%s", flags[k].name);
			if (!flags[k].hidden && (flags[k].groups & (cmds[i].groups | GROUP_GLOBAL)))
				EXPECT(strstr(strbuf_str(&help), name) != NULL);
		}
		for (size_t at = 0; at < help.len; at++) {
			width = help.p[at] == '\n' ? 0 : width + 1;
			lines += help.p[at] == '\n';
			if (width > 80 && !strstr(strbuf_str(&help), "Examples"))
				EXPECT(width <= 80);
		}
		if (!EXPECT(lines <= 50))
			printf("# %s: %zu lines\n", cmds[i].name, lines);
	}
}

/* docs/cli.md has a section for each command and a row for each flag, and names no others. */
static void test_table__docs(void)
{
	_cleanup_(strbuf_done) struct strbuf doc = STRBUF_INIT(MIB);
	size_t n, m;
	const struct command *cmds = cli_commands(&n);
	const struct flag *flags = cli_flags(&m);
	char want[128];

	ASSERT(read_file("docs/cli.md", &doc));
	for (size_t i = 0; i < n; i++) {
		snprintf(want, sizeof(want), "\n### kelpie %s", cmds[i].name);
		if (!EXPECT(strstr(strbuf_str(&doc), want) != NULL))
			printf("# no section: %s\n", cmds[i].name);
		EXPECT(strstr(strbuf_str(&doc), cmds[i].summary) != NULL);
	}
	for (size_t i = 0; i < m; i++) {
		snprintf(want, sizeof(want), "`--%s", flags[i].name);
		if (!flags[i].hidden && !EXPECT(strstr(strbuf_str(&doc), want) != NULL))
			printf("# no row: --%s\n", flags[i].name);
	}
	for (const char *p = strbuf_str(&doc); (p = strstr(p, "\n### kelpie ")); p++) {
		char name[32] = "";

		(void)sscanf(p, "\n### kelpie %31[a-z]", name);
		if (!EXPECT(cli_command(name) != NULL))
			printf("# unknown command in docs/cli.md: %s\n", name);
	}
	for (const char *p = strbuf_str(&doc); (p = strstr(p, "| `--")); p += 5) {
		size_t len = strspn(p + 5, "abcdefghijklmnopqrstuvwxyz-"), k = 0;

		while (k < m &&
		       (strlen(flags[k].name) != len || strncmp(flags[k].name, p + 5, len) != 0))
			k++;
		if (!EXPECT(k < m))
			printf("# unknown flag in docs/cli.md: --%.*s\n", (int)len, p + 5);
	}
}

/* docs/configuration.md names each key with its default, and no other. */
static void test_table__configuration_docs(void)
{
	_cleanup_(strbuf_done) struct strbuf doc = STRBUF_INIT(MIB);
	size_t n;
	const struct config_key *keys = config_keys(&n);
	char want[256];

	ASSERT(read_file("docs/configuration.md", &doc));
	for (size_t i = 0; i < n; i++) {
		if (strncmp(keys[i].name, "capture.protocols.", 18) == 0)
			continue;
		snprintf(want, sizeof(want), "| `%s` | `%s` |", keys[i].name,
			 *keys[i].fallback	       ? keys[i].fallback
			 : keys[i].type == CONFIG_LIST ? "[]"
						       : "\"\"");
		if (!EXPECT(strstr(strbuf_str(&doc), want) != NULL))
			printf("# no row: %s\n", want);
		EXPECT(strstr(strbuf_str(&doc), keys[i].doc) != NULL);
	}
	for (const char *p = strbuf_str(&doc); (p = strstr(p, "\n| `")); p += 4) {
		char name[80] = "";

		(void)sscanf(p, "\n| `%79[A-Za-z.]`", name);
		if (*name && strchr(name, '.') && !config_key(name)) {
			EXPECT(false);
			printf("# unknown key in docs/configuration.md: %s\n", name);
		}
	}
}

TEST_MAIN(TEST(test_table__commands), TEST(test_table__flags), TEST(test_table__help),
	  TEST(test_table__docs), TEST(test_table__configuration_docs))

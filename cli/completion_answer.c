#include "cli/completion.h"

#include <stdio.h>

enum directive { NO_SPACE = 2, NO_FILES = 4 }; /* of cobra */

static bool starts(const char *word, const char *typed)
{
	return strncmp(word, typed, strlen(typed)) == 0;
}

static bool takes(const struct command *cmd, const struct flag *f)
{
	return !f->hidden && (f->groups & (cmd->groups | GROUP_GLOBAL));
}

static int end(unsigned int directive)
{
	printf(":%u\n", directive);
	return EXIT_OK;
}

static int commands(const char *typed)
{
	size_t n;
	const struct command *cmds = cli_commands(&n);

	for (size_t i = 0; i < n; i++)
		if (starts(cmds[i].name, typed))
			printf("%s\t%s\n", cmds[i].name, cmds[i].summary);
	return end(NO_FILES);
}

static void put_words(struct slice words, const char *typed)
{
	while (words.n) {
		struct slice word = slice_head(words, slice_find(words, ' '));

		if (word.n && slice_starts(word, slice_str(typed)))
			printf("%.*s\n", (int)word.n, (const char *)word.p);
		words = slice_from(words, word.n + 1);
	}
}

/* The flag that a word is, without a value behind it; NULL: none. */
static const struct flag *flag_of(const struct command *cmd, const char *word)
{
	size_t n;
	const struct flag *flags = cli_flags(&n);

	for (size_t i = 0; i < n; i++) {
		bool is_long = starts(word, "--") && strcmp(word + 2, flags[i].name) == 0;
		bool is_short = word[0] == '-' && word[1] && word[1] == flags[i].shortcut &&
				!word[2];

		if (takes(cmd, &flags[i]) && (is_long || is_short))
			return &flags[i];
	}
	return NULL;
}

static int flags_of(const struct command *cmd, const char *typed)
{
	size_t n;
	const struct flag *flags = cli_flags(&n);

	for (size_t i = 0; i < n; i++) {
		char word[64];

		snprintf(word, sizeof(word), "--%s", flags[i].name);
		if (takes(cmd, &flags[i]) && starts(word, typed))
			printf("%s\t%s\n", word, flags[i].doc);
	}
	return end(NO_FILES);
}

static int value_of(const struct flag *f, const char *typed)
{
	_cleanup_(strbuf_done) struct strbuf words = STRBUF_INIT(64 * KIB);

	if (completion_is_file(f))
		return end(0);
	completion_words(f->name, NULL, &words);
	put_words(strbuf_slice(&words), typed);
	return end(NO_FILES);
}

static int argument_of(const struct command *cmd, const char *typed)
{
	static const char types[] = "pod/ svc/ deploy/ sts/ ds/ job/ node/ ns/ workload/ addr/";
	_cleanup_(strbuf_done) struct strbuf words = STRBUF_INIT(64 * KIB);

	if ((cmd->groups & GROUP_FILTER) && cmd->args_max) {
		put_words(SLICE_LIT(types), typed);
		return end(NO_SPACE | NO_FILES);
	}
	if (!completion_words(NULL, cmd->name, &words))
		return end(cmd->args_max ? 0 : NO_FILES);
	put_words(strbuf_slice(&words), typed);
	return end(NO_FILES);
}

int completion_answer(int argc, char **argv)
{
	const char *typed = argc ? argv[argc - 1] : "";
	const struct command *cmd = argc > 1 ? cli_command(argv[0]) : NULL;
	const struct flag *before = cmd && argc > 2 ? flag_of(cmd, argv[argc - 2]) : NULL;

	if (argc <= 1)
		return commands(typed);
	if (!cmd)
		return end(NO_FILES);
	if (before && before->arg && before->arg[0] != '[')
		return value_of(before, typed);
	return typed[0] == '-' ? flags_of(cmd, typed) : argument_of(cmd, typed);
}

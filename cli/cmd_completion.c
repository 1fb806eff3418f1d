/* completion: a script for a shell, made from the tables of commands and flags. Names of services come
 * from the running Kelpie; they are other people's texts, so a script takes only plain ones and never
 * evaluates them.
 */
#include "cli/completion.h"
#include "protocols/schema.h"

#include <stdio.h>

/* Prints a name a line; plain characters only. */
#define LIVE(by) "kelpie top --once --by " by " -o name 2>/dev/null | grep -E '^[A-Za-z0-9_./:-]+$'"

/* What follows a flag or a command. */
static const struct {
	const char *flag, *command; /* one of them */
	const char *words;
	const char *live; /* a command of the shell that prints more */
	bool protocols, tables, commands;
} values[] = {
	{ .flag = "output", .words = "table wide json jsonl csv name" },
	{ .flag = "by", .words = "service endpoint client pod statement pair" },
	{ .flag = "color", .words = "auto always never" },
	{ .flag = "protocol", .words = "", .protocols = true },
	{ .flag = "status", .words = "5xx 4xx 404 500" },
	{ .flag = "since", .words = "5m 15m 1h 1d" },
	{ .flag = "service", .words = "", .live = LIVE("service") },
	{ .flag = "to", .words = "", .live = LIVE("service") },
	{ .flag = "from", .words = "", .live = LIVE("client") },
	{ .command = "completion", .words = "bash zsh fish" },
	{ .command = "config", .words = "show check" },
	{ .command = "schema", .words = "requests observations", .tables = true },
	{ .command = "help", .words = "", .commands = true },
};

static const char *const file_flags[] = { "data-dir", "config", "file", "write" };

static bool takes(const struct command *c, const struct flag *f)
{
	return !f->hidden && (f->groups & (c->groups | GROUP_GLOBAL));
}

static bool takes_file(const struct flag *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(file_flags); i++)
		if (strcmp(file_flags[i], f->name) == 0)
			return true;
	return false;
}

static void add_words(size_t value, struct strbuf *out)
{
	size_t n, n_cmds;
	const struct table_schema *const *tables = schema_tables(&n);
	const struct command *cmds = cli_commands(&n_cmds);

	strbuf_adds(out, values[value].words);
	for (size_t i = 0; i < n; i++)
		if (values[value].tables ||
		    (values[value].protocols && (tables[i]->flags & TABLE_F_EXCHANGES)))
			strbuf_addf(out, " %s", tables[i]->name);
	for (size_t i = 0; i < n_cmds && values[value].commands; i++)
		strbuf_addf(out, " %s", cmds[i].name);
}

static void put_words(size_t value)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(64 * KIB);

	add_words(value, &out);
	fputs(strbuf_str(&out), stdout);
}

static bool is_named(const char *name, const char *wanted)
{
	return name && wanted && strcmp(name, wanted) == 0;
}

/* The index in values of a flag or of a command; SIZE_MAX when nothing is known to follow. */
static size_t value_of(const char *flag, const char *command)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (is_named(values[i].flag, flag) || is_named(values[i].command, command))
			return i;
	return SIZE_MAX;
}

bool completion_words(const char *flag, const char *command, struct strbuf *out)
{
	size_t value = value_of(flag, command);

	if (value != SIZE_MAX)
		add_words(value, out);
	return value != SIZE_MAX;
}

bool completion_is_file(const struct flag *f)
{
	return takes_file(f);
}

static void bash_values(const struct flag *flags, size_t n)
{
	printf("\tcase ${COMP_WORDS[COMP_CWORD-1]} in\n");
	for (size_t i = 0; i < n; i++) {
		size_t v = value_of(flags[i].name, NULL);

		if (flags[i].hidden || !flags[i].arg)
			continue;
		if (flags[i].shortcut)
			printf("\t-%c|--%s) ", flags[i].shortcut, flags[i].name);
		else
			printf("\t--%s) ", flags[i].name);
		if (v != SIZE_MAX && values[v].live)
			printf("_kelpie_lines \"$cur\" < <(%s)", values[v].live);
		else if (takes_file(&flags[i]))
			printf("COMPREPLY=($(compgen -f -- \"$cur\"))");
		else if (v != SIZE_MAX) {
			printf("COMPREPLY=($(compgen -W \"");
			put_words(v);
			printf("\" -- \"$cur\"))");
		} else {
			printf(":");
		}
		printf("; return ;;\n");
	}
	printf("\tesac\n");
}

static void bash(void)
{
	size_t n, m;
	const struct command *cmds = cli_commands(&n);
	const struct flag *flags = cli_flags(&m);

	printf("_kelpie_lines() {\n\tlocal line\n\twhile IFS= read -r line; do\n"
	       "\t\t[[ $line == \"$1\"* ]] && COMPREPLY+=(\"$line\")\n\tdone\n}\n"
	       "_kelpie() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n\tCOMPREPLY=()\n");
	bash_values(flags, m);
	printf("\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"");
	for (size_t i = 0; i < n; i++)
		printf("%s%s", i ? " " : "", cmds[i].name);
	printf("\"\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < n; i++) {
		size_t v = value_of(NULL, cmds[i].name);

		printf("\t\t%s) words=\"", cmds[i].name);
		if (v != SIZE_MAX)
			put_words(v);
		for (size_t k = 0; k < m; k++)
			if (takes(&cmds[i], &flags[k]))
				printf(" --%s", flags[k].name);
		printf("\" ;;\n");
	}
	printf("\t\tesac\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
	       "complete -o default -F _kelpie kelpie kubectl-kelpie\n");
}

/* In '...' of zsh: ' ends it; [ ] and : separate the parts of a description. */
static void put_zsh(const char *s)
{
	for (; *s; s++)
		if (*s == '\'')
			printf("'\\''");
		else
			printf(strchr("[]:\\", *s) ? "\\%c" : "%c", *s);
}

static void zsh_flag(const struct flag *f)
{
	size_t v = value_of(f->name, NULL);

	printf(" \\\n\t\t\t'*--%s%s[", f->name, f->arg && f->arg[0] != '[' ? "=" : "");
	put_zsh(f->doc);
	printf("]");
	if (f->arg && f->arg[0] != '[') {
		printf(":");
		put_zsh(f->arg);
		printf(":");
		if (v != SIZE_MAX && values[v].live) {
			printf("_kelpie_live %s",
			       strstr(values[v].live, "client") ? "client" : "service");
		} else if (takes_file(f)) {
			printf("_files");
		} else if (v != SIZE_MAX) {
			printf("(");
			put_words(v);
			printf(")");
		}
	}
	printf("'");
}

static void zsh(void)
{
	size_t n, m;
	const struct command *cmds = cli_commands(&n);
	const struct flag *flags = cli_flags(&m);

	printf("#compdef kelpie kubectl-kelpie\n"
	       "_kelpie_live() {\n\tlocal -a names\n\tnames=(\"${(@f)$(kelpie top --once --by $1 "
	       "-o "
	       "name 2>/dev/null | grep -E '^[A-Za-z0-9_./:-]+$')}\")\n\tcompadd -a names\n}\n"
	       "_kelpie() {\n\tlocal -a commands\n\tif (( CURRENT == 2 )); then\n\t\tcommands=(\n");
	for (size_t i = 0; i < n; i++) {
		printf("\t\t\t'%s:", cmds[i].name);
		put_zsh(cmds[i].summary);
		printf("'\n");
	}
	printf("\t\t)\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tlocal verb=$words[2]\n"
	       "\tshift words\n\t(( CURRENT-- ))\n\tcase $verb in\n");
	for (size_t i = 0; i < n; i++) {
		size_t v = value_of(NULL, cmds[i].name);

		printf("\t%s) _arguments", cmds[i].name);
		for (size_t k = 0; k < m; k++)
			if (takes(&cmds[i], &flags[k]))
				zsh_flag(&flags[k]);
		if (v != SIZE_MAX) {
			printf(" \\\n\t\t\t'1:what:(");
			put_words(v);
			printf(")'");
		}
		printf(" '*:file:_files' ;;\n");
	}
	printf("\tesac\n}\n_kelpie \"$@\"\n");
}

/* fish quotes with ' and escapes it with a backslash. */
static void put_fish(const char *s)
{
	for (; *s; s++)
		printf(*s == '\'' || *s == '\\' ? "\\%c" : "%c", *s);
}

static void fish_flag(const struct command *c, const struct flag *f)
{
	size_t v = value_of(f->name, NULL);
	bool arg = f->arg && f->arg[0] != '[';

	printf("complete -c kelpie -n '__fish_seen_subcommand_from %s' -l %s", c->name, f->name);
	if (f->shortcut)
		printf(" -s %c", f->shortcut);
	if (arg)
		printf(takes_file(f) ? " -r -F" : " -r -f");
	if (arg && v != SIZE_MAX) {
		printf(" -a '");
		if (values[v].live) {
			printf("(");
			put_fish(values[v].live);
			printf(")");
		} else {
			put_words(v);
		}
		printf("'");
	}
	printf(" -d '");
	put_fish(f->doc);
	printf("'\n");
}

static void fish(void)
{
	size_t n, m;
	const struct command *cmds = cli_commands(&n);
	const struct flag *flags = cli_flags(&m);

	for (size_t i = 0; i < n; i++) {
		size_t v = value_of(NULL, cmds[i].name);

		printf("complete -c kelpie -n __fish_use_subcommand -f -a %s -d '", cmds[i].name);
		put_fish(cmds[i].summary);
		printf("'\n");
		if (v != SIZE_MAX) {
			printf("complete -c kelpie -n '__fish_seen_subcommand_from %s' -f -a '",
			       cmds[i].name);
			put_words(v);
			printf("'\n");
		}
		for (size_t k = 0; k < m; k++)
			if (takes(&cmds[i], &flags[k]))
				fish_flag(&cmds[i], &flags[k]);
	}
}

int cmd_completion(const struct options *o)
{
	static const struct {
		const char *shell;
		void (*fn)(void);
	} shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (strcmp(o->args[0], shells[i].shell) == 0) {
			shells[i].fn();
			return EXIT_OK;
		}
	return cli_fail(EXIT_USAGE, "completion: no shell '%s'; bash, zsh or fish", o->args[0]);
}

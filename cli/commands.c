/* The table of commands, help, and the way from argv to a command. */
#include "cli/cli.h"

#include "base/text.h"
#include "cli/completion.h"
#include "cli/screen.h"
#include "cli/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define VIEW (GROUP_SOURCE | GROUP_OUTPUT | GROUP_FILTER | GROUP_RANGE | GROUP_LIST)

static const struct command commands[] = {
	{ "run",
	  cmd_run,
	  GROUP_RUN,
	  "",
	  0,
	  0,
	  "capture, store and answer on this machine",
	  { "kelpie run",
	    "kelpie run --data-dir /srv/kelpie --listen unix:/srv/kelpie/kelpie.sock" } },
	{ "status",
	  cmd_status,
	  GROUP_SOURCE | GROUP_OUTPUT | GROUP_STATUS,
	  "",
	  0,
	  0,
	  "what is watched, versions, ledger, budget; 0 when capturing",
	  { "kelpie status", "kelpie status --wait=30s" } },
	{ "doctor",
	  cmd_doctor,
	  GROUP_SOURCE | GROUP_OUTPUT,
	  "",
	  0,
	  0,
	  "checks of this machine and a canary exchange through the capture",
	  { "kelpie doctor", "kelpie doctor -o json" } },
	{ "top",
	  cmd_top,
	  VIEW | GROUP_TOP,
	  "[TYPE/NAME...]",
	  0,
	  CLI_ARGS_MAX,
	  "rate, errors and latency, worst first",
	  { "kelpie top", "kelpie top --by endpoint --service orders --since 10m" } },
	{ "map",
	  cmd_map,
	  VIEW,
	  "[TYPE/NAME...]",
	  0,
	  CLI_ARGS_MAX,
	  "who calls whom: rate, errors and latency of each pair",
	  { "kelpie map", "kelpie map deploy/web --since 1h" } },
	{ "tap",
	  cmd_tap,
	  VIEW,
	  "[TYPE/NAME...]",
	  0,
	  CLI_ARGS_MAX,
	  "requests as they happen",
	  { "kelpie tap", "kelpie tap --status '5xx,404' --path '/orders/*'" } },
	{ "slow",
	  cmd_slow,
	  VIEW,
	  "[TYPE/NAME...]",
	  0,
	  CLI_ARGS_MAX,
	  "the slowest requests",
	  { "kelpie slow", "kelpie slow --min-latency 100ms --since 1h" } },
	{ "errors",
	  cmd_errors,
	  VIEW,
	  "[TYPE/NAME...]",
	  0,
	  CLI_ARGS_MAX,
	  "failed requests and connections",
	  { "kelpie errors", "kelpie errors --to service/orders --not --status 404" } },
	{ "conns",
	  cmd_conns,
	  VIEW,
	  "[TYPE/NAME...]",
	  0,
	  CLI_ARGS_MAX,
	  "connections, live and closed, and why one is unreadable",
	  { "kelpie conns", "kelpie conns --port 5432 -o wide" } },
	{ "why",
	  cmd_why,
	  GROUP_SOURCE | GROUP_OUTPUT | GROUP_FILTER | GROUP_RANGE,
	  "POD|TYPE/NAME",
	  1,
	  1,
	  "what is wrong with a pod: calls, errors, slow ones, connections",
	  { "kelpie why web-7d4f9", "kelpie why deploy/web --since 1h" } },
	{ "show",
	  cmd_show,
	  GROUP_SOURCE | GROUP_OUTPUT,
	  "ID",
	  1,
	  1,
	  "everything known of one request or connection",
	  { "kelpie show $(kelpie errors -o name --limit 1)", "kelpie show ID -o json" } },
	{ "sql",
	  cmd_sql,
	  GROUP_SOURCE | GROUP_OUTPUT | GROUP_RANGE | GROUP_SQL,
	  "['SELECT ...' | -]",
	  0,
	  1,
	  "ask in SQL; alone: a prompt",
	  { "kelpie sql 'SELECT resource, p99(latency_ns) FROM http GROUP BY 1'",
	    "kelpie sql -o csv -f report.sql --since 1h" } },
	{ "schema",
	  cmd_schema,
	  GROUP_OUTPUT,
	  "[TABLE]",
	  0,
	  1,
	  "tables and their columns",
	  { "kelpie schema", "kelpie schema http" } },
	{ "replay",
	  cmd_replay,
	  GROUP_OUTPUT | GROUP_REPLAY | GROUP_DATA_DIR,
	  "FILE",
	  1,
	  1,
	  "the same answers from a recording (.pcap, .pcapng, .kev)",
	  { "kelpie replay capture.pcap",
	    "kelpie replay capture.pcapng --sql 'SELECT * FROM http' -o csv" } },
	{ "record",
	  cmd_record,
	  GROUP_SOURCE | GROUP_FILTER | GROUP_RECORD,
	  "",
	  0,
	  0,
	  "write raw events to a file for replay",
	  { "kelpie record -w trouble.kev",
	    "kelpie record -w trouble.kev --for 30s --port 8080" } },
	{ "pause",
	  cmd_pause,
	  GROUP_SOURCE,
	  "",
	  0,
	  0,
	  "stop capturing, keep answering",
	  { "kelpie pause", "kelpie pause --server unix:/srv/kelpie/kelpie.sock" } },
	{ "resume",
	  cmd_resume,
	  GROUP_SOURCE,
	  "",
	  0,
	  0,
	  "capture again after a pause",
	  { "kelpie resume", "kelpie resume --server unix:/srv/kelpie/kelpie.sock" } },
	{ "purge",
	  cmd_purge,
	  GROUP_SOURCE | GROUP_PURGE,
	  "",
	  0,
	  0,
	  "forget everything that is stored",
	  { "kelpie purge", "kelpie purge --yes" } },
	{ "config",
	  cmd_config,
	  GROUP_OUTPUT | GROUP_CONFIG,
	  "show|check [FILE]",
	  1,
	  2,
	  "effective configuration with origins, or a check of it",
	  { "kelpie config show", "kelpie config check kelpie.yaml" } },
	{ "version",
	  cmd_version,
	  GROUP_OUTPUT,
	  "",
	  0,
	  0,
	  "version of this program",
	  { "kelpie version", "kelpie version -o json" } },
	{ "completion",
	  cmd_completion,
	  0,
	  "bash|zsh|fish",
	  1,
	  1,
	  "completion for a shell",
	  { "source <(kelpie completion bash)",
	    "kelpie completion fish > ~/.config/fish/completions/kelpie.fish" } },
	{ "help",
	  cmd_help,
	  0,
	  "[COMMAND]",
	  0,
	  1,
	  "this list, or one command's flags",
	  { "kelpie help", "kelpie help top" } },
};

static bool plugin; /* started as kubectl-kelpie: texts say `kubectl kelpie` */

const struct command *cli_commands(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(commands);
	return commands;
}

const struct command *cli_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Our own texts name the program by the name that it was started by. */
static void add_text(struct slice text, const char *before, struct strbuf *out)
{
	static const char name[] = "kelpie ";

	for (size_t i = 0; i < text.n; i++) {
		if (plugin && slice_starts(slice_from(text, i), SLICE_LIT(name)) &&
		    (i == 0 ? before[0] == '\n' : strchr(before, text.p[i - 1]) != NULL))
			strbuf_adds(out, "kubectl ");
		strbuf_addch(out, (char)text.p[i]);
	}
}

static void say(const char *prefix, const char *fmt, va_list ap)
{
	_cleanup_(strbuf_done) struct strbuf own = STRBUF_INIT(64 * KIB);
	_cleanup_(strbuf_done) struct strbuf raw = STRBUF_INIT(128 * KIB);
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(MIB);

	strbuf_vaddf(&own, fmt, ap);
	add_text(strbuf_slice(&own), "`", &raw);
	strbuf_adds(&out, prefix);
	/* messages may have several lines of their own; each is escaped apart */
	for (struct slice rest = strbuf_slice(&raw); rest.n;) {
		struct slice line = slice_head(rest, slice_find(rest, '\n'));

		screen_escape(line, &out);
		rest = slice_from(rest, line.n + 1);
		strbuf_addch(&out, '\n');
	}
	if (screen_note_width()) {
		_cleanup_(strbuf_done) struct strbuf wrapped = STRBUF_INIT(MIB);

		screen_wrap(strbuf_slice(&out), screen_note_width(), &wrapped);
		fputs(strbuf_str(&wrapped), stderr);
	} else {
		fputs(strbuf_str(&out), stderr);
	}
}

int cli_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("kelpie: ", fmt, ap);
	va_end(ap);
	return code;
}

void cli_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

static void add_flag(const struct flag *f, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf left = STRBUF_INIT(256);

	if (f->shortcut)
		strbuf_addf(&left, "-%c, ", f->shortcut);
	strbuf_addf(&left, "--%s", f->name);
	if (f->arg)
		strbuf_addf(&left, f->arg[0] == '[' ? "%s" : " %s", f->arg);
	strbuf_addf(out, "  %-25s %s\n", strbuf_str(&left), f->doc);
}

#define WORD_STARTS "\n (`"

void cli_help(const struct command *cmd, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(64 * KIB);
	size_t n;
	const struct flag *flags = cli_flags(&n);

	strbuf_addf(&text, "kelpie %s%s%s%s: %s\n\nExamples:\n  %s\n  %s\n", cmd->name,
		    cmd->args[0] ? " " : "", cmd->args, cmd->groups ? " [flags]" : "", cmd->summary,
		    cmd->examples[0], cmd->examples[1]);
	add_text(strbuf_slice(&text), WORD_STARTS, out);
	strbuf_adds(out, "\nFlags:\n");
	for (size_t i = 0; i < n; i++)
		if (!flags[i].hidden && (flags[i].groups & (cmd->groups | GROUP_GLOBAL)))
			add_flag(&flags[i], out);
	if (cmd->groups & GROUP_SOURCE)
		strbuf_adds(out, "For a cluster also kubectl's --kubeconfig, --user, --token, "
				 "--as and the like.\n");
}

void cli_help_all(struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(64 * KIB);

	strbuf_adds(&text, "kelpie: every request between your programs, live and in SQL\n\n"
			   "Usage: kelpie COMMAND [flags]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		strbuf_addf(&text, "  %-11s %s\n", commands[i].name, commands[i].summary);
	strbuf_adds(&text, plugin ? "\nIt asks the cluster of kubectl's context: `kelpie top`.\n"
				  : "\nStart with `kelpie run`, then `kelpie top` in another "
				    "terminal.\n");
	strbuf_adds(&text, "`kelpie help COMMAND` shows a command's flags and two examples.\n");
	add_text(strbuf_slice(&text), WORD_STARTS, out);
}

int cmd_help(const struct options *o)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(64 * KIB);
	const struct command *cmd = o->n_args ? cli_command(o->args[0]) : NULL;

	if (o->n_args && !cmd)
		return cli_fail(EXIT_USAGE, "no command '%s'; `kelpie help` lists them",
				o->args[0]);
	if (cmd)
		cli_help(cmd, &out);
	else
		cli_help_all(&out);
	fputs(strbuf_str(&out), stdout);
	return EXIT_OK;
}

static int unknown_command(const char *name)
{
	const char *near = NULL;
	size_t best = 3;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		size_t d = text_distance(name, commands[i].name);

		if (d < best) {
			best = d;
			near = commands[i].name;
		}
	}
	if (near)
		return cli_fail(EXIT_USAGE, "no command '%s'; did you mean %s?", name, near);
	return cli_fail(EXIT_USAGE, "no command '%s'; `kelpie help` lists them", name);
}

/* kubectl's and git's habits: kelpie --version, kelpie --help, kelpie -h. */
static const char *verb_of(const char *arg)
{
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		return "help";
	if (strcmp(arg, "--version") == 0)
		return "version";
	return arg;
}

/* kubectl starts a plug-in by its name. */
static bool as_plugin(const char *name)
{
	const char *slash = strrchr(name, '/');

	plugin = strncmp(slash ? slash + 1 : name, "kubectl-", 8) == 0;
	return plugin;
}

/* So does it with the program that it asks how a command line may go on. */
static bool is_completer(const char *name)
{
	const char *slash = strrchr(name, '/');

	return strcmp(slash ? slash + 1 : name, "kubectl_complete-kelpie") == 0;
}

int cli_main(int argc, char **argv)
{
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(4096);
	_cleanup_(strbuf_done) struct strbuf help = STRBUF_INIT(64 * KIB);
	const struct command *cmd;
	struct options o = { .kubectl = as_plugin(argc ? argv[0] : "") };
	struct trouble t;
	int code;

	if (is_completer(argv[0]))
		return completion_answer(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "__complete") == 0)
		return completion_answer(argc - 2, argv + 2);
	if (argc < 2) {
		cli_help_all(&help);
		fputs(strbuf_str(&help), stderr);
		return EXIT_USAGE;
	}
	cmd = cli_command(verb_of(argv[1]));
	if (!cmd)
		return unknown_command(argv[1]);
	if (cli_parse(cmd, argc - 2, argv + 2, &o, &why) < 0)
		return cli_fail(EXIT_USAGE, "%s: %s\n`kelpie help %s` shows its flags", cmd->name,
				strbuf_str(&why), cmd->name);
	if (o.help) {
		cli_help(cmd, &help);
		fputs(strbuf_str(&help), stdout);
		return EXIT_OK;
	}
	if ((cmd->groups & GROUP_FILTER) && (cmd->groups & GROUP_RANGE) && source_scope(&o, &t) < 0)
		return trouble_fail(&t);
	code = cmd->fn(&o);
	if (fflush(stdout) != 0 && code == EXIT_OK && errno != EPIPE)
		return cli_fail(EXIT_ERROR, "cannot write the output: %s", strerror(errno));
	return code;
}

/* The table of flags and the parser over it. */
#include "cli/cli.h"

#include "base/text.h"
#include "cli/screen.h"

#include <errno.h>

enum flag_kind {
	FLAG_BOOL,
	FLAG_TEXT,
	FLAG_COUNT,
	FLAG_FILTER,
	FLAG_NOT,
	FLAG_OUTPUT,
	FLAG_COLOR,
	FLAG_OPTIONAL, /* --wait or --wait=30s: a bool and, after it, a text */
	FLAG_FORWARD,
	FLAG_KUBE, /* handed on to kubectl */
	_FLAG_MAX,
};

#define AT(member) ((uint16_t)offsetof(struct options, member))
#define FILTER_FLAG(name, shortcut, kind, arg, doc)                                                \
	{                                                                                          \
		name, shortcut, FLAG_FILTER, GROUP_FILTER, kind, arg, doc, false                   \
	}

/* Of kubectl's own flags those that say which cluster, and as whom. */
#define KUBE_FLAG(name, arg, doc, hidden)                                                          \
	{                                                                                          \
		name, 0, FLAG_KUBE, GROUP_SOURCE, 0, arg, doc, hidden                              \
	}

static const struct flag flags[] = {
	FILTER_FLAG("namespace", 'n', FILTER_NAMESPACE, "NS", "either end is in this namespace"),
	{ "all-namespaces", 'A', FLAG_BOOL, GROUP_FILTER, AT(all_namespaces), NULL,
	  "every namespace (kubectl kelpie: else the context's)", false },
	FILTER_FLAG("pod", 0, FILTER_POD, "POD", "either end is this pod"),
	FILTER_FLAG("service", 0, FILTER_SERVICE, "NAME", "either end has this name"),
	FILTER_FLAG("workload", 0, FILTER_WORKLOAD, "NAME", "either end is of this workload"),
	FILTER_FLAG("node", 0, FILTER_NODE, "NODE", "either end, or the observer, is on this node"),
	FILTER_FLAG("from", 0, FILTER_FROM, "TYPE/NAME",
		    "the client: pod/x, deploy/x, comm/curl, addr/::1"),
	FILTER_FLAG("to", 0, FILTER_TO, "TYPE/NAME", "the server, in the same way"),
	FILTER_FLAG("about", 0, FILTER_ABOUT, "TYPE/NAME",
		    "either end; the same as TYPE/NAME without a flag"),
	FILTER_FLAG("protocol", 0, FILTER_PROTOCOL, "NAME", "http, pgsql, redis, ..."),
	FILTER_FLAG("pid", 0, FILTER_PID, "PID", "either end is this process"),
	FILTER_FLAG("port", 0, FILTER_PORT, "PORT", "either end has this port"),
	FILTER_FLAG("status", 0, FILTER_STATUS, "STATUS", "5xx, '>=400', 404, 42P01"),
	FILTER_FLAG("method", 0, FILTER_METHOD, "METHOD", "GET, SELECT, ..."),
	FILTER_FLAG("path", 0, FILTER_PATH, "PATH",
		    "HTTP: path as sent or templated, e.g. '/cart/*'"),
	FILTER_FLAG("resource", 0, FILTER_RESOURCE, "WHAT",
		    "path template, SQL fingerprint, key shape, DNS name"),
	FILTER_FLAG("min-latency", 0, FILTER_MIN_LATENCY, "TIME", "at least this long, e.g. 100ms"),
	FILTER_FLAG("failed", 0, FILTER_FAILED, NULL, "the service failed"),
	{ "not", 0, FLAG_NOT, GROUP_FILTER, 0, NULL,
	  "turns the next filter round; lists: a,b; globs: a*", false },

	{ "since", 0, FLAG_TEXT, GROUP_RANGE, AT(since), "TIME", "5m ago, or 2026-01-02T03:04:05Z",
	  false },
	{ "until", 0, FLAG_TEXT, GROUP_RANGE, AT(until), "TIME", "the end of the range (now)",
	  false },
	{ "last", 0, FLAG_COUNT, GROUP_LIST, AT(last), "N", "the N most recent rows", false },
	{ "limit", 0, FLAG_COUNT, GROUP_LIST, AT(limit), "N", "at most N rows", false },
	{ "sort-by", 0, FLAG_TEXT, GROUP_LIST, AT(sort_by), "COLUMN",
	  "another order; -COLUMN: ascending", false },
	{ "follow", 'f', FLAG_BOOL, GROUP_LIST, AT(follow), NULL, "go on as things happen", false },

	{ "by", 0, FLAG_TEXT, GROUP_TOP, AT(by), "WHAT",
	  "service, endpoint, client, pod, statement, pair", false },
	{ "once", 0, FLAG_BOOL, GROUP_TOP, AT(once), NULL, "one table instead of a live view",
	  false },
	{ "file", 'f', FLAG_TEXT, GROUP_SQL, AT(file), "FILE", "the statement is in a file",
	  false },
	{ "sql", 0, FLAG_TEXT, GROUP_REPLAY, AT(sql), "SQL", "ask this of the recording", false },
	{ "write", 'w', FLAG_TEXT, GROUP_RECORD, AT(write), "FILE", "where to write (mode 0600)",
	  false },
	{ "for", 0, FLAG_TEXT, GROUP_RECORD, AT(for_), "TIME", "end after this time", false },
	{ "wait", 0, FLAG_OPTIONAL, GROUP_STATUS, AT(wait), "[=TIME]", "until it captures (30s)",
	  false },
	{ "yes", 'y', FLAG_BOOL, GROUP_PURGE, AT(yes), NULL, "do not ask", false },

	{ "data-dir", 0, FLAG_TEXT, GROUP_RUN | GROUP_SOURCE | GROUP_DATA_DIR | GROUP_CONFIG,
	  AT(data_dir), "DIR", "directory of the stored data", false },
	{ "listen", 0, FLAG_TEXT, GROUP_RUN | GROUP_CONFIG, AT(listen), "ADDRESS",
	  "unix:PATH or ADDR:PORT", false },
	{ "config", 0, FLAG_TEXT, GROUP_RUN | GROUP_CONFIG, AT(config), "FILE",
	  "configuration (/etc/kelpie/kelpie.yaml)", false },
	{ "hook", 0, FLAG_FORWARD, GROUP_RUN, 0, "RUNG", "one rung of the hook ladder", true },
	{ "ring-bytes", 0, FLAG_FORWARD, GROUP_RUN, 0, "SIZE", "size of the data ring", true },
	{ "reads", 0, FLAG_FORWARD, GROUP_RUN, 0, "WAY", "how kernel memory is read", true },
	{ "cgroup", 0, FLAG_FORWARD, GROUP_RUN, 0, "DIR", "only processes below this cgroup",
	  true },
	{ "node", 0, FLAG_FORWARD, GROUP_RUN, 0, "NAME", "name of this node", true },
	{ "set", 0, FLAG_FORWARD, GROUP_RUN, 0, "KEY=VALUE", "a key of the configuration", true },
	{ "simulate", 0, FLAG_FORWARD, GROUP_RUN, 0, "WHAT", "a fault, for tests", true },
	{ "simulate-leak", 0, FLAG_FORWARD, GROUP_RUN, 0, "HOP",
	  "lose one unit at a hop, for tests", true },
	{ "server", 's', FLAG_TEXT, GROUP_SOURCE, AT(server), "ADDRESS",
	  "unix:PATH or ADDR:PORT ($KELPIE_SERVER)", false },
	KUBE_FLAG("context", "NAME", "the cluster: a context of kubectl", false),
	{ "kelpie-namespace", 0, FLAG_TEXT, GROUP_SOURCE, AT(kelpie_namespace), "NS",
	  "where Kelpie is installed in the cluster", false },
	KUBE_FLAG("kubeconfig", "FILE", "as of kubectl", true),
	KUBE_FLAG("cluster", "NAME", "as of kubectl", true),
	KUBE_FLAG("user", "NAME", "as of kubectl", true),
	KUBE_FLAG("token", "TOKEN", "as of kubectl", true),
	KUBE_FLAG("as", "USER", "as of kubectl", true),
	KUBE_FLAG("as-group", "GROUP", "as of kubectl", true),
	KUBE_FLAG("as-uid", "UID", "as of kubectl", true),
	KUBE_FLAG("request-timeout", "TIME", "as of kubectl", true),
	KUBE_FLAG("certificate-authority", "FILE", "as of kubectl", true),
	KUBE_FLAG("client-certificate", "FILE", "as of kubectl", true),
	KUBE_FLAG("client-key", "FILE", "as of kubectl", true),
	KUBE_FLAG("tls-server-name", "NAME", "as of kubectl", true),
	KUBE_FLAG("insecure-skip-tls-verify", NULL, "as of kubectl", true),

	{ "output", 'o', FLAG_OUTPUT, GROUP_OUTPUT, AT(output), "FORMAT",
	  "table, wide, json, jsonl, csv, name", false },
	{ "no-headers", 0, FLAG_BOOL, GROUP_OUTPUT, AT(no_headers), NULL,
	  "tables and CSV without a head", false },
	{ "utc", 0, FLAG_BOOL, GROUP_OUTPUT, AT(utc), NULL, "times of tables in UTC, not local",
	  false },
	{ "csv-exact", 0, FLAG_BOOL, GROUP_OUTPUT, AT(csv_exact), NULL,
	  "no ' before =, +, -, @ in CSV texts", false },
	{ "color", 0, FLAG_COLOR, GROUP_OUTPUT, AT(color), "WHEN", "auto, always, never", false },
	{ "explain", 0, FLAG_BOOL, GROUP_LIST | GROUP_TOP, AT(explain), NULL,
	  "print the SQL instead of asking it", false },
	{ "require-complete", 0, FLAG_BOOL, GROUP_LIST | GROUP_SQL, AT(require_complete), NULL,
	  "exit 3 when the answer is not complete", false },
	{ "help", 'h', FLAG_BOOL, GROUP_GLOBAL, AT(help), NULL, "this text", false },
};

const struct flag *cli_flags(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(flags);
	return flags;
}

const char *filter_name(enum filter_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].kind == FLAG_FILTER && flags[i].offset == kind)
			return flags[i].name;
	return "";
}

enum output output_parse(const char *name)
{
	static const char *const names[_OUTPUT_MAX] = {
		[OUTPUT_TABLE] = "table", [OUTPUT_WIDE] = "wide", [OUTPUT_JSON] = "json",
		[OUTPUT_JSONL] = "jsonl", [OUTPUT_CSV] = "csv",	  [OUTPUT_NAME] = "name",
	};
	enum output o = 0;

	while (o < _OUTPUT_MAX && strcmp(names[o], name) != 0)
		o++;
	return o;
}

struct parse {
	const struct command *cmd;
	struct options *o;
	struct strbuf *why;
	bool negate; /* --not came before */
};

static int set_bool(struct parse *p, const struct flag *f, const char *value)
{
	(void)value;
	*(bool *)((uint8_t *)p->o + f->offset) = true;
	return 0;
}

static int set_text(struct parse *p, const struct flag *f, const char *value)
{
	*(const char **)((uint8_t *)p->o + f->offset) = value;
	return 0;
}

static int set_count(struct parse *p, const struct flag *f, const char *value)
{
	uint64_t *to = (uint64_t *)((uint8_t *)p->o + f->offset);

	if (parse_u64(slice_str(value), to) == 0 && *to > 0 && *to <= 10000000)
		return 0;
	strbuf_addf(p->why, "--%s '%s' is no number from 1 to 10000000", f->name, value);
	return -EINVAL;
}

static int set_filter(struct parse *p, const struct flag *f, const char *value)
{
	if (p->o->n_filters == CLI_FILTERS_MAX) {
		strbuf_addf(p->why, "more than %d filters", CLI_FILTERS_MAX);
		return -EINVAL;
	}
	p->o->filters[p->o->n_filters++] =
		(struct filter){ .kind = (uint8_t)f->offset, .negate = p->negate, .value = value };
	p->negate = false;
	return 0;
}

static int set_not(struct parse *p, const struct flag *f, const char *value)
{
	(void)f;
	(void)value;
	p->negate = true;
	return 0;
}

static int set_output(struct parse *p, const struct flag *f, const char *value)
{
	enum output output = output_parse(value);

	(void)f;
	if (output == _OUTPUT_MAX) {
		strbuf_addf(p->why, "-o '%s' is none of table, wide, json, jsonl, csv, name",
			    value);
		return -EINVAL;
	}
	p->o->output = output;
	p->o->output_given = true;
	return 0;
}

static int set_color(struct parse *p, const struct flag *f, const char *value)
{
	static const char *const names[] = { "auto", "always", "never" };

	(void)f;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], value) == 0) {
			p->o->color = (uint8_t)i;
			return 0;
		}
	strbuf_addf(p->why, "--color '%s' is none of auto, always, never", value);
	return -EINVAL;
}

static int set_optional(struct parse *p, const struct flag *f, const char *value)
{
	(void)f;
	p->o->wait = true;
	p->o->wait_for = value;
	return 0;
}

static int set_forward(struct parse *p, const struct flag *f, const char *value)
{
	if (p->o->n_forward + 2 > CLI_FORWARD_MAX) {
		strbuf_adds(p->why, "too many options for the agent");
		return -EINVAL;
	}
	p->o->forward[p->o->n_forward++] = f->name;
	p->o->forward[p->o->n_forward++] = value;
	return 0;
}

static int set_kube(struct parse *p, const struct flag *f, const char *value)
{
	if (p->o->n_kube == CLI_KUBE_MAX) {
		strbuf_adds(p->why, "too many options for kubectl");
		return -EINVAL;
	}
	p->o->kube[p->o->n_kube++] = (struct kube_flag){ f->name, value };
	return 0;
}

static int (*const setters[_FLAG_MAX])(struct parse *, const struct flag *, const char *) = {
	[FLAG_BOOL] = set_bool,	    [FLAG_TEXT] = set_text,	    [FLAG_COUNT] = set_count,
	[FLAG_FILTER] = set_filter, [FLAG_NOT] = set_not,	    [FLAG_OUTPUT] = set_output,
	[FLAG_COLOR] = set_color,   [FLAG_OPTIONAL] = set_optional, [FLAG_FORWARD] = set_forward,
	[FLAG_KUBE] = set_kube,
};

static bool belongs(const struct parse *p, const struct flag *f)
{
	return f->groups & (p->cmd->groups | GROUP_GLOBAL);
}

static const struct flag *find_flag(const struct parse *p, struct slice name, char shortcut)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (belongs(p, &flags[i]) &&
		    (shortcut ? flags[i].shortcut == shortcut : slice_eq_str(name, flags[i].name)))
			return &flags[i];
	return NULL;
}

static int unknown_flag(struct parse *p, const char *arg)
{
	const char *name = arg + strspn(arg, "-"), *near = NULL;
	size_t best = 3;

	strbuf_addf(p->why, "unknown flag %.*s", (int)strcspn(arg, "="), arg);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		char typed[65] = "";
		size_t d, n = MIN(strcspn(name, "="), sizeof(typed) - 1);

		memcpy(typed, name, n);
		d = belongs(p, &flags[i]) && !flags[i].hidden ? text_distance(typed, flags[i].name)
							      : best;
		if (d < best) {
			best = d;
			near = flags[i].name;
		}
	}
	if (near)
		strbuf_addf(p->why, "; did you mean --%s?", near);
	return -EINVAL;
}

/* One flag at args[*at]; moves *at past it and its value. */
static int take_flag(struct parse *p, int argc, char **argv, int *at)
{
	const char *arg = argv[(*at)++], *value = NULL;
	bool is_long = arg[1] == '-';
	size_t n = is_long ? strcspn(arg + 2, "=") : 1;
	const struct flag *f = find_flag(p, slice_of(arg + 2, is_long ? n : 0),
					 is_long ? 0 : arg[1]);

	if (!f)
		return unknown_flag(p, arg);
	if (is_long && arg[2 + n] == '=')
		value = arg + 3 + n;
	else if (!is_long && arg[2])
		value = arg + 2 + (arg[2] == '=');
	if (f->kind == FLAG_OPTIONAL)
		return setters[f->kind](p, f, value);
	if (!f->arg && value) {
		strbuf_addf(p->why, "--%s takes no value", f->name);
		return -EINVAL;
	}
	if (f->arg && !value) {
		if (*at >= argc) {
			strbuf_addf(p->why, "--%s needs a value: %s", f->name, f->arg);
			return -EINVAL;
		}
		value = argv[(*at)++];
	}
	if (p->negate && f->kind != FLAG_FILTER) {
		strbuf_addf(p->why, "--not stands before a filter, and --%s is none", f->name);
		return -EINVAL;
	}
	return setters[f->kind](p, f, value);
}

static int take_arg(struct parse *p, const char *arg)
{
	static const struct flag about = { .name = "about", .offset = FILTER_ABOUT };
	bool filters = (p->cmd->groups & GROUP_FILTER) && p->cmd->args_max && !p->cmd->args_min;

	if (filters && strchr(arg, '/'))
		return set_filter(p, &about, arg);
	if (filters || p->o->n_args >= p->cmd->args_max || p->o->n_args == CLI_ARGS_MAX) {
		strbuf_addf(p->why, "what is '%s' for? %s takes %s", arg, p->cmd->name,
			    filters	      ? "flags and TYPE/NAME, such as pod/x"
			    : p->cmd->args[0] ? p->cmd->args
					      : "flags only");
		return -EINVAL;
	}
	p->o->args[p->o->n_args++] = arg;
	return 0;
}

int cli_parse(const struct command *cmd, int argc, char **argv, struct options *ret,
	      struct strbuf *why)
{
	struct parse p = { .cmd = cmd, .o = ret, .why = why };
	bool flags_end = false;
	int r = 0;

	for (int at = 0; !r && at < argc;) {
		const char *arg = argv[at];

		if (!flags_end && strcmp(arg, "--") == 0) {
			flags_end = true;
			at++;
		} else if (!flags_end && arg[0] == '-' && arg[1]) {
			r = take_flag(&p, argc, argv, &at);
		} else {
			r = take_arg(&p, arg);
			at++;
		}
	}
	if (r || ret->help)
		return r;
	if (p.negate) {
		strbuf_adds(why, "--not stands before a filter");
		return -EINVAL;
	}
	if (ret->n_args < cmd->args_min) {
		strbuf_addf(why, "%s is missing", cmd->args);
		return -EINVAL;
	}
	return 0;
}

/* What needs no quotes in any shell. */
static bool is_plain(struct slice word)
{
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = word.p[i];

		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    !(c && strchr("_-./:,=@%+", c)))
			return false;
	}
	return word.n > 0;
}

static bool is_printable(struct slice s)
{
	while (s.n) {
		struct screen_char c = screen_next(s);

		if (c.columns < 0)
			return false;
		s = slice_from(s, c.n);
	}
	return true;
}

void cli_quote(struct slice word, struct strbuf *out)
{
	bool printable = is_printable(word);

	if (is_plain(word)) {
		strbuf_add(out, word.p, word.n);
		return;
	}
	strbuf_adds(out, printable ? "'" : "$'");
	for (; word.n; word = slice_from(word, 1)) {
		struct screen_char c = screen_next(word);

		if (printable && word.p[0] == '\'')
			strbuf_adds(out, "'\\''");
		else if (!printable && (word.p[0] == '\'' || word.p[0] == '\\'))
			strbuf_addf(out, "\\%c", word.p[0]);
		else if (!printable && (c.columns < 0 || word.p[0] >= 0x80))
			strbuf_addf(out, "\\x%02x", word.p[0]);
		else
			strbuf_addch(out, (char)word.p[0]);
	}
	strbuf_addch(out, '\'');
}

static void add_option(const struct flag *f, const char *value, struct strbuf *out)
{
	strbuf_addf(out, " --%s", f->name);
	if (!value)
		return;
	strbuf_addch(out, ' ');
	cli_quote(slice_str(value), out);
}

static void format_flag(const struct flag *f, const struct options *o, struct strbuf *out)
{
	static const char *const outputs[_OUTPUT_MAX] = { "table", "wide", "json",
							  "jsonl", "csv",  "name" };
	const uint8_t *at = (const uint8_t *)o + f->offset;
	uint64_t count;
	const char *text;

	switch ((enum flag_kind)f->kind) {
	case FLAG_BOOL:
		if (*(const bool *)at)
			add_option(f, NULL, out);
		break;
	case FLAG_TEXT:
		memcpy(&text, at, sizeof(text));
		if (text)
			add_option(f, text, out);
		break;
	case FLAG_COUNT:
		memcpy(&count, at, sizeof(count));
		if (count)
			strbuf_addf(out, " --%s %llu", f->name, (unsigned long long)count);
		break;
	case FLAG_OUTPUT:
		if (o->output_given)
			add_option(f, outputs[o->output], out);
		break;
	default: /* filters have an order of their own; the rest is no question */
		break;
	}
}

void cli_format(const struct command *cmd, const struct options *o, struct strbuf *out)
{
	strbuf_addf(out, "%skelpie %s", o->kubectl ? "kubectl " : "", cmd->name);
	for (size_t i = 0; i < o->n_args; i++) {
		strbuf_addch(out, ' ');
		cli_quote(slice_str(o->args[i]), out);
	}
	for (size_t i = 0; i < o->n_filters; i++) {
		const struct filter *f = &o->filters[i];

		if (f->implied)
			continue;
		strbuf_addf(out, "%s --%s", f->negate ? " --not" : "",
			    filter_name((enum filter_kind)f->kind));
		if (f->value) {
			strbuf_addch(out, ' ');
			cli_quote(slice_str(f->value), out);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].groups & cmd->groups)
			format_flag(&flags[i], o, out);
	for (size_t i = 0; i < o->n_kube; i++) {
		strbuf_addf(out, " --%s", o->kube[i].name);
		if (!o->kube[i].value)
			continue;
		strbuf_addch(out, ' ');
		cli_quote(slice_str(o->kube[i].value), out);
	}
}

/* The command line: one table of commands, one table of flags, exit codes. What each command does
 * is in cmd_*.c; help, completion and docs/cli.md are made from the tables (a test compares them).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/strbuf.h"

#define CLI_ARGS_MAX	8
#define CLI_FILTERS_MAX 64
#define CLI_FORWARD_MAX 16 /* options handed on to the agent */
#define CLI_KUBE_MAX	24 /* options handed on to kubectl */

enum cli_exit {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_INCOMPLETE = 3,
	EXIT_NOT_ALLOWED = 4,
	EXIT_UNREACHABLE = 5,
	EXIT_INTERRUPTED = 130,
};

enum output {
	OUTPUT_TABLE,
	OUTPUT_WIDE,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_CSV,
	OUTPUT_NAME,
	_OUTPUT_MAX
};
enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum filter_kind {
	FILTER_NAMESPACE,
	FILTER_POD,
	FILTER_SERVICE,
	FILTER_WORKLOAD,
	FILTER_NODE,
	FILTER_FROM,
	FILTER_TO,
	FILTER_ABOUT,
	FILTER_PROTOCOL,
	FILTER_PID,
	FILTER_PORT,
	FILTER_STATUS,
	FILTER_METHOD,
	FILTER_PATH,
	FILTER_RESOURCE,
	FILTER_MIN_LATENCY,
	FILTER_FAILED,
	_FILTER_MAX,
};

struct filter {
	uint8_t kind; /* enum filter_kind */
	bool negate;
	bool implied;	   /* nobody typed it: kubectl's namespace */
	const char *value; /* comma list as given; borrowed from argv */
};

#define CLI_MATCHES_MAX 3

/* A condition that no flag says: of a row that was chosen in a live view. */
struct match {
	const char *column; /* or an expression of columns; constant */
	const char *value;  /* NULL: the column is NULL */
};

struct kube_flag {
	const char *name, *value; /* "context", "prod"; value NULL: takes none */
};

/* Of kubectl's context; kube.h. */
struct options_scope {
	char context[256];
	char ns[64]; /* "": not asked yet */
};

/* What the flags said; texts are borrowed from argv. NULL and 0: not given. */
struct options {
	bool help, kubectl; /* kubectl: started as kubectl-kelpie */
	uint8_t output;	    /* enum output */
	bool output_given;
	uint8_t color; /* enum color */
	bool utc, no_headers, csv_exact, explain, require_complete;
	const char *server, *data_dir, *config, *listen;
	const char *source_name; /* what footers call the data directory; NULL: its path */

	struct filter filters[CLI_FILTERS_MAX];
	size_t n_filters;
	struct match matches[CLI_MATCHES_MAX];
	size_t n_matches;
	const char *since, *until, *sort_by;
	uint64_t last, limit;
	bool follow, all_namespaces;

	const char *by;	   /* top */
	bool once;	   /* top */
	const char *file;  /* sql -f */
	const char *sql;   /* replay --sql */
	const char *write; /* record -w */
	const char *for_;  /* record --for */
	bool wait;	   /* status */
	const char *wait_for;
	bool yes; /* purge */
	const char
		*forward[CLI_FORWARD_MAX]; /* "--hook", "sys_exit", ...: handed on to the agent */
	size_t n_forward;

	struct kube_flag kube[CLI_KUBE_MAX]; /* handed on to kubectl */
	size_t n_kube;
	const char *kelpie_namespace;
	struct options_scope scope;
	bool scoped; /* rows of the scope's namespace alone */

	const char *args[CLI_ARGS_MAX];
	size_t n_args;
};

/* Which flags a command takes; GROUP_GLOBAL belongs to all. */
enum flag_group {
	GROUP_GLOBAL = 1 << 0,
	GROUP_OUTPUT = 1 << 1,
	GROUP_FILTER = 1 << 2,
	GROUP_RANGE = 1 << 3,  /* --since, --until */
	GROUP_LIST = 1 << 4,   /* --limit, --last, --sort-by, --follow */
	GROUP_SOURCE = 1 << 5, /* --server, --data-dir, kubectl's */
	GROUP_RUN = 1 << 6,
	GROUP_TOP = 1 << 7,
	GROUP_SQL = 1 << 8,
	GROUP_REPLAY = 1 << 9,
	GROUP_RECORD = 1 << 10,
	GROUP_STATUS = 1 << 11,
	GROUP_PURGE = 1 << 12,
	GROUP_CONFIG = 1 << 13,
	GROUP_DATA_DIR = 1 << 14,
};

struct command {
	const char *name;
	int (*fn)(const struct options *o); /* returns enum cli_exit */
	unsigned int groups;		    /* enum flag_group */
	const char *
		args; /* "[TABLE]", "" for none; optional ones of a command with filters are --about */
	size_t args_min, args_max;
	const char *summary; /* one line, no full stop */
	const char *examples[2];
};

/* Constant for the life of the program. */
const struct command *cli_commands(size_t *ret_n);
/* NULL when unknown. */
const struct command *cli_command(const char *name);

struct flag {
	const char *name; /* "since" */
	char shortcut;	  /* 0: none */
	uint8_t kind;	  /* enum flag_kind, options.c */
	unsigned int groups;
	uint16_t offset; /* member of struct options, or enum filter_kind */
	const char *arg; /* "TIME"; NULL: takes none */
	const char *doc;
	bool hidden;
};

const struct flag *cli_flags(size_t *ret_n);

/* Reads the arguments after the command's name. 0, or -EINVAL with one sentence in why. */
int cli_parse(const struct command *cmd, int argc, char **argv, struct options *ret,
	      struct strbuf *why);

/* Appends "kelpie NAME" with the flags that give these options, quoted for a shell; nothing in it is
 * obeyed by a terminal. Matches have no flag. */
void cli_format(const struct command *cmd, const struct options *o, struct strbuf *out);
/* Appends one word of a command line. */
void cli_quote(struct slice word, struct strbuf *out);

void cli_help(const struct command *cmd, struct strbuf *out);
void cli_help_all(struct strbuf *out);

/* The whole program behind main(). */
int cli_main(int argc, char **argv);

/* "kelpie: " and one sentence on stderr; escape sequences in it are made harmless. Returns code. */
int cli_fail(int code, const char *fmt, ...) __printf(2, 3);
/* A line on stderr that is no failure. */
void cli_note(const char *fmt, ...) __printf(1, 2);

/* Name of a format ("json"); _OUTPUT_MAX when unknown. */
enum output output_parse(const char *name);
/* Name of a filter's flag ("min-latency"). */
const char *filter_name(enum filter_kind kind);

int cmd_run(const struct options *o);
int cmd_status(const struct options *o);
int cmd_doctor(const struct options *o);
int cmd_sql(const struct options *o);
int cmd_top(const struct options *o);
int cmd_map(const struct options *o);
int cmd_tap(const struct options *o);
int cmd_slow(const struct options *o);
int cmd_errors(const struct options *o);
int cmd_conns(const struct options *o);
int cmd_why(const struct options *o);
int cmd_show(const struct options *o);
int cmd_replay(const struct options *o);
int cmd_record(const struct options *o);
int cmd_pause(const struct options *o);
int cmd_resume(const struct options *o);
int cmd_purge(const struct options *o);
int cmd_config(const struct options *o);
int cmd_schema(const struct options *o);
int cmd_version(const struct options *o);
int cmd_completion(const struct options *o);
int cmd_help(const struct options *o);

#endif

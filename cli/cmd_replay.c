/* replay: the agent reads the recording into a directory, which is then asked like any other.
 * record: an agent of its own writes what the kernel tells for a while.
 */
#include "base/text.h"
#include "cli/cli.h"
#include "cli/run.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define AGENT_PARTIAL 3 /* kelpie-agent --replay: damaged, its beginning was replayed */
#define RUN_PARTIAL   (-1)

/* Removes a directory of ours with what the agent put there (no deeper than two levels). */
static void remove_dir(const char *path, int depth)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_(strbuf_done) struct strbuf child = STRBUF_INIT(8192);

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		strbuf_addf(&child, "%s/%s", path, e->d_name);
		if (unlink(strbuf_str(&child)) < 0 && errno == EISDIR && depth > 0)
			remove_dir(strbuf_str(&child), depth - 1);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

struct agent_option {
	const char *name, *value; /* value NULL: left out */
};

static volatile sig_atomic_t agent_pid, stopped;

/* The agent is in a process group of its own: Ctrl-C reaches it through us. */
static void on_stop(int sig)
{
	(void)sig;
	stopped = 1;
	if (agent_pid > 0)
		kill(agent_pid, SIGTERM);
}

/* Runs kelpie-agent to its end: an exit code, or RUN_PARTIAL. what: the sentence's subject when a
 * signal ended it. */
static int run_agent(const struct agent_option *options, size_t n, const char *what)
{
	struct sigaction stop = { .sa_handler = on_stop };
	struct child agent;
	int status, err = child_init(&agent, "kelpie-agent");

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	for (size_t i = 0; !err && i < n; i++)
		if (options[i].value)
			child_arg(&agent, options[i].name, options[i].value);
	if (!err)
		err = child_start(&agent);
	if (err < 0) {
		child_done(&agent);
		return cli_fail(EXIT_ERROR, "cannot start %s: %s", agent.path, strerror(-err));
	}
	agent_pid = agent.pid;
	if (stopped)
		kill(agent.pid, SIGTERM);
	while (waitpid(agent.pid, &status, 0) < 0 && errno == EINTR)
		;
	agent_pid = 0;
	child_done(&agent);
	if (WIFSIGNALED(status))
		return cli_fail(EXIT_ERROR, "%s was ended by signal %d", what, WTERMSIG(status));
	/* the agent has said why */
	if (WEXITSTATUS(status) == AGENT_PARTIAL)
		return RUN_PARTIAL;
	return WEXITSTATUS(status) ? EXIT_ERROR : EXIT_OK;
}

int cmd_replay(const struct options *o)
{
	static const char everything[] =
		"SELECT time, client_name, server_name, method, resource, status, "
		"latency_ns, outcome FROM requests ORDER BY time";
	char temporary[] = "/tmp/kelpie-replay.XXXXXX";
	struct options ask = *o;
	const char *file = o->args[0];
	struct stat st;
	bool partial;
	int code;

	if (stat(file, &st) < 0)
		return cli_fail(EXIT_ERROR, "cannot read %s: %s", file, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return cli_fail(EXIT_ERROR, "%s is a directory; name a .pcap, .pcapng or .kev file",
				file);
	if (!o->data_dir) {
		if (!mkdtemp(temporary))
			return cli_fail(EXIT_ERROR, "cannot make a directory in /tmp: %s",
					strerror(errno));
		ask.data_dir = temporary;
	}
	code = run_agent(
		(struct agent_option[]){ { "--replay", file }, { "--data-dir", ask.data_dir } }, 2,
		"the replay");
	if (stopped)
		code = EXIT_INTERRUPTED;
	partial = code == RUN_PARTIAL;
	if (code == EXIT_OK || partial) {
		ask.source_name = file;
		ask.args[0] = o->sql ? o->sql : everything;
		code = cmd_sql(&ask);
		/* The rows are true; that they are not all is an error that a script must see. */
		if (partial && code == EXIT_OK)
			code = EXIT_ERROR;
	}
	if (!o->data_dir)
		remove_dir(temporary, 2);
	return code;
}

#define PORTS_MAX 7 /* of a recording */

static bool are_ports(struct slice list)
{
	size_t n = 0;
	uint64_t port;

	do {
		struct slice v = slice_head(list, slice_find(list, ','));

		if (++n > PORTS_MAX || parse_u64(v, &port) < 0 || port < 1 || port > UINT16_MAX)
			return false;
		list = slice_from(list, MIN(v.n + 1, list.n));
	} while (list.n);
	return true;
}

int cmd_record(const struct options *o)
{
	const char *port = NULL;
	uint64_t ns = NSEC_PER_SEC;

	if (o->kubectl || o->n_kube)
		return cli_fail(EXIT_USAGE,
				"record: raw events are those of one machine; run kelpie "
				"on the node, without kubectl");
	if (!o->write)
		return cli_fail(EXIT_USAGE, "record: -w FILE is missing");
	for (size_t i = 0; i < o->n_filters; i++) {
		if (o->filters[i].kind != FILTER_PORT || o->filters[i].negate)
			return cli_fail(EXIT_USAGE,
					"record: raw events can be told apart by --port alone; use "
					"the other filters on the replay");
		port = o->filters[i].value;
		if (!are_ports(slice_str(port)))
			return cli_fail(EXIT_USAGE,
					"record: --port '%s' is no port from 1 to 65535, nor a "
					"list of up to %d",
					port, PORTS_MAX);
	}
	if (o->for_ && (parse_duration_ns(slice_str(o->for_), &ns) < 0 || !ns))
		return cli_fail(EXIT_USAGE, "record: --for '%s' is no time; write 10s, 2m",
				o->for_);
	return run_agent((struct agent_option[]){ { "--record", o->write },
						  { "--for", o->for_ },
						  { "--port", port } },
			 3, "the recording");
}

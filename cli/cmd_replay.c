/* replay: the agent reads the recording into a directory, which is then asked like any other.
 * record: not offered by this agent yet; said plainly.
 */
#include "cli/cli.h"
#include "cli/run.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

static int run_agent(const char *file, const char *dir)
{
	struct child agent;
	int status, err = child_init(&agent, "kelpie-agent");

	if (!err) {
		child_arg(&agent, "--replay", file);
		child_arg(&agent, "--data-dir", dir);
		err = child_start(&agent);
	}
	if (err < 0) {
		child_done(&agent);
		return cli_fail(EXIT_ERROR, "cannot start %s: %s", agent.path, strerror(-err));
	}
	while (waitpid(agent.pid, &status, 0) < 0 && errno == EINTR)
		;
	child_done(&agent);
	if (WIFSIGNALED(status))
		return cli_fail(EXIT_ERROR, "reading %s ended by signal %d", file,
				WTERMSIG(status));
	/* the agent has said why */
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
	code = run_agent(file, ask.data_dir);
	if (code == EXIT_OK) {
		ask.args[0] = o->sql ? o->sql : everything;
		code = cmd_sql(&ask);
	}
	if (!o->data_dir)
		remove_dir(temporary, 2);
	return code;
}

int cmd_record(const struct options *o)
{
	if (!o->write)
		return cli_fail(EXIT_USAGE, "record: -w FILE is missing");
	return cli_fail(EXIT_ERROR,
			"this agent cannot record raw events; record with "
			"`tcpdump -w %s` and use `kelpie replay`",
			o->write);
}

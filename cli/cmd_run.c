/* run: the collector and the agent as children, on one machine.
 *
 *	lock DIR/run.lock -> kelpie-collector -> ready -> kelpie-agent -> ready -> "ready ADDRESS"
 *
 * A child that ends is started again, slower each time. SIGTERM or SIGINT: the agent is asked to
 * end first (it stores what it has received), then the collector; what has not ended after STOP_MS
 * is killed. SIGHUP: the configuration is read again, here to check it, then in the children. The
 * kernel ends the children when this process dies by any means.
 */
#include "base/run_as.h"
#include "cli/cli.h"
#include "cli/privileges.h"
#include "cli/run.h"
#include "cli/source.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define READY_MS       30000 /* until a child must have said that it is ready */
#define AGENT_STOP_MS  4000  /* for the agent to store what it has */
#define STOP_MS	       4600  /* of all; the promise is 5 s */
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 10000
#define CHILD_REFUSED  1     /* exit status of a child that has said why it cannot start */
#define STEADY_MS      30000 /* a child that lived so long starts from the beginning */

struct run {
	const struct options *o;
	struct config cfg;
	int lock;
	int signals; /* signalfd */
	struct child collector, agent;
	char agent_socket[CONFIG_PATH_MAX + 32]; /* "unix:DIR/agent.sock" */
	char listened[CONFIG_PATH_MAX]; /* the socket that the collector has made; "" none */
	bool said_ready, stopping;
	uint64_t stop_at_ms;
};

/* The children, and commands that read DIR/api.address, have working directories of their own. */
static int make_absolute(char *path, size_t size)
{
	_cleanup_(freep) char *cwd = NULL;
	char name[CONFIG_PATH_MAX];

	if (*path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return -errno;
	snprintf(name, sizeof(name), "%s", path);
	return snprintf(path, size, "%s/%s", cwd, name) < (int)size ? 0 : -ENAMETOOLONG;
}

static int make_paths_absolute(struct config *c, struct config_diag *diag)
{
	size_t scheme = strncmp(c->listen, "unix:", 5) == 0 ? 5 : 0;
	int err = make_absolute(c->data_dir, sizeof(c->data_dir));

	/* unix:@NAME has no file */
	if (!err && scheme && c->listen[scheme] != '@')
		err = make_absolute(c->listen + scheme, sizeof(c->listen) - scheme);
	if (err < 0)
		snprintf(diag->message, sizeof(diag->message),
			 "%.120s and %.120s, seen from this directory: %s; give absolute paths",
			 c->data_dir, c->listen, strerror(-err));
	return err;
}

static int load_config(const struct options *o, struct config *ret, struct config_diag *diag)
{
	struct config_flag flags[3];
	struct config_opts opts = { .file = o->config, .flags = flags };
	int err;

	if (o->data_dir)
		flags[opts.n_flags++] = (struct config_flag){ "dataDir", o->data_dir };
	if (o->listen)
		flags[opts.n_flags++] = (struct config_flag){ "listen", o->listen };
	err = config_load(&opts, ret, diag);
	return err ? err : make_paths_absolute(ret, diag);
}

/* The lock's content is the pid of its holder, for the message. */
static int take_lock(struct run *r)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(4096);
	char text[32] = "";

	if (mkdir(r->cfg.data_dir, 0770) < 0 && errno != EEXIST)
		return cli_fail(EXIT_ERROR,
				"cannot make the data directory %s: %s; make its parent "
				"first, or choose another with --data-dir",
				r->cfg.data_dir, strerror(errno));
	strbuf_addf(&path, "%s/" SOURCE_LOCK, r->cfg.data_dir);
	r->lock = open(strbuf_str(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (r->lock < 0)
		return cli_fail(EXIT_ERROR,
				"cannot use the data directory %s: %s; --data-dir names a "
				"directory that root may write to",
				r->cfg.data_dir, strerror(errno));
	if (flock(r->lock, LOCK_EX | LOCK_NB) < 0) {
		(void)!read(r->lock, text, sizeof(text) - 1);
		text[strcspn(text, "\n")] = 0;
		return cli_fail(EXIT_ERROR,
				"another kelpie run%s%s uses %s; stop it, or give --data-dir",
				*text ? ", pid " : "", text, r->cfg.data_dir);
	}
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(r->lock, 0) < 0 || pwrite(r->lock, text, strlen(text), 0) < 0)
		return cli_fail(EXIT_ERROR, "cannot write in %s: %s%s", r->cfg.data_dir,
				strerror(errno),
				errno == ENOSPC ? "; make room, or choose another directory with "
						  "--data-dir"
						: "");
	return EXIT_OK;
}

/* Where `--data-dir` of other commands finds this instance. */
static int write_address(const struct run *r)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(4096);
	_cleanup_(closep) int fd = -1;
	struct slice text = slice_str(r->cfg.listen);

	strbuf_addf(&path, "%s/" SOURCE_ADDRESS, r->cfg.data_dir);
	fd = open(strbuf_str(&path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || write(fd, "\n", 1) != 1)
		return -errno;
	return 0;
}

static void collector_args(struct run *r, struct child *c)
{
	struct run_as_ids store;
	char uid[16];

	run_as_find(RUN_AS_STORE, &store);
	snprintf(uid, sizeof(uid), "%u", store.uid);
	child_arg(c, "--listen", r->cfg.listen);
	child_arg(c, "--agents", r->agent_socket);
	child_arg(c, "--agent-uid", uid);
	if (r->cfg.file[0])
		child_arg(c, "--config", r->cfg.file);
}

static void agent_args(struct run *r, struct child *c)
{
	_cleanup_(strbuf_done) struct strbuf listen = STRBUF_INIT(4096);

	child_arg(c, "--data-dir", r->cfg.data_dir);
	child_arg(c, "--collector", r->agent_socket);
	/* The API's socket is no connection to be shown. */
	strbuf_addf(&listen, "listen=%s", r->cfg.listen);
	child_arg(c, "--set", strbuf_str(&listen));
	if (r->cfg.file[0])
		child_arg(c, "--config", r->cfg.file);
	for (size_t i = 0; i + 1 < r->o->n_forward; i += 2) {
		char flag[64];

		snprintf(flag, sizeof(flag), "--%s", r->o->forward[i]);
		child_arg(c, flag, r->o->forward[i + 1]);
	}
}

/* The collector cannot remove the agents' socket (the directory is not its own), nor can root
 * without all capabilities replace what belongs to the store. The lock says that it is nobody
 * else's. */
static void remove_agent_socket(const struct run *r)
{
	(void)unlink(r->agent_socket + strlen("unix:"));
}

static int start(struct run *r, struct child *c)
{
	int err;

	if (c == &r->collector)
		remove_agent_socket(r);
	err = child_start(c);

	if (err < 0)
		return cli_fail(EXIT_ERROR, "cannot start %s: %s%s", c->path, strerror(-err),
				err == -ENOENT ? "; it belongs beside the program kelpie" : "");
	c->deadline_ms = child_now_ms() + READY_MS;
	return EXIT_OK;
}

static int on_ready(struct run *r, struct child *c)
{
	struct slice listen = slice_str(r->cfg.listen);

	if (!child_read_ready(c))
		return EXIT_OK;
	c->deadline_ms = 0;
	if (c == &r->collector && !*r->listened && slice_starts(listen, SLICE_LIT("unix:")))
		snprintf(r->listened, sizeof(r->listened), "%s", r->cfg.listen + strlen("unix:"));
	if (c == &r->collector && !r->agent.pid && !r->agent.restart_at_ms && !r->stopping &&
	    start(r, &r->agent) != EXIT_OK) {
		r->stopping = true;
		return EXIT_ERROR;
	}
	if (!r->said_ready && r->agent.ready && r->collector.ready) {
		r->said_ready = true;
		cli_note("ready %s", r->cfg.listen);
	}
	return EXIT_OK;
}

/* How a child ended, and when it is started again. */
static int on_child_end(struct run *r, struct child *c, int status)
{
	uint64_t now = child_now_ms(), lived = now - c->started_ms;
	bool was_ready = c->ready;

	child_gone(c);
	if (r->stopping)
		return EXIT_OK;
	if (c->again) {
		c->again = false;
		c->restart_at_ms = now;
		return EXIT_OK;
	}
	/* before the first "ready" a child that refuses has said why: trying again helps nobody */
	if (!r->said_ready && !was_ready && WIFEXITED(status)) {
		r->stopping = true;
		if (WEXITSTATUS(status) == CHILD_REFUSED)
			return EXIT_ERROR;
		return cli_fail(EXIT_ERROR, "%s ended before it was ready (status %d)", c->name,
				WEXITSTATUS(status));
	}
	c->backoff_ms = lived >= STEADY_MS || !c->backoff_ms
				? BACKOFF_MIN_MS
				: MIN(c->backoff_ms * 2, BACKOFF_MAX_MS);
	c->restart_at_ms = now + (uint64_t)c->backoff_ms;
	if (WIFSIGNALED(status))
		cli_note("kelpie: %s was ended by signal %d; starting it again in %d ms", c->name,
			 WTERMSIG(status), c->backoff_ms);
	else
		cli_note("kelpie: %s ended with status %d; starting it again in %d ms", c->name,
			 WEXITSTATUS(status), c->backoff_ms);
	return EXIT_OK;
}

static int reap(struct run *r)
{
	int code = EXIT_OK, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == r->agent.pid)
			code = MAX(code, on_child_end(r, &r->agent, status));
		else if (pid == r->collector.pid)
			code = MAX(code, on_child_end(r, &r->collector, status));
	}
	return code;
}

static void begin_stop(struct run *r)
{
	if (r->stopping && r->stop_at_ms)
		return;
	r->stopping = true;
	r->stop_at_ms = child_now_ms();
	r->agent.restart_at_ms = r->collector.restart_at_ms = 0;
	child_signal(&r->agent, SIGTERM);
}

/* Whether the agent has to start anew to take the new values on. */
static bool agent_differs(const struct config *a, const struct config *b)
{
	return memcmp(&a->capture, &b->capture, sizeof(a->capture)) != 0 ||
	       memcmp(&a->tls, &b->tls, sizeof(a->tls)) != 0 ||
	       memcmp(&a->payload, &b->payload, sizeof(a->payload)) != 0 ||
	       memcmp(&a->redaction, &b->redaction, sizeof(a->redaction)) != 0 ||
	       memcmp(&a->retention, &b->retention, sizeof(a->retention)) != 0 ||
	       memcmp(&a->log, &b->log, sizeof(a->log)) != 0 || strcmp(a->node, b->node) != 0;
}

static void reload(struct run *r)
{
	_cleanup_(freep) struct config *cfg = calloc(1, sizeof(*cfg));
	struct config_diag diag;
	bool differs;

	if (!cfg || load_config(r->o, cfg, &diag) < 0) {
		cli_note("kelpie: the configuration is not read again: %s",
			 cfg ? diag.message : "no memory");
		return;
	}
	if (strcmp(cfg->data_dir, r->cfg.data_dir) != 0 || strcmp(cfg->listen, r->cfg.listen) != 0)
		cli_note("kelpie: dataDir and listen are taken on by a restart only");
	differs = agent_differs(cfg, &r->cfg);
	r->cfg = *cfg;
	cli_note("kelpie: configuration read again%s",
		 differs ? "; the agent starts anew with it" : "");
	child_signal(&r->collector, SIGHUP);
	if (differs && r->agent.pid) {
		r->agent.again = true;
		child_signal(&r->agent, SIGTERM);
	}
}

static int on_signals(struct run *r)
{
	struct signalfd_siginfo si;
	int code = EXIT_OK;

	while (read(r->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			code = MAX(code, reap(r));
		else if (si.ssi_signo == SIGHUP)
			reload(r);
		else
			begin_stop(r);
	}
	return code;
}

/* What is due by now: restarts, children that never became ready, the steps of stopping. */
static void on_time(struct run *r)
{
	struct child *all[] = { &r->collector, &r->agent };
	uint64_t now = child_now_ms();

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct child *c = all[i];

		if (!r->stopping && c->restart_at_ms && now >= c->restart_at_ms) {
			c->restart_at_ms = 0;
			if (start(r, c) != EXIT_OK)
				c->restart_at_ms = now + BACKOFF_MAX_MS;
		}
		if (!r->stopping && c->pid && c->deadline_ms && now >= c->deadline_ms) {
			c->deadline_ms = 0;
			child_signal(c, SIGKILL);
			cli_note("kelpie: %s was not ready after %d s", c->name, READY_MS / 1000);
		}
	}
	if (!r->stopping)
		return;
	if (!r->stop_at_ms)
		begin_stop(r);
	if (!r->agent.pid || now >= r->stop_at_ms + AGENT_STOP_MS)
		child_signal(&r->collector, SIGTERM);
	if (now >= r->stop_at_ms + STOP_MS) {
		if (r->agent.pid)
			cli_note("kelpie: %s did not end in time; killed", r->agent.name);
		child_signal(&r->agent, SIGKILL);
		child_signal(&r->collector, SIGKILL);
	}
}

static int loop(struct run *r)
{
	int code = EXIT_OK;

	while (!r->stopping || r->agent.pid || r->collector.pid) {
		struct pollfd fds[] = { { .fd = r->signals, .events = POLLIN },
					{ .fd = r->collector.ready_fd, .events = POLLIN },
					{ .fd = r->agent.ready_fd, .events = POLLIN } };
		bool waiting = r->stopping || r->agent.restart_at_ms ||
			       r->collector.restart_at_ms || r->agent.deadline_ms ||
			       r->collector.deadline_ms;

		poll(fds, ARRAY_SIZE(fds), waiting ? 50 : -1);
		if (fds[1].revents)
			code = MAX(code, on_ready(r, &r->collector));
		if (fds[2].revents)
			code = MAX(code, on_ready(r, &r->agent));
		code = MAX(code, on_signals(r));
		on_time(r);
	}
	return code;
}

static int block_signals(struct run *r)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? -errno : 0;
}

static int set_up(struct run *r)
{
	int n, err;

	n = snprintf(r->agent_socket, sizeof(r->agent_socket), "unix:%s/agent.sock",
		     r->cfg.data_dir);
	if (n - 5 >= CONFIG_SOCKET_MAX)
		return cli_fail(EXIT_ERROR,
				"the path of the data directory is too long for the socket in it "
				"(%d bytes at most)",
				CONFIG_SOCKET_MAX - 12);
	err = write_address(r);
	if (!err)
		err = block_signals(r);
	if (err < 0)
		return cli_fail(EXIT_ERROR, "cannot start: %s", strerror(-err));
	if (child_init(&r->collector, "kelpie-collector") < 0 ||
	    child_init(&r->agent, "kelpie-agent") < 0)
		return cli_fail(EXIT_ERROR, "cannot find the other programs beside this one");
	collector_args(r, &r->collector);
	agent_args(r, &r->agent);
	return EXIT_OK;
}

int cmd_run(const struct options *o)
{
	_cleanup_(freep) struct run *r = calloc(1, sizeof(*r));
	struct config_diag diag;
	struct trouble t;
	int code;

	if (!r)
		return cli_fail(EXIT_ERROR, "out of memory");
	r->o = o;
	r->lock = r->signals = r->agent.ready_fd = r->collector.ready_fd = -1;
	if (load_config(o, &r->cfg, &diag) < 0)
		return cli_fail(diag.flag ? EXIT_USAGE : EXIT_ERROR, "%s", diag.message);
	if (privileges_check(&t) < 0)
		return cli_fail(t.code, "%s", t.message);
	code = privileges_limit();
	if (code < 0)
		return cli_fail(EXIT_ERROR, "cannot give up capabilities: %s", strerror(-code));
	code = take_lock(r);
	if (code == EXIT_OK)
		code = set_up(r);
	if (code == EXIT_OK)
		code = start(r, &r->collector);
	if (code == EXIT_OK)
		code = loop(r);
	if (r->lock >= 0 && *r->agent_socket)
		remove_agent_socket(r);
	/* The collector may have no right to the folder. It listened, so the socket is nobody
	 * else's. */
	if (*r->listened)
		(void)unlink(r->listened);
	child_done(&r->collector);
	child_done(&r->agent);
	closep(&r->signals);
	closep(&r->lock);
	return code;
}

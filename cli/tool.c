#include "cli/tool.h"

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#define READ_BYTES (64 * KIB)

extern char **environ;

enum { END_IN, END_OUT, END_ERR, _END_MAX };

struct running {
	struct tool *tool;
	pid_t pid;
	int fds[_END_MAX]; /* our ends; -1: closed */
	struct slice left; /* of the input */
	struct line_split lines;
	uint64_t deadline_ns; /* 0: none */
};

static void shut(int *fd)
{
	closep(fd);
	*fd = -1;
}

/* Signals are as a shell would leave them; the pipes are its standard streams. */
static int spawn(const struct tool *tool, int theirs[_END_MAX], pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, usual;
	int err;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &usual);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&files);
	for (int i = 0; i < _END_MAX; i++)
		posix_spawn_file_actions_adddup2(&files, theirs[i], i);
	err = posix_spawnp(ret, tool->argv[0], &files, &attr, (char *const *)(uintptr_t)tool->argv,
			   environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -err;
}

static int start(struct running *r)
{
	int theirs[_END_MAX] = { -1, -1, -1 }, err = 0;

	for (int i = 0; i < _END_MAX && !err; i++) {
		int pair[2];

		if (pipe2(pair, O_CLOEXEC) < 0) {
			err = -errno;
			break;
		}
		theirs[i] = pair[i != END_IN];
		r->fds[i] = pair[i == END_IN];
		fcntl(r->fds[i], F_SETFL, O_NONBLOCK);
	}
	if (!err)
		err = spawn(r->tool, theirs, &r->pid);
	for (int i = 0; i < _END_MAX; i++)
		closep(&theirs[i]);
	return err;
}

/* What it does not want to read is its own affair: its exit status tells. */
static void give(struct running *r)
{
	void (*usual)(int) = signal(SIGPIPE, SIG_IGN);
	ssize_t n = r->left.n ? write(r->fds[END_IN], r->left.p, r->left.n) : 0;

	signal(SIGPIPE, usual);
	if (n > 0)
		r->left = slice_from(r->left, (size_t)n);
	if (!r->left.n || (n < 0 && errno != EAGAIN && errno != EINTR))
		shut(&r->fds[END_IN]);
}

static int take(struct running *r, int end)
{
	struct strbuf *said = &r->tool->said;
	char buf[READ_BYTES];
	ssize_t n = read(r->fds[end], buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		shut(&r->fds[end]);
		return end == END_OUT ? line_split_end(&r->lines) : 0;
	}
	if (end == END_OUT)
		return line_split_add(&r->lines, slice_of(buf, (size_t)n));
	strbuf_add(said, buf, MIN((size_t)n, said->max - said->len));
	return 0;
}

static int wait_ms(const struct running *r)
{
	uint64_t now = clock_mono_ns();

	if (!r->deadline_ns)
		return -1;
	return now < r->deadline_ns ? (int)((r->deadline_ns - now) / NSEC_PER_MSEC) + 1 : 0;
}

static int pump(struct running *r)
{
	int err = 0;

	while (!err && (r->fds[END_OUT] >= 0 || r->fds[END_ERR] >= 0)) {
		struct pollfd fds[] = { { .fd = r->fds[END_IN], .events = POLLOUT },
					{ .fd = r->fds[END_OUT], .events = POLLIN },
					{ .fd = r->fds[END_ERR], .events = POLLIN },
					{ .fd = interrupt_fd(), .events = POLLIN } };
		int n = poll(fds, ARRAY_SIZE(fds), wait_ms(r));

		if (interrupted())
			return -EINTR;
		if (n == 0)
			return -ETIME;
		if (fds[END_IN].revents)
			give(r);
		for (int end = END_OUT; end < _END_MAX && !err; end++)
			if (fds[end].revents)
				err = take(r, end);
	}
	return err;
}

int tool_run(struct tool *tool)
{
	struct running r = { .tool = tool,
			     .fds = { -1, -1, -1 },
			     .left = tool->input,
			     .lines = { .fn = tool->line, .ctx = tool->ctx } };
	int err, status = 0;

	strbuf_init(&r.lines.line, tool->line_max);
	strbuf_init(&tool->said, TOOL_SAID_MAX);
	if (tool->timeout_ns)
		r.deadline_ns = clock_mono_ns() + tool->timeout_ns;
	err = start(&r);
	if (!err)
		err = pump(&r);
	for (int i = 0; i < _END_MAX; i++)
		closep(&r.fds[i]);
	strbuf_done(&r.lines.line);
	if (r.pid > 0) {
		if (err)
			kill(r.pid, SIGTERM);
		while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
			;
		tool->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	return err;
}

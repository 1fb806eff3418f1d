#include "cli/run.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

uint64_t child_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int child_init(struct child *c, const char *name)
{
	char self[4000];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return -EINVAL;
	*c = (struct child){ .name = name, .ready_fd = -1 };
	snprintf(c->path, sizeof(c->path), "%.*s/%s", (int)(slash - self), self, name);
	c->argv[c->argc++] = strdup(name);
	return c->argv[0] ? 0 : -ENOMEM;
}

void child_done(struct child *c)
{
	for (size_t i = 0; i < c->argc; i++)
		free(c->argv[i]);
	closep(&c->ready_fd);
	c->argc = 0;
	c->ready_fd = -1;
}

void child_arg(struct child *c, const char *flag, const char *value)
{
	assert(c->argc + 2 <= CHILD_ARGS_MAX);
	c->argv[c->argc++] = strdup(flag);
	c->argv[c->argc++] = strdup(value);
}

/* In the child, between fork and exec: only what is async-signal-safe. */
static _Noreturn void become(struct child *c, pid_t parent, int ready_fd, int error_fd)
{
	sigset_t none;
	int err;

	setpgid(0, 0); /* Ctrl-C of the terminal reaches the parent alone */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fcntl(ready_fd, F_SETFD, 0);
	execv(c->path, c->argv);
	err = errno;
	(void)!write(error_fd, &err, sizeof(err));
	_exit(127);
}

int child_start(struct child *c)
{
	int ready[2], error[2], err = 0;
	char flag[] = "--ready-fd", number[16];
	pid_t parent = getpid(), pid;
	ssize_t n;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(error, O_CLOEXEC) < 0) {
		err = -errno;
		close(ready[0]);
		close(ready[1]);
		return err;
	}
	snprintf(number, sizeof(number), "%d", ready[1]);
	c->argv[c->argc] = flag;
	c->argv[c->argc + 1] = number;
	c->argv[c->argc + 2] = NULL;
	pid = fork();
	if (pid == 0)
		become(c, parent, ready[1], error[1]);
	err = pid < 0 ? -errno : 0;
	close(ready[1]);
	close(error[1]);
	n = pid > 0 ? read(error[0], &err, sizeof(err)) : 0; /* 0 bytes: execve() succeeded */
	close(error[0]);
	if (n == sizeof(err)) {
		waitpid(pid, NULL, 0);
		err = -err;
	}
	if (err < 0) {
		close(ready[0]);
		return err;
	}
	fcntl(ready[0], F_SETFL, O_NONBLOCK);
	closep(&c->ready_fd);
	c->ready_fd = ready[0];
	c->ready = false;
	c->pid = pid;
	c->started_ms = child_now_ms();
	return 0;
}

bool child_read_ready(struct child *c)
{
	char text[64];
	ssize_t n = read(c->ready_fd, text, sizeof(text));

	if (n < 0)
		return false;
	closep(&c->ready_fd);
	c->ready_fd = -1;
	c->ready = n > 0; /* an end without a word is no "ready" */
	return c->ready;
}

void child_gone(struct child *c)
{
	closep(&c->ready_fd);
	c->ready_fd = -1;
	c->pid = 0;
	c->ready = false;
	c->deadline_ms = 0;
}

void child_signal(const struct child *c, int sig)
{
	if (c->pid > 0)
		kill(c->pid, sig);
}

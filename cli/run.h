/* One supervised child of `kelpie run`. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "base/util.h"

#include <sys/types.h>

#define CHILD_ARGS_MAX 32

struct child {
	const char *name;
	char path[4096];
	char *argv[CHILD_ARGS_MAX + 4]; /* owned; the last three are "--ready-fd", number, NULL */
	size_t argc;
	pid_t pid;    /* 0: not running */
	int ready_fd; /* read end of the pipe that the child says "ready" on; -1 */
	bool ready;
	bool again; /* it was told to end, to be started at once */
	uint64_t started_ms, deadline_ms, restart_at_ms; /* CLOCK_MONOTONIC; 0: none */
	int backoff_ms;
};

uint64_t child_now_ms(void);
/* path becomes the folder of this program + name. 0 or negative errno. */
int child_init(struct child *c, const char *name);
void child_done(struct child *c);
/* Both are copied. Arguments beyond CHILD_ARGS_MAX are an assertion failure. */
void child_arg(struct child *c, const char *flag, const char *value);
/* Forks and executes it in a process group of its own, with SIGTERM as its parent's last will. 0 or
 * a negative errno, that of execve() included. */
int child_start(struct child *c);
/* Reads the pipe; true when the child has become ready by this call. */
bool child_read_ready(struct child *c);
/* After waitpid() returned it. */
void child_gone(struct child *c);
/* Nothing when it does not run. */
void child_signal(const struct child *c, int sig);

#endif

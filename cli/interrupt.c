#include "cli/interrupt.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>

static int pipe_fds[2] = { -1, -1 };
static atomic_bool seen; /* lock-free: a handler may set it */
static volatile sig_atomic_t last;

static void on_signal(int sig)
{
	int keep = errno;

	last = sig;
	atomic_store(&seen, true);
	if (pipe_fds[1] >= 0)
		(void)!write(pipe_fds[1], "", 1);
	errno = keep;
}

int interrupt_install(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };

	if (pipe_fds[0] >= 0)
		return 0;
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &sa, NULL) < 0)
			return -errno;
	return 0;
}

bool interrupted(void)
{
	return atomic_load(&seen);
}

bool interrupt_ends(void)
{
	return interrupted() && last != SIGINT;
}

const atomic_bool *interrupt_flag(void)
{
	return &seen;
}

void interrupt_clear(void)
{
	char drop[64];

	atomic_store(&seen, false);
	while (pipe_fds[0] >= 0 && read(pipe_fds[0], drop, sizeof(drop)) > 0)
		;
}

int interrupt_fd(void)
{
	return pipe_fds[0];
}

int interrupt_wait(int fd, int ms)
{
	struct pollfd fds[] = { { .fd = pipe_fds[0], .events = POLLIN },
				{ .fd = fd, .events = POLLIN } };
	int n;

	if (seen)
		return -EINTR;
	n = poll(fds, ARRAY_SIZE(fds), ms);
	if (seen)
		return -EINTR;
	return n > 0 && fds[1].revents ? 1 : 0;
}

#include "query/worker_int.h"

#include "base/fds.h"
#include "query/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The fork server: one thread, no state but its children. A connection is opened once, before the
 * first fork: a child starts with its tables and functions in place. */
struct zygote_child {
	pid_t pid; /* 0: free */
	uint64_t serial;
	int status_fd;
};

struct zygote {
	int control, signals;
	struct zygote_child children[WORKER_CHILDREN_MAX];
	struct proxy proxy;
	struct query_conn *conn;
	void *filter;
	uint64_t memory_in_use;
};

static int read_request(struct zygote *z, struct zygote_request *ret, int fds[2])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { ret, sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	ssize_t n;

	fds[0] = fds[1] = -1;
	do {
		n = recvmsg(z->control, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)))
		memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	return n == sizeof(*ret) ? 0 : -EBADMSG;
}

__attribute__((noreturn)) static void child(struct zygote *z, const struct zygote_request *req,
					    int fd)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fds_close_but((const int[]){ fd, -1 });
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (sandbox_enter(z->filter, z->memory_in_use + req->memory_bytes, req->cpu_s) < 0)
		_exit(CHILD_FAILED_SANDBOX);
	_exit(child_main(z->conn, &z->proxy, fd) < 0 ? CHILD_FAILED : 0);
}

static struct zygote_child *free_place(struct zygote *z)
{
	for (size_t i = 0; i < WORKER_CHILDREN_MAX; i++)
		if (!z->children[i].pid)
			return &z->children[i];
	return NULL;
}

static void start(struct zygote *z, const struct zygote_request *req, int fds[2])
{
	struct zygote_child *place = free_place(z);
	pid_t pid = place && fds[0] >= 0 ? fork() : -1;

	if (pid == 0)
		child(z, req, fds[0]);
	if (fds[0] >= 0)
		close(fds[0]);
	if (pid < 0) {
		if (fds[1] >= 0)
			close(fds[1]);
		return;
	}
	*place = (struct zygote_child){ pid, req->serial, fds[1] };
}

static void kill_child(struct zygote *z, uint64_t serial)
{
	/* Not yet waited for, so the number is still that child's. */
	for (size_t i = 0; i < WORKER_CHILDREN_MAX; i++)
		if (z->children[i].pid && z->children[i].serial == serial)
			kill(z->children[i].pid, SIGKILL);
}

static void reap(struct zygote *z)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < WORKER_CHILDREN_MAX; i++) {
			struct zygote_child *c = &z->children[i];

			if (c->pid != pid)
				continue;
			if (write(c->status_fd, &status, sizeof(status)) < 0)
				status = 0; /* nobody waits for it any more */
			close(c->status_fd);
			c->pid = 0;
		}
}

static bool prepare(struct zygote *z)
{
	unsigned char seed[8];
	sigset_t chld;

	/* What SQLite and the C library open on first use is opened now. */
	sqlite3_initialize();
	sqlite3_randomness(sizeof(seed), seed);
	tzset();
	proxy_init(&z->proxy);
	z->filter = sandbox_filter();
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &chld, NULL) < 0)
		return false;
	z->signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!z->filter || z->signals < 0 || query_open(&z->proxy.base, &z->conn) < 0)
		return false;
	z->memory_in_use = sandbox_memory_in_use();
	return z->memory_in_use > 0;
}

static void standard_files(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Standard error stays for the sanitizers' reports. */
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
	}
}

/* Leaving root takes the capabilities along. */
static bool become(const struct run_as_ids *as)
{
	return setgroups(0, NULL) == 0 && setresgid(as->gid, as->gid, as->gid) == 0 &&
	       setresuid(as->uid, as->uid, as->uid) == 0;
}

void zygote_main(int control, const struct run_as_ids *as)
{
	struct zygote *z = calloc(1, sizeof(*z));
	struct pollfd fds[2];

	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	standard_files();
	fds_close_but((const int[]){ control, -1 });
	prctl(PR_SET_NAME, "kelpie-query");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!z || (as && !become(as)))
		_exit(1);
	z->control = control;
	if (!prepare(z) || sandbox_enter_server() < 0)
		_exit(1);
	fds[0] = (struct pollfd){ .fd = control, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = z->signals, .events = POLLIN };
	for (;;) {
		struct zygote_request req;
		struct signalfd_siginfo si;
		int passed[2];

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (read(z->signals, &si, sizeof(si)) > 0)
			reap(z);
		if (!fds[0].revents)
			continue;
		if (read_request(z, &req, passed) < 0)
			break;
		if (req.op == ZYGOTE_RUN)
			start(z, &req, passed);
		else
			kill_child(z, req.serial);
	}
	for (size_t i = 0; i < WORKER_CHILDREN_MAX; i++)
		if (z->children[i].pid)
			kill(z->children[i].pid, SIGKILL);
	_exit(0);
}

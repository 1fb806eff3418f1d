/* What is forbidden once the collector has given up its privileges; each case in a child. */
#include "collector/guard.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

static char dir[] = "/tmp/kelpie-test-guard-XXXXXX";

/* Runs fn in a child after guard_enter(); whether it returned true. */
static bool guarded(bool (*fn)(bool landlock))
{
	const struct guard_paths paths = { .read = { "/etc/passwd" }, .remove = { dir } };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		bool landlock = false;

		_exit(guard_enter(&paths, &landlock) == 0 && fn(landlock) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static bool threads_start(bool landlock)
{
	pthread_t t;

	(void)landlock;
	return pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0;
}

static bool no_programs(bool landlock)
{
	char *const args[] = { (char[]){ "true" }, NULL };

	(void)landlock;
	return execve("/bin/true", args, args) < 0 && errno == EPERM;
}

static bool no_processes(bool landlock)
{
	pid_t pid = fork();

	(void)landlock;
	if (pid == 0)
		_exit(0);
	return pid < 0 && errno == EPERM;
}

/* What others opened is used; nothing new is. */
static bool no_sockets(bool landlock)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET };
	int pair[2];

	(void)landlock;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (socket(families[i], SOCK_STREAM, 0) >= 0 || errno != EPERM)
			return false;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[0], "x", 1) == 1;
}

static bool no_code(bool landlock)
{
	const size_t page = 4096;
	void *data = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)landlock;
	return data != MAP_FAILED && mprotect(data, page, PROT_READ | PROT_EXEC) < 0 &&
	       errno == EPERM &&
	       mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED &&
	       errno == EPERM && memfd_create("code", 0) < 0 && errno == EPERM;
}

static bool no_other_process(bool landlock)
{
	const pid_t parent = getppid(); /* fails too */

	(void)landlock;
	return parent < 0 && kill(-1, SIGCONT) < 0 && errno == EPERM &&
	       syscall(SYS_tgkill, 1, 1, SIGCONT) < 0 && errno == EPERM &&
	       ptrace(PTRACE_SEIZE, 1, NULL, NULL) < 0 && errno == EPERM &&
	       syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0) < 0 && errno == EPERM &&
	       syscall(SYS_pidfd_open, 1, 0) < 0 && errno == EPERM &&
	       ioctl(STDERR_FILENO, TIOCSTI, "x") < 0 && errno == EPERM;
}

static bool no_namespaces(bool landlock)
{
	(void)landlock;
	return unshare(CLONE_NEWUSER) < 0 && errno == EPERM &&
	       mount("none", "/tmp", "tmpfs", 0, NULL) < 0 && errno == EPERM &&
	       syscall(SYS_bpf, 0, NULL, 0) < 0 && errno == EPERM &&
	       syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EPERM;
}

static bool only_named_files(bool landlock)
{
	char path[64];

	if (!landlock)
		return true;
	if (open("/etc/passwd", O_RDONLY) < 0)
		return false;
	if (open("/etc/hostname", O_RDONLY) >= 0 || errno != EACCES)
		return false;
	snprintf(path, sizeof(path), "%s/new", dir);
	if (open(path, O_WRONLY | O_CREAT, 0600) >= 0 || errno != EACCES)
		return false;
	snprintf(path, sizeof(path), "%s/old", dir);
	return unlink(path) == 0;
}

static void test_guard__threads(void)
{
	EXPECT(guarded(threads_start));
}

/* The sanitizers' builds keep their calls. */
static void test_guard__nothing_else(void)
{
	static const struct {
		const char *name;
		bool (*holds)(bool landlock);
	} cases[] = {
		{ "no_programs", no_programs }, { "no_processes", no_processes },
		{ "no_sockets", no_sockets },	{ "no_namespaces", no_namespaces },
		{ "no_code", no_code },		{ "no_other_process", no_other_process },
	};

	if (SANITIZED) {
		test_skip("the leak check needs a process");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!EXPECT(guarded(cases[i].holds)))
			printf("# %s\n", cases[i].name);
}

static void test_guard__files(void)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE };
	char path[64];
	int fd;

	if (SANITIZED || syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0) < 0) {
		test_skip("no Landlock here");
		return;
	}
	ASSERT(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/old", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ASSERT(fd >= 0);
	close(fd);
	EXPECT(guarded(only_named_files));
	unlink(path);
	rmdir(dir);
}

static bool is_no_longer_root(void)
{
	struct run_as_ids user;

	return guard_find_user(NULL, &user) == 0 && guard_become(&user) == 0 && getuid() != 0 &&
	       geteuid() == user.uid && getgid() == user.gid && setuid(0) < 0;
}

static void test_guard__user(void)
{
	struct run_as_ids user;
	int status = -1;
	pid_t pid;

	EXPECT_EQ(guard_find_user("no-such-user-here", &user), -ENOENT);
	if (getuid() != 0) {
		test_skip("needs root");
		return;
	}
	pid = fork();
	if (pid == 0)
		_exit(!is_no_longer_root());
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

TEST_MAIN(TEST(test_guard__threads), TEST(test_guard__nothing_else), TEST(test_guard__files),
	  TEST(test_guard__user))

/* What is forbidden once the collector has given up its privileges; each case in a child. */
#include "collector/guard.h"

#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
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

static bool only_plain_sockets(bool landlock)
{
	static const int allowed[] = { AF_UNIX, AF_INET, AF_INET6 },
			 denied[] = { AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_UNSPEC };

	(void)landlock;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (socket(allowed[i], SOCK_STREAM, 0) < 0 && errno != EAFNOSUPPORT)
			return false;
	if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(denied); i++)
		if (socket(denied[i], SOCK_RAW, 0) >= 0 || errno != EAFNOSUPPORT)
			return false;
	return true;
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

static void test_guard__programs(void)
{
	EXPECT(guarded(no_programs));
}

static void test_guard__processes(void)
{
	if (SANITIZED)
		test_skip("the leak check needs a process");
	else
		EXPECT(guarded(no_processes));
}

static void test_guard__sockets(void)
{
	EXPECT(guarded(only_plain_sockets));
}

static void test_guard__namespaces(void)
{
	EXPECT(guarded(no_namespaces));
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

TEST_MAIN(TEST(test_guard__threads), TEST(test_guard__programs), TEST(test_guard__processes),
	  TEST(test_guard__sockets), TEST(test_guard__namespaces), TEST(test_guard__files),
	  TEST(test_guard__user))

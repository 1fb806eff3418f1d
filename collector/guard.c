#include "collector/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* AddressSanitizer's leak check stops the program's threads with ptrace from a child. */
#ifdef __SANITIZE_ADDRESS__
#define LEAK_CHECK 1
#else
#define LEAK_CHECK 0
#endif

int guard_find_user(const char *name, struct run_as_ids *ret)
{
	const struct passwd *pw = name ? getpwnam(name) : NULL;

	if (!name)
		run_as_find(RUN_AS_COLLECTOR, ret);
	else if (pw)
		*ret = (struct run_as_ids){ pw->pw_uid, pw->pw_gid };
	return name && !pw ? -ENOENT : 0;
}

/* Needs CAP_SETPCAP, so it comes before root is given up. */
void guard_drop_bounds(void)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

/* Another user's process forgets the signal that its parent's death sends (prctl(2)). */
static int keep_death_signal(int sig, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH; /* it died in between */
}

int guard_become(const struct run_as_ids *user)
{
	pid_t parent = getppid();
	int death_signal = 0;

	prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0);
	guard_drop_bounds();
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	if (user->uid != 0 && setuid(0) == 0)
		return -EPERM;
	return death_signal ? keep_death_signal(death_signal, parent) : 0;
}

static int drop_capabilities(void)
{
	cap_t none = cap_init();
	int err = 0;

	if (!none)
		return -ENOMEM;
	guard_drop_bounds();
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (cap_set_proc(none) < 0)
		err = -errno;
	cap_free(none);
	return err;
}

static int add_path(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	_cleanup_(closep) int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE;
	rule.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

/* Rights of Landlock's first version, present in every kernel that has it (5.13). */
static int enter_landlock(const struct guard_paths *paths, bool *ret)
{
	const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
	};
	_cleanup_(closep) int ruleset = -1;
	int err = 0;

	*ret = false;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	for (size_t i = 0; i < ARRAY_SIZE(paths->read) && err == 0; i++)
		if (paths->read[i])
			err = add_path(ruleset, paths->read[i], read);
	for (size_t i = 0; i < ARRAY_SIZE(paths->remove) && err == 0; i++)
		if (paths->remove[i])
			err = add_path(ruleset, paths->remove[i], LANDLOCK_ACCESS_FS_REMOVE_FILE);
	if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		err = -errno;
	*ret = err == 0;
	return err;
}

static const int denied[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(chroot),
	SCMP_SYS(pivot_root),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(reboot),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(personality),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(syslog),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(process_madvise),
	SCMP_SYS(vhangup),
};

static const int denied_but_for_leak_check[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp),
};

static int add_denied(scmp_filter_ctx ctx)
{
	const uint32_t eperm = SCMP_ACT_ERRNO(EPERM), eaf = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(denied) && err == 0; i++)
		err = seccomp_rule_add(ctx, eperm, denied[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(denied_but_for_leak_check) && err == 0 && !LEAK_CHECK;
	     i++)
		err = seccomp_rule_add(ctx, eperm, denied_but_for_leak_check[i], 0);
	/* Threads, but no processes. clone3 hides its flags in memory: the C library falls back. */
	if (err == 0 && !LEAK_CHECK)
		err = seccomp_rule_add(ctx, eperm, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	if (err == 0)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (int family = 0; family <= AF_INET6 && err == 0; family++)
		if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
			err = seccomp_rule_add(ctx, eaf, SCMP_SYS(socket), 1,
					       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family));
	if (err == 0)
		err = seccomp_rule_add(ctx, eaf, SCMP_SYS(socket), 1,
				       SCMP_A0(SCMP_CMP_GT, AF_INET6));
	return err;
}

static int enter_seccomp(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err;

	if (!ctx)
		return -ENOMEM;
	err = add_denied(ctx);
	if (err == 0)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

int guard_enter(const struct guard_paths *paths, bool *ret_landlock)
{
	const struct rlimit none = { 0, 0 };
	int err;

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	err = drop_capabilities();
	if (err < 0)
		return err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (!LEAK_CHECK && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	err = LEAK_CHECK ? 0 : enter_landlock(paths, ret_landlock);
	if (LEAK_CHECK)
		*ret_landlock = false;
	return err < 0 ? err : enter_seccomp();
}

#include "agent/calls.h"

#include <seccomp.h>

const int calls_parser[] = {
	/* the attacher; the log */
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(write),
	/* waiting */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(futex),
	SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn),
	/* memory, time, the end */
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(getpid), SCMP_SYS(exit_group), -1,
};

const int calls_store[] = {
	/* its directory: Landlock says that it is no other */
	SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write),
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek),
	SCMP_SYS(fstatfs), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat), SCMP_SYS(renameat), SCMP_SYS(getdents64), SCMP_SYS(fcntl), SCMP_SYS(fchmod),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(umask),
	/* the collector, the attacher */
	SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(getsockopt), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	/* waiting */
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(futex), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
	/* memory, time, threads that are there, the end */
	SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect),
	SCMP_SYS(madvise), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(geteuid), SCMP_SYS(sysinfo), SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group), -1,
};

const int calls_attacher[] = {
	/* the programs and their maps; a walk over the open connections */
	SCMP_SYS(bpf),
	/* /proc, signals, the children, their processor time */
	SCMP_SYS(clock_getres), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(socketpair), SCMP_SYS(clone),
	SCMP_SYS(clone3), SCMP_SYS(wait4), SCMP_SYS(kill),
	/* what a child does until it is confined */
	SCMP_SYS(close_range), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(prctl), SCMP_SYS(capset),
	SCMP_SYS(setgroups), SCMP_SYS(setresgid), SCMP_SYS(setresuid), SCMP_SYS(prlimit64),
	SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_add_rule),
	SCMP_SYS(landlock_restrict_self), SCMP_SYS(seccomp), SCMP_SYS(epoll_create1),
	SCMP_SYS(eventfd2), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(getppid), SCMP_SYS(getuid),
	SCMP_SYS(statfs), -1,
};

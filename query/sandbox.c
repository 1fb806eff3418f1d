#include "query/sandbox.h"

#include "base/text.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* Memory, the socket that is open, the clock, the end. */
static const int allowed[] = {
	SCMP_SYS(read),		SCMP_SYS(write),	   SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),	SCMP_SYS(recvmsg),	   SCMP_SYS(sendmsg),
	SCMP_SYS(brk),		SCMP_SYS(munmap),	   SCMP_SYS(mremap),
	SCMP_SYS(madvise),	SCMP_SYS(futex),	   SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday), SCMP_SYS(getpid),	   SCMP_SYS(gettid),
	SCMP_SYS(getrandom),	SCMP_SYS(rt_sigreturn),	   SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(sigaltstack),	SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group),	SCMP_SYS(close),
};

/* Asked for by the C library in corners (time zones): it copes with the refusal. */
static const int refused[] = {
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(stat),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lstat),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(lseek),
	SCMP_SYS(sysinfo),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(ioctl),
	SCMP_SYS(fcntl),
};

static int add_allowed(scmp_filter_ctx ctx)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	/* Memory that is never executable and never a file. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				     SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r;
}

static int add_rules(scmp_filter_ctx ctx)
{
	int r = add_allowed(ctx);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), refused[i], 0);
	return r;
}

void *sandbox_filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!ctx)
		return NULL;
	if (add_rules(ctx) < 0) {
		seccomp_release(ctx);
		return NULL;
	}
	return ctx;
}

/* The fork server's, beside its children's. */
static const int server_calls[] = {
	SCMP_SYS(poll),	  SCMP_SYS(ppoll),     SCMP_SYS(clone),
	SCMP_SYS(wait4),  SCMP_SYS(kill),      SCMP_SYS(close_range),
	SCMP_SYS(prctl),  SCMP_SYS(prlimit64), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),	  SCMP_SYS(seccomp),   SCMP_SYS(rt_sigaction),
	SCMP_SYS(tgkill),
};

int sandbox_enter_server(void)
{
	scmp_filter_ctx ctx;
	int r;

	if (UNDER_SANITIZER)
		return 0;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	r = ctx ? add_allowed(ctx) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(server_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, server_calls[i], 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

static int limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit r = { value, value };

	return setrlimit(resource, &r) < 0 ? -errno : 0;
}

int sandbox_enter(void *filter, uint64_t memory_bytes, uint64_t cpu_s)
{
	int r = 0;

	/* The address sanitizer reserves terabytes. */
	if (!UNDER_SANITIZER)
		r = limit(RLIMIT_AS, memory_bytes);
	if (r == 0)
		r = limit(RLIMIT_CPU, cpu_s);
	if (r == 0)
		r = limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = limit(RLIMIT_FSIZE, 0);
	if (r == 0)
		r = limit(RLIMIT_NOFILE, 0);
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
		r = -errno;
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = seccomp_load(filter);
	return r;
}

uint64_t sandbox_memory_in_use(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	uint64_t pages = 0;
	char text[128];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n <= 0)
		return 0;
	parse_u64(slice_head(slice_of(text, (size_t)n), slice_find(slice_of(text, (size_t)n), ' ')),
		  &pages);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

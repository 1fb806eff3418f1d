#include "agent/sandbox.h"

#include "base/caps.h"
#include "base/fds.h"
#include "base/strbuf.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define MAPS_MAX (4 * MIB) /* of /proc/self/maps */

int sandbox_keep_caps(const int *numbers)
{
	uint64_t have, mask = 0;
	int r;

	for (; *numbers >= 0; numbers++)
		mask |= 1ULL << *numbers;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	r = caps_get(&have);
	if (r == 0)
		r = caps_bound(mask);
	return r < 0 ? r : caps_set(have & mask);
}

static int drop_identity(const struct sandbox *s)
{
	const struct run_as_ids *as = s->become;

	if (!as)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(as->gid, as->gid, as->gid) < 0 ||
	    setresuid(as->uid, as->uid, as->uid) < 0)
		return -errno;
	return 0;
}

static int drop_caps(const struct sandbox *s)
{
	int r;

	(void)s;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return (r = caps_set(0)) < 0 ? r : 0;
}

static int drop_bounds(const struct sandbox *s)
{
	(void)s;
	return caps_bound(0);
}

static int no_new_privs(const struct sandbox *s)
{
	(void)s;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int limits(const struct sandbox *s)
{
	struct rlimit none = { 0, 0 }, as = { s->address_space_bytes, s->address_space_bytes };

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	if (s->address_space_bytes && setrlimit(RLIMIT_AS, &as) < 0)
		return -errno;
	/* The kernel forgets this one when credentials change. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int open_up(int rules, const char *path, uint64_t access)
{
	_cleanup_(closep) int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr under = { .allowed_access = access, .parent_fd = dir };

	if (dir < 0 ||
	    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &under, 0) < 0)
		return -errno;
	return 0;
}

/* Landlock ABI 1 (kernel 5.13): no file system but, if wanted, two directories. */
static int landlock(const struct sandbox *s)
{
	const uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t write = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			       LANDLOCK_ACCESS_FS_MAKE_REG;
	struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	_cleanup_(closep) int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr),
						   0);
	int r = 0;

	if (rules < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	if (s->writable_dir)
		r = open_up(rules, s->writable_dir, read | write);
	if (r == 0 && s->readable_dir)
		r = open_up(rules, s->readable_dir, read);
	if (r < 0)
		return r;
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

/* Some calls are allowed for one purpose only, whoever asks. */
static int allow(scmp_filter_ctx ctx, int nr, const struct sandbox *s)
{
	bool children = s->for_children;

	/* Memory is never code. */
	if (nr == SCMP_SYS(mmap) || nr == SCMP_SYS(mprotect))
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* The collector's socket. */
	if (nr == SCMP_SYS(socket) && !s->network)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	/* No file is for others. */
	if (nr == SCMP_SYS(fchmod))
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
					SCMP_A1(SCMP_CMP_MASKED_EQ, 07007, 0));
	/* abort() */
	if (nr == SCMP_SYS(tgkill) && !children)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
					SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
}

static int allow_list(scmp_filter_ctx ctx, const int *list, const struct sandbox *s)
{
	int r = 0;

	for (const int *nr = list; r == 0 && *nr >= 0; nr++)
		r = allow(ctx, *nr, s);
	return r == -EEXIST ? 0 : r;
}

static int filter(const struct sandbox *s)
{
	bool children = s->for_children;
	scmp_filter_ctx ctx;
	int r = 0;

	if (!s->syscalls)
		return 0;
	ctx = seccomp_init(children ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = allow_list(ctx, s->syscalls, s);
	for (const int *const *l = s->for_children; r == 0 && children && *l; l++)
		r = allow_list(ctx, *l, s);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int sandbox_filter(const struct sandbox *s, const char **ret_what)
{
	int r = filter(s);

	if (r < 0)
		*ret_what = "seccomp";
	return r;
}

int sandbox_enter(const struct sandbox *s, const char **ret_what)
{
	/* The bounding set needs CAP_SETPCAP, so it goes while the identity is still root's; or
	 * no_new_privs. */
	static const struct {
		const char *what;
		int (*step)(const struct sandbox *s);
	} steps[] = {
		{ "no_new_privs", no_new_privs },
		{ "capability bounding set", drop_bounds },
		{ "user and group", drop_identity },
		{ "capabilities", drop_caps },
		{ "resource limits", limits },
		{ "landlock", landlock },
		{ "seccomp", filter },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i].step(s);

		if (r < 0) {
			*ret_what = steps[i].what;
			return r;
		}
	}
	return 0;
}

/* Memory that a fork shares with the parent: its page of the ledger, the programs' own maps. */
static int unmap_shared(void)
{
	_cleanup_(strbuf_done) struct strbuf maps = STRBUF_INIT(MAPS_MAX);
	_cleanup_(closep) int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		strbuf_add(&maps, chunk, (size_t)n);
	if (n < 0 || maps.failed)
		return n < 0 ? -errno : -ENOMEM;
	/* "7f12a000-7f12b000 rw-s ..." */
	for (const char *line = strbuf_str(&maps), *end; (end = strchr(line, '\n'));
	     line = end + 1) {
		unsigned long from, to;
		char mode[5];

		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3)
			return -EBADMSG;
		if (mode[3] == 's' && munmap((void *)from, to - from) < 0)
			return -errno;
	}
	return 0;
}

int sandbox_child(const int *keep)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* Standard error stays for the log. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	fds_close_but(keep);
	return unmap_shared();
}

/* Who a process is, from /proc and from its cgroup's path. Text from there is under the control of
 * the watched processes: bounded, and never used as a path.
 */
#include "agent/agent.h"
#include "agent/cgroup.h"

#include "base/clock.h"
#include "base/slice.h"
#include "base/text.h"
#include "k8s/cgroup.h"

#include <fcntl.h>
#include <string.h>

static size_t read_proc(uint32_t tgid, const char *file, char *out, size_t cap)
{
	char path[64];
	_cleanup_(closep) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/%s", tgid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, out, cap - 1) : -1;
	out[MAX(n, (ssize_t)0)] = 0;
	return (size_t)MAX(n, (ssize_t)0);
}

static void take_group(const struct k8s_cgroup *g, struct proc_identity *ret)
{
	memcpy(ret->container, g->container, sizeof(g->container));
	(void)k8s_uid_parse(slice_str(g->pod_uid), &ret->pod_uid);
}

static void take_unit(struct slice path, struct proc_identity *ret)
{
	struct slice unit = cgroup_unit(path);

	if (!unit.n || unit.n >= sizeof(ret->unit))
		return;
	memcpy(ret->unit, unit.p, unit.n);
	ret->unit[unit.n] = 0;
}

/* The text of /proc/PID/cgroup: lines "N:controllers:/path"; any may name a unit. */
static void from_process(struct slice text, struct proc_identity *ret)
{
	struct k8s_cgroup g;

	if (k8s_cgroup_of_process(text, &g))
		take_group(&g, ret);
	while (text.n) {
		struct slice line = slice_head(text, slice_find(text, '\n'));

		text = slice_from(text, line.n + 1);
		take_unit(slice_from(line, slice_find(line, '/')), ret);
	}
}

/* The path of the group that the process was seen in. Whether it says who it was. */
static bool from_group(struct slice path, struct proc_identity *ret)
{
	struct k8s_cgroup g;
	bool known = k8s_cgroup_parse(path, &g);

	if (known)
		take_group(&g, ret);
	take_unit(path, ret);
	return known || ret->unit[0];
}

/* Whether that path is the one that a process is in now. A private namespace shows the end of it. */
static bool is_path_of(struct slice path, struct slice proc_cgroup)
{
	struct slice tail = cgroup_v2_of(proc_cgroup);

	return tail.n <= 1 ||
	       (tail.n <= path.n && slice_eq(slice_from(path, path.n - tail.n), tail));
}

/* Field 22 of /proc/PID/stat (proc(5)): start in clock ticks since boot; the name before it may
 * hold anything, so fields are counted from the last ')'. */
static uint64_t start_time(struct slice stat)
{
	size_t at = stat.n;
	uint64_t ticks = 0;

	while (at && stat.p[at - 1] != ')')
		at--;
	stat = slice_from(stat, at + 1);
	for (int field = 3; field < 22 && stat.n; field++)
		stat = slice_from(stat, slice_find(stat, ' ') + 1);
	if (parse_u64(slice_head(stat, slice_find(stat, ' ')), &ticks) < 0)
		return 0;
	return clock_unix_ns() - clock_boot_ns() +
	       ticks * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* What only a process that is there can say. */
static void from_proc(uint32_t tgid, struct proc_identity *ret)
{
	char text[1024], path[64];
	size_t n = read_proc(tgid, "comm", text, sizeof(text));
	ssize_t len;

	n = slice_find(slice_of(text, n), '\n');
	memcpy(ret->comm, text, MIN(n, sizeof(ret->comm) - 1));
	n = read_proc(tgid, "stat", text, sizeof(text));
	ret->start_ns = n ? start_time(slice_of(text, n)) : 0;
	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	len = readlink(path, ret->exe, sizeof(ret->exe) - 1);
	ret->exe[MAX(len, (ssize_t)0)] = 0;
}

/* Opened once: the attacher's for as long as it runs. */
static int root_fd(void)
{
	static int fd = -1;
	static bool tried;

	if (!tried)
		fd = cgroup_open_root();
	tried = true;
	return fd;
}

void proc_identify(uint32_t tgid, uint64_t cgroup, struct proc_identity *ret)
{
	char text[CGROUP_TEXT_MAX], path[CGROUP_TEXT_MAX];
	ssize_t len = cgroup && root_fd() >= 0 ? cgroup_path(root_fd(), cgroup, path) : -1;
	struct slice group, now;

	*ret = (struct proc_identity){ .tgid = tgid, .cgroup = cgroup };
	now = slice_of(text, read_proc(tgid, "cgroup", text, sizeof(text)));
	if (len < 0) {
		from_process(now, ret);
		from_proc(tgid, ret);
		return;
	}
	group = slice_of(path, (size_t)len);
	if (!now.n || !is_path_of(group, now)) {
		(void)from_group(group, ret); /* it is gone, and the number may be another's */
		return;
	}
	/* Where version 2 has no groups but its root, the others' lines say more. */
	if (!from_group(group, ret))
		from_process(now, ret);
	from_proc(tgid, ret);
}

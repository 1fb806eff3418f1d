/* Who a process is, from /proc and from its cgroup's path. Text from there is under the control of
 * the watched processes: bounded, and never used as a path.
 */
#include "agent/agent.h"

#include "base/clock.h"
#include "base/slice.h"
#include "base/text.h"

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

static bool is_hex(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("0123456789abcdef", s.p[i]) || !s.p[i])
			return false;
	return true;
}

/* One component of a cgroup path: a container's 64 digits, perhaps as RUNTIME-<id>.scope, or a unit
 * of systemd. */
static void from_component(struct slice part, struct proc_identity *id)
{
	static const struct slice scope = { (const uint8_t *)".scope", 6 };
	static const struct slice service = { (const uint8_t *)".service", 8 };
	struct slice body = part;

	if (body.n > scope.n && slice_eq(slice_from(body, body.n - scope.n), scope))
		body = slice_head(body, body.n - scope.n);
	if (body.n > 64 && body.p[body.n - 65] == '-')
		body = slice_from(body, body.n - 64);
	if (body.n == 64 && is_hex(body)) {
		memcpy(id->container, body.p, 64);
		id->container[64] = 0;
	} else if (part.n > service.n && part.n < sizeof(id->unit) &&
		   slice_eq(slice_from(part, part.n - service.n), service)) {
		memcpy(id->unit, part.p, part.n);
		id->unit[part.n] = 0;
	}
}

/* Lines "N:controllers:/path"; the unified hierarchy's and systemd's own name units, any may name a
 * container. */
static void from_cgroup(struct slice text, struct proc_identity *id)
{
	while (text.n) {
		struct slice line = slice_head(text, slice_find(text, '\n'));

		text = slice_from(text, line.n + 1);
		line = slice_from(line, slice_find(line, '/'));
		while (line.n) {
			struct slice part;

			line = slice_from(line, 1);
			part = slice_head(line, slice_find(line, '/'));
			from_component(part, id);
			line = slice_from(line, part.n);
		}
	}
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

void proc_identify(uint32_t tgid, struct proc_identity *ret)
{
	char text[4096], path[64];
	size_t n;
	ssize_t len;

	*ret = (struct proc_identity){ .tgid = tgid };
	n = read_proc(tgid, "comm", text, sizeof(text));
	n = slice_find(slice_of(text, n), '\n');
	memcpy(ret->comm, text, MIN(n, sizeof(ret->comm) - 1));
	n = read_proc(tgid, "cgroup", text, sizeof(text));
	from_cgroup(slice_of(text, n), ret);
	n = read_proc(tgid, "stat", text, sizeof(text));
	ret->start_ns = n ? start_time(slice_of(text, n)) : 0;
	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	len = readlink(path, ret->exe, sizeof(ret->exe) - 1);
	ret->exe[MAX(len, (ssize_t)0)] = 0;
}

#include "agent/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define HANDLE_KERNFS 0xfe /* FILEID_KERNFS of linux/exportfs.h: the number of a node of kernfs */

int cgroup_open_root(void)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024], dir[512] = "";

	if (!f)
		return -errno;
	while (!dir[0] && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %511s cgroup2", dir) != 1 || !strstr(line, " cgroup2 "))
			dir[0] = 0;
	fclose(f);
	if (!dir[0])
		return -ENOENT;
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

ssize_t cgroup_path(int root_fd, uint64_t id, char *out)
{
	union {
		struct file_handle head;
		uint8_t bytes[sizeof(struct file_handle) + sizeof(id)];
	} handle = { .head = { .handle_bytes = sizeof(id), .handle_type = HANDLE_KERNFS } };
	_cleanup_(closep) int fd = -1;
	char link[32];
	ssize_t n;

	memcpy(handle.head.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(root_fd, &handle.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, CGROUP_TEXT_MAX - 1);
	if (n < 0)
		return -errno;
	out[n] = 0;
	return n;
}

struct slice cgroup_v2_of(struct slice text)
{
	static const struct slice unified = { (const uint8_t *)"0::", 3 };
	static const struct slice up = { (const uint8_t *)"/..", 3 };

	while (text.n) {
		struct slice line = slice_head(text, slice_find(text, '\n'));

		text = slice_from(text, line.n + 1);
		if (!slice_starts(line, unified))
			continue;
		line = slice_from(line, unified.n);
		while (slice_starts(line, up))
			line = slice_from(line, up.n);
		return line;
	}
	return slice_of(NULL, 0);
}

struct slice cgroup_unit(struct slice path)
{
	static const struct slice service = { (const uint8_t *)".service", 8 };
	struct slice unit = slice_of(NULL, 0);

	while (path.n) {
		struct slice part;

		path = slice_from(path, 1);
		part = slice_head(path, slice_find(path, '/'));
		path = slice_from(path, part.n);
		if (part.n > service.n && slice_eq(slice_from(part, part.n - service.n), service))
			unit = part;
	}
	return unit;
}

/* What comes before the first part that has "kubepods" in it. */
static struct slice above_pods(struct slice path)
{
	static const char pods[] = "kubepods";
	const uint8_t *at = path.n ? memmem(path.p, path.n, pods, sizeof(pods) - 1) : NULL;

	if (!at)
		return slice_of(NULL, 0);
	while (at > path.p && *at != '/')
		at--;
	return slice_head(path, (size_t)(at - path.p));
}

bool cgroup_of_node(int root_fd, char *out)
{
	char text[CGROUP_TEXT_MAX], link[32];
	_cleanup_(closep) int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1, root;
	struct slice above;

	if (n <= 0 || root_fd < 0)
		return false;
	above = above_pods(cgroup_v2_of(slice_of(text, (size_t)n)));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", root_fd);
	root = readlink(link, out, CGROUP_TEXT_MAX);
	if (!above.n || root < 0 || (size_t)root + above.n >= CGROUP_TEXT_MAX)
		return false;
	memcpy(out + root, above.p, above.n);
	out[(size_t)root + above.n] = 0;
	return access(out, F_OK) == 0;
}

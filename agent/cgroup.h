/* Control groups as the attacher sees them: the hierarchy of version 2, and groups by their number.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "base/slice.h"
#include "base/util.h"

#define CGROUP_TEXT_MAX 4096 /* bytes of a path, or of /proc/PID/cgroup, with NUL */

/* The topmost directory of cgroup v2 that can be seen, opened; or negative errno. */
int cgroup_open_root(void);
/* The path of the group with that number, with the mount point before it, into out (CGROUP_TEXT_MAX
 * bytes). Its length; negative errno: it is gone, or the kernel refuses (it wants CAP_DAC_READ_SEARCH). */
ssize_t cgroup_path(int root_fd, uint64_t id, char *out);
/* Of a text of /proc/PID/cgroup, the path in the unified hierarchy, without the steps upwards that a
 * private namespace shows before it; empty: it has none. */
struct slice cgroup_v2_of(struct slice proc_cgroup);
/* The directory of the control group that a node's pods and its other processes are in: what stands above
 * "kubepods" in this process's own path, into out (CGROUP_TEXT_MAX bytes). False: the root, or not known. */
bool cgroup_of_node(int root_fd, char *out);
/* The last unit of systemd's in a path; empty: none. */
struct slice cgroup_unit(struct slice path);

#endif

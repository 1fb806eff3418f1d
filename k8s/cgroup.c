#include "k8s/cgroup.h"

#include "base/util.h"

#define UID_DASHED 36
#define UID_PLAIN  32
#define ID_LEN	   64

static bool hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool all_hex(struct slice s, size_t n)
{
	if (s.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!hex(s.p[i]))
			return false;
	return true;
}

static bool ends(struct slice s, const char *tail)
{
	size_t n = strlen(tail);

	return s.n >= n && memcmp(s.p + s.n - n, tail, n) == 0;
}

static struct slice without_tail(struct slice s, const char *tail)
{
	return ends(s, tail) ? slice_head(s, s.n - strlen(tail)) : s;
}

/* The bytes are copied only when all of them are right; with one separator throughout. */
static bool take_uid(struct slice s, char *ret)
{
	if (all_hex(s, UID_PLAIN)) {
		memcpy(ret, s.p, UID_PLAIN);
		ret[UID_PLAIN] = '\0';
		return true;
	}
	if (s.n != UID_DASHED || (s.p[8] != '-' && s.p[8] != '_'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s.p[i] != s.p[8] : !hex(s.p[i]))
			return false;
	}
	for (size_t i = 0; i < s.n; i++)
		ret[i] = s.p[i] == '_' ? '-' : (char)s.p[i];
	ret[UID_DASHED] = '\0';
	return true;
}

static bool runtime_known(struct slice name)
{
	static const char *const names[] = { "cri-containerd", "crio", "docker", "libpod" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (slice_eq_str(name, names[i]))
			return true;
	return false;
}

/* <id>, <runtime>-<id>[.scope], or with a colon for the dash. bare: an id alone will do. */
static bool take_container(struct slice part, bool bare, char *ret)
{
	struct slice id;

	part = without_tail(part, ".scope");
	if (part.n < ID_LEN)
		return false;
	id = slice_from(part, part.n - ID_LEN);
	if (!all_hex(id, ID_LEN))
		return false;
	part.n -= ID_LEN;
	if (part.n == 0 ? !bare
			: ((part.p[part.n - 1] != '-' && part.p[part.n - 1] != ':') ||
			   !runtime_known(slice_head(part, part.n - 1))))
		return false;
	memcpy(ret, id.p, ID_LEN);
	ret[ID_LEN] = '\0';
	return true;
}

/* pod<uid>, or [kubelet-][…-]kubepods[-class]-pod<uid>.slice[:<runtime>:<id>]. */
static bool take_pod(struct slice part, struct k8s_cgroup *ret)
{
	struct slice inner = slice_of(NULL, 0), head;
	size_t colon = slice_find(part, ':'), at;

	if (slice_starts(part, SLICE_LIT("pod")) && take_uid(slice_from(part, 3), ret->pod_uid))
		return true;
	if (colon < part.n) {
		inner = slice_from(part, colon + 1);
		part = slice_head(part, colon);
	}
	if (!ends(part, ".slice"))
		return false;
	part = without_tail(part, ".slice");
	at = ends(slice_head(part, part.n - MIN(part.n, (size_t)UID_PLAIN)), "-pod") ? UID_PLAIN
										     : UID_DASHED;
	if (part.n < at + 4)
		return false;
	head = slice_head(part, part.n - at);
	if (!ends(head, "-pod"))
		return false;
	head = without_tail(head, "-pod");
	head = without_tail(without_tail(head, "-burstable"), "-besteffort");
	if (!ends(head, "kubepods") || !take_uid(slice_from(part, part.n - at), ret->pod_uid))
		return false;
	take_container(inner, false, ret->container);
	return true;
}

/* The part before the last slash, and what stands behind that in *ret_last. */
static struct slice split_last(struct slice path, struct slice *ret_last)
{
	size_t at = path.n;

	while (at > 0 && path.p[at - 1] != '/')
		at--;
	*ret_last = slice_from(path, at);
	return slice_head(path, at ? at - 1 : 0);
}

bool k8s_cgroup_parse(struct slice path, struct k8s_cgroup *ret)
{
	struct slice part, below = slice_of(NULL, 0);
	char outside[K8S_CONTAINER_MAX] = "";

	memset(ret, 0, sizeof(*ret));
	if (path.n > K8S_CGROUP_PATH_MAX)
		return false;
	path = without_tail(path, " (deleted)");
	for (; path.n > 0; below = part) {
		struct k8s_cgroup found = { 0 };

		path = split_last(path, &part);
		if (take_pod(part, &found)) {
			if (!found.container[0])
				take_container(below, true, found.container);
			*ret = found;
		} else if (!outside[0]) {
			take_container(part, true, outside);
		}
	}
	if (!ret->pod_uid[0])
		memcpy(ret->container, outside, sizeof(outside));
	return ret->pod_uid[0] || ret->container[0];
}

/* "cpu" is in "cpu,cpuacct". */
static bool lists(struct slice controllers, const char *name)
{
	while (controllers.n > 0) {
		size_t n = slice_find(controllers, ',');

		if (slice_eq_str(slice_head(controllers, n), name))
			return true;
		controllers = slice_from(controllers, n + 1);
	}
	return false;
}

/* The path of the first line of a hierarchy; controllers "" is the unified one ("0::/path"). */
static bool line_of(struct slice text, const char *controllers, struct slice *ret)
{
	while (text.n > 0) {
		struct slice line = slice_head(text, slice_find(text, '\n'));
		struct slice names = slice_from(line, slice_find(line, ':') + 1);
		size_t colon = slice_find(names, ':');

		text = slice_from(text, line.n + 1);
		if (colon == names.n)
			continue;
		*ret = slice_from(names, colon + 1);
		names = slice_head(names, colon);
		if (controllers[0] ? lists(names, controllers) : names.n == 0)
			return true;
	}
	return false;
}

bool k8s_cgroup_of_process(struct slice proc_cgroup, struct k8s_cgroup *ret)
{
	static const char *const order[] = { "", "memory", "cpu", "pids", "name=systemd" };
	struct k8s_cgroup first = { 0 };
	struct slice path;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (!line_of(proc_cgroup, order[i], &path) || !k8s_cgroup_parse(path, ret))
			continue;
		if (ret->pod_uid[0])
			return true;
		if (!first.container[0])
			first = *ret;
	}
	*ret = first;
	return first.container[0] != '\0';
}

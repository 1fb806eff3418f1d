#include "base/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_MAX 64

int caps_get(uint64_t *ret)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { 0 };

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*ret = (uint64_t)d[1].effective << 32 | d[0].effective;
	return 0;
}

int caps_set(uint64_t mask)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)mask, (uint32_t)mask, 0 },
		{ (uint32_t)(mask >> 32), (uint32_t)(mask >> 32), 0 },
	};

	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

int caps_drop(int number)
{
	uint64_t have;
	int r = caps_get(&have);

	return r < 0 ? r : caps_set(have & ~(1ULL << number));
}

int caps_bound(uint64_t keep)
{
	for (int cap = 0; cap < CAPS_MAX; cap++) {
		if (keep & 1ULL << cap || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		/* A container may leave us no SETPCAP. */
		if (errno != EPERM || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
			return -errno;
	}
	return 0;
}

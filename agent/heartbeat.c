#include "agent/heartbeat.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define TEXT_BYTES 20 /* digits of the largest number, so that no beat leaves part of another */

int heartbeat_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 ? -errno : fd;
}

void heartbeat_beat(int fd)
{
	char text[TEXT_BYTES + 1];

	snprintf(text, sizeof(text), "%0*llu", TEXT_BYTES, (unsigned long long)clock_boot_ns());
	(void)!pwrite(fd, text, TEXT_BYTES, 0);
}

static int dead(const char *path, const char *why)
{
	printf("%s: %s\n", path, why);
	return 1;
}

int heartbeat_main(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t now = clock_boot_ns(), last;
	char text[TEXT_BYTES];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0)
		return dead(path, strerrordesc_np(errno));
	if (n == 0)
		return dead(path, "the agent does not capture yet");
	if (parse_u64(slice_of(text, (size_t)n), &last) < 0 || last > now)
		return dead(path, "is no heartbeat of this machine");
	return now - last < HEARTBEAT_DEAD_NS ? 0 : dead(path, "the agent has not moved lately");
}

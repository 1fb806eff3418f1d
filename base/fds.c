#include "base/fds.h"

#include "base/slice.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OLD_KERNEL_FDS 65536

static void close_span(unsigned int from, unsigned int to)
{
	if (syscall(SYS_close_range, from, to, 0) == 0)
		return;
	/* close_range() came with Linux 5.9. */
	for (unsigned int fd = from; fd <= to && fd < OLD_KERNEL_FDS; fd++)
		close((int)fd);
}

void fds_close_but(const int *keep)
{
	unsigned int from = 3;

	for (;;) {
		unsigned int next = ~0u;

		for (const int *k = keep; *k >= 0; k++)
			if ((unsigned int)*k >= from && (unsigned int)*k < next)
				next = (unsigned int)*k;
		if (next == ~0u)
			break;
		if (next > from)
			close_span(from, next - 1);
		from = next + 1;
	}
	close_span(from, ~0u);
}

ssize_t fd_read_trimmed(int fd, char *buf, size_t cap)
{
	ssize_t n = read(fd, buf, cap);
	struct slice text = slice_trim(slice_of(buf, n > 0 ? (size_t)n : 0));

	if (n < 0)
		return -errno;
	if ((size_t)n == cap)
		return -EMSGSIZE;
	memmove(buf, text.p, text.n);
	return text.n ? (ssize_t)text.n : -ENODATA;
}

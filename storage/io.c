#include "storage/io.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define IOV_MAX_OURS 4

int (*io_fault)(enum io_op op);
_Atomic uint64_t io_written;

static int ask(enum io_op op)
{
	return io_fault ? io_fault(op) : 0;
}

int io_open(int dirfd, const char *name, int flags, mode_t mode)
{
	int err = flags & (O_CREAT | O_WRONLY | O_RDWR) ? ask(IO_OPEN) : 0;
	int fd;

	if (err < 0)
		return err;
	fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
	return fd < 0 ? -errno : fd;
}

/* Writes at most `most` bytes, fewer when the caller's vector is shorter. */
static int write_all(int fd, struct iovec *iov, int n, uint64_t off, uint64_t most)
{
	while (n > 0 && most > 0) {
		ssize_t got;

		if (iov->iov_len == 0) {
			iov++;
			n--;
			continue;
		}
		if (iov->iov_len > most) {
			iov->iov_len = most;
			n = 1;
		}
		got = pwritev(fd, iov, n, (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		io_written += (uint64_t)got;
		off += (uint64_t)got;
		most -= MIN(most, (uint64_t)got);
		while (n > 0 && (size_t)got >= iov->iov_len) {
			got -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + got;
			iov->iov_len -= (size_t)got;
		}
	}
	return 0;
}

int io_write(int fd, const struct iovec *iov, int n, uint64_t off)
{
	struct iovec copy[IOV_MAX_OURS];
	int fault = ask(IO_WRITE);
	int err;

	if (fault < 0)
		return fault;
	if (n > IOV_MAX_OURS)
		return -EINVAL;
	memcpy(copy, iov, (size_t)n * sizeof(*iov));
	err = write_all(fd, copy, n, off, fault > 0 ? (uint64_t)fault : UINT64_MAX);
	return !err && fault > 0 ? -ENOSPC : err;
}

int io_read(int fd, void *buf, size_t n, uint64_t off)
{
	uint8_t *p = buf;

	while (n > 0) {
		ssize_t got = pread(fd, p, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		p += got;
		n -= (size_t)got;
		off += (uint64_t)got;
	}
	return 0;
}

int io_sync(int fd)
{
	int err = ask(IO_SYNC);

	if (err < 0)
		return err;
	return fdatasync(fd) < 0 ? -errno : 0;
}

int io_truncate(int fd, uint64_t len)
{
	int err = ask(IO_TRUNCATE);

	if (err < 0)
		return err;
	return ftruncate(fd, (off_t)len) < 0 ? -errno : 0;
}

int io_rename(int dirfd, const char *from, const char *to)
{
	int err = ask(IO_RENAME);

	if (err < 0)
		return err;
	return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
}

int io_unlink(int dirfd, const char *name)
{
	int err = ask(IO_UNLINK);

	if (err < 0)
		return err;
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

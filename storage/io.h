/* The file-changing system calls of the store's own files (SQLite has its VFS), in one place so
 * that a test can make the Nth of them fail.
 */
#ifndef STORAGE_IO_H
#define STORAGE_IO_H

#include "base/slice.h"

#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>

enum io_op { IO_OPEN, IO_WRITE, IO_SYNC, IO_TRUNCATE, IO_RENAME, IO_UNLINK, _IO_OP_MAX };

/* Asked before each call: 0 goes on; a negative errno is the call's result instead. For IO_WRITE a
 * positive number writes only so many bytes and then fails with ENOSPC. NULL: never asked. */
extern int (*io_fault)(enum io_op op);

/* Bytes written through this module by the process. */
extern _Atomic uint64_t io_written;

/* All return 0 or a negative errno; io_open() a descriptor, close-on-exec. */
int io_open(int dirfd, const char *name, int flags, mode_t mode);
/* Writes all of it at off. On failure some of it may be there. */
int io_write(int fd, const struct iovec *iov, int n, uint64_t off);
int io_read(int fd, void *buf, size_t n, uint64_t off); /* -ENODATA when the file ends before */
int io_sync(int fd);
int io_truncate(int fd, uint64_t len);
int io_rename(int dirfd, const char *from, const char *to);
int io_unlink(int dirfd, const char *name);

#endif

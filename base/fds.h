/* Descriptors: of a process that was forked; a short text in a file. */
#ifndef BASE_FDS_H
#define BASE_FDS_H

#include <sys/types.h>

/* Closes every descriptor above 2 but the listed ones. keep: ends with -1. */
void fds_close_but(const int *keep);

/* One read of at most cap bytes, without the space around them: a token, as editors and Secrets leave it.
 * Its length; -ENODATA: nothing but space; -EMSGSIZE: cap bytes or more; another negative errno. */
ssize_t fd_read_trimmed(int fd, char *buf, size_t cap);

#endif

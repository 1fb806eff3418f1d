/* Descriptors of a process that was forked. */
#ifndef BASE_FDS_H
#define BASE_FDS_H

/* Closes every descriptor above 2 but the listed ones. keep: ends with -1. */
void fds_close_but(const int *keep);

#endif

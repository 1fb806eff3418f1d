/* What the collector gives up before it talks to anybody. */
#ifndef COLLECTOR_GUARD_H
#define COLLECTOR_GUARD_H

#include "base/run_as.h"
#include "base/util.h"

/* The user to become when started as root: the named one; without a name base/run_as.h's. -ENOENT:
 * no such user. */
int guard_find_user(const char *name, struct run_as_ids *ret);
/* What only root can give up: call it before the processes of other users are made. */
void guard_drop_bounds(void);
/* setgroups, setgid, setuid; checks that there is no way back. 0 or negative errno. */
int guard_become(const struct run_as_ids *user);

struct guard_paths {
	const char *read[4];   /* files or folders that may be read; NULL: none */
	const char *remove[4]; /* folders in which files may be removed */
	bool connects;	       /* to Unix sockets */
	bool internet;	       /* and over TCP and UDP */
};

/* Drops all capabilities, sets no_new_privs, no core dumps, forbids by Landlock (where the kernel
 * has it) every file but the given ones, and by seccomp every system call but a list: no program,
 * no process, no socket but those that are open, no memory that is code. Call it when the program
 * has one thread; all later ones inherit it. *ret_landlock: whether Landlock holds. 0 or negative
 * errno, then the program must not go on. */
int guard_enter(const struct guard_paths *paths, bool *ret_landlock);

#endif

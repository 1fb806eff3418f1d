/* What the agent's processes give up before they touch anything from outside. Every step that the
 * kernel has is applied; a step that it refuses although it has it is an error.
 */
#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

#include "base/run_as.h"

#include <stdbool.h>
#include <stddef.h>

struct sandbox {
	const char *name;		 /* for messages */
	const struct run_as_ids *become; /* NULL: stays who it is */
	const char *writable_dir; /* Landlock: the only place where files may be made; NULL: none */
	const char *readable_dir; /* Landlock: the only other place that may be read; NULL: none */
	bool network;		  /* sockets may be IPv4 and IPv6, too */
	const int *syscalls;	  /* allow-list, ends with -1; NULL: no filter */
	const int *const *for_children; /* more lists, ends with NULL: another call fails with
					 * EPERM, it does not kill; NULL: it kills */
	size_t address_space_bytes;	/* RLIMIT_AS, 0: as it is */
};

/* Irrevocably confines the process: gid, uid, all capability sets empty, bounding set empty (as
 * caps_bound() can), no_new_privs, no core dumps, Landlock, seccomp (a refused call kills the process with SIGSYS; all
 * threads). Whatever is listed: no memory becomes code, sockets are Unix sockets, tgkill() reaches
 * the process itself. 0, or negative errno with the failed step in *ret_what. */
int sandbox_enter(const struct sandbox *s, const char **ret_what);

/* The last step alone, for a process that needs more calls until it serves. */
int sandbox_filter(const struct sandbox *s, const char **ret_what);

/* For the attacher: keeps only the capabilities that capture needs, of those that it has. numbers:
 * capability numbers, ends with -1. */
int sandbox_keep_caps(const int *numbers);

/* For a forked child: dies with its parent; has no standard input; loses every descriptor above 2
 * that is not listed and every mapping that it shares with its parent. keep: ends with -1. 0 or
 * negative errno, then the process must not go on. */
int sandbox_child(const int *keep);

#endif

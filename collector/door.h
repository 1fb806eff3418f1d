/* The process that takes agents' calls from the network (transport/gate.h), apart from the
 * collector: it has the certificate's key and hostile peers, and nothing else. Each call that shows
 * the token becomes a connection to the hub's Unix socket, as an agent of this machine makes it.
 *
 * Whoever knows the token may be any node.
 */
#ifndef COLLECTOR_DOOR_H
#define COLLECTOR_DOOR_H

#include "collector/listen.h"

#include <sys/types.h>

struct gate_counts;

struct door_config {
	const char *address; /* ADDR:PORT */
	const char *cert_file, *key_file, *token_file;
	const char *hub_path; /* of the hub's socket */
};

struct door {
	pid_t pid;   /* 0: none */
	uid_t uid;   /* the process's */
	int life_fd; /* the process ends when this is closed */
	struct listener listener;
	const struct gate_counts *counts; /* shared memory, written by the process */
};

/* Reads the files and listens, with the caller's rights, then makes the process, which ends with
 * the caller's. ret->listener.fd is -1 beforehand. 0; negative errno, reported on standard error. */
int door_open(const struct door_config *cfg, struct door *ret);
/* Whose process it will be. Before root is given up. */
uid_t door_uid(void);

#endif

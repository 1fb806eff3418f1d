/* Listening sockets: "unix:/path" or "ADDR:PORT", "[ADDR6]:PORT". */
#ifndef COLLECTOR_LISTEN_H
#define COLLECTOR_LISTEN_H

#include "base/util.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#define LISTEN_TEXT_MAX 160 /* bytes of an address as text, with NUL */

struct listener {
	int fd; /* non-blocking, close-on-exec */
	bool is_unix;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of a Unix socket */
	char text[LISTEN_TEXT_MAX]; /* what it listens on, with the real port */
	uint16_t port;		    /* of a TCP socket */
	dev_t dev;		    /* of the socket file, to remove no other */
	ino_t ino;
	struct timespec changed; /* numbers of files are used again */
};

struct listen_opts {
	mode_t mode; /* of a Unix socket */
	uid_t uid;   /* its owner, (uid_t)-1: as it is */
	gid_t gid;
	uid_t dir_uid; /* owner of its folder when that has to be made */
};

/* A missing folder of a Unix socket is made (one level, 0755). A socket file that nobody listens on
 * is replaced. 0; -EADDRINUSE: someone listens there; -EINVAL; another negative errno; *reason, a
 * sentence for people, is set then (cap bytes). */
int listener_open(const char *address, const struct listen_opts *opts, struct listener *ret,
		  char *reason, size_t cap);
/* Closes it and removes its socket file if that is still ours. */
void listener_close(struct listener *l);

#endif

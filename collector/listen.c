/* Binding, with the stale socket of a dead instance told from a live one. */
#include "collector/listen.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define BACKLOG 1024 /* cut to net.core.somaxconn */

static int make_dir_of(const char *path, const struct listen_opts *o)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (mkdir(dir, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (o->dir_uid != (uid_t)-1 && lchown(dir, o->dir_uid, (gid_t)-1) < 0)
		return -errno;
	return 0;
}

/* Whether someone accepts connections there: 1, 0, or negative errno. */
static int is_alive(const struct sockaddr_un *addr)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return 1;
	return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

static int bind_unix(int fd, const struct sockaddr_un *addr, char *reason, size_t cap)
{
	struct stat st;
	int alive;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE) {
		snprintf(reason, cap, "cannot bind %s: %s", addr->sun_path, strerrordesc_np(errno));
		return -errno;
	}
	if (lstat(addr->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		snprintf(reason, cap,
			 "%s exists and is no socket; remove it or choose another path",
			 addr->sun_path);
		return -EADDRINUSE;
	}
	alive = is_alive(addr);
	if (alive == 1) {
		snprintf(reason, cap,
			 "%s is in use by a running instance; stop it or choose another path",
			 addr->sun_path);
		return -EADDRINUSE;
	}
	if (alive < 0 || (unlink(addr->sun_path) < 0 && errno != ENOENT)) {
		snprintf(reason, cap, "cannot replace the stale socket %s: %s", addr->sun_path,
			 strerrordesc_np(alive < 0 ? -alive : errno));
		return alive < 0 ? alive : -errno;
	}
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		snprintf(reason, cap, "cannot bind %s: %s", addr->sun_path, strerrordesc_np(errno));
		return -errno;
	}
	return 0;
}

static int open_unix(const char *path, const struct listen_opts *o, struct listener *ret,
		     char *reason, size_t cap)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	struct stat st = { 0 };
	mode_t old;
	int err;

	if (path[0] != '/' || strlen(path) >= sizeof(addr.sun_path)) {
		snprintf(reason, cap, "a Unix socket needs an absolute path of at most %zu bytes",
			 sizeof(addr.sun_path) - 1);
		return -EINVAL;
	}
	memcpy(addr.sun_path, path, strlen(path) + 1);
	err = make_dir_of(path, o);
	if (err < 0) {
		snprintf(reason, cap,
			 "cannot make the folder of %s: %s; make its parent "
			 "first, or choose another path",
			 path, strerrordesc_np(-err));
		return err;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	old = umask(0777 & ~o->mode); /* never wider than asked for, not even for a moment */
	err = bind_unix(fd, &addr, reason, cap);
	umask(old);
	if (err < 0)
		return err;
	/* The folder may belong to a user who is trusted less than we are now: no link is followed.
	 */
	if ((o->uid != (uid_t)-1 || o->gid != (gid_t)-1) && lchown(path, o->uid, o->gid) < 0)
		err = -errno;
	if (err == 0 && (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0))
		err = -errno;
	if (err < 0) {
		snprintf(reason, cap, "cannot listen on %s: %s", path, strerrordesc_np(-err));
		unlink(path);
		return err;
	}
	ret->is_unix = true;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->changed = st.st_ctim;
	memcpy(ret->path, addr.sun_path, sizeof(ret->path));
	snprintf(ret->text, sizeof(ret->text), "unix:%s", path);
	ret->fd = TAKE_FD(fd);
	return 0;
}

/* "1.2.3.4:80" or "[::1]:80" into host and port; -EINVAL. */
static int split_address(const char *text, char *host, size_t cap, const char **port)
{
	const char *colon = strrchr(text, ':');
	size_t n;
	uint64_t number;

	if (!colon || parse_u64(slice_str(colon + 1), &number) < 0 || number > 65535)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n == 0 || n >= cap)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	*port = colon + 1;
	return 0;
}

static void describe_tcp(int fd, struct listener *ret)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss);
	char host[64] = "", port[8] = "";
	uint64_t number = 0;

	if (getsockname(fd, (struct sockaddr *)&ss, &n) == 0)
		getnameinfo((struct sockaddr *)&ss, n, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(ret->text, sizeof(ret->text), ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
		 port);
	if (parse_u64(slice_str(port), &number) == 0)
		ret->port = (uint16_t)number;
}

static int open_tcp(const char *address, struct listener *ret, char *reason, size_t cap)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	};
	struct addrinfo *ai = NULL;
	_cleanup_(closep) int fd = -1;
	char host[64];
	const char *port;
	int one = 1, err = 0;

	if (split_address(address, host, sizeof(host), &port) < 0 ||
	    getaddrinfo(host, port, &hints, &ai) != 0) {
		snprintf(reason, cap,
			 "'%s' is no address; use unix:/path, ADDR:PORT or [ADDR6]:PORT", address);
		return -EINVAL;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		err = -errno;
	freeaddrinfo(ai);
	if (err < 0) {
		snprintf(reason, cap, "cannot listen on %s: %s%s", address, strerrordesc_np(-err),
			 err == -EADDRINUSE ? "; choose another port or stop what uses it" : "");
		return err;
	}
	describe_tcp(fd, ret);
	ret->fd = TAKE_FD(fd);
	return 0;
}

int listener_open(const char *address, const struct listen_opts *opts, struct listener *ret,
		  char *reason, size_t cap)
{
	struct listener l = { .fd = -1 };
	int err;

	if (cap)
		reason[0] = '\0';
	if (slice_starts(slice_str(address), SLICE_LIT("unix:")))
		err = open_unix(address + 5, opts, &l, reason, cap);
	else
		err = open_tcp(address, &l, reason, cap);
	if (err < 0 && cap && !reason[0])
		snprintf(reason, cap, "cannot listen on %s: %s", address, strerrordesc_np(-err));
	if (err == 0)
		*ret = l;
	return err;
}

void listener_close(struct listener *l)
{
	struct stat st;

	if (l->is_unix && l->path[0] && lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino && st.st_ctim.tv_sec == l->changed.tv_sec &&
	    st.st_ctim.tv_nsec == l->changed.tv_nsec)
		unlink(l->path);
	closep(&l->fd);
	l->fd = -1;
	l->path[0] = '\0';
}

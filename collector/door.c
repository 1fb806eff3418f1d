#include "collector/door.h"

#include "base/fds.h"
#include "base/log.h"
#include "base/run_as.h"
#include "base/text.h"
#include "collector/complain.h"
#include "collector/guard.h"
#include "transport/gate.h"
#include "transport/grpc.h"
#include "transport/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define DESCRIPTORS 8192 /* wanted; GATE_CONNS_MAX needs about half */

struct doorman {
	const struct door_config *cfg;
	struct gate_config gate;
	struct ssl_ctx_st *tls;
	char token[GRPC_TOKEN_MAX + 1];
	size_t n_token;
};

uid_t door_uid(void)
{
	struct run_as_ids ids;

	run_as_find(RUN_AS_GATE, &ids);
	return geteuid() == 0 ? ids.uid : geteuid();
}

static int read_token(struct doorman *d)
{
	_cleanup_(closep) int fd = open(d->cfg->token_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -errno : fd_read_trimmed(fd, d->token, sizeof(d->token));

	if (n >= GRPC_TOKEN_MIN) {
		d->n_token = (size_t)n;
		return 0;
	}
	return complain(d->cfg->token_file, n >= 0 || n == -ENODATA || n == -EMSGSIZE
						    ? "holds no token of 16 to 4096 bytes"
						    : strerrordesc_np((int)-n));
}

/* Compares all of it, so that the time tells nothing of where a guess went wrong. */
static bool same(struct slice a, const char *b, size_t n)
{
	uint8_t differ = a.n != n;

	for (size_t i = 0; i < a.n; i++)
		differ |= (uint8_t)(a.p[i] ^ (uint8_t)b[n ? i % n : 0]);
	return !differ;
}

static int admit(void *ctx, struct slice token)
{
	const struct doorman *d = ctx;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;

	if (!same(token, d->token, d->n_token))
		return -EACCES;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", d->cfg->hub_path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int confine(void)
{
	const struct guard_paths paths = { .connects = true };
	struct run_as_ids ids;
	bool landlock;
	int err;

	run_as_find(RUN_AS_GATE, &ids);
	err = geteuid() == 0 ? guard_become(&ids) : 0;
	return err < 0 ? err : guard_enter(&paths, &landlock);
}

static int door_main(struct doorman *d)
{
	struct rlimit files;
	struct gate *gate;
	sigset_t none;
	int err;

	fds_close_but((const int[]){ d->gate.listen_fd, d->gate.life_fd, -1 });
	prctl(PR_SET_NAME, "kelpie-gate");
	/* It ends with the collector, whatever else the signal was sent to. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = MIN(files.rlim_max, (rlim_t)DESCRIPTORS);
	setrlimit(RLIMIT_NOFILE, &files);
	d->gate.descriptors = files.rlim_cur;
	err = gate_new(&d->gate, &gate);
	if (err == 0)
		err = confine();
	if (err < 0)
		return complain("the agents' listener", strerror(-err));
	while (err == 0)
		err = gate_turn(gate, 1000);
	gate_free(gate);
	tls_free(d->tls);
	return err == -ESHUTDOWN ? 0 : err;
}

/* Everything that the process needs, while the right to open it is there. What a failure leaves open ends
 * with the program. */
static int prepare(struct doorman *d, struct listener *listener, int life[2])
{
	static const struct gate_ops ops = { admit };
	const struct listen_opts opts = { .uid = (uid_t)-1,
					  .gid = (gid_t)-1,
					  .dir_uid = (uid_t)-1 };
	struct gate_counts *counts;
	char why[512];
	int err = read_token(d);

	if (err < 0)
		return err;
	if (tls_server_new(d->cfg->cert_file, d->cfg->key_file, &d->tls, why, sizeof(why)) < 0 ||
	    listener_open(d->cfg->address, &opts, listener, why, sizeof(why)) < 0)
		return complain("the agents' listener", why);
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (counts == MAP_FAILED || pipe2(life, O_CLOEXEC) < 0)
		return complain("the agents' listener", strerrordesc_np(errno));
	d->gate = (struct gate_config){ .listen_fd = listener->fd,
					.tls = d->tls,
					.ops = &ops,
					.ctx = d,
					.counts = counts,
					.life_fd = life[0] };
	return 0;
}

int door_open(const struct door_config *cfg, struct door *ret)
{
	static struct doorman d;
	int life[2], err;

	d = (struct doorman){ .cfg = cfg };
	err = prepare(&d, &ret->listener, life);
	if (err < 0)
		return err;
	fflush(NULL);
	ret->pid = fork();
	if (ret->pid < 0)
		return complain("the agents' listener", strerrordesc_np(errno));
	if (ret->pid == 0)
		_exit(door_main(&d) < 0);
	/* The child's alone from here on. */
	explicit_bzero(d.token, sizeof(d.token));
	tls_free(d.tls);
	closep(&ret->listener.fd);
	ret->listener.fd = -1;
	close(life[0]);
	ret->life_fd = life[1];
	ret->counts = d.gate.counts;
	return 0;
}

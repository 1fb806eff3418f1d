#include "agent/children.h"

#include "agent/sandbox.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define START_MS       10000 /* for a child to say that it is ready */
#define STOP_MS	       2000  /* for a child to finish */
#define RESTART_MIN_NS (100 * NSEC_PER_MSEC)
#define RESTART_MAX_NS (400 * NSEC_PER_MSEC) /* the row queue bridges about half a second */
#define CALM_NS	       (60 * NSEC_PER_SEC) /* alive so long: the next crash starts the backoff anew */

/* ---- what each one is ---- */

/* In the child: leaves it the descriptors of keep, which ends with -1. */
static int become(const char *title, const int *keep)
{
	int err = sandbox_child(keep);

	if (err == 0)
		prctl(PR_SET_NAME, title);
	return err;
}

static int run_store(const struct children *all, int fd)
{
	struct store_args a = all->store;
	int l[_LEDGER_WRITERS];

	a.attacher_fd = fd;
	a.attacher = getppid();
	ledger_fds_of(all->ledger_fds, LEDGER_STORE, l);
	if (become("kelpie-store", (const int[]){ l[0], l[1], l[2], fd, a.row_ring_fd,
						  a.bpf_counters_fd, a.entities_fd, -1 }) < 0)
		return 1;
	return store_main(&a);
}

static int run_parser(const struct children *all, int fd)
{
	struct parser_args a = all->parser;
	int l[_LEDGER_WRITERS];

	a.attacher_fd = fd;
	a.attacher = getppid();
	a.poison = all->poison;
	a.n_poison = MIN(all->n_poison, (size_t)POISON_MAX);
	ledger_fds_of(all->ledger_fds, LEDGER_PARSER, l);
	if (become("kelpie-parser",
		   (const int[]){ l[0], l[1], l[2], fd, a.row_ring_fd, a.data_ring_fd,
				  a.ctl_ring_fd, a.conn_ctl_fd, a.entities_fd, -1 }) < 0)
		return 1;
	return parser_main(&a);
}

static int run_shipper(const struct children *all, int fd)
{
	struct shipper_args a = all->shipper;

	a.attacher_fd = fd;
	if (become("kelpie-shipper", (const int[]){ fd, a.listen_fd, -1 }) < 0)
		return 1;
	return shipper_main(&a);
}

static const struct kind {
	const char *name;
	enum ledger_writer writer; /* _LEDGER_WRITERS: it counts nothing */
	/* In the forked process: its exit code. */
	int (*run)(const struct children *all, int fd);
} kinds[_CHILD_MAX] = {
	[CHILD_STORE] = { "store", LEDGER_STORE, run_store },
	[CHILD_PARSER] = { "parser", LEDGER_PARSER, run_parser },
	[CHILD_SHIPPER] = { "shipper", _LEDGER_WRITERS, run_shipper },
};

/* ---- start and stop ---- */

void children_init(struct children *all)
{
	for (int i = 0; i < _CHILD_MAX; i++)
		all->child[i].fd = -1;
}

/* Waits for the child's first word. */
static int await_ready(const struct child *c, const char *name)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct agent_msg m;

	if (poll(&p, 1, START_MS) <= 0 || recv(c->fd, &m, sizeof(m), 0) != sizeof(m)) {
		log_error("the %s process died while it started", name);
		return -ECHILD;
	}
	if (m.type != MSG_READY) {
		m.text[sizeof(m.text) - 1] = 0;
		log_error("cannot start: %s", m.text);
		fprintf(stderr, "kelpie-agent: %s\n", m.text);
		return -EINVAL;
	}
	return 0;
}

static _Noreturn void enter(const struct children *all, enum child_id id, int fd)
{
	sigset_t none;

	/* Ctrl-C reaches the whole group: the attacher decides the order of the stop. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	_exit(kinds[id].run(all, fd));
}

int children_start(struct children *all, enum child_id id)
{
	struct child *c = &all->child[id];
	int pair[2], err;
	pid_t pid;

	c->wanted = true;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (pid == 0)
		enter(all, id, pair[1]);
	close(pair[1]);
	c->pid = pid;
	c->fd = pair[0];
	c->started_ns = clock_boot_ns();
	err = capture_add_self(all->capture, (uint32_t)pid);
	if (err < 0)
		log_error("the %s process may be captured itself: %s", kinds[id].name,
			  strerror(-err));
	return await_ready(c, kinds[id].name);
}

static void tell(const struct child *c, enum agent_msg_type type)
{
	struct agent_msg m = { .type = type };

	if (c->fd >= 0)
		(void)send(c->fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void forget(struct child *c)
{
	c->pid = 0;
	close(c->fd);
	c->fd = -1;
}

void children_stop(struct children *all, enum child_id id)
{
	struct child *c = &all->child[id];
	uint64_t until = clock_boot_ns() + STOP_MS * NSEC_PER_MSEC;

	if (!c->pid)
		return;
	tell(c, MSG_STOP);
	while (waitpid(c->pid, NULL, WNOHANG) == 0) {
		struct timespec pause = { 0, 5 * (long)NSEC_PER_MSEC };

		if (clock_boot_ns() > until) {
			log_error("the %s process does not stop; killed", kinds[id].name);
			/* Another user's process: where the capability to kill it was given up, it
			 * dies with us. */
			if (kill(c->pid, SIGKILL) == 0)
				waitpid(c->pid, NULL, 0);
			break;
		}
		nanosleep(&pause, NULL);
	}
	forget(c);
}

bool children_all_run(const struct children *all)
{
	for (int i = 0; i < _CHILD_MAX; i++)
		if (all->child[i].wanted && !all->child[i].pid)
			return false;
	return true;
}

/* ---- crashes ---- */

/* The only moment in which we write in another's part: its owner is dead. */
static void book_crash(const struct children *all, enum ledger_writer dead)
{
	struct ledger *l = ledger_map(all->ledger_fds, dead);

	if (!l) {
		log_error("what the dead process held cannot be booked as lost: %s",
			  strerror(errno));
		return;
	}
	ledger_book_crash(l, dead);
	ledger_mend_numbers(l, dead);
	if (dead == LEDGER_PARSER)
		atomic_store(&l->parser.at_conn, 0);
	ledger_unmap(l);
}

static void on_death(struct children *all, enum child_id id, int status)
{
	struct child *c = &all->child[id];
	uint64_t now = clock_boot_ns(), conn = atomic_load(&all->ledger->parser.at_conn);

	capture_drop_self(all->capture, (uint32_t)c->pid);
	forget(c);
	log_error("the %s process died (%s %d); it is started again", kinds[id].name,
		  WIFSIGNALED(status) ? "signal" : "exit",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (kinds[id].writer != _LEDGER_WRITERS)
		book_crash(all, kinds[id].writer);
	if (id == CHILD_PARSER) {
		all->parser_told = false;
		atomic_fetch_add(&all->ledger->attacher.parser_restarts, 1);
		/* One who was killed from outside did not stumble over a connection. */
		if (conn && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			all->poison[all->n_poison++ % POISON_MAX] = conn;
	} else if (id == CHILD_STORE) {
		atomic_fetch_add(&all->ledger->attacher.store_restarts, 1);
		/* Now, not when the next one starts: what is queued until then is to be readable. */
		tell(&all->child[CHILD_PARSER], MSG_RESYMS);
	}
	c->backoff_ns = now - c->started_ns > CALM_NS || !c->backoff_ns
				? RESTART_MIN_NS
				: MIN(c->backoff_ns * 2, RESTART_MAX_NS);
	c->retry_ns = now + c->backoff_ns;
}

/* A new parser knows no connection, and what the rings hold is of those that the old one was told: they
 * are told again before it begins to read. How many. */
static uint64_t tell_open(struct children *all)
{
	uint64_t found = 0;

	if (all->parser_told)
		return 0;
	all->parser_told = true;
	(void)capture_walk(all->capture, &found);
	return found;
}

static void restart(struct children *all, enum child_id id)
{
	uint64_t room = capture_ctl_ring_bytes(all->capture) / sizeof(struct ev_conn) / 2;
	uint64_t found = id == CHILD_PARSER ? tell_open(all) : 0;
	struct child *c = &all->child[id];

	if (children_start(all, id) < 0) {
		c->backoff_ns = MIN(MAX(c->backoff_ns, RESTART_MIN_NS) * 2, RESTART_MAX_NS);
		c->retry_ns = clock_boot_ns() + c->backoff_ns;
		return;
	}
	if (found > room) /* more than the ring may have taken without a reader */
		(void)capture_walk(all->capture, &found);
}

void children_tend(struct children *all)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < _CHILD_MAX; i++)
			if (all->child[i].pid == pid)
				on_death(all, (enum child_id)i, status);
	for (int i = 0; i < _CHILD_MAX; i++) {
		const struct child *c = &all->child[i];

		if (c->wanted && !c->pid && clock_boot_ns() >= c->retry_ns)
			restart(all, (enum child_id)i);
	}
}

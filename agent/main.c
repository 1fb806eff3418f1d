/* kelpie-agent: the attacher. Loads and owns the BPF programs, forks the parser and the store with
 * nothing but the descriptors they need, starts them anew when they die, answers who a process is.
 */
#include "agent/agent.h"
#include "agent/budget.h"
#include "agent/calls.h"
#include "agent/capture.h"
#include "agent/policy.h"
#include "agent/sandbox.h"
#include "base/caps.h"
#include "base/log.h"
#include "base/shmring.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define BUDGET_STEP_NS NSEC_PER_SEC
#define SWEEP_NS       NSEC_PER_SEC
#define ANSWERS_MAX    256   /* questions of the parser answered in one round */
#define START_MS       10000 /* for a child to say that it is ready */
#define STOP_MS	       2000  /* for a child to finish */
#define RESTART_MIN_NS (100 * NSEC_PER_MSEC)
#define RESTART_MAX_NS (400 * NSEC_PER_MSEC) /* the row queue bridges about half a second */
#define CALM_NS	       (60 * NSEC_PER_SEC) /* alive so long: the next crash starts the backoff anew */

enum child_id { CHILD_STORE, CHILD_PARSER, CHILD_SHIPPER, _CHILD_MAX };

struct child {
	const char *name;
	enum ledger_writer writer; /* _LEDGER_WRITERS: none */
	bool wanted;
	pid_t pid; /* 0: not running */
	int fd;
	uint64_t started_ns, backoff_ns, retry_ns;
};

struct attacher {
	struct config cfg;
	const char *collector, *simulate, *reads, *cgroup, *replay, *record;
	uint64_t record_ns;
	uint16_t ports[CFG_PORTS]; /* record only these; none: all */
	uint8_t leak_hop;	   /* 0: none */
	int ready_fd;
	uint64_t epoch;
	struct hash_key id_key;
	struct capture *capture;
	struct ledger *ledger;
	struct ledger_fds ledger_fds;
	int row_ring_fd;
	int shipper_fd; /* the shipper's listener; -1: no collector on the network */
	char shipper_path[CONFIG_SOCKET_MAX];
	struct run_as_ids store_ids, parser_ids, shipper_ids;
	char rung[64];
	uint64_t poison[POISON_MAX];
	size_t n_poison;
	struct child child[_CHILD_MAX];
	struct budget budget;
	int signal_fd;
	bool parser_told; /* of the connections that are open */
	bool stop;
};

static struct attacher at = {
	.record_ns = 10 * NSEC_PER_SEC,
	.ready_fd = -1,
	.shipper_fd = -1,
	.child = { [CHILD_STORE] = { .name = "store",
				     .writer = LEDGER_STORE,
				     .wanted = true,
				     .fd = -1 },
		   [CHILD_PARSER] = { .name = "parser",
				      .writer = LEDGER_PARSER,
				      .wanted = true,
				      .fd = -1 },
		   [CHILD_SHIPPER] = { .name = "shipper", .writer = _LEDGER_WRITERS, .fd = -1 } },
};

/* ---- options ---- */

static const struct option options[] = {
	{ "data-dir", required_argument, NULL, 'd' },
	{ "collector", required_argument, NULL, 'c' },
	{ "config", required_argument, NULL, 'f' },
	{ "ready-fd", required_argument, NULL, 'r' },
	{ "node", required_argument, NULL, 'n' },
	{ "hook", required_argument, NULL, 'h' },
	{ "reads", required_argument, NULL, 'R' },
	{ "ring-bytes", required_argument, NULL, 'b' },
	{ "cgroup", required_argument, NULL, 'g' },
	{ "replay", required_argument, NULL, 'p' },
	{ "record", required_argument, NULL, 'w' },
	{ "for", required_argument, NULL, 't' },
	{ "port", required_argument, NULL, 'P' },
	{ "simulate", required_argument, NULL, 's' },
	{ "simulate-leak", required_argument, NULL, 'l' },
	{ "set", required_argument, NULL, 'S' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'H' },
	{ 0 },
};

static const char usage[] = "usage: kelpie-agent [--data-dir DIR] [--collector unix:PATH] "
			    "[--config FILE] [--node NAME]\n"
			    "                    [--ready-fd N] [--set KEY=VALUE]\n"
			    "       kelpie-agent --replay FILE --data-dir DIR\n"
			    "       kelpie-agent --record FILE [--for 10s] [--port N,N]\n"
			    "Watches the connections of this machine and stores what they carry. "
			    "Started by `kelpie run`.\n";

#define FLAGS_MAX 16

struct flags {
	struct config_flag list[FLAGS_MAX];
	size_t n;
	const char *file;
};

static int add_flag(struct flags *f, const char *key, const char *value)
{
	if (f->n == FLAGS_MAX)
		return -E2BIG;
	f->list[f->n++] = (struct config_flag){ key, value };
	return 0;
}

/* "KEY=VALUE", cut in place. */
static int set_key(struct flags *f, char *text)
{
	char *eq = strchr(text, '=');

	if (!eq)
		return -EINVAL;
	*eq = 0;
	return add_flag(f, text, eq + 1);
}

/* "80,8080" */
static int parse_ports(struct slice list)
{
	for (size_t i = 0; list.n; i++) {
		struct slice one = slice_head(list, slice_find(list, ','));
		uint64_t port;

		if (i == CFG_PORTS - 1 || parse_u64(one, &port) < 0 || port < 1 ||
		    port > UINT16_MAX)
			return -EINVAL;
		at.ports[i] = (uint16_t)port;
		list = slice_from(list, one.n + 1);
	}
	return 0;
}

static int parse_option(int opt, struct flags *f)
{
	uint64_t number = 0;

	switch (opt) {
	case 'd':
		return add_flag(f, "dataDir", optarg);
	case 'n':
		return add_flag(f, "node", optarg);
	case 'b':
		return add_flag(f, "capture.ringBytes", optarg);
	case 'S':
		return set_key(f, optarg);
	case 'c':
		at.collector = strncmp(optarg, "unix:", 5) == 0 ? optarg + 5 : optarg;
		return 0;
	case 'f':
		f->file = optarg;
		return 0;
	case 'h':
		return add_flag(f, "capture.hook", optarg);
	case 'R':
		at.reads = optarg;
		return 0;
	case 'g':
		at.cgroup = optarg;
		return 0;
	case 'p':
		at.replay = optarg;
		return 0;
	case 'w':
		at.record = optarg;
		return 0;
	case 't':
		return parse_duration_ns(slice_str(optarg), &at.record_ns);
	case 'P':
		return parse_ports(slice_str(optarg));
	case 's':
		at.simulate = optarg;
		return 0;
	case 'l':
		if (parse_u64(slice_str(strncmp(optarg, "hop=", 4) ? optarg : optarg + 4),
			      &number) < 0 ||
		    number < 1 || number > 10)
			return -EINVAL;
		at.leak_hop = (uint8_t)number;
		return 0;
	case 'r':
		if (parse_u64(slice_str(optarg), &number) < 0 || number > INT32_MAX)
			return -EINVAL;
		at.ready_fd = (int)number;
		return 0;
	case 'V':
		printf("kelpie-agent %s\n", KELPIE_VERSION);
		exit(0);
	case 'H':
		fputs(usage, stdout);
		exit(0);
	default:
		return -EINVAL;
	}
}

/* 0, or the exit code of a wrong call or configuration, which was reported. */
static int configure(int argc, char **argv)
{
	struct flags f = { .n = 0 };
	struct config_diag diag;
	struct config_opts o;
	struct policy policy;
	char why[512];
	int opt, r = 0;

	while (r == 0 && (opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		r = parse_option(opt, &f);
	if (r < 0 || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	o = (struct config_opts){ f.file, NULL, f.list, f.n };
	if (config_load(&o, &at.cfg, &diag) < 0) {
		fprintf(stderr, "kelpie-agent: %s\n", diag.message);
		return 1;
	}
	if (policy_init(&policy, &at.cfg, why, sizeof(why)) < 0) {
		fprintf(stderr, "kelpie-agent: %s\n", why);
		return 1;
	}
	policy_done(&policy);
	log_setup("agent", (enum log_level)at.cfg.log.level, (enum log_format)at.cfg.log.format);
	return 0;
}

/* ---- children ---- */

static int child_main(enum child_id id, int fd)
{
	struct store_args store = {
		.attacher_fd = fd,
		.ledger = &at.ledger_fds,
		.ids = at.store_ids,
		.row_ring_fd = at.row_ring_fd,
		.bpf_counters_fd = capture_counters_fd(at.capture),
		.n_cpus = capture_cpus(at.capture),
		.bpf_counters_bytes = capture_counters_map_bytes(at.capture),
		.cfg = &at.cfg,
		.collector = at.collector,
		.epoch = at.epoch,
		.rung = at.rung,
		.simulate = at.simulate,
		.attacher = getppid(),
	};
	struct parser_args parser = {
		.attacher_fd = fd,
		.ledger = &at.ledger_fds,
		.ids = at.parser_ids,
		.row_ring_fd = at.row_ring_fd,
		.data_ring_fd = capture_data_ring_fd(at.capture),
		.ctl_ring_fd = capture_ctl_ring_fd(at.capture),
		.conn_ctl_fd = capture_conn_ctl_fd(at.capture),
		.data_ring_bytes = capture_data_ring_bytes(at.capture),
		.ctl_ring_bytes = capture_ctl_ring_bytes(at.capture),
		.conn_ctl_bytes = capture_conn_ctl_map_bytes(at.capture),
		.n_ctl = capture_ctl_entries(at.capture),
		.cfg = &at.cfg,
		.epoch = at.epoch,
		.id_key = at.id_key,
		.poison = at.poison,
		.n_poison = at.n_poison,
		.simulate = at.simulate,
		.attacher = getppid(),
	};
	const struct shipper_args shipper = {
		.attacher_fd = fd, .listen_fd = at.shipper_fd, .ids = at.shipper_ids, .cfg = &at.cfg
	};
	int l[_LEDGER_WRITERS];

	if (id == CHILD_SHIPPER) {
		if (sandbox_child((const int[]){ fd, at.shipper_fd, -1 }) < 0)
			return 1;
		prctl(PR_SET_NAME, "kelpie-shipper");
		return shipper_main(&shipper);
	}
	ledger_fds_of(&at.ledger_fds, at.child[id].writer, l);
	const int store_keep[] = {
		l[0], l[1], l[2], fd, at.row_ring_fd, store.bpf_counters_fd, -1
	};
	const int parser_keep[] = { l[0],
				    l[1],
				    l[2],
				    fd,
				    at.row_ring_fd,
				    parser.data_ring_fd,
				    parser.ctl_ring_fd,
				    parser.conn_ctl_fd,
				    -1 };

	if (sandbox_child(id == CHILD_STORE ? store_keep : parser_keep) < 0)
		return 1;
	prctl(PR_SET_NAME, id == CHILD_STORE ? "kelpie-store" : "kelpie-parser");
	return id == CHILD_STORE ? store_main(&store) : parser_main(&parser);
}

/* Waits for the child's first word. */
static int await_ready(struct child *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct agent_msg m;

	if (poll(&p, 1, START_MS) <= 0 || recv(c->fd, &m, sizeof(m), 0) != sizeof(m)) {
		log_error("the %s process died while it started", c->name);
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

static int start_child(enum child_id id)
{
	struct child *c = &at.child[id];
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return -errno;
	}
	if (pid == 0) {
		sigset_t all;

		/* Ctrl-C reaches the whole group: the attacher decides the order of the stop. */
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
		sigemptyset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		_exit(child_main(id, pair[1]));
	}
	close(pair[1]);
	c->pid = pid;
	c->fd = pair[0];
	c->started_ns = boot_now_ns();
	r = capture_add_self(at.capture, (uint32_t)pid);
	if (r < 0)
		log_error("the %s process may be captured itself: %s", c->name, strerror(-r));
	return await_ready(c);
}

static void tell(enum child_id id, enum agent_msg_type type)
{
	struct agent_msg m = { .type = type };

	if (at.child[id].fd >= 0)
		(void)send(at.child[id].fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void stop_child(enum child_id id)
{
	struct child *c = &at.child[id];
	uint64_t until = boot_now_ns() + STOP_MS * NSEC_PER_MSEC;

	if (!c->pid)
		return;
	tell(id, MSG_STOP);
	while (waitpid(c->pid, NULL, WNOHANG) == 0) {
		struct timespec pause = { 0, 5 * (long)NSEC_PER_MSEC };

		if (boot_now_ns() > until) {
			log_error("the %s process does not stop; killed", c->name);
			/* Another user's process: where the capability to kill it was given up, it
			 * dies with us. */
			if (kill(c->pid, SIGKILL) == 0)
				waitpid(c->pid, NULL, 0);
			break;
		}
		nanosleep(&pause, NULL);
	}
	c->pid = 0;
	close(c->fd);
	c->fd = -1;
}

/* ---- crashes ---- */

/* The only moment in which we write in another's part: its owner is dead. */
static void book_crash(enum ledger_writer dead)
{
	struct ledger *l = ledger_map(&at.ledger_fds, dead);

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

static void on_death(enum child_id id, int status)
{
	struct child *c = &at.child[id];
	uint64_t now = boot_now_ns(), conn = atomic_load(&at.ledger->parser.at_conn);

	capture_drop_self(at.capture, (uint32_t)c->pid);
	c->pid = 0;
	close(c->fd);
	c->fd = -1;
	log_error("the %s process died (%s %d); it is started again", c->name,
		  WIFSIGNALED(status) ? "signal" : "exit",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (c->writer != _LEDGER_WRITERS)
		book_crash(c->writer);
	if (id == CHILD_PARSER) {
		at.parser_told = false;
		atomic_fetch_add(&at.ledger->attacher.parser_restarts, 1);
		/* One who was killed from outside did not stumble over a connection. */
		if (conn && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			at.poison[at.n_poison++ % POISON_MAX] = conn;
		at.n_poison = MIN(at.n_poison, (size_t)POISON_MAX);
	} else if (id == CHILD_STORE) {
		atomic_fetch_add(&at.ledger->attacher.store_restarts, 1);
		/* Now, not when the next one starts: what is queued until then is to be readable. */
		tell(CHILD_PARSER, MSG_RESYMS);
	}
	c->backoff_ns = now - c->started_ns > CALM_NS || !c->backoff_ns
				? RESTART_MIN_NS
				: MIN(c->backoff_ns * 2, RESTART_MAX_NS);
	c->retry_ns = now + c->backoff_ns;
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < _CHILD_MAX; i++)
			if (at.child[i].pid == pid)
				on_death((enum child_id)i, status);
}

/* A new parser knows no connection, and what the rings hold is of those that the old one was told: they
 * are told again before it begins to read. */
static uint64_t tell_open(void)
{
	uint64_t found = 0;

	if (at.parser_told)
		return 0;
	at.parser_told = true;
	(void)capture_walk(at.capture, &found);
	return found;
}

static void restart_dead(void)
{
	uint64_t room = capture_ctl_ring_bytes(at.capture) / sizeof(struct ev_conn) / 2;

	for (int i = 0; i < _CHILD_MAX; i++) {
		struct child *c = &at.child[i];
		uint64_t found;

		if (c->pid || !c->wanted || boot_now_ns() < c->retry_ns)
			continue;
		found = i == CHILD_PARSER ? tell_open() : 0;
		if (start_child((enum child_id)i) < 0) {
			c->backoff_ns = MIN(MAX(c->backoff_ns, RESTART_MIN_NS) * 2, RESTART_MAX_NS);
			c->retry_ns = boot_now_ns() + c->backoff_ns;
			continue;
		}
		if (found > room) /* more than the ring may have taken without a reader */
			(void)capture_walk(at.capture, &found);
	}
}

/* ---- the loop ---- */

/* With descriptor pass, if that is one. */
static void send_with(int to, struct agent_msg *m, int pass)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (pass >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	(void)sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer_parser(void)
{
	struct child *c = &at.child[CHILD_PARSER];
	struct agent_msg m;

	/* Not more at once than it may keep us from signals and from its own end. */
	for (int i = 0;
	     i < ANSWERS_MAX && c->fd >= 0 && recv(c->fd, &m, sizeof(m), MSG_DONTWAIT) == sizeof(m);
	     i++) {
		if (m.type != MSG_WANT_PROC)
			continue;
		m.type = MSG_PROC;
		proc_identify(m.proc.tgid, &m.proc);
		(void)send(c->fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

/* The shipper may not read the file; and it changes, where the token is one of Kubernetes'. */
static void answer_shipper(void)
{
	struct child *c = &at.child[CHILD_SHIPPER];
	struct agent_msg m;

	while (c->fd >= 0 && recv(c->fd, &m, sizeof(m), MSG_DONTWAIT) == sizeof(m)) {
		const char *path = at.cfg.collector.token_file;
		_cleanup_(closep) int fd = -1;

		if (m.type != MSG_WANT_TOKEN)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			log_error("collector.tokenFile: %s: %s", path, strerror(errno));
		m = (struct agent_msg){ .type = MSG_TOKEN };
		send_with(c->fd, &m, fd);
	}
}

static void take_signals(void)
{
	struct signalfd_siginfo si;

	while (read(at.signal_fd, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
			at.stop = true;
}

static uint64_t cpu_ns_of(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* About once a second: what we use, and what of the new connections we can afford to read. */
static void keep_budget(void)
{
	struct ledger_attacher *l = &at.ledger->attacher;
	uint64_t now = boot_now_ns(), cpu = cpu_ns_of(0);

	if (now - at.budget.at_ns < BUDGET_STEP_NS)
		return;
	for (int i = 0; i < _CHILD_MAX; i++)
		cpu += at.child[i].pid ? cpu_ns_of(at.child[i].pid) : 0;
	if (budget_step(&at.budget, now, cpu)) {
		log_warn("capture.budgetCores: the agent uses %u thousandths of a core; of new "
			 "connections "
			 "one in %u is read",
			 at.budget.used, 1u << at.budget.shift);
		atomic_store(&l->sample_shift, at.budget.shift);
	}
	atomic_store(&l->cpu_millicores, at.budget.used);
}

/* Looks for UNIX sockets that were closed. */
static void sweep(uint64_t *last_ns)
{
	uint64_t now = boot_now_ns();

	if (now - *last_ns < SWEEP_NS)
		return;
	*last_ns = now;
	(void)capture_sweep(at.capture);
}

static bool all_run(void)
{
	for (int i = 0; i < _CHILD_MAX; i++)
		if (at.child[i].wanted && !at.child[i].pid)
			return false;
	return true;
}

static void run(void)
{
	uint64_t swept_ns = 0;

	at.budget.limit = at.cfg.capture.budget_millicores;
	while (!at.stop) {
		struct pollfd fds[] = {
			{ .fd = at.signal_fd, .events = POLLIN },
			{ .fd = at.child[CHILD_PARSER].fd, .events = POLLIN },
			{ .fd = at.child[CHILD_SHIPPER].fd, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), all_run() ? 1000 : 50) < 0 && errno != EINTR)
			break;
		take_signals();
		answer_parser();
		answer_shipper();
		reap();
		restart_dead();
		keep_budget();
		sweep(&swept_ns);
	}
}

/* ---- start ---- */

/* One file of the data directory becomes the store's: it may be of a version, or of a time without
 * Kelpie's users, in which the store was somebody else. Root's own files (lock, address) stay. */
static int adopt_file(int dir, const char *name)
{
	_cleanup_(closep) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	const struct run_as_ids *as = &at.store_ids;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	/* A second name may be that of somebody else's file. */
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid == 0 ||
	    (st.st_uid == as->uid && st.st_gid == as->gid))
		return 0;
	return fchownat(fd, "", as->uid, as->gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int adopt_files(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d)))
		r = adopt_file(dir, e->d_name);
	closedir(d);
	return r;
}

/* Root's, so that its owner's rights are nobody's who touches captured bytes; the store may write there
 * by its group. */
static int make_data_dir(void)
{
	const char *dir = at.cfg.data_dir;
	_cleanup_(closep) int fd = -1;

	run_as_find(RUN_AS_STORE, &at.store_ids);
	run_as_find(RUN_AS_PARSER, &at.parser_ids);
	if (mkdir(dir, 0770) < 0 && errno != EEXIST) {
		fprintf(stderr,
			"kelpie-agent: cannot make the data directory %s: %s; choose another with "
			"--data-dir\n",
			dir, strerror(errno));
		return -errno;
	}
	/* Its owner is changed, so it is no link that somebody else may have put there. */
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr,
			"kelpie-agent: cannot use the data directory %s: %s; it must be a "
			"directory "
			"and no symbolic link to one\n",
			dir, strerror(errno));
		return -errno;
	}
	if (fchown(fd, 0, at.store_ids.gid) < 0 || fchmod(fd, 0770) < 0 || adopt_files(fd) < 0) {
		fprintf(stderr, "kelpie-agent: cannot hand %s to the store: %s\n", dir,
			strerror(errno));
		return -errno;
	}
	return 0;
}

/* The API's socket, NULL when it has none. */
static const char *api_path(void)
{
	const char *listen = at.cfg.listen;

	return strncmp(listen, "unix:", 5) == 0 ? listen + 5 : NULL;
}

static int load_capture(void)
{
	struct capture_opts o = {
		.rung = capture_rung_parse(at.cfg.capture.hook),
		.read = at.reads ? capture_read_parse(at.reads) : CAPTURE_READ_AUTO,
		.data_ring_bytes = (uint32_t)at.cfg.capture.ring_bytes,
		.cgroup = at.cgroup,
		.unix_sockets = at.cfg.capture.unix_sockets,
		.deny_paths = { at.collector, api_path() },
		.simulate_leak = at.leak_hop == 1,
	};
	int r = capture_new(&o, &at.capture);

	if (r == 0)
		r = capture_load(at.capture);
	if (r < 0) {
		fprintf(stderr,
			"kelpie-agent: cannot capture: %s"
			"That is all there is to try (%s). It needs root and a kernel with BTF and "
			"ring "
			"buffers (5.10 or later); `kelpie doctor` says what this machine lacks\n",
			at.capture && *capture_why(at.capture) ? capture_why(at.capture)
							       : "not allowed\n",
			strerror(-r));
		return r;
	}
	if (!capture_needs_net_admin(at.capture) && (r = caps_drop(CAP_NET_ADMIN)) < 0)
		return r;
	snprintf(at.rung, sizeof(at.rung), "%s/%s", capture_rung_name(capture_rung(at.capture)),
		 capture_read_name(capture_read(at.capture)));
	return 0;
}

static int make_shared(void)
{
	at.row_ring_fd = shmring_create(ROW_RING_BYTES);
	if (ledger_create(&at.ledger_fds) < 0 || at.row_ring_fd < 0)
		return -ENOMEM;
	at.ledger = ledger_map(&at.ledger_fds, LEDGER_ATTACHER);
	if (!at.ledger)
		return -ENOMEM;
	at.ledger->attacher.simulate_leak_hop = at.leak_hop;
	return 0;
}

static int attach(void)
{
	uint64_t found = 0;
	int r;

	/* Whoever started us asks the collector over sockets of no interest to anybody. */
	(void)capture_add_self(at.capture, (uint32_t)getppid());
	if (at.collector && at.ready_fd >= 0)
		(void)capture_family(at.capture, (uint32_t)getppid());
	r = capture_attach(at.capture);
	if (r < 0) {
		fprintf(stderr, "kelpie-agent: cannot attach: %s: %s\n", capture_why(at.capture),
			strerror(-r));
		return r;
	}
	r = capture_walk(at.capture, &found);
	if (r < 0)
		log_warn("connections that are open already stay unknown until they are used: %s",
			 strerror(-r));
	if (at.cfg.capture.unix_sockets && !capture_unix_sockets(at.capture))
		log_warn("capture.unixSockets: not on this kernel: %s", capture_why(at.capture));
	log_info("capturing with %s, %llu connections were open before", at.rung,
		 (unsigned long long)found);
	return 0;
}

/* Where the store reaches the shipper: its collector then. */
static int open_shipper(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int n = snprintf(at.shipper_path, sizeof(at.shipper_path), "%s/uplink.sock",
			 at.cfg.data_dir);

	if (!at.cfg.collector.address[0])
		return 0;
	if (at.collector) {
		log_warn("collector.address is not used: --collector names another");
		return 0;
	}
	if ((size_t)n >= sizeof(at.shipper_path)) {
		fprintf(stderr,
			"kelpie-agent: the data directory's path is too long for a socket\n");
		return -ENAMETOOLONG;
	}
	memcpy(un.sun_path, at.shipper_path, (size_t)n + 1);
	unlink(at.shipper_path);
	at.shipper_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (at.shipper_fd < 0 || bind(at.shipper_fd, (struct sockaddr *)&un, sizeof(un)) < 0 ||
	    chown(un.sun_path, 0, at.store_ids.gid) < 0 || chmod(un.sun_path, 0660) < 0 ||
	    listen(at.shipper_fd, 4) < 0) {
		fprintf(stderr, "kelpie-agent: cannot listen on %s: %s\n", at.shipper_path,
			strerror(errno));
		return -errno;
	}
	run_as_find(RUN_AS_SHIPPER, &at.shipper_ids);
	at.collector = at.shipper_path;
	at.child[CHILD_SHIPPER].wanted = true;
	return 0;
}

static void watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	at.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
}

/* What is left once the children are there; SETUID and SETGID are for starting them again. */
static const int attacher_caps[] = { CAP_BPF,	 CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH,
				     CAP_SETUID, CAP_SETGID,  CAP_SETPCAP,    -1 };

static int confine(void)
{
	const bool ships = at.child[CHILD_SHIPPER].wanted;
	const int *const children[] = { calls_parser, calls_store, ships ? calls_shipper : NULL,
					NULL };
	const struct sandbox box = { .name = "attacher",
				     .network = ships,
				     .syscalls = calls_attacher,
				     .for_children = children };
	const char *what = "capabilities";
	int r = sandbox_keep_caps(attacher_caps);

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = sandbox_filter(&box, &what);
	if (r < 0)
		fprintf(stderr, "kelpie-agent: cannot give up privileges: %s: %s\n", what,
			strerror(-r));
	return r;
}

static int start(void)
{
	int r;

	at.epoch = unix_now_ns();
	hash_key_random(&at.id_key);
	watch_signals();
	if ((r = make_data_dir()) < 0 || (r = make_shared()) < 0 || (r = open_shipper()) < 0 ||
	    (r = load_capture()) < 0)
		return r;
	if ((r = start_child(CHILD_STORE)) < 0 || (r = start_child(CHILD_PARSER)) < 0)
		return r;
	if (at.child[CHILD_SHIPPER].wanted && (r = start_child(CHILD_SHIPPER)) < 0)
		return r;
	r = attach();
	if (r < 0)
		return r;
	r = confine();
	if (r < 0)
		return r;
	if (at.ready_fd >= 0) {
		if (write(at.ready_fd, "ready\n", 6) != 6)
			log_warn("nobody waits for the ready sign");
		close(at.ready_fd);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int r = configure(argc, argv);

	if (r)
		return r;
	if (at.replay)
		return replay_main(&at.cfg, at.replay);
	if (at.record)
		return record_main(&at.cfg, at.record, at.record_ns, at.ports);
	r = start();
	if (r == 0)
		run();
	/* No more events, then everything that was received is stored. */
	capture_detach(at.capture);
	stop_child(CHILD_PARSER);
	stop_child(CHILD_STORE);
	stop_child(CHILD_SHIPPER);
	if (at.shipper_fd >= 0)
		unlink(at.shipper_path);
	capture_free(at.capture);
	return r < 0 ? 1 : 0;
}

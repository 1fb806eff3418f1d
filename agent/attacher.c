/* The attacher: loads and owns the BPF programs, makes what the processes share, starts the children
 * and answers what only it may know.
 */
#include "agent/agent.h"
#include "agent/budget.h"
#include "agent/calls.h"
#include "agent/capture.h"
#include "agent/children.h"
#include "agent/data_dir.h"
#include "agent/heartbeat.h"
#include "agent/kube.h"
#include "agent/sandbox.h"
#include "base/caps.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/shmring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BUDGET_STEP_NS NSEC_PER_SEC
#define SWEEP_NS       NSEC_PER_SEC
#define ANSWERS_MAX    256 /* questions of a child answered in one round */

struct attacher {
	const struct attacher_args *args;
	const struct config *cfg;
	const char *collector; /* where the store sends its stream; NULL: nowhere */
	struct capture *capture;
	struct ledger *ledger;
	struct ledger_fds ledger_fds;
	int row_ring_fd;
	int shipper_fd; /* the shipper's listener; -1: no collector on the network */
	char shipper_path[CONFIG_SOCKET_MAX];
	char rung[64];
	struct children children;
	struct kube kube;
	struct budget budget;
	int signal_fd;
	int heartbeat_fd; /* -1: none */
	bool stop;
};

static struct attacher at = { .shipper_fd = -1, .heartbeat_fd = -1 };

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

static void tell_proc(int to, struct agent_msg *m)
{
	m->type = MSG_PROC;
	proc_identify(m->proc.tgid, m->proc.cgroup, &m->proc);
	send_with(to, m, -1);
}

/* The shipper may not read the file; and it changes, where it is one of Kubernetes'. */
static void tell_token(int to, struct agent_msg *m)
{
	const char *path = kube_file(at.cfg, m->number);
	_cleanup_(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;

	if (path && fd < 0)
		log_error("%s cannot be opened for the shipper: %s", path, strerror(errno));
	*m = (struct agent_msg){ .type = MSG_TOKEN, .number = m->number };
	send_with(to, m, fd);
}

/* A child asks only what is its to ask: others' questions are passed over. */
static void answer(enum child_id id)
{
	const struct child *c = &at.children.child[id];
	static union agent_any_msg m;
	ssize_t n;

	/* Not more at once than it may keep us from signals and from its own end. */
	for (int i = 0;
	     i < ANSWERS_MAX && c->fd >= 0 && (n = recv(c->fd, &m, sizeof(m), MSG_DONTWAIT)) > 0;
	     i++) {
		if (id == CHILD_SHIPPER && kube_hear(&at.kube, &at.ledger->attacher, &m, (size_t)n))
			continue;
		if ((size_t)n != sizeof(m.msg))
			continue;
		if (id == CHILD_PARSER && m.type == MSG_WANT_PROC)
			tell_proc(c->fd, &m.msg);
		else if (id == CHILD_SHIPPER && m.type == MSG_WANT_TOKEN)
			tell_token(c->fd, &m.msg);
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
	uint64_t now = clock_boot_ns(), cpu = cpu_ns_of(0);

	if (now - at.budget.at_ns < BUDGET_STEP_NS)
		return;
	for (int i = 0; i < _CHILD_MAX; i++)
		cpu += at.children.child[i].pid ? cpu_ns_of(at.children.child[i].pid) : 0;
	if (budget_step(&at.budget, now, cpu)) {
		log_warn("capture.budgetCores: the agent uses %u thousandths of a core; of new "
			 "connections one in %u is read",
			 at.budget.used, 1u << at.budget.shift);
		atomic_store(&l->sample_shift, at.budget.shift);
	}
	atomic_store(&l->cpu_millicores, at.budget.used);
}

/* Hooks that the kernel did not run. */
static void count_missed(void)
{
	struct missed_runs missed = capture_missed_runs(at.capture);

	ledger_set(at.ledger, LEDGER_ATTACHER, L1_MISSED_DATA, missed.data);
	ledger_set(at.ledger, LEDGER_ATTACHER, L1_MISSED_STATE, missed.state);
	ledger_set(at.ledger, LEDGER_ATTACHER, L1_MISSED, missed.data + missed.state);
}

/* Looks for UNIX sockets that were closed, and for what the kernel left out. */
static void sweep(uint64_t *last_ns)
{
	uint64_t now = clock_boot_ns();

	if (now - *last_ns < SWEEP_NS)
		return;
	*last_ns = now;
	(void)capture_sweep(at.capture);
	count_missed();
}

static void run(void)
{
	uint64_t swept_ns = 0;

	at.budget.limit = at.cfg->capture.budget_millicores;
	while (!at.stop) {
		struct pollfd fds[] = {
			{ .fd = at.signal_fd, .events = POLLIN },
			{ .fd = at.children.child[CHILD_PARSER].fd, .events = POLLIN },
			{ .fd = at.children.child[CHILD_SHIPPER].fd, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), children_all_run(&at.children) ? 1000 : 50) < 0 &&
		    errno != EINTR)
			break;
		take_signals();
		answer(CHILD_PARSER);
		answer(CHILD_SHIPPER);
		kube_tell(&at.kube,
			  (const int[PODS_LISTENERS]){ at.children.child[CHILD_PARSER].fd,
						       at.children.child[CHILD_STORE].fd });
		children_tend(&at.children);
		keep_budget();
		sweep(&swept_ns);
		if (at.heartbeat_fd >= 0)
			heartbeat_beat(at.heartbeat_fd);
	}
}

/* ---- start ---- */

/* The API's socket, NULL when it has none. */
static const char *api_path(void)
{
	const char *listen = at.cfg->listen;

	return strncmp(listen, "unix:", 5) == 0 ? listen + 5 : NULL;
}

static int load_capture(void)
{
	struct capture_opts o = {
		.rung = capture_rung_parse(at.cfg->capture.hook),
		.read = at.args->reads ? capture_read_parse(at.args->reads) : CAPTURE_READ_AUTO,
		.data_ring_bytes = (uint32_t)at.cfg->capture.ring_bytes,
		.cgroup = at.args->cgroup ? at.args->cgroup : kube_scope(&at.kube),
		.unix_sockets = at.cfg->capture.unix_sockets,
		.deny_paths = { at.collector, api_path() },
		.simulate_leak = at.args->leak_hop == 1,
	};
	int r = capture_new(&o, &at.capture);

	if (r == 0)
		r = capture_load(at.capture);
	if (r < 0) {
		fprintf(stderr,
			"kelpie-agent: cannot capture: %s"
			"That is all there is to try (%s). It needs root and a kernel with BTF "
			"and ring buffers (5.10 or later); `kelpie doctor` says what this machine "
			"lacks\n",
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
	at.ledger->attacher.simulate_leak_hop = at.args->leak_hop;
	return 0;
}

static int attach(void)
{
	uint64_t found = 0;
	int r;

	/* Whoever started us asks the collector over sockets of no interest to anybody. */
	(void)capture_add_self(at.capture, (uint32_t)getppid());
	if (at.collector && at.args->ready_fd >= 0)
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
	if (at.cfg->capture.unix_sockets && !capture_unix_sockets(at.capture))
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
			 at.cfg->data_dir);

	if (!at.cfg->collector.address[0])
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
	    chown(un.sun_path, 0, at.children.store.ids.gid) < 0 || chmod(un.sun_path, 0660) < 0 ||
	    listen(at.shipper_fd, 4) < 0) {
		int err = -errno;

		fprintf(stderr, "kelpie-agent: cannot listen on %s: %s\n", at.shipper_path,
			strerror(-err));
		return err;
	}
	at.collector = at.shipper_path;
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

/* Whether there is something to do on the network. */
static bool ships(void)
{
	return at.shipper_fd >= 0 || at.kube.wanted;
}

static int confine(void)
{
	const int *const children[] = { calls_parser, calls_store, ships() ? calls_shipper : NULL,
					NULL };
	const struct sandbox box = { .name = "attacher",
				     .network = ships(),
				     .syscalls = calls_attacher,
				     .for_children = children };
	const char *what = "capabilities";
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;

	if (r == 0)
		r = sandbox_keep_caps(attacher_caps);
	if (r == 0)
		r = sandbox_filter(&box, &what);
	if (r < 0)
		fprintf(stderr, "kelpie-agent: cannot give up privileges: %s: %s\n", what,
			strerror(-r));
	return r;
}

/* What the children are told, and the keys of this run. */
static void fill_children(void)
{
	struct children *all = &at.children;
	const struct run_as_ids store_ids = all->store.ids;

	all->capture = at.capture;
	all->ledger = at.ledger;
	all->ledger_fds = &at.ledger_fds;
	all->store = (struct store_args){
		.ledger = &at.ledger_fds,
		.ids = store_ids,
		.row_ring_fd = at.row_ring_fd,
		.bpf_counters_fd = capture_counters_fd(at.capture),
		.n_cpus = capture_cpus(at.capture),
		.bpf_counters_bytes = capture_counters_map_bytes(at.capture),
		.cfg = at.cfg,
		.collector = at.collector,
		.epoch = clock_unix_ns(),
		.rung = at.rung,
		.simulate = at.args->simulate,
	};
	all->parser = (struct parser_args){
		.ledger = &at.ledger_fds,
		.row_ring_fd = at.row_ring_fd,
		.data_ring_fd = capture_data_ring_fd(at.capture),
		.ctl_ring_fd = capture_ctl_ring_fd(at.capture),
		.conn_ctl_fd = capture_conn_ctl_fd(at.capture),
		.data_ring_bytes = capture_data_ring_bytes(at.capture),
		.ctl_ring_bytes = capture_ctl_ring_bytes(at.capture),
		.conn_ctl_bytes = capture_conn_ctl_map_bytes(at.capture),
		.n_ctl = capture_ctl_entries(at.capture),
		.cfg = at.cfg,
		.epoch = all->store.epoch,
		.simulate = at.args->simulate,
	};
	run_as_find(RUN_AS_PARSER, &all->parser.ids);
	hash_key_random(&all->parser.id_key);
	all->parser.entities_fd = at.kube.entities_read;
	all->store.entities_fd = at.kube.entities_write;
	all->shipper = (struct shipper_args){ .listen_fd = at.shipper_fd,
					      .kubernetes = at.kube.wanted,
					      .cfg = at.cfg };
	run_as_find(RUN_AS_SHIPPER, &all->shipper.ids);
}

static int start_children(void)
{
	int err = children_start(&at.children, CHILD_STORE);

	if (err == 0)
		err = children_start(&at.children, CHILD_PARSER);
	if (err == 0 && ships())
		err = children_start(&at.children, CHILD_SHIPPER);
	return err;
}

static int start(void)
{
	int err;

	watch_signals();
	run_as_find(RUN_AS_STORE, &at.children.store.ids);
	if ((err = data_dir_make(at.cfg->data_dir, &at.children.store.ids)) < 0 ||
	    (err = make_shared()) < 0 || (err = kube_open(&at.kube, at.cfg)) < 0 ||
	    (err = open_shipper()) < 0 || (err = load_capture()) < 0)
		return err;
	atomic_store(&at.ledger->attacher.kubernetes,
		     at.kube.wanted ? KUBERNETES_STARTING : KUBERNETES_OFF);
	fill_children();
	if (at.args->heartbeat && (at.heartbeat_fd = heartbeat_open(at.args->heartbeat)) < 0) {
		fprintf(stderr, "kelpie-agent: %s: %s\n", at.args->heartbeat,
			strerror(-at.heartbeat_fd));
		return at.heartbeat_fd;
	}
	if ((err = start_children()) < 0 || (err = attach()) < 0 || (err = confine()) < 0)
		return err;
	if (at.args->ready_fd >= 0) {
		if (write(at.args->ready_fd, "ready\n", 6) != 6)
			log_warn("nobody waits for the ready sign");
		close(at.args->ready_fd);
	}
	return 0;
}

int attacher_main(const struct attacher_args *a)
{
	int err;

	at.args = a;
	at.cfg = a->cfg;
	at.collector = a->collector;
	children_init(&at.children);
	err = start();
	if (err == 0)
		run();
	/* No more events, then everything that was received is stored. */
	capture_detach(at.capture);
	children_stop(&at.children, CHILD_PARSER);
	children_stop(&at.children, CHILD_STORE);
	children_stop(&at.children, CHILD_SHIPPER);
	if (at.shipper_fd >= 0)
		unlink(at.shipper_path);
	capture_free(at.capture);
	return err < 0 ? 1 : 0;
}

/* kelpie-collector: the agents' streams on one socket, the HTTP API on another. */
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "base/clock.h"
#include "collector/complain.h"
#include "collector/door.h"
#include "collector/front.h"
#include "collector/guard.h"
#include "collector/http.h"
#include "collector/watcher.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>

#define STOP_NS	    (1500 * NSEC_PER_MSEC) /* for running queries to end */
#define QUERY_BYTES (64 * MIB)		   /* of one answer */
#define EXIT_USAGE  2

static const char usage[] =
	"usage: kelpie-collector --listen unix:PATH|ADDR:PORT --agents unix:PATH [options]\n"
	"\n"
	"  --listen ADDRESS     where the HTTP API is served; TCP asks for a token, which is "
	"printed\n"
	"  --agents unix:PATH   where agents connect\n"
	"  --agents-net ADDR:PORT  where agents of other machines connect (TLS, gRPC); needs:\n"
	"  --agents-cert FILE   PEM certificate with its chain\n"
	"  --agents-key FILE    its private key\n"
	"  --agents-token FILE  the token that agents show; who knows it may be any node\n"
	"  --proxy ADDR:PORT    where a cluster's API server asks for people (HTTPS); needs:\n"
	"  --proxy-cert FILE, --proxy-key FILE   as those of --agents-net; may be the same\n"
	"  --config FILE        configuration (default: $KELPIE_CONFIG, " CONFIG_FILE ")\n"
	"  --user NAME          whom to become when started as root (kelpie-collector)\n"
	"  --agent-uid UID      a user whose processes are agents, beside root and our own\n"
	"  --default-range T    range of queries that name none, such as 5m (default: everything)\n"
	"  --audit-log FILE     audit lines go there (default: standard error)\n"
	"  --ready-fd N         writes the address and a newline to descriptor N when it serves\n"
	"  --version, --help\n";

struct program {
	const char *listen, *agents, *config, *user, *audit;
	struct door_config door_cfg;
	struct front_config front_cfg;
	uint64_t default_range_ns;
	uid_t agent_uids[HUB_UIDS_MAX];
	size_t n_agent_uids;
	int ready_fd;

	struct config cfg;
	struct listener api, hub_listener;
	struct door door;
	struct front front;
	struct watcher watcher;
	struct http_config http_cfg;
	struct worker_pool *pool;
	struct hub *hub;
	struct http *http;
};

static int set_uid(struct program *p, const char *value)
{
	uint64_t uid;

	if (parse_u64(slice_str(value), &uid) < 0 || uid >= UINT32_MAX ||
	    p->n_agent_uids == HUB_UIDS_MAX)
		return complain("--agent-uid", "takes a user number, at most 8 times");
	p->agent_uids[p->n_agent_uids++] = (uid_t)uid;
	return 0;
}

static int set_ready_fd(struct program *p, const char *value)
{
	uint64_t fd;

	if (parse_u64(slice_str(value), &fd) < 0 || fd > 1023 || fcntl((int)fd, F_GETFD) < 0)
		return complain("--ready-fd", "takes the number of an open descriptor");
	p->ready_fd = (int)fd;
	return fcntl(p->ready_fd, F_SETFD, FD_CLOEXEC);
}

static int set_range(struct program *p, const char *value)
{
	if (parse_duration_ns(slice_str(value), &p->default_range_ns) < 0)
		return complain("--default-range", "takes a duration such as 5m");
	return 0;
}

enum option_id {
	OPT_LISTEN = 256,
	OPT_AGENTS,
	OPT_CONFIG,
	OPT_USER,
	OPT_AGENT_UID,
	OPT_NET,
	OPT_CERT,
	OPT_KEY,
	OPT_TOKEN,
	OPT_PROXY,
	OPT_PROXY_CERT,
	OPT_PROXY_KEY,
	OPT_RANGE,
	OPT_AUDIT,
	OPT_READY_FD,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "agents", required_argument, NULL, OPT_AGENTS },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "user", required_argument, NULL, OPT_USER },
	{ "agent-uid", required_argument, NULL, OPT_AGENT_UID },
	{ "agents-net", required_argument, NULL, OPT_NET },
	{ "agents-cert", required_argument, NULL, OPT_CERT },
	{ "agents-key", required_argument, NULL, OPT_KEY },
	{ "agents-token", required_argument, NULL, OPT_TOKEN },
	{ "proxy", required_argument, NULL, OPT_PROXY },
	{ "proxy-cert", required_argument, NULL, OPT_PROXY_CERT },
	{ "proxy-key", required_argument, NULL, OPT_PROXY_KEY },
	{ "default-range", required_argument, NULL, OPT_RANGE },
	{ "audit-log", required_argument, NULL, OPT_AUDIT },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static const struct {
	int opt;
	size_t to; /* a text of struct program */
} texts[] = {
	{ OPT_LISTEN, offsetof(struct program, listen) },
	{ OPT_AGENTS, offsetof(struct program, agents) },
	{ OPT_CONFIG, offsetof(struct program, config) },
	{ OPT_USER, offsetof(struct program, user) },
	{ OPT_AUDIT, offsetof(struct program, audit) },
	{ OPT_NET, offsetof(struct program, door_cfg.address) },
	{ OPT_CERT, offsetof(struct program, door_cfg.cert_file) },
	{ OPT_KEY, offsetof(struct program, door_cfg.key_file) },
	{ OPT_TOKEN, offsetof(struct program, door_cfg.token_file) },
	{ OPT_PROXY, offsetof(struct program, front_cfg.address) },
	{ OPT_PROXY_CERT, offsetof(struct program, front_cfg.cert_file) },
	{ OPT_PROXY_KEY, offsetof(struct program, front_cfg.key_file) },
};

/* 0: go on; 1: done; -EINVAL. */
static int take_option(struct program *p, int opt)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].opt == opt) {
			memcpy((uint8_t *)p + texts[i].to, &optarg, sizeof(optarg));
			return 0;
		}
	switch (opt) {
	case OPT_AGENT_UID:
		return set_uid(p, optarg);
	case OPT_RANGE:
		return set_range(p, optarg);
	case OPT_READY_FD:
		return set_ready_fd(p, optarg);
	case OPT_VERSION:
		puts("kelpie-collector " KELPIE_VERSION);
		return 1;
	case OPT_HELP:
		fputs(usage, stdout);
		return 1;
	default:
		fputs(usage, stderr);
		return -EINVAL;
	}
}

static int read_options(struct program *p, int argc, char **argv)
{
	int opt, done = 0;

	while (done == 0 && (opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		done = take_option(p, opt);
	if (done != 0)
		return done;
	if (optind < argc)
		return complain(argv[optind], "is no option; see --help");
	if (!p->agents || strncmp(p->agents, "unix:", 5) != 0)
		return complain("--agents", "unix:PATH is needed; see --help");
	if (p->door_cfg.address &&
	    (!p->door_cfg.cert_file || !p->door_cfg.key_file || !p->door_cfg.token_file))
		return complain("--agents-net",
				"needs --agents-cert, --agents-key and --agents-token");
	if (p->front_cfg.address && (!p->front_cfg.cert_file || !p->front_cfg.key_file))
		return complain("--proxy", "needs --proxy-cert and --proxy-key");
	return 0;
}

static int load_config(struct program *p, struct config *ret, char *why, size_t cap)
{
	const struct config_opts opts = { .file = p->config };
	struct config_diag diag = { .message = "" };
	int err = config_load(&opts, ret, &diag);

	if (err < 0)
		snprintf(why, cap, "%s", diag.message);
	return err;
}

static void take_config(struct program *p)
{
	p->http_cfg.timeout_ns = p->cfg.query.timeout_ns;
	p->http_cfg.rows = p->cfg.query.rows;
	p->http_cfg.memory_bytes = p->cfg.query.memory_bytes;
	p->http_cfg.bytes = QUERY_BYTES;
	p->http_cfg.default_range_ns = p->default_range_ns;
	log_setup("collector", (enum log_level)p->cfg.log.level,
		  (enum log_format)p->cfg.log.format);
}

/* Opens both sockets while the rights to do so are there. */
static int open_sockets(struct program *p, const struct run_as_ids *user)
{
	const struct group *group = getgrnam("kelpie");
	bool root = geteuid() == 0;
	char why[512] = "";
	const struct listen_opts api = {
		.mode = 0660,
		.uid = (uid_t)-1,
		.gid = root && group ? group->gr_gid : (gid_t)-1,
		.dir_uid = root ? user->uid : (uid_t)-1,
	};
	/* With several users whose processes are agents the mode cannot name them; the kernel's
	 * word on who connects is checked in any case. */
	const struct listen_opts agents = {
		.mode = p->n_agent_uids > 1 || p->door_cfg.address ? 0666 : 0660,
		.uid = !root		 ? (uid_t)-1
		       : p->n_agent_uids ? p->agent_uids[0]
					 : user->uid,
		.gid = root ? user->gid : (gid_t)-1,
		.dir_uid = api.dir_uid,
	};
	int err = listener_open(p->listen ? p->listen : p->cfg.listen, &api, &p->api, why,
				sizeof(why));

	if (err == 0)
		err = listener_open(p->agents, &agents, &p->hub_listener, why, sizeof(why));
	if (err < 0)
		fprintf(stderr, "kelpie-collector: %s\n", why);
	return err;
}

static int make_token(struct program *p)
{
	uint8_t secret[HTTP_TOKEN_BYTES];

	if (p->api.is_unix)
		return 0;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return complain("token", "no random bytes");
	format_hex(secret, sizeof(secret), p->http_cfg.token);
	return 0;
}

static int open_audit(struct program *p)
{
	p->http_cfg.audit_fd = STDERR_FILENO;
	if (!p->audit)
		return 0;
	p->http_cfg.audit_fd = open(p->audit,
				    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	return p->http_cfg.audit_fd < 0 ? complain(p->audit, strerrordesc_np(errno)) : 0;
}

static int open_door(struct program *p)
{
	if (!p->door_cfg.address)
		return 0;
	if (p->n_agent_uids == HUB_UIDS_MAX)
		return complain("--agent-uid", "one less where agents come from the network, too");
	p->door.uid = door_uid();
	p->agent_uids[p->n_agent_uids++] = p->door.uid;
	p->door_cfg.hub_path = p->hub_listener.path;
	return door_open(&p->door_cfg, &p->door);
}

/* While we are still root: they become a user of their own. */
static int start_workers(struct program *p)
{
	struct run_as_ids query;

	if (geteuid() != 0)
		return worker_pool_new(NULL, &p->pool);
	guard_drop_bounds();
	run_as_find(RUN_AS_QUERY, &query);
	return worker_pool_new(&query, &p->pool);
}

static int open_watcher(struct program *p)
{
	struct k8s_config k8s;
	int r = watcher_config(&p->cfg, &k8s);

	return r <= 0 ? r : watcher_open(&k8s, &p->watcher);
}

static int become(const struct run_as_ids *user)
{
	int err = geteuid() == 0 ? guard_become(user) : 0;

	return err < 0 ? complain("cannot give up root", strerrordesc_np(-err)) : 0;
}

/* The folder of a Unix socket, into dir (PATH_MAX-like cap); NULL for TCP. */
static const char *folder_of(const struct listener *l, char *dir, size_t cap)
{
	char path[sizeof(l->path)];

	if (!l->is_unix)
		return NULL;
	memcpy(path, l->path, sizeof(path));
	snprintf(dir, cap, "%s", dirname(path));
	return dir;
}

static int lock_down(struct program *p)
{
	char api_dir[128], hub_dir[128];
	const struct guard_paths paths = {
		.read = { p->cfg.file[0] ? p->cfg.file : NULL },
		.remove = { folder_of(&p->api, api_dir, sizeof(api_dir)),
			    folder_of(&p->hub_listener, hub_dir, sizeof(hub_dir)) },
	};
	bool landlock;
	int err;

	p->http_cfg.statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	err = guard_enter(&paths, &landlock);
	if (err < 0)
		return complain("cannot give up privileges", strerrordesc_np(-err));
	log_debug("guard: landlock=%d", landlock);
	return 0;
}

static int start_services(struct program *p)
{
	struct hub_config hub = {
		.listen_fd = p->hub_listener.fd,
		.n_uids = p->n_agent_uids,
		.far_uid = p->door.pid ? p->door.uid : (uid_t)-1,
		.news_fd = p->watcher.fd,
	};
	struct run_as_ids store;
	int err;

	memcpy(hub.uids, p->agent_uids, sizeof(hub.uids));
	run_as_find(RUN_AS_STORE, &store);
	if (hub.n_uids < HUB_UIDS_MAX)
		hub.uids[hub.n_uids++] = store.uid;
	err = lock_down(p);
	if (err < 0)
		return err;
	err = hub_new(&hub, &p->hub);
	if (err < 0)
		return complain("cannot start", strerrordesc_np(-err));
	p->http_cfg.listener = &p->api;
	p->http_cfg.gate = p->door.counts;
	p->http_cfg.hub = p->hub;
	p->http_cfg.pool = p->pool;
	err = http_start(&p->http_cfg, &p->http);
	if (err < 0)
		return complain("cannot serve HTTP", strerrordesc_np(-err));
	return front_start(&p->front, &p->http_cfg);
}

static void tell_ready(struct program *p)
{
	if (p->http_cfg.token[0])
		fprintf(stderr, "kelpie-collector: token %s\n", p->http_cfg.token);
	log_info("serving: listen=%s agents=%s%s%s%s%s", p->api.text, p->hub_listener.text,
		 p->door.pid ? " agents-net=" : "", p->door.pid ? p->door.listener.text : "",
		 p->front.http ? " proxy=" : "", p->front.http ? p->front.listener.text : "");
	if (p->ready_fd >= 0) {
		dprintf(p->ready_fd, "%s\n", p->api.text);
		close(p->ready_fd);
		p->ready_fd = -1;
	}
}

static void reload(struct program *p)
{
	struct config *fresh = malloc(sizeof(*fresh));
	char why[512];

	if (!fresh)
		return;
	if (load_config(p, fresh, why, sizeof(why)) < 0) {
		log_error("configuration not read, the old one stays: %s", why);
	} else {
		p->cfg = *fresh;
		take_config(p);
		http_reconfigure(p->http, &p->http_cfg);
		front_reconfigure(&p->front, &p->http_cfg);
		log_info("configuration read again");
	}
	free(fresh);
}

static bool fell(pid_t pid)
{
	return pid && waitpid(pid, NULL, WNOHANG) == pid;
}

/* The first of the processes started here that died, NULL: all live. */
static const char *who_fell(struct program *p)
{
	if (fell(p->watcher.pid))
		return "that watches the cluster";
	if (fell(p->door.pid))
		return "for agents on the network";
	return worker_pool_died(p->pool) ? "that runs queries" : NULL;
}

/* Blocks until SIGTERM or SIGINT: 0. -ECHILD: a process died without which agents of other machines cannot
 * connect, the cluster is not watched or no query runs, and nobody here may make it again. */
static int wait_for_signals(struct program *p, const sigset_t *set)
{
	const char *who;
	int sig;

	while ((sig = sigwaitinfo(set, NULL)) != SIGTERM && sig != SIGINT) {
		if (sig == SIGHUP)
			reload(p);
		who = sig == SIGCHLD ? who_fell(p) : NULL;
		if (who) {
			log_error("the process %s died; to be started again", who);
			return -ECHILD;
		}
	}
	return 0;
}

static void stop(struct program *p)
{
	uint64_t until_ns = clock_mono_ns() + STOP_NS;
	bool quiet = front_stop(&p->front, until_ns);

	quiet = (!p->http || http_stop(p->http, until_ns)) && quiet;

	listener_close(&p->api);
	listener_close(&p->hub_listener);
	if (!quiet) {
		log_warn("stopped with queries that did not end in time");
		_exit(0);
	}
	if (p->hub)
		hub_free(p->hub);
	if (p->pool)
		worker_pool_free(p->pool);
	closep(&p->http_cfg.statm_fd);
}

static int serve(struct program *p)
{
	struct run_as_ids user = { getuid(), getgid() };
	sigset_t set;
	int err;

	if (geteuid() == 0 && guard_find_user(p->user, &user) < 0)
		return complain(p->user, "no such user");
	err = open_sockets(p, &user);
	if (err == 0)
		err = front_open(&p->front_cfg, &p->front);
	if (err == 0)
		err = open_audit(p);
	if (err == 0)
		err = make_token(p);
	if (err < 0)
		return err;
	signal(SIGPIPE, SIG_IGN);
	err = start_workers(p);
	if (err < 0)
		return complain("cannot start the query workers", strerrordesc_np(-err));
	err = open_door(p);
	if (err == 0)
		err = open_watcher(p);
	if (err == 0)
		err = become(&user);
	if (err < 0)
		return err;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	err = start_services(p);
	if (err < 0)
		return err;
	tell_ready(p);
	err = wait_for_signals(p, &set);
	log_info("stopping");
	return err;
}

int main(int argc, char **argv)
{
	static struct program p = {
		.ready_fd = -1,
		.api.fd = -1,
		.hub_listener.fd = -1,
		.door.listener.fd = -1,
		.front.listener.fd = -1,
		.watcher.fd = -1,
		.http_cfg = { .statm_fd = -1, .audit_fd = -1 },
	};
	char why[512] = "";
	int done = read_options(&p, argc, argv), err;

	if (done != 0)
		return done < 0 ? EXIT_USAGE : 0;
	if (load_config(&p, &p.cfg, why, sizeof(why)) < 0) {
		fprintf(stderr, "kelpie-collector: %s\n", why);
		return 1;
	}
	take_config(&p);
	err = serve(&p);
	stop(&p);
	return err < 0;
}

/* kelpie-agent: what it is told on the command line, and which of its programs that means. */
#include "agent/agent.h"
#include "agent/bpf/config.h"
#include "agent/heartbeat.h"
#include "agent/policy.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define FLAGS_MAX 16

static struct config cfg;
static struct attacher_args attacher = { .cfg = &cfg, .ready_fd = -1 };
static const char *replay, *record, *alive; /* files */
static uint64_t record_ns = 10 * NSEC_PER_SEC;
static uint16_t ports[CFG_PORTS]; /* record only these; none: all */

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
	{ "heartbeat", required_argument, NULL, 'B' },
	{ "alive", required_argument, NULL, 'A' },
	{ "simulate", required_argument, NULL, 's' },
	{ "simulate-leak", required_argument, NULL, 'l' },
	{ "set", required_argument, NULL, 'S' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'H' },
	{ 0 },
};

static const char usage[] =
	"usage: kelpie-agent [--data-dir DIR] [--collector unix:PATH] "
	"[--config FILE] [--node NAME]\n"
	"                    [--ready-fd N] [--set KEY=VALUE] [--heartbeat FILE]\n"
	"       kelpie-agent --replay FILE --data-dir DIR\n"
	"       kelpie-agent --record FILE [--for 10s] [--port N,N]\n"
	"       kelpie-agent --alive FILE\n"
	"Watches the connections of this machine and stores what they carry. "
	"Started by `kelpie run`.\n";

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
		ports[i] = (uint16_t)port;
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
		attacher.collector = strncmp(optarg, "unix:", 5) == 0 ? optarg + 5 : optarg;
		return 0;
	case 'f':
		f->file = optarg;
		return 0;
	case 'h':
		return add_flag(f, "capture.hook", optarg);
	case 'R':
		attacher.reads = optarg;
		return 0;
	case 'g':
		attacher.cgroup = optarg;
		return 0;
	case 'p':
		replay = optarg;
		return 0;
	case 'w':
		record = optarg;
		return 0;
	case 't':
		return parse_duration_ns(slice_str(optarg), &record_ns);
	case 'P':
		return parse_ports(slice_str(optarg));
	case 'B':
		attacher.heartbeat = optarg;
		return 0;
	case 'A':
		alive = optarg;
		return 0;
	case 's':
		attacher.simulate = optarg;
		return 0;
	case 'l':
		if (parse_u64(slice_str(strncmp(optarg, "hop=", 4) ? optarg : optarg + 4),
			      &number) < 0 ||
		    number < 1 || number > 10)
			return -EINVAL;
		attacher.leak_hop = (uint8_t)number;
		return 0;
	case 'r':
		if (parse_u64(slice_str(optarg), &number) < 0 || number > INT32_MAX)
			return -EINVAL;
		attacher.ready_fd = (int)number;
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
	if (config_load(&o, &cfg, &diag) < 0) {
		fprintf(stderr, "kelpie-agent: %s\n", diag.message);
		return 1;
	}
	if (policy_init(&policy, &cfg, why, sizeof(why)) < 0) {
		fprintf(stderr, "kelpie-agent: %s\n", why);
		return 1;
	}
	policy_done(&policy);
	log_setup("agent", (enum log_level)cfg.log.level, (enum log_format)cfg.log.format);
	return 0;
}

int main(int argc, char **argv)
{
	int r = configure(argc, argv);

	if (r)
		return r;
	if (alive)
		return heartbeat_main(alive);
	if (replay)
		return replay_main(&cfg, replay);
	if (record)
		return record_main(&cfg, record, record_ns, ports);
	heap_init();
	return attacher_main(&attacher);
}

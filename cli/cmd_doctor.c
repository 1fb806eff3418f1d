/* doctor: what this machine allows, how the running instance is, and whether a request that is made
 * now is found in the store; of a cluster how its collector and agents are. Each check has an id that
 * stays.
 */
#include "cli/canary.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/views.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

#define CAP_PERFMON_BIT 38 /* linux/capability.h, since 5.8 */
#define CAP_BPF_BIT	39
#define CANARY_WAIT_NS	(6 * NSEC_PER_SEC)

enum state { STATE_OK, STATE_WARNING, STATE_FAILED };

struct finding {
	uint8_t state; /* enum state */
	char why[400];
	char fix[300]; /* "" when nothing is to be done */
};

struct doctor {
	const struct options *o;
	struct source *source; /* NULL when it cannot be reached */
	struct trouble trouble;
	struct strbuf body;
	struct json status; /* of the API */
	bool have_status;
	struct answer_sink sink;
	bool failed;
};

struct check {
	const char *id, *name;
	bool needs_server;
	bool of_machine; /* this one's: says nothing of a cluster */
	void (*fn)(struct doctor *d, struct finding *f);
};

static void found(struct finding *f, enum state state, const char *fix, const char *fmt, ...)
	__printf(4, 5);

static void found(struct finding *f, enum state state, const char *fix, const char *fmt, ...)
{
	va_list ap;

	f->state = (uint8_t)state;
	snprintf(f->fix, sizeof(f->fix), "%s", fix);
	va_start(ap, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, ap);
	va_end(ap);
}

/* The first bytes of a file of /proc or /sys; "" when it cannot be read. */
static void read_small(const char *path, char *out, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

	out[n > 0 ? n : 0] = 0;
}

static void check_kernel(struct doctor *d, struct finding *f)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	(void)d;
	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		found(f, STATE_WARNING, "", "the kernel's release is not readable");
	else if (major < 5 || (major == 5 && minor < 8))
		found(f, STATE_FAILED, "use a kernel from 5.10 on",
		      "Linux %s has no BPF ring buffer (5.8)", u.release);
	else
		found(f, STATE_OK, "", "Linux %s on %s", u.release, u.machine);
}

static void check_btf(struct doctor *d, struct finding *f)
{
	(void)d;
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		found(f, STATE_OK, "", "/sys/kernel/btf/vmlinux is there");
	else
		found(f, STATE_FAILED, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
		      "/sys/kernel/btf/vmlinux cannot be read: %s", strerror(errno));
}

static void check_privilege(struct doctor *d, struct finding *f)
{
	char text[4096];
	const char *line;
	unsigned long long caps = 0;

	(void)d;
	read_small("/proc/self/status", text, sizeof(text));
	line = strstr(text, "CapEff:");
	if (line)
		(void)sscanf(line, "CapEff: %llx", &caps);
	if (caps >> CAP_BPF_BIT & caps >> CAP_PERFMON_BIT & 1)
		found(f, STATE_OK, "", "this user may load and attach BPF programs");
	else
		found(f, STATE_WARNING, "run `kelpie run` as root",
		      "this user may ask, but could not start the capture (CAP_BPF, CAP_PERFMON)");
}

static void check_lockdown(struct doctor *d, struct finding *f)
{
	char text[128];

	(void)d;
	read_small("/sys/kernel/security/lockdown", text, sizeof(text));
	if (strstr(text, "[confidentiality]"))
		found(f, STATE_WARNING, "",
		      "lockdown=confidentiality: kernel memory is read by BTF loads only");
	else
		found(f, STATE_OK, "", "%s",
		      *text ? "no restriction by lockdown" : "lockdown is not built in");
}

static void check_cgroup(struct doctor *d, struct finding *f)
{
	(void)d;
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0)
		found(f, STATE_OK, "", "cgroup v2 on /sys/fs/cgroup");
	else
		found(f, STATE_WARNING, "boot with systemd.unified_cgroup_hierarchy=1",
		      "no cgroup v2 on /sys/fs/cgroup: units and containers have no names");
}

static void check_server(struct doctor *d, struct finding *f)
{
	if (d->have_status)
		found(f, STATE_OK, "", "%s answers", source_name(d->source));
	else
		found(f, STATE_FAILED,
		      source_is_cluster(d->o) ? "" : "start `kelpie run`, or name it with --server",
		      "%s", d->trouble.message);
}

static void check_version(struct doctor *d, struct finding *f)
{
	struct slice v = json_text(json_get(&d->status, &d->status.nodes[0], "version"));

	if (slice_eq_str(v, KELPIE_VERSION))
		found(f, STATE_OK, "", "all of version %s", KELPIE_VERSION);
	else
		found(f, STATE_WARNING, "install one version of all programs",
		      "this program is %s, the collector %.*s", KELPIE_VERSION,
		      (int)MIN(v.n, (size_t)40), (const char *)v.p);
}

static void check_agents(struct doctor *d, struct finding *f)
{
	const struct json_node *nodes = json_get(&d->status, &d->status.nodes[0], "nodes");
	const struct json_node *missing = json_get(&d->status, nodes, "missing");
	long long ok = (long long)json_int(json_get(&d->status, nodes, "ok"), 0);

	if (!ok)
		found(f, STATE_FAILED, "look at the log of kelpie-agent", "no agent is connected");
	else if (missing && missing->n)
		found(f, STATE_WARNING, "look at the log of kelpie-agent on those nodes",
		      "%lld agents answer, %u do not", ok, missing->n);
	else
		found(f, STATE_OK, "", "%lld agent%s, all answer", ok, ok == 1 ? "" : "s");
}

static void fetch_status(struct doctor *d)
{
	d->have_status = false;
	strbuf_reset(&d->body);
	if (!d->source && source_open(d->o, &d->source, &d->trouble) < 0)
		return;
	if (!source_client(d->source)) {
		trouble_set(&d->trouble, EXIT_UNREACHABLE, "no Kelpie runs on %s",
			    source_name(d->source));
		return;
	}
	if (client_get(source_client(d->source), "/api/v1/status", &d->body, &d->trouble) < 0)
		return;
	d->have_status = json_parse(&d->status, strbuf_slice(&d->body)) == 0;
	if (!d->have_status)
		trouble_set(&d->trouble, EXIT_ERROR, "%s does not answer like Kelpie",
			    source_name(d->source));
}

/* Calls fn for every line of every agent's list. */
static void each_line(struct doctor *d, const char *list,
		      void (*fn)(struct doctor *d, const struct json_node *line, void *ctx),
		      void *ctx)
{
	const struct json_node *agents = json_get(&d->status, &d->status.nodes[0], "agents"),
			       *a = NULL;

	while ((a = json_each(&d->status, agents, a))) {
		const struct json_node *lines = json_get(&d->status, a, list), *line = NULL;

		while ((line = json_each(&d->status, lines, line)))
			fn(d, line, ctx);
	}
}

#define LINES_MAX 512

struct sums {
	uint64_t lines, open, wrong, lost;
	int64_t difference[LINES_MAX]; /* of the look before; what moves is on its way */
	char first[120];
};

static void sum_balance(struct doctor *d, const struct json_node *line, void *ctx)
{
	struct sums *s = ctx;
	struct slice stage = json_text(json_get(&d->status, line, "stage"));
	int64_t difference = json_int(json_get(&d->status, line, "difference"), 0), before;
	uint64_t i = s->lines++;

	if (i >= LINES_MAX)
		return;
	before = s->difference[i];
	s->difference[i] = difference;
	s->open += difference != 0;
	if (!difference || difference != before)
		return;
	if (!s->wrong++)
		snprintf(s->first, sizeof(s->first), "hop %lld %.*s",
			 (long long)json_int(json_get(&d->status, line, "hop"), 0),
			 (int)MIN(stage.n, (size_t)60), (const char *)stage.p);
}

static void sum_losses(struct doctor *d, const struct json_node *line, void *ctx)
{
	struct sums *s = ctx;
	struct slice counter = json_text(json_get(&d->status, line, "counter"));
	int64_t value = json_int(json_get(&d->status, line, "value"), 0);

	if (!slice_eq_str(json_text(json_get(&d->status, line, "kind")), "loss") ||
	    json_int(json_get(&d->status, line, "intentional"), 0) || value <= 0)
		return;
	if (!s->lost)
		snprintf(s->first, sizeof(s->first), "hop %lld %.*s",
			 (long long)json_int(json_get(&d->status, line, "hop"), 0),
			 (int)MIN(counter.n, (size_t)60), (const char *)counter.p);
	s->lost += (uint64_t)value;
}

/* Under load the counters of several processes are read one after the other and differ by what is
 * on its way; a gap that stands still between two looks is a leak. */
static void check_ledger(struct doctor *d, struct finding *f)
{
	struct sums s = { 0 };

	each_line(d, "balance", sum_balance, &s);
	for (int looks = 0; looks < 2 && s.open && interrupt_wait(-1, 700) == 0; looks++) {
		fetch_status(d);
		if (!d->have_status)
			break;
		s.lines = s.wrong = s.open = 0;
		each_line(d, "balance", sum_balance, &s);
	}
	if (!s.lines)
		found(f, STATE_WARNING, "", "the agents sent no ledger yet");
	else if (s.wrong)
		found(f, STATE_WARNING,
		      "look at it: `kelpie sql 'SELECT * FROM kelpie_ledger_balance'`",
		      "%llu of %llu sums stand open, the first: %s", (unsigned long long)s.wrong,
		      (unsigned long long)s.lines, s.first);
	else
		found(f, STATE_OK, "", "all %llu sums close", (unsigned long long)s.lines);
}

static void check_loss(struct doctor *d, struct finding *f)
{
	struct sums s = { 0 };

	each_line(d, "ledger", sum_losses, &s);
	if (s.lost)
		found(f, STATE_WARNING, "a larger capture.ringBytes helps against losses of hop 1",
		      "%llu units were lost by accident since the start, the first: %s",
		      (unsigned long long)s.lost, s.first);
	else
		found(f, STATE_OK, "", "nothing was lost by accident");
}

static void check_paused(struct doctor *d, struct finding *f)
{
	const struct json_node *agents = json_get(&d->status, &d->status.nodes[0], "agents"),
			       *a = NULL;

	while ((a = json_each(&d->status, agents, a))) {
		const struct json_node *status = json_get(&d->status, a, "status");

		if (json_true(json_get(&d->status, json_get(&d->status, status, "capture"),
				       "paused"))) {
			found(f, STATE_WARNING, "kelpie resume", "the capture is paused");
			return;
		}
	}
	found(f, STATE_OK, "", "the capture is not paused");
}

/* Of each agent in Kubernetes: its node's pods are known, or why not. */
static void check_kubernetes(struct doctor *d, struct finding *f)
{
	const struct json_node *agents = json_get(&d->status, &d->status.nodes[0], "agents"),
			       *a = NULL;
	int64_t pods = 0, nodes = 0;

	while ((a = json_each(&d->status, agents, a))) {
		const struct json_node *k = json_get(&d->status, json_get(&d->status, a, "status"),
						     "kubernetes");
		struct slice node = json_text(json_get(&d->status, a, "node"));
		struct slice state = json_text(json_get(&d->status, k, "state"));
		struct slice why = json_text(json_get(&d->status, k, "message"));

		if (!state.n || slice_eq_str(state, "off"))
			continue;
		nodes++;
		pods += json_int(json_get(&d->status, k, "pods"), 0);
		if (!slice_eq_str(state, "synced") || why.n) {
			found(f, STATE_WARNING,
			      "the agent's service account needs list and watch of pods",
			      "node %.*s: names of pods: %.*s%s%.*s", (int)node.n,
			      (const char *)node.p, (int)state.n, (const char *)state.p,
			      why.n ? ": " : "", (int)why.n, (const char *)why.p);
			return;
		}
	}
	if (nodes)
		found(f, STATE_OK, "", "synced, %lld pods on %lld nodes", (long long)pods,
		      (long long)nodes);
	else
		found(f, STATE_OK, "", "no agent is in Kubernetes");
}

static int count_columns(void *ctx, const struct answer_col *cols, size_t n)
{
	(void)ctx;
	(void)cols;
	return n ? 0 : -EINVAL;
}

static int count_row(void *ctx, const struct datum *cells)
{
	*(int64_t *)ctx = cells[0].kind == DATUM_INT ? cells[0].i : 0;
	return 0;
}

/* Rows of the canary's port, asked again until they are there or the time is over. */
static int wait_for_rows(struct doctor *d, uint16_t port, int64_t want, int64_t *ret)
{
	struct answer_sink sink = { .ctx = ret, .columns = count_columns, .row = count_row };
	uint64_t end = wall_ns() + CANARY_WAIT_NS;
	int r;

	do {
		_cleanup_(question_done) struct question q;

		question_init(&q);
		q.from_ns = wall_ns() - 60 * NSEC_PER_SEC;
		strbuf_adds(&q.sql, "SELECT count(*) FROM http WHERE path GLOB '/kelpie-doctor/*' "
				    "AND server_port = ");
		question_bind_int(&q, port);
		*ret = 0;
		r = source_ask(d->source, &q, &sink, &d->trouble);
		if (r < 0 || *ret >= want)
			return r;
	} while (interrupt_wait(-1, 250) == 0 && wall_ns() < end);
	return r;
}

static void check_canary(struct doctor *d, struct finding *f, bool ipv6)
{
	struct canary_result sent;
	int64_t seen = 0;
	int r = canary_send(ipv6, &sent);

	if (r < 0) {
		found(f, ipv6 ? STATE_WARNING : STATE_FAILED, "",
		      "cannot make a request on the loopback "
		      "interface: %s",
		      strerror(-r));
		return;
	}
	r = wait_for_rows(d, sent.port, sent.exchanges, &seen);
	if (r < 0)
		found(f, STATE_FAILED, "", "%s", d->trouble.message);
	else if (seen == sent.exchanges)
		found(f, STATE_OK, "", "%d of %d requests (%s) are rows", (int)seen, sent.exchanges,
		      canary_ways());
	else
		found(f, STATE_FAILED, "kelpie status: is the hook attached, is something lost?",
		      "%d of %d requests (%s) are rows", (int)seen, sent.exchanges, canary_ways());
}

static void check_canary4(struct doctor *d, struct finding *f)
{
	check_canary(d, f, false);
}

static void check_canary6(struct doctor *d, struct finding *f)
{
	check_canary(d, f, true);
}

static const struct check checks[] = {
	{ "K001", "kernel", false, true, check_kernel },
	{ "K002", "kernel types (BTF)", false, true, check_btf },
	{ "K003", "privilege", false, true, check_privilege },
	{ "K004", "lockdown", false, true, check_lockdown },
	{ "K005", "control groups", false, true, check_cgroup },
	{ "S001", "collector", false, false, check_server },
	{ "S002", "versions", true, false, check_version },
	{ "S003", "agents", true, false, check_agents },
	{ "S004", "pause", true, false, check_paused },
	{ "S005", "kubernetes", true, false, check_kubernetes },
	{ "L001", "ledger", true, false, check_ledger },
	{ "L002", "losses", true, false, check_loss },
	{ "C001", "canary over IPv4", true, true, check_canary4 },
	{ "C002", "canary over IPv6", true, true, check_canary6 },
};

static const struct view_col doctor_cols[] = {
	{ "id", "ID", SHAPE_PLAIN, 80, 0, VIEW_NAME },
	{ "check", "CHECK", SHAPE_PLAIN, 100, 0, 0 },
	{ "state", "STATE", SHAPE_PLAIN, 95, 0, 0 },
	{ "why", "WHY", SHAPE_PLAIN, 90, 20, VIEW_FLEX },
	{ "fix", "DO", SHAPE_PLAIN, 60, 10, VIEW_WIDE },
};
static const struct view view_doctor = { doctor_cols, ARRAY_SIZE(doctor_cols) };

static void run_check(struct doctor *d, const struct check *c)
{
	static const char *const states[] = { "ok", "warning", "failed" };
	struct finding f = { 0 };
	struct datum row[ARRAY_SIZE(doctor_cols)];

	c->fn(d, &f);
	d->failed |= f.state == STATE_FAILED;
	row[0] = datum_text(slice_str(c->id));
	row[1] = datum_text(slice_str(c->name));
	row[2] = datum_text(slice_str(states[f.state]));
	row[3] = datum_text(slice_str(f.why));
	row[4] = *f.fix ? datum_text(slice_str(f.fix)) : (struct datum){ .kind = DATUM_NULL };
	d->sink.row(d->sink.ctx, row);
	/* what to do is too long for a column of 80 */
	if (d->o->output == OUTPUT_TABLE && *f.fix)
		cli_note("%s %s: %s\n     do: %s", c->id, c->name, f.why, f.fix);
}

int cmd_doctor(const struct options *o)
{
	static const struct answer_col cols[] = { { .name = "id", .type = "TEXT" },
						  { .name = "check", .type = "TEXT" },
						  { .name = "state", .type = "TEXT" },
						  { .name = "why", .type = "TEXT" },
						  { .name = "fix", .type = "TEXT" } };
	_cleanup_(printer_freep) struct printer *p = NULL;
	struct doctor d = { .o = o };
	bool cluster = source_is_cluster(o);
	struct print_opts print;

	interrupt_install();
	strbuf_init(&d.body, 16 * MIB);
	print_opts_init(&print, o, &view_doctor);
	if (printer_new(&print, &p) < 0)
		return cli_fail(EXIT_ERROR, "out of memory");
	d.sink = printer_sink(p);
	d.sink.columns(d.sink.ctx, cols, ARRAY_SIZE(cols));
	fetch_status(&d);
	for (size_t i = 0; i < ARRAY_SIZE(checks) && !interrupted(); i++)
		if ((!checks[i].needs_server || d.have_status) &&
		    !(cluster && checks[i].of_machine))
			run_check(&d, &checks[i]);
	print_end(p);
	source_free(d.source);
	json_done(&d.status);
	strbuf_done(&d.body);
	if (interrupted())
		return EXIT_INTERRUPTED;
	return d.failed ? EXIT_ERROR : EXIT_OK;
}

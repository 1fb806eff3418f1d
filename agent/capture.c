#include "agent/capture.h"
#include "agent/cgroup.h"
#include "agent/probe_table.h"
#include "base/strbuf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "capture_btf.skel.h"
#include "capture_probe.skel.h"

#define LINKS_MAX (RUNG_PROGS_MAX + RUNG_TPS_MAX + 6)
#define WHY_MAX	  2048

#define DEFAULT_DATA_RING (8u << 20)
#define DEFAULT_CTL_RING  (1u << 20)
#define DEFAULT_CONNS	  16384u
#define DEFAULT_DGRAMS	  32u
/* Shares of the data ring, and what they are at least. */
#define WINDOW_SHARE 4
#define PROBE_SHARE  8
#define SHARE_MIN    (256u << 10)

/* DNS and its multicast form (RFC 1035, RFC 6762). */
static const uint16_t dgram_ports[CFG_PORTS] = { 53, 5353 };

struct capture {
	struct capture_opts opts;
	struct capture_cfg cfg;
	struct feature_state features[_FEATURE_MAX];
	enum capture_rung rung;
	enum capture_read read;
	struct bpf_object *obj;
	struct bpf_link *links[LINKS_MAX];
	size_t n_links;
	struct bpf_link *sweep; /* iterator over the known connections */
	struct capture_self self;
	uint32_t cpus;
	char why[WHY_MAX];
	size_t why_len;
};

static const char *const read_names[_CAPTURE_READ_MAX] = { "auto", "btf", "probe" };

const char *capture_rung_name(enum capture_rung rung)
{
	return rung < _CAPTURE_RUNG_MAX ? rung_table[rung].name : "unknown";
}

const char *capture_read_name(enum capture_read read)
{
	return read < _CAPTURE_READ_MAX ? read_names[read] : "unknown";
}

enum capture_rung capture_rung_parse(const char *name)
{
	for (enum capture_rung r = CAPTURE_RUNG_SOCKLEN; r < _CAPTURE_RUNG_MAX; r++)
		if (strcmp(name, rung_table[r].name) == 0)
			return r;
	return CAPTURE_RUNG_AUTO;
}

enum capture_read capture_read_parse(const char *name)
{
	for (enum capture_read r = CAPTURE_READ_BTF; r < _CAPTURE_READ_MAX; r++)
		if (strcmp(name, read_names[r]) == 0)
			return r;
	return CAPTURE_READ_AUTO;
}

static void __printf(2, 3) why_add(struct capture *c, const char *fmt, ...)
{
	size_t room = sizeof(c->why) - c->why_len;
	va_list ap;
	int n;

	if (room < 2)
		return;
	va_start(ap, fmt);
	n = vsnprintf(c->why + c->why_len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		c->why_len += MIN((size_t)n, room - 1);
}

const char *capture_why(const struct capture *c)
{
	return c->why;
}

/* libbpf tells its troubles through one global callback. The verifier's log of a refused program is
 * long and only its end matters: only short messages are kept. */
static struct capture *telling;

static int on_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[256];

	if (level != LIBBPF_WARN || !telling || strstr(fmt, "PROG LOAD LOG"))
		return 0;
	if (vsnprintf(line, sizeof(line), fmt, ap) > 0)
		why_add(telling, "%s", line);
	return 0;
}

static bool power_of_two(uint32_t n)
{
	return n && (n & (n - 1)) == 0;
}

int capture_new(const struct capture_opts *opts, struct capture **ret)
{
	_cleanup_(capture_freep) struct capture *c = calloc(1, sizeof(*c));
	struct capture_opts *o;

	if (!c)
		return -ENOMEM;
	c->opts = *opts;
	o = &c->opts;
	o->data_ring_bytes = o->data_ring_bytes ? o->data_ring_bytes : DEFAULT_DATA_RING;
	o->ctl_ring_bytes = o->ctl_ring_bytes ? o->ctl_ring_bytes : DEFAULT_CTL_RING;
	o->conns_max = o->conns_max ? o->conns_max : DEFAULT_CONNS;
	/* Half a window: whoever fills one alone is looked at before it is full. */
	o->wake_bytes = o->wake_bytes ? o->wake_bytes : o->data_ring_bytes / 8;
	if (!o->probe_budget_bytes)
		o->probe_budget_bytes = MAX(o->data_ring_bytes / PROBE_SHARE, SHARE_MIN);
	for (size_t i = 0; i < CFG_NAMES; i++)
		if (o->deny_paths[i] && strlen(o->deny_paths[i]) >= CFG_NAME_MAX)
			return -EINVAL;
	if (!power_of_two(o->data_ring_bytes) || !power_of_two(o->ctl_ring_bytes) ||
	    o->conns_max > EV_CONNS_MAX || o->rung >= _CAPTURE_RUNG_MAX ||
	    o->read >= _CAPTURE_READ_MAX)
		return -EINVAL;
	*ret = TAKE_PTR(c);
	return 0;
}

/* Depth of a cgroup v2 directory below the mount and its id (the directory's inode). */
static int cgroup_scope(const char *path, struct capture_cfg *cfg)
{
	char up[4096];
	struct stat here, above;
	int n = snprintf(up, sizeof(up), "%s", path);

	if (n <= 0 || (size_t)n >= sizeof(up) || stat(path, &here))
		return -EINVAL;
	cfg->cgroup_id = here.st_ino;
	for (cfg->cgroup_level = 0; cfg->cgroup_level < 64; cfg->cgroup_level++) {
		size_t len = strnlen(up, sizeof(up));

		if (len + 4 > sizeof(up))
			return -EINVAL;
		memcpy(up + len, "/..", 4);
		if (stat(up, &above) || above.st_dev != here.st_dev)
			return 0;
	}
	return -EINVAL;
}

/* PROC_PID_INIT_INO: the initial pid namespace has a fixed inode. */
#define PIDNS_INIT_INO 0xEFFFFFFCu

static int pidns_scope(struct capture_cfg *cfg)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st))
		return -errno;
	if (st.st_ino != PIDNS_INIT_INO)
		cfg->pidns_ino = (uint32_t)st.st_ino;
	return 0;
}

static int fill_cfg(struct capture *c)
{
	struct capture_cfg *cfg = &c->cfg;
	int r = 0;

	cfg->probe_budget_bytes = c->opts.probe_budget_bytes;
	cfg->window_bytes = MAX(c->opts.data_ring_bytes / WINDOW_SHARE, SHARE_MIN);
	cfg->wake_bytes = c->opts.wake_bytes;
	cfg->ctl_wake_bytes = MIN(c->opts.wake_bytes, c->opts.ctl_ring_bytes / 4);
	cfg->conns_max = c->opts.conns_max;
	cfg->dgram_budget = c->opts.dgram_budget ? c->opts.dgram_budget : DEFAULT_DGRAMS;
	memcpy(cfg->dgram_ports, dgram_ports, sizeof(dgram_ports));
	cfg->flags = c->opts.simulate_leak ? CFG_F_LEAK : 0;
	for (size_t i = 0; i < CFG_NAMES; i++)
		if (c->opts.deny_paths[i])
			memcpy(cfg->deny_names[i], c->opts.deny_paths[i],
			       strlen(c->opts.deny_paths[i]));
	memcpy(cfg->deny_ports, c->opts.deny_ports, sizeof(cfg->deny_ports));
	memcpy(cfg->allow_ports, c->opts.allow_ports, sizeof(cfg->allow_ports));
	if (c->opts.cgroup)
		r = cgroup_scope(c->opts.cgroup, cfg);
	return r ? r : pidns_scope(cfg);
}

static int open_object(struct capture *c, enum capture_read read, struct bpf_object **ret)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "kelpie");
	struct bpf_object *obj;
	const void *elf;
	size_t n;

	(void)c;
	elf = read == CAPTURE_READ_BTF ? capture_btf__elf_bytes(&n) : capture_probe__elf_bytes(&n);
	obj = bpf_object__open_mem(elf, n, &opts);
	if (!obj)
		return -errno;
	*ret = obj;
	return 0;
}

static int select_progs(struct bpf_object *obj, const char *const *names)
{
	for (size_t i = 0; i < RUNG_PROGS_MAX && names[i]; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(obj, names[i]);

		if (!p)
			return -ENOENT;
		bpf_program__set_autoload(p, true);
	}
	return 0;
}

static const char *const *state_progs(const struct capture *c)
{
	return c->features[FEATURE_STATE_BTF].present ? state_progs_btf : state_progs_raw;
}

static int size_maps(struct capture *c, struct bpf_object *obj)
{
	const struct {
		const char *name;
		uint32_t entries;
	} sizes[] = {
		{ "ctl_ring", c->opts.ctl_ring_bytes },
		{ "data_ring", c->opts.data_ring_bytes },
		{ "bpf_counters", c->cpus },
		{ "conn_ctl", capture_ctl_entries(c) },
		{ "conns", c->opts.conns_max },
		{ "free_slots", c->opts.conns_max },
		{ "slot_uses", c->opts.conns_max },
		{ "unix_slots", c->cfg.flags & CFG_F_UNIX ? c->opts.conns_max : 1 },
	};
	struct bpf_map *cfg = bpf_object__find_map_by_name(obj, ".rodata.cfg");
	size_t n = 0;
	void *initial;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int r = bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, sizes[i].name),
						 sizes[i].entries);

		if (r)
			return r;
	}
	initial = cfg ? (void *)(uintptr_t)bpf_map__initial_value(cfg, &n) : NULL;
	if (!initial || n != sizeof(c->cfg))
		return -EINVAL;
	memcpy(initial, &c->cfg, n);
	return 0;
}

/* Only the socket-length hook runs before the caller is told who sent a datagram. */
static const char *const sender_progs[] = { "sender4", "sender6", NULL };
static const char *const cgroup_progs[] = { "from4", "from6", NULL };
static const char *const no_progs[] = { NULL };

static const char *const *senders(const struct capture *c, enum capture_rung rung)
{
	if (rung != CAPTURE_RUNG_SOCKLEN)
		return no_progs;
	if (c->features[FEATURE_FUNC_EXIT].present)
		return sender_progs;
	return c->features[FEATURE_CGROUP_RECVMSG].present ? cgroup_progs : no_progs;
}

/* One attempt: everything or nothing. */
static int try_load(struct capture *c, enum capture_rung rung, enum capture_read read)
{
	struct bpf_object *obj = NULL;
	int r = open_object(c, read, &obj);

	if (!r)
		r = select_progs(obj, rung_table[rung].progs);
	if (!r)
		r = select_progs(obj, state_progs(c));
	if (!r && c->features[FEATURE_ITER_TASK_FILE].present)
		r = select_progs(obj, (const char *const[]){ "walk_files", NULL });
	if (!r)
		r = select_progs(obj, senders(c, rung));
	if (!r && c->cfg.flags & CFG_F_UNIX)
		r = select_progs(obj, (const char *const[]){ "sweep_conns", NULL });
	if (!r)
		r = size_maps(c, obj);
	if (!r)
		r = bpf_object__load(obj);
	if (r) {
		why_add(c, "%s/%s: %s\n", capture_rung_name(rung), capture_read_name(read),
			strerror(-r));
		bpf_object__close(obj);
		return r;
	}
	c->obj = obj;
	c->rung = rung;
	c->read = read;
	return 0;
}

static bool rung_possible(struct capture *c, enum capture_rung rung)
{
	for (enum feature f = 0; f < _FEATURE_MAX; f++) {
		if (!(rung_table[rung].needs & (1u << f)) || c->features[f].present)
			continue;
		why_add(c, "%s: no %s (%s)\n", rung_table[rung].name, feature_name(f),
			c->features[f].err ? strerror(c->features[f].err) : "absent");
		return false;
	}
	return true;
}

static bool read_possible(const struct capture *c, enum capture_read read)
{
	return c->features[read == CAPTURE_READ_BTF ? FEATURE_RDONLY_CAST : FEATURE_PROBE_READ]
		.present;
}

static int load_best(struct capture *c)
{
	int r = -ENOTSUP;

	for (enum capture_rung rung = CAPTURE_RUNG_SOCKLEN; rung < _CAPTURE_RUNG_MAX; rung++) {
		if ((c->opts.rung && c->opts.rung != rung) || !rung_possible(c, rung))
			continue;
		for (enum capture_read read = CAPTURE_READ_BTF; read < _CAPTURE_READ_MAX; read++) {
			if (c->opts.read && c->opts.read != read)
				continue;
			if (!(rung_table[rung].reads & (1u << read)) || !read_possible(c, read)) {
				why_add(c, "%s/%s: this kernel cannot be read that way\n",
					capture_rung_name(rung), capture_read_name(read));
				continue;
			}
			r = try_load(c, rung, read);
			if (r == 0)
				return 0;
		}
	}
	return r;
}

/* The same without UNIX sockets when the kernel takes it only so. */
static int load_somehow(struct capture *c)
{
	bool possible = c->features[FEATURE_ITER_MAP_ELEM].present;
	int r;

	if (c->opts.unix_sockets && !possible)
		why_add(c, "unixSockets: no %s\n", feature_name(FEATURE_ITER_MAP_ELEM));
	if (c->opts.unix_sockets && possible) {
		c->cfg.flags |= CFG_F_UNIX;
		r = load_best(c);
		if (r != -ENOENT && r != -EINVAL && r != -EACCES && r != -E2BIG)
			return r;
		why_add(c, "once more without unixSockets\n");
		c->cfg.flags &= ~CFG_F_UNIX;
	}
	return load_best(c);
}

static int map_fd(const struct capture *c, const char *name)
{
	return bpf_object__find_map_fd_by_name(c->obj, name);
}

static int tell_self(const struct capture *c)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(map_fd(c, "self_tasks"), &zero, &c->self, BPF_ANY) ? -errno : 0;
}

static int prefill(struct capture *c)
{
	int fd = map_fd(c, "free_slots");

	for (uint32_t slot = c->opts.conns_max; slot-- > 0;)
		if (bpf_map_update_elem(fd, NULL, &slot, BPF_ANY))
			return -errno;
	return 0;
}

int capture_load(struct capture *c)
{
	int r = fill_cfg(c);

	if (r)
		return r;
	r = libbpf_num_possible_cpus();
	if (r < 0)
		return r;
	c->cpus = (uint32_t)r;
	telling = c;
	libbpf_set_print(on_libbpf);
	features_probe(c->features);
	r = load_somehow(c);
	telling = NULL;
	if (!r)
		r = prefill(c);
	if (!r)
		r = capture_add_self(c, (uint32_t)getpid());
	return r;
}

static int keep_link(struct capture *c, struct bpf_link *link, const char *name)
{
	int r = -errno;

	if (!link) {
		why_add(c, "attach %s: %s\n", name, strerror(-r));
		return r;
	}
	if (c->n_links == LINKS_MAX) {
		bpf_link__destroy(link);
		return -EINVAL;
	}
	c->links[c->n_links++] = link;
	return 0;
}

static int attach_progs(struct capture *c, const char *const *names)
{
	for (size_t i = 0; i < RUNG_PROGS_MAX && names[i]; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(c->obj, names[i]);
		int r = p ? keep_link(c, bpf_program__attach(p), names[i]) : -EINVAL;

		if (r)
			return r;
	}
	return 0;
}

static int attach_rung(struct capture *c)
{
	const struct rung_ops *rung = &rung_table[c->rung];
	struct bpf_program *p;

	if (!rung->tracepoints[0])
		return attach_progs(c, rung->progs);
	p = bpf_object__find_program_by_name(c->obj, rung->progs[0]);
	for (size_t i = 0; i < RUNG_TPS_MAX && rung->tracepoints[i]; i++) {
		const char *name = rung->tracepoints[i];
		int r = p ? keep_link(c, bpf_program__attach_tracepoint(p, "syscalls", name), name)
			  : -EINVAL;

		if (r)
			return r;
	}
	return 0;
}

static void attach_cgroup(struct capture *c)
{
	_cleanup_(closep) int root = cgroup_open_root();

	if (root < 0) {
		why_add(c, "senders of datagrams: no cgroup v2\n");
		return;
	}
	for (size_t i = 0; cgroup_progs[i]; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(c->obj, cgroup_progs[i]);

		if (p)
			(void)keep_link(c, bpf_program__attach_cgroup(p, root), cgroup_progs[i]);
	}
}

/* Without them some datagrams have no sender: no reason to do without the rest. */
static void attach_senders(struct capture *c)
{
	if (capture_needs_net_admin(c))
		attach_cgroup(c);
	else
		(void)attach_progs(c, senders(c, c->rung));
}

static int attach_sweep(struct capture *c)
{
	union bpf_iter_link_info info = { .map.map_fd = (uint32_t)map_fd(c, "conns") };
	struct bpf_iter_attach_opts opts;
	struct bpf_program *p = bpf_object__find_program_by_name(c->obj, "sweep_conns");

	if (!capture_unix_sockets(c))
		return 0;
	/* libbpf wants the bytes behind the last field to be 0 too: no initialiser promises that. */
	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.link_info = &info;
	opts.link_info_len = sizeof(info);
	c->sweep = p ? bpf_program__attach_iter(p, &opts) : NULL;
	if (c->sweep)
		return 0;
	why_add(c, "attach sweep_conns: %s\n", strerror(errno));
	return -errno;
}

/* State first: no transfer is seen before its connection can be; nor any before all hooks are there. */
int capture_attach(struct capture *c)
{
	int r;

	telling = c;
	r = attach_progs(c, state_progs(c));
	if (!r)
		attach_senders(c);
	if (!r)
		r = attach_sweep(c);
	if (!r)
		r = attach_rung(c);
	telling = NULL;
	if (r)
		return r;
	c->self.armed = 1;
	return tell_self(c);
}

/* ret_bytes: of the programs' output. */
static int run_iter(struct bpf_link *link, uint64_t *ret_bytes)
{
	_cleanup_(closep) int fd = bpf_iter_create(bpf_link__fd(link));
	char drop[256];
	ssize_t n;

	*ret_bytes = 0;
	if (fd < 0)
		return fd;
	while ((n = read(fd, drop, sizeof(drop))) != 0) {
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			*ret_bytes += (uint64_t)n;
	}
	return 0;
}

int capture_walk(struct capture *c, uint64_t *ret_found)
{
	struct bpf_program *p = bpf_object__find_program_by_name(c->obj, "walk_files");
	struct bpf_link *link;
	int r;

	*ret_found = 0;
	if (!p || !c->features[FEATURE_ITER_TASK_FILE].present)
		return -ENOTSUP;
	link = bpf_program__attach_iter(p, NULL);
	if (!link)
		return -errno;
	/* The program announces into the control ring; one byte of output stands for one socket. */
	r = run_iter(link, ret_found);
	bpf_link__destroy(link);
	c->self.walked = 1;
	return r ? r : tell_self(c);
}

int capture_sweep(struct capture *c)
{
	uint64_t none;

	return c->sweep ? run_iter(c->sweep, &none) : 0;
}

int capture_add_self(struct capture *c, uint32_t tgid)
{
	for (size_t i = 0; i < CFG_SELF_MAX; i++) {
		if (c->self.tgid[i])
			continue;
		c->self.tgid[i] = tgid;
		return tell_self(c);
	}
	return -ENOSPC;
}

void capture_drop_self(struct capture *c, uint32_t tgid)
{
	uint32_t *list = c->self.tgid;
	size_t n = 0, at = CFG_SELF_MAX;

	for (; n < CFG_SELF_MAX && list[n]; n++)
		if (list[n] == tgid)
			at = n;
	if (at == CFG_SELF_MAX)
		return;
	/* The first 0 ends the list. */
	list[at] = list[n - 1];
	list[n - 1] = 0;
	(void)tell_self(c);
}

int capture_family(struct capture *c, uint32_t tgid)
{
	c->self.family = tgid;
	return tell_self(c);
}

int capture_ctl_ring_fd(const struct capture *c)
{
	return map_fd(c, "ctl_ring");
}

int capture_data_ring_fd(const struct capture *c)
{
	return map_fd(c, "data_ring");
}

uint32_t capture_ctl_ring_bytes(const struct capture *c)
{
	return c->opts.ctl_ring_bytes;
}

uint32_t capture_data_ring_bytes(const struct capture *c)
{
	return c->opts.data_ring_bytes;
}

int capture_conn_ctl_fd(const struct capture *c)
{
	return map_fd(c, "conn_ctl");
}

int capture_counters_fd(const struct capture *c)
{
	return map_fd(c, "bpf_counters");
}

uint32_t capture_ctl_entries(const struct capture *c)
{
	return c->opts.conns_max + EV_DGRAM_SLOTS;
}

uint32_t capture_cpus(const struct capture *c)
{
	return c->cpus;
}

bool capture_unix_sockets(const struct capture *c)
{
	return c->cfg.flags & CFG_F_UNIX;
}

bool capture_needs_net_admin(const struct capture *c)
{
	return senders(c, c->rung) == cgroup_progs;
}

enum capture_rung capture_rung(const struct capture *c)
{
	return c->rung;
}

enum capture_read capture_read(const struct capture *c)
{
	return c->read;
}

/* An mmapable array map is page-aligned at its end, its elements 8-aligned. */
static size_t map_bytes(size_t entries, size_t value)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (entries * ((value + 7) & ~(size_t)7) + page - 1) & ~(page - 1);
}

size_t capture_conn_ctl_map_bytes(const struct capture *c)
{
	return map_bytes(capture_ctl_entries(c), sizeof(struct conn_ctl));
}

size_t capture_counters_map_bytes(const struct capture *c)
{
	return map_bytes(c->cpus, sizeof(struct bpf_counters));
}

static uint64_t missed_by(const struct capture *c, const char *const *names)
{
	uint64_t missed = 0;

	for (size_t i = 0; i < RUNG_PROGS_MAX && names[i]; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(c->obj, names[i]);
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);

		if (p && bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len) == 0)
			missed += info.recursion_misses;
	}
	return missed;
}

struct missed_runs capture_missed_runs(const struct capture *c)
{
	return (struct missed_runs){ missed_by(c, rung_table[c->rung].progs),
				     missed_by(c, state_progs(c)) };
}

void capture_detach(struct capture *c)
{
	for (size_t i = 0; c && i < c->n_links; i++)
		bpf_link__destroy(c->links[i]);
	if (c)
		c->n_links = 0;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	capture_detach(c);
	bpf_link__destroy(c->sweep);
	bpf_object__close(c->obj);
	free(c);
}

#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define RUN_MAX_MS 20000 /* a child that takes longer is killed */

uint8_t pattern(uint64_t pos)
{
	return (uint8_t)(pos * 131 + (pos >> 8) * 29 + (pos >> 16) * 7 + 1);
}

static struct side *side_of(struct harness *h, uint64_t conn)
{
	for (size_t i = h->n_sides; i-- > 0;)
		if (h->sides[i].open.conn == conn)
			return &h->sides[i];
	return NULL;
}

static void on_open(struct harness *h, const struct ev_conn *e)
{
	struct side *s = side_of(h, e->conn);

	if (!s) {
		if (h->n_sides == SIDES_MAX)
			return;
		s = &h->sides[h->n_sides++];
		memset(s, 0, sizeof(*s));
		s->eof[0] = s->eof[1] = UINT64_MAX;
		for (int d = 0; d < 2; d++) {
			s->bytes[d] = calloc(1, STREAM_MAX);
			s->base[d] = s->end[d] = e->pos[d];
		}
	}
	s->open = *e;
	if (e->h.len == sizeof(struct ev_conn_unix))
		for (int i = 0; i < 2; i++)
			memcpy(s->name[i], ((const struct ev_conn_unix *)e)->name[i], EV_NAME_MAX);
	s->opened = e->h.type == EV_CONN_OPEN;
	s->failed = e->h.type == EV_CONN_FAILED;
}

static void on_ctl(struct harness *h, const struct ev_hdr *e)
{
	const struct ev_eof *eof = (const struct ev_eof *)e;
	struct side *s = side_of(h, eof->conn);

	if (e->type == EV_CONN_OPEN || e->type == EV_CONN_FAILED) {
		on_open(h, (const struct ev_conn *)e);
	} else if (e->type == EV_CONN_EOF && s) {
		s->eof[e->flags & EV_F_TX ? EV_TX : EV_RX] = eof->pos;
	} else if (e->type == EV_CONN_CLOSE && s) {
		s->close = *(const struct ev_close *)e;
		s->closed = true;
	}
}

static void on_data(struct harness *h, const struct ev_data *e)
{
	struct side *s = side_of(h, e->conn);
	int d = e->h.flags & EV_F_TX ? EV_TX : EV_RX;

	if (!s) {
		h->unknown++;
		return;
	}
	s->records[d]++;
	s->unordered += !!(e->h.flags & EV_F_UNORDERED);
	s->miss[d][e->h.miss & 15] = 1;
	for (uint64_t i = 0; i < e->orig_len; i++) {
		uint64_t at = e->pos + i - s->base[d];

		if (at >= STREAM_MAX)
			break;
		if (i >= e->cap_len)
			s->bytes[d][at] = BYTE_HOLE;
		else
			s->bytes[d][at] = e->data[i] == pattern(e->pos + i) ? BYTE_CAPTURED
									    : BYTE_WRONG;
	}
	s->end[d] = MAX(s->end[d], e->pos + e->orig_len);
}

void harness_drain(struct harness *h)
{
	const struct ev_hdr *e;
	/* In this order: what the data belongs to has been told before. */
	uint64_t data_end = ring_snapshot(&h->data), ctl_end = ring_snapshot(&h->ctl);
	enum ring_result r;

	while ((r = ring_next(&h->ctl, ctl_end, &e)) != RING_END)
		if (r == RING_RECORD)
			on_ctl(h, e);
	ring_release(&h->ctl);
	while ((r = ring_next(&h->data, data_end, &e)) != RING_END)
		if (r == RING_RECORD && e->type == EV_DGRAM && h->on_dgram)
			h->on_dgram(h, (const struct ev_dgram *)e);
		else if (r == RING_RECORD && e->type == EV_DATA)
			on_data(h, (const struct ev_data *)e);
	ring_release(&h->data);
}

/* A cgroup of our own keeps the rest of the machine out; without cgroup v2 the tests see
 * everything. */
static char own_cgroup[256];

static void cgroup_remove(void)
{
	rmdir(own_cgroup);
}

static const char *cgroup_make(void)
{
	char line[512], dir[200];
	FILE *f;

	if (own_cgroup[0])
		return own_cgroup;
	f = fopen("/proc/self/mounts", "re");
	if (!f)
		return NULL;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "cgroup2 %199s cgroup2", dir) == 1 && !own_cgroup[0])
			snprintf(own_cgroup, sizeof(own_cgroup), "%s/kelpie-test-%d", dir,
				 getpid());
	fclose(f);
	if (own_cgroup[0] && mkdir(own_cgroup, 0755))
		own_cgroup[0] = 0;
	if (own_cgroup[0])
		atexit(cgroup_remove);
	return own_cgroup[0] ? own_cgroup : NULL;
}

static void cgroup_enter(void)
{
	char path[300];
	FILE *f;

	if (!cgroup_make())
		return;
	snprintf(path, sizeof(path), "%s/cgroup.procs", own_cgroup);
	f = fopen(path, "we");
	if (f) {
		fputs("0", f);
		fclose(f);
	}
}

bool harness_sees_all;

int harness_start(struct harness *h, const struct capture_opts *opts)
{
	struct capture_opts scoped = *opts;
	void *p;
	int r;

	memset(h, 0, sizeof(*h));
	scoped.cgroup = harness_sees_all ? NULL : cgroup_make();
	r = capture_new(&scoped, &h->cap);
	if (!r)
		r = capture_load(h->cap);
	if (r) {
		if (h->cap)
			printf("# %s\n", capture_why(h->cap));
		capture_free(h->cap);
		h->cap = NULL;
		return r;
	}
	r = ring_open(&h->ctl, capture_ctl_ring_fd(h->cap), capture_ctl_ring_bytes(h->cap));
	if (!r)
		r = ring_open(&h->data, capture_data_ring_fd(h->cap),
			      capture_data_ring_bytes(h->cap));
	if (r)
		return r;
	p = mmap(NULL, capture_counters_map_bytes(h->cap), PROT_READ, MAP_SHARED,
		 capture_counters_fd(h->cap), 0);
	if (p == MAP_FAILED)
		return -errno;
	h->counters = p;
	p = mmap(NULL, capture_conn_ctl_map_bytes(h->cap), PROT_READ | PROT_WRITE, MAP_SHARED,
		 capture_conn_ctl_fd(h->cap), 0);
	if (p == MAP_FAILED)
		return -errno;
	h->conn_ctl = p;
	return capture_attach(h->cap);
}

static void nap(void)
{
	struct timespec t = { 0, 5 * 1000 * 1000 };

	nanosleep(&t, NULL);
}

pid_t harness_fork(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	cgroup_make();
	pid = fork();
	if (pid == 0) {
		cgroup_enter();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(fn(arg));
	}
	return pid;
}

int harness_run(struct harness *h, int (*fn)(void *arg), void *arg)
{
	int status = -1;
	pid_t pid = harness_fork(fn, arg);
	int ms;

	for (ms = 0; ms < RUN_MAX_MS; ms += 5) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (!h->lazy)
			harness_drain(h);
		if (h->while_running)
			h->while_running(h);
		nap();
	}
	if (ms >= RUN_MAX_MS) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	nap();
	if (!h->lazy)
		harness_drain(h);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void harness_stop(struct harness *h)
{
	if (!h->cap)
		return;
	munmap(h->counters, capture_counters_map_bytes(h->cap));
	munmap(h->conn_ctl, capture_conn_ctl_map_bytes(h->cap));
	ring_close(&h->ctl);
	ring_close(&h->data);
	capture_free(h->cap);
	for (size_t i = 0; i < h->n_sides; i++) {
		free(h->sides[i].bytes[0]);
		free(h->sides[i].bytes[1]);
	}
	memset(h, 0, sizeof(*h));
}

struct side *harness_side(struct harness *h, uint16_t local, uint16_t remote)
{
	for (size_t i = h->n_sides; i-- > 0;)
		if (h->sides[i].open.local_port == local && h->sides[i].open.remote_port == remote)
			return &h->sides[i];
	return NULL;
}

struct side *harness_socket(struct harness *h, uint64_t inode)
{
	for (size_t i = h->n_sides; i-- > 0;)
		if (h->sides[i].open.inode == inode)
			return &h->sides[i];
	return NULL;
}

int side_state(const struct side *s, int dir, uint64_t from, uint64_t to)
{
	int first;

	if (from >= to || from < s->base[dir] || to - s->base[dir] > STREAM_MAX)
		return -1;
	first = s->bytes[dir][from - s->base[dir]];
	for (uint64_t p = from; p < to; p++)
		if (s->bytes[dir][p - s->base[dir]] != first)
			return -1;
	return first;
}

uint64_t harness_counter(const struct harness *h, enum bpf_counter which)
{
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < capture_cpus(h->cap); cpu++)
		sum += __atomic_load_n(&h->counters[cpu].v[which], __ATOMIC_RELAXED);
	return sum;
}

enum { IN, OUT, LOSS };

static const struct {
	const char *name, *unit;
	int kind;
} counter_rows[] = {
#define X(name, unit, kind, intentional) { #name, unit, kind },
	BPF_COUNTERS(X)
#undef X
};

static int64_t balance_now(const struct harness *h, const char *unit)
{
	int64_t sum = 0;

	for (int i = 0; i < _BC_MAX; i++) {
		int64_t v = (int64_t)harness_counter(h, (enum bpf_counter)i);

		/* BC_EV_DATA has no counterpart: it is what the next hop must have received. */
		if (strcmp(counter_rows[i].unit, unit) || i == BC_EV_DATA)
			continue;
		sum += counter_rows[i].kind == IN ? v : -v;
	}
	return sum;
}

/* Programs of other CPUs count the rest of the machine's traffic meanwhile (as out of scope), so a
 * sum that does not close is looked at again. */
int64_t harness_balance(const struct harness *h, const char *unit)
{
	int64_t sum = balance_now(h, unit);

	for (int i = 0; sum && i < 200; i++) {
		usleep(5000);
		sum = balance_now(h, unit);
	}
	return sum;
}

/* The parser process: drains the kernel's rings through the pipeline into the store's queue. The
 * only process that touches hostile bytes, so the one with nothing to give away: no capability, no
 * file, no socket but the pair to the attacher, the few system calls of agent/calls.c.
 */
#include "agent/agent.h"
#include "agent/calls.h"
#include "agent/intruder.h"
#include "agent/ring.h"
#include "agent/sandbox.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/shmring.h"
#include "k8s/entities.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define DRAIN_MS      20 /* between rounds; the kernel wakes nobody for a record */
#define BUSY_DRAIN_MS 2	 /* after a round that found much */
#define BUSY_BYTES    (256 * KIB)
/* While the store has to catch up: with less room in the queue of rows the rest stays in the rings. */
/* A record of 24 KiB may hold the answers of thousands of pipelined commands. */
#define CROWDED_BYTES	(ROW_RING_BYTES / 2)
#define CROWDED_MS	1
#define CROWDED_LOOKS	32		   /* records between two looks at the room, */
#define CROWDED_ROWS	256		   /* or so many rows */
#define BEHIND_BYTES	(1 * MIB)	   /* in the ring: who is so far behind is not polite */
#define STORE_WAIT_NS	(2 * NSEC_PER_SEC) /* then rows are lost instead */
#define REST_NS		(1 * NSEC_PER_SEC)
#define IDLE_REQUEST_NS (300 * NSEC_PER_SEC)
/* Of one round, in Kubernetes: a process is known before its first row, unless the attacher has much else to
 * do. Elsewhere nothing waits: a large message fills its window in less. */
#define PATIENCE_NS (4 * NSEC_PER_MSEC)

struct parser {
	const struct parser_args *args;
	struct ledger *ledger;
	struct ring data, ctl;
	struct shmring rows;
	struct pipeline *pipe;
	int wait_fd;	    /* epoll: the attacher's messages, and the rings where they fill up */
	uint64_t opens_pos; /* of the control ring: opens before it were given to the pipeline */
	uint64_t opens_counted; /* the same of the parser process before this one */
	uint64_t crowded_ns;	/* since when the queue of rows is, boot time; 0: it is not */
	uint32_t asked;		/* who processes are, and not answered yet */
	uint64_t patience_ns;	/* for answers, what is left of it in this round */
	uint64_t rested_ns;	/* when memory was last given back, boot time */
	uint64_t heap_ns;	/* of heap_rest() */
	uint32_t snapshot_done;
	bool stop;
};

static void *out_reserve(void *ctx, uint32_t n)
{
	return shmring_reserve(&((struct parser *)ctx)->rows, n);
}

static void out_commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	shmring_commit(&((struct parser *)ctx)->rows, type, n);
}

static void out_publish(void *ctx)
{
	shmring_publish(&((struct parser *)ctx)->rows);
}

static void out_want_proc(void *ctx, uint32_t tgid, uint64_t cgroup)
{
	struct parser *ps = ctx;
	struct agent_msg m = { .type = MSG_WANT_PROC };

	m.proc.tgid = tgid;
	m.proc.cgroup = cgroup;
	/* When the attacher does not keep up the name stays unknown; the pid is in the row. */
	if (send(ps->args->attacher_fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(m))
		ps->asked++;
}

/* ---- what the attacher says ---- */

static void take_message(struct parser *ps, const union agent_any_msg *m, size_t n)
{
	if (n == sizeof(m->pod) && m->type == MSG_POD) {
		pipeline_pod(ps->pipe, &m->pod.pod, m->pod.over);
		return;
	}
	if (n != sizeof(m->msg))
		return;
	if (m->type == MSG_PROC) {
		ps->asked -= ps->asked > 0;
		pipeline_proc(ps->pipe, &m->msg.proc);
	} else if (m->type == MSG_RESYMS) {
		pipeline_resyms(ps->pipe);
	} else if (m->type == MSG_STOP) {
		ps->stop = true;
	}
}

static void take_messages(struct parser *ps)
{
	static union agent_any_msg m;
	ssize_t n;

	while ((n = recv(ps->args->attacher_fd, &m, sizeof(m), MSG_DONTWAIT)) > 0)
		take_message(ps, &m, (size_t)n);
	if (n == 0)
		ps->stop = true; /* the attacher is gone */
}

/* A process that has just appeared is asked about and may be gone before the next round: the rows that
 * follow wait for the answer, not for long. No row is in hand. */
static void await_answers(struct parser *ps)
{
	struct pollfd attacher = { .fd = ps->args->attacher_fd, .events = POLLIN };
	uint64_t from = clock_boot_ns(), spent = 0;

	while (ps->asked && spent < ps->patience_ns && !ps->stop) {
		(void)poll(&attacher, 1, 1);
		take_messages(ps);
		spent = clock_boot_ns() - from;
	}
	ps->patience_ns -= MIN(spent, ps->patience_ns);
	if (!ps->patience_ns)
		ps->asked = 0; /* they come later, or never */
}

/* ---- rounds ---- */

/* Whether what there is to read is better left in the rings for now: its rows would find no room. A
 * store that does not come back is not waited for: then rows are lost, and counted. */
static bool crowded(struct parser *ps)
{
	if (shmring_room(&ps->rows) >= CROWDED_BYTES) {
		ps->crowded_ns = 0;
		return false;
	}
	if (!ps->crowded_ns)
		ps->crowded_ns = clock_boot_ns();
	return clock_boot_ns() - ps->crowded_ns < STORE_WAIT_NS;
}

/* The services that this machine is for wake up all the time, and a scheduler may let whom it runs go
 * on for a millisecond or more before it gives them the CPU: they are asked every few records. */
static void let_others(const struct parser *ps, uint64_t until)
{
	if (until - ps->data.pos < BEHIND_BYTES)
		sched_yield();
}

/* What comes after the data of a round: a connect that failed too, as the answer that named its address
 * is data. */
static bool is_end(const struct ev_hdr *h)
{
	return h->type == EV_CONN_EOF || h->type == EV_CONN_CLOSE || h->type == EV_CONN_FAILED;
}

/* The opens that are there, without taking the ends among them. */
static void take_opens(struct parser *ps)
{
	uint64_t until = ring_snapshot(&ps->ctl);
	const struct ev_hdr *h;
	enum ring_result r;
	bool again;

	ring_rewind(&ps->ctl, ps->opens_pos);
	for (;;) {
		again = ps->ctl.pos < ps->opens_counted;
		r = ring_next(&ps->ctl, until, &h);
		if (r == RING_END)
			break;
		if (r == RING_INVALID && !again)
			pipeline_invalid(ps->pipe);
		if (r == RING_INVALID || is_end(h))
			continue;
		if (again)
			pipeline_reopen(ps->pipe, h);
		else
			pipeline_event(ps->pipe, h);
	}
	ps->opens_pos = ps->ctl.pos;
	await_answers(ps);
}

/* The ends before `until`, each of which may make rows of OPEN_MAX exchanges. False: not all of them. */
static bool take_ends(struct parser *ps, uint64_t until)
{
	const struct ev_hdr *h;
	enum ring_result r;

	while (!crowded(ps)) {
		r = ring_next(&ps->ctl, until, &h);
		if (r == RING_END)
			return true;
		if (r == RING_RECORD && is_end(h))
			pipeline_event(ps->pipe, h);
	}
	return false;
}

/* The data before `until`. False: not all of it. */
static bool take_data(struct parser *ps, uint64_t until)
{
	uint64_t rows = pipeline_rows(ps->pipe);
	const struct ev_hdr *h;
	enum ring_result r;

	for (size_t n = 0;; n++) {
		if (n % CROWDED_LOOKS == 0 || pipeline_rows(ps->pipe) - rows > CROWDED_ROWS) {
			if (crowded(ps))
				return false;
			if (n)
				let_others(ps, until);
			rows = pipeline_rows(ps->pipe);
		}
		r = ring_next(&ps->data, until, &h);
		if (r == RING_END)
			return true;
		if (r == RING_INVALID) {
			pipeline_invalid(ps->pipe);
			continue;
		}
		/* Opened after the snapshot: its record is there by now. */
		if (h->type == EV_DATA &&
		    !pipeline_knows(ps->pipe, ((const struct ev_data *)(const void *)h)->conn))
			take_opens(ps);
		if (h->type == EV_DGRAM) {
			pipeline_expect(ps->pipe, (const void *)h);
			await_answers(ps);
		}
		pipeline_event(ps->pipe, h);
	}
}

/* How long to wait after a round that took so many bytes of records, milliseconds. Not longer where there
 * were none: a connection that wakes up may fill its window within the wait. */
static int wait_after(uint64_t taken)
{
	return taken > BUSY_BYTES ? BUSY_DRAIN_MS : DRAIN_MS;
}

/* One round, as agent/bpf/events.h orders it: opens, data, then ends. Where the store has to catch up
 * the rest stays in the rings, the ends behind the data that is left. Returns how long to wait for the
 * next round, milliseconds. */
static int drain(struct parser *ps)
{
	uint64_t ends_from = ps->ctl.pos, ends_until, data_from = ps->data.pos;
	bool all;

	ps->patience_ns = ps->args->entities_fd >= 0 ? PATIENCE_NS : 0;
	take_opens(ps);
	ends_until = ps->opens_pos;
	all = take_data(ps, ring_snapshot(&ps->data));
	ring_rewind(&ps->ctl, ends_from);
	if (!all || !take_ends(ps, ends_until))
		return CROWDED_MS;
	return wait_after(ps->data.pos - data_from + ps->ctl.pos - ends_from);
}

static void round_end(struct parser *ps)
{
	uint32_t wanted = atomic_load_explicit(&ps->ledger->store.snapshot_wanted,
					       memory_order_acquire);
	uint64_t now = clock_boot_ns();

	pipeline_tick(ps->pipe, now, clock_unix_ns());
	pipeline_pause(ps->pipe,
		       atomic_load_explicit(&ps->ledger->store.paused, memory_order_relaxed));
	if (wanted != ps->snapshot_done && pipeline_snapshot(ps->pipe, wanted))
		ps->snapshot_done = wanted;
	pipeline_commit(ps->pipe);
	atomic_store_explicit(&ps->ledger->parser.opens_pos, ps->opens_pos, memory_order_relaxed);
	ring_release(&ps->data);
	ring_release(&ps->ctl);
	atomic_store_explicit(&ps->ledger->parser.beat_ns, now, memory_order_relaxed);
	if (now - ps->rested_ns >= REST_NS) {
		ps->rested_ns = now;
		shmring_rest(&ps->rows);
		heap_rest(&ps->heap_ns, now);
	}
}

/* Gives the store a moment. */
static void rest(void)
{
	(void)poll(NULL, 0, CROWDED_MS);
}

static void run(struct parser *ps)
{
	int timeout = DRAIN_MS;

	/* The clocks first: rows of the first round must know what time it is. */
	pipeline_tick(ps->pipe, clock_boot_ns(), clock_unix_ns());
	while (!ps->stop) {
		struct epoll_event ready[3];

		if (epoll_wait(ps->wait_fd, ready, ARRAY_SIZE(ready), timeout) < 0 &&
		    errno != EINTR)
			break;
		take_messages(ps);
		timeout = drain(ps);
		round_end(ps);
	}
	while (drain(ps) == CROWDED_MS) {
		round_end(ps);
		rest();
	}
	while (!pipeline_stop(ps->pipe, 1))
		while (crowded(ps))
			rest();
	round_end(ps);
}

/* ---- start ---- */

/* A descriptor of a memory file could be mapped again, with more rights than the mapping has. */
static void close_mapped(const struct parser_args *a)
{
	int fds[_LEDGER_WRITERS];

	ledger_fds_of(a->ledger, LEDGER_PARSER, fds);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(a->row_ring_fd);
	close(a->data_ring_fd);
	close(a->ctl_ring_fd);
	close(a->conn_ctl_fd);
	if (a->entities_fd >= 0)
		close(a->entities_fd);
}

/* The rings edge-triggered: a record alone does not wake (the kernel submits it so), but the one
 * that passes a multiple of wake_bytes does. Level-triggered it would be ready whenever it is not
 * empty. */
static int open_wait(struct parser *ps)
{
	struct epoll_event attacher = { .events = EPOLLIN }, ring = { .events = EPOLLIN | EPOLLET };
	_cleanup_(closep) int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, ps->args->attacher_fd, &attacher) < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, ps->args->data_ring_fd, &ring) < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, ps->args->ctl_ring_fd, &ring) < 0)
		return -errno;
	ps->wait_fd = TAKE_FD(fd);
	return 0;
}

static int setup(struct parser *ps)
{
	const struct parser_args *a = ps->args;
	const struct config *cfg = a->cfg;
	struct pipeline_opts opts = {
		.node = cfg->node,
		.epoch = a->epoch,
		.cfg = cfg,
		.id_key = a->id_key,
		.want_headers = cfg->payload.headers,
		.want_bodies = cfg->payload.bodies,
		.want_literals = cfg->payload.sql_literals,
		.body_max_bytes = (uint32_t)MIN(cfg->payload.max_bytes, (uint64_t)16384),
		.idle_timeout_ns = IDLE_REQUEST_NS,
		.simulate_crash = a->simulate && strcmp(a->simulate, "parser-crash") == 0,
		.out = { ps, out_reserve, out_commit, out_publish, out_want_proc },
	};
	void *ctl, *entities = NULL;
	int r;

	ps->ledger = ledger_map(a->ledger, LEDGER_PARSER);
	if (!ps->ledger)
		return -errno;
	r = shmring_open(&ps->rows, a->row_ring_fd, ROW_RING_BYTES);
	if (r < 0 || (r = ring_open(&ps->data, a->data_ring_fd, a->data_ring_bytes)) < 0 ||
	    (r = ring_open(&ps->ctl, a->ctl_ring_fd, a->ctl_ring_bytes)) < 0 ||
	    (r = open_wait(ps)) < 0)
		return r;
	ps->opens_pos = ps->ctl.pos;
	ps->opens_counted = atomic_load(&ps->ledger->parser.opens_pos);
	ctl = mmap(NULL, a->conn_ctl_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, a->conn_ctl_fd, 0);
	if (ctl == MAP_FAILED)
		return -errno;
	if (a->entities_fd >= 0)
		entities = mmap(NULL, k8s_entities_bytes(), PROT_READ, MAP_SHARED, a->entities_fd,
				0);
	if (entities == MAP_FAILED)
		return -errno;
	close_mapped(a);
	opts.entities = entities;
	opts.ctl = ctl;
	opts.n_ctl = a->n_ctl;
	opts.ledger = ps->ledger;
	ps->snapshot_done = atomic_load(&ps->ledger->store.snapshot_wanted);
	ps->pipe = pipeline_new(&opts);
	if (!ps->pipe)
		return -ENOMEM;
	for (size_t i = 0; i < a->n_poison; i++)
		pipeline_poison(ps->pipe, a->poison[i]);
	return 0;
}

int parser_main(const struct parser_args *a)
{
	static struct parser ps;
	struct sandbox box = { .name = "parser", .become = &a->ids, .syscalls = calls_parser };
	struct agent_msg hello = { .type = MSG_READY };
	const char *what = "memory";
	int r;

	log_setup("parser", (enum log_level)a->cfg->log.level, (enum log_format)a->cfg->log.format);
	ps = (struct parser){ .args = a };
	r = setup(&ps);
	if (r == 0)
		r = sandbox_enter(&box, &what);
	if (r < 0) {
		hello.type = MSG_FAILED;
		snprintf(hello.text, sizeof(hello.text), "parser: %s: %s", what, strerror(-r));
	}
	if (send(a->attacher_fd, &hello, sizeof(hello), MSG_NOSIGNAL) < 0 || r < 0)
		return 1;
	if (a->simulate && strcmp(a->simulate, "parser-intruder") == 0)
		intruder_turn(&(struct intruder){ ps.ledger, LEDGER_PARSER, a->attacher,
						  a->cfg->data_dir },
			      atomic_load(&ps.ledger->attacher.parser_restarts));
	run(&ps);
	return 0;
}

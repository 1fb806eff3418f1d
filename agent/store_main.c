/* The store process: takes rows off the parser's queue into storage, answers scans (through the
 * uplink's threads) and live tails. The parser is less trusted: each frame is copied out of the shared
 * ring before it is checked.
 *
 * Threads: this one writes (storage, texts, small tables); the uplink's threads read. `lock` guards
 * what both touch: open connections, processes.
 */
#include "agent/store_int.h"

#include "agent/calls.h"
#include "agent/intruder.h"
#include "agent/sandbox.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ROUND_MS      20
#define IDLE_ROUND_MS 60 /* at most, after rounds that found nothing: each doubles the wait */
#define BUSY_ROUND_MS 1	 /* after a round that found much: the parser waits for room */
#define BUSY_BYTES    (ROW_RING_BYTES / 8)
#define FRAME_MAX     (ROW_MAX + 64)
#define POLITE_FRAMES 64 /* then whoever waits for the CPU may have it, unless much waits for us */
#define TICK_NS	      (200 * NSEC_PER_MSEC)
#define LEDGER_NS     NSEC_PER_SEC /* between looks at what was lost */

static void count(struct store_proc *sp, enum ledger_id id, uint64_t n)
{
	ledger_add(sp->ledger, LEDGER_STORE, id, n);
}

/* ---- frames ---- */

static void on_sym(struct store_proc *sp, struct slice frame)
{
	uint32_t sym;
	struct slice text = slice_from(frame, 4);

	if (frame.n <= 4)
		return;
	memcpy(&sym, frame.p, 4);
	/* The storage bounds numbers, and all texts together. */
	if (text.n <= SYM_TEXT_MAX)
		(void)store_sym(sp->store, sym, text);
}

static void count_rejected(struct store_proc *sp)
{
	count(sp, L8_REJECTED, 1);
	sp->rejected_here++;
}

static void on_row(struct store_proc *sp, const struct row *r)
{
	uint64_t last = atomic_load_explicit(&sp->ledger->store.stored_seq, memory_order_relaxed);

	if (r->hdr->seq <= last && sp->rows.pos <= sp->again_until)
		return; /* a predecessor had it and died before it gave the queue back */
	count(sp, L8_IN, 1);
	if (r->hdr->seq <= last || r->hdr->seq - last > ROWS_AHEAD_MAX) {
		/* No number that an honest parser gives: an id twice, or none left for later rows. */
		count_rejected(sp);
		return;
	}
	atomic_store_explicit(&sp->ledger->store.stored_seq, r->hdr->seq, memory_order_relaxed);
	if (sp->ledger->attacher.simulate_leak_hop == 8 && ++sp->leak % 1000 == 0)
		return;
	(void)store_append(sp->store, r);
	small_add_red(sp, r);
	if (sp->uplink && uplink_has_tails(sp->uplink))
		uplink_tail_row(sp->uplink, r);
}

static void on_frame(struct store_proc *sp, uint32_t type, struct slice frame)
{
	bool has_row = type == PIPE_ROW || type == PIPE_SNAPSHOT || type == PIPE_PROCESS;
	struct row row;

	if (has_row && row_check(frame, &row) < 0) {
		if (type == PIPE_ROW) {
			count(sp, L8_IN, 1);
			count_rejected(sp);
		}
		return;
	}
	switch (type) {
	case PIPE_ROW:
		on_row(sp, &row);
		break;
	case PIPE_SYM:
		on_sym(sp, frame);
		break;
	case PIPE_SYM_RESET:
		store_sym_reset(sp->store);
		break;
	case PIPE_PROCESS:
		small_add_process(sp, &row);
		break;
	case PIPE_SNAPSHOT:
		small_add_open(sp, &row);
		break;
	case PIPE_SNAPSHOT_BEGIN:
		small_begin_open(sp);
		break;
	case PIPE_SNAPSHOT_END:
		if (frame.n == 4)
			small_end_open(sp, frame);
		break;
	default:
		break;
	}
}

/* As the parser's let_others(). */
static void let_others(const struct store_proc *sp)
{
	if (atomic_load_explicit(&sp->polite, memory_order_relaxed))
		sched_yield();
}

static void between(void *ctx)
{
	let_others(ctx);
}

/* How long to wait after a round that took so many bytes of rows, milliseconds. */
static int wait_after(uint64_t taken, int last_ms)
{
	if (taken > BUSY_BYTES)
		return BUSY_ROUND_MS;
	return taken ? ROUND_MS : MIN(MAX(last_ms, ROUND_MS) * 2, IDLE_ROUND_MS);
}

/* What the queue holds, but no more than fits in it: a parser that writes as fast as we read does not
 * keep us from our other work. Returns how many bytes that were. */
static uint64_t take_rows(struct store_proc *sp)
{
	uint64_t from = sp->rows.pos, until = from + ROW_RING_BYTES;
	struct shm_frame f;
	int r = 0;

	while (sp->rows.pos < until && (r = shmring_next(&sp->rows, &f)) > 0) {
		size_t n = MIN(f.payload.n, (size_t)FRAME_MAX);

		memcpy(sp->frame, f.payload.p, n);
		on_frame(sp, f.type, slice_of(sp->frame, n));
		if (++sp->frames % 256 == 0)
			shmring_release(&sp->rows);
		if (sp->frames % POLITE_FRAMES == 0) {
			atomic_store_explicit(&sp->polite, shmring_unread(&sp->rows) < BUSY_BYTES,
					      memory_order_relaxed);
			let_others(sp);
		}
	}
	shmring_release(&sp->rows);
	if (r < 0) {
		log_error("the parser broke the row queue; what it held is lost");
		shmring_reset(&sp->rows);
		return 0;
	}
	return sp->rows.pos - from;
}

/* In the place of one that died: the queue may hold rows with texts that only that one was told. They
 * were told once more behind those rows, up to where the numbers begin anew (pipeline_resyms()). */
static void take_texts(struct store_proc *sp)
{
	uint64_t from = sp->rows.pos;
	struct shm_frame f;

	while (sp->rows.pos - from < ROW_RING_BYTES && shmring_next(&sp->rows, &f) > 0 &&
	       f.type != PIPE_SYM_RESET) {
		size_t n = MIN(f.payload.n, (size_t)FRAME_MAX);

		if (f.type != PIPE_SYM)
			continue;
		memcpy(sp->frame, f.payload.p, n);
		on_sym(sp, slice_of(sp->frame, n));
	}
	sp->rows.pos = from;
}

/* ---- rounds ---- */

static void publish_counters(struct store_proc *sp)
{
	struct store_counters c;
	struct ledger *l = sp->ledger;

	store_counters(sp->store, &c);
	ledger_set(l, LEDGER_STORE, L8_OUT, sp->base_out + c.rows_written);
	ledger_set(l, LEDGER_STORE, L8_HELD, c.rows_held);
	ledger_set(l, LEDGER_STORE, L8_REJECTED,
		   sp->base_rejected + sp->rejected_here + c.rows_rejected);
	ledger_set(l, LEDGER_STORE, L8_DISK, sp->base_disk + c.rows_lost);
	ledger_set(l, LEDGER_STORE, L8_KEPT_IN, c.rows_found + c.rows_written);
	ledger_set(l, LEDGER_STORE, L8_KEPT_HELD, c.rows_stored);
	ledger_set(l, LEDGER_STORE, L8_EXPIRED, c.rows_expired);
	ledger_set(l, LEDGER_STORE, L8_DAMAGED, c.rows_damaged);
}

struct ledger_copy {
	struct epoch_line lines[EPOCH_LINES_MAX];
	size_t n;
};

static void copy_counter(void *ctx, const struct ledger_counter *c, uint64_t value)
{
	struct ledger_copy *to = ctx;
	struct epoch_line *l = &to->lines[to->n];

	if (to->n == EPOCH_LINES_MAX)
		return;
	*l = (struct epoch_line){
		.hop = c->hop, .kind = c->kind, .intentional = c->intentional, .value = value
	};
	snprintf(l->stage, sizeof(l->stage), "%s", c->stage);
	snprintf(l->counter, sizeof(l->counter), "%s", c->counter);
	snprintf(l->unit, sizeof(l->unit), "%s", c->unit);
	to->n++;
}

/* A full disk is the usual reason for a failure: the next look tries again. */
static void keep_ledger(struct store_proc *sp, bool last)
{
	struct ledger_copy copy = { .n = 0 };
	int r;

	store_proc_each_counter(sp, copy_counter, &copy);
	r = store_ledger(sp->store, copy.lines, copy.n, clock_unix_ns(), last);
	if (r < 0 && last)
		log_warn("the ledger of this run could not be written: %s", strerror(-r));
}

static bool stop_wanted(struct store_proc *sp, int timeout_ms)
{
	struct pollfd attacher = { .fd = sp->args->attacher_fd, .events = POLLIN };
	static union agent_any_msg m;
	ssize_t n;

	if (poll(&attacher, 1, timeout_ms) <= 0)
		return false;
	while ((n = recv(sp->args->attacher_fd, &m, sizeof(m), MSG_DONTWAIT)) > 0) {
		if (n == sizeof(m.msg) && m.type == MSG_STOP)
			return true;
		if (n == sizeof(m.pod) && m.type == MSG_POD)
			store_names_pod(sp, &m.pod);
	}
	return n == 0;
}

/* Whoever asked waits for it, and then finds nothing. */
static void purge(struct store_proc *sp)
{
	store_purge(sp->store);
	small_forget_red(sp);
	pthread_mutex_lock(&sp->lock);
	atomic_store(&sp->purge_wanted, false);
	pthread_cond_broadcast(&sp->purged);
	pthread_mutex_unlock(&sp->lock);
}

static void run(struct store_proc *sp)
{
	uint64_t last_tick = 0, last_ledger = 0, last_rest = 0;
	int wait_ms = ROUND_MS;
	bool stop = false;

	take_texts(sp);
	while (!stop) {
		uint64_t now = clock_boot_ns();

		stop = stop_wanted(sp, wait_ms);
		wait_ms = wait_after(take_rows(sp), wait_ms);
		if (atomic_load(&sp->purge_wanted))
			purge(sp);
		if (now - last_tick >= TICK_NS) {
			last_tick = now;
			store_tick(sp->store, clock_unix_ns(), now);
			small_rest(sp, now);
		}
		publish_counters(sp);
		heap_rest(&last_rest, now);
		if (now - last_ledger >= LEDGER_NS) {
			last_ledger = now;
			keep_ledger(sp, false);
		}
	}
	(void)take_rows(sp);
	uplink_stop(sp->uplink);
	store_flush(sp->store);
	publish_counters(sp);
	keep_ledger(sp, true);
	store_close(sp->store);
}

/* ---- start ---- */

/* A descriptor of a memory file could be mapped again, with more rights than the mapping has. */
static void close_mapped(const struct store_args *a)
{
	int fds[_LEDGER_WRITERS];

	ledger_fds_of(a->ledger, LEDGER_STORE, fds);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(a->row_ring_fd);
}

static int setup(struct store_proc *sp, char *why, size_t cap)
{
	const struct store_args *a = sp->args;
	int r;

	snprintf(why, cap, "store: shared memory: cannot be mapped");
	sp->frame = aligned_alloc(8, (FRAME_MAX + 7) & ~(size_t)7);
	sp->ledger = ledger_map(a->ledger, LEDGER_STORE);
	if (!sp->frame || !sp->ledger)
		return -ENOMEM;
	r = shmring_open(&sp->rows, a->row_ring_fd, ROW_RING_BYTES);
	if (r < 0)
		return r;
	sp->again_until = sp->rows.pos; /* opened at the writer's position */
	shmring_resume(&sp->rows);
	if (a->bpf_counters_fd >= 0) {
		void *p = mmap(NULL, a->bpf_counters_bytes, PROT_READ, MAP_SHARED,
			       a->bpf_counters_fd, 0);

		if (p == MAP_FAILED)
			return -errno;
		sp->bpf_counters = p;
		close(a->bpf_counters_fd);
	}
	close_mapped(a);
	r = store_names_open(sp);
	if (r < 0)
		return r;
	/* Counters go on where a crashed predecessor stood. */
	sp->base_out = ledger_get(sp->ledger, L8_OUT);
	sp->base_rejected = ledger_get(sp->ledger, L8_REJECTED);
	sp->base_disk = ledger_get(sp->ledger, L8_DISK);
	pthread_mutex_init(&sp->lock, NULL);
	small_init(sp);
	return 0;
}

static int open_store(struct store_proc *sp, char *why, size_t cap)
{
	const struct config *cfg = sp->args->cfg;
	struct store_opts o;
	struct store_diag diag = { 0 };
	int r;

	store_opts_init(&o);
	o.dir = cfg->data_dir;
	o.node = cfg->node;
	o.epoch = sp->args->epoch;
	o.retention_bytes = cfg->retention.bytes;
	o.retention_age_ns = cfg->retention.age_ns;
	o.payload_bytes = cfg->retention.payload_bytes;
	o.between = between;
	o.between_ctx = sp;
	r = store_open(&o, clock_unix_ns(), clock_boot_ns(), &sp->store, &diag);
	if (r < 0)
		snprintf(why, cap, "%.300s", diag.text);
	return r;
}

static int start_uplink(struct store_proc *sp, char *why, size_t cap)
{
	struct uplink_config u = {
		.socket_path = sp->args->collector,
		.node = sp->args->cfg->node,
		.epoch = sp->args->epoch,
		.source = &sp->source,
		.ops = &store_uplink_ops,
		.ctx = sp,
	};
	int r = sp->args->collector ? uplink_start(&u, &sp->uplink) : 0;

	if (r < 0)
		snprintf(why, cap, "store: cannot start the stream to the collector: %s",
			 strerror(-r));
	return r;
}

int store_main(const struct store_args *a)
{
	static struct store_proc sp;
	struct sandbox box = { .name = "store",
			       .become = &a->ids,
			       .writable_dir = a->cfg->data_dir,
			       .syscalls = calls_store };
	struct agent_msg hello = { .type = MSG_READY };
	const char *what = "";
	int r;

	log_setup("store", (enum log_level)a->cfg->log.level, (enum log_format)a->cfg->log.format);
	umask(0027);
	sp = (struct store_proc){ .args = a, .source = { store_proc_open_scan } };
	r = setup(&sp, hello.text, sizeof(hello.text));
	if (r == 0) {
		/* The files are opened as the user who will own them: identity first, filter last. */
		struct sandbox identity = { .name = "store",
					    .become = &a->ids,
					    .writable_dir = a->cfg->data_dir };

		r = sandbox_enter(&identity, &what);
		if (r < 0)
			snprintf(hello.text, sizeof(hello.text), "store: %s: %s", what,
				 strerror(-r));
	}
	if (r == 0)
		r = open_store(&sp, hello.text, sizeof(hello.text));
	if (r == 0)
		r = start_uplink(&sp, hello.text, sizeof(hello.text));
	if (r == 0) {
		r = sandbox_filter(&box, &what);
		if (r < 0)
			snprintf(hello.text, sizeof(hello.text), "store: %s: %s", what,
				 strerror(-r));
	}
	if (r < 0)
		hello.type = MSG_FAILED;
	if (send(a->attacher_fd, &hello, sizeof(hello), MSG_NOSIGNAL) < 0 || r < 0)
		return 1;
	if (a->simulate && strcmp(a->simulate, "store-intruder") == 0)
		intruder_turn(&(struct intruder){ sp.ledger, LEDGER_STORE, a->attacher,
						  a->cfg->data_dir },
			      atomic_load(&sp.ledger->attacher.store_restarts));
	run(&sp);
	return 0;
}

/* The store's small tables: ledger, status, processes, open connections. Made when a scan asks. */
#include "agent/store_int.h"

#include "base/clock.h"

#include <errno.h>
#include <time.h>

#define PROCESSES_KEPT	PROCS_MAX
#define LEDGER_ROWS_MAX ((EPOCHS_MAX + 1) * EPOCH_LINES_MAX) /* of this run and earlier ones */
#define OPEN_KEPT_NS	(60 * NSEC_PER_SEC)
#define OPEN_WAIT_MS	1000 /* for the parser's answer to a snapshot request */

void small_init(struct store_proc *sp)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sp->open_ready, &attr);
	pthread_cond_init(&sp->purged, &attr);
	pthread_condattr_destroy(&attr);
	red_init(&sp->red);
	mem_rows_init(&sp->processes, PROCESSES_KEPT);
	mem_rows_init(&sp->open_next, EV_CONNS_MAX);
	mem_rows_init(&sp->open_done, EV_CONNS_MAX);
}

/* The row again with texts instead of their numbers, in sp->copy. */
static void fill_texts(struct store_proc *sp, const struct row *r)
{
	row_begin(&sp->copy, r->hdr->table);
	for (size_t i = 0; i < r->hdr->n_cells; i++) {
		const struct cell *c = &r->cells[i];

		if (c->kind == CELL_INT)
			row_int(&sp->copy, c->col, c->v.i);
		else if (c->kind == CELL_TEXT)
			row_text(&sp->copy, c->col, row_cell_text(r, c));
		else
			row_text(&sp->copy, c->col, store_sym_text(sp->store, (uint32_t)c->v.off));
	}
}

void small_add_process(struct store_proc *sp, const struct row *r)
{
	pthread_mutex_lock(&sp->lock);
	fill_texts(sp, r);
	if (mem_rows_add(&sp->processes, &sp->copy, 0) == -ENOSPC)
		mem_rows_done(&sp->processes); /* the parser forgets them too and tells them anew */
	pthread_mutex_unlock(&sp->lock);
}

void small_begin_open(struct store_proc *sp)
{
	pthread_mutex_lock(&sp->lock);
	mem_rows_done(&sp->open_next);
	pthread_mutex_unlock(&sp->lock);
}

void small_add_open(struct store_proc *sp, const struct row *r)
{
	pthread_mutex_lock(&sp->lock);
	fill_texts(sp, r);
	(void)mem_rows_add(&sp->open_next, &sp->copy, r->hdr->end_ns);
	pthread_mutex_unlock(&sp->lock);
}

void small_end_open(struct store_proc *sp, struct slice number)
{
	struct mem_rows swap;

	pthread_mutex_lock(&sp->lock);
	swap = sp->open_done;
	sp->open_done = sp->open_next;
	sp->open_next = swap;
	mem_rows_done(&sp->open_next);
	memcpy(&sp->open_number, number.p, sizeof(sp->open_number));
	sp->open_done_ns = clock_boot_ns();
	pthread_cond_broadcast(&sp->open_ready);
	pthread_mutex_unlock(&sp->lock);
}

void small_rest(struct store_proc *sp, uint64_t now_ns)
{
	pthread_mutex_lock(&sp->lock);
	if (sp->open_done.n && now_ns > sp->open_done_ns + OPEN_KEPT_NS)
		mem_rows_done(&sp->open_done);
	pthread_mutex_unlock(&sp->lock);
}

/* ---- running seconds ---- */

static struct slice cell_text(const struct store_proc *sp, const struct row *r, uint16_t col)
{
	const struct cell *c = row_find(r, col);

	if (!c || c->kind == CELL_INT)
		return slice_of(NULL, 0);
	return c->kind == CELL_TEXT ? row_cell_text(r, c)
				    : store_sym_text(sp->store, (uint32_t)c->v.off);
}

static int64_t cell_int(const struct row *r, uint16_t col, int64_t absent)
{
	const struct cell *c = row_find(r, col);

	return c && c->kind == CELL_INT ? c->v.i : absent;
}

void small_add_red(struct store_proc *sp, const struct row *r)
{
	const struct table_schema *t = schema_table(r->hdr->table);
	struct red_sample s;

	if (!t || !(t->flags & TABLE_F_EXCHANGES) || cell_int(r, COL_IS_PRIMARY, 0) != 1)
		return;
	s = (struct red_sample){
		.texts = { cell_text(sp, r, COL_SERVER_NAME), cell_text(sp, r, COL_CLIENT_NAME),
			   cell_text(sp, r, COL_PROTOCOL), cell_text(sp, r, COL_METHOD),
			   cell_text(sp, r, COL_RESOURCE) },
		.end_ns = r->hdr->end_ns,
		.latency_ns = cell_int(r, COL_LATENCY_NS, -1),
		.request_bytes = (uint64_t)cell_int(r, COL_REQUEST_BYTES, 0),
		.response_bytes = (uint64_t)cell_int(r, COL_RESPONSE_BYTES, 0),
		.failed = cell_int(r, COL_FAILED, 0) == 1,
		.client_error = cell_int(r, COL_CLIENT_ERROR, 0) == 1,
	};
	pthread_mutex_lock(&sp->lock);
	red_add(&sp->red, &s);
	pthread_mutex_unlock(&sp->lock);
}

void small_forget_red(struct store_proc *sp)
{
	pthread_mutex_lock(&sp->lock);
	red_done(&sp->red);
	red_init(&sp->red);
	pthread_mutex_unlock(&sp->lock);
}

static int running(struct store_proc *sp, const struct scan_plan *plan, struct mem_rows *to)
{
	int r;

	mem_rows_init(to, RED_SLOTS * (RED_KEYS_MAX + 1));
	pthread_mutex_lock(&sp->lock);
	r = red_rows(&sp->red, plan->from_ns, plan->to_ns, sp->args->cfg->node, to);
	pthread_mutex_unlock(&sp->lock);
	return r;
}

/* ---- copies for scans ---- */

static int copy_rows(const struct mem_rows *from, struct mem_rows *to)
{
	mem_rows_init(to, from->max);
	to->rows = calloc(from->n + 1, sizeof(*to->rows));
	if (!to->rows)
		return -ENOMEM;
	to->cap = from->n + 1;
	for (size_t i = 0; i < from->n; i++) {
		struct row_hdr *h = malloc(from->rows[i].bytes->len);

		if (!h)
			return -ENOMEM;
		memcpy(h, from->rows[i].bytes, from->rows[i].bytes->len);
		to->rows[to->n++] = (struct mem_row){ from->rows[i].end_ns, h };
	}
	return 0;
}

static int processes(struct store_proc *sp, struct mem_rows *to)
{
	int r;

	pthread_mutex_lock(&sp->lock);
	r = copy_rows(&sp->processes, to);
	pthread_mutex_unlock(&sp->lock);
	return r;
}

/* Asks the parser which connections are open and waits for its next round. When it is busy or being
 * restarted, the last answer has to do. */
static int open_connections(struct store_proc *sp, struct mem_rows *to)
{
	uint32_t number = atomic_fetch_add(&sp->ledger->store.snapshot_wanted, 1) + 1;
	struct timespec until;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += OPEN_WAIT_MS * (long)NSEC_PER_MSEC;
	until.tv_sec += until.tv_nsec / (long)NSEC_PER_SEC;
	until.tv_nsec %= (long)NSEC_PER_SEC;
	pthread_mutex_lock(&sp->lock);
	while ((int32_t)(sp->open_number - number) < 0)
		if (pthread_cond_timedwait(&sp->open_ready, &sp->lock, &until) != 0)
			break;
	r = copy_rows(&sp->open_done, to);
	pthread_mutex_unlock(&sp->lock);
	return r;
}

/* ---- ledger and status ---- */

struct maker {
	struct store_proc *sp;
	struct mem_rows *to;
	struct row_builder b;
	int err;
};

static void ledger_row(void *ctx, const struct ledger_counter *c, uint64_t value)
{
	static const char *const kinds[] = { "in", "out", "held", "loss" };
	struct maker *m = ctx;
	char epoch[20];
	int r;

	snprintf(epoch, sizeof(epoch), "%llx", (unsigned long long)m->sp->args->epoch);
	row_begin(&m->b, TABLE_LEDGER);
	row_text(&m->b, COL_NODE, slice_str(m->sp->args->cfg->node));
	row_text(&m->b, COL_EPOCH_TEXT, slice_str(epoch));
	row_int(&m->b, COL_HOP, c->hop);
	row_text(&m->b, COL_STAGE, slice_str(c->stage));
	row_text(&m->b, COL_COUNTER, slice_str(c->counter));
	row_text(&m->b, COL_LEDGER_KIND, slice_str(kinds[c->kind]));
	row_int(&m->b, COL_INTENTIONAL, c->intentional);
	row_text(&m->b, COL_UNIT, slice_str(c->unit));
	row_int(&m->b, COL_VALUE, (int64_t)value);
	r = mem_rows_add(m->to, &m->b, 0);
	m->err = m->err ? m->err : r;
}

static int ledger_table(struct store_proc *sp, struct mem_rows *to)
{
	struct maker *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->sp = sp;
	m->to = to;
	mem_rows_init(to, LEDGER_ROWS_MAX);
	err = epochs_rows(store_earlier(sp->store), to);
	store_proc_each_counter(sp, ledger_row, m);
	err = err ? err : m->err;
	free(m);
	return err;
}

static int status_row(struct maker *m, const char *key, const char *fmt, ...) __printf(3, 4);
static int status_row(struct maker *m, const char *key, const char *fmt, ...)
{
	char value[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	row_begin(&m->b, TABLE_STATUS);
	row_text(&m->b, COL_NODE, slice_str(m->sp->args->cfg->node));
	row_text(&m->b, COL_KEY, slice_str(key));
	row_text(&m->b, COL_TEXT_VALUE, slice_str(value));
	return mem_rows_add(m->to, &m->b, 0);
}

static int status_table(struct store_proc *sp, struct mem_rows *to)
{
	struct maker *m = calloc(1, sizeof(*m));
	struct store_kubernetes k;
	struct store_counters c;
	int r = 0;

	if (!m)
		return -ENOMEM;
	m->sp = sp;
	m->to = to;
	mem_rows_init(to, 256);
	store_counters(sp->store, &c);
	r = r ?: status_row(m, "version", "%s", KELPIE_VERSION);
	r = r ?: status_row(m, "epoch", "%llx", (unsigned long long)sp->args->epoch);
	r = r ?: status_row(m, "capture", "%s", sp->args->rung);
	r = r
		    ?: status_row(m, "parser_restarts", "%u",
				  atomic_load(&sp->ledger->attacher.parser_restarts));
	r = r
		    ?: status_row(m, "store_restarts", "%u",
				  atomic_load(&sp->ledger->attacher.store_restarts));
	r = r ?: status_row(m, "paused", "%u", atomic_load(&sp->ledger->store.paused));
	store_names_state(sp, &k);
	r = r ?: status_row(m, "kubernetes", "%s", k.state);
	r = r ?: status_row(m, "kubernetes_pods", "%u", k.pods);
	r = r ?: status_row(m, "kubernetes_message", "%s", k.why);
	r = r ?: status_row(m, "rows_stored", "%llu", (unsigned long long)c.rows_stored);
	r = r ?: status_row(m, "disk_bytes", "%llu", (unsigned long long)c.bytes_disk);
	r = r ?: status_row(m, "disk_full", "%u", c.disk_full);
	r = r ?: status_row(m, "files", "%llu", (unsigned long long)c.files);
	r = r ?: status_row(m, "files_bad", "%llu", (unsigned long long)c.files_bad);
	r = r ?: status_row(m, "segments_bad", "%llu", (unsigned long long)c.segments_bad);
	r = r ?: status_row(m, "clock_jumps", "%llu", (unsigned long long)c.clock_jumps);
	free(m);
	return r;
}

/* ---- the source ---- */

int store_proc_open_scan(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct store_proc *sp = container_of(src, struct store_proc, source);
	struct scan_source *stored = store_source(sp->store);
	struct mem_rows rows = { 0 };
	struct scan *open = NULL, *closed = NULL;
	int r = scan_plan_check(plan);

	if (r < 0)
		return r;
	switch (plan->table) {
	case TABLE_PROCESSES:
		r = processes(sp, &rows);
		break;
	case TABLE_LEDGER:
		r = ledger_table(sp, &rows);
		break;
	case TABLE_STATUS:
		r = status_table(sp, &rows);
		break;
	case TABLE_RED:
		r = running(sp, plan, &rows);
		break;
	case TABLE_CONNECTIONS:
		r = open_connections(sp, &rows);
		break;
	default:
		return stored->open(stored, plan, ret);
	}
	if (r < 0) {
		mem_rows_done(&rows);
		return r;
	}
	r = memscan_open(&rows, plan, &open);
	if (r < 0 || plan->table != TABLE_CONNECTIONS) {
		*ret = open;
		return r;
	}
	r = stored->open(stored, plan, &closed);
	if (r < 0) {
		scan_close(open);
		return r;
	}
	/* Open connections are the newest. */
	return plan->newest_first ? concat_scan_open(open, closed, ret)
				  : concat_scan_open(closed, open, ret);
}

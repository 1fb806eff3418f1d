/* Answers to the collector's questions about the agent itself: status, control, how far data
 * reaches. */
#include "agent/budget.h"
#include "agent/store_int.h"

#include <errno.h>

#define SPANS_MAX    512 /* of earlier runs, in one answer */
#define PURGE_WAIT_S 8	 /* the collector waits for 10 */

uint64_t store_proc_bpf_counter(const struct store_proc *sp, enum bpf_counter id)
{
	uint64_t sum = 0;

	for (size_t cpu = 0; sp->bpf_counters && cpu < sp->args->n_cpus; cpu++)
		sum += __atomic_load_n(&sp->bpf_counters[cpu].v[id], __ATOMIC_RELAXED);
	return sum;
}

/* Kernel counters that are one side of an account whose other side is counted elsewhere, or that
 * say how many there are rather than what became of them. */
static bool is_account(enum bpf_counter id)
{
	return id != BC_EV_DATA && id != BC_CONNS_OPENED && id != BC_CONNS_CLOSED;
}

void store_proc_each_counter(struct store_proc *sp,
			     void (*fn)(void *ctx, const struct ledger_counter *c, uint64_t value),
			     void *ctx)
{
	/* The step between the hops: what the kernel submitted, what the parser read. */
	static const struct ledger_counter submitted = { 2,	 LEDGER_IN,   0,
							 "ring", "submitted", "records" };
	static const struct ledger_counter read = { 2, LEDGER_OUT, 0, "ring", "read", "records" };

	for (size_t i = 0; sp->bpf_counters && i < _BC_MAX; i++)
		if (is_account((enum bpf_counter)i))
			fn(ctx, &bpf_ledger_counters[i],
			   store_proc_bpf_counter(sp, (enum bpf_counter)i));
	if (sp->bpf_counters) {
		/* Read first: what comes in between counts as still in the ring. */
		fn(ctx, &read, ledger_get(sp->ledger, L2_IN));
		fn(ctx, &submitted,
		   store_proc_bpf_counter(sp, BC_EV_DATA) + store_proc_bpf_counter(sp, BC_D_OUT) +
			   store_proc_bpf_counter(sp, BC_EV_CTL));
	}
	for (size_t i = 0; i < _LEDGER_MAX; i++)
		fn(ctx, &ledger_counters[i], ledger_get(sp->ledger, (enum ledger_id)i));
}

static void status_ledger(void *ctx, const struct ledger_counter *c, uint64_t value)
{
	static const char *const kinds[] = { "in", "out", "held", "loss" };
	struct uplink_ledger_line line = {
		.hop = c->hop,
		.stage = c->stage,
		.counter = c->counter,
		.kind = kinds[c->kind],
		.unit = c->unit,
		.intentional = c->intentional,
		.value = value,
	};

	uplink_status_ledger(ctx, &line);
}

static void unknown_span(struct uplink_status *out, uint64_t from_ns, uint64_t to_ns)
{
	if (from_ns < to_ns)
		uplink_status_span(out, &(struct uplink_span){ from_ns, to_ns, .unknown = true });
}

/* The newest losses that fit; what is older than them is unknown then. */
static void status_earlier(const struct store_proc *sp, struct uplink_status *out)
{
	const struct epochs *e = store_earlier(sp->store);
	uint64_t from_ns = sp->args->epoch;
	size_t left = SPANS_MAX;

	for (size_t i = e->n; i-- > 0;) {
		const struct epoch *one = &e->v[i];

		if (left < one->n_losses + 1)
			break;
		left -= one->n_losses + 1;
		unknown_span(out, one->to_ns, from_ns);
		for (size_t k = 0; k < one->n_losses; k++) {
			const struct epoch_loss *l = &one->losses[k];

			uplink_status_span(out, &(struct uplink_span){ l->from_ns, l->to_ns, false,
								       l->lost.units, l->lost.bytes,
								       l->lost.sampled });
		}
		from_ns = MIN(from_ns, one->from_ns);
	}
	unknown_span(out, 0, from_ns);
}

static void kubernetes_status(const struct store_proc *sp, struct uplink_status *out)
{
	struct store_kubernetes k;

	store_names_state(sp, &k);
	uplink_status_text(out, "kubernetes.state", k.state);
	if (!k.on)
		return;
	uplink_status_int(out, "kubernetes.pods", k.pods);
	uplink_status_int(out, "kubernetes.addresses", k.addresses);
	if (k.why[0])
		uplink_status_text(out, "kubernetes.message", k.why);
}

static void on_status(void *ctx, struct uplink_status *out)
{
	struct store_proc *sp = ctx;
	struct ledger *l = sp->ledger;
	struct store_counters c;

	store_counters(sp->store, &c);
	uplink_status_text(out, "version", KELPIE_VERSION);
	uplink_status_text(out, "capture.rung", sp->args->rung);
	uplink_status_bool(out, "capture.paused", atomic_load(&l->store.paused));
	kubernetes_status(sp, out);
	uplink_status_int(out, "watched.connections", (int64_t)ledger_get(l, L3_CONN_HELD));
	uplink_status_int(out, "watched.open_requests", (int64_t)ledger_get(l, L6_HELD));
	uplink_status_int(out, "restarts.parser", atomic_load(&l->attacher.parser_restarts));
	uplink_status_int(out, "restarts.store", atomic_load(&l->attacher.store_restarts));
	uplink_status_int(out, "budget.cpu_millicores", atomic_load(&l->attacher.cpu_millicores));
	uplink_status_int(out, "budget.cpu_millicores_max",
			  (int64_t)sp->args->cfg->capture.budget_millicores);
	uplink_status_int(out, "budget.one_connection_in",
			  INT64_C(1) << MIN(atomic_load(&l->attacher.sample_shift),
					    (uint32_t)BUDGET_SHIFT_MAX));
	uplink_status_int(out, "budget.connections_left_out", (int64_t)ledger_get(l, L3_SAMPLED));
	uplink_status_int(out, "storage.rows", (int64_t)c.rows_stored);
	uplink_status_int(out, "storage.bytes", (int64_t)c.bytes_disk);
	uplink_status_int(out, "storage.bytes_max", (int64_t)sp->args->cfg->retention.bytes);
	uplink_status_int(out, "storage.files", (int64_t)c.files);
	uplink_status_int(out, "storage.files_bad", (int64_t)c.files_bad);
	uplink_status_bool(out, "storage.disk_full", c.disk_full);
	uplink_status_int(out, "storage.oldest_ns", (int64_t)c.oldest_ns);
	uplink_status_int(out, "storage.newest_ns", (int64_t)c.newest_ns);
	store_proc_each_counter(sp, status_ledger, out);
	status_earlier(sp, out);
}

/* Done by the writer; 0 when nothing of what was stored is left. */
static int purge(struct store_proc *sp, char *message, size_t cap)
{
	struct timespec until;
	bool done;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PURGE_WAIT_S;
	pthread_mutex_lock(&sp->lock);
	atomic_store(&sp->purge_wanted, true);
	while (atomic_load(&sp->purge_wanted) &&
	       pthread_cond_timedwait(&sp->purged, &sp->lock, &until) == 0)
		;
	done = !atomic_load(&sp->purge_wanted);
	pthread_mutex_unlock(&sp->lock);
	snprintf(message, cap, done ? "stored rows are deleted" : "stored rows are being deleted");
	return done ? 0 : -ETIMEDOUT;
}

static int on_control(void *ctx, enum uplink_verb verb, char *message, size_t cap)
{
	struct store_proc *sp = ctx;

	switch (verb) {
	case UPLINK_PAUSE:
	case UPLINK_RESUME:
		atomic_store(&sp->ledger->store.paused, verb == UPLINK_PAUSE);
		snprintf(message, cap, "capture %s", verb == UPLINK_PAUSE ? "paused" : "resumed");
		return 0;
	case UPLINK_PURGE:
		return purge(sp, message, cap);
	}
	snprintf(message, cap, "unknown request");
	return -ENOTSUP;
}

static void on_table_range(void *ctx, uint16_t table, uint64_t *ret_oldest_ns,
			   uint64_t *ret_newest_ns)
{
	struct store_proc *sp = ctx;
	struct store_counters c;

	(void)table;
	store_counters(sp->store, &c);
	*ret_oldest_ns = c.oldest_ns;
	*ret_newest_ns = c.newest_ns;
}

static struct slice on_symbol(void *ctx, uint32_t sym)
{
	return store_sym_text(((struct store_proc *)ctx)->store, sym);
}

const struct uplink_ops store_uplink_ops = { on_status, on_control, on_table_range, on_symbol,
					     store_names_cluster };

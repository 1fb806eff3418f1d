/* One plan, asked of all agents: a part for each node, each with its own bounded queue. */
#include "collector/hub_int.h"

#include "base/clock.h"
#include "query/wire.h"

#include <errno.h>

#define CANCEL_POLL_NS (50 * NSEC_PER_MSEC)
#define HEADROOM_BYTES FRAME_MAX_BYTES /* one batch may overdraw the window */

static int ask(struct hub *h, struct hub_part *p, struct slice plan, uint64_t budget_ns)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__Scan scan = KELPIE__SCAN__INIT;
	int err;

	p->id = ++h->next_id;
	err = hashmap_put_ptr(&h->parts, p->id, p);
	if (err < 0)
		return err;
	scan.id = p->id;
	scan.plan.data = (uint8_t *)(uintptr_t)plan.p;
	scan.plan.len = plan.n;
	scan.plan_version = WIRE_VERSION;
	scan.deadline_ms = MAX(budget_ns / NSEC_PER_MSEC, 1UL);
	scan.credit_bytes = HUB_WINDOW_BYTES;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_SCAN;
	m.scan = &scan;
	err = hub_send(h, p->agent, &m);
	if (err < 0)
		hashmap_del(&h->parts, p->id);
	return err;
}

static void start_part(struct hub *h, struct hub_scan *s, struct node *n, struct slice plan,
		       uint64_t budget_ns)
{
	struct hub_part *p = &s->parts[s->n_parts++];

	p->scan = s;
	p->node = n;
	p->agent = n->agent;
	memcpy(p->info.node, n->name, sizeof(p->info.node));
	if (!n->agent)
		p->info.state = HUB_PART_GONE;
	else if (!hub_responds(n->agent, clock_mono_ns()))
		p->info.state = HUB_PART_SILENT;
	else if (ask(h, p, plan, budget_ns) < 0)
		p->info.state = HUB_PART_GONE;
	if (p->info.state != HUB_PART_RUNNING)
		p->agent = NULL;
}

int hub_scan_start(struct hub *h, struct slice plan, uint64_t budget_ns, struct hub_scan **ret)
{
	struct hub_scan *s;
	pthread_condattr_t attr;
	size_t n = 0;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++)
		n += h->nodes[i].used;
	s = calloc(1, sizeof(*s) + n * sizeof(s->parts[0]));
	if (!s) {
		pthread_mutex_unlock(&h->lock);
		return -ENOMEM;
	}
	s->hub = h;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++)
		if (h->nodes[i].used)
			start_part(h, s, &h->nodes[i], plan, budget_ns);
	pthread_mutex_unlock(&h->lock);
	*ret = s;
	return 0;
}

size_t hub_scan_parts(const struct hub_scan *s)
{
	return s->n_parts;
}

static void end_part(struct hub *h, struct hub_part *p, enum hub_part_state state)
{
	p->info.state = state;
	p->agent = NULL;
	hashmap_del(&h->parts, p->id);
	pthread_cond_broadcast(&p->scan->cond);
}

/* The part that a message is about; NULL when it is over or another agent's. */
static struct hub_part *find_part(struct hub *h, const struct agent *a, uint64_t id)
{
	struct hub_part *p = hashmap_get_ptr(&h->parts, id);

	return p && p->agent == a ? p : NULL;
}

int hub_on_batch(struct hub *h, struct agent *a, Kelpie__Batch *b)
{
	struct hub_part *p = find_part(h, a, b->id);

	if (!p)
		return 0;
	if (p->n_bufs == HUB_QUEUE_BUFS ||
	    p->queued_bytes + b->data.len > HUB_WINDOW_BYTES + HEADROOM_BYTES)
		return -EDQUOT; /* sends without credit */
	p->bufs[(p->first + p->n_bufs++) % HUB_QUEUE_BUFS] = (struct hub_buf){ b->data.data,
									       b->data.len };
	p->queued_bytes += b->data.len;
	b->data.data = NULL; /* the part owns the bytes now */
	b->data.len = 0;
	pthread_cond_broadcast(&p->scan->cond);
	return 0;
}

void hub_on_scan_done(struct hub *h, struct agent *a, const Kelpie__ScanDone *d)
{
	struct hub_part *p = find_part(h, a, d->id);

	if (!p)
		return;
	p->info.status = d->status;
	snprintf(p->info.message, sizeof(p->info.message), "%.159s", d->message);
	if (d->coverage) {
		const Kelpie__Coverage *c = d->coverage;

		p->info.coverage = (struct scan_coverage){
			.rows_scanned = c->rows_scanned,
			.rows_matched = c->rows_matched,
			.segments_read = c->segments_read,
			.segments_skipped = c->segments_skipped,
			.segments_bad = c->segments_bad,
			.rows_bad = c->rows_bad,
			.oldest_ns = c->oldest_ns,
			.newest_ns = c->newest_ns,
			.truncated = c->truncated,
		};
	}
	end_part(h, p, HUB_PART_DONE);
}

void hub_scans_agent_gone(struct hub *h, struct agent *a)
{
	struct hub_part *p;

	do { /* no deletion while walking */
		p = NULL;
		for (struct hashmap_entry *e = NULL; !p && (e = hashmap_next(&h->parts, e));) {
			struct hub_part *it = (struct hub_part *)(uintptr_t)e->value;

			if (it->agent == a)
				p = it;
		}
		if (p)
			end_part(h, p, HUB_PART_GONE);
	} while (p);
}

static void give_credit(struct hub *h, struct hub_part *p, size_t bytes)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__Credit credit = KELPIE__CREDIT__INIT;

	if (!p->agent || bytes == 0)
		return;
	credit.id = p->id;
	credit.bytes = bytes;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_CREDIT;
	m.credit = &credit;
	hub_send(h, p->agent, &m);
}

int hub_scan_take(struct hub_scan *s, size_t i, uint64_t until_ns, const atomic_bool *cancel,
		  struct hub_buf *ret)
{
	struct hub *h = s->hub;
	struct hub_part *p = &s->parts[i];
	int have = 0;

	pthread_mutex_lock(&h->lock);
	while (p->n_bufs == 0 && p->info.state == HUB_PART_RUNNING && have == 0) {
		uint64_t now_ns = clock_mono_ns();
		struct timespec until = clock_timespec(MIN(until_ns, now_ns + CANCEL_POLL_NS));

		if (cancel && atomic_load(cancel))
			have = -ECANCELED;
		else if (now_ns >= until_ns)
			have = -ETIME;
		else
			pthread_cond_timedwait(&s->cond, &h->lock, &until);
	}
	if (have == 0 && p->n_bufs > 0) {
		*ret = p->bufs[p->first];
		p->first = (p->first + 1) % HUB_QUEUE_BUFS;
		p->n_bufs--;
		p->queued_bytes -= ret->n;
		give_credit(h, p, ret->n + BATCH_COST_BYTES);
		have = 1;
	}
	pthread_mutex_unlock(&h->lock);
	return have;
}

void hub_scan_info(struct hub_scan *s, size_t i, struct hub_part_info *ret)
{
	pthread_mutex_lock(&s->hub->lock);
	*ret = s->parts[i].info;
	pthread_mutex_unlock(&s->hub->lock);
}

static void cancel_part(struct hub *h, struct hub_part *p)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__Cancel cancel = KELPIE__CANCEL__INIT;

	cancel.id = p->id;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_CANCEL;
	m.cancel = &cancel;
	hub_send(h, p->agent, &m);
	end_part(h, p, HUB_PART_DONE);
}

void hub_scan_end(struct hub_scan *s)
{
	struct hub *h = s->hub;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < s->n_parts; i++) {
		struct hub_part *p = &s->parts[i];

		if (p->info.state == HUB_PART_RUNNING)
			cancel_part(h, p);
		for (; p->n_bufs > 0; p->n_bufs--) {
			free(p->bufs[p->first].p);
			p->first = (p->first + 1) % HUB_QUEUE_BUFS;
		}
	}
	pthread_mutex_unlock(&h->lock);
	pthread_cond_destroy(&s->cond);
	free(s);
}

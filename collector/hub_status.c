/* What agents say of themselves, what they lost and when, and control requests. */
#include "collector/hub_int.h"

#include "base/clock.h"

#include <errno.h>

void hub_ask_status(struct hub *h, struct agent *a, uint64_t now_ns)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__StatusRequest req = KELPIE__STATUS_REQUEST__INIT;

	a->status_asked_ns = now_ns;
	req.id = ++h->next_id;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_STATUS_REQUEST;
	m.status_request = &req;
	hub_send(h, a, &m);
}

static struct losses sum_losses(const Kelpie__Status *s)
{
	struct losses sum = { 0 };

	for (size_t i = 0; i < s->n_ledger; i++) {
		const Kelpie__LedgerLine *l = s->ledger[i];

		if (strcmp(l->kind, "loss") == 0)
			losses_count(&sum, l->counter, l->intentional, l->unit, l->value);
	}
	return sum;
}

/* The two oldest steps become one: the time they name gets coarser, nothing is forgotten. */
static struct loss_step *next_step(struct node *n)
{
	if (n->n_steps == HUB_LOSS_STEPS) {
		struct loss_step *a = &n->steps[0], *b = &n->steps[1];

		b->from_ns = a->from_ns;
		losses_add(&b->grown, &a->grown);
		memmove(&n->steps[0], &n->steps[1], (HUB_LOSS_STEPS - 1) * sizeof(n->steps[0]));
		n->n_steps--;
	}
	return &n->steps[n->n_steps++];
}

static void note_losses(struct node *n, const Kelpie__Status *s, uint64_t unix_ns)
{
	struct losses sum = sum_losses(s), grown = losses_growth(&sum, &n->losses);

	if (losses_any(&grown))
		*next_step(n) = (struct loss_step){
			.from_ns = n->status_unix_ns ? n->status_unix_ns : n->epoch,
			.to_ns = unix_ns,
			.grown = grown,
		};
	n->losses = sum;
}

bool hub_paused(const struct node *n)
{
	const Kelpie__Status *s = n->status ? n->status->status : NULL;

	for (size_t i = 0; s && i < s->n_fields; i++)
		if (s->fields[i]->value_case == KELPIE__STATUS_FIELD__VALUE_FLAG &&
		    strcmp(s->fields[i]->key, "capture.paused") == 0)
			return s->fields[i]->flag;
	return false;
}

int hub_on_status(struct hub *h, struct agent *a, Kelpie__AgentMessage *m)
{
	struct node *n = a->node;
	bool paused = hub_paused(n);
	uint64_t unix_ns = clock_unix_ns();

	if (m->status->n_fields > HUB_STATUS_LINES || m->status->n_ledger > HUB_STATUS_LINES ||
	    m->status->n_earlier > HUB_STATUS_LINES ||
	    kelpie__agent_message__get_packed_size(m) > HUB_STATUS_BYTES)
		return -EDQUOT;
	note_losses(n, m->status, unix_ns);
	if (n->status)
		kelpie__agent_message__free_unpacked(n->status, NULL);
	n->status = m;
	n->status_mono_ns = clock_mono_ns();
	n->status_unix_ns = unix_ns;
	if (paused != hub_paused(n))
		h->covered_told = false;
	pthread_cond_broadcast(&h->changed);
	return 0;
}

/* Whether every agent that answers at all has a status as young as since_ns. */
static bool all_fresh(const struct hub *h, uint64_t since_ns, uint64_t now_ns)
{
	for (const struct agent *a = h->agents; a; a = a->next)
		if (a->node && !a->dead && hub_responds(a, now_ns) &&
		    a->node->status_mono_ns < since_ns)
			return false;
	return true;
}

void hub_status_refresh(struct hub *h, uint64_t max_age_ns, uint64_t until_ns)
{
	uint64_t now_ns = clock_mono_ns(), since_ns = now_ns - MIN(now_ns, max_age_ns);
	struct timespec until = clock_timespec(until_ns);

	pthread_mutex_lock(&h->lock);
	for (struct agent *a = h->agents; a; a = a->next)
		if (a->node && a->node->status_mono_ns < since_ns &&
		    (a->status_asked_ns < since_ns || max_age_ns == 0))
			hub_ask_status(h, a, now_ns);
	while (!all_fresh(h, since_ns, clock_mono_ns()) &&
	       pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
		;
	pthread_mutex_unlock(&h->lock);
}

void hub_each_agent(struct hub *h, void (*fn)(void *ctx, const struct hub_agent_info *info),
		    void *ctx)
{
	uint64_t now_ns = clock_mono_ns();

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++) {
		const struct node *n = &h->nodes[i];
		struct hub_agent_info info = {
			.node = n->name,
			.version = n->version,
			.epoch = n->epoch,
			.connected = n->agent,
			.responding = n->agent && hub_responds(n->agent, now_ns),
			.seen_unix_ns = n->seen_unix_ns,
			.pid = n->pid,
			.status = n->status ? n->status->status : NULL,
		};

		if (n->used)
			fn(ctx, &info);
	}
	pthread_mutex_unlock(&h->lock);
}

static void add_earlier(const Kelpie__Status *s, const struct loss_times *t, struct loss_cover *sum)
{
	for (size_t i = 0; i < s->n_earlier; i++) {
		const Kelpie__LossSpan *l = s->earlier[i];
		uint64_t from_ns = MAX(l->from_ns, t->known_from_ns);
		uint64_t to_ns = MIN(l->to_ns, t->known_to_ns);

		if (l->unknown) {
			if (from_ns < to_ns && !sum->unknown_to_ns) {
				sum->unknown_from_ns = from_ns;
				sum->unknown_to_ns = to_ns;
			}
		} else if (l->to_ns >= t->from_ns && l->from_ns <= t->to_ns) {
			losses_add(&sum->lost, &(struct losses){ l->units, l->bytes, l->sampled });
		}
	}
}

void hub_losses(struct hub *h, const struct loss_times *t, struct loss_cover *ret)
{
	struct loss_cover sum = { 0 };

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++) {
		const struct node *n = &h->nodes[i];

		for (size_t k = 0; n->used && k < n->n_steps; k++) {
			const struct loss_step *s = &n->steps[k];

			if (s->to_ns < t->from_ns || s->from_ns > t->to_ns)
				continue;
			losses_add(&sum.lost, &s->grown);
		}
		if (n->used && n->status)
			add_earlier(n->status->status, t, &sum);
	}
	pthread_mutex_unlock(&h->lock);
	*ret = sum;
}

/* Rows from before its start: then there is a gap of unknown length between two runs. */
static bool kept_from_start(const struct node *n, const Kelpie__Status *s)
{
	for (size_t i = 0; i < s->n_ledger; i++)
		if (strcmp(s->ledger[i]->stage, "retention") == 0 &&
		    strcmp(s->ledger[i]->counter, "expired") == 0 && s->ledger[i]->value > 0)
			return false;
	for (size_t i = 0; i < s->n_fields; i++)
		if (strcmp(s->fields[i]->key, "storage.oldest_ns") == 0 &&
		    s->fields[i]->value_case == KELPIE__STATUS_FIELD__VALUE_NUMBER)
			return s->fields[i]->number == 0 ||
			       (uint64_t)s->fields[i]->number >= n->epoch;
	return false;
}

uint64_t hub_reach(struct hub *h)
{
	uint64_t reach = 0;
	bool known = true;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < HUB_AGENTS_MAX; i++) {
		const struct node *n = &h->nodes[i];

		if (!n->used || !n->agent)
			continue;
		known &= n->status && kept_from_start(n, n->status->status);
		reach = MAX(reach, n->epoch);
	}
	pthread_mutex_unlock(&h->lock);
	return known ? reach : 0;
}

static void answer(struct hub *h, struct hub_call *c, struct agent *a, bool ok, const char *message)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->agents[i] != a)
			continue;
		c->agents[i] = NULL;
		c->waiting--;
		c->results[i].ok = ok;
		snprintf(c->results[i].message, sizeof(c->results[i].message), "%.255s", message);
		pthread_cond_broadcast(&h->changed);
	}
}

void hub_on_control_done(struct hub *h, struct agent *a, const Kelpie__ControlDone *d)
{
	for (size_t i = 0; i < HUB_CONTROLS_MAX; i++)
		if (h->calls[i].used && h->calls[i].id == d->id)
			answer(h, &h->calls[i], a, d->ok, d->message);
}

void hub_calls_agent_gone(struct hub *h, struct agent *a)
{
	for (size_t i = 0; i < HUB_CONTROLS_MAX; i++)
		if (h->calls[i].used)
			answer(h, &h->calls[i], a, false, "the agent went away");
}

static void call_agents(struct hub *h, struct hub_call *c, Kelpie__ControlVerb verb, size_t max)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__Control req = KELPIE__CONTROL__INIT;

	c->id = req.id = ++h->next_id;
	req.verb = verb;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_CONTROL;
	m.control = &req;
	for (struct agent *a = h->agents; a && c->n < MIN(max, (size_t)HUB_AGENTS_MAX);
	     a = a->next) {
		struct hub_control_result *r = &c->results[c->n];

		if (!a->node || a->dead || a->node->agent != a)
			continue;
		*r = (struct hub_control_result){ .ok = false };
		memcpy(r->node, a->node->name, sizeof(r->node));
		snprintf(r->message, sizeof(r->message), "no answer in time");
		if (hub_send(h, a, &m) == 0) {
			c->agents[c->n] = a;
			c->waiting++;
		}
		c->n++;
	}
}

int hub_control(struct hub *h, Kelpie__ControlVerb verb, uint64_t until_ns,
		struct hub_control_result *ret, size_t max)
{
	struct timespec until = clock_timespec(until_ns);
	struct hub_call *c = NULL;
	int n = -EBUSY;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < HUB_CONTROLS_MAX && !c; i++)
		if (!h->calls[i].used)
			c = &h->calls[i];
	if (c) {
		*c = (struct hub_call){ .used = true, .results = ret };
		call_agents(h, c, verb, max);
		while (c->waiting > 0 && pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
			;
		n = c->n ? (int)c->n : -ENOTCONN;
		c->used = false;
	}
	pthread_mutex_unlock(&h->lock);
	return n;
}

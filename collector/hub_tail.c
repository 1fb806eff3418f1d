/* Live subscriptions over all agents. */
#include "collector/hub_int.h"

#include <errno.h>

static void send_start(struct hub *h, struct hub_tail *t, struct agent *a)
{
	hub_send(h, a, t->msg);
}

/* A deep copy, by way of the wire. */
static Kelpie__CollectorMessage *copy_start(const Kelpie__TailStart *start, uint64_t id)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT, *copy;
	Kelpie__TailStart named = *start;
	uint8_t *bytes;
	size_t n;

	named.id = id;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_TAIL_START;
	m.tail_start = &named;
	n = kelpie__collector_message__get_packed_size(&m);
	bytes = malloc(n);
	if (!bytes)
		return NULL;
	kelpie__collector_message__pack(&m, bytes);
	copy = kelpie__collector_message__unpack(NULL, n, bytes);
	free(bytes);
	return copy;
}

int hub_tail_start(struct hub *h, const Kelpie__TailStart *start, const struct hub_tail_ops *ops,
		   void *ctx, struct hub_tail **ret)
{
	struct hub_tail *t = calloc(1, sizeof(*t));
	int err = 0;

	if (!t)
		return -ENOMEM;
	pthread_mutex_lock(&h->lock);
	t->hub = h;
	t->id = ++h->next_id;
	t->ops = *ops;
	t->ctx = ctx;
	t->msg = copy_start(start, t->id);
	if (!t->msg)
		err = -ENOMEM;
	else if (h->n_tails == HUB_TAILS_MAX)
		err = -EBUSY;
	if (err == 0) {
		t->next = h->tails;
		h->tails = t;
		h->n_tails++;
		for (struct agent *a = h->agents; a; a = a->next)
			if (a->node)
				send_start(h, t, a);
	}
	pthread_mutex_unlock(&h->lock);
	if (err < 0) {
		if (t->msg)
			kelpie__collector_message__free_unpacked(t->msg, NULL);
		free(t);
		return err;
	}
	*ret = t;
	return 0;
}

void hub_tail_stop(struct hub_tail *t)
{
	Kelpie__CollectorMessage m = KELPIE__COLLECTOR_MESSAGE__INIT;
	Kelpie__TailStop stop = KELPIE__TAIL_STOP__INIT;
	struct hub *h = t->hub;

	stop.id = t->id;
	m.kind_case = KELPIE__COLLECTOR_MESSAGE__KIND_TAIL_STOP;
	m.tail_stop = &stop;
	pthread_mutex_lock(&h->lock);
	for (struct hub_tail **at = &h->tails; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			h->n_tails--;
			break;
		}
	for (struct agent *a = h->agents; a; a = a->next)
		if (a->node)
			hub_send(h, a, &m);
	pthread_mutex_unlock(&h->lock);
	kelpie__collector_message__free_unpacked(t->msg, NULL);
	free(t);
}

void hub_tails_agent_new(struct hub *h, struct agent *a)
{
	for (struct hub_tail *t = h->tails; t; t = t->next)
		send_start(h, t, a);
}

static struct hub_tail *find_tail(struct hub *h, uint64_t id)
{
	for (struct hub_tail *t = h->tails; t; t = t->next)
		if (t->id == id)
			return t;
	return NULL;
}

void hub_on_tail_rows(struct hub *h, struct agent *a, const Kelpie__TailRows *r)
{
	struct hub_tail *t = find_tail(h, r->id);

	if (t)
		t->ops.rows(t->ctx, a->node->name, r);
}

void hub_on_tail_done(struct hub *h, struct agent *a, const Kelpie__TailDone *d)
{
	struct hub_tail *t = find_tail(h, d->id);

	if (t && d->message[0])
		t->ops.done(t->ctx, a->node->name, d->message);
}

#include "transport/gate_int.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

bool bucket_take(struct bucket *b, uint64_t now_ns, uint64_t burst, uint64_t rate)
{
	/* Longer than it takes to fill is as long as that. */
	uint64_t passed = MIN(now_ns - b->at_ns, burst * NSEC_PER_SEC / rate);

	b->left = MIN(b->left + passed * rate / NSEC_PER_MSEC, burst * 1000);
	b->at_ns = now_ns;
	if (b->left < 1000)
		return false;
	b->left -= 1000;
	return true;
}

struct bucket bucket_full(uint64_t now_ns, uint64_t burst)
{
	return (struct bucket){ now_ns, burst * 1000 };
}

static void publish_open(struct gate *g)
{
	atomic_store(&g->cfg.counts->open, g->guests.n + g->admitted.n);
}

static void list_add(struct list *l, struct visitor *v)
{
	v->prev = l->last;
	v->next = NULL;
	if (l->last)
		l->last->next = v;
	else
		l->first = v;
	l->last = v;
	l->n++;
}

static void list_remove(struct list *l, struct visitor *v)
{
	if (v->prev)
		v->prev->next = v->next;
	else
		l->first = v->next;
	if (v->next)
		v->next->prev = v->prev;
	else
		l->last = v->prev;
	l->n--;
}

static void become_guest(struct visitor *v)
{
	v->guest = true;
	v->guest_since_ns = v->gate->now_ns;
	v->address->guests++;
	list_add(&v->gate->guests, v);
}

static void leave_guests(struct visitor *v)
{
	list_remove(&v->gate->guests, v);
	v->address->guests--;
	v->guest = false;
}

void visitor_gain_call(struct visitor *v)
{
	v->n_bridged++;
	v->was_admitted = true;
	if (!v->guest)
		return;
	leave_guests(v);
	list_add(&v->gate->admitted, v);
}

/* A connection without calls is a guest again. */
void visitor_lose_call(struct visitor *v)
{
	if (--v->n_bridged > 0 || v->h2.over)
		return;
	list_remove(&v->gate->admitted, v);
	become_guest(v);
}

void visitor_end(struct visitor *v)
{
	struct gate_counts *n = v->gate->cfg.counts;

	if (v->h2.over)
		return;
	v->h2.over = true;
	if (v->guest)
		leave_guests(v);
	else
		list_remove(&v->gate->admitted, v);
	for (size_t i = 0; i < GATE_STREAMS_MAX; i++)
		if (v->calls[i].id)
			call_end(&v->calls[i]);
	h2_conn_close(&v->h2);
	gate_count(v->was_admitted ? &n->admitted_ended : &n->guest_ended);
	publish_open(v->gate);
	v->next = v->gate->gone;
	v->gate->gone = v;
}

void visitor_turn(struct visitor *v)
{
	struct gate_counts *n = v->gate->cfg.counts;
	int err = h2_conn_turn(&v->h2);

	if (err == 0 && v->guest && v->h2.bytes_in > GATE_GUEST_BYTES && !v->was_admitted)
		err = -EPROTO;
	if (err == 0)
		return;
	if (err == -EPROTO)
		gate_count(&n->broken);
	else if (!v->h2.handshaken)
		gate_count(&n->bad_handshake);
	visitor_end(v);
}

static void visitor_ready(struct watch *w, uint32_t events)
{
	struct visitor *v = container_of(w, struct visitor, h2.watch);

	(void)events;
	if (!v->h2.over)
		visitor_turn(v);
}

struct visitor *visitor_new(struct gate *g, int fd, struct address *from)
{
	struct visitor *v = calloc(1, sizeof(*v));

	if (!v) {
		close(fd);
		return NULL;
	}
	v->gate = g;
	v->address = from;
	v->frames = bucket_full(g->now_ns, GATE_FRAMES_BURST);
	for (size_t i = 0; i < GATE_STREAMS_MAX; i++)
		call_init(&v->calls[i], v);
	if (h2_conn_open(&v->h2, g->epoll_fd, fd, g->cfg.tls, NULL, visitor_ready) < 0 ||
	    gate_start_session(v) < 0) {
		h2_conn_close(&v->h2);
		free(v);
		return NULL;
	}
	become_guest(v);
	publish_open(g);
	return v;
}

void visitors_bury(struct gate *g)
{
	while (g->gone) {
		struct visitor *v = g->gone;

		g->gone = v->next;
		free(v);
	}
}

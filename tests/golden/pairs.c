#include "tests/golden/pairs.h"

#include "base/text.h"

static struct exchange_spans *find(struct pairs *p, uint64_t key)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->x[i].key == key)
			return &p->x[i];
	if (p->n == PAIRS_MAX)
		return NULL;
	p->x[p->n] = (struct exchange_spans){ .key = key };
	return &p->x[p->n++];
}

static struct slice word(struct slice *s)
{
	struct slice w = slice_head(*s, slice_find(*s, ' '));

	*s = slice_from(*s, w.n + 1);
	return w;
}

/* "request 3 @17", "response 3 end @28 lost" */
static void line_read(struct pairs *p, struct slice l)
{
	struct slice what = word(&l), key = word(&l), place = word(&l);
	bool end = slice_eq_str(place, "end");
	struct exchange_spans *x;
	uint64_t id, off;
	size_t kind;

	if (!slice_eq_str(what, "request") && !slice_eq_str(what, "response"))
		return;
	kind = slice_eq_str(what, "request") ? MSG_REQUEST : MSG_RESPONSE;
	if (end)
		place = word(&l);
	if (parse_u64(key, &id) != 0 || place.n < 2 || place.p[0] != '@' ||
	    parse_u64(slice_from(place, 1), &off) != 0)
		return;
	x = find(p, id);
	if (!x)
		return;
	if (end) {
		x->of[kind].to = off;
	} else {
		x->of[kind].from = off;
		x->begun[kind] = true;
	}
}

void pairs_read(struct pairs *p, struct slice log)
{
	p->n = 0;
	while (log.n > 0) {
		size_t n = slice_find(log, '\n');

		line_read(p, slice_head(log, n));
		log = slice_from(log, n + 1);
	}
}

static bool is_pair(const struct exchange_spans *x)
{
	return x->begun[MSG_REQUEST] && x->begun[MSG_RESPONSE];
}

static bool begins_in(const struct exchange_spans *x, const struct exchange_spans *whole,
		      enum msg_kind kind)
{
	return x->of[kind].from >= whole->of[kind].from &&
	       (x->of[kind].from < whole->of[kind].to || whole->of[kind].to == 0);
}

bool pairs_within(const struct pairs *some, const struct pairs *all, uint64_t *ret_key)
{
	for (size_t i = 0; i < some->n; i++) {
		bool found = !is_pair(&some->x[i]);

		for (size_t k = 0; k < all->n && !found; k++)
			found = is_pair(&all->x[k]) &&
				begins_in(&some->x[i], &all->x[k], MSG_REQUEST) &&
				begins_in(&some->x[i], &all->x[k], MSG_RESPONSE);
		*ret_key = some->x[i].key;
		if (!found)
			return false;
	}
	return true;
}

#include "protocols/pgsql/pgsql.h"
#include "protocols/pgsql/state.h"

/* ---- what both directions do ---- */

enum step believe(struct walk *w, enum pgsql_side side)
{
	switch (pgsql_chain(side, rest(w))) {
	case CHAIN_NO:
		return STEP_LOST;
	case CHAIN_MORE:
		w->half->held_to = w->in->off + w->in->buf.n;
		return STEP_MORE;
	case CHAIN_YES:
		break;
	}
	w->half->lost = false;
	return STEP_GO;
}

enum step header_take(struct walk *w, enum pgsql_side side)
{
	struct half *s = w->half;
	int64_t n;

	if (rest(w).n < PGSQL_HEADER) {
		w->need = PGSQL_HEADER;
		return STEP_MORE;
	}
	n = pgsql_body_length(side, rest(w));
	if (n < 0)
		return STEP_LOST;
	s->tag = rest(w).p[0];
	s->begin = position(w);
	s->body_end = s->begin + PGSQL_HEADER + (uint64_t)n;
	s->body_lost = false;
	w->at += PGSQL_HEADER;
	return STEP_GO;
}

enum step body_skip(struct walk *w)
{
	uint64_t left = w->half->body_end - position(w);

	if (position(w) > w->half->body_end)
		return STEP_LOST; /* more was skipped than asked for */
	if (left <= rest(w).n) {
		w->at += (size_t)left;
		return STEP_GO;
	}
	left -= rest(w).n;
	w->at = w->in->buf.n;
	if (w->in->eof)
		return STEP_MORE;
	w->skip = left;
	return STEP_SKIP;
}

bool answer_none(struct pgsql *g, struct sink *out, uint64_t off, uint32_t flags)
{
	struct flight *f = &g->flight;
	bool waits = flight_head(f).unit >= UNIT_STATEMENT && !f->answered;

	if (waits && g->ans.begun)
		sink_end(out, MSG_RESPONSE, f->first_key, g->ans.end,
			 g->ans.flags | flags | MSG_DEGRADED);
	else if (waits)
		sink_end(out, MSG_RESPONSE, f->first_key, off, flags | MSG_UNANSWERED);
	g->ans = (struct answer){ .fail = g->ans.fail };
	return waits;
}

/* ---- the parser ---- */

static bool is_client(const struct walk *w)
{
	return w->in->dir == (enum dir)w->g->client;
}

static void finish(struct walk *w)
{
	w->at = w->in->buf.n;
	if (is_client(w))
		frontend_finish(w->g, position(w), w->out);
	else
		backend_finish(w->g, position(w), w->out);
}

static void lost(struct walk *w)
{
	if (w->half->lost)
		return;
	if (is_client(w))
		frontend_lost(w->g, position(w), w->out);
	else
		backend_lost(w->g, 0);
}

static struct parse_result conclude(struct walk *w, enum step step)
{
	struct parse_result r = step_result(step, w->in, w->at, w->need);

	if (step == STEP_MORE && w->in->eof)
		finish(w);
	if (step == STEP_LOST)
		lost(w);
	w->g->over |= step == STEP_SWITCH || step == STEP_STOP;
	r.consumed = w->at;
	r.skip = w->skip;
	r.next = w->next;
	r.why = w->why;
	w->half->last = MAX(w->half->last, position(w));
	return r;
}

static struct parse_result pgsql_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct pgsql *g = st;
	struct walk w = { .g = g, .half = &g->half[in->dir], .in = in, .out = out };
	enum step step = STEP_GO;

	if (g->over)
		return (struct parse_result){ .st = PARSE_STOP };
	while (step == STEP_GO)
		step = is_client(&w) ? frontend_step(&w) : backend_step(&w);
	return conclude(&w, step);
}

static void pgsql_init(void *st, enum dir client, bool mid)
{
	struct pgsql *g = st;

	g->client = (uint8_t)client;
	g->login = mid ? LOGIN_DONE : LOGIN_START;
	g->fresh = true;
	g->half[client].phase = mid ? PH_HEAD : PH_OPENING;
	if (!mid)
		return;
	/* Where a call of the client's begins, a request does; what is older is unknown. */
	g->half[dir_other(client)].lost = true;
	flight_lose_requests(&g->flight);
}

static size_t pgsql_resync(const void *st, struct slice buf, enum dir dir)
{
	const struct pgsql *g = st;
	enum pgsql_side side = dir == (enum dir)g->client ? PGSQL_FRONTEND : PGSQL_BACKEND;

	for (size_t i = 0; i < buf.n; i++)
		if (pgsql_chain(side, slice_from(buf, i)) != CHAIN_NO)
			return i;
	return buf.n;
}

static void pgsql_gap(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out)
{
	struct pgsql *g = st;

	if (lost == 0 || g->over)
		return;
	if (dir == (enum dir)g->client)
		frontend_gap(g, off, lost, out);
	else
		backend_gap(g, off, lost);
	g->half[dir].last = off + lost;
}

static void pgsql_close(void *st, struct sink *out)
{
	struct pgsql *g = st;

	frontend_finish(g, g->half[g->client].last, out);
	backend_finish(g, g->half[1 - g->client].last, out);
	g->over = true;
}

const struct proto_ops pgsql_ops = {
	.id = PROTO_PGSQL,
	.name = "pgsql",
	.flags = PROTO_F_GAP_OK,
	.state_size = sizeof(struct pgsql),
	.max_need = PGSQL_NEED_MAX,
	.probe = pgsql_probe_opening,
	.init = pgsql_init,
	.parse = pgsql_parse,
	.resync = pgsql_resync,
	.gap = pgsql_gap,
	.close = pgsql_close,
};

/* The client's direction: messages become requests.
 *
 *	HEAD -> (TARGET) -> (NAME -> (NAME2)) -> JOIN -> (TEXT) -> REST -> HEAD	extended protocol
 *	HEAD -> QUERY -> HEAD		HEAD -> REST -> HEAD
 *
 * Texts are streamed, whatever their length. In each call at most one request ends; where two would
 * (a group that another message closes), the message waits for the next call.
 */
#include "protocols/pgsql/state.h"

/* COPY data is all there, or the client gives up. */
static enum step copy_done(struct walk *w)
{
	struct pgsql *g = w->g;

	g->copy_sent = g->req.held && !g->copy_in;
	g->copy_in = false;
	if (!g->req.held)
		return STEP_GO;
	req_end(g, w->out, position(w), 0);
	return STEP_ENDED;
}

/* The message's last byte has passed. */
static enum step message_done(struct walk *w)
{
	struct pgsql *g = w->g;

	w->half->phase = PH_HEAD;
	w->half->edge = position(w);
	switch (w->half->tag) {
	case 'P':
	case 'B':
	case 'D':
		g->req.end = position(w);
		return STEP_GO;
	case 'E':
		return req_whole(w) ? STEP_ENDED : STEP_GO;
	case 'C':
		req_end(g, w->out, position(w), 0);
		return STEP_ENDED;
	case 'Q':
	case 'F':
		req_end(g, w->out, position(w), 0);
		if (w->half->tag == 'Q') /* bytes of it were lost, perhaps of several statements */
			flight_lose_requests(&g->flight);
		flight_barrier(&g->flight);
		g->fresh = true;
		return STEP_ENDED;
	case 'S':
		if (!g->copy_in)
			flight_barrier(&g->flight);
		g->fresh = true;
		return STEP_GO;
	case 'd':
		g->req.copied += g->req.held ? w->half->body_end - w->half->begin - PGSQL_HEADER
					     : 0;
		return STEP_GO;
	case 'c':
	case 'f':
		return copy_done(w);
	default:
		return STEP_GO;
	}
}

static enum step phase_rest(struct walk *w)
{
	enum step step = body_skip(w);

	return step == STEP_GO ? message_done(w) : step;
}

static void call_begin(struct walk *w)
{
	req_begin(w, UNIT_CALL, w->half->begin);
	sink_field(w->out, MSG_REQUEST, w->g->req.key, FIELD_COMMAND, SLICE_LIT("FUNCTION CALL"));
	w->half->phase = PH_REST;
}

static enum step phase_head(struct walk *w)
{
	struct pgsql *g = w->g;
	struct half *s = w->half;
	enum step step = STEP_GO;

	if (rest(w).n == 0)
		return STEP_MORE;
	if (s->lost)
		step = believe(w, PGSQL_FRONTEND);
	if (step != STEP_GO)
		return step;
	if (is_one_of(rest(w).p[0], "QF")) {
		step = req_admit(w, true);
	} else if (is_one_of(rest(w).p[0], "SHX") && g->req.open && !g->req.held) {
		req_end(g, w->out, g->req.end, 0);
		step = STEP_ENDED;
	}
	if (step == STEP_GO)
		step = header_take(w, PGSQL_FRONTEND);
	if (step != STEP_GO)
		return step;
	s->phase = PH_REST;
	if (s->tag == 'Q')
		simple_begin(w);
	else if (s->tag == 'F')
		call_begin(w);
	else if (is_one_of(s->tag, "DCPBE"))
		group_begin(w);
	return STEP_GO;
}

static enum step (*const phases[_PH_MAX])(struct walk *) = {
	[PH_HEAD] = phase_head, [PH_OPENING] = opening_step, [PH_TARGET] = group_step,
	[PH_NAME] = group_step, [PH_NAME2] = group_step,     [PH_JOIN] = group_step,
	[PH_TEXT] = group_step, [PH_QUERY] = simple_step,    [PH_REST] = phase_rest,
};

enum step frontend_step(struct walk *w)
{
	return phases[w->half->phase](w);
}

/* ---- losses and ends ---- */

void frontend_lost(struct pgsql *g, uint64_t off, struct sink *out)
{
	struct half *s = &g->half[g->client];

	if (g->req.open) {
		if (!held_release(g, out))
			req_end(g, out, off, MSG_LOST | MSG_DEGRADED);
	}
	flight_lose_requests(&g->flight);
	if (g->login == LOGIN_START || g->login == LOGIN_ASKED)
		g->login = LOGIN_DONE;
	g->fresh = g->copy_in = g->query.next = false;
	s->phase = PH_HEAD;
	s->lost = true;
}

/* Bytes inside a message are missing, and where it ends is known. */
static void gap_inside(struct pgsql *g, struct sink *out)
{
	struct half *s = &g->half[g->client];

	switch (s->phase) {
	case PH_TARGET:
	case PH_NAME:
	case PH_NAME2:
		g->name_unknown = true;
		g->kind = 'S';
		s->phase = PH_JOIN;
		return;
	case PH_JOIN:
		return;
	case PH_QUERY:
		simple_torn(g, out);
		break;
	default:
		break;
	}
	s->phase = PH_REST;
	if (g->req.open && !g->req.held)
		g->req.flags |= MSG_LOST;
}

void frontend_gap(struct pgsql *g, uint64_t off, uint64_t lost, struct sink *out)
{
	struct half *s = &g->half[g->client];

	if (s->phase > PH_OPENING && off + lost <= s->body_end)
		gap_inside(g, out);
	else
		frontend_lost(g, off, out);
}

bool frontend_finish(struct pgsql *g, uint64_t off, struct sink *out)
{
	bool whole = g->half[g->client].phase == PH_HEAD;

	if (!g->req.open)
		return false;
	/* More could have come that belongs to it. */
	req_end(g, out, whole ? g->req.end : off, MSG_CUT_EOF);
	return true;
}

/* The server's direction: messages become the answers to what is in flight.
 *
 *	HEAD -> (BODY) -> REST -> HEAD
 *
 * answer_admit() decides what a message is before it is taken. In each call at most one message ends,
 * so what a message ends besides itself ends in calls of their own before it.
 */
#include "protocols/pgsql/state.h"

static enum step failed(struct walk *w)
{
	w->g->ans.fail = flight_head(&w->g->flight).unit;
	w->g->copy_in = false;
	return answer_end(w, 0);
}

static enum step replication(struct walk *w)
{
	answer_end(w, MSG_TUNNEL);
	w->why = "replication";
	return STEP_STOP;
}

static void copy_begin(struct pgsql *g, uint8_t tag)
{
	g->ans.copying = true;
	if (tag != 'G')
		return;
	g->copy_in = !g->copy_sent;
	g->copy_sent = false;
	if (flight_head(&g->flight).unit == UNIT_GROUP)
		flight_swallow(&g->flight);
}

static enum step answer_message(struct walk *w)
{
	struct pgsql *g = w->g;
	struct answer *a = &g->ans;
	uint8_t tag = w->half->tag, pending, part;

	answer_begin(w);
	a->end = position(w);
	if (tag == 'E')
		return failed(w);
	if (tag == 'W')
		return replication(w);
	if (is_one_of(tag, "GH"))
		copy_begin(g, tag);
	a->rows += tag == 'D';
	a->bytes += tag == 'd' ? w->half->body_end - w->half->begin - PGSQL_HEADER : 0;
	pending = parts_of(flight_head(&g->flight)) & (uint8_t)~a->got;
	part = part_answered(tag, pending);
	if (tag == '1')
		sink_num(w->out, MSG_RESPONSE, g->flight.first_key, FIELD_PREPARED, 1);
	if (tag == 's')
		sink_num(w->out, MSG_RESPONSE, g->flight.first_key, FIELD_ROWS, (int64_t)a->rows);
	if (flight_head(&g->flight).unit == UNIT_STATEMENT && tag == 'T')
		part = 0;
	/* Behind a loss, those before it have been answered too. */
	a->got |= (uint8_t)(part | (part ? part - 1 : 0));
	return is_answered(g) ? answer_end(w, 0) : STEP_GO;
}

static enum step message_done(struct walk *w)
{
	struct pgsql *g = w->g;

	w->half->phase = PH_HEAD;
	w->half->edge = position(w);
	if (w->half->tag == 'Z') {
		setting_tell(g, w->out);
		g->login = LOGIN_DONE;
	}
	switch ((enum role)g->role) {
	case ROLE_ANSWER:
		return answer_message(w);
	case ROLE_READY:
		flight_pop(&g->flight);
		g->ans = (struct answer){ 0 };
		g->copy_in = false;
		return STEP_GO;
	case ROLE_LOGIN:
	case ROLE_PUSH:
	case ROLE_SETTING:
	case ROLE_NONE:
		break;
	}
	return STEP_GO;
}

static enum step phase_rest(struct walk *w)
{
	enum step step = body_skip(w);

	return step == STEP_GO ? message_done(w) : step;
}

static enum step phase_head(struct walk *w)
{
	struct pgsql *g = w->g;
	enum step step = STEP_GO;

	if (rest(w).n == 0)
		return STEP_MORE;
	if (g->login == LOGIN_START && !w->in->force)
		return STEP_WAIT;
	if (g->login == LOGIN_ASKED)
		return asked_step(w);
	if (w->half->lost)
		step = believe(w, PGSQL_BACKEND);
	if (step == STEP_GO && rest(w).n < PGSQL_HEADER) {
		w->need = PGSQL_HEADER;
		step = STEP_MORE;
	}
	if (step != STEP_GO)
		return step;
	if (pgsql_body_length(PGSQL_BACKEND, rest(w)) < 0)
		return STEP_LOST;
	step = answer_admit(w, rest(w).p[0]);
	if (step != STEP_GO)
		return step;
	header_take(w, PGSQL_BACKEND);
	w->half->phase = is_one_of(w->half->tag, "ENACZRS") && g->role != ROLE_NONE ? PH_BODY
										    : PH_REST;
	return STEP_GO;
}

enum step backend_step(struct walk *w)
{
	switch ((enum phase)w->half->phase) {
	case PH_BODY:
		return body_step(w);
	case PH_REST:
		return phase_rest(w);
	default:
		return phase_head(w);
	}
}

/* ---- losses and ends ---- */

void backend_lost(struct pgsql *g, uint64_t lost)
{
	struct half *s = &g->half[1 - g->client];

	if (g->login == LOGIN_ASKED)
		g->over = true; /* whether what follows is encrypted is not known */
	if (g->login == LOGIN_SENT || g->login == LOGIN_AGREED) {
		/* Its ReadyForQuery may still come: it ends nothing that the client asks now. */
		g->login = LOGIN_DONE;
		flight_lose_requests(&g->flight);
	}
	flight_lose_answers(&g->flight, lost);
	/* Of an answer that is there, or comes next. */
	if (g->flight.n)
		g->ans.flags |= MSG_LOST;
	s->phase = PH_HEAD;
	s->lost = true;
}

void backend_gap(struct pgsql *g, uint64_t off, uint64_t lost)
{
	struct half *s = &g->half[1 - g->client];

	if (s->phase == PH_HEAD || off + lost > s->body_end) {
		backend_lost(g, lost);
		return;
	}
	if (g->role == ROLE_ANSWER)
		g->ans.flags |= MSG_LOST;
	if (g->role == ROLE_ANSWER && s->tag == 'E' && s->phase == PH_BODY &&
	    flight_head(&g->flight).unit == UNIT_STATEMENT && g->query.n > 1 &&
	    !g->query.answered) {
		/* Which statement it pointed at is not known. */
		g->role = ROLE_NONE;
		flight_lose_answers(&g->flight, 0);
	}
	if (g->role == ROLE_PUSH || g->role == ROLE_LOGIN)
		g->role = ROLE_NONE;
	s->phase = PH_REST;
}

bool backend_finish(struct pgsql *g, uint64_t off, struct sink *out)
{
	if (!g->ans.begun)
		return false;
	sink_end(out, MSG_RESPONSE, g->flight.first_key, off, g->ans.flags | MSG_CUT_EOF);
	flight_pop(&g->flight);
	g->ans = (struct answer){ 0 };
	return true;
}

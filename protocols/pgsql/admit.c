/* What a message of the server's is before it is taken: nothing to us, part of the answer to the oldest
 * exchange, a push, or ReadyForQuery.
 */
#include "protocols/pgsql/state.h"

static bool has_exchange(struct flight_entry e)
{
	return e.unit >= UNIT_STATEMENT;
}

/* ---- which message answers what ---- */

/* The part of a request that a message answers in full; 0: it is one of several. */
uint8_t part_answered(uint8_t tag, uint8_t pending)
{
	switch (tag) {
	case '1':
		return PART_PARSE;
	case '2':
		return PART_BIND;
	case '3':
		return PART_CLOSE;
	case 'T':
	case 'n':
		return pending & PART_DESCRIBE ? PART_DESCRIBE : PART_COLUMNS;
	case 'C':
	case 'I':
	case 's':
	case 'V':
		return PART_EXECUTE;
	default:
		return 0;
	}
}

uint8_t parts_of(struct flight_entry e)
{
	if (e.unit != UNIT_GROUP)
		return PART_EXECUTE;
	return e.parts & (uint8_t)~PART_END;
}

/* Whether a message may be the next of the answer. loose: some before it may be missing. */
static bool fits(const struct pgsql *g, struct flight_entry e, uint8_t tag, bool loose)
{
	uint8_t pending = parts_of(e) & (uint8_t)~g->ans.got;
	uint8_t next = loose ? pending : pending & (uint8_t)-pending;
	uint8_t part = part_answered(tag, pending);

	if (e.unit == UNIT_CALL)
		return tag == 'V' || tag == 'E';
	if (tag == 'V' || pending == 0)
		return false;
	if (tag == 'E')
		return true;
	if (e.unit == UNIT_STATEMENT)
		return is_one_of(tag, "TDCIGHWdc");
	if (tag == 't')
		return next & PART_DESCRIBE;
	return part ? next & part : next & PART_EXECUTE;
}

/* Whether all parts of the oldest request have been answered, and no other will come. */
bool is_answered(const struct pgsql *g)
{
	struct flight_entry e = flight_head(&g->flight);

	return has_exchange(e) && !g->flight.answered && g->ans.begun &&
	       !(parts_of(e) & ~g->ans.got) && !flight_head_open(&g->flight);
}

enum step answer_end(struct walk *w, uint32_t flags)
{
	struct pgsql *g = w->g;
	struct answer *a = &g->ans;

	if (a->bytes)
		sink_num(w->out, MSG_RESPONSE, g->flight.first_key, FIELD_BODY_BYTES,
			 (int64_t)a->bytes);
	g->query.answered |= flight_head(&g->flight).unit == UNIT_STATEMENT;
	sink_end(w->out, MSG_RESPONSE, g->flight.first_key, a->end, a->flags | flags);
	*a = (struct answer){ .fail = a->fail };
	flight_answered(&g->flight);
	return STEP_ENDED;
}

/* Whether no request can come that would explain the message at hand: none was under way when it came,
 * or it has waited long enough. */
static bool is_late(const struct walk *w)
{
	return w->in->force || (w->in->settled && w->g->half[w->g->client].phase == PH_HEAD);
}

static enum step as(struct walk *w, enum role role)
{
	w->g->role = (uint8_t)role;
	return STEP_GO;
}

/* ---- ReadyForQuery ---- */

/* Whether the oldest is where the server stops to pass over messages. */
static bool is_barrier(const struct pgsql *g, struct flight_entry e)
{
	bool passed = g->ans.fail == UNIT_GROUP &&
		      (e.unit == UNIT_STATEMENT || e.unit == UNIT_CALL);

	return e.parts & PART_END && !passed;
}

/* It ends an interval that the client has not closed, as far as is known. */
static enum step ready_unasked(struct walk *w)
{
	struct flight *f = &w->g->flight;

	if (w->g->login == LOGIN_DONE && !flight_lossy(f) && !is_late(w))
		return STEP_WAIT;
	if (!flight_lossy(f))
		flight_lose_requests(f);
	/* What stands before lost requests was in the same interval, or in one before. */
	while (f->losses > 0 && flight_head(f).unit != UNIT_LOSS) {
		bool told = answer_none(w->g, w->out, position(w), MSG_LOST);

		flight_pop(f);
		if (told)
			return STEP_ENDED;
	}
	w->g->ans.fail = UNIT_NONE;
	return as(w, ROLE_NONE);
}

/* Everything up to the barrier that is not answered will not be. */
static enum step admit_ready(struct walk *w)
{
	struct pgsql *g = w->g;
	struct flight *f = &g->flight;
	uint32_t flags = g->ans.fail && !flight_lossy(f) ? 0 : MSG_LOST;

	if (f->barriers == 0)
		return ready_unasked(w);
	f->pipelined |= f->barriers > 1 && !flight_lossy(f);
	if (flight_lossy(f) && (f->pipelined || (f->answers_lost && f->barriers > 1))) {
		f->hopeless = true;
		return as(w, ROLE_NONE);
	}
	for (;;) {
		struct flight_entry e = flight_head(f);
		bool barrier = is_barrier(g, e), told;

		if (e.unit == UNIT_NONE)
			return as(w, ROLE_NONE);
		if (barrier && (f->answered || e.unit == UNIT_SYNC))
			return as(w, ROLE_READY);
		told = answer_none(g, w->out, position(w), flags);
		if (barrier)
			flight_answered(f);
		else
			flight_pop(f);
		if (told)
			return STEP_ENDED;
	}
}

/* ---- answers ---- */

static enum step admit_lossy(struct walk *w, uint8_t tag)
{
	struct pgsql *g = w->g;
	struct flight *f = &g->flight;
	bool sure = f->answers_lost ? flight_single(f) : flight_head(f).unit != UNIT_LOSS;

	/* Bytes of a request are missing too, perhaps of several; or a commit has failed, which comes
	 * behind the answers. */
	if (f->answers_lost && (g->half[g->client].phase == PH_QUERY ||
				(tag == 'E' && flight_head(f).unit == UNIT_GROUP)))
		sure = false;
	if (!sure || !fits(g, flight_head(f), tag, f->answers_lost))
		return as(w, ROLE_NONE);
	return as(w, ROLE_ANSWER);
}

/* No request is known that the message could answer. */
static enum step admit_unasked(struct walk *w, uint8_t tag)
{
	struct flight *f = &w->g->flight;

	if (!is_late(w))
		return STEP_WAIT;
	if (f->n == 0 && tag != 'E')
		flight_lose_requests(f);
	return as(w, tag == 'E' ? ROLE_PUSH : ROLE_NONE);
}

static enum step admit_answer(struct walk *w, uint8_t tag)
{
	struct pgsql *g = w->g;
	struct flight *f = &g->flight;
	struct flight_entry e = flight_head(f);

	if (is_answered(g))
		return answer_end(w, 0);
	if (flight_lossy(f) && (f->answers_lost || e.unit == UNIT_LOSS))
		return admit_lossy(w, tag);
	if (e.unit == UNIT_NONE)
		return admit_unasked(w, tag);
	/* A commit may fail at Sync, when all before it is answered. */
	if (tag == 'E' && (f->answered || e.unit == UNIT_SYNC))
		return as(w, ROLE_PUSH);
	if (!f->answered && has_exchange(e) && fits(g, e, tag, false))
		return as(w, ROLE_ANSWER);
	if (flight_head_open(f) && !is_late(w))
		return STEP_WAIT;
	if (flight_head_open(f)) {
		flight_lose_requests(f); /* what it answers is among them */
		return is_answered(g) ? answer_end(w, 0) : as(w, ROLE_NONE);
	}
	/* It answers something else: what does, is not known before ReadyForQuery. */
	g->ans.flags |= MSG_LOST;
	flight_lose_answers(f, 0);
	return as(w, ROLE_NONE);
}

/* A COPY that is none, or one that failed, leaves its request as it is. */
static bool release(struct walk *w, uint8_t tag)
{
	struct pgsql *g = w->g;

	return g->req.held && g->req.key == g->flight.first_key && is_one_of(tag, "CIEHsWDZ") &&
	       held_release(g, w->out);
}

/* What was answered in lost bytes goes first. Whether a message ended. */
static bool drop_stale(struct walk *w)
{
	struct pgsql *g = w->g;

	while (g->flight.stale > 0) {
		bool told = answer_none(g, w->out, position(w), MSG_LOST);

		g->ans.fail = UNIT_NONE;
		flight_pop(&g->flight);
		if (told)
			return true;
	}
	return false;
}

/* A request that the client has sent in part without waiting is over: nobody reads it. */
static void login_failed(struct walk *w)
{
	struct pgsql *g = w->g;

	if (g->req.open)
		frontend_lost(g, g->req.end, w->out);
	else
		login_tell(g, w->out);
}

enum step answer_admit(struct walk *w, uint8_t tag)
{
	struct pgsql *g = w->g;

	if (is_one_of(tag, "NA"))
		return as(w, ROLE_PUSH);
	if (tag == 'S')
		return as(w, ROLE_SETTING);
	if (is_one_of(tag, "KRv"))
		return as(w, tag == 'R' && g->login == LOGIN_SENT ? ROLE_LOGIN : ROLE_NONE);
	if (g->login != LOGIN_DONE && is_one_of(tag, "EZ")) {
		if (tag == 'E' && !g->told_login) {
			login_failed(w);
			return STEP_ENDED;
		}
		return as(w, ROLE_LOGIN);
	}
	if (g->flight.hopeless || position(w) < g->older_to)
		return as(w, ROLE_NONE);
	if (release(w, tag) || drop_stale(w))
		return STEP_ENDED;
	return tag == 'Z' ? admit_ready(w) : admit_answer(w, tag);
}

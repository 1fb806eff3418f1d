/* The server's direction: messages become the answers to what is in flight.
 *
 *	HEAD -> (BODY) -> REST -> HEAD
 *
 * admit() decides what a message is before it is taken: nothing to us, part of the answer to the oldest
 * exchange, a push, or ReadyForQuery. In each call at most one message ends, so what a message ends
 * besides itself ends in calls of their own before it.
 */
#include "protocols/pgsql/state.h"

static bool is_one_of(uint8_t tag, const char *tags)
{
	return tag && strchr(tags, tag) != NULL;
}

static bool has_exchange(struct flight_entry e)
{
	return e.unit >= UNIT_STATEMENT;
}

/* ---- which message answers what ---- */

/* The part of a request that a message answers in full; 0: it is one of several. */
static uint8_t part_answered(uint8_t tag, uint8_t pending)
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

static uint8_t parts_of(struct flight_entry e)
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
static bool is_answered(const struct pgsql *g)
{
	struct flight_entry e = flight_head(&g->flight);

	return has_exchange(e) && !g->flight.answered && g->ans.begun &&
	       !(parts_of(e) & ~g->ans.got) && !flight_head_open(&g->flight);
}

static enum step answer_end(struct walk *w, uint32_t flags)
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

static enum step admit(struct walk *w, uint8_t tag)
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
			login_tell(g, w->out);
			return STEP_ENDED;
		}
		return as(w, ROLE_LOGIN);
	}
	if (g->flight.hopeless)
		return as(w, ROLE_NONE);
	if (release(w, tag) || drop_stale(w))
		return STEP_ENDED;
	return tag == 'Z' ? admit_ready(w) : admit_answer(w, tag);
}

/* ---- bodies ---- */

static struct slice text_take(struct slice *s)
{
	size_t n = slice_find(*s, 0);
	struct slice t = slice_head(*s, n);

	*s = slice_from(*s, n + 1);
	return t;
}

/* The fields of an error or a notice that we have a use for. V is S in English. */
struct complaint {
	struct slice severity, state, message, position;
};

static struct complaint complaint_of(struct slice body)
{
	struct complaint c = { 0 };

	while (body.n > 1) {
		uint8_t kind = body.p[0];
		struct slice v;

		body = slice_from(body, 1);
		v = text_take(&body);
		if (kind == 'V' || (kind == 'S' && c.severity.n == 0))
			c.severity = v;
		else if (kind == 'C')
			c.state = v;
		else if (kind == 'M')
			c.message = v;
		else if (kind == 'P')
			c.position = v;
	}
	return c;
}

static void complaint_tell(struct sink *out, enum msg_kind kind, uint64_t key, struct slice body)
{
	struct complaint c = complaint_of(body);

	if (c.severity.n)
		sink_field(out, kind, key, FIELD_SEVERITY, c.severity);
	if (c.state.n)
		sink_field(out, kind, key, FIELD_SQLSTATE, c.state);
	if (c.message.n)
		sink_field(out, kind, key, FIELD_MESSAGE, c.message);
}

static enum step push(struct walk *w, struct slice body)
{
	struct pgsql *g = w->g;
	uint64_t key = KEY_PUSH | g->pushes++;
	uint8_t tag = w->half->tag;
	size_t seen = (size_t)MIN(w->half->body_end - position(w), (uint64_t)body.n);
	uint32_t flags = position(w) + seen < w->half->body_end ? MSG_TRUNCATED : 0;

	sink_begin(w->out, MSG_PUSH, w->in->dir, key, w->half->begin);
	sink_field(w->out, MSG_PUSH, key, FIELD_COMMAND,
		   tag == 'N'	? SLICE_LIT("NOTICE")
		   : tag == 'A' ? SLICE_LIT("NOTIFY")
				: SLICE_LIT("ERROR"));
	if (tag == 'A') {
		/* The channel's name, not what was sent to it. */
		body = slice_from(body, 4);
		sink_field(w->out, MSG_PUSH, key, FIELD_TARGET, text_take(&body));
	} else {
		complaint_tell(w->out, MSG_PUSH, key, body);
	}
	g->role = ROLE_NONE;
	sink_end(w->out, MSG_PUSH, key, w->half->body_end, flags);
	return STEP_ENDED;
}

/* A command tag: words, then what was done to how many rows; of INSERT, a number before that. */
static void tag_tell(struct walk *w, struct slice tag)
{
	struct answer *a = &w->g->ans;
	uint64_t key = w->g->flight.first_key, rows = 0;
	size_t words = 0, digits = tag.n;
	bool counted;

	tag = slice_head(tag, slice_find(tag, 0));
	digits = tag.n;
	while (digits > 0 && tag.p[digits - 1] >= '0' && tag.p[digits - 1] <= '9')
		digits--;
	counted = digits < tag.n && tag.n - digits < 19 && digits > 0;
	for (size_t i = digits; counted && i < tag.n; i++)
		rows = rows * 10 + (uint64_t)(tag.p[i] - '0');
	while (words < tag.n && (tag.p[words] < '0' || tag.p[words] > '9'))
		words++;
	while (words > 0 && tag.p[words - 1] == ' ')
		words--;
	if (!counted)
		rows = a->rows;
	if (words)
		sink_field(w->out, MSG_RESPONSE, key, FIELD_TAG, slice_head(tag, words));
	if (counted || (a->rows && !(a->flags & MSG_LOST)))
		sink_num(w->out, MSG_RESPONSE, key, FIELD_ROWS, (int64_t)rows);
	tag = slice_head(tag, words);
	if (slice_eq_str(tag, "DEALLOCATE ALL") || slice_eq_str(tag, "DISCARD ALL"))
		sink_num(w->out, MSG_RESPONSE, key, FIELD_STMT_RESET, 1);
}

/* Which of the statements that wait an error points at; -1: that cannot be told, it is the first. */
static int pointed_at(const struct pgsql *g, struct slice position)
{
	const struct query *q = &g->query;
	uint64_t at = 0;
	int hit = -1;

	if (q->answered || !q->plain || position.n == 0 || position.n > 9 ||
	    q->n > PGSQL_LINES_MAX || g->flight.first_key - q->key >= q->n)
		return -1;
	for (size_t i = 0; i < position.n; i++)
		at = at * 10 + (uint64_t)(position.p[i] - '0');
	for (uint32_t i = 0; i < q->n; i++)
		if (q->from[i] < at)
			hit = (int)i;
	return hit;
}

/* Of a query whose text is wrong, the statements before the wrong one were not run either. */
static bool passes_over(struct walk *w, struct slice body)
{
	struct pgsql *g = w->g;
	struct flight_entry e = flight_head(&g->flight);
	int at;

	if (e.unit != UNIT_STATEMENT || flight_lossy(&g->flight) || g->ans.begun)
		return false;
	at = pointed_at(g, complaint_of(body).position);
	if (at < 0 || g->query.key + (uint64_t)at <= g->flight.first_key || e.parts & PART_END)
		return false;
	answer_none(g, w->out, w->half->begin, 0);
	flight_pop(&g->flight);
	return true;
}

static void answer_begin(struct walk *w)
{
	struct pgsql *g = w->g;

	if (g->ans.begun)
		return;
	g->ans.begun = true;
	sink_begin(w->out, MSG_RESPONSE, w->in->dir, g->flight.first_key, w->half->begin);
}

static void setting(struct pgsql *g, struct slice body)
{
	struct slice name = text_take(&body);

	if (slice_eq_str(name, "standard_conforming_strings"))
		g->backslash_next = slice_eq_str(text_take(&body), "off");
}

/* A setting holds for what is sent after the answer that changed it: a query is parsed whole before
 * any of its statements is run. */
static void setting_tell(struct pgsql *g, struct sink *out)
{
	if (g->backslash == g->backslash_next)
		return;
	g->backslash = g->backslash_next;
	sink_num(out, MSG_CONN, 0, FIELD_BACKSLASH, g->backslash);
}

static enum step body_of_login(struct walk *w, struct slice body)
{
	struct pgsql *g = w->g;

	if (w->half->tag == 'R' && body.n >= 4 && memcmp(body.p, "\0\0\0\0", 4) == 0)
		login_agreed(g, w->out);
	if (w->half->tag != 'E')
		return STEP_GO;
	sink_begin(w->out, MSG_RESPONSE, w->in->dir, g->login_key, w->half->begin);
	complaint_tell(w->out, MSG_RESPONSE, g->login_key, body);
	g->login = LOGIN_DONE;
	g->role = ROLE_NONE;
	sink_end(w->out, MSG_RESPONSE, g->login_key, w->half->body_end, 0);
	return STEP_ENDED;
}

static enum step body_of_answer(struct walk *w, struct slice body)
{
	if (w->half->tag == 'E' && passes_over(w, body))
		return STEP_ENDED;
	answer_begin(w);
	if (w->half->tag == 'E')
		complaint_tell(w->out, MSG_RESPONSE, w->g->flight.first_key, body);
	else if (w->half->tag == 'C')
		tag_tell(w, body);
	return STEP_GO;
}

static enum step phase_body(struct walk *w)
{
	struct pgsql *g = w->g;
	size_t n = (size_t)MIN(w->half->body_end - position(w), (uint64_t)PGSQL_NEED_MAX);
	struct slice body = slice_head(rest(w), n);
	enum step step = STEP_GO;

	if (rest(w).n < n) {
		w->need = n;
		return STEP_MORE;
	}
	switch ((enum role)g->role) {
	case ROLE_LOGIN:
		step = body_of_login(w, body);
		break;
	case ROLE_ANSWER:
		step = body_of_answer(w, body);
		break;
	case ROLE_PUSH:
		step = push(w, body);
		break;
	case ROLE_READY:
		/* Portals end with their transaction. */
		if (body.p[0] == 'I' && flight_waiting(&g->flight) == 0)
			g->portals = (struct portals){ 0 };
		break;
	case ROLE_SETTING:
		setting(g, body);
		break;
	case ROLE_NONE:
		break;
	}
	if (step != STEP_GO && g->role == ROLE_ANSWER)
		return step; /* the same message again, for the next statement */
	w->at += n;
	w->half->phase = PH_REST;
	return step;
}

/* ---- the end of a message ---- */

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
	if (w->half->tag == 'Z')
		setting_tell(g, w->out);
	switch ((enum role)g->role) {
	case ROLE_ANSWER:
		return answer_message(w);
	case ROLE_READY:
		flight_pop(&g->flight);
		g->ans = (struct answer){ 0 };
		g->copy_in = false;
		return STEP_GO;
	case ROLE_LOGIN:
		if (w->half->tag == 'Z')
			g->login = LOGIN_DONE;
		return STEP_GO;
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
	step = admit(w, rest(w).p[0]);
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
		return phase_body(w);
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
	if (g->login == LOGIN_SENT || g->login == LOGIN_AGREED)
		g->login = LOGIN_DONE;
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

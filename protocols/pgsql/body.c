/* What is read of the bodies of the server's messages: errors and notices, command tags, settings. */
#include "protocols/pgsql/state.h"

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

	if (q->answered || !q->plain || q->torn || position.n == 0 || position.n > 9 ||
	    q->n > PGSQL_LINES_MAX || g->flight.first_key - q->key >= q->n)
		return -1;
	for (size_t i = 0; i < position.n; i++)
		at = at * 10 + (uint64_t)(position.p[i] - '0');
	for (uint32_t i = 0; i < q->n; i++)
		if (q->from[i] < at)
			hit = (int)i;
	return hit;
}

/* Whether an error points at a statement of which the bytes may be missing. */
static bool points_nowhere(const struct pgsql *g, struct slice body)
{
	bool torn = g->query.torn || g->half[g->client].phase == PH_QUERY;

	return torn && !g->query.answered && complaint_of(body).position.n > 0;
}

/* Of a query whose text is wrong, the statements before the wrong one were not run either. */
static bool passes_over(struct walk *w, struct slice body)
{
	struct pgsql *g = w->g;
	struct flight_entry e = flight_head(&g->flight);
	int at;

	if (e.unit != UNIT_STATEMENT || g->ans.begun)
		return false;
	if (points_nowhere(g, body)) {
		g->ans.fail = UNIT_STATEMENT;
		g->role = ROLE_NONE;
		answer_none(g, w->out, w->half->begin, MSG_LOST);
		flight_answered(&g->flight);
		return true;
	}
	if (flight_lossy(&g->flight))
		return false;
	at = pointed_at(g, complaint_of(body).position);
	if (at < 0 || g->query.key + (uint64_t)at <= g->flight.first_key || e.parts & PART_END)
		return false;
	answer_none(g, w->out, w->half->begin, 0);
	flight_pop(&g->flight);
	return true;
}

void answer_begin(struct walk *w)
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
void setting_tell(struct pgsql *g, struct sink *out)
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

enum step body_step(struct walk *w)
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

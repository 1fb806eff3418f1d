/* The client's direction: messages become requests.
 *
 *	HEAD -> (TARGET) -> (NAME -> (NAME2)) -> JOIN -> (TEXT) -> REST -> HEAD	extended protocol
 *	HEAD -> QUERY -> HEAD		HEAD -> REST -> HEAD
 *
 * Texts are streamed, whatever their length. In each call at most one request ends; where two would
 * (a group that another message closes), the message waits for the next call.
 */
#include "protocols/pgsql/state.h"

static uint64_t answered_to(const struct pgsql *g)
{
	return g->half[1 - g->client].edge;
}

/* ---- a request ---- */

static void request_begin(struct walk *w, enum unit unit, uint64_t off)
{
	struct pgsql *g = w->g;

	g->req = (struct request){
		.open = true, .end = off, .group = unit == UNIT_GROUP, .call = unit == UNIT_CALL
	};
	g->req.key = flight_add(&g->flight, unit);
	g->fresh = g->copy_sent = false;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, g->req.key, off);
}

static void request_num(struct pgsql *g, struct sink *out, enum field_id f, uint64_t v)
{
	sink_num(out, MSG_REQUEST, g->req.key, f, (int64_t)v);
}

/* A group without Execute is known by what it consists of. */
static struct slice own_name(uint8_t parts)
{
	if (parts & PART_PARSE)
		return SLICE_LIT("PARSE");
	if (parts & PART_BIND)
		return SLICE_LIT("BIND");
	return parts & PART_CLOSE ? SLICE_LIT("CLOSE") : SLICE_LIT("DESCRIBE");
}

static enum sql_about about(const struct request *r, uint64_t *ret_id)
{
	bool runs = !r->group || r->parts & PART_EXECUTE;

	return runs && r->head_n ? sql_about(slice_of(r->head, r->head_n), ret_id) : ABOUT_OTHER;
}

/* Whether a prepared statement is executed: one with a name, or what an earlier exchange parsed. */
static bool is_prepared(const struct request *r)
{
	return r->stmt != 0 || (r->parts & (PART_PARSE | PART_BIND)) == PART_BIND;
}

static void request_end(struct pgsql *g, struct sink *out, uint64_t off, uint32_t flags)
{
	struct request *r = &g->req;
	uint64_t id;

	if (!r->open)
		return;
	flags |= r->flags;
	if (about(r, &id) == ABOUT_CLOSES)
		request_num(g, out, FIELD_STMT_CLOSE, id);
	if (r->group && !(r->parts & PART_EXECUTE)) {
		if (!(flags & MSG_LOST))
			sink_field(out, MSG_REQUEST, r->key, FIELD_COMMAND, own_name(r->parts));
	} else if (r->group ? r->has_stmt : !r->call) {
		request_num(g, out, FIELD_PREPARED, r->group && is_prepared(r));
	}
	if (r->copied)
		request_num(g, out, FIELD_BODY_BYTES, r->copied);
	sink_end(out, MSG_REQUEST, r->key, off, flags);
	flight_close(&g->flight);
	r->open = r->held = false;
}

/* All of it came: it ends, unless data may follow. Whether it ended. */
static bool request_whole(struct walk *w)
{
	struct pgsql *g = w->g;
	uint64_t id;

	g->req.end = position(w);
	g->req.held = about(&g->req, &id) == ABOUT_COPY && !g->req.flags;
	flight_close(&g->flight);
	if (!g->req.held)
		request_end(g, w->out, g->req.end, 0);
	return !g->req.held;
}

bool held_release(struct pgsql *g, struct sink *out)
{
	if (!g->req.held)
		return false;
	if (g->copy_in)
		g->req.end = MAX(g->req.end, g->half[g->client].edge);
	g->copy_in = false;
	request_end(g, out, g->req.end, 0);
	return true;
}

/* Makes place in the flight for a request. whole: it begins an interval. */
static enum step admit(struct walk *w, bool whole)
{
	struct pgsql *g = w->g;
	struct flight *f = &g->flight;

	if (g->req.open) {
		if (!held_release(g, w->out))
			request_end(g, w->out, g->req.end, 0);
		return STEP_ENDED;
	}
	g->copy_in = false;
	if (flight_full(f) && !f->hopeless) {
		if (!w->in->force)
			return STEP_WAIT;
		f->hopeless = true;
	}
	while (flight_must_drop(f, whole)) {
		bool told = answer_none(g, w->out, answered_to(g), MSG_LOST);

		flight_pop(f);
		g->ans.fail = UNIT_NONE;
		if (told)
			return STEP_ENDED;
	}
	return STEP_GO;
}

/* ---- the text of a statement ---- */

static void text_add(struct walk *w, struct slice s)
{
	struct request *r = &w->g->req;
	uint64_t room = PGSQL_TEXT_MAX - MIN(r->text, (uint64_t)PGSQL_TEXT_MAX);
	size_t keep = MIN(s.n, (size_t)(PGSQL_HEAD_MAX - r->head_n));

	memcpy(r->head + r->head_n, s.p, keep);
	r->head_n = (uint8_t)(r->head_n + keep);
	r->text += s.n;
	if (s.n > room)
		r->flags |= MSG_TRUNCATED;
	s = slice_head(s, (size_t)MIN(room, (uint64_t)s.n));
	if (s.n)
		sink_field(w->out, MSG_REQUEST, r->key, FIELD_STATEMENT, s);
}

/* ---- a simple query ---- */

static void statement_begin(struct walk *w, uint64_t off)
{
	struct query *q = &w->g->query;

	request_begin(w, UNIT_STATEMENT, off);
	if (q->n == 0)
		q->key = w->g->req.key;
	if (q->n < PGSQL_LINES_MAX)
		q->from[q->n] = q->chars - (q->n > 0);
	q->n++;
}

static void query_begin(struct walk *w)
{
	struct query *q = &w->g->query;

	*q = (struct query){ .plain = true };
	sql_split_init(&q->split, w->g->backslash ? SQL_ANSI_BACKSLASH : SQL_ANSI);
	statement_begin(w, w->half->begin);
	w->half->phase = PH_QUERY;
}

static void chars_add(struct query *q, struct slice s)
{
	q->chars += s.n;
	for (size_t i = 0; i < s.n && q->plain; i++)
		q->plain = s.p[i] < 0x80;
}

/* Behind a `;`: where the next statement begins, the one before has ended. */
static enum step query_between(struct walk *w, struct slice piece)
{
	struct query *q = &w->g->query;

	for (size_t i = 0; i < piece.n; i++) {
		struct slice byte = slice_of(piece.p + i, 1);
		bool end, empty;

		sql_split(&q->split, byte, &end, &empty);
		chars_add(q, byte);
		w->at++;
		if (!q->split.filled)
			continue;
		q->between = false;
		q->next = true;
		q->first = byte.p[0];
		request_end(w->g, w->out, w->g->req.end, 0);
		return STEP_ENDED;
	}
	return STEP_GO;
}

static enum step query_text(struct walk *w, struct slice piece)
{
	struct query *q = &w->g->query;
	bool end, empty = false;
	size_t n = sql_split(&q->split, piece, &end, &empty);

	text_add(w, slice_head(piece, n - end));
	chars_add(q, slice_head(piece, n));
	w->at += n;
	if (end && !empty) {
		q->between = true;
		w->g->req.end = position(w);
	}
	return STEP_GO;
}

static enum step query_end(struct walk *w)
{
	struct pgsql *g = w->g;
	bool ended;

	if (rest(w).n == 0)
		return STEP_MORE;
	if (rest(w).p[0] != 0)
		return STEP_LOST;
	w->at++;
	w->half->phase = PH_HEAD;
	w->half->edge = position(w);
	ended = request_whole(w);
	flight_barrier(&g->flight);
	g->fresh = true;
	return ended ? STEP_ENDED : STEP_GO;
}

static enum step phase_query(struct walk *w)
{
	struct query *q = &w->g->query;
	uint64_t left = w->half->body_end - 1 - position(w);
	struct slice piece = slice_head(rest(w), (size_t)MIN(left, (uint64_t)rest(w).n));

	if (q->next) {
		q->next = false;
		statement_begin(w, w->g->req.end);
		text_add(w, slice_of(&q->first, 1));
	}
	if (left == 0)
		return query_end(w);
	if (piece.n == 0)
		return STEP_MORE;
	return q->between ? query_between(w, piece) : query_text(w, piece);
}

/* ---- messages of the extended protocol ---- */

static void name_begin(struct pgsql *g, unsigned int i)
{
	g->name[i] = NAME_EMPTY;
	g->name_n = 0;
}

/* Reads a name; STEP_GO behind its NUL. */
static enum step name_take(struct walk *w, unsigned int i)
{
	struct pgsql *g = w->g;
	uint64_t left = w->half->body_end - position(w);
	struct slice s = slice_head(rest(w), (size_t)MIN(left, (uint64_t)rest(w).n));
	size_t n = slice_find(s, 0);
	struct slice text = slice_head(s, n);

	if (i == 0)
		memcpy(g->name_text + g->name_n, text.p,
		       MIN(text.n, (size_t)(PGSQL_NAME_MAX - g->name_n)));
	g->name[i] = name_add(g->name[i], &g->name_n, text);
	if (n == s.n) {
		w->at += n;
		return n == left ? STEP_LOST : STEP_MORE;
	}
	w->at += n + 1;
	g->name[i] = name_id(g->name[i], g->name_n);
	return STEP_GO;
}

static enum step phase_target(struct walk *w)
{
	if (rest(w).n == 0)
		return STEP_MORE;
	w->g->kind = rest(w).p[0];
	w->at++;
	if (w->g->kind != 'S' && w->g->kind != 'P')
		return STEP_LOST;
	w->half->phase = PH_NAME;
	return STEP_GO;
}

static enum step phase_name(struct walk *w)
{
	enum step step = name_take(w, 0);

	if (step != STEP_GO)
		return step;
	w->half->phase = PH_JOIN;
	if (w->half->tag == 'B') {
		name_begin(w->g, 1);
		w->half->phase = PH_NAME2;
	}
	return STEP_GO;
}

static enum step phase_name2(struct walk *w)
{
	enum step step = name_take(w, 1);

	if (step == STEP_GO)
		w->half->phase = PH_JOIN;
	return step;
}

/* Whether the message at hand belongs to the open group: it speaks of the same statement or portal,
 * and comes in the order that an execution has. */
static bool joins(const struct pgsql *g, uint8_t tag)
{
	const struct request *r = &g->req;
	bool stmt, portal;

	if (!r->open || !r->group || r->held || g->name_unknown)
		return false;
	stmt = r->has_stmt && !(r->parts & (PART_BIND | PART_COLUMNS | PART_CLOSE)) &&
	       r->stmt == g->name[tag == 'B'];
	portal = r->has_portal && r->portal == g->name[0];
	switch (tag) {
	case 'B':
		return stmt;
	case 'D':
		return g->kind == 'S' ? stmt && !(r->parts & PART_DESCRIBE)
				      : portal && !(r->parts & PART_COLUMNS);
	case 'E':
		return portal;
	default:
		return false;
	}
}

static void use_stmt(struct walk *w, uint64_t id)
{
	struct request *r = &w->g->req;

	if (r->has_stmt)
		return;
	r->has_stmt = true;
	r->stmt = id;
	request_num(w->g, w->out, FIELD_STMT_ID, id);
}

static void use_portal(struct walk *w)
{
	struct pgsql *g = w->g;
	uint64_t id;

	if (g->req.has_portal)
		return;
	g->req.has_portal = true;
	g->req.portal = g->name[0];
	if (portals_get(&g->portals, g->name[0], &id))
		use_stmt(w, id);
	else
		g->req.flags |= MSG_DEGRADED;
}

static void take_parse(struct walk *w)
{
	struct pgsql *g = w->g;

	use_stmt(w, g->name[0]);
	if (g->name_n)
		sink_field(w->out, MSG_REQUEST, g->req.key, FIELD_STMT_NAME,
			   slice_of(g->name_text, g->name_n));
	w->half->phase = PH_TEXT;
}

/* What the message at hand adds to its group, its names being known. */
static void take_named(struct walk *w)
{
	struct pgsql *g = w->g;

	switch (w->half->tag) {
	case 'P':
		take_parse(w);
		break;
	case 'B':
		portals_put(&g->portals, g->name[0], g->name[1]);
		use_stmt(w, g->name[1]);
		g->req.has_portal = true;
		g->req.portal = g->name[0];
		break;
	case 'C':
		if (g->kind == 'P') {
			portals_del(&g->portals, g->name[0]);
			break;
		}
		use_stmt(w, g->name[0]);
		request_num(g, w->out, FIELD_STMT_CLOSE, g->name[0]);
		break;
	default:
		if (w->half->tag == 'D' && g->kind == 'S')
			use_stmt(w, g->name[0]);
		else
			use_portal(w);
		break;
	}
}

static enum part part_of(const struct walk *w)
{
	switch (w->half->tag) {
	case 'P':
		return PART_PARSE;
	case 'B':
		return PART_BIND;
	case 'C':
		return PART_CLOSE;
	case 'D':
		return w->g->kind == 'S' ? PART_DESCRIBE : PART_COLUMNS;
	default:
		return PART_EXECUTE;
	}
}

static enum step phase_join(struct walk *w)
{
	struct pgsql *g = w->g;

	if (!joins(g, w->half->tag)) {
		enum step step = admit(w, g->fresh);

		if (step != STEP_GO)
			return step;
		request_begin(w, UNIT_GROUP, w->half->begin);
	}
	g->req.parts |= (uint8_t)part_of(w);
	flight_part(&g->flight, part_of(w));
	w->half->phase = PH_REST;
	if (g->name_unknown)
		g->req.flags |= MSG_LOST | MSG_DEGRADED;
	else
		take_named(w);
	return STEP_GO;
}

static enum step phase_text(struct walk *w)
{
	uint64_t left = w->half->body_end - position(w);
	struct slice s = slice_head(rest(w), (size_t)MIN(left, (uint64_t)rest(w).n));
	size_t n = slice_find(s, 0);

	text_add(w, slice_head(s, n));
	w->at += n;
	if (n == s.n && n < left && w->g->req.text < PGSQL_TEXT_MAX)
		return STEP_MORE;
	if (n == s.n)
		w->g->req.flags |= MSG_TRUNCATED;
	w->half->phase = PH_REST;
	return STEP_GO;
}

/* ---- messages ---- */

/* COPY data is all there, or the client gives up. */
static enum step copy_done(struct walk *w)
{
	struct pgsql *g = w->g;

	g->copy_sent = g->req.held && !g->copy_in;
	g->copy_in = false;
	if (!g->req.held)
		return STEP_GO;
	request_end(g, w->out, position(w), 0);
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
		return request_whole(w) ? STEP_ENDED : STEP_GO;
	case 'C':
		request_end(g, w->out, position(w), 0);
		return STEP_ENDED;
	case 'Q': /* bytes of it were lost */
	case 'F':
		request_end(g, w->out, position(w), 0);
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
	request_begin(w, UNIT_CALL, w->half->begin);
	sink_field(w->out, MSG_REQUEST, w->g->req.key, FIELD_COMMAND, SLICE_LIT("FUNCTION CALL"));
	w->half->phase = PH_REST;
}

static bool is_one_of(uint8_t tag, const char *tags)
{
	return tag && strchr(tags, tag) != NULL;
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
		step = admit(w, true);
	} else if (is_one_of(rest(w).p[0], "SHX") && g->req.open && !g->req.held) {
		request_end(g, w->out, g->req.end, 0);
		step = STEP_ENDED;
	}
	if (step == STEP_GO)
		step = header_take(w, PGSQL_FRONTEND);
	if (step != STEP_GO)
		return step;
	g->name_unknown = false;
	name_begin(g, 0);
	s->phase = is_one_of(s->tag, "DC")    ? PH_TARGET
		   : is_one_of(s->tag, "PBE") ? PH_NAME
					      : PH_REST;
	if (s->tag == 'Q')
		query_begin(w);
	else if (s->tag == 'F')
		call_begin(w);
	return STEP_GO;
}

static enum step (*const phases[_PH_MAX])(struct walk *) = {
	[PH_HEAD] = phase_head, [PH_OPENING] = opening_step, [PH_TARGET] = phase_target,
	[PH_NAME] = phase_name, [PH_NAME2] = phase_name2,    [PH_JOIN] = phase_join,
	[PH_TEXT] = phase_text, [PH_QUERY] = phase_query,    [PH_REST] = phase_rest,
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
			request_end(g, out, off, MSG_LOST | MSG_DEGRADED);
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
		if (g->query.next) {
			struct parse_in in = { .dir = (enum dir)g->client };
			struct walk w = { .g = g, .half = s, .in = &in, .out = out };

			g->query.next = false;
			statement_begin(&w, g->req.end);
		}
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
	request_end(g, out, whole ? g->req.end : off, MSG_CUT_EOF);
	return true;
}

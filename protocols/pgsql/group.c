/* The messages of the extended protocol: what they name, and which of them are one request.
 *
 *	(TARGET) -> NAME -> (NAME2) -> JOIN -> (TEXT) -> REST
 */
#include "protocols/pgsql/state.h"

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
	req_num(w->g, w->out, FIELD_STMT_ID, id);
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
		req_num(g, w->out, FIELD_STMT_CLOSE, g->name[0]);
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
		enum step step = req_admit(w, g->fresh);

		if (step != STEP_GO)
			return step;
		req_begin(w, UNIT_GROUP, w->half->begin);
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

	req_text(w, slice_head(s, n));
	w->at += n;
	if (n == s.n && n < left && w->g->req.text <= PGSQL_TEXT_MAX)
		return STEP_MORE;
	if (n == s.n)
		w->g->req.flags |= MSG_TRUNCATED;
	w->half->phase = PH_REST;
	return STEP_GO;
}

void group_begin(struct walk *w)
{
	w->g->name_unknown = false;
	name_begin(w->g, 0);
	w->half->phase = is_one_of(w->half->tag, "DC") ? PH_TARGET : PH_NAME;
}

enum step group_step(struct walk *w)
{
	static enum step (*const phases[_PH_MAX])(struct walk *) = {
		[PH_TARGET] = phase_target, [PH_NAME] = phase_name, [PH_NAME2] = phase_name2,
		[PH_JOIN] = phase_join,	    [PH_TEXT] = phase_text,
	};

	return phases[w->half->phase](w);
}

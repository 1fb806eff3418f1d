/* A request of the client's: from its first byte until all that belongs to it has come. */
#include "protocols/pgsql/state.h"

static uint64_t answered_to(const struct pgsql *g)
{
	return g->half[1 - g->client].edge;
}

void req_begin(struct walk *w, enum unit unit, uint64_t off)
{
	struct pgsql *g = w->g;
	const struct half *server = &g->half[1 - g->client];

	if (server->lost)
		g->older_to = MAX(g->older_to, server->held_to);
	g->req = (struct request){
		.open = true, .end = off, .group = unit == UNIT_GROUP, .call = unit == UNIT_CALL
	};
	g->req.key = flight_add(&g->flight, unit);
	g->fresh = g->copy_sent = false;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, g->req.key, off);
}

void req_num(struct pgsql *g, struct sink *out, enum field_id f, uint64_t v)
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

static enum sql_about about(const struct request *r, struct sql_name *ret)
{
	bool runs = !r->group || r->parts & PART_EXECUTE;

	return runs && r->head_n ? sql_about(slice_of(r->head, r->head_n), ret) : ABOUT_OTHER;
}

/* What a statement's text says of prepared statements. */
static enum sql_about tell_about(struct pgsql *g, struct sink *out)
{
	struct request *r = &g->req;
	struct sql_name name;
	enum sql_about what = about(r, &name);

	if (what == ABOUT_EXECUTES)
		req_num(g, out, FIELD_STMT_CALLS, name.id);
	if (what == ABOUT_CLOSES || what == ABOUT_PREPARES)
		req_num(g, out, FIELD_STMT_CLOSE, name.id);
	if (what == ABOUT_PREPARES && !r->group)
		sink_field(out, MSG_REQUEST, r->key, FIELD_STMT_NAME, slice_of(name.text, name.n));
	return what;
}

/* Whether a prepared statement is executed: one with a name, or what an earlier exchange parsed. */
static bool is_prepared(const struct request *r)
{
	return r->stmt != 0 || (r->parts & (PART_PARSE | PART_BIND)) == PART_BIND;
}

void req_end(struct pgsql *g, struct sink *out, uint64_t off, uint32_t flags)
{
	struct request *r = &g->req;
	enum sql_about what;

	if (!r->open)
		return;
	flags |= r->flags;
	what = tell_about(g, out);
	if (r->group && !(r->parts & PART_EXECUTE)) {
		if (!(flags & MSG_LOST))
			sink_field(out, MSG_REQUEST, r->key, FIELD_COMMAND, own_name(r->parts));
	} else if (r->group ? r->has_stmt : !r->call) {
		req_num(g, out, FIELD_PREPARED,
			what == ABOUT_EXECUTES || (r->group && is_prepared(r)));
	}
	if (r->copied)
		req_num(g, out, FIELD_BODY_BYTES, r->copied);
	sink_end(out, MSG_REQUEST, r->key, off, flags);
	flight_close(&g->flight);
	r->open = r->held = false;
}

/* All of it came: it ends, unless data may follow. Whether it ended. */
bool req_whole(struct walk *w)
{
	struct pgsql *g = w->g;
	struct sql_name name;

	g->req.end = position(w);
	g->req.held = about(&g->req, &name) == ABOUT_COPY &&
		      !(g->req.flags & ~(uint32_t)MSG_FOLLOWS);
	flight_close(&g->flight);
	if (!g->req.held)
		req_end(g, w->out, g->req.end, 0);
	return !g->req.held;
}

bool held_release(struct pgsql *g, struct sink *out)
{
	if (!g->req.held)
		return false;
	if (g->copy_in)
		g->req.end = MAX(g->req.end, g->half[g->client].edge);
	g->copy_in = false;
	req_end(g, out, g->req.end, 0);
	return true;
}

/* Makes place in the flight for a request. whole: it begins an interval. */
enum step req_admit(struct walk *w, bool whole)
{
	struct pgsql *g = w->g;
	struct flight *f = &g->flight;

	if (g->req.open) {
		if (!held_release(g, w->out))
			req_end(g, w->out, g->req.end, 0);
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

void req_text(struct walk *w, struct slice s)
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

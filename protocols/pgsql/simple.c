/* A simple query: cut at its top-level `;`, each statement is a request. */
#include "protocols/pgsql/state.h"

static void statement_begin(struct walk *w, uint64_t off)
{
	struct query *q = &w->g->query;

	req_begin(w, UNIT_STATEMENT, off);
	if (q->n == 0)
		q->key = w->g->req.key;
	else
		w->g->req.flags |= MSG_FOLLOWS;
	if (q->n < PGSQL_LINES_MAX)
		q->from[q->n] = q->chars - (q->n > 0);
	q->n++;
}

void simple_begin(struct walk *w)
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
		req_end(w->g, w->out, w->g->req.end, 0);
		return STEP_ENDED;
	}
	return STEP_GO;
}

static enum step query_text(struct walk *w, struct slice piece)
{
	struct query *q = &w->g->query;
	bool end, empty = false;
	size_t n = sql_split(&q->split, piece, &end, &empty);

	req_text(w, slice_head(piece, n - end));
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
	ended = req_whole(w);
	flight_barrier(&g->flight);
	g->fresh = true;
	return ended ? STEP_ENDED : STEP_GO;
}

enum step simple_step(struct walk *w)
{
	struct query *q = &w->g->query;
	uint64_t left = w->half->body_end - 1 - position(w);
	struct slice piece = slice_head(rest(w), (size_t)MIN(left, (uint64_t)rest(w).n));

	if (q->next) {
		q->next = false;
		statement_begin(w, w->g->req.end);
		req_text(w, slice_of(&q->first, 1));
	}
	if (left == 0)
		return query_end(w);
	if (piece.n == 0)
		return STEP_MORE;
	return q->between ? query_between(w, piece) : query_text(w, piece);
}

/* A statement whose first byte was seen has begun. */
void simple_torn(struct pgsql *g, struct sink *out)
{
	struct parse_in in = { .dir = (enum dir)g->client };
	struct walk w = { .g = g, .half = &g->half[g->client], .in = &in, .out = out };

	g->query.torn = true;
	if (!g->query.next)
		return;
	g->query.next = false;
	statement_begin(&w, g->req.end);
}

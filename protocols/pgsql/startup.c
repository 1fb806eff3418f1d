/* How a connection begins: packets without a tag, the question for encryption, the login. */
#include "protocols/pgsql/state.h"

/* Takes a packet whole: it is short, and all of its length is known. */
static enum step opening_take(struct walk *w, size_t *ret_len, enum pgsql_opening *ret)
{
	if (rest(w).n < PGSQL_OPENING_HEAD) {
		w->need = PGSQL_OPENING_HEAD;
		return STEP_MORE;
	}
	*ret = pgsql_opening(rest(w), ret_len);
	if (*ret == OPENING_BAD)
		return STEP_STOP;
	w->need = *ret_len;
	return rest(w).n < *ret_len ? STEP_MORE : STEP_GO;
}

static void keep(char *to, uint8_t *n, struct slice s)
{
	s = slice_head(s, PGSQL_NAME_MAX);
	memcpy(to, s.p, s.n);
	*n = (uint8_t)s.n;
}

/* Who wants to be connected to what: the database's default name is the user's. */
static void parameters(struct pgsql *g, struct slice s)
{
	g->user_n = g->database_n = 0;
	while (s.n > 1) {
		struct slice name = text_take(&s), value = text_take(&s);

		if (slice_eq_str(name, "user"))
			keep(g->user, &g->user_n, value);
		else if (slice_eq_str(name, "database"))
			keep(g->database, &g->database_n, value);
	}
	if (g->database_n == 0)
		keep(g->database, &g->database_n, slice_of(g->user, g->user_n));
}

static enum step cancel(struct walk *w, size_t n)
{
	struct pgsql *g = w->g;
	uint64_t key = g->flight.next_key++;

	g->flight.first_key++;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, key, position(w));
	sink_field(w->out, MSG_REQUEST, key, FIELD_COMMAND, SLICE_LIT("CANCEL"));
	w->at += n;
	sink_end(w->out, MSG_REQUEST, key, position(w), MSG_ONEWAY);
	return STEP_ENDED;
}

enum step opening_step(struct walk *w)
{
	struct pgsql *g = w->g;
	enum pgsql_opening what;
	enum step step;
	size_t n;

	if (rest(w).n == 0)
		return STEP_MORE;
	if (g->login == LOGIN_ASKED && !w->in->force)
		return STEP_WAIT;
	step = opening_take(w, &n, &what);
	if (step != STEP_GO)
		return step;
	if (what == OPENING_CANCEL)
		return cancel(w, n);
	if (what == OPENING_STARTUP) {
		g->login = LOGIN_SENT;
		g->login_begin = position(w);
		parameters(g, slice_from(slice_head(rest(w), n), PGSQL_OPENING_HEAD));
		w->half->phase = PH_HEAD;
	} else {
		g->login = LOGIN_ASKED;
		g->gss = what == OPENING_GSS;
	}
	w->at += n;
	w->half->edge = position(w);
	return STEP_GO;
}

enum step asked_step(struct walk *w)
{
	struct pgsql *g = w->g;

	if (rest(w).n == 0)
		return STEP_MORE;
	switch (rest(w).p[0]) {
	case 'N':
		w->at++;
		g->login = LOGIN_START;
		return STEP_GO;
	case 'E': /* a server that does not know the question */
		g->login = LOGIN_SENT;
		return STEP_GO;
	case 'S':
	case 'G':
		w->at++;
		w->next = PROTO_TLS;
		w->why = "gss";
		return g->gss ? STEP_STOP : STEP_SWITCH;
	default:
		return STEP_STOP;
	}
}

void login_tell(struct pgsql *g, struct sink *out)
{
	uint64_t key = g->login_key = g->flight.next_key++, end = g->half[g->client].edge;

	g->told_login = true;
	g->flight.first_key++;
	g->flight.hopeless = true; /* nothing else will be answered */
	sink_begin(out, MSG_REQUEST, (enum dir)g->client, key, g->login_begin);
	sink_field(out, MSG_REQUEST, key, FIELD_COMMAND, SLICE_LIT("CONNECT"));
	if (g->user_n)
		sink_field(out, MSG_REQUEST, key, FIELD_USER, slice_of(g->user, g->user_n));
	if (g->database_n)
		sink_field(out, MSG_REQUEST, key, FIELD_DATABASE,
			   slice_of(g->database, g->database_n));
	sink_end(out, MSG_REQUEST, key, MAX(end, g->login_begin), 0);
}

void login_agreed(struct pgsql *g, struct sink *out)
{
	g->login = LOGIN_AGREED;
	sink_field(out, MSG_CONN, 0, FIELD_USER, slice_of(g->user, g->user_n));
	sink_field(out, MSG_CONN, 0, FIELD_DATABASE, slice_of(g->database, g->database_n));
}

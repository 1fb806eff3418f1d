/* What the files of the PostgreSQL parser share; nobody else includes this. */
#ifndef PROTOCOLS_PGSQL_STATE_H
#define PROTOCOLS_PGSQL_STATE_H

#include "base/sql_split.h"
#include "base/util.h"
#include "protocols/pgsql/flight.h"
#include "protocols/pgsql/names.h"
#include "protocols/pgsql/pgsql.h"
#include "protocols/step.h"

/* Where a direction is within its message. */
enum phase {
	PH_HEAD,
	PH_OPENING, /* client: a packet of the beginning, which has no tag */
	PH_TARGET,  /* client, the parts of a body: what kind of name follows */
	PH_NAME,
	PH_NAME2,
	PH_JOIN, /* no bytes: the names are known, the message finds its group */
	PH_TEXT, /* of a Parse */
	PH_QUERY,
	PH_BODY, /* server: the bytes that are looked at */
	PH_REST, /* up to the end, not wanted */
	_PH_MAX
};

struct half {
	uint64_t last;	   /* position behind the last byte that is done with */
	uint64_t edge;	   /* position behind the last message that was read to its end */
	uint64_t begin;	   /* of the message */
	uint64_t body_end; /* position behind it */
	uint64_t held_to;  /* while lost: position behind what has come and could be a message */
	uint8_t phase;
	uint8_t tag;
	bool lost;	/* looking for a message among unknown bytes */
	bool body_lost; /* bytes of this message are missing */
};

enum login {
	LOGIN_DONE,   /* or long ago */
	LOGIN_START,  /* nothing came */
	LOGIN_ASKED,  /* whether the connection may be encrypted */
	LOGIN_SENT,   /* the startup packet, all else is authentication */
	LOGIN_AGREED, /* AuthenticationOk */
};

/* What the client sends before it is asked for data, see enum unit. */
struct request {
	uint64_t key;
	uint64_t end;	 /* position behind what is sure to belong to it */
	uint64_t text;	 /* bytes of the statement so far */
	uint64_t copied; /* bytes of COPY data */
	uint32_t flags;	 /* enum msg_flag */
	bool open;	 /* begun, and not ended */
	bool group;	 /* of the extended protocol */
	bool call;	 /* of a function */
	bool held;	 /* all of it came, but a COPY may follow that belongs to it */
	uint8_t parts;	 /* enum part */
	bool has_stmt, has_portal;
	uint64_t stmt, portal;
	uint8_t head_n;
	uint8_t head[PGSQL_HEAD_MAX]; /* the statement's first bytes */
};

/* A simple query on its way. */
struct query {
	struct sql_split split;
	uint64_t chars;			/* of its text so far */
	uint64_t from[PGSQL_LINES_MAX]; /* where its statements begin, in characters */
	uint64_t key;			/* of the first one */
	uint32_t n;			/* statements */
	bool between;			/* behind a `;`: another statement may begin */
	bool next;			/* it does, with the byte `first` */
	bool plain;			/* all its bytes are characters */
	bool answered;			/* one of them was */
	bool torn;			/* bytes of it are missing, perhaps of several statements */
	uint8_t first;
};

/* What came of the answer to the oldest exchange in flight. */
struct answer {
	uint64_t end;	/* position behind its last message */
	uint64_t rows;	/* DataRow */
	uint64_t bytes; /* of CopyData */
	uint32_t flags;
	uint8_t got;  /* enum part */
	uint8_t fail; /* enum unit that failed since the last ReadyForQuery */
	bool begun, copying;
};

/* What the server's message at hand is. */
enum role {
	ROLE_NONE, /* nothing to us */
	ROLE_LOGIN,
	ROLE_ANSWER, /* part of the answer to the oldest in flight */
	ROLE_PUSH,
	ROLE_READY,
	ROLE_SETTING, /* a parameter of the session */
};

struct pgsql {
	struct half half[2];
	struct flight flight;
	struct request req;
	struct query query;
	struct answer ans;
	struct portals portals;
	uint64_t name[2]; /* hashes of the names in the message at hand */
	uint8_t name_n, kind;
	char name_text[PGSQL_NAME_MAX]; /* of the first */
	uint64_t login_begin, login_key;
	uint64_t pushes;
	uint64_t
		older_to; /* what the server sent before this position came before the last request */
	uint8_t client;	  /* enum dir */
	uint8_t login;
	uint8_t user_n, database_n;
	char user[PGSQL_NAME_MAX], database[PGSQL_NAME_MAX];
	uint8_t role;			/* enum role */
	bool backslash, backslash_next; /* \ escapes in each string: as told; as the server said */
	bool name_unknown;
	bool copy_sent;	 /* all data of a COPY came before the server asked for it */
	bool fresh;	 /* what the client sends next begins an interval */
	bool copy_in;	 /* the server waits for data */
	bool told_login; /* the request of a failed login */
	bool gss;
	bool over;
};

_Static_assert(sizeof(struct pgsql) <= PROTO_STATE_MAX, "state of pgsql");

/* One call of parse(). */
struct walk {
	struct pgsql *g;
	struct half *half;
	const struct parse_in *in;
	struct sink *out;
	size_t at; /* bytes of in->buf that are done with */
	uint64_t skip;
	size_t need; /* with STEP_MORE: bytes from `at` on, 0: one more */
	enum proto_id next;
	const char *why; /* with STEP_STOP */
};

static inline uint64_t position(const struct walk *w)
{
	return w->in->off + w->at;
}

static inline struct slice rest(const struct walk *w)
{
	return slice_from(w->in->buf, w->at);
}

/* Whether a message's tag is among these. */
static inline bool is_one_of(uint8_t tag, const char *tags)
{
	return tag && strchr(tags, tag) != NULL;
}

/* The text up to the next NUL, or the end; s goes on behind it. */
static inline struct slice text_take(struct slice *s)
{
	size_t n = slice_find(*s, 0);
	struct slice t = slice_head(*s, n);

	*s = slice_from(*s, n + 1);
	return t;
}

/* pgsql.c: what both directions do. */
/* Among unknown bytes: whether a message begins here. */
enum step believe(struct walk *w, enum pgsql_side side);
/* Takes a message's tag and length. */
enum step header_take(struct walk *w, enum pgsql_side side);
/* Passes over the message's other bytes; STEP_GO behind them. */
enum step body_skip(struct walk *w);
/* The oldest exchange in flight gets no answer, or not all of it. flags: enum msg_flag. False when it
 * is none, or has been answered; the caller takes it out of the flight. */
bool answer_none(struct pgsql *g, struct sink *out, uint64_t off, uint32_t flags);

/* request.c */
/* Makes place in the flight for a request; STEP_GO: it may begin. whole: it begins an interval. */
enum step req_admit(struct walk *w, bool whole);
void req_begin(struct walk *w, enum unit unit, uint64_t off);
void req_num(struct pgsql *g, struct sink *out, enum field_id f, uint64_t v);
/* More of its statement's text. */
void req_text(struct walk *w, struct slice s);
/* Ends the open request, if there is one. */
void req_end(struct pgsql *g, struct sink *out, uint64_t off, uint32_t flags);
/* All of it came: it ends, unless COPY data may follow. Whether it ended. */
bool req_whole(struct walk *w);
/* Ends a request that was held back for its COPY data. */
bool held_release(struct pgsql *g, struct sink *out);

/* simple.c */
void simple_begin(struct walk *w);
enum step simple_step(struct walk *w);
/* Bytes of it are missing. */
void simple_torn(struct pgsql *g, struct sink *out);

/* group.c */
void group_begin(struct walk *w);
enum step group_step(struct walk *w);

/* frontend.c */
enum step frontend_step(struct walk *w);
void frontend_gap(struct pgsql *g, uint64_t off, uint64_t lost, struct sink *out);
void frontend_lost(struct pgsql *g, uint64_t off, struct sink *out);
/* The direction ends: so does what is open. Whether something was. */
bool frontend_finish(struct pgsql *g, uint64_t off, struct sink *out);

/* startup.c */
enum step opening_step(struct walk *w);
/* The server's answer to a question for encryption. */
enum step asked_step(struct walk *w);
/* The request of a failed login. */
void login_tell(struct pgsql *g, struct sink *out);
void login_agreed(struct pgsql *g, struct sink *out);

/* admit.c */
enum step answer_admit(struct walk *w, uint8_t tag);
/* The parts of a request that want an answer. */
uint8_t parts_of(struct flight_entry e);
/* The part that a message answers in full; 0: it is one of several. pending: not answered yet. */
uint8_t part_answered(uint8_t tag, uint8_t pending);
/* Whether all parts of the oldest request have been answered, and no other will come. */
bool is_answered(const struct pgsql *g);
enum step answer_end(struct walk *w, uint32_t flags);

/* body.c */
enum step body_step(struct walk *w);
void answer_begin(struct walk *w);
/* At ReadyForQuery, what the server has said of the session's settings. */
void setting_tell(struct pgsql *g, struct sink *out);

/* backend.c */
enum step backend_step(struct walk *w);
void backend_gap(struct pgsql *g, uint64_t off, uint64_t lost);
/* lost: bytes that are missing, 0: what came is no message. */
void backend_lost(struct pgsql *g, uint64_t lost);
bool backend_finish(struct pgsql *g, uint64_t off, struct sink *out);

#endif

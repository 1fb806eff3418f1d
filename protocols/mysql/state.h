/* What the parser of MySQL remembers of a connection, and what its files share.
 *
 * Client:  (login) -> command -> its reply -> command ...; it waits with the next command until the
 *          reply is over, unless it is forced to go on (a client that does not wait itself).
 * Server:  greeting -> dialog of the login -> replies
 *
 *	client.c	commands, login, local files
 *	text.c		the statements of a query
 *	server.c	greeting, dialog, which reply comes now, what is nobody's
 *	reply.c		the packets of one reply
 *	mysql.c		the walk along packets, loss, ends
 *
 * Invariants: pending[] holds, oldest first, the statements whose reply is not over; reply.open says
 * that begin() was told of the oldest one's reply and end() was not.
 */
#ifndef PROTOCOLS_MYSQL_STATE_H
#define PROTOCOLS_MYSQL_STATE_H

#include "protocols/mysql/command.h"
#include "protocols/mysql/mysql.h"
#include "protocols/mysql/packet.h"
#include "protocols/step.h"
#include "base/sql_split.h"
#include "base/sql_wide.h"

enum phase { PHASE_GREETING, PHASE_LOGIN, PHASE_DIALOG, PHASE_COMMANDS };

enum known { UNKNOWN, NO, YES };

/* A name that is not known has n = 0. */
struct name {
	uint8_t n;
	uint8_t bytes[MYSQL_NAME_MAX];
};

/* One direction. A payload may be spread over several packets. */
struct half {
	uint64_t left; /* bytes of the packet's payload that have not passed */
	uint64_t last; /* position behind the last byte consumed */
	bool inside;   /* a payload has begun and is not over */
	bool more;     /* it goes on in another packet */
	bool lost;     /* looking for a boundary among unknown bytes */
	uint8_t seq;   /* of the last packet */
};

enum pending_flag {
	PENDING_FIRST = 1 << 0,	 /* of its command */
	PENDING_LAST = 1 << 1,	 /* of its command: what results come belong to it */
	PENDING_CALL = 1 << 2,	 /* results up to one without rows belong to it */
	PENDING_USE = 1 << 3,	 /* when it succeeds, `wanted` is the database */
	PENDING_HELD = 1 << 5,	 /* it had to wait for the reply before */
	PENDING_JOINED = 1 << 4, /* a fetch: its reply goes on with the one of its execute */
};

struct pending {
	uint64_t key;
	uint32_t stmt; /* of an execute or a fetch */
	uint8_t command;
	uint8_t flags;
	uint8_t seq; /* of the first packet of the reply, with PENDING_FIRST */
};

/* What the payload that passes in the direction of the client is. */
enum job { JOB_PASS, JOB_TEXT, JOB_COMMAND, JOB_CONTENT };

struct request {
	uint64_t key, off;
	uint64_t text_left; /* bytes of the statement that may still be emitted */
	uint32_t flags;	    /* enum msg_flag */
	uint8_t command;
	uint8_t job;
	bool open;
};

enum reply_state {
	AT_FIRST,   /* the first packet of a result */
	AT_COLUMNS, /* `left` descriptions of columns, or of a prepared statement's parameters */
	AT_COLUMNS_OVER, /* an EOF or a row */
	AT_ROW,
	AT_FILE, /* the client sends a file */
};

struct reply {
	uint64_t key, off;
	int64_t rows, affected; /* -1: the reply has none */
	uint32_t flags;		/* enum msg_flag */
	uint32_t left, left_next;
	uint32_t status;
	uint8_t state;
	bool open;
	bool over;  /* it ends with the packet at hand */
	bool error; /* with an error */
};

/* The reply to an execute that left a cursor open: it may go on with a fetch. */
struct cursor {
	uint64_t key, end;
	int64_t rows;
	uint32_t stmt;
	bool open;
};

/* The beginning of a statement: its first word, and the name behind USE (in `wanted`). */
#define HEAD_WORD_MAX 8
struct statement_head {
	struct sql_lexer lex;
	uint8_t at;
	uint8_t word_n;
	char word[HEAD_WORD_MAX];
};

struct mysql {
	struct half half[2];
	struct request request;
	struct reply reply;
	struct cursor cursor;
	struct sql_split split;
	struct statement_head head;
	struct sql_wide wide;
	struct pending pending[MYSQL_PENDING_MAX]; /* a ring */
	uint32_t pending_at, n_pending;
	uint64_t next_key, next_orphan, next_push;
	uint64_t caps;
	uint64_t login_off, login_end;
	uint64_t long_off; /* where the long data begins that belongs to the next execute */
	uint32_t long_stmt;
	uint32_t prepared; /* the statement that was prepared last; 0 none */
	uint32_t drops;	   /* statements at the head of pending[] that were never executed */
	struct name user, database; /* as the login wants them */
	struct name wanted;	    /* as the command wants it */
	uint8_t client;		    /* enum dir of requests */
	uint8_t phase;
	uint8_t deprecate_eof; /* enum known */
	uint8_t backslash;     /* enum known: whether \ escapes, as the server said last */
	bool no_backslash;     /* as the session was told */
	bool over;
	bool caps_known;
	bool long_sent;
	bool splits;	    /* the text at hand may have several statements */
	bool login_told;    /* that a failed login was one */
	bool file;	    /* the client sends a local file */
	bool piped;	    /* the client does not wait for replies */
	bool held;	    /* a command waits for the reply before */
	bool blocked;	    /* it still does; only the next parse of the client may change that */
	bool eof_may_come;  /* an EOF packet behind a reply that may have been over */
	bool push_open;	    /* what the server says unasked */
	bool packing;	    /* what follows the packet at hand is compressed */
	bool mid;	    /* older than what is known of it, and no command was seen yet */
	bool packed;	    /* all is: then what is in the packets is numbered less strictly */
	uint8_t server_seq; /* of the server's next packet in a reply that has begun */
};

_Static_assert(sizeof(struct mysql) <= PROTO_STATE_MAX, "state of mysql");

/* One call of parse(). */
struct walk {
	struct mysql *m;
	struct half *half;
	const struct parse_in *in;
	struct sink *out;
	size_t at; /* bytes of in->buf that are done with */
	uint64_t skip;
	enum proto_id next;
	const char *why; /* of STEP_STOP */
};

static inline uint64_t position(const struct walk *w)
{
	return w->in->off + w->at;
}

static inline struct slice rest(const struct walk *w)
{
	return slice_from(w->in->buf, w->at);
}

/* The header that comes next; false when it is not all there. */
static inline bool peek_packet(const struct walk *w, struct packet *ret)
{
	struct reader r = reader_of(rest(w));

	ret->len = (uint32_t)read_le(&r, 3);
	ret->seq = read_u8(&r);
	return !r.bad;
}

/* The first bytes of the payload behind that header, up to max; false when they are not all there. */
static inline bool peek_payload(const struct walk *w, const struct packet *p, size_t max,
				struct slice *ret)
{
	size_t n = p->len < max ? p->len : max;

	*ret = slice_head(slice_from(rest(w), PACKET_HEADER), n);
	return ret->n == n;
}

/* Takes the header and n bytes of the payload. */
static inline void take_packet(struct walk *w, const struct packet *p, size_t n)
{
	w->half->inside = true;
	w->half->more = p->len == PACKET_FULL;
	w->half->left = p->len - n;
	w->half->seq = p->seq;
	w->at += PACKET_HEADER + n;
}

/* Whether a packet may be the one with that number. In compressed packets, which have numbers of their
 * own, it is sometimes theirs that goes on. */
static inline bool seq_fits(const struct mysql *m, const struct packet *p, uint8_t seq)
{
	return p->seq == seq || m->packed;
}

static inline bool name_set(struct name *n, struct slice v)
{
	n->n = 0;
	if (v.n == 0 || v.n > MYSQL_NAME_MAX)
		return false;
	memcpy(n->bytes, v.p, v.n);
	n->n = (uint8_t)v.n;
	return true;
}

static inline struct slice name_get(const struct name *n)
{
	return slice_of(n->bytes, n->n);
}

static inline struct pending *pending_oldest(struct mysql *m)
{
	return m->n_pending ? &m->pending[m->pending_at] : NULL;
}

/* The command that is being answered; there is one while a reply is read. */
static inline struct pending *pending_answered(struct mysql *m)
{
	return &m->pending[m->pending_at];
}

static inline void pending_pop(struct mysql *m)
{
	m->pending_at = (m->pending_at + 1) % MYSQL_PENDING_MAX;
	m->n_pending--;
}

static inline struct pending *pending_push(struct mysql *m)
{
	return &m->pending[(m->pending_at + m->n_pending++) % MYSQL_PENDING_MAX];
}

/* Why a client that does not wait is left when bytes are lost. */
#define MYSQL_IN_DOUBT "replies cannot be told apart behind lost bytes"

/* mysql.c. Nothing of the payload is wanted. */
enum step pass_payload(struct walk *w);

/* client.c. At the beginning of a payload; while one passes; behind one. */
enum step client_start(struct walk *w);
enum step client_payload(struct walk *w);
enum step client_done(struct walk *w);
/* The first packet of the reply to the newest command has this number. */
void note_reply_seq(struct mysql *m, uint8_t seq);
/* Ends the open request at position off. */
void request_end(struct mysql *m, struct sink *out, uint64_t off, uint32_t flags);

/* text.c. At the beginning of a statement's text; while it passes; behind it. */
void text_begin(struct mysql *m);
enum step text_payload(struct walk *w);
void text_over(struct mysql *m);

/* server.c */
enum step server_start(struct walk *w);
enum step server_done(struct walk *w);
/* A failed login, or what the server says unasked. */
void tell_error(struct walk *w, enum msg_kind kind, uint64_t key, struct slice payload);

/* What the server says of the session with the status of a reply. */
void note_status(struct walk *w, const struct ok_packet *ok);
/* Tells the session whether \ escapes, when that has changed. */
void tell_backslash(struct mysql *m, struct sink *out);
/* How statements that are sent now are read. */
static inline enum sql_dialect dialect_of(const struct mysql *m)
{
	return m->no_backslash ? SQL_MYSQL_NO_BACKSLASH : SQL_MYSQL;
}

/* reply.c */
/* The next packet of the reply to the oldest pending statement. */
enum step reply_packet(struct walk *w, const struct packet *p);
/* Ends the open reply at position off. */
void reply_end(struct mysql *m, struct sink *out, uint64_t off, uint32_t flags);
/* The reply with an open cursor will not go on. Whether there was one. */
bool cursor_end(struct mysql *m, struct sink *out);
/* One of the statements that were never executed is dropped. Whether there was one. */
bool drop_one(struct mysql *m, struct sink *out);
/* Whether what is at hand can be nothing else than the reply to p: STEP_GO, STEP_LOST, STEP_MORE. */
enum step reply_believable(struct walk *w, const struct packet *p, const struct pending *to);

#endif

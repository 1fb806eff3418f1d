/* Hop 6: requests and responses become exchanges, exchanges become rows. Receives what the parsers
 * push (struct sink_ops), keeps one bounded copy of each field, redacts before anything leaves.
 * pair.c does what is the same for all protocols; what one protocol's fields mean and which columns
 * they become is its struct pair_ops, in pair_NAME.c and in the table of pair_table.c.
 */
#ifndef AGENT_PAIR_H
#define AGENT_PAIR_H

#include "base/strbuf.h"
#include "base/util.h"
#include "protocols/protocol.h"
#include "protocols/trace_context.h"

#define OPEN_MAX	    8192 /* exchanges under way on one connection; then the oldest is evicted */
#define EXCHANGE_KEEP	    4096  /* idle exchanges kept for reuse, */
#define EXCHANGE_REST	    64	  /* so many however long it was quiet */
#define EXCHANGE_KEEP_BYTES 8192  /* larger ones are given back */
#define EXCHANGE_TEXT_MAX   49152 /* bytes of all texts of one exchange */
#define EXCHANGE_TEXTS	    8	  /* texts a protocol may keep of one exchange */
#define EXCHANGE_NUMS	    8	  /* and numbers */
#define HEADER_NAME_MAX	    256
/* Bytes of a body behind those that are stored, so that a secret that is cut there is known as one. */
#define BODY_MARGIN	 512
#define SESSION_TEXT_MAX 64	    /* bytes of a user's or database's name */
#define OPEN_BYTES_MAX	 (8 * MIB)  /* memory of all open exchanges of one connection */
#define PAIR_BYTES_MAX	 (64 * MIB) /* and of all connections; then texts are left out */

struct pipeline;
struct conn;

/* A run of bytes in exchange.text; n = 0: absent. */
struct text_ref {
	uint32_t off, n;
};

/* What a connection's requests have in common; told by the parser as MSG_CONN. */
struct session {
	bool has_user;		       /* FIELD_USER was told, which may be empty */
	bool has_backslash, backslash; /* FIELD_BACKSLASH: was told; what */
	uint8_t user_n, database_n;
	char user[SESSION_TEXT_MAX], database[SESSION_TEXT_MAX];
};

struct message {
	bool begun, done;
	uint32_t flags;	   /* enum msg_flag */
	uint64_t off, end; /* positions in its direction */
	uint64_t first_ns, last_ns;
	int64_t body_bytes;    /* -1 unknown */
	struct strbuf headers; /* JSON object without its closing brace, redacted */
};

enum exchange_kind { EXCHANGE_REQUEST, EXCHANGE_ONEWAY, EXCHANGE_PUSH };

struct exchange {
	struct exchange *next, *prev;
	uint64_t key;
	struct message msg[2]; /* MSG_REQUEST, MSG_RESPONSE; a push has the latter alone */
	uint8_t kind;	       /* enum exchange_kind */
	bool waits;	       /* ended, but not a row yet: see pair_settle() */
	bool truncated;
	bool degraded; /* a column is unknown, though both messages were understood */
	uint64_t twin; /* of a datagram: identity of the query, 0 none; see dgram.h */
	uint32_t twin_nth;
	struct trace_context trace;
	/* What the protocol's pair_ops keeps, by its own numbers. */
	int64_t num[EXCHANGE_NUMS]; /* -1 unknown */
	struct text_ref text[EXCHANGE_TEXTS];
	struct strbuf bytes; /* what text[] points into */
	size_t memory;	     /* of this, as counted in pair and conn */
};

struct memo_line;
struct row_builder;

/* What hop 6 has to know of one protocol. All arguments are borrowed for the call. kind is MSG_REQUEST
 * or MSG_RESPONSE; what a push says comes as MSG_RESPONSE, and x->kind tells. */
struct pair_ops {
	uint16_t table; /* enum table_id: one with TABLE_F_EXCHANGES */
	/* A field, or a piece of one, of a message that has begun. FIELD_HEADER_NAME does not come
	 * here: the name stands in p->pair when its value comes. */
	void (*field)(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		      struct slice v);
	/* A number; FIELD_BODY_BYTES is the same everywhere and does not come here. */
	void (*num)(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		    int64_t v);
	/* As in struct sink_ops, both or neither: a line that was learnt does again what field() did
	 * with it; NULL when it is not known. */
	const struct memo_line *(*known)(struct pipeline *p, struct exchange *x, enum msg_kind kind,
					 struct slice line);
	void (*learn)(struct pipeline *p, struct exchange *x, enum msg_kind kind,
		      const struct header_line *h);
	/* The columns that are the protocol's own, and of the common ones method, resource, status,
	 * status_code, error, the trace's, and failed and client_error as far as an answer tells. */
	void (*columns)(struct pipeline *p, struct conn *c, struct exchange *x,
			struct row_builder *b);
};

/* pair_table.c: never NULL for a protocol that has a parser. */
const struct pair_ops *pair_ops_of(enum proto_id id);
extern const struct pair_ops pair_dns_ops, pair_http_ops, pair_mysql_ops, pair_pgsql_ops,
	pair_redis_ops;

struct pair {
	struct pipeline *p;
	struct conn *c;		    /* whose parser is running */
	const struct pair_ops *ops; /* of its protocol */
	enum dir dir;
	struct exchange *free_list;
	size_t n_free, least_free; /* now; at the least since the last pair_rest() */
	uint64_t n_open, n_open_answers, n_open_pushes;
	uint64_t memory;		   /* bytes allocated for open exchanges */
	char header_name[HEADER_NAME_MAX]; /* of the field whose value comes next */
	size_t header_name_len;
	bool learnable; /* the last header stands behind learn_from in its message's JSON */
	size_t learn_from;
	uint8_t learn_use;   /* what it is good for, in the words of its protocol's pair_ops */
	const char *outcome; /* of exchanges that end without their answer; NULL: see how the
			      * connection ended */
	struct exchange *at; /* the exchange of the last push: fields come in runs */
};

extern const struct sink_ops pair_sink;

void pair_init(struct pair *pr);
void pair_done(struct pair *pr);
/* Once a second: of the exchanges kept for reuse, half of those that were not used are given back. */
void pair_rest(struct pair *pr);
/* Which connection and direction the parser is about to speak of. */
void pair_at(struct pair *pr, struct pipeline *p, struct conn *c, enum dir dir);
/* All open exchanges of the connection become rows: it ended, was evicted, or the agent stops, or
 * another protocol begins. What was known of its session is forgotten. */
void pair_close(struct pipeline *p, struct conn *c);
/* A request that ended before it was known whether the connection's other end reads it becomes a row. */
void pair_settle(struct pipeline *p, struct conn *c);
/* Exchanges without traffic since before_ns become rows with outcome timed_out; of datagrams those
 * whose request is older. */
void pair_expire(struct pipeline *p, struct conn *c, uint64_t before_ns);

static inline struct slice exchange_text(const struct exchange *x, unsigned int t)
{
	return slice_of(x->bytes.p + x->text[t].off, x->text[t].n);
}

/* Remembers a text of the exchange (t < EXCHANGE_TEXTS), cut to max bytes; appends when it has some
 * already. */
void exchange_keep(struct exchange *x, unsigned int t, struct slice v, size_t max);

#endif

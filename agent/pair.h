/* Hop 6: requests and responses become exchanges, exchanges become rows. Receives what the parsers
 * push (struct sink_ops), keeps one bounded copy of each field, redacts before anything leaves.
 */
#ifndef AGENT_PAIR_H
#define AGENT_PAIR_H

#include "base/strbuf.h"
#include "base/util.h"
#include "protocols/protocol.h"
#include "protocols/trace_context.h"

#define OPEN_MAX	  1024	/* exchanges under way on one connection; then the oldest is evicted */
#define EXCHANGE_KEEP	  4096	/* idle exchanges kept for reuse */
#define EXCHANGE_KEEP_BYTES 8192 /* larger ones are given back */
#define EXCHANGE_TEXT_MAX 49152 /* bytes of all texts of one exchange */
#define HEADER_NAME_MAX	  256
#define OPEN_BYTES_MAX	  (1 * MIB)  /* memory of all open exchanges of one connection */
#define PAIR_BYTES_MAX	  (64 * MIB) /* and of all connections; then texts are left out */

struct pipeline;
struct conn;

/* A run of bytes in exchange.text; n = 0: absent. */
struct text_ref {
	uint32_t off, n;
};

enum exchange_text {
	TEXT_METHOD,
	TEXT_TARGET,
	TEXT_HOST,
	TEXT_USER_AGENT,
	TEXT_CONTENT_TYPE,
	TEXT_REQUEST_BODY,
	TEXT_RESPONSE_BODY,
	_EXCHANGE_TEXT_MAX,
};

struct message {
	bool begun, done;
	uint32_t flags;	   /* enum msg_flag */
	uint64_t off, end; /* positions in its direction */
	uint64_t first_ns, last_ns;
	int64_t body_bytes; /* -1 unknown */
	struct strbuf headers; /* JSON object without its closing brace, redacted */
};

struct exchange {
	struct exchange *next;
	uint64_t key;
	struct message msg[2]; /* MSG_REQUEST, MSG_RESPONSE */
	int64_t status, version; /* -1 unknown */
	bool truncated;
	struct trace_context trace;
	struct text_ref text[_EXCHANGE_TEXT_MAX];
	struct strbuf bytes; /* what text[] points into */
	size_t memory;	     /* of this, as counted in pair and conn */
};

struct pair {
	struct pipeline *p;
	struct conn *c; /* whose parser is running */
	enum dir dir;
	struct exchange *free_list;
	size_t n_free;
	uint64_t n_open, n_open_answers;
	uint64_t memory; /* bytes allocated for open exchanges */
	char header_name[HEADER_NAME_MAX]; /* of the field whose value comes next */
	size_t header_name_len;
	bool learnable; /* the last header stands behind learn_from in its message's JSON */
	size_t learn_from;
	const char *outcome; /* of exchanges that end without their answer; NULL: see how the
			      * connection ended */
	struct exchange *at; /* the exchange of the last push: fields come in runs */
};

extern const struct sink_ops pair_sink;

void pair_init(struct pair *pr);
void pair_done(struct pair *pr);
/* Which connection and direction the parser is about to speak of. */
void pair_at(struct pair *pr, struct pipeline *p, struct conn *c, enum dir dir);
/* All open exchanges of the connection become rows: it ended, was evicted, or the agent stops. */
void pair_close(struct pipeline *p, struct conn *c);
/* Exchanges without traffic since before_ns become rows with outcome timed_out. */
void pair_expire(struct pipeline *p, struct conn *c, uint64_t before_ns);

static inline struct slice exchange_text(const struct exchange *x, enum exchange_text t)
{
	return slice_of(x->bytes.p + x->text[t].off, x->text[t].n);
}

/* pair_http.c: one header of a message, redacted into its JSON and remembered where a column needs
 * it; and the columns of a finished exchange. */
void pair_http_header(struct pipeline *p, struct exchange *x, enum msg_kind kind, struct slice name,
		      struct slice value);
/* A line that was learnt does again what pair_http_header() did; NULL when it is not known. */
struct memo_line;
const struct memo_line *pair_http_known(struct pipeline *p, struct exchange *x, enum msg_kind kind,
					struct slice line);
void pair_http_learn(struct pipeline *p, struct exchange *x, enum msg_kind kind,
		     const struct header_line *h);
struct row_builder;
void pair_http_columns(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b);
/* Remembers a text of the exchange, cut to max bytes; appends when it has some already. */
void exchange_keep(struct exchange *x, enum exchange_text t, struct slice v, size_t max);

#endif

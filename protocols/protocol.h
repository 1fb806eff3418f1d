/* What a protocol parser is: pure functions over borrowed bytes that push what they understand into
 * a sink (hop 5). No malloc, no clock, no I/O, no locks. One state serves both directions of one
 * connection.
 *
 * To add a protocol x:
 *	protocols/proto_id.h		its id
 *	protocols/x/			the parser: struct proto_ops (below)
 *	protocols/registry.c		parsers, names and, in the order of certainty, probes
 *	protocols/schema.[hc]		its columns and its table, TABLE_F_EXCHANGES
 *	agent/pair_x.c, pair_table.c	struct pair_ops: what its fields mean, its columns
 *	agent/policy.c			the key capture.protocols.x.enabled
 *	tests/				golden/x, fuzz/fuzz_x.c, unit/protocols/test_x.c
 *					(unit/agent/test_pair.c looks for an entry in each table)
 *	docs/support-matrix.md		what is read, and what is not
 */
#ifndef PROTOCOLS_PROTOCOL_H
#define PROTOCOLS_PROTOCOL_H

#include "base/slice.h"
#include "protocols/proto_id.h"

/* As seen by the socket's owner; index of two-element arrays. */
enum dir { DIR_RX = 0, DIR_TX = 1 };

static inline enum dir dir_other(enum dir d)
{
	return d == DIR_RX ? DIR_TX : DIR_RX;
}

/* Input of one call: bytes not consumed so far, contiguous. off: stream position of buf.p[0].
 * eof: no byte will follow buf in this direction.
 * force: an earlier WAIT cannot be satisfied (timeout, other direction ended or lost bytes). What
 * waits in one direction is parsed with force before gap() is told of the other direction: it is
 * older than what comes behind the gap, so it must not be paired with that.
 * settled: of answers. All that came in the other direction is done with, and nothing that comes in it
 * later can have caused what buf begins with, for both directions are told in the order in which they
 * happened: so it is where a server sends (its socket gives it a request before it can answer). A
 * client may be seen to read an answer before its other thread is seen to have sent the request. */
struct parse_in {
	struct slice buf;
	uint64_t off;
	enum dir dir;
	bool eof;
	bool force;
	bool settled;
};

enum parse_status {
	PARSE_OK,     /* consumed > 0 bytes, or a message ended; call again with the rest */
	PARSE_NEED,   /* needs `need` contiguous bytes in all (> buf.n, <= ops->max_need) */
	PARSE_WAIT,   /* nothing more can be said before the other direction advances */
	PARSE_RESYNC, /* framing is lost: skip to resync()'s answer */
	PARSE_SWITCH, /* after `consumed` bytes of this direction another protocol speaks: `next`,
		       * PROTO_UNKNOWN for a tunnel; both directions switch. One that has a parser
		       * goes on with it, requests in the same direction */
	PARSE_UNPACK, /* what comes behind `consumed` bytes of this direction, and all of the other
		       * that has not been consumed, is in compressed packets (agent/unpack.h); what
		       * is in them is parsed, at positions of its own. Once in a connection */
	PARSE_STOP, /* this connection does not speak the protocol, or nothing more is wanted: `why`
		       * says what, a literal; NULL: not understood */
};

/* skip: bytes after `consumed` that the parser does not want (a body of known length). They are not
 * delivered, whether they arrive or not, and they count as known; the stream tells the kernel. The
 * next call in this direction begins behind them, is made as soon as the last of them has passed,
 * and may have an empty buf: it is what ends the message (sink_end) at the right time. Only with
 * PARSE_OK. When the direction ends inside the skipped bytes, the next call has eof set and off <
 * the end. PARSE_SKIP_ALL: everything up to the end of the direction. */
#define PARSE_SKIP_ALL ((uint64_t)1 << 62)

struct parse_result {
	enum parse_status st;
	size_t consumed;
	size_t need;
	uint64_t skip;
	enum proto_id next;
	const char *why;
};

enum msg_kind {
	MSG_REQUEST,
	MSG_RESPONSE,
	/* Nobody asked for it: a notice, a published message. Has a key of its own with KEY_PUSH set. */
	MSG_PUSH,
	/* No message: a fact of the session (FIELD_USER, ...) with key 0, without begin and end. It
	 * holds for what ends from now on, so it is told when the server has agreed to it. */
	MSG_CONN,
};

/* Flags of sink end(). */
enum msg_flag {
	MSG_TRUNCATED = 1 << 0, /* stored content was cut */
	MSG_LOST = 1 << 1,	/* bytes of the message were lost: it is not complete */
	MSG_DEGRADED = 1 << 2,	/* a field is unknown; with MSG_LOST also where it ends */
	MSG_CUT_EOF = 1 << 3,	/* the direction ended inside the message */
	MSG_TUNNEL = 1 << 4,	/* the exchange ends here, the connection becomes a tunnel */
	MSG_ONEWAY = 1 << 5,	/* of a request: there will be no response */
	MSG_DROP = 1 << 6,	/* of a request, or again of one that has ended: it turned out to be
				 * none, there is no row */
	/* Of a response that has not begun: it will not come, the server passed the request over; with
	 * MSG_LOST: what became of it is not known. */
	MSG_UNANSWERED = 1 << 7,
	/* Of a request: which answer is its own cannot be told, so none is waited for. */
	MSG_UNPAIRED = 1 << 8,
	/* Of a request: it came as one with the request before and is begun when that has ended (the
	 * statements of one query). It is not waited for before. */
	MSG_FOLLOWS = 1 << 9,
};

/* Fields by number: which of them a protocol emits, and in what order, stands at the head of its
 * parser; which columns they become, in its pair_ops. */
enum field_id {
	FIELD_METHOD,	   /* text */
	FIELD_TARGET,	   /* text: request target as sent */
	FIELD_STATUS,	   /* num */
	FIELD_VERSION,	   /* num: 10, 11, 20 */
	FIELD_HEADER_NAME, /* text; the value follows as FIELD_HEADER_VALUE with the same key */
	/* A second one without a name goes on with the value, after one space. */
	FIELD_HEADER_VALUE,
	FIELD_TRAILER_NAME,
	FIELD_TRAILER_VALUE,
	FIELD_BODY,	  /* text: body bytes after de-chunking, in order, may come in pieces */
	FIELD_BODY_BYTES, /* num: length of the body, also when its bytes were not delivered */
	FIELD_REASON,	  /* text: reason phrase of a status line */
	FIELD_INTERIM, /* num, of the final response: status of an interim (1xx) one before it; the
			* interim message's bytes lie before the final one's begin */

	FIELD_USER,	/* text, MSG_CONN */
	FIELD_DATABASE, /* text, MSG_CONN */
	/* num, 0 or 1, MSG_CONN: whether \ escapes in each string of SQL. Not told: what is usual,
	 * 1 with MySQL (0: SERVER_STATUS_NO_BACKSLASH_ESCAPES), 0 with PostgreSQL (1:
	 * standard_conforming_strings is off) */
	FIELD_BACKSLASH,

	/* SQL. An id is below 2^63. */
	FIELD_STATEMENT, /* text: as sent, may come in pieces */
	/* num, of a request: the prepared statement that it executes; of a response: the id under
	 * which the statement of its request can be executed from now on */
	FIELD_STMT_ID,
	FIELD_STMT_NAME,     /* text: the name under which a request prepares its statement */
	FIELD_STMT_CALLS,    /* num: the prepared statement that a request executes by its text */
	FIELD_STMT_CLOSE,    /* num: this id means nothing any more */
	FIELD_STMT_RESET,    /* num: nor does any */
	FIELD_PREPARED,	     /* num, 0 or 1 */
	FIELD_COMMAND,	     /* text: the protocol's own name of the request */
	FIELD_TAG,	     /* text: what the server says it did */
	FIELD_ROWS,	     /* num: rows that were returned */
	FIELD_AFFECTED_ROWS, /* num */
	FIELD_CODE,	     /* num: of the error */
	FIELD_SQLSTATE,	     /* text */
	FIELD_SEVERITY,	     /* text */
	FIELD_MESSAGE,	     /* text: the server's words, of an error or a notice */

	/* caches */
	FIELD_KEY,	  /* text */
	FIELD_ARG,	  /* text: one argument; in order */
	FIELD_REPLY_TYPE, /* num: the protocol's own types */

	/* DNS. A resource record is its name, type, TTL and data, in this order. */
	FIELD_QUERY_ID,	    /* num */
	FIELD_EDNS_SIZE,    /* num: bytes that its sender takes in a datagram */
	FIELD_EDNS_VERSION, /* num */
	FIELD_QNAME,	    /* text */
	FIELD_QTYPE,	    /* num */
	FIELD_QCLASS,	    /* num */
	FIELD_RCODE,	    /* num */
	FIELD_FLAGS,	    /* num */
	FIELD_RR_NAME,	    /* text */
	FIELD_RR_TYPE,	    /* num */
	FIELD_RR_TTL,	    /* num: seconds */
	FIELD_RR_DATA,	    /* text: in words, as in a zone file */
	_FIELD_MAX
};

/* Where parsers put what they found. key pairs request and response: the parser numbers exchanges
 * of a connection from 0 in order of their requests, or uses the protocol's own stream id. A
 * response whose request is not known has a key of its own with KEY_ORPHAN set. off: stream
 * position (of the direction in question) of the first byte of a message in begin(), behind its
 * last byte in end(). Slices are borrowed for the call. For a given message: begin, any number of
 * field and num, end (MSG_UNANSWERED: end alone). Messages of the two directions may interleave. */
#define KEY_ORPHAN ((uint64_t)1 << 63)
#define KEY_PUSH   ((uint64_t)1 << 62) /* of a MSG_PUSH: the parser numbers those, too */

/* A header line without its end. note: the parser's own, what the line means to it. */
struct header_line {
	struct slice line, name, value; /* name and value lie in the line */
	uint8_t note;
};

struct sink_ops {
	void (*begin)(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off);
	void (*field)(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, struct slice v);
	void (*num)(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v);
	void (*end)(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags);
	/* Both or neither. Heads repeat most of their lines: behind field() of a header's name and
	 * value, learn() is told of the line they came from. known(): the note of a line of the
	 * same bytes that was learnt, with its value, or -1; the header then counts as delivered,
	 * without field(). */
	int (*known)(void *ctx, enum msg_kind kind, uint64_t key, struct slice line,
		     struct slice *ret_value);
	void (*learn)(void *ctx, enum msg_kind kind, uint64_t key, const struct header_line *h);
};

struct sink {
	const struct sink_ops *ops;
	void *ctx;
	uint64_t ends; /* messages ended so far, counted by the helpers below */
};

static inline void sink_begin(struct sink *s, enum msg_kind kind, enum dir dir, uint64_t key,
			      uint64_t off)
{
	s->ops->begin(s->ctx, kind, dir, key, off);
}

static inline void sink_field(struct sink *s, enum msg_kind kind, uint64_t key, enum field_id f,
			      struct slice v)
{
	s->ops->field(s->ctx, kind, key, f, v);
}

static inline void sink_num(struct sink *s, enum msg_kind kind, uint64_t key, enum field_id f,
			    int64_t v)
{
	s->ops->num(s->ctx, kind, key, f, v);
}

static inline void sink_end(struct sink *s, enum msg_kind kind, uint64_t key, uint64_t off,
			    uint32_t flags)
{
	s->ends++;
	s->ops->end(s->ctx, kind, key, off, flags);
}

/* What probe() is shown of a connection, both cut to PROBE_MAX. head: what one direction holds, from
 * where a message may begin. other: what the opposite one holds meanwhile, perhaps nothing. start:
 * head begins with the connection's first byte in its direction. */
struct probe_in {
	struct slice head, other;
	bool start;
};

/* A wrong guess is worse than none: what is not certain is NO, or MORE while it could become so. */
enum probe_result {
	PROBE_NO,
	PROBE_MORE,	/* cannot tell yet: more of head, or anything of other, could decide */
	PROBE_REQUEST,	/* certainly this protocol, and head carries requests */
	PROBE_RESPONSE, /* certainly this protocol, and head carries responses */
};

#define PROBE_MAX 512 /* bytes: probe() looks at no more */

enum proto_flag {
	PROTO_F_GAP_OK = 1 << 0, /* parse() goes on after gap(); else the parser is reset */
};

struct proto_ops {
	enum proto_id id;
	const char *name;  /* as in column `protocol` */
	uint32_t flags;	   /* enum proto_flag */
	size_t state_size; /* bytes, <= PROTO_STATE_MAX */
	size_t max_need;   /* bytes a PARSE_NEED may ask for, <= PROTO_NEED_MAX */
	enum probe_result (*probe)(const struct probe_in *in);
	/* st: state_size zeroed bytes. client: the direction in which requests travel.
	 * mid: the connection is older than our first byte of it. */
	void (*init)(void *st, enum dir client, bool mid);
	/* How many bytes of each message body are emitted as FIELD_BODY; 0, the default, emits none,
	 * and all that need not be looked at is skipped. st: after init(). NULL: never any. */
	void (*want_bodies)(void *st, uint64_t max_bytes);
	struct parse_result (*parse)(void *st, const struct parse_in *in, struct sink *out);
	/* Offset in buf of the next plausible start of a message; buf.n when there is none. */
	size_t (*resync)(const void *st, struct slice buf, enum dir dir);
	/* `lost` bytes at stream position off of dir are missing for good. */
	void (*gap)(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out);
	/* The connection is over: open messages are ended as they are (flags say how). */
	void (*close)(void *st, struct sink *out);
};

#define PROTO_STATE_MAX 4096
#define PROTO_NEED_MAX	65536

/* NULL when the id is unknown or recognised only. */
const struct proto_ops *proto_get(enum proto_id id);
/* "http", "tls", ...; "unknown". Never NULL. */
const char *proto_name(enum proto_id id);

/* What probing says. *ret_head_is_request is set on success. Returns PROTO_UNKNOWN with *ret_more =
 * true when more bytes, of either direction, could still decide. */
enum proto_id proto_infer(const struct probe_in *in, bool *ret_head_is_request, bool *ret_more);

/* Runs the parser over buf and checks its contract in every build: consumed <= n; PARSE_OK advances
 * or ends a message unless buf is empty; buf.n < need <= max_need; skip only with PARSE_OK; at most
 * one message ends per call. An empty buf is one call (behind a skip, or at eof); at eof the parser
 * gets a last call with an empty buf. After PARSE_NEED the same bytes are given again with more
 * behind them. */
struct drive_result {
	enum parse_status st; /* OK: all consumed; NEED, WAIT, SWITCH, UNPACK, STOP as it said */
	size_t consumed;      /* bytes of buf that are done with */
	uint64_t skip;	      /* bytes behind consumed that are not wanted, see parse_result */
	size_t need;
	enum proto_id next;
	const char *why;   /* of a STOP, see parse_result */
	uint64_t resynced; /* bytes that were passed over to find a boundary again */
	bool violated;	   /* the contract was broken: the parser must not be called again */
};

struct drive_result proto_drive(const struct proto_ops *ops, void *st, struct parse_in in,
				struct sink *out);

#endif

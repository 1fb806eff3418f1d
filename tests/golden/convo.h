/* A conversation to be played through a parser, and the log of what the parser said. The player is
 * a small model of hop 4: it holds back what was not consumed, honours skips, waits and gaps. Every
 * call of the parser gets its bytes in an allocation of exactly their size.
 */
#ifndef TESTS_GOLDEN_CONVO_H
#define TESTS_GOLDEN_CONVO_H

#include "agent/unpack.h"
#include "base/strbuf.h"
#include "protocols/protocol.h"

enum turn_kind { TURN_BYTES, TURN_GAP, TURN_EOF };

struct turn {
	enum turn_kind kind;
	enum dir dir;
	struct slice bytes; /* TURN_BYTES; borrowed */
	uint64_t lost;	    /* TURN_GAP */
};

/* Texts of each kind of messages apart, and of all in the order they came. Adjacent pieces of a body
 * or a statement are one line. */
#define CONVO_KINDS 4 /* enum msg_kind */
struct convo_log {
	struct strbuf kind[CONVO_KINDS];
	struct strbuf all;
	struct strbuf body[CONVO_KINDS]; /* bytes of the open message's body so far */
	const char *body_name[CONVO_KINDS];
	uint64_t ended[CONVO_KINDS], clean[CONVO_KINDS],
		orphans; /* clean: ended without any flag */
	bool open[CONVO_KINDS];
	uint64_t open_key[CONVO_KINDS];
	bool broken; /* the sink's own rules: begin, fields, end */
};

struct convo_dir {
	struct strbuf buf;
	uint64_t off, skip_until;
	uint64_t missing; /* bytes lost since the last ones that came: a gap shows by what follows
			     it */
	bool waiting, eof;
};

struct convo {
	const struct proto_ops *ops;
	void *st;
	enum dir client;
	struct convo_dir dir[2];
	struct convo_log log;
	struct sink sink;
	bool at_server; /* see settled in struct parse_in; set behind convo_init() */
	struct unpack_pool pool;
	struct unpack *unpack; /* NULL: nothing is compressed */
	bool over;	       /* STOP or SWITCH */
	bool violated;
	enum parse_status last;
	enum proto_id next;
	uint64_t refused;	   /* bytes that were not unpacked */
	uint64_t resynced, passed; /* bytes behind a switch or stop */
};

/* client: direction of requests. bodies: see want_bodies() of struct proto_ops. */
void convo_init(struct convo *c, enum proto_id proto, enum dir client, bool mid, uint64_t bodies);
void convo_done(struct convo *c);
void convo_play(struct convo *c, const struct turn *t);
/* Ends both directions and the connection; what waits is forced. */
void convo_finish(struct convo *c);

#endif

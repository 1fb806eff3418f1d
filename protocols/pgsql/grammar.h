/* The shapes of PostgreSQL's messages (protocols 3.0 and 3.2, documentation chapter "Message
 * Formats"): which tags there are in each direction, how long their messages may be, and what their
 * bodies look like. Finds the beginning of a message among unknown bytes, and tells the protocol from
 * others, by chains of messages that fit.
 */
#ifndef PROTOCOLS_PGSQL_GRAMMAR_H
#define PROTOCOLS_PGSQL_GRAMMAR_H

#include "base/slice.h"
#include "protocols/protocol.h"

#define PGSQL_HEADER   5   /* bytes of a tag and a length */
#define PGSQL_LINK_MAX 128 /* bytes of a message that are looked at when it is searched for */

enum pgsql_side { PGSQL_FRONTEND, PGSQL_BACKEND };

/* The body's length of the message that head begins with (PGSQL_HEADER bytes or more); -1 when there
 * is no such tag in this direction or no such length for it. */
int64_t pgsql_body_length(enum pgsql_side side, struct slice head);

enum pgsql_chain {
	CHAIN_NO,
	CHAIN_MORE, /* what is there fits, more will decide: at most two messages are looked at */
	CHAIN_YES,
};

/* Whether a message begins here: one that cannot be chance, or two that fit in a row. */
enum pgsql_chain pgsql_chain(enum pgsql_side side, struct slice s);

/* A connection that begins: certain by itself. */
enum probe_result pgsql_probe_opening(const struct probe_in *in);
/* One that is older: evidence from both directions. */
enum probe_result pgsql_probe_chain(const struct probe_in *in);

/* What a packet at the beginning of a connection is by its code. */
enum pgsql_opening {
	OPENING_BAD,
	OPENING_STARTUP,
	OPENING_SSL,
	OPENING_GSS,
	OPENING_CANCEL,
};

#define PGSQL_OPENING_HEAD 8	 /* bytes of length and code */
#define PGSQL_OPENING_MAX  10000 /* bytes: servers take no longer one */

/* head: PGSQL_OPENING_HEAD bytes or more. *ret_len: of the packet with these. */
enum pgsql_opening pgsql_opening(struct slice head, size_t *ret_len);

#endif

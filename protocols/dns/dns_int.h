/* What the two halves of the DNS parser share: dns.c finds the messages in datagrams and in a stream,
 * exchange.c tells what they say and which answer is whose.
 */
#ifndef PROTOCOLS_DNS_INT_H
#define PROTOCOLS_DNS_INT_H

#include "protocols/dns/dns.h"
#include "protocols/dns/message.h"

/* One that has not been answered in full. */
struct dns_open_query {
	uint64_t key;
	uint32_t hash;
	uint16_t id;
	uint8_t flags; /* enum open_flag of exchange.c */
	uint8_t soas;  /* of a transfer, seen so far */
};

/* Where messages begin in one direction. */
struct dns_way {
	uint64_t pass_to; /* position behind a message that was not understood */
	uint64_t pass;	  /* bytes up to there, for resync() */
	bool lost;	  /* not known: to be looked for */
	bool strict;	  /* not sure: the next one must look like one */
};

/* Of one connection, or one socket's datagrams. */
struct dns_state {
	uint64_t queries, pushes, orphans; /* numbers given */
	uint16_t n, max;
	uint8_t client; /* enum dir */
	bool multicast;
	struct dns_way way[2];	      /* by direction; TCP */
	struct dns_open_query open[]; /* oldest first */
};

/* A message at hand. */
struct dns_message {
	struct slice bytes;
	struct dns_header h;
	struct dns_question q;
	size_t at; /* behind the question */
	enum dir dir;
	uint64_t off, end; /* stream positions, with the prefix */
	bool cut;	   /* bytes has not all of it */
};

/* Tells what m says: a request, the response to one of the open ones, a push (multicast) or an orphan.
 * m->bytes, dir, off, end and cut are set. False: this is no message of that direction. */
bool dns_on_message(struct dns_state *s, struct dns_message *m, struct sink *out);

#endif

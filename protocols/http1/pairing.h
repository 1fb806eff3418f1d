/* Which request a response answers. HTTP/1 has no ids: responses come in the order of their
 * requests, so as long as no byte is lost a queue is all there is to it. The rest of this file is
 * about what can still be known after a loss, so that no exchange ever gets another one's answer:
 *
 * 1. Both directions are parsed in the order of events. A client that does not pipeline sends a
 *    request only after the answer to the one before; so a status line that is found behind lost
 *    response bytes answers the newest request, and older ones were answered in what was lost.
 * Unless a request was lost too: that shows only when the next one comes, so the response waits for
 * it. A client counts as one that does not pipeline when it has waited for an answer before (for
 * four, if requests were lost as well), and the lost bytes have room for the answers among them.
 * 2. A client that was seen to pipeline is believed less: after a loss of response bytes the number
 * of open requests is an interval, and answers stay unpaired until it has shrunk to one value;
 * after a loss of request bytes nothing bounds it, and answers stay unpaired for the rest of the
 * connection.
 */
#ifndef PROTOCOLS_HTTP1_PAIRING_H
#define PROTOCOLS_HTTP1_PAIRING_H

#include "protocols/http1/http1.h"

#define RESPONSE_MIN 14 /* bytes: "HTTP/1.1 200", two bare line feeds */

/* What the framing of a response depends on. */
enum request_class { CLASS_PLAIN, CLASS_HEAD, CLASS_CONNECT, CLASS_UNKNOWN };

struct pairing {
	uint64_t next_key; /* of the next request; the oldest open one is next_key - open */
	uint64_t next_orphan;
	uint32_t open;	      /* requests begun and not answered, <= HTTP1_OUTSTANDING_MAX */
	uint32_t doubtful;    /* of these, how many may have been answered in lost bytes */
	uint32_t before_loss; /* of these, how many came before lost request bytes; 0 none */
	uint64_t lost_from;   /* with response_lost: position from which responses are not known */
	uint64_t suspect; /* requests known when a response began to wait for the next; 0 none waits
			   */
	bool pipelined;	  /* an answer came behind a later request, and no answer was lost */
	bool request_lost;  /* since the last request */
	bool response_lost; /* since the last response */
	bool owed;	    /* a whole request is among the lost bytes, its answer has not come */
	bool unsettled; /* requests were lost, and no answer since has shown that theirs are past */
	uint8_t alternations; /* answers that came while their request was the only open one, up to
				 255 */
	bool orphan_seen;     /* since the last request */
	bool suspect_void;    /* request bytes were lost while the response waited */
	bool requests_over;   /* no further one will come */
	bool hopeless;	      /* rule 2, request bytes */
	uint8_t classes[HTTP1_OUTSTANDING_MAX / 4]; /* two bits for each key modulo the maximum */
};

static inline bool pairing_full(const struct pairing *p)
{
	return p->open >= HTTP1_OUTSTANDING_MAX;
}

/* Whether no request is known that a response could answer, and one may still come. */
static inline bool pairing_must_wait(const struct pairing *p)
{
	return p->open == 0 && !p->hopeless && !p->requests_over && !p->request_lost;
}

/* Rule 1, once the status line is there, at position off: whether it waits for the next request. */
bool pairing_in_doubt(struct pairing *p, uint64_t off);
/* A request has begun: its key. Not when full. */
uint64_t pairing_request(struct pairing *p, enum request_class class);
/* A final response has begun at position off: the key of its request, or one with KEY_ORPHAN.
 * orphan: it is known to answer no open request. */
uint64_t pairing_response(struct pairing *p, uint64_t off, bool orphan,
			  enum request_class *ret_class);
/* Bytes in which messages may have begun or ended are lost, from position off on. whole: they begin
 * with a message. */
void pairing_lost_requests(struct pairing *p, bool whole);
void pairing_lost_responses(struct pairing *p, uint64_t off);
/* A request will not be waited for any more: the oldest open one is given up. */
void pairing_give_up(struct pairing *p);

#endif

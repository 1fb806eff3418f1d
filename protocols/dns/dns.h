/* DNS (RFC 1035, with EDNS of RFC 6891): one parser in two framings. Over TCP each message stands
 * behind its length (RFC 7766: pipelined, answers in any order); of datagrams each is a message.
 *
 * Emitted, in order. Request: QUERY_ID, FLAGS, QNAME, QTYPE, QCLASS, EDNS_SIZE, EDNS_VERSION. Response
 * and push: the same, the records of the answer section as RR_NAME, RR_TYPE, RR_TTL, RR_DATA before
 * EDNS_SIZE, and RCODE last, with the bits that EDNS adds to it. Names as dns_read_name() writes them,
 * in the case they were sent in.
 *
 * An answer belongs to the youngest open query of the same id and question: who asks again has given up
 * the first time. An answer more than one belongs to the one before, then. Those that get none are for
 * the caller to end. Of a zone transfer the first message is the answer; those behind it are passed over.
 *
 * Multicast (RFC 6762): nobody knows who will answer, so a query is oneway and an answer a push.
 */
#ifndef PROTOCOLS_DNS_DNS_H
#define PROTOCOLS_DNS_DNS_H

#include "protocols/protocol.h"

#define DNS_TCP_OPEN_MAX     200 /* queries without an answer; then the oldest is forgotten */
#define DNS_DGRAM_OPEN_MAX   100
#define DNS_RECORDS_MAX	     64	   /* of an answer that are emitted */
#define DNS_TCP_LOOK_MAX     16384 /* bytes of a message that are looked at */
#define DNS_PROBE_QUERIES    8	   /* among which the one that an answer answers is looked for */
#define DNS_RESYNC_TRIES_MAX 64	   /* likely beginnings looked at before giving up a buffer */

extern const struct proto_ops dns_ops;
/* Each call of parse() gets one datagram, or as much of it as there is. No probe: dns_shape_of(). */
extern const struct proto_ops dns_dgram_ops;
extern const struct proto_ops dns_multicast_ops;

/* See struct proto_ops: a query and its answer, each whole or as far as it is shown. */
enum probe_result dns_probe(const struct probe_in *in);

#endif

/* Packet captures (.pcap, .pcapng) as the records of agent/bpf/events.h, so that recorded traffic
 * goes through the same hops as live events. No I/O; hostile input; bounded memory.
 *
 *	bytes of the file -> packets -> TCP segments -> streams
 *	                     pcap.c     pcap_packet.c   pcap_flow.c
 *	                             -> UDP datagrams
 *	                                pcap_dgram.c
 *
 * A connection is shown as its server saw it: `local` is the end that the SYN was sent to, received
 * bytes are the client's. Without a SYN the server is the end that answers, judged by the first
 * payload, else the one with the lower port. Failed connects are shown from the client's end. Times
 * are unix nanoseconds of the packet that completed what is shown; a difference between
 * CLOCK_BOOTTIME and unix time is 0.
 *
 * Link layers: Ethernet, VLAN tags, raw IP, Linux cooked v1 and v2, BSD loopback. IPv4 and its
 * fragments, IPv6 with extension headers and fragments, TCP, UDP. Checksums are not looked at
 * (offloading leaves them wrong).
 */
#ifndef AGENT_PCAP_H
#define AGENT_PCAP_H

#include "agent/bpf/events.h"
#include "base/slice.h"

#define PCAP_PACKET_MAX	    262144 /* bytes of a packet; tcpdump's own maximum */
#define PCAP_INTERFACES_MAX 64	   /* of a pcapng section; packets of others are unknown */
#define PCAP_FLOWS_MAX	    65536  /* connections at one time; beyond it the idlest is given up */
#define PCAP_HELD_MAX	    (64u << 20) /* bytes kept out of order, of all connections */
#define PCAP_FLOW_HELD_MAX  (1u << 20)	/* of one direction */
#define PCAP_FRAGMENTED_MAX 64		/* datagrams being put together at one time */

/* Packets: packets = tcp + udp + other + malformed + unknown_link + fragments waiting or given up. */
struct pcap_stats {
	uint64_t packets, tcp, udp, other, malformed, unknown_link;
	uint64_t fragments;	    /* packets that were parts of datagrams */
	uint64_t fragments_dropped; /* of these, given up */
	uint64_t cut_packets;	    /* recorded with less than they had (snap length) */
	uint64_t retransmitted_bytes, lost_bytes, delivered_bytes;
	uint64_t flows, flows_evicted;
	uint64_t good_bytes; /* of the file, up to the first damage */
};

struct pcap;

/* Called with each record in order; ev: borrowed, aligned to 8, h.len bytes. */
typedef void (*pcap_emit_fn)(void *ctx, const struct ev_hdr *ev);

/* NULL without memory. */
struct pcap *pcap_new(pcap_emit_fn emit, void *ctx);
void pcap_free(struct pcap *p);
/* The next bytes of the file, in pieces of any size. 0; -EPROTO when it is no capture file of a
 * known kind; -EBADMSG when it is damaged (what came before was emitted); -ENOMEM. After an error
 * further calls return the same. */
int pcap_push(struct pcap *p, struct slice bytes);
/* The file has ended: what was held back is emitted. 0, or -EBADMSG when it ends inside a packet.
 * Connections that the capture does not see the end of stay open. */
int pcap_finish(struct pcap *p);
const struct pcap_stats *pcap_stats(const struct pcap *p);

#endif

/* From a packet to the TCP segment or UDP datagram in it. Internal to the pcap reader. */
#ifndef AGENT_PCAP_PACKET_H
#define AGENT_PCAP_PACKET_H

#include "agent/pcap.h"

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* A UDP datagram has no more than addresses, ports and payload. */
struct segment {
	uint64_t ts_ns;
	uint8_t src[16], dst[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags; /* enum tcp_flag */
	bool ipv6;
	struct slice payload; /* what was recorded of it; borrowed */
	uint32_t payload_len; /* what it was */
};

/* Datagrams being put together. */
struct fragments;

struct fragments *fragments_new(void);
void fragments_free(struct fragments *f);

enum packet_verdict {
	PACKET_TCP,
	PACKET_UDP,
	PACKET_OTHER,
	PACKET_MALFORMED,
	PACKET_UNKNOWN_LINK,
	PACKET_FRAGMENT, /* kept until the rest has come */
};

/* link_type: LINKTYPE_ value. data: what was recorded of the packet, orig_len: its length. stats:
 * the fragment counters are kept here. ret: valid with PACKET_TCP and PACKET_UDP, borrows from data or
 * from f until the next call. */
enum packet_verdict packet_decode(struct fragments *f, uint32_t link_type, struct slice data,
				  uint32_t orig_len, struct pcap_stats *stats, struct segment *ret);

#endif

/* UDP datagrams of a packet capture as records. Internal to the pcap reader. */
#ifndef AGENT_PCAP_DGRAM_H
#define AGENT_PCAP_DGRAM_H

#include "agent/pcap_packet.h"

struct dgram_emitter {
	pcap_emit_fn emit;
	void *ctx;
	_Alignas(8) uint8_t record[sizeof(struct ev_dgram) + EV_DGRAM_MAX];
};

/* Emits one EV_DGRAM, none for an empty datagram. */
void dgram_emit(struct dgram_emitter *d, const struct segment *s);

#endif

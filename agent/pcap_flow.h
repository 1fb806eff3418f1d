/* TCP connections from their segments, and their bytes in order. Internal to the pcap reader. */
#ifndef AGENT_PCAP_FLOW_H
#define AGENT_PCAP_FLOW_H

#include "agent/pcap_packet.h"

struct flows;

/* NULL without memory. stats: borrowed, outlives it. */
struct flows *flows_new(pcap_emit_fn emit, void *ctx, struct pcap_stats *stats);
void flows_free(struct flows *f);
/* 0 or -ENOMEM. */
int flows_push(struct flows *f, const struct segment *s);
/* No further segment: what is held back is emitted, with gaps where bytes are missing. */
void flows_finish(struct flows *f);

#endif

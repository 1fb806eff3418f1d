/* A packet does not tell which end is the server. `local` is the end with the lower port, the receiver
 * where both are equal; the parser finds out from the message who asks whom. Both ends' addresses stand
 * for the socket. */
#include "agent/pcap_dgram.h"

#include "base/hash.h"
#include "base/util.h"

#include <string.h>

/* What an end is known by: address and port. */
#define END_BYTES 18

/* Not keyed, so that a file gives the same every time: who makes two sockets one in a capture of his own
 * gains nothing. */
static uint64_t socket_of(const struct ev_dgram *e)
{
	static const struct hash_key key;
	uint8_t both[2 * END_BYTES];
	uint64_t id;

	memcpy(both, e->local, 16);
	memcpy(both + 16, &e->local_port, 2);
	memcpy(both + END_BYTES, e->remote, 16);
	memcpy(both + END_BYTES + 16, &e->remote_port, 2);
	id = hash_bytes(&key, slice_of(both, sizeof(both)));
	return id ? id : 1;
}

void dgram_emit(struct dgram_emitter *d, const struct segment *s)
{
	struct ev_dgram *e = (struct ev_dgram *)(void *)d->record;
	uint32_t cap = (uint32_t)MIN(s->payload.n, (size_t)EV_DGRAM_MAX);
	bool sent = s->src_port < s->dst_port;

	if (s->payload_len == 0)
		return;
	memset(e, 0, sizeof(*e));
	e->h.len = (uint32_t)sizeof(*e) + cap;
	e->h.type = EV_DGRAM;
	e->h.version = EV_VERSION;
	e->h.flags = sent ? EV_F_TX : 0;
	e->h.miss = cap < s->payload_len ? EV_MISS_LIMIT : EV_MISS_NONE;
	e->h.ts_ns = s->ts_ns;
	e->orig_len = s->payload_len;
	e->cap_len = cap;
	e->slot = EV_NO_SLOT;
	e->local_port = sent ? s->src_port : s->dst_port;
	e->remote_port = sent ? s->dst_port : s->src_port;
	memcpy(e->local, sent ? s->src : s->dst, sizeof(e->local));
	memcpy(e->remote, sent ? s->dst : s->src, sizeof(e->remote));
	e->sock = socket_of(e);
	memcpy(e->data, s->payload.p, cap);
	d->emit(d->ctx, &e->h);
}

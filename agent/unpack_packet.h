/* The header of MySQL's compressed packets, see unpack.h. */
#ifndef AGENT_UNPACK_PACKET_H
#define AGENT_UNPACK_PACKET_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define PACKED_HEADER 7
#define PACKED_LOOK   12 /* bytes that tell a packet from others: the header of one inside of it */

struct packed_header {
	uint32_t wire, plain; /* bytes behind it; what they become, 0: they are not packed */
	uint8_t seq;
};

/* False when it is not all there. */
bool packed_header_read(struct slice s, struct packed_header *ret);

/* Whether s, of PACKED_LOOK bytes or more, begins like a packet and hardly like anything else: what is
 * in it is packed, or begins with a protocol packet. client: it begins a command. */
bool packed_plausible(struct slice s, bool client);

#endif

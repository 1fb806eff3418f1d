/* The header of compressed packets (MySQL source documentation, "Compression"; MariaDB Knowledge Base,
 * "0 - Packet"):
 *
 *	0            3     4               7                 7 + length
 *	| length 3   | seq | plain length 3 | packed ...      |	little-endian
 *
 * plain length 0: stored as they are. Each packet is packed for itself, with zlib or zstd, which its
 * first byte tells. A protocol packet may begin in one and end in another. seq counts the compressed
 * packets of a command and its reply, from 0.
 */
#ifndef PROTOCOLS_MYSQL_PACKED_H
#define PROTOCOLS_MYSQL_PACKED_H

#include "base/slice.h"

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

/* What is in the packet that s begins with, as far as it is there, if it is not packed; else empty. */
struct slice packed_stored(struct slice s, uint8_t seq);

#endif

/* Conversations through a parser. The input is a list of turns:
 *
 *	byte 0      bit 0 direction, bits 1..2 kind: 0 bytes, 1 gap, 2 bytes repeated, 3 end
 *	byte 1, 2   little-endian count: bytes that follow, or bytes lost
 *	byte 3      kind 2 only: how often the bytes are repeated, in sixteens
 *
 * The first byte of the input: bit 0 mid-stream, bits 1..6 bytes of bodies wanted, in eights, bit 7 at
 * the server's end.
 * Checked besides what sanitizers see: the parser's contract and the sink's order, work linear in
 * the bytes, and that the same is told when the chunks are cut differently and when header lines
 * that came before are not read again. Aborts when one does not hold.
 */
#ifndef TESTS_FUZZ_TURNS_H
#define TESTS_FUZZ_TURNS_H

#include "protocols/protocol.h"
#include "tests/fuzz/work.h"

struct fuzz_turns {
	enum proto_id proto;
	struct work_bound bound;
	uint32_t outstanding_max; /* requests without an answer; what follows waits */
	bool memo;		  /* it reads header lines */
};

void fuzz_turns(const struct fuzz_turns *f, const uint8_t *data, size_t size);

#endif

/* Between hops 4 and 5, on a connection whose parser said PARSE_UNPACK: the bytes inside MySQL's
 * compressed packets (protocols/mysql/packed.h).
 *
 *	wire   | 7 | packed      | 7 | stored | ...	hop 4's positions
 *	plain  | unpacked           | stored | ...	the parser's positions, contiguous
 *	               ^ plain  ^ next
 *	               [ held   ]
 *
 * The sink is told positions of the wire: a message has its share of the packets that carry it, so that
 * the bytes of neighbours add up and times are those of the calls that carried them.
 *
 * What is not wanted is not unpacked where a packet is unwanted to its end. What cannot be unpacked (lost
 * bytes, no memory, more than UNPACK_RATIO_MAX times its length, damage) is a gap for the parser of the
 * length that the packet's header tells. When that is lost too, a packet is looked for that could be
 * nothing else, and the gap is longer than any payload.
 */
#ifndef AGENT_UNPACK_H
#define AGENT_UNPACK_H

#include "agent/unpack_codec.h"
#include "protocols/protocol.h"

#define UNPACK_STEP	 16384 /* bytes that are unpacked at a time */
#define UNPACK_RATIO_MAX 1100  /* zlib's is at most 1032 */
#define UNPACK_FREE_MAX	 65536 /* bytes a packet may become whatever its length */
#define UNPACK_MARKS	 8     /* packets whose positions are remembered */

struct unpack;

/* at: where the first compressed packet of each direction begins. client: direction of requests. The
 * pool outlives it. NULL: no memory. */
struct unpack *unpack_new(struct unpack_pool *pool, enum dir client, const uint64_t at[2]);
void unpack_free(struct unpack *u); /* NULL: nothing */

/* As proto_drive(), with in and the result in terms of the wire. */
struct drive_result unpack_drive(struct unpack *u, const struct proto_ops *ops, void *st,
				 const struct parse_in *in, struct sink *out);
/* As gap() and close() of struct proto_ops. */
void unpack_gap(struct unpack *u, const struct proto_ops *ops, void *st, enum dir dir, uint64_t off,
		uint64_t lost, struct sink *out);
void unpack_close(struct unpack *u, const struct proto_ops *ops, void *st, struct sink *out);

/* Grows whenever the parser takes something in this direction. */
uint64_t unpack_progress(const struct unpack *u, enum dir dir);
/* Bytes that were unpacked. */
uint64_t unpack_made(const struct unpack *u);
/* Bytes of the wire that were read and not unpacked since the last call. */
uint64_t unpack_refused(struct unpack *u);

#endif

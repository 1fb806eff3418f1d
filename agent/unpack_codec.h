/* The two compressions of MySQL's packets, a piece at a time, in memory that all connections share. */
#ifndef AGENT_UNPACK_CODEC_H
#define AGENT_UNPACK_CODEC_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNPACK_BYTES_MAX      (32u << 20) /* of all connections: what unpacks, and what is unpacked */
#define UNPACK_WINDOW_LOG_MAX 23	  /* zstd: what has to be kept of a packet, 8 MiB */

enum codec_kind { CODEC_ZLIB, CODEC_ZSTD, _CODEC_MAX };

struct codec;

/* Zeroed is empty. */
struct unpack_pool {
	struct codec *spare[_CODEC_MAX]; /* what the last packet gave back */
	uint64_t bytes;
};

void unpack_pool_done(struct unpack_pool *p);

/* By the first byte of what is packed; false: neither. */
bool codec_kind_of(uint8_t first, enum codec_kind *ret);

/* For a packet of plain_len bytes when it is unpacked. NULL: there is no memory for it. */
struct codec *codec_take(struct unpack_pool *p, enum codec_kind kind, uint32_t plain_len);
void codec_put(struct unpack_pool *p, struct codec *c);

/* Unpacks from *in, which is moved, up to max bytes to out. Returns how many those are; -1: this is
 * not what it says it is. */
int64_t codec_run(struct codec *c, struct slice *in, uint8_t *out, size_t max);

#endif

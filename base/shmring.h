/* A bounded byte ring in shared memory between one writing and one reading process. Frames are
 * whole or absent: a push that does not fit fails and the caller counts it. The reader trusts
 * nothing that the writer can write.
 *
 * Memory: a header page, then `size` bytes (a power of two). A frame is an 8-byte header
 * {u32 length of the payload, u32 type} and the payload, padded to 8 bytes, never wrapped: where it
 * would, a filler frame takes the rest of the ring.
 */
#ifndef BASE_SHMRING_H
#define BASE_SHMRING_H

#include "base/slice.h"

#include <stdatomic.h>

struct shmring_hdr;

struct shmring {
	struct shmring_hdr *hdr;
	uint8_t *data;
	uint64_t size;
	uint64_t pos;	  /* this side's own position: the shared copy is not read back */
	uint64_t pending; /* writer: head with frames that are pushed but not yet published */
	uint64_t rested;  /* writer: pending at the last shmring_rest() */
};

struct shm_frame {
	uint32_t type;
	struct slice payload; /* in the ring: valid until shmring_release() */
};

/* An anonymous sealed-size memory file of the right length; its descriptor or negative errno.
 * size: bytes of data, a power of two, 4 KiB to 1 GiB. */
int shmring_create(uint64_t size);
/* Maps it. Both sides call this; only one of each kind at a time. 0 or negative errno. */
int shmring_open(struct shmring *r, int fd, uint64_t size);
void shmring_close(struct shmring *r);

/* Writer: room for a payload of n bytes, 8-aligned, to be filled before shmring_commit(). NULL when
 * full. One at a time. */
void *shmring_reserve(struct shmring *r, uint32_t n);
/* Writer: bytes that are free, with what is committed and not published counted as used. */
uint64_t shmring_room(const struct shmring *r);
/* Writer: the reserved frame gets its type and its final length (<= n). */
void shmring_commit(struct shmring *r, uint32_t type, uint32_t n);
/* Writer: makes the committed frames visible. */
void shmring_publish(struct shmring *r);
/* Writer, once a second or so, between rounds: gives the memory of what is free back to the kernel,
 * unless so much was written since the last call that it will be needed again at once. */
void shmring_rest(struct shmring *r);

/* Reader: 1 and the next frame, 0 when empty, -EBADMSG when the writer broke the format (the ring
 * is of no use any more). */
int shmring_next(struct shmring *r, struct shm_frame *ret);
/* Reader: published bytes that shmring_next() has not returned; anything when the format is broken. */
uint64_t shmring_unread(const struct shmring *r);
/* Reader: gives back everything that shmring_next() returned so far. */
void shmring_release(struct shmring *r);

/* Reader, after shmring_open() in the place of a reader that died: goes on behind what that one
 * gave back. Frames that it had read and not given back come again. */
void shmring_resume(struct shmring *r);
/* Reader: drops everything that is unread and starts at the writer's position (a new writer). */
void shmring_reset(struct shmring *r);

#endif

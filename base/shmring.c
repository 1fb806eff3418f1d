#include "base/shmring.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define HDR_BYTES   4096
#define PAGE	    UINT64_C(4096) /* or a part of one: then nothing is given back */
#define FRAME_HDR   8
#define TYPE_FILLER 0xffffffffu

/* head and tail count bytes for ever; each has one writer and its own cache line. */
struct shmring_hdr {
	_Atomic uint64_t head;
	uint8_t pad[56];
	_Atomic uint64_t tail;
};

static uint64_t frame_bytes(uint32_t payload)
{
	return FRAME_HDR + (((uint64_t)payload + 7) & ~(uint64_t)7);
}

int shmring_create(uint64_t size)
{
	_cleanup_(closep) int fd = -1;

	if (size < 4096 || size > 1024 * MIB || (size & (size - 1)))
		return -EINVAL;
	fd = memfd_create("kelpie-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)(HDR_BYTES + size)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int shmring_open(struct shmring *r, int fd, uint64_t size)
{
	void *p = mmap(NULL, HDR_BYTES + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*r = (struct shmring){ .hdr = p, .data = (uint8_t *)p + HDR_BYTES, .size = size };
	r->pos = atomic_load_explicit(&r->hdr->head, memory_order_acquire);
	r->pending = r->pos;
	return 0;
}

void shmring_close(struct shmring *r)
{
	if (r->hdr)
		munmap(r->hdr, HDR_BYTES + r->size);
	*r = (struct shmring){ 0 };
}

static void put_hdr(struct shmring *r, uint64_t at, uint32_t len, uint32_t type)
{
	uint32_t h[2] = { len, type };

	memcpy(r->data + (at & (r->size - 1)), h, sizeof(h));
}

void *shmring_reserve(struct shmring *r, uint32_t n)
{
	uint64_t tail = atomic_load_explicit(&r->hdr->tail, memory_order_acquire);
	uint64_t need = frame_bytes(n), at = r->pending & (r->size - 1), filler = 0;

	if (at + need > r->size)
		filler = r->size - at;
	if (need + filler > r->size || r->pending - tail > r->size - need - filler)
		return NULL;
	if (filler) {
		put_hdr(r, r->pending, (uint32_t)(filler - FRAME_HDR), TYPE_FILLER);
		r->pending += filler;
	}
	return r->data + (r->pending & (r->size - 1)) + FRAME_HDR;
}

uint64_t shmring_room(const struct shmring *r)
{
	uint64_t used = r->pending - atomic_load_explicit(&r->hdr->tail, memory_order_relaxed);

	return used < r->size ? r->size - used : 0;
}

void shmring_commit(struct shmring *r, uint32_t type, uint32_t n)
{
	put_hdr(r, r->pending, n, type);
	r->pending += frame_bytes(n);
}

void shmring_publish(struct shmring *r)
{
	r->pos = r->pending;
	atomic_store_explicit(&r->hdr->head, r->pending, memory_order_release);
}

/* Whole pages of n bytes from `at` on; they are read as zeros from now on. */
static void give_back(struct shmring *r, uint64_t at, uint64_t n)
{
	uint64_t from = (at + PAGE - 1) & ~(PAGE - 1), until = (at + n) & ~(PAGE - 1);

	if (from < until)
		(void)madvise(r->data + from, until - from, MADV_REMOVE);
}

void shmring_rest(struct shmring *r)
{
	uint64_t tail = atomic_load_explicit(&r->hdr->tail, memory_order_acquire);
	uint64_t at = r->pending & (r->size - 1), written = r->pending - r->rested;
	uint64_t used = r->pending - tail, free_bytes = r->size - used;

	r->rested = r->pending;
	if (used > r->size || written > r->size / 2)
		return;
	give_back(r, at, MIN(free_bytes, r->size - at));
	if (free_bytes > r->size - at)
		give_back(r, 0, free_bytes - (r->size - at));
}

int shmring_next(struct shmring *r, struct shm_frame *ret)
{
	uint64_t head = atomic_load_explicit(&r->hdr->head, memory_order_acquire);

	while (r->pos != head) {
		uint64_t at = r->pos & (r->size - 1), left = head - r->pos;
		uint32_t h[2];

		if (left > r->size || left < FRAME_HDR || at + FRAME_HDR > r->size)
			return -EBADMSG;
		memcpy(h, r->data + at, sizeof(h));
		if (frame_bytes(h[0]) > left || at + frame_bytes(h[0]) > r->size)
			return -EBADMSG;
		r->pos += frame_bytes(h[0]);
		if (h[1] == TYPE_FILLER)
			continue;
		*ret = (struct shm_frame){ h[1], slice_of(r->data + at + FRAME_HDR, h[0]) };
		return 1;
	}
	return 0;
}

uint64_t shmring_unread(const struct shmring *r)
{
	return atomic_load_explicit(&r->hdr->head, memory_order_relaxed) - r->pos;
}

void shmring_release(struct shmring *r)
{
	atomic_store_explicit(&r->hdr->tail, r->pos, memory_order_release);
}

void shmring_resume(struct shmring *r)
{
	uint64_t tail = atomic_load_explicit(&r->hdr->tail, memory_order_acquire);

	/* The writer may have written there too: a tail that cannot be stands for nothing unread.
	 */
	if (r->pos - tail <= r->size && tail % 8 == 0)
		r->pos = tail;
}

void shmring_reset(struct shmring *r)
{
	r->pos = atomic_load_explicit(&r->hdr->head, memory_order_acquire);
	shmring_release(r);
}

#include "agent/ring.h"

#include "base/util.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Record header of the kernel's ring (linux/bpf.h): length with two flag bits, then page offset. */
#define RB_HDR	   8
#define RB_BUSY	   (1u << 31)
#define RB_DISCARD (1u << 30)

int ring_open(struct ring *r, int fd, uint64_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer, *producer;
	int err;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (producer == MAP_FAILED) {
		err = -errno;
		munmap(consumer, page);
		return err;
	}
	*r = (struct ring){ consumer, producer, (const uint8_t *)producer + page, size, 0 };
	r->pos = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
	return 0;
}

void ring_close(struct ring *r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!r->consumer)
		return;
	munmap((void *)(uintptr_t)r->consumer, page);
	munmap((void *)(uintptr_t)r->producer, page + 2 * r->size);
	*r = (struct ring){ 0 };
}

uint64_t ring_snapshot(const struct ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
}

static bool unix_valid(const struct ev_conn_unix *u)
{
	return u->c.conn && u->c.family == AF_UNIX && u->name_len[0] <= EV_NAME_MAX &&
	       u->name_len[1] <= EV_NAME_MAX;
}

bool ev_valid(const struct ev_hdr *h, size_t n)
{
	const struct ev_data *d = (const struct ev_data *)(const void *)h;
	const struct ev_dgram *g = (const struct ev_dgram *)(const void *)h;
	const struct ev_conn *c = (const struct ev_conn *)(const void *)h;

	if (n < sizeof(*h) || h->len != n || h->version != EV_VERSION)
		return false;
	switch (h->type) {
	case EV_CONN_OPEN:
		if (n == sizeof(struct ev_conn_unix))
			return unix_valid((const struct ev_conn_unix *)(const void *)h);
		__attribute__((fallthrough));
	case EV_CONN_FAILED:
		return n == sizeof(*c) && c->conn && c->family != AF_UNIX;
	case EV_CONN_EOF:
		return n == sizeof(struct ev_eof);
	case EV_CONN_CLOSE:
		return n == sizeof(struct ev_close);
	case EV_DATA:
		return n >= sizeof(*d) && d->cap_len == n - sizeof(*d) &&
		       d->cap_len <= EV_CHUNK_MAX && d->orig_len >= d->cap_len &&
		       d->pos + d->orig_len >= d->pos;
	case EV_DGRAM:
		return n >= sizeof(*g) && g->sock && g->cap_len == n - sizeof(*g) &&
		       g->cap_len <= EV_DGRAM_MAX && g->orig_len >= g->cap_len;
	default:
		return false;
	}
}

enum ring_result ring_next(struct ring *r, uint64_t until, const struct ev_hdr **ret)
{
	while (r->pos < until) {
		const uint8_t *at = r->data + (r->pos & (r->size - 1));
		uint32_t word = __atomic_load_n((const uint32_t *)(const void *)at,
						__ATOMIC_ACQUIRE);
		uint32_t len = word & ~(RB_BUSY | RB_DISCARD);

		if (word & RB_BUSY)
			return RING_END;
		r->pos += ((uint64_t)len + RB_HDR + 7) & ~(uint64_t)7;
		if (word & RB_DISCARD)
			continue;
		*ret = (const struct ev_hdr *)(const void *)(at + RB_HDR);
		return ev_valid(*ret, len) ? RING_RECORD : RING_INVALID;
	}
	return RING_END;
}

void ring_rewind(struct ring *r, uint64_t pos)
{
	r->pos = pos;
}

void ring_release(struct ring *r)
{
	__atomic_store_n(r->consumer, r->pos, __ATOMIC_RELEASE);
}

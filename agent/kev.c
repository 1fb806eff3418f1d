#include "agent/kev.h"

#include "agent/ring.h"

#include <errno.h>
#include <string.h>

#define VERSION (KEV_VERSION << 16 | EV_VERSION)

int kev_write_header(FILE *f, __u64 unix_minus_boot_ns)
{
	struct kev_hdr h = { .version = VERSION, .unix_minus_boot_ns = unix_minus_boot_ns };

	memcpy(h.magic, KEV_MAGIC, sizeof(h.magic));
	return fwrite(&h, sizeof(h), 1, f) == 1 ? 0 : -EIO;
}

int kev_write(FILE *f, const struct ev_hdr *h)
{
	static const char zeros[8];
	size_t pad = -h->len & 7;

	if (fwrite(h, h->len, 1, f) != 1 || (pad && fwrite(zeros, pad, 1, f) != 1))
		return -EIO;
	return 0;
}

int kev_read_header(FILE *f, struct kev_hdr *ret)
{
	if (fread(ret, sizeof(*ret), 1, f) != 1 ||
	    memcmp(ret->magic, KEV_MAGIC, sizeof(ret->magic)) != 0 || ret->version != VERSION)
		return -EPROTO;
	return 0;
}

int kev_read(FILE *f, void *buf, size_t cap)
{
	struct ev_hdr *h = buf;
	size_t n = fread(h, 1, sizeof(*h), f), rest;

	if (n == 0)
		return 0;
	if (n < sizeof(*h) || h->len < sizeof(*h) || h->len > cap - 8)
		return -EBADMSG;
	rest = ((h->len + 7) & ~7u) - sizeof(*h);
	if (fread((char *)buf + sizeof(*h), 1, rest, f) != rest || !ev_valid(h, h->len))
		return -EBADMSG;
	return 1;
}

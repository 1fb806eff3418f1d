#include "agent/pcap_packet.h"
#include "base/bytes.h"
#include "base/util.h"

#include <string.h>

#define VLAN_TAGS_MAX	   4
#define EXT_HEADERS_MAX	   8
#define UDP_HEADER	   8
#define DATAGRAM_MAX	   65535
#define DATAGRAM_BLOCKS	   ((DATAGRAM_MAX + 8) / 8) /* fragments begin at multiples of 8 bytes */
#define FRAGMENT_EXPIRE_NS 30000000000ULL	    /* RFC 1122 section 3.3.2: 60 s at most */

enum link_type {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW_BSD = 12,
	LINK_RAW_OPENBSD = 14,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

enum ether_type { ETHER_IPV4 = 0x0800, ETHER_IPV6 = 0x86dd };

enum ip_protocol {
	IP_HOP_OPTIONS = 0,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_ROUTING = 43,
	IP_FRAGMENT = 44,
	IP_AUTH = 51,
	IP_DEST_OPTIONS = 60,
};

/* One datagram that came in parts. have: a bit for each 8 bytes that are there. */
struct datagram {
	bool used, have_end;
	uint8_t protocol;
	uint8_t src[16], dst[16];
	uint32_t id;
	uint32_t len; /* valid when have_end */
	uint64_t first_ns;
	uint64_t have[(DATAGRAM_BLOCKS + 63) / 64];
	uint32_t parts;
	uint8_t *data; /* DATAGRAM_MAX + 8 bytes, kept for the next use */
};

struct fragments {
	struct datagram slots[PCAP_FRAGMENTED_MAX];
	uint8_t *whole; /* the datagram given out last */
};

struct fragments *fragments_new(void)
{
	return calloc(1, sizeof(struct fragments));
}

void fragments_free(struct fragments *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < PCAP_FRAGMENTED_MAX; i++)
		free(f->slots[i].data);
	free(f->whole);
	free(f);
}

/* A part of a packet on its way up: what is recorded of it, and how long it is. */
struct part {
	struct slice have;
	uint32_t len;
};

static struct part part_from(struct part p, size_t n)
{
	p.len = p.len > n ? p.len - (uint32_t)n : 0;
	p.have = slice_from(p.have, n);
	return p;
}

static struct part part_head(struct part p, size_t n)
{
	p.len = (uint32_t)MIN((size_t)p.len, n);
	p.have = slice_head(p.have, p.len);
	return p;
}

static enum packet_verdict decode_tcp(struct part p, struct segment *ret)
{
	struct reader r = reader_of(p.have);
	size_t header;
	uint8_t offset;

	ret->src_port = read_be16(&r);
	ret->dst_port = read_be16(&r);
	ret->seq = read_be32(&r);
	ret->ack = read_be32(&r);
	offset = read_u8(&r);
	ret->flags = read_u8(&r);
	header = (size_t)(offset >> 4) * 4;
	if (r.bad || header < 20 || header > p.len)
		return PACKET_MALFORMED;
	p = part_from(p, header);
	ret->payload = p.have;
	ret->payload_len = p.len;
	return PACKET_TCP;
}

/* RFC 768. The length is 0 where offloading or a jumbogram leaves it to the layer below. */
static enum packet_verdict decode_udp(struct part p, struct segment *ret)
{
	struct reader r = reader_of(p.have);
	uint32_t len;

	ret->src_port = read_be16(&r);
	ret->dst_port = read_be16(&r);
	len = read_be16(&r);
	read_be16(&r);
	if (r.bad || (len != 0 && len < UDP_HEADER) || len > p.len)
		return PACKET_MALFORMED;
	if (len != 0)
		p = part_head(p, len);
	p = part_from(p, UDP_HEADER);
	ret->payload = p.have;
	ret->payload_len = p.len;
	return PACKET_UDP;
}

static enum packet_verdict decode_transport(uint8_t protocol, struct part p, struct segment *ret)
{
	if (protocol == IP_TCP)
		return decode_tcp(p, ret);
	return protocol == IP_UDP ? decode_udp(p, ret) : PACKET_OTHER;
}

static bool same_datagram(const struct datagram *d, const struct segment *ip, uint32_t id,
			  uint8_t protocol)
{
	return d->used && d->id == id && d->protocol == protocol &&
	       memcmp(d->src, ip->src, 16) == 0 && memcmp(d->dst, ip->dst, 16) == 0;
}

static void datagram_drop(struct datagram *d, struct pcap_stats *stats)
{
	stats->fragments_dropped += d->parts;
	d->used = false;
}

static struct datagram *datagram_get(struct fragments *f, const struct segment *ip, uint32_t id,
				     uint8_t protocol, struct pcap_stats *stats)
{
	struct datagram *oldest = &f->slots[0];

	for (size_t i = 0; i < PCAP_FRAGMENTED_MAX; i++) {
		struct datagram *d = &f->slots[i];

		if (d->used && ip->ts_ns > d->first_ns &&
		    ip->ts_ns - d->first_ns > FRAGMENT_EXPIRE_NS)
			datagram_drop(d, stats);
		if (same_datagram(d, ip, id, protocol))
			return d;
		if (!d->used || (oldest->used && d->first_ns < oldest->first_ns))
			oldest = d;
	}
	if (oldest->used)
		datagram_drop(oldest, stats);
	if (!oldest->data)
		oldest->data = malloc(DATAGRAM_MAX + 8);
	if (!oldest->data)
		return NULL;
	memset(oldest, 0, offsetof(struct datagram, data));
	oldest->used = true;
	oldest->id = id;
	oldest->protocol = protocol;
	oldest->first_ns = ip->ts_ns;
	memcpy(oldest->src, ip->src, 16);
	memcpy(oldest->dst, ip->dst, 16);
	return oldest;
}

static bool datagram_whole(const struct datagram *d)
{
	if (!d->have_end)
		return false;
	for (uint32_t block = 0; block * 8 < d->len; block++)
		if (!(d->have[block / 64] & 1ULL << block % 64))
			return false;
	return true;
}

/* Adds the part at byte `off`; first come, first kept, so that overlapping ones cannot rewrite. */
static void datagram_add(struct datagram *d, uint32_t off, struct slice part, bool more)
{
	for (uint32_t i = 0; i < part.n; i += 8) {
		uint32_t block = (off + i) / 8;

		if (d->have[block / 64] & 1ULL << block % 64)
			continue;
		d->have[block / 64] |= 1ULL << block % 64;
		memcpy(d->data + off + i, part.p + i, MIN((size_t)8, part.n - i));
	}
	if (!more && !d->have_end) {
		d->have_end = true;
		d->len = off + (uint32_t)part.n;
	}
	d->parts++;
}

/* One fragment of `protocol` at byte `off`. */
static enum packet_verdict decode_fragment(struct fragments *f, struct part p, uint32_t id,
					   uint32_t off, bool more, uint8_t protocol,
					   struct pcap_stats *stats, struct segment *ret)
{
	struct datagram *d;
	uint8_t *free_buf;
	struct part whole;

	stats->fragments++;
	/* One that was recorded in part, or is out of range, makes the datagram useless. */
	if (p.have.n < p.len || p.len == 0 || off + p.len > DATAGRAM_MAX ||
	    (more && p.len % 8 != 0)) {
		stats->fragments_dropped++;
		return PACKET_FRAGMENT;
	}
	d = datagram_get(f, ret, id, protocol, stats);
	if (!d) {
		stats->fragments_dropped++;
		return PACKET_FRAGMENT;
	}
	datagram_add(d, off, p.have, more);
	if (!datagram_whole(d))
		return PACKET_FRAGMENT;
	free_buf = f->whole;
	f->whole = d->data;
	d->data = free_buf;
	d->used = false;
	whole = (struct part){ slice_of(f->whole, d->len), d->len };
	return decode_transport(protocol, whole, ret);
}

static void mapped(uint8_t out[16], struct slice v4)
{
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	memcpy(out + 12, v4.p, 4);
}

static enum packet_verdict decode_ipv4(struct fragments *f, struct part p, struct pcap_stats *stats,
				       struct segment *ret)
{
	struct reader r = reader_of(p.have);
	uint8_t version = read_u8(&r), protocol;
	size_t header = (size_t)(version & 15) * 4, total;
	uint16_t frag;
	uint32_t id;
	struct slice src, dst;

	read_u8(&r);
	total = read_be16(&r);
	id = read_be16(&r);
	frag = read_be16(&r);
	read_u8(&r);
	protocol = read_u8(&r);
	read_be16(&r);
	src = read_bytes(&r, 4);
	dst = read_bytes(&r, 4);
	if (r.bad || version >> 4 != 4 || header < 20 || (total != 0 && total < header))
		return PACKET_MALFORMED;
	mapped(ret->src, src);
	mapped(ret->dst, dst);
	/* Segmentation offload leaves the length 0; padding behind the datagram is no part of it.
	 */
	if (total != 0)
		p = part_head(p, total);
	p = part_from(p, header);
	if (frag & 0x3fff)
		return decode_fragment(f, p, id, (frag & 0x1fffu) * 8, frag & 0x2000, protocol,
				       stats, ret);
	return decode_transport(protocol, p, ret);
}

/* Passes over one extension header; false when next is none. */
static bool extension(struct part *p, uint8_t *next)
{
	const uint8_t *h = p->have.p;
	size_t n;

	if (*next != IP_HOP_OPTIONS && *next != IP_ROUTING && *next != IP_DEST_OPTIONS &&
	    *next != IP_AUTH)
		return false;
	if (p->have.n < 8)
		return false;
	n = *next == IP_AUTH ? ((size_t)h[1] + 2) * 4 : ((size_t)h[1] + 1) * 8;
	if (n > p->len)
		return false;
	*next = h[0];
	*p = part_from(*p, n);
	return true;
}

static enum packet_verdict decode_ipv6(struct fragments *f, struct part p, struct pcap_stats *stats,
				       struct segment *ret)
{
	const uint8_t *h = p.have.p;
	size_t payload;
	uint8_t next;

	if (p.have.n < 40 || h[0] >> 4 != 6)
		return PACKET_MALFORMED;
	payload = (size_t)h[4] << 8 | h[5];
	next = h[6];
	memcpy(ret->src, h + 8, 16);
	memcpy(ret->dst, h + 24, 16);
	ret->ipv6 = true;
	p = part_from(p, 40);
	if (payload != 0) /* 0: jumbogram or offload */
		p = part_head(p, payload);
	for (int i = 0; i < EXT_HEADERS_MAX && extension(&p, &next); i++)
		;
	if (next == IP_FRAGMENT) {
		uint32_t off;

		h = p.have.p;
		if (p.have.n < 8)
			return PACKET_MALFORMED;
		off = (uint32_t)(h[2] << 8 | h[3]);
		next = h[0];
		if ((off & 0xfff9) == 0) /* an atomic fragment is whole (RFC 6946) */
			return decode_transport(next, part_from(p, 8), ret);
		return decode_fragment(f, part_from(p, 8),
				       (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 |
					       (uint32_t)h[6] << 8 | h[7],
				       off & 0xfff8, off & 1, next, stats, ret);
	}
	return decode_transport(next, p, ret);
}

static enum packet_verdict decode_ip(struct fragments *f, struct part p, struct pcap_stats *stats,
				     struct segment *ret)
{
	if (p.have.n == 0)
		return PACKET_MALFORMED;
	switch (p.have.p[0] >> 4) {
	case 4:
		return decode_ipv4(f, p, stats, ret);
	case 6:
		return decode_ipv6(f, p, stats, ret);
	default:
		return PACKET_MALFORMED;
	}
}

/* Behind an EtherType, which may announce VLAN tags (IEEE 802.1Q, 802.1ad). */
static enum packet_verdict decode_ether_type(struct fragments *f, struct part p, uint16_t type,
					     struct pcap_stats *stats, struct segment *ret)
{
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
			break;
		if (p.have.n < 4)
			return PACKET_MALFORMED;
		type = (uint16_t)(p.have.p[2] << 8 | p.have.p[3]);
		p = part_from(p, 4);
	}
	if (type == ETHER_IPV4 || type == ETHER_IPV6)
		return decode_ip(f, p, stats, ret);
	return PACKET_OTHER;
}

/* Headers that end in an EtherType, and where it stands. */
static const struct {
	uint32_t link;
	uint8_t header, type_at;
} ether_links[] = {
	{ LINK_ETHERNET, 14, 12 },
	{ LINK_SLL, 16, 14 },
	{ LINK_SLL2, 20, 0 },
};

/* Headers of fixed length in front of an IP packet. */
static const struct {
	uint32_t link;
	uint8_t header;
} ip_links[] = {
	{ LINK_NULL, 4 },	 { LINK_LOOP, 4 }, { LINK_RAW, 0 },  { LINK_RAW_BSD, 0 },
	{ LINK_RAW_OPENBSD, 0 }, { LINK_IPV4, 0 }, { LINK_IPV6, 0 },
};

enum packet_verdict packet_decode(struct fragments *f, uint32_t link_type, struct slice data,
				  uint32_t orig_len, struct pcap_stats *stats, struct segment *ret)
{
	struct part p = { data, MAX(orig_len, (uint32_t)data.n) };

	for (size_t i = 0; i < ARRAY_SIZE(ether_links); i++) {
		const uint8_t *type = data.p + ether_links[i].type_at;

		if (ether_links[i].link != link_type)
			continue;
		if (data.n < ether_links[i].header)
			return PACKET_MALFORMED;
		return decode_ether_type(f, part_from(p, ether_links[i].header),
					 (uint16_t)(type[0] << 8 | type[1]), stats, ret);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ip_links); i++)
		if (ip_links[i].link == link_type)
			return data.n < ip_links[i].header
				       ? PACKET_MALFORMED
				       : decode_ip(f, part_from(p, ip_links[i].header), stats, ret);
	return PACKET_UNKNOWN_LINK;
}

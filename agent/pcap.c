/* The two file formats. Classic: a 24-byte header, then records of 16 bytes and a packet. pcapng
 * (draft-ietf-opsawg-pcapng): blocks `type, length, body, length` in sections that each choose
 * their byte order. Bytes are collected until a header or a packet is whole; what is of no use
 * (options, name tables, decryption secrets) is passed over without being kept. */
#include "agent/pcap.h"
#include "agent/pcap_dgram.h"
#include "agent/pcap_flow.h"
#include "base/bytes.h"
#include "base/util.h"

#include <errno.h>
#include <string.h>

#define BLOCK_MAX (PCAP_PACKET_MAX + 65536) /* bytes of a block that is looked into */
#define NSEC	  1000000000ULL

enum magic {
	MAGIC_US = 0xa1b2c3d4,
	MAGIC_NS = 0xa1b23c4d,
	MAGIC_MODIFIED = 0xa1b2cd34, /* Kuznetzov's: 24-byte record headers */
	MAGIC_SECTION = 0x0a0d0d0a,
	MAGIC_ORDER = 0x1a2b3c4d,
};

enum block {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_PACKET_SIMPLE = 3,
	BLOCK_PACKET = 6,
};

struct interface {
	uint32_t link_type, snap_len;
	uint64_t units_per_s; /* of time stamps */
	int64_t offset_s;
};

enum mode { MODE_UNKNOWN, MODE_CLASSIC, MODE_BLOCKS };

struct pcap {
	struct flows *flows;
	struct dgram_emitter dgrams;
	struct fragments *fragments;
	struct pcap_stats stats;
	enum mode mode;
	bool big_endian;
	bool modified;
	int error;
	struct interface interfaces[PCAP_INTERFACES_MAX]; /* [0] alone for classic files */
	size_t n_interfaces;
	uint64_t skip;	  /* bytes to pass over */
	size_t need;	  /* bytes that buf must hold before the next step */
	size_t n;	  /* bytes in buf */
	uint64_t taken;	  /* bytes of the file so far */
	uint64_t last_ns; /* time of the packet before, for those without */
	uint8_t buf[BLOCK_MAX];
};

struct pcap *pcap_new(pcap_emit_fn emit, void *ctx)
{
	struct pcap *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->flows = flows_new(emit, ctx, &p->stats);
	p->fragments = fragments_new();
	p->dgrams.emit = emit;
	p->dgrams.ctx = ctx;
	p->need = 4;
	if (p->flows && p->fragments)
		return p;
	pcap_free(p);
	return NULL;
}

void pcap_free(struct pcap *p)
{
	if (!p)
		return;
	flows_free(p->flows);
	fragments_free(p->fragments);
	free(p);
}

const struct pcap_stats *pcap_stats(const struct pcap *p)
{
	return &p->stats;
}

static uint32_t get(const struct pcap *p, size_t at, size_t width)
{
	struct reader r = reader_of(slice_of(p->buf + at, width));

	return (uint32_t)(p->big_endian ? read_be(&r, width) : read_le(&r, width));
}

/* One packet to the layers above. */
static int packet(struct pcap *p, const struct interface *i, uint64_t ts_ns, struct slice data,
		  uint32_t orig_len)
{
	struct segment s = { .ts_ns = ts_ns };

	p->stats.packets++;
	p->stats.cut_packets += data.n < orig_len;
	p->last_ns = ts_ns;
	if (!i) {
		p->stats.unknown_link++;
		return 0;
	}
	switch (packet_decode(p->fragments, i->link_type, data, orig_len, &p->stats, &s)) {
	case PACKET_TCP:
		p->stats.tcp++;
		return flows_push(p->flows, &s);
	case PACKET_UDP:
		p->stats.udp++;
		dgram_emit(&p->dgrams, &s);
		break;
	case PACKET_OTHER:
		p->stats.other++;
		break;
	case PACKET_MALFORMED:
		p->stats.malformed++;
		break;
	case PACKET_UNKNOWN_LINK:
		p->stats.unknown_link++;
		break;
	case PACKET_FRAGMENT:
		break;
	}
	return 0;
}

/* buf[0 .. need) was used: the next step wants `need` bytes, after `skip` that nobody wants. */
static int next_step(struct pcap *p, uint64_t skip, size_t need)
{
	p->n = 0;
	p->skip = skip;
	p->need = need;
	return 0;
}

/* ---- classic ---- */

static size_t record_header(const struct pcap *p)
{
	return p->modified ? 24 : 16;
}

static int classic_header(struct pcap *p)
{
	uint32_t link;

	if (p->n < 24) {
		p->need = 24;
		return 0;
	}
	if (get(p, 4, 2) != 2) /* major version */
		return -EPROTO;
	link = get(p, 20, 4);
	p->interfaces[0].link_type = link &
				     0x0fffffff; /* the rest says how long a checksum follows */
	p->n_interfaces = 1;
	p->mode = MODE_CLASSIC;
	return next_step(p, 0, record_header(p));
}

static int classic_record(struct pcap *p)
{
	struct interface *i = &p->interfaces[0];
	size_t head = record_header(p);
	uint32_t cap = get(p, 8, 4), orig = get(p, 12, 4);
	uint64_t sub = get(p, 4, 4), ts_ns;
	int e;

	if (cap > PCAP_PACKET_MAX)
		return -EBADMSG;
	if (p->n < head + cap) {
		p->need = head + cap;
		return 0;
	}
	ts_ns = get(p, 0, 4) * NSEC + sub * (NSEC / i->units_per_s);
	e = packet(p, i, ts_ns, slice_of(p->buf + head, cap), orig);
	next_step(p, 0, head);
	return e;
}

/* ---- pcapng ---- */

static int section_header(struct pcap *p)
{
	uint64_t len;

	if (p->n < 12) {
		p->need = 12;
		return 0;
	}
	p->big_endian = false;
	if (get(p, 8, 4) != MAGIC_ORDER) {
		p->big_endian = true;
		if (get(p, 8, 4) != MAGIC_ORDER)
			return -EBADMSG;
	}
	len = get(p, 4, 4);
	if (len < 28 || len % 4 != 0)
		return -EBADMSG;
	p->n_interfaces = 0;
	p->mode = MODE_BLOCKS;
	return next_step(p, len - 12, 8);
}

/* if_tsresol: 10^-n, or 2^-n with the high bit. */
static uint64_t resolution(uint8_t v)
{
	uint64_t units = 1;
	unsigned int n = v & 0x7f;

	if (v & 0x80)
		return n < 63 ? 1ULL << n : 0;
	if (n > 18)
		return 0;
	while (n-- > 0)
		units *= 10;
	return units;
}

static int interface_block(struct pcap *p, size_t body_end)
{
	struct interface i = { .link_type = get(p, 8, 2), .units_per_s = 1000000 };
	size_t at = 16;

	if (body_end < 16)
		return -EBADMSG;
	i.snap_len = get(p, 12, 4);
	while (at + 4 <= body_end) {
		uint32_t code = get(p, at, 2), len = get(p, at + 2, 2);

		at += 4;
		if (code == 0 || len > body_end - at)
			break;
		if (code == 9 && len >= 1)
			i.units_per_s = resolution(p->buf[at]);
		if (code == 14 && len >= 8)
			i.offset_s = (int64_t)((uint64_t)get(p, at + (p->big_endian ? 0 : 4), 4)
						       << 32 |
					       get(p, at + (p->big_endian ? 4 : 0), 4));
		at += ((size_t)len + 3) / 4 * 4;
	}
	if (i.units_per_s == 0)
		return -EBADMSG;
	if (p->n_interfaces < PCAP_INTERFACES_MAX)
		p->interfaces[p->n_interfaces++] = i;
	return 0;
}

static uint64_t unix_ns(const struct interface *i, uint64_t ts)
{
	uint64_t s = ts / i->units_per_s, part = ts % i->units_per_s;

	return (s + (uint64_t)i->offset_s) * NSEC +
	       (uint64_t)((unsigned __int128)part * NSEC / i->units_per_s);
}

static const struct interface *interface_at(const struct pcap *p, uint32_t i)
{
	return i < p->n_interfaces ? &p->interfaces[i] : NULL;
}

/* Enhanced and obsolete packet blocks: the same but for the width of the interface's number. */
static int packet_block(struct pcap *p, uint32_t type, size_t body_end)
{
	const struct interface *i;
	uint32_t cap, orig;
	uint64_t ts;

	if (body_end < 28)
		return -EBADMSG;
	i = interface_at(p, get(p, 8, type == BLOCK_PACKET ? 4 : 2));
	ts = (uint64_t)get(p, 12, 4) << 32 | get(p, 16, 4);
	cap = get(p, 20, 4);
	orig = get(p, 24, 4);
	if (cap > PCAP_PACKET_MAX || cap > body_end - 28)
		return -EBADMSG;
	return packet(p, i, i ? unix_ns(i, ts) : p->last_ns, slice_of(p->buf + 28, cap), orig);
}

/* A packet without time and capture length: the time of the one before is the best there is. */
static int simple_block(struct pcap *p, size_t body_end)
{
	const struct interface *i = interface_at(p, 0);
	uint32_t orig, cap;

	if (body_end < 12 || !i)
		return -EBADMSG;
	orig = get(p, 8, 4);
	cap = MIN(orig, (uint32_t)(body_end - 12));
	if (i->snap_len != 0)
		cap = MIN(cap, i->snap_len);
	return packet(p, i, p->last_ns, slice_of(p->buf + 12, MIN(cap, (uint32_t)PCAP_PACKET_MAX)),
		      orig);
}

static int block(struct pcap *p)
{
	uint32_t type = get(p, 0, 4), len = get(p, 4, 4);
	bool wanted = type == BLOCK_INTERFACE || type == BLOCK_PACKET || type == BLOCK_PACKET_OLD ||
		      type == BLOCK_PACKET_SIMPLE;
	int e = 0;

	if (type == BLOCK_SECTION)
		return section_header(p);
	if (len < 12 || len % 4 != 0)
		return -EBADMSG;
	if (!wanted)
		return next_step(p, len - 8, 8);
	if (len > sizeof(p->buf))
		return -EBADMSG;
	if (p->n < len) {
		p->need = len;
		return 0;
	}
	if (get(p, len - 4, 4) != len)
		return -EBADMSG;
	if (type == BLOCK_INTERFACE)
		e = interface_block(p, len - 4);
	else if (type == BLOCK_PACKET_SIMPLE)
		e = simple_block(p, len - 4);
	else
		e = packet_block(p, type, len - 4);
	next_step(p, 0, 8);
	return e;
}

/* ---- both ---- */

static const struct {
	uint32_t magic;
	uint64_t units_per_s;
	bool modified;
} magics[] = {
	{ MAGIC_US, 1000000, false },
	{ MAGIC_NS, 1000000000, false },
	{ MAGIC_MODIFIED, 1000000, true },
};

static int file_header(struct pcap *p)
{
	for (int order = 0; order < 2; order++) {
		p->big_endian = order;
		for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
			if (get(p, 0, 4) != magics[i].magic)
				continue;
			p->modified = magics[i].modified;
			p->interfaces[0] =
				(struct interface){ .units_per_s = magics[i].units_per_s };
			return classic_header(p);
		}
	}
	return get(p, 0, 4) == MAGIC_SECTION ? section_header(p) : -EPROTO;
}

static int step(struct pcap *p)
{
	switch (p->mode) {
	case MODE_CLASSIC:
		return classic_record(p);
	case MODE_BLOCKS:
		return block(p);
	default:
		return file_header(p);
	}
}

int pcap_push(struct pcap *p, struct slice bytes)
{
	while (bytes.n > 0 && p->error == 0) {
		size_t n = (size_t)MIN(p->skip, (uint64_t)bytes.n);

		p->skip -= n;
		p->taken += n;
		bytes = slice_from(bytes, n);
		n = MIN(p->need - p->n, bytes.n);
		if (n > 0)
			memcpy(p->buf + p->n, bytes.p, n);
		p->n += n;
		p->taken += n;
		bytes = slice_from(bytes, n);
		if (p->n == p->need && p->skip == 0)
			p->error = step(p);
		if (p->error == 0 && p->n == 0)
			p->stats.good_bytes = p->taken;
	}
	return p->error;
}

int pcap_finish(struct pcap *p)
{
	flows_finish(p->flows);
	if (p->error == 0 && p->mode == MODE_UNKNOWN)
		p->error = -EPROTO;
	if (p->error == 0 && (p->n > 0 || p->skip > 0))
		p->error = -EBADMSG;
	if (p->error == 0)
		p->stats.good_bytes = p->taken;
	return p->error;
}

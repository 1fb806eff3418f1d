#include "protocols/dns/dns_int.h"

#include "base/util.h"

#define PREFIX 2 /* bytes of the length before a message over TCP */

/* ---- datagrams ---- */

static void dgram_init(void *st, enum dir client, bool mid)
{
	struct dns_state *s = st;

	(void)mid;
	s->client = (uint8_t)client;
	s->max = DNS_DGRAM_OPEN_MAX;
}

static void multicast_init(void *st, enum dir client, bool mid)
{
	struct dns_state *s = st;

	dgram_init(st, client, mid);
	s->multicast = true;
}

static struct parse_result dgram_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct dns_message m = {
		.bytes = in->buf, .dir = in->dir, .off = in->off, .end = in->off + in->buf.n
	};

	if (!in->buf.n)
		return (struct parse_result){ .st = PARSE_OK };
	if (!dns_on_message(st, &m, out))
		return (struct parse_result){ .st = PARSE_RESYNC };
	return (struct parse_result){ .st = PARSE_OK, .consumed = in->buf.n };
}

/* The next datagram is the next beginning. */
static size_t dgram_resync(const void *st, struct slice buf, enum dir dir)
{
	(void)st;
	(void)dir;
	return buf.n;
}

static void dgram_gap(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out)
{
	(void)st;
	(void)dir;
	(void)off;
	(void)lost;
	(void)out;
}

static void dns_close(void *st, struct sink *out)
{
	(void)st;
	(void)out;
}

/* ---- TCP ---- */

static void tcp_init(void *st, enum dir client, bool mid)
{
	struct dns_state *s = st;

	s->client = (uint8_t)client;
	s->max = DNS_TCP_OPEN_MAX;
	s->way[0].lost = s->way[1].lost = mid;
}

static size_t message_len(struct slice buf)
{
	return (size_t)buf.p[0] << 8 | buf.p[1];
}

/* What stands at the beginning of buf: a message of that shape behind its length, or none. */
static enum dns_shape framed(struct slice buf, uint16_t *id, uint32_t *hash)
{
	size_t len;

	if (buf.n < PREFIX + DNS_HEADER)
		return DNS_SHAPE_NONE;
	len = message_len(buf);
	if (len < DNS_HEADER)
		return DNS_SHAPE_NONE;
	buf = slice_from(buf, PREFIX);
	return dns_shape_of(slice_head(buf, len), buf.n >= len, id, hash);
}

/* What is known of a header before all of it is there. */
struct mask {
	uint8_t mask, value;
};
#define MASKS (PREFIX + 8)
static const struct mask masks[][MASKS] = {
	[DNS_SHAPE_QUERY] = {
		[0] = { 0xfc, 0 },	    /* less than a thousand bytes */
		[PREFIX + 2] = { 0xfe, 0 }, /* of the flags RD alone */
		[PREFIX + 3] = { 0xcf, 0 }, /* AD and CD */
		[PREFIX + 4] = { 0xff, 0 }, /* one question */
		[PREFIX + 5] = { 0xff, 1 },
		[PREFIX + 6] = { 0xff, 0 }, /* no answer */
		[PREFIX + 7] = { 0xff, 0 },
	},
	[DNS_SHAPE_ANSWER] = {
		[PREFIX + 2] = { 0xf8, 0x80 },
		[PREFIX + 3] = { DNS_Z, 0 },
		[PREFIX + 4] = { 0xff, 0 }, /* one question, or none */
		[PREFIX + 5] = { 0xfe, 0 },
	},
};

/* Whether a message of that shape may begin so. */
static bool may_begin(struct slice buf, enum dns_shape shape)
{
	for (size_t i = 0; i < buf.n && i < MASKS; i++)
		if ((buf.p[i] & masks[shape][i].mask) != masks[shape][i].value)
			return false;
	return buf.n < PREFIX || message_len(buf) >= DNS_HEADER;
}

static enum dns_shape wanted(const struct dns_state *s, enum dir dir)
{
	return dir == s->client ? DNS_SHAPE_QUERY : DNS_SHAPE_ANSWER;
}

/* The bytes of the message at the beginning of buf that are looked at, with its length; 0: none is
 * there. */
static size_t look_of(struct slice buf)
{
	size_t len = buf.n < PREFIX ? DNS_HEADER : message_len(buf);

	if (len < DNS_HEADER)
		return 0;
	return buf.n < PREFIX ? PREFIX : MIN(PREFIX + len, (size_t)DNS_TCP_LOOK_MAX);
}

/* A whole message, or all of it that is looked at. False: it is none. */
static bool take(struct dns_state *s, const struct parse_in *in, size_t look, struct sink *out)
{
	struct dns_way *w = &s->way[in->dir];
	size_t all = PREFIX + message_len(in->buf);
	struct dns_message m = { .bytes = slice_of(in->buf.p + PREFIX, look - PREFIX),
				 .dir = in->dir,
				 .off = in->off,
				 .end = in->off + all,
				 .cut = look < all };
	uint32_t hash;
	uint16_t id;

	if (w->strict && framed(in->buf, &id, &hash) != wanted(s, in->dir)) {
		w->pass = 0;
		return false;
	}
	w->strict = false;
	if (dns_on_message(s, &m, out))
		return true;
	w->pass = all;
	w->pass_to = in->off + all;
	w->strict = true;
	return false;
}

static struct parse_result tcp_parse(void *st, const struct parse_in *in, struct sink *out)
{
	static const struct parse_result lost = { .st = PARSE_RESYNC };
	struct dns_way *w = &((struct dns_state *)st)->way[in->dir];
	size_t look;

	if (!in->buf.n)
		return (struct parse_result){ .st = PARSE_OK };
	w->pass = in->off < w->pass_to ? w->pass_to - in->off : 0;
	if (w->pass)
		return lost;
	if (w->lost) {
		w->lost = false;
		w->strict = true;
		return lost;
	}
	look = look_of(in->buf);
	if (!look || (w->strict && !may_begin(in->buf, wanted(st, in->dir)))) {
		w->strict = true;
		return lost;
	}
	if (look == PREFIX || in->buf.n < look) {
		if (in->eof || in->force)
			return lost;
		return (struct parse_result){ .st = PARSE_NEED, .need = MAX(look, in->buf.n + 1) };
	}
	if (!take(st, in, look, out))
		return lost;
	return (struct parse_result){ .st = PARSE_OK,
				      .consumed = look,
				      .skip = PREFIX + message_len(in->buf) - look };
}

/* Behind a message that was not understood, or, where its end is not known, where the next one may
 * begin. */
static size_t tcp_resync(const void *st, struct slice buf, enum dir dir)
{
	const struct dns_state *s = st;
	enum dns_shape shape = wanted(s, dir);
	unsigned int tries = 0;
	uint32_t hash;
	uint16_t id;

	if (s->way[dir].pass)
		return (size_t)MIN(s->way[dir].pass, (uint64_t)buf.n);
	for (size_t at = 0; at < buf.n; at++) {
		struct slice rest = slice_from(buf, at);

		if (!may_begin(rest, shape))
			continue;
		/* What is not all there is for parse() to wait for. */
		if (rest.n < PREFIX || rest.n < look_of(rest) || ++tries > DNS_RESYNC_TRIES_MAX ||
		    framed(rest, &id, &hash) == shape)
			return at;
	}
	return buf.n;
}

static void tcp_gap(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out)
{
	struct dns_state *s = st;

	(void)off;
	(void)lost;
	(void)out;
	s->way[dir].lost = true;
}

/* Whether one of the queries in buf is the one that this answers. */
static bool asked(struct slice buf, uint16_t id, uint32_t hash)
{
	for (int i = 0; i < DNS_PROBE_QUERIES && buf.n > PREFIX; i++) {
		uint32_t query_hash;
		uint16_t query_id;

		if (framed(buf, &query_id, &query_hash) != DNS_SHAPE_QUERY)
			return false;
		if (query_id == id && query_hash == hash)
			return true;
		buf = slice_from(buf, PREFIX + message_len(buf));
	}
	return false;
}

enum probe_result dns_probe(const struct probe_in *in)
{
	enum dns_shape head, other;
	uint32_t head_hash, other_hash;
	uint16_t head_id, other_id;

	if (in->head.n && in->head.n < PREFIX + DNS_HEADER) {
		/* The length is often read alone. */
		bool asked_before = framed(in->other, &other_id, &other_hash) == DNS_SHAPE_QUERY;

		return asked_before || may_begin(in->head, DNS_SHAPE_QUERY) ? PROBE_MORE : PROBE_NO;
	}
	head = framed(in->head, &head_id, &head_hash);
	if (head == DNS_SHAPE_NONE)
		return PROBE_NO;
	if (in->other.n < PREFIX + DNS_HEADER)
		return PROBE_MORE;
	other = framed(in->other, &other_id, &other_hash);
	if (head == DNS_SHAPE_QUERY && other == DNS_SHAPE_ANSWER)
		return asked(in->head, other_id, other_hash) ? PROBE_REQUEST : PROBE_NO;
	if (head == DNS_SHAPE_ANSWER && other == DNS_SHAPE_QUERY)
		return asked(in->other, head_id, head_hash) ? PROBE_RESPONSE : PROBE_NO;
	return PROBE_NO;
}

#define STATE_SIZE(n) (sizeof(struct dns_state) + (n) * sizeof(struct dns_open_query))
_Static_assert(STATE_SIZE(DNS_TCP_OPEN_MAX) <= PROTO_STATE_MAX, "state");

const struct proto_ops dns_ops = {
	.id = PROTO_DNS,
	.name = "dns",
	.flags = PROTO_F_GAP_OK,
	.state_size = STATE_SIZE(DNS_TCP_OPEN_MAX),
	.max_need = DNS_TCP_LOOK_MAX,
	.probe = dns_probe,
	.init = tcp_init,
	.parse = tcp_parse,
	.resync = tcp_resync,
	.gap = tcp_gap,
	.close = dns_close,
};

const struct proto_ops dns_dgram_ops = {
	.id = PROTO_DNS,
	.name = "dns",
	.flags = PROTO_F_GAP_OK,
	.state_size = STATE_SIZE(DNS_DGRAM_OPEN_MAX),
	.init = dgram_init,
	.parse = dgram_parse,
	.resync = dgram_resync,
	.gap = dgram_gap,
	.close = dns_close,
};

const struct proto_ops dns_multicast_ops = {
	.id = PROTO_DNS,
	.name = "dns",
	.flags = PROTO_F_GAP_OK,
	.state_size = STATE_SIZE(0),
	.init = multicast_init,
	.parse = dgram_parse,
	.resync = dgram_resync,
	.gap = dgram_gap,
	.close = dns_close,
};

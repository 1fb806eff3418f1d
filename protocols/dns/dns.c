#include "protocols/dns/dns.h"

#include "base/util.h"
#include "protocols/dns/message.h"

#define PREFIX		2 /* bytes of the length before a message over TCP */
#define CLASS_BITS	0x7fff
#define EDNS_RCODE(ttl) ((uint16_t)((ttl) >> 20 & 0xff0)) /* upper bits (RFC 6891 section 6.1.3) */
#define EDNS_VERSION(t) ((t) >> 16 & 0xff)

enum open_flag { OPEN_TRANSFER = 1 << 0, OPEN_ANSWERED = 1 << 1 };

struct open_query {
	uint64_t key;
	uint32_t hash;
	uint16_t id;
	uint8_t flags; /* enum open_flag */
	uint8_t soas;  /* of a transfer, seen so far */
};

/* Where messages begin in one direction. */
struct way {
	uint64_t pass_to; /* position behind a message that was not understood */
	uint64_t pass;	  /* bytes up to there, for resync() */
	bool lost;	  /* not known: to be looked for */
	bool strict;	  /* not sure: the next one must look like one */
};

struct state {
	uint64_t queries, pushes, orphans; /* numbers given */
	uint16_t n, max;
	uint8_t client; /* enum dir */
	bool multicast;
	struct way way[2];	  /* by direction; TCP */
	struct open_query open[]; /* oldest first */
};

/* A message at hand. */
struct message {
	struct slice bytes;
	struct dns_header h;
	struct dns_question q;
	size_t at; /* behind the question */
	enum dir dir;
	uint64_t off, end; /* stream positions, with the prefix */
	bool cut;	   /* bytes has not all of it */
};

/* ---- what is emitted ---- */

struct emit {
	struct sink *out;
	enum msg_kind kind;
	bool quiet; /* nothing is */
	uint64_t key;
	uint32_t records; /* emitted */
	uint32_t soas;
	bool ends_with_soa;
	uint16_t rcode;
	uint32_t flags;		  /* enum msg_flag */
	char text[DNS_DATA_TEXT]; /* or a name, which is shorter */
};

static void field(struct emit *e, enum field_id f, const struct dns_text *t)
{
	if (e->quiet)
		return;
	sink_field(e->out, e->kind, e->key, f, dns_text_slice(t));
	if (t->cut)
		e->flags |= MSG_TRUNCATED;
}

static void num(struct emit *e, enum field_id f, int64_t v)
{
	if (!e->quiet)
		sink_num(e->out, e->kind, e->key, f, v);
}

static void emit_question(struct emit *e, const struct message *m)
{
	struct dns_text t = { .p = e->text, .max = DNS_NAME_TEXT };
	struct dns_question q;
	size_t at = DNS_HEADER;

	num(e, FIELD_QUERY_ID, m->h.id);
	num(e, FIELD_FLAGS, m->h.flags);
	if (!m->h.count[DNS_QUESTIONS] || !dns_read_question(m->bytes, &at, &q, &t))
		return;
	field(e, FIELD_QNAME, &t);
	num(e, FIELD_QTYPE, q.type);
	num(e, FIELD_QCLASS, q.class & CLASS_BITS);
}

static void emit_record(struct emit *e, const struct message *m, size_t at)
{
	struct dns_text t = { .p = e->text, .max = DNS_NAME_TEXT };
	struct dns_record r;

	if (!dns_read_record(m->bytes, &at, &r, &t))
		return;
	field(e, FIELD_RR_NAME, &t);
	num(e, FIELD_RR_TYPE, r.type);
	num(e, FIELD_RR_TTL, r.ttl > INT32_MAX ? 0 : r.ttl); /* RFC 2181 section 8 */
	t = (struct dns_text){ .p = e->text, .max = DNS_DATA_TEXT };
	dns_put_data(m->bytes, &r, &t);
	field(e, FIELD_RR_DATA, &t);
}

static void emit_edns(struct emit *e, const struct dns_record *r)
{
	num(e, FIELD_EDNS_SIZE, r->class);
	num(e, FIELD_EDNS_VERSION, EDNS_VERSION(r->ttl));
	e->rcode |= EDNS_RCODE(r->ttl);
}

/* All sections behind the question: the answer's records are emitted, of the rest EDNS alone. */
static void emit_records(struct emit *e, const struct message *m)
{
	bool answers = m->h.flags & DNS_QR && (m->h.flags & DNS_OPCODE) >> 11 != DNS_UPDATE;
	size_t at = m->at;
	struct dns_record r;

	for (int s = DNS_ANSWERS; s < _DNS_SECTIONS; s++) {
		for (uint32_t i = 0; i < m->h.count[s]; i++) {
			size_t from = at;

			if (!dns_read_record(m->bytes, &at, &r, NULL)) {
				e->flags |= MSG_TRUNCATED;
				return;
			}
			if (s == DNS_ADDITIONALS && r.type == DNS_OPT)
				emit_edns(e, &r);
			if (s != DNS_ANSWERS || !answers)
				continue;
			e->ends_with_soa = r.type == DNS_SOA;
			e->soas += e->ends_with_soa;
			if (e->records < DNS_RECORDS_MAX)
				emit_record(e, m, from);
			else
				e->flags |= MSG_TRUNCATED;
			e->records++;
		}
	}
}

/* ---- queries and answers ---- */

static void forget(struct state *s, size_t i)
{
	s->n--;
	memmove(&s->open[i], &s->open[i + 1], (s->n - i) * sizeof(s->open[0]));
}

static void remember(struct state *s, const struct message *m, uint64_t key)
{
	bool transfer = m->q.type == DNS_AXFR || m->q.type == DNS_IXFR;

	if (s->n == s->max)
		forget(s, 0);
	s->open[s->n++] = (struct open_query){ key, m->q.hash, m->h.id,
					       transfer ? OPEN_TRANSFER : 0, 0 };
}

static void on_query(struct state *s, const struct message *m, struct sink *out)
{
	struct emit e = { .out = out, .kind = MSG_REQUEST, .key = s->queries++ };

	if (!s->multicast)
		remember(s, m, e.key);
	sink_begin(out, e.kind, m->dir, e.key, m->off);
	emit_question(&e, m);
	emit_records(&e, m);
	sink_end(out, e.kind, e.key, m->end, e.flags | (s->multicast ? MSG_ONEWAY : 0));
}

/* The youngest open query that it answers, or s->n. */
static size_t question_of(const struct state *s, const struct message *m)
{
	for (size_t i = s->n; i > 0; i--) {
		const struct open_query *q = &s->open[i - 1];

		if (q->id == m->h.id && (!m->q.hash || q->hash == m->q.hash))
			return i - 1;
	}
	return s->n;
}

/* Whether further messages of the same answer follow: a transfer begins and ends with the zone's SOA. */
static bool goes_on(struct open_query *q, const struct message *m, const struct emit *e)
{
	uint32_t soas = q->soas + e->soas;

	q->soas = (uint8_t)MIN(soas, 2u);
	if (!(q->flags & OPEN_TRANSFER) || m->h.flags & DNS_RCODE || m->cut)
		return false;
	if (!(q->flags & OPEN_ANSWERED) &&
	    (!e->records || (e->records == 1 && m->q.type == DNS_IXFR)))
		return false;
	return soas < 2 || !e->ends_with_soa;
}

static void whole_answer(const struct message *m, struct emit *e)
{
	sink_begin(e->out, e->kind, m->dir, e->key, m->off);
	emit_question(e, m);
	e->rcode = m->h.flags & DNS_RCODE;
	emit_records(e, m);
	num(e, FIELD_RCODE, e->rcode);
	sink_end(e->out, e->kind, e->key, m->end, e->flags);
}

static void answer_to(struct state *s, size_t i, const struct message *m, struct emit *e)
{
	struct open_query *q = &s->open[i];

	e->key = q->key;
	e->quiet = q->flags & OPEN_ANSWERED;
	if (e->quiet)
		emit_records(e, m);
	else
		whole_answer(m, e);
	if (goes_on(q, m, e))
		q->flags |= OPEN_ANSWERED;
	else
		forget(s, i);
}

static void on_answer(struct state *s, const struct message *m, struct sink *out)
{
	struct emit e = { .out = out, .kind = s->multicast ? MSG_PUSH : MSG_RESPONSE };
	size_t i = question_of(s, m);

	if (i < s->n) {
		answer_to(s, i, m, &e);
		return;
	}
	e.key = s->multicast ? KEY_PUSH | s->pushes++ : KEY_ORPHAN | s->orphans++;
	whole_answer(m, &e);
}

/* False: this is no message of that direction. */
static bool on_message(struct state *s, struct message *m, struct sink *out)
{
	bool answer;

	if (!dns_read_header(m->bytes, &m->h) || m->h.count[DNS_QUESTIONS] > 1)
		return false;
	answer = m->h.flags & DNS_QR;
	if (!s->multicast && answer == (m->dir == s->client))
		return false;
	m->at = DNS_HEADER;
	if (m->h.count[DNS_QUESTIONS] && !dns_read_question(m->bytes, &m->at, &m->q, NULL))
		return false;
	if (answer)
		on_answer(s, m, out);
	else
		on_query(s, m, out);
	return true;
}

/* ---- datagrams ---- */

static void dgram_init(void *st, enum dir client, bool mid)
{
	struct state *s = st;

	(void)mid;
	s->client = (uint8_t)client;
	s->max = DNS_DGRAM_OPEN_MAX;
}

static void multicast_init(void *st, enum dir client, bool mid)
{
	struct state *s = st;

	dgram_init(st, client, mid);
	s->multicast = true;
}

static struct parse_result dgram_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct message m = {
		.bytes = in->buf, .dir = in->dir, .off = in->off, .end = in->off + in->buf.n
	};

	if (!in->buf.n)
		return (struct parse_result){ .st = PARSE_OK };
	if (!on_message(st, &m, out))
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
	struct state *s = st;

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

static enum dns_shape wanted(const struct state *s, enum dir dir)
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
static bool take(struct state *s, const struct parse_in *in, size_t look, struct sink *out)
{
	struct way *w = &s->way[in->dir];
	size_t all = PREFIX + message_len(in->buf);
	struct message m = { .bytes = slice_of(in->buf.p + PREFIX, look - PREFIX),
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
	if (on_message(s, &m, out))
		return true;
	w->pass = all;
	w->pass_to = in->off + all;
	w->strict = true;
	return false;
}

static struct parse_result tcp_parse(void *st, const struct parse_in *in, struct sink *out)
{
	static const struct parse_result lost = { .st = PARSE_RESYNC };
	struct way *w = &((struct state *)st)->way[in->dir];
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
	const struct state *s = st;
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
	struct state *s = st;

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

#define STATE_SIZE(n) (sizeof(struct state) + (n) * sizeof(struct open_query))
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

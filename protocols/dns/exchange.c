#include "protocols/dns/dns_int.h"

#include "base/util.h"

#define CLASS_BITS	0x7fff
#define EDNS_RCODE(ttl) ((uint16_t)((ttl) >> 20 & 0xff0)) /* upper bits (RFC 6891 section 6.1.3) */
#define EDNS_VERSION(t) ((t) >> 16 & 0xff)

enum open_flag { OPEN_TRANSFER = 1 << 0, OPEN_ANSWERED = 1 << 1 };

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

static void emit_question(struct emit *e, const struct dns_message *m)
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

static void emit_record(struct emit *e, const struct dns_message *m, size_t at)
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
static void emit_records(struct emit *e, const struct dns_message *m)
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

static void forget(struct dns_state *s, size_t i)
{
	s->n--;
	memmove(&s->open[i], &s->open[i + 1], (s->n - i) * sizeof(s->open[0]));
}

static void remember(struct dns_state *s, const struct dns_message *m, uint64_t key)
{
	bool transfer = m->q.type == DNS_AXFR || m->q.type == DNS_IXFR;

	if (s->n == s->max)
		forget(s, 0);
	s->open[s->n++] = (struct dns_open_query){ key, m->q.hash, m->h.id,
						   transfer ? OPEN_TRANSFER : 0, 0 };
}

static void on_query(struct dns_state *s, const struct dns_message *m, struct sink *out)
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
static size_t question_of(const struct dns_state *s, const struct dns_message *m)
{
	for (size_t i = s->n; i > 0; i--) {
		const struct dns_open_query *q = &s->open[i - 1];

		if (q->id == m->h.id && (!m->q.hash || q->hash == m->q.hash))
			return i - 1;
	}
	return s->n;
}

/* Whether further messages of the same answer follow: a transfer begins and ends with the zone's SOA. */
static bool goes_on(struct dns_open_query *q, const struct dns_message *m, const struct emit *e)
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

static void whole_answer(const struct dns_message *m, struct emit *e)
{
	sink_begin(e->out, e->kind, m->dir, e->key, m->off);
	emit_question(e, m);
	e->rcode = m->h.flags & DNS_RCODE;
	emit_records(e, m);
	num(e, FIELD_RCODE, e->rcode);
	sink_end(e->out, e->kind, e->key, m->end, e->flags);
}

static void answer_to(struct dns_state *s, size_t i, const struct dns_message *m, struct emit *e)
{
	struct dns_open_query *q = &s->open[i];

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

static void on_answer(struct dns_state *s, const struct dns_message *m, struct sink *out)
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

bool dns_on_message(struct dns_state *s, struct dns_message *m, struct sink *out)
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

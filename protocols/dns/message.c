#include "protocols/dns/message.h"

#include "base/bytes.h"
#include "base/util.h"

#define LABEL_MAX	63
#define ADDITIONAL_MAX	3      /* of a query: OPT, TSIG, SIG(0) */
#define SHAPE_RECORDS	16     /* of a message that are looked at: enough to tell */
#define CLASS_MULTICAST 0x8000 /* RFC 6762 sections 5.4 and 10.2: another meaning than a class */

void dns_putc(struct dns_text *t, char c)
{
	if (t->n == t->max)
		t->cut = true;
	else
		t->p[t->n++] = c;
}

void dns_put(struct dns_text *t, const char *s)
{
	while (*s)
		dns_putc(t, *s++);
}

void dns_put_num(struct dns_text *t, uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		dns_putc(t, digits[--n]);
}

bool dns_read_header(struct slice msg, struct dns_header *ret)
{
	struct reader r = reader_of(slice_head(msg, DNS_HEADER));

	ret->id = read_be16(&r);
	ret->flags = read_be16(&r);
	for (int i = 0; i < _DNS_SECTIONS; i++)
		ret->count[i] = read_be16(&r);
	return !r.bad;
}

static void put_label(struct dns_text *t, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = p[i];

		if (c <= 0x20 || c >= 0x7f) {
			dns_putc(t, '\\');
			dns_putc(t, (char)('0' + c / 100));
			dns_putc(t, (char)('0' + c / 10 % 10));
			dns_putc(t, (char)('0' + c % 10));
			continue;
		}
		if (c == '.' || c == '\\')
			dns_putc(t, '\\');
		dns_putc(t, (char)c);
	}
}

/* Label by label. step() is told of each; returns false when it does not like one. */
struct name_walk {
	struct slice msg;
	size_t at;    /* of the next length byte */
	size_t end;   /* behind the name where it stands; 0: not known yet */
	size_t bound; /* a pointer must lead before this */
	size_t wire;  /* bytes so far */
	unsigned int jumps;
};

/* 1: *ret is the next label; 0: the end; -1: no name. */
static int name_step(struct name_walk *w, struct slice *ret)
{
	for (;;) {
		uint8_t len;
		size_t to;

		if (w->at >= w->msg.n)
			return -1;
		len = w->msg.p[w->at];
		if (len <= LABEL_MAX) {
			w->wire += (size_t)len + 1;
			if (w->wire > DNS_WIRE_MAX || w->msg.n - w->at < (size_t)len + 1)
				return -1;
			*ret = slice_of(w->msg.p + w->at + 1, len);
			w->at += (size_t)len + 1;
			if (len)
				return 1;
			w->end = w->end ? w->end : w->at;
			return 0;
		}
		if (len < 0xc0 || w->msg.n - w->at < 2 || ++w->jumps > DNS_JUMPS_MAX)
			return -1;
		to = (size_t)(len & 0x3f) << 8 | w->msg.p[w->at + 1];
		w->end = w->end ? w->end : w->at + 2;
		if (to >= w->bound || to < DNS_HEADER)
			return -1;
		w->at = w->bound = to;
	}
}

bool dns_read_name(struct slice msg, size_t *at, struct dns_text *t)
{
	struct name_walk w = { .msg = msg, .at = *at, .bound = *at };
	struct slice label;
	size_t labels = 0;
	int r;

	while ((r = name_step(&w, &label)) > 0) {
		if (t && labels)
			dns_putc(t, '.');
		if (t)
			put_label(t, label.p, label.n);
		labels++;
	}
	if (t && r == 0 && !labels)
		dns_putc(t, '.');
	*at = w.end;
	return r == 0;
}

/* FNV-1a */
static uint32_t hash_byte(uint32_t h, uint8_t c)
{
	return (h ^ c) * 16777619u;
}

static uint32_t name_hash(struct slice msg, size_t at)
{
	struct name_walk w = { .msg = msg, .at = at, .bound = at };
	uint32_t h = 2166136261u;
	struct slice label;

	while (name_step(&w, &label) > 0) {
		h = hash_byte(h, (uint8_t)label.n);
		for (size_t i = 0; i < label.n; i++) {
			uint8_t c = label.p[i];

			h = hash_byte(h, c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		}
	}
	return h;
}

static uint16_t be16_at(struct slice msg, size_t at)
{
	return (uint16_t)(msg.p[at] << 8 | msg.p[at + 1]);
}

bool dns_read_question(struct slice msg, size_t *at, struct dns_question *ret,
		       struct dns_text *name)
{
	size_t from = *at;

	if (!dns_read_name(msg, at, name) || msg.n - *at < 4)
		return false;
	ret->type = be16_at(msg, *at);
	ret->class = be16_at(msg, *at + 2);
	*at += 4;
	ret->hash = name_hash(msg, from);
	ret->hash = hash_byte(hash_byte(ret->hash, (uint8_t)(ret->type >> 8)), (uint8_t)ret->type);
	ret->hash = hash_byte(ret->hash, (uint8_t)ret->class);
	ret->hash = ret->hash ? ret->hash : 1;
	return true;
}

bool dns_read_record(struct slice msg, size_t *at, struct dns_record *ret, struct dns_text *name)
{
	if (!dns_read_name(msg, at, name) || msg.n - *at < 10)
		return false;
	ret->type = be16_at(msg, *at);
	ret->class = be16_at(msg, *at + 2);
	ret->ttl = (uint32_t)be16_at(msg, *at + 4) << 16 | be16_at(msg, *at + 6);
	ret->data_n = be16_at(msg, *at + 8);
	ret->data = *at + 10;
	*at = ret->data + ret->data_n;
	return *at <= msg.n;
}

/* ---- the shape of a message ---- */

static bool plausible_counts(const struct dns_header *h)
{
	if (h->flags & DNS_QR)
		return h->count[DNS_QUESTIONS] <= 1;
	return h->count[DNS_QUESTIONS] == 1 && !h->count[DNS_ANSWERS] &&
	       h->count[DNS_AUTHORITIES] <= 1 && h->count[DNS_ADDITIONALS] <= ADDITIONAL_MAX;
}

static bool plausible_header(const struct dns_header *h)
{
	uint16_t never = DNS_OPCODE | DNS_Z;

	if (!(h->flags & DNS_QR))
		never |= DNS_AA | DNS_TC | DNS_RA | DNS_RCODE;
	return !(h->flags & never) && plausible_counts(h);
}

/* The records behind the question, to the last byte. cut: running out of bytes is no fault. */
static bool records_fit(struct slice msg, size_t at, const struct dns_header *h, bool cut)
{
	uint32_t n = (uint32_t)h->count[DNS_ANSWERS] + h->count[DNS_AUTHORITIES] +
		     h->count[DNS_ADDITIONALS];
	struct dns_record r;

	for (uint32_t i = 0; i < n && i < SHAPE_RECORDS; i++)
		if (!dns_read_record(msg, &at, &r, NULL))
			return cut && i > 0;
	return cut || n > SHAPE_RECORDS || at == msg.n;
}

enum dns_shape dns_shape_of(struct slice msg, bool whole, uint16_t *ret_id, uint32_t *ret_hash)
{
	struct dns_question q = { 0 };
	struct dns_header h;
	size_t at = DNS_HEADER;

	if (!dns_read_header(msg, &h) || !plausible_header(&h))
		return DNS_SHAPE_NONE;
	if (h.count[DNS_QUESTIONS]) {
		if (!dns_read_question(msg, &at, &q, NULL) || !q.type ||
		    !dns_class_name(q.class & (uint16_t)~CLASS_MULTICAST))
			return DNS_SHAPE_NONE;
	} else if (!h.count[DNS_ANSWERS] && !(h.flags & DNS_RCODE)) {
		return DNS_SHAPE_NONE; /* says nothing at all */
	}
	if (!records_fit(msg, at, &h, !whole || h.flags & DNS_TC))
		return DNS_SHAPE_NONE;
	*ret_id = h.id;
	*ret_hash = q.hash;
	return h.flags & DNS_QR ? DNS_SHAPE_ANSWER : DNS_SHAPE_QUERY;
}

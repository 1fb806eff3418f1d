/* DNS messages as they are on the wire (RFC 1035 section 4), read and never believed: every length is
 * checked, names are followed through a bounded number of pointers, each of which must lead backwards.
 */
#ifndef PROTOCOLS_DNS_MESSAGE_H
#define PROTOCOLS_DNS_MESSAGE_H

#include "base/slice.h"

#define DNS_HEADER    12
#define DNS_WIRE_MAX  255  /* bytes of a name with its length bytes (RFC 1035 section 2.3.4) */
#define DNS_NAME_TEXT 1024 /* bytes of one as text: four for each at most */
#define DNS_JUMPS_MAX 32   /* pointers followed in one name */
#define DNS_DATA_TEXT 1200 /* bytes of a record's data as text */

enum dns_bits {
	DNS_QR = 0x8000,
	DNS_OPCODE = 0x7800,
	DNS_AA = 0x0400,
	DNS_TC = 0x0200,
	DNS_RD = 0x0100,
	DNS_RA = 0x0080,
	DNS_Z = 0x0040,
	DNS_RCODE = 0x000f,
};

enum dns_opcode { DNS_QUERY = 0, DNS_NOTIFY = 4, DNS_UPDATE = 5 };

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_NAPTR = 35,
	DNS_DNAME = 39,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_CAA = 257,
};

enum dns_section { DNS_QUESTIONS, DNS_ANSWERS, DNS_AUTHORITIES, DNS_ADDITIONALS, _DNS_SECTIONS };

struct dns_header {
	uint16_t id, flags; /* enum dns_bits */
	uint16_t count[_DNS_SECTIONS];
};

/* Text that is cut where its buffer ends. */
struct dns_text {
	char *p;
	size_t n, max;
	bool cut;
};

void dns_put(struct dns_text *t, const char *s);
void dns_putc(struct dns_text *t, char c);
void dns_put_num(struct dns_text *t, uint64_t v);
static inline struct slice dns_text_slice(const struct dns_text *t)
{
	return slice_of(t->p, t->n);
}

/* False: shorter than a header. */
bool dns_read_header(struct slice msg, struct dns_header *ret);

/* The name at *at as text, without its last dot, the root as "."; bytes that are no printable ASCII
 * as \DDD, a dot or backslash in a label behind a backslash (RFC 4343 section 2.1). *at moves behind
 * it. t may be NULL. False: no name, or it goes beyond a bound. */
bool dns_read_name(struct slice msg, size_t *at, struct dns_text *t);

struct dns_question {
	uint16_t type, class;
	/* Of the name in lower case, of type and class: the same in query and answer. */
	uint32_t hash;
};

/* name: its text goes there, or NULL. */
bool dns_read_question(struct slice msg, size_t *at, struct dns_question *ret,
		       struct dns_text *name);

struct dns_record {
	uint16_t type, class;
	uint32_t ttl;
	size_t data, data_n; /* where in the message */
};

bool dns_read_record(struct slice msg, size_t *at, struct dns_record *ret, struct dns_text *name);

/* The record's data in words, as in a zone file where that is short; of TXT and of what has no form
 * here its length alone ("\# 12", RFC 3597). */
void dns_put_data(struct slice msg, const struct dns_record *r, struct dns_text *t);

/* What a message looks like that nobody has called DNS yet: everything in it fits, to its last byte,
 * and is what resolvers and servers send. */
enum dns_shape { DNS_SHAPE_NONE, DNS_SHAPE_QUERY, DNS_SHAPE_ANSWER };

/* whole: msg has all its bytes; else its beginning, and what is there must fit. ret_id and ret_hash
 * are valid unless NONE; an answer without a question has hash 0. */
enum dns_shape dns_shape_of(struct slice msg, bool whole, uint16_t *ret_id, uint32_t *ret_hash);

/* Names of numbers. NULL: has none here. */
const char *dns_type_name(uint16_t type);
const char *dns_rcode_name(uint16_t rcode);
const char *dns_opcode_name(uint16_t opcode);
const char *dns_class_name(uint16_t class);

/* The type's name, or TYPE123 (RFC 3597 section 5). */
void dns_put_type(struct dns_text *t, uint16_t type);

#endif

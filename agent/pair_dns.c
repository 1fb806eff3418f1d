/* Hop 6 for DNS: questions and answers into columns.
 *
 * Whose fault a code is: SERVFAIL is the server's. FORMERR, NOTIMP, REFUSED, NOTAUTH, NOTZONE and the
 * codes of EDNS and TSIG say that the question was not one for this server: the caller's. NXDOMAIN and
 * the prerequisites of an update (YXDOMAIN, YXRRSET, NXRRSET) are answers like any other.
 */
#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "base/text.h"
#include "protocols/dns/message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ANSWERS_MAX 4096 /* bytes of JSON, as COL_DNS_ANSWERS keeps them */

enum dns_text_id { TEXT_QUESTION, _TEXT_MAX };
enum dns_num_id {
	NUM_ID,
	NUM_TYPE,
	NUM_CLASS,
	NUM_RCODE,
	NUM_QUERY_FLAGS,
	NUM_FLAGS, /* of the answer */
	NUM_EDNS_SIZE,
	NUM_RECORD, /* of the record in hand: type << 32 | TTL */
	_NUM_MAX
};
_Static_assert(_TEXT_MAX <= EXCHANGE_TEXTS, "texts");
_Static_assert(_NUM_MAX <= EXCHANGE_NUMS, "numbers");

static void lower_case(struct slice s, uint8_t *out)
{
	for (size_t i = 0; i < s.n; i++)
		out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i];
}

/* The records of the answer are JSON as they come: an array without its closing bracket. */
static struct strbuf *answers(struct exchange *x)
{
	return &x->msg[MSG_RESPONSE].headers;
}

static void record_begin(struct pipeline *p, struct exchange *x, struct slice name)
{
	struct strbuf *json = answers(x);

	p->pair.learn_from = json->len; /* where to go back to when the record does not fit */
	strbuf_adds(json, json->len ? ",{\"name\":" : "[{\"name\":");
	strbuf_add_json(json, name);
}

static void record_type(struct exchange *x, uint16_t type)
{
	char text[16];
	struct dns_text t = { .p = text, .max = sizeof(text) };

	dns_put_type(&t, type);
	strbuf_addf(answers(x), ",\"type\":\"%.*s\"", (int)t.n, text);
}

static void record_end(struct pipeline *p, struct exchange *x, struct slice data)
{
	struct strbuf *json = answers(x);

	strbuf_adds(json, ",\"data\":");
	strbuf_add_json(json, data);
	strbuf_addch(json, '}');
	if (!json->failed && json->len < ANSWERS_MAX)
		return;
	json->len = p->pair.learn_from;
	json->failed = false;
	x->truncated = true;
}

/* What the client asked for by that name may be connected to under this address. An answer to a question
 * that was not seen is not looked at: anybody may send one. */
static void learn_name(struct pipeline *p, struct exchange *x, struct slice data)
{
	struct conn *c = p->pair.c;
	struct slice question = exchange_text(x, TEXT_QUESTION);
	uint16_t type = (uint16_t)(x->num[NUM_RECORD] >> 32);
	struct dns_asker who = { c->netns, c->tgid };
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff }, lower[DNS_NAME_KEPT];
	char text[ADDR_TEXT_MAX];

	if (!x->msg[MSG_REQUEST].begun)
		return;
	if (join_owner_is_server(c) || p->opts.wire || (type != DNS_A && type != DNS_AAAA) ||
	    data.n >= sizeof(text) || question.n > sizeof(lower))
		return;
	memcpy(text, data.p, data.n);
	text[data.n] = 0;
	if (inet_pton(type == DNS_A ? AF_INET : AF_INET6, text, type == DNS_A ? addr + 12 : addr) !=
	    1)
		return;
	lower_case(question, lower);
	dns_names_learn(&p->names, &who, addr, slice_of(lower, question.n),
			(uint32_t)x->num[NUM_RECORD], p->now_ns);
}

static void dns_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		      struct slice v)
{
	switch (f) {
	case FIELD_QNAME:
		if (kind == MSG_REQUEST || !x->text[TEXT_QUESTION].n)
			exchange_keep(x, TEXT_QUESTION, v, DNS_NAME_TEXT);
		break;
	case FIELD_RR_NAME:
		record_begin(p, x, v);
		break;
	case FIELD_RR_DATA:
		record_end(p, x, v);
		if (x->kind == EXCHANGE_REQUEST)
			learn_name(p, x, v);
		break;
	default:
		break;
	}
}

static void dns_num(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		    int64_t v)
{
	(void)p;
	switch (f) {
	case FIELD_QUERY_ID:
		x->num[NUM_ID] = v;
		break;
	case FIELD_FLAGS:
		x->num[kind == MSG_REQUEST ? NUM_QUERY_FLAGS : NUM_FLAGS] = v;
		break;
	case FIELD_QTYPE:
		x->num[NUM_TYPE] = v;
		break;
	case FIELD_QCLASS:
		x->num[NUM_CLASS] = v;
		break;
	case FIELD_EDNS_SIZE:
		if (kind == MSG_REQUEST)
			x->num[NUM_EDNS_SIZE] = v;
		break;
	case FIELD_RR_TYPE:
		record_type(x, (uint16_t)v);
		x->num[NUM_RECORD] = v << 32;
		break;
	case FIELD_RR_TTL:
		strbuf_addf(answers(x), ",\"ttl\":%lld", (long long)v);
		x->num[NUM_RECORD] |= v;
		break;
	case FIELD_RCODE:
		x->num[NUM_RCODE] = v;
		break;
	default:
		break;
	}
}

/* A number's name, or PREFIX and the number. */
static void put_word(struct pipeline *p, struct row_builder *b, uint16_t col, const char *name,
		     const char *prefix, int64_t v)
{
	char text[32];

	if (name) {
		join_literal(p, b, col, name);
		return;
	}
	snprintf(text, sizeof(text), "%s%lld", prefix, (long long)v);
	join_str(p, b, col, text);
}

static void put_type(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	int64_t flags = MAX(x->num[NUM_QUERY_FLAGS], x->num[NUM_FLAGS]);
	uint16_t opcode = (uint16_t)((flags & DNS_OPCODE) >> 11);
	int64_t type = x->num[NUM_TYPE], class = x->num[NUM_CLASS];

	if (type >= 0)
		put_word(p, b, COL_DNS_TYPE, dns_type_name((uint16_t)type), "TYPE", type);
	if (class >= 0 && class != 1)
		put_word(p, b, COL_DNS_CLASS, dns_class_name((uint16_t) class), "CLASS", class);
	if (opcode != DNS_QUERY)
		put_word(p, b, COL_METHOD, dns_opcode_name(opcode), "OPCODE", opcode);
	else if (type >= 0)
		put_word(p, b, COL_METHOD, dns_type_name((uint16_t)type), "TYPE", type);
}

static bool callers_fault(int64_t rcode)
{
	return rcode == 1 || rcode == 4 || rcode == 5 || rcode == 9 || rcode == 10 || rcode >= 16;
}

static void put_rcode(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	int64_t rcode = x->num[NUM_RCODE];
	const char *name;

	if (rcode < 0)
		return;
	name = dns_rcode_name((uint16_t)rcode);
	put_word(p, b, COL_STATUS, name, "RCODE", rcode);
	put_word(p, b, COL_DNS_RCODE, name, "RCODE", rcode);
	row_int(b, COL_STATUS_CODE, rcode);
	row_int(b, COL_FAILED, rcode == 2);
	row_int(b, COL_CLIENT_ERROR, callers_fault(rcode));
}

static void put_question(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	struct slice name = exchange_text(x, TEXT_QUESTION);
	uint8_t lower[DNS_NAME_TEXT];

	lower_case(name, lower);
	name = slice_of(lower, name.n);
	put_redacted(p, b, COL_DNS_QUESTION, name);
	put_redacted(p, b, COL_RESOURCE, name);
}

static void put_flags(struct exchange *x, struct row_builder *b)
{
	static const struct {
		uint16_t col, bit;
		uint8_t num;
	} bits[] = {
		{ COL_DNS_RECURSION_DESIRED, DNS_RD, NUM_QUERY_FLAGS },
		{ COL_DNS_AUTHORITATIVE, DNS_AA, NUM_FLAGS },
		{ COL_DNS_TRUNCATED_ANSWER, DNS_TC, NUM_FLAGS },
		{ COL_DNS_RECURSION_AVAILABLE, DNS_RA, NUM_FLAGS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		if (x->num[bits[i].num] >= 0)
			row_int(b, bits[i].col, (x->num[bits[i].num] & bits[i].bit) != 0);
	if (x->num[NUM_ID] >= 0)
		row_int(b, COL_DNS_QUERY_ID, x->num[NUM_ID]);
	if (x->num[NUM_EDNS_SIZE] >= 0)
		row_int(b, COL_DNS_EDNS_SIZE, x->num[NUM_EDNS_SIZE]);
}

static void put_resolver(struct pipeline *p, struct conn *c, struct row_builder *b)
{
	bool own = join_owner_is_server(c);
	const uint8_t *server = own ? c->local : c->remote;
	char addr[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 16];

	if (addr_is_any(server))
		return;
	format_addr(server, addr);
	snprintf(text, sizeof(text), strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr,
		 own ? c->local_port : c->remote_port);
	join_str(p, b, COL_DNS_RESOLVER, text);
}

static void dns_columns(struct pipeline *p, struct conn *c, struct exchange *x,
			struct row_builder *b)
{
	struct strbuf *json = answers(x);

	put_question(p, x, b);
	put_type(p, x, b);
	put_rcode(p, x, b);
	put_flags(x, b);
	put_resolver(p, c, b);
	join_literal(p, b, COL_DNS_TRANSPORT, c->datagram ? "udp" : "tcp");
	if (x->num[NUM_RCODE] < 0)
		return;
	strbuf_adds(json, json->len ? "]" : "[]");
	if (!json->failed)
		row_text(b, COL_DNS_ANSWERS, strbuf_slice(json));
}

const struct pair_ops pair_dns_ops = {
	.table = TABLE_DNS,
	.field = dns_field,
	.num = dns_num,
	.columns = dns_columns,
};

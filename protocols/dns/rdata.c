/* The data of resource records in words. */
#include "protocols/dns/message.h"
#include "base/text.h"
#include "base/util.h"

#define CAA_MAX 256 /* bytes of a property that are shown */

/* What is left of a record's data. Names in it may point anywhere before it. */
struct data {
	struct slice msg;
	size_t at, end;
};

static size_t left(const struct data *d)
{
	return d->end - d->at;
}

static bool put_u16(struct data *d, struct dns_text *t)
{
	if (left(d) < 2)
		return false;
	dns_put_num(t, (uint64_t)d->msg.p[d->at] << 8 | d->msg.p[d->at + 1]);
	d->at += 2;
	return true;
}

static bool put_u32(struct data *d, struct dns_text *t)
{
	uint32_t v = 0;

	if (left(d) < 4)
		return false;
	for (int i = 0; i < 4; i++)
		v = v << 8 | d->msg.p[d->at++];
	dns_put_num(t, v);
	return true;
}

static bool put_name(struct data *d, struct dns_text *t)
{
	return dns_read_name(slice_head(d->msg, d->end), &d->at, t);
}

static bool put_address(struct data *d, struct dns_text *t, size_t n)
{
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };
	char text[ADDR_TEXT_MAX];
	size_t len;

	if (left(d) != n)
		return false;
	memcpy(addr + sizeof(addr) - n, d->msg.p + d->at, n);
	len = format_addr(addr, text);
	for (size_t i = 0; i < len; i++)
		dns_putc(t, text[i]);
	d->at = d->end;
	return true;
}

static bool data_a(struct data *d, struct dns_text *t)
{
	return put_address(d, t, 4);
}

static bool data_aaaa(struct data *d, struct dns_text *t)
{
	return put_address(d, t, 16);
}

/* preference, exchange (RFC 1035 section 3.3.9) */
static bool data_mx(struct data *d, struct dns_text *t)
{
	if (!put_u16(d, t))
		return false;
	dns_putc(t, ' ');
	return put_name(d, t);
}

/* mname, rname, then five numbers (section 3.3.13) */
static bool data_soa(struct data *d, struct dns_text *t)
{
	if (!put_name(d, t))
		return false;
	dns_putc(t, ' ');
	if (!put_name(d, t))
		return false;
	for (int i = 0; i < 5; i++) {
		dns_putc(t, ' ');
		if (!put_u32(d, t))
			return false;
	}
	return true;
}

/* priority, weight, port, target (RFC 2782) */
static bool data_srv(struct data *d, struct dns_text *t)
{
	for (int i = 0; i < 3; i++) {
		if (!put_u16(d, t))
			return false;
		dns_putc(t, ' ');
	}
	return put_name(d, t);
}

/* flags, tag, value (RFC 8659 section 4.1) */
static bool data_caa(struct data *d, struct dns_text *t)
{
	const uint8_t *p = d->msg.p + d->at;
	size_t n = left(d), tag;

	if (n < 2 || n > CAA_MAX || n - 2 < p[1])
		return false;
	tag = p[1];
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	dns_put_num(t, p[0]);
	dns_putc(t, ' ');
	for (size_t i = 0; i < tag; i++)
		dns_putc(t, (char)p[2 + i]);
	dns_put(t, " \"");
	for (size_t i = 2 + tag; i < n; i++)
		dns_putc(t, (char)p[i]);
	dns_putc(t, '"');
	d->at = d->end;
	return true;
}

/* priority, target, then parameters by number (RFC 9460 section 2.2): their keys. */
static bool data_svcb(struct data *d, struct dns_text *t)
{
	static const char *const keys[] = { "mandatory", "alpn", "no-default-alpn", "port",
					    "ipv4hint",	 "ech",	 "ipv6hint" };

	if (!put_u16(d, t))
		return false;
	dns_putc(t, ' ');
	if (!put_name(d, t))
		return false;
	while (left(d) >= 4) {
		size_t key = (size_t)d->msg.p[d->at] << 8 | d->msg.p[d->at + 1];
		size_t n = (size_t)d->msg.p[d->at + 2] << 8 | d->msg.p[d->at + 3];

		if (n > left(d) - 4)
			return false;
		dns_putc(t, ' ');
		if (key < ARRAY_SIZE(keys)) {
			dns_put(t, keys[key]);
		} else {
			dns_put(t, "key");
			dns_put_num(t, key);
		}
		d->at += 4 + n;
	}
	return left(d) == 0;
}

static const struct {
	uint16_t type;
	bool (*put)(struct data *d, struct dns_text *t);
} forms[] = {
	{ DNS_A, data_a },	 { DNS_NS, put_name },	   { DNS_CNAME, put_name },
	{ DNS_SOA, data_soa },	 { DNS_PTR, put_name },	   { DNS_MX, data_mx },
	{ DNS_AAAA, data_aaaa }, { DNS_SRV, data_srv },	   { DNS_DNAME, put_name },
	{ DNS_SVCB, data_svcb }, { DNS_HTTPS, data_svcb }, { DNS_CAA, data_caa },
};

void dns_put_data(struct slice msg, const struct dns_record *r, struct dns_text *t)
{
	struct data d = { msg, r->data, r->data + r->data_n };
	size_t before = t->n;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (forms[i].type == r->type && forms[i].put(&d, t) && d.at == d.end)
			return;
	t->n = before;
	dns_put(t, "\\# ");
	dns_put_num(t, r->data_n);
}

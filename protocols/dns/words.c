/* Numbers that have names (IANA's registry of DNS parameters). */
#include "protocols/dns/message.h"
#include "base/util.h"

static const struct {
	uint16_t type;
	const char *name;
} types[] = {
	{ 1, "A" },	      { 2, "NS" },	 { 5, "CNAME" },       { 6, "SOA" },
	{ 10, "NULL" },	      { 11, "WKS" },	 { 12, "PTR" },	       { 13, "HINFO" },
	{ 14, "MINFO" },      { 15, "MX" },	 { 16, "TXT" },	       { 17, "RP" },
	{ 18, "AFSDB" },      { 24, "SIG" },	 { 25, "KEY" },	       { 28, "AAAA" },
	{ 29, "LOC" },	      { 33, "SRV" },	 { 35, "NAPTR" },      { 36, "KX" },
	{ 37, "CERT" },	      { 39, "DNAME" },	 { 41, "OPT" },	       { 42, "APL" },
	{ 43, "DS" },	      { 44, "SSHFP" },	 { 45, "IPSECKEY" },   { 46, "RRSIG" },
	{ 47, "NSEC" },	      { 48, "DNSKEY" },	 { 49, "DHCID" },      { 50, "NSEC3" },
	{ 51, "NSEC3PARAM" }, { 52, "TLSA" },	 { 53, "SMIMEA" },     { 55, "HIP" },
	{ 59, "CDS" },	      { 60, "CDNSKEY" }, { 61, "OPENPGPKEY" }, { 62, "CSYNC" },
	{ 63, "ZONEMD" },     { 64, "SVCB" },	 { 65, "HTTPS" },      { 99, "SPF" },
	{ 249, "TKEY" },      { 250, "TSIG" },	 { 251, "IXFR" },      { 252, "AXFR" },
	{ 255, "ANY" },	      { 256, "URI" },	 { 257, "CAA" },       { 32768, "TA" },
	{ 32769, "DLV" },
};

static const char *const rcodes[] = {
	[0] = "NOERROR",  [1] = "FORMERR", [2] = "SERVFAIL",  [3] = "NXDOMAIN",
	[4] = "NOTIMP",	  [5] = "REFUSED", [6] = "YXDOMAIN",  [7] = "YXRRSET",
	[8] = "NXRRSET",  [9] = "NOTAUTH", [10] = "NOTZONE",  [11] = "DSOTYPENI",
	[16] = "BADVERS", [17] = "BADKEY", [18] = "BADTIME",  [19] = "BADMODE",
	[20] = "BADNAME", [21] = "BADALG", [22] = "BADTRUNC", [23] = "BADCOOKIE",
};

static const char *const opcodes[] = {
	[0] = "QUERY", [1] = "IQUERY", [2] = "STATUS", [4] = "NOTIFY", [5] = "UPDATE", [6] = "DSO",
};

const char *dns_type_name(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

const char *dns_rcode_name(uint16_t rcode)
{
	return rcode < ARRAY_SIZE(rcodes) ? rcodes[rcode] : NULL;
}

const char *dns_opcode_name(uint16_t opcode)
{
	return opcode < ARRAY_SIZE(opcodes) ? opcodes[opcode] : NULL;
}

const char *dns_class_name(uint16_t class)
{
	switch (class) {
	case 1:
		return "IN";
	case 3:
		return "CH";
	case 4:
		return "HS";
	case 254:
		return "NONE";
	case 255:
		return "ANY";
	default:
		return NULL;
	}
}

void dns_put_type(struct dns_text *t, uint16_t type)
{
	const char *name = dns_type_name(type);

	if (name) {
		dns_put(t, name);
		return;
	}
	dns_put(t, "TYPE");
	dns_put_num(t, type);
}

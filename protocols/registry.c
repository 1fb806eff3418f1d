/* THE table of protocols: a known id without an entry is recognised and named, not parsed. */
#include "protocols/protocol.h"
#include "protocols/dns/dns.h"
#include "protocols/http1/http1.h"
#include "protocols/pgsql/pgsql.h"
#include "protocols/mysql/mysql.h"
#include "protocols/redis/redis.h"
#include "base/util.h"

static const struct proto_ops *const parsers[_PROTO_MAX] = {
	[PROTO_HTTP1] = &http1_ops, [PROTO_PGSQL] = &pgsql_ops, [PROTO_MYSQL] = &mysql_ops,
	[PROTO_REDIS] = &redis_ops, [PROTO_DNS] = &dns_ops,
};

static const char *const names[_PROTO_MAX] = {
	[PROTO_UNKNOWN] = "unknown", [PROTO_HTTP1] = "http",	      [PROTO_TLS] = "tls",
	[PROTO_HTTP2] = "http2",     [PROTO_WEBSOCKET] = "websocket", [PROTO_PGSQL] = "pgsql",
	[PROTO_MYSQL] = "mysql",     [PROTO_REDIS] = "redis",	      [PROTO_DNS] = "dns",
};

const struct proto_ops *proto_get(enum proto_id id)
{
	return (unsigned int)id < _PROTO_MAX ? parsers[id] : NULL;
}

const char *proto_name(enum proto_id id)
{
	const char *name = (unsigned int)id < _PROTO_MAX ? names[id] : NULL;

	return name ? name : names[PROTO_UNKNOWN];
}

/* A handshake record that starts with a hello (RFC 8446 sections 4, 4.1.2 and 5.1): type, version and
 * length of the record, then type, length and version of the hello. */
static enum probe_result probe_tls(const struct probe_in *in)
{
	static const uint8_t hello_min = 6;
	struct slice head = in->head;
	size_t len;

	if (head.n == 0 || head.p[0] != 0x16)
		return PROBE_NO;
	if ((head.n > 1 && head.p[1] != 3) || (head.n > 2 && head.p[2] > 4))
		return PROBE_NO;
	if (head.n < 6)
		return PROBE_MORE;
	len = (size_t)head.p[3] << 8 | head.p[4];
	if (len < hello_min || len > 18432 || head.p[5] < 1 || head.p[5] > 2)
		return PROBE_NO;
	if (head.n < 11)
		return PROBE_MORE;
	if (head.p[6] != 0 || head.p[9] != 3 || head.p[10] > 4)
		return PROBE_NO;
	return head.p[5] == 1 ? PROBE_REQUEST : PROBE_RESPONSE;
}

/* The client's connection preface (RFC 9113 section 3.4). */
static enum probe_result probe_http2(const struct probe_in *in)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t n = MIN(in->head.n, sizeof(preface) - 1);

	if (n == 0 || memcmp(in->head.p, preface, n) != 0)
		return PROBE_NO;
	return n == sizeof(preface) - 1 ? PROBE_REQUEST : PROBE_MORE;
}

struct probe {
	enum proto_id id;
	enum probe_result (*probe)(const struct probe_in *in);
};

/* Beginnings that are certain by themselves, in the order they are asked: a less certain one must not
 * overtake one that needs more bytes. */
static const struct probe signatures[] = {
	{ PROTO_TLS, probe_tls },
	{ PROTO_HTTP2, probe_http2 },
	{ PROTO_REDIS, redis_probe },
	{ PROTO_HTTP1, http1_probe },
	{ PROTO_PGSQL, pgsql_probe_opening },
	{ PROTO_MYSQL, mysql_probe_greeting },
};

/* What needs confirmation from both directions, asked when no signature is or may become one. */
static const struct probe evidence[] = {
	{ PROTO_PGSQL, pgsql_probe_chain },    { PROTO_DNS, dns_probe },
	{ PROTO_MYSQL, mysql_probe_pair },     { PROTO_MYSQL, mysql_probe_packed },
	{ PROTO_REDIS, redis_probe_evidence },
};

static enum proto_id ask(const struct probe *probes, size_t n, const struct probe_in *in,
			 bool *ret_head_is_request, bool *ret_more)
{
	for (size_t i = 0; i < n; i++) {
		enum probe_result r = probes[i].probe(in);

		*ret_more = r == PROBE_MORE;
		if (*ret_more)
			break;
		*ret_head_is_request = r == PROBE_REQUEST;
		if (r != PROBE_NO)
			return probes[i].id;
	}
	return PROTO_UNKNOWN;
}

/* None of these stands in the way of another. */
static enum proto_id weigh(const struct probe_in *in, bool *ret_head_is_request, bool *ret_more)
{
	for (size_t i = 0; i < ARRAY_SIZE(evidence); i++) {
		enum probe_result r = evidence[i].probe(in);

		*ret_more |= r == PROBE_MORE;
		if (r == PROBE_REQUEST || r == PROBE_RESPONSE) {
			*ret_head_is_request = r == PROBE_REQUEST;
			*ret_more = false;
			return evidence[i].id;
		}
	}
	return PROTO_UNKNOWN;
}

enum proto_id proto_infer(const struct probe_in *in, bool *ret_head_is_request, bool *ret_more)
{
	struct probe_in seen = { slice_head(in->head, PROBE_MAX), slice_head(in->other, PROBE_MAX),
				 in->start };
	enum proto_id id;

	*ret_more = true;
	if (seen.head.n == 0)
		return PROTO_UNKNOWN;
	id = ask(signatures, ARRAY_SIZE(signatures), &seen, ret_head_is_request, ret_more);
	if (id == PROTO_UNKNOWN && !*ret_more)
		id = weigh(&seen, ret_head_is_request, ret_more);
	return id;
}

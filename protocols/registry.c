/* THE table of protocols: a known id without an entry is recognised and named, not parsed. */
#include "protocols/protocol.h"
#include "protocols/http1/http1.h"
#include "base/util.h"

static const struct proto_ops *const parsers[_PROTO_MAX] = {
	[PROTO_HTTP1] = &http1_ops,
};

static const char *const names[_PROTO_MAX] = {
	[PROTO_UNKNOWN] = "unknown", [PROTO_HTTP1] = "http",	      [PROTO_TLS] = "tls",
	[PROTO_HTTP2] = "http2",     [PROTO_WEBSOCKET] = "websocket",
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

/* A handshake record that starts with a hello (RFC 8446 sections 4 and 5.1). */
static enum probe_result probe_tls(struct slice head)
{
	static const uint8_t hello_min = 4; /* the handshake message's own header */
	size_t len;

	if (head.n == 0 || head.p[0] != 0x16)
		return PROBE_NO;
	if ((head.n > 1 && head.p[1] != 3) || (head.n > 2 && head.p[2] > 4))
		return PROBE_NO;
	if (head.n < 6)
		return PROBE_MORE;
	len = (size_t)head.p[3] << 8 | head.p[4];
	if (len < hello_min || len > 18432)
		return PROBE_NO;
	if (head.p[5] == 1)
		return PROBE_REQUEST;
	return head.p[5] == 2 ? PROBE_RESPONSE : PROBE_NO;
}

/* The client's connection preface (RFC 9113 section 3.4). */
static enum probe_result probe_http2(struct slice head)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t n = MIN(head.n, sizeof(preface) - 1);

	if (n == 0 || memcmp(head.p, preface, n) != 0)
		return PROBE_NO;
	return n == sizeof(preface) - 1 ? PROBE_REQUEST : PROBE_MORE;
}

/* In the order they are asked: what is most certain comes first. */
static const struct {
	enum proto_id id;
	enum probe_result (*probe)(struct slice head);
} probes[] = {
	{ PROTO_TLS, probe_tls },
	{ PROTO_HTTP2, probe_http2 },
	{ PROTO_HTTP1, http1_probe },
};

enum proto_id proto_infer(struct slice head, bool *ret_dir_is_request, bool *ret_more)
{
	bool more = head.n == 0;

	head = slice_head(head, PROBE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(probes) && head.n > 0; i++) {
		enum probe_result r = probes[i].probe(head);

		if (r == PROBE_REQUEST || r == PROBE_RESPONSE) {
			*ret_dir_is_request = r == PROBE_REQUEST;
			*ret_more = false;
			return probes[i].id;
		}
		if (r == PROBE_MORE) {
			more = true;
			break; /* a less certain protocol must not overtake it */
		}
	}
	*ret_more = more;
	return PROTO_UNKNOWN;
}

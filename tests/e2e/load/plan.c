#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* Bounds are inclusive; a size between them is drawn per exchange. Method NULL and status 0 rotate
 * through the tables below. */
struct kind {
	const char *name, *method;
	uint32_t flags;
	uint16_t status;
	uint32_t req_min, req_max, resp_min, resp_max, delay_ms;
};

static const struct kind kinds[] = {
	{ "get", "GET", 0, 200, 0, 0, 1, 2000, 0 },
	{ "post", "POST", 0, 201, 1, 4000, 1, 200, 0 },
	{ "tiny", "GET", 0, 200, 0, 0, 2, 2, 0 },
	{ "query", "GET", PLAN_QUERY, 200, 0, 0, 1, 300, 0 },
	{ "trace", "GET", PLAN_TRACE, 200, 0, 0, 1, 300, 0 },
	{ "empty", "GET", 0, 200, 0, 0, 0, 0, 0 },
	{ "chunked", "POST", PLAN_REQ_CHUNKED | PLAN_RESP_CHUNKED, 200, 0, 6000, 0, 9000, 0 },
	{ "trailers", "PUT", PLAN_REQ_CHUNKED | PLAN_RESP_CHUNKED | PLAN_CHUNK_EXTRAS, 200, 1, 3000,
	  1, 5000, 0 },
	{ "large", "GET", 0, 200, 0, 0, MIB, 6 * MIB, 0 },
	{ "largechunked", "GET", PLAN_RESP_CHUNKED, 200, 0, 0, MIB, 2 * MIB, 0 },
	{ "upload", "PUT", 0, 200, MIB, 6 * MIB, 0, 100, 0 },
	{ "medium", "GET", 0, 200, 0, 0, 8 * KIB, 128 * KIB, 0 },
	{ "head", "HEAD", PLAN_BODILESS, 200, 0, 0, 0, 5000, 0 },
	{ "204", "DELETE", PLAN_BODILESS, 204, 0, 0, 0, 0, 0 },
	{ "304", "GET", PLAN_BODILESS, 304, 0, 0, 0, 5000, 0 },
	{ "method", NULL, 0, 200, 0, 200, 0, 200, 0 },
	{ "status", "GET", 0, 0, 0, 0, 0, 300, 0 },
	{ "star", "OPTIONS", PLAN_STAR, 200, 0, 0, 0, 100, 0 },
	{ "crlf", "GET", PLAN_LEADING_CRLF, 200, 0, 0, 0, 100, 0 },
	{ "continue", "POST", PLAN_CONTINUE, 200, 1, 4000, 0, 200, 0 },
	{ "hints", "GET", PLAN_EARLY_HINTS, 200, 0, 0, 1, 500, 0 },
	{ "untilclose", "GET", PLAN_UNTIL_CLOSE, 200, 0, 0, 0, 9000, 0 },
	{ "http10", "GET", PLAN_HTTP10 | PLAN_UNTIL_CLOSE, 200, 0, 0, 0, 2000, 0 },
	{ "close", "GET", PLAN_CLOSE, 200, 0, 0, 0, 500, 0 },
	{ "connect", "CONNECT", PLAN_TUNNEL, 200, 0, 0, 0, 3000, 0 },
	{ "upgrade", "GET", PLAN_TUNNEL, 101, 0, 0, 0, 3000, 0 },
	{ "sse", "GET", PLAN_EVENTS | PLAN_RESP_CHUNKED, 200, 0, 0, 20, 600, 20 },
	{ "longpoll", "GET", 0, 200, 0, 0, 1, 100, 300 },
	{ "noanswer", "POST", PLAN_NO_ANSWER, 0, 0, 500, 0, 0, 0 },
	{ "reset", "GET", PLAN_RESET, 0, 0, 0, 0, 0, 20 },
	{ "giveup", "GET", PLAN_GIVE_UP, 200, 0, 0, 0, 10, 400 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
_Static_assert(KINDS <= PLAN_KINDS_MAX, "plan_mix has room for every kind");

static const struct {
	const char *name, *mix, *what;
} presets[] = {
	{ "basic", "get=70,post=20,empty=5,head=5", "short keep-alive requests" },
	{ "corners",
	  "get=30,post=15,query=3,trace=3,empty=5,chunked=12,trailers=8,medium=2,head=4,204=4,304="
	  "4,"
	  "method=6,status=6,star=1,continue=1,hints=2",
	  "everything that keeps its connection" },
	{ "all",
	  "get=300,post=150,query=30,trace=30,empty=50,chunked=120,trailers=80,medium=20,head=40,"
	  "204=40,304=40,method=60,status=60,star=10,continue=10,hints=20,large=1,largechunked=1,"
	  "upload=1,untilclose=5,http10=5,close=5,connect=3,upgrade=3,sse=1,longpoll=1",
	  "corners, large bodies, tunnels, connections ended by the exchange" },
	{ "failures", "get=20,noanswer=3,reset=2,giveup=1", "requests without an answer" },
};

/* Registered methods (RFC 9110, 5789, 4918, 3253, 5842, 7540), UPnP's, and tokens that only the
 * grammar allows. HEAD and CONNECT have kinds of their own. */
static const char *const methods[] = {
	"GET",
	"POST",
	"PUT",
	"DELETE",
	"OPTIONS",
	"TRACE",
	"PATCH",
	"ACL",
	"BASELINE-CONTROL",
	"BIND",
	"CHECKIN",
	"CHECKOUT",
	"COPY",
	"LABEL",
	"LINK",
	"LOCK",
	"MERGE",
	"MKACTIVITY",
	"MKCALENDAR",
	"MKCOL",
	"MKREDIRECTREF",
	"MKWORKSPACE",
	"MOVE",
	"ORDERPATCH",
	"PROPFIND",
	"PROPPATCH",
	"QUERY",
	"REBIND",
	"REPORT",
	"SEARCH",
	"UNBIND",
	"UNCHECKOUT",
	"UNLINK",
	"UNLOCK",
	"UPDATE",
	"UPDATEREDIRECTREF",
	"VERSION-CONTROL",
	"PURGE",
	"M-SEARCH",
	"NOTIFY",
	"SUBSCRIBE",
	"UNSUBSCRIBE",
	"X",
	"get",
	"a1!#$%&'*+-.^_`|~",
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static const uint16_t statuses[] = {
	200, 201, 202, 203, 206, 207, 226, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409,
	410, 413, 418, 422, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 511, 599,
};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

static int find_kind(const char *s, size_t n)
{
	for (size_t i = 0; i < KINDS; i++)
		if (strlen(kinds[i].name) == n && memcmp(kinds[i].name, s, n) == 0)
			return (int)i;
	return -1;
}

static int read_item(const char *s, size_t n, uint32_t weight[static KINDS])
{
	const char *eq = memchr(s, '=', n);
	size_t name_len = eq ? (size_t)(eq - s) : n;
	uint64_t w = 1;
	int k = find_kind(s, name_len);

	if (k < 0 || (eq && text_u64(eq + 1, n - name_len - 1, &w) < 0) || w > 1000000) {
		fprintf(stderr, "no such kind or weight: '%.*s' (try --list-kinds)\n", (int)n, s);
		return -EINVAL;
	}
	weight[k] += (uint32_t)w;
	return 0;
}

int plan_mix_read(struct plan_mix *m, const char *text)
{
	uint32_t weight[KINDS] = { 0 };

	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		if (strcmp(presets[i].name, text) == 0)
			text = presets[i].mix;
	while (*text) {
		size_t n = strcspn(text, ",");
		int r = read_item(text, n, weight);

		if (r < 0)
			return r;
		text += n + (text[n] == ',');
	}
	m->total = 0;
	for (size_t i = 0; i < KINDS; i++) {
		m->total += weight[i];
		m->upto[i] = m->total;
	}
	return m->total > 0 ? 0 : -EINVAL;
}

bool plan_mix_has(const struct plan_mix *m, const char *kind)
{
	int k = find_kind(kind, strlen(kind));

	return k >= 0 && m->upto[k] > (k ? m->upto[k - 1] : 0);
}

void plan_mix_help(void)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		printf("preset %-10s %s\n", presets[i].name, presets[i].what);
	for (size_t i = 0; i < KINDS; i++)
		printf("kind   %-12s %-8s status %u, request body %u-%u, response body %u-%u\n",
		       kinds[i].name, kinds[i].method ? kinds[i].method : "(each)", kinds[i].status,
		       kinds[i].req_min, kinds[i].req_max, kinds[i].resp_min, kinds[i].resp_max);
}

static uint32_t draw(uint64_t *h, uint32_t min, uint32_t max)
{
	if (max <= min)
		return min;
	*h = text_mix(*h);
	return min + (uint32_t)(*h % (max - min + 1u));
}

void plan_make(const struct plan_mix *m, uint64_t seq, struct plan *ret)
{
	uint64_t h = text_mix(seq ^ m->seed);
	uint32_t pick = (uint32_t)(h % m->total);
	const struct kind *k = kinds;

	while (pick >= m->upto[k - kinds])
		k++;
	*ret = (struct plan){
		.seq = seq,
		.kind = k->name,
		.method = k->method ? k->method : methods[seq % METHODS],
		.flags = k->flags,
		.status = k->status,
		.delay_ms = k->delay_ms,
	};
	if (k->status == 0 && !(k->flags & (PLAN_NO_ANSWER | PLAN_RESET)))
		ret->status = statuses[seq % STATUSES];
	ret->request_body_bytes = draw(&h, k->req_min, k->req_max);
	ret->response_body_bytes = draw(&h, k->resp_min, k->resp_max);
}

size_t plan_target(const struct plan *p, char *out, size_t room)
{
	int n;

	if (strcmp(p->method, "CONNECT") == 0)
		n = snprintf(out, room, "seq-%llu.test:443", (unsigned long long)p->seq);
	else if (p->flags & PLAN_STAR)
		n = snprintf(out, room, "*");
	else
		n = snprintf(out, room, "/load/%s/%llu%s", p->kind, (unsigned long long)p->seq,
			     p->flags & PLAN_QUERY ? "?user=alice&token=abc" : "");
	return (size_t)n;
}

size_t plan_path(const struct plan *p, char *out, size_t room)
{
	struct plan bare = *p;

	bare.flags &= ~(uint32_t)PLAN_QUERY;
	return plan_target(&bare, out, room);
}

void plan_trace_id(const struct plan *p, char out[33])
{
	out[0] = '\0';
	if (p->flags & PLAN_TRACE)
		snprintf(out, 33, "%016llx%016llx", (unsigned long long)text_mix(p->seq),
			 (unsigned long long)p->seq);
}

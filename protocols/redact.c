#include "protocols/redact.h"
#include "protocols/secrets.h"
#include "base/util.h"

#include <errno.h>

#define NAME_MAX_BYTES 64
#define KEY_SHOWN_MAX  48 /* bytes of a query key: a longer one is rather a value */

static const char *const headers_kept[] = {
	"host",
	"content-type",
	"content-length",
	"content-encoding",
	"content-range",
	"transfer-encoding",
	"connection",
	"upgrade",
	"accept",
	"accept-encoding",
	"accept-language",
	"accept-ranges",
	"user-agent",
	"server",
	"via",
	"date",
	"age",
	"vary",
	"cache-control",
	"etag",
	"last-modified",
	"expires",
	"if-none-match",
	"if-modified-since",
	"range",
	"expect",
	"te",
	"trailer",
	"retry-after",
	"allow",
	"keep-alive",
	"traceparent",
	"b3",
	"x-b3-traceid",
	"x-b3-spanid",
	"x-b3-parentspanid",
	"x-b3-sampled",
	"x-request-id",
	"x-correlation-id",
	"x-envoy-upstream-service-time",
	"grpc-status",
	"grpc-message",
	"grpc-timeout",
	"grpc-encoding",
	"grpc-accept-encoding",
	"x-forwarded-proto",
	"x-forwarded-port",
	"x-powered-by",
	"idempotent-replayed",
};

/* Never kept; a trailing '*' stands for any rest. */
static const char *const headers_secret[] = {
	"authorization",
	"proxy-*",
	"cookie",
	"cookie2",
	"set-cookie",
	"set-cookie2",
	"x-api-key",
	"api-key",
	"apikey",
	"x-auth-token",
	"x-access-token",
	"x-csrf-token",
	"x-xsrf-token",
	"x-amz-security-token",
	"x-vault-token",
	"x-goog-iap-jwt-assertion",
	"x-forwarded-client-cert",
	"www-authenticate",
	"authentication-info",
	"sec-websocket-key",
	"x-shopify-access-token",
};

static const char *const queries_kept[] = {
	"page",	  "per_page", "page_size", "limit",  "offset",	    "sort",
	"order",  "format",   "lang",	   "locale", "fields",	    "include",
	"expand", "version",  "v",	   "watch",  "api-version",
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static size_t slot_of(struct slice name)
{
	return (name.n * 37 + lower(name.p[0]) * 11u + lower(name.p[name.n - 1]) * 5u +
		lower(name.p[name.n / 2])) %
	       REDACT_SLOTS;
}

static bool list_holds(const struct redact_list *l, struct slice name)
{
	if (name.n == 0 || name.n > NAME_MAX_BYTES)
		return false;
	for (size_t i = slot_of(name); l->slots[i]; i = (i + 1) % REDACT_SLOTS)
		if (l->lens[i] == name.n && slice_eq_nocase(slice_of(l->slots[i], name.n), name))
			return true;
	return false;
}

static int list_add(struct redact_list *l, const char *name)
{
	struct slice s = slice_str(name);
	size_t i;

	if (s.n == 0 || s.n > NAME_MAX_BYTES)
		return -EINVAL;
	if (list_holds(l, s))
		return 0;
	if (l->n == REDACT_NAMES_MAX)
		return -ENOSPC;
	for (i = slot_of(s); l->slots[i]; i = (i + 1) % REDACT_SLOTS)
		;
	l->slots[i] = name;
	l->lens[i] = (uint8_t)s.n;
	l->n++;
	return 0;
}

bool redact_header_is_secret(struct slice name)
{
	for (size_t i = 0; i < ARRAY_SIZE(headers_secret); i++) {
		struct slice s = slice_str(headers_secret[i]);

		if (s.p[s.n - 1] == '*'
			    ? slice_eq_nocase(slice_head(name, s.n - 1), slice_head(s, s.n - 1))
			    : slice_eq_nocase(name, s))
			return true;
	}
	return false;
}

int redact_allow_header(struct redact_policy *p, const char *name)
{
	return redact_header_is_secret(slice_str(name)) ? -EPERM : list_add(&p->headers, name);
}

int redact_allow_query(struct redact_policy *p, const char *key)
{
	return secret_is_key_name(slice_str(key)) ? -EPERM : list_add(&p->queries, key);
}

void redact_policy_init(struct redact_policy *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < ARRAY_SIZE(headers_kept); i++)
		list_add(&p->headers, headers_kept[i]);
	for (size_t i = 0; i < ARRAY_SIZE(queries_kept); i++)
		list_add(&p->queries, queries_kept[i]);
}

struct slice redact_host(struct slice s)
{
	size_t at;

	while ((at = slice_find(s, '@')) < s.n)
		s = slice_from(s, at + 1);
	return s;
}

/* Splits off scheme and authority; what is left starts with the path. */
static struct slice authority_split(struct slice s, struct target *t)
{
	size_t end = 0;

	while (end < s.n && s.p[end] != '/' && s.p[end] != '?' && s.p[end] != '#')
		end++;
	t->host = redact_host(slice_head(s, end));
	return slice_from(s, end);
}

static size_t scheme_len(struct slice s)
{
	size_t n = 0;

	while (n < s.n && ((lower(s.p[n]) >= 'a' && lower(s.p[n]) <= 'z') ||
			   (n > 0 && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '+' ||
				      s.p[n] == '-' || s.p[n] == '.'))))
		n++;
	return n > 0 && slice_starts(slice_from(s, n), SLICE_LIT("://")) ? n : 0;
}

struct target target_split(struct slice s)
{
	struct target t = { .form = TARGET_ORIGIN };
	size_t scheme = scheme_len(s), mark;

	if (slice_eq_str(s, "*")) {
		t.form = TARGET_ASTERISK;
		t.path = s;
		return t;
	}
	if (scheme > 0) {
		t.form = TARGET_ABSOLUTE;
		t.scheme = slice_head(s, scheme);
		s = authority_split(slice_from(s, scheme + 3), &t);
	} else if (s.n > 0 && s.p[0] != '/' && s.p[0] != '?') {
		t.form = TARGET_AUTHORITY;
		s = authority_split(s, &t);
	}
	s = slice_head(s, slice_find(s, '#'));
	mark = slice_find(s, '?');
	t.path = slice_head(s, mark);
	t.query = slice_from(s, mark + 1);
	return t;
}

static struct slice length_mark(size_t n, void *buf, size_t cap)
{
	struct secret_out out = { .p = buf, .cap = cap };
	uint8_t digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (uint8_t)('0' + n % 10);
	while ((n /= 10) > 0);
	secret_put(&out, SLICE_LIT("<"));
	secret_put(&out, slice_of(digits + i, sizeof(digits) - i));
	secret_put(&out, SLICE_LIT(" bytes>"));
	return slice_of(buf, out.n);
}

uint8_t redact_header_rule(const struct redact_policy *p, struct slice name)
{
	uint8_t host = slice_eq_nocase(name, SLICE_LIT("host")) ? REDACT_HEADER_HOST : 0;

	if (list_holds(&p->headers, name))
		return host | REDACT_HEADER_SHOWN;
	return host | (redact_header_is_secret(name) ? REDACT_HEADER_SECRET : 0);
}

struct slice redact_header_by(uint8_t rule, struct slice s, void *buf, size_t cap)
{
	if (rule & REDACT_HEADER_HOST)
		s = redact_host(s);
	if (rule & REDACT_HEADER_SHOWN)
		return redact_text(s, buf, cap);
	if (rule & REDACT_HEADER_SECRET)
		return SLICE_LIT("<REDACTED>");
	return length_mark(s.n, buf, cap);
}

struct slice redact_header_value(const struct redact_policy *p, struct slice name, struct slice s,
				 void *buf, size_t cap)
{
	return redact_header_by(redact_header_rule(p, name), s, buf, cap);
}

/* Whether a query key may be shown: short, plain, and itself no secret. */
static bool key_is_plain(struct slice key)
{
	size_t digits = 0;

	if (key.n > KEY_SHOWN_MAX)
		return false;
	for (size_t i = 0; i < key.n; i++) {
		uint8_t c = key.p[i];
		bool digit = c >= '0' && c <= '9';

		digits += digit;
		if (!digit && !(lower(c) >= 'a' && lower(c) <= 'z') && !memchr("_-.[]$%~:", c, 9))
			return false;
	}
	return (digits <= 4 || digits * 2 < key.n) && !secret_find(key, SECRET_IN_PATH);
}

static void put_pair(const struct redact_policy *p, struct slice pair, struct secret_out *out)
{
	size_t eq = slice_find(pair, '=');
	struct slice key = slice_head(pair, eq);
	bool plain = key_is_plain(key);

	if (!plain || eq == pair.n) {
		/* Without a value the text may be a value itself. */
		secret_put(out, plain && key.n <= KEY_SHOWN_MAX / 2 ? key : SLICE_LIT("?"));
		if (eq < pair.n)
			secret_put(out, SLICE_LIT("=?"));
		return;
	}
	secret_put(out, slice_head(pair, eq + 1));
	if (list_holds(&p->queries, key) && !secret_is_key_name(key))
		secret_put_masked(out, slice_from(pair, eq + 1), SECRET_IN_PATH);
	else if (eq + 1 < pair.n)
		secret_put(out, SLICE_LIT("?"));
}

struct slice redact_query(const struct redact_policy *p, struct slice s, void *buf, size_t cap)
{
	struct secret_out out = { .p = buf, .cap = cap };
	size_t from = 0;

	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '&' && s.p[i] != ';')
			continue;
		if (i > from)
			put_pair(p, slice_of(s.p + from, i - from), &out);
		if (i < s.n)
			secret_put(&out, slice_of(s.p + i, 1));
		from = i + 1;
	}
	return slice_of(buf, out.n);
}

static struct slice masked(struct slice s, void *buf, size_t cap, enum secret_place place)
{
	struct secret_out out = { .p = buf, .cap = cap };

	if (!secret_find(s, place))
		return s;
	secret_put_masked(&out, s, place);
	return slice_of(buf, out.n);
}

struct slice redact_path(struct slice s, void *buf, size_t cap)
{
	return masked(s, buf, cap, SECRET_IN_PATH);
}

struct slice redact_text(struct slice s, void *buf, size_t cap)
{
	return masked(s, buf, cap, SECRET_IN_TEXT);
}

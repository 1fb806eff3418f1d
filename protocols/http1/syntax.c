#include "protocols/http1/syntax.h"
#include "protocols/http1/http1.h"
#include "base/util.h"

/* No body is longer: sums with stream positions stay in range. */
#define LENGTH_MAX	  ((uint64_t)1 << 62)
#define METHOD_LIKELY_MIN 3  /* bytes of an unknown method that is believed without a version */
#define METHOD_MAX	  24 /* bytes of a method that is looked for in unknown bytes */

const bool token_char[256] = {
	['!'] = true,	      ['#'] = true,	    ['$'] = true, ['%'] = true,
	['&'] = true,	      ['\''] = true,	    ['*'] = true, ['+'] = true,
	['-'] = true,	      ['.'] = true,	    ['^'] = true, ['_'] = true,
	['`'] = true,	      ['|'] = true,	    ['~'] = true, ['0' ... '9'] = true,
	['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

/* The IANA method registry, and what caches and media servers add. */
static const char *const known_methods[] = {
	"GET",
	"POST",
	"PUT",
	"HEAD",
	"DELETE",
	"OPTIONS",
	"PATCH",
	"CONNECT",
	"TRACE",
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
	"BAN",
	"NOTIFY",
	"SUBSCRIBE",
	"UNSUBSCRIBE",
	"M-SEARCH",
	"SOURCE",
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_method_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* `HTTP/1.d`, any case of the letters; 0 when it is not. */
static int version_parse(const uint8_t *p)
{
	if (memcmp(p, "HTTP/1.", 7) != 0 && !slice_eq_nocase(slice_of(p, 7), SLICE_LIT("HTTP/1.")))
		return 0;
	return is_digit(p[7]) ? 10 + (p[7] - '0') : 0;
}

enum line_verdict request_line_parse(struct slice line, bool cut, struct request_line *ret)
{
	size_t method_n = token_len(line);
	struct slice rest;

	if (method_n == 0 || method_n == line.n || line.p[method_n] != ' ')
		return LINE_BAD;
	if (slice_eq_str(line, "PRI * HTTP/2.0"))
		return LINE_PREFACE;
	ret->method = slice_of(line.p, method_n);
	rest = trim_ows(slice_from(line, method_n));
	if (cut) {
		ret->version = 11;
		ret->target = rest;
		return rest.n > 0 ? LINE_OK : LINE_BAD;
	}
	if (rest.n < 10)
		return LINE_BAD;
	ret->version = version_parse(rest.p + rest.n - 8);
	if (!ret->version || !is_ows(rest.p[rest.n - 9]))
		return LINE_BAD;
	ret->target = trim_ows(slice_of(rest.p, rest.n - 9));
	return ret->target.n > 0 ? LINE_OK : LINE_BAD;
}

enum line_verdict status_line_parse(struct slice line, struct status_line *ret)
{
	struct slice rest;

	if (line.n < 12)
		return LINE_BAD;
	ret->version = version_parse(line.p);
	if (!ret->version || line.p[8] != ' ')
		return LINE_BAD;
	rest = trim_ows(slice_from(line, 8));
	if (rest.n < 3 || !is_digit(rest.p[0]) || !is_digit(rest.p[1]) || !is_digit(rest.p[2]))
		return LINE_BAD;
	if (rest.p[0] == '0' || (rest.n > 3 && !is_ows(rest.p[3])))
		return LINE_BAD;
	ret->status = (rest.p[0] - '0') * 100 + (rest.p[1] - '0') * 10 + (rest.p[2] - '0');
	ret->reason = trim_ows(slice_from(rest, 3));
	return LINE_OK;
}

static bool decimal_parse(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_digit(s.p[i]) || v > LENGTH_MAX / 10)
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*ret = v;
	return v <= LENGTH_MAX;
}

/* The next element of a comma-separated list without the space around it; s is moved behind it. */
static struct slice list_next(struct slice *s)
{
	size_t comma = slice_find(*s, ',');
	struct slice item = trim_ows(slice_head(*s, comma));

	*s = slice_from(*s, comma + 1);
	return item;
}

bool content_length_parse(struct slice value, bool *known, uint64_t *length)
{
	do {
		uint64_t v;

		if (!decimal_parse(list_next(&value), &v) || (*known && v != *length))
			return false;
		*known = true;
		*length = v;
	} while (value.n > 0);
	return true;
}

static int hex_digit(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool chunk_size_parse(struct slice line, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < line.n && hex_digit(line.p[i]) >= 0; i++) {
		if (v > LENGTH_MAX >> 4)
			return false;
		v = v << 4 | (uint64_t)hex_digit(line.p[i]);
	}
	if (i == 0 || v > LENGTH_MAX)
		return false;
	if (i < line.n && line.p[i] != ';' && !is_ows(line.p[i]))
		return false;
	*ret = v;
	return true;
}

bool last_coding_is_chunked(struct slice value)
{
	bool chunked = false;

	while (value.n > 0) {
		struct slice item = list_next(&value);

		if (item.n > 0)
			chunked = slice_eq_nocase(item, SLICE_LIT("chunked"));
	}
	return chunked;
}

bool list_has(struct slice list, struct slice word)
{
	while (list.n > 0) {
		struct slice item = list_next(&list);
		size_t n = token_len(item);

		if (slice_eq_nocase(slice_head(item, n), word))
			return true;
	}
	return false;
}

/* Length of the longest known method that ends at s's end; 0 when there is none. */
static size_t known_method_tail(struct slice s)
{
	size_t best = 0;

	if (s.n < 3 || !is_method_char(s.p[s.n - 2]))
		return 0;

	for (size_t i = 0; i < ARRAY_SIZE(known_methods); i++) {
		size_t n = strlen(known_methods[i]);

		if (n > best && n <= s.n && memcmp(s.p + s.n - n, known_methods[i], n) == 0)
			best = n;
	}
	return best;
}

/* What follows a method and its space: 1 a target and a version, 0 not, -1 cut off. */
static int target_verdict(struct slice s)
{
	size_t n = 0, v;

	/* Control bytes are no part of a target, but there are servers that answer them. */
	while (n < s.n && n < HTTP1_LINE_MAX && s.p[n] != ' ' && s.p[n] != '\r' && s.p[n] != '\n' &&
	       s.p[n] != '\0')
		n++;
	if (n == HTTP1_LINE_MAX)
		return 0;
	if (n == s.n)
		return -1;
	if (n == 0 || s.p[n] != ' ')
		return 0;
	s = slice_from(s, n + 1);
	v = MIN(s.n, sizeof("HTTP/1.") - 1);
	if (!slice_eq_nocase(slice_head(s, v), slice_of("HTTP/1.", v)))
		return 0;
	if (s.n < 9)
		return s.n < 8 || is_digit(s.p[7]) ? -1 : 0;
	return is_digit(s.p[7]) && (s.p[8] == '\r' || s.p[8] == '\n') ? 1 : 0;
}

size_t find_request(struct slice s)
{
	size_t at = 0, tail;

	for (;;) {
		size_t space = at + slice_find(slice_from(s, at), ' ');
		size_t known;

		if (space >= s.n)
			break;
		known = space > 0 && is_method_char(s.p[space - 1])
				? known_method_tail(slice_of(s.p, space))
				: 0;
		if (known > 0 && target_verdict(slice_from(s, space + 1)) != 0)
			return space - known;
		at = space + 1;
	}
	/* A method without its space may end the bytes. */
	tail = s.n;
	while (tail > at && s.n - tail < METHOD_MAX && is_method_char(s.p[tail - 1]))
		tail--;
	return tail;
}

/* 1: s begins with a status line's version and code; 0 not; -1 cut off. */
static int status_verdict(struct slice s)
{
	static const char form[] = "HTTP/1.d ddd";

	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (i == s.n)
			return -1;
		if (form[i] == 'd' ? !is_digit(s.p[i])
				   : (s.p[i] | 0x20) != ((uint8_t)form[i] | 0x20))
			return 0;
	}
	if (s.n == sizeof(form) - 1)
		return -1;
	return s.p[12] == ' ' || s.p[12] == '\r' || s.p[12] == '\n';
}

size_t find_response(struct slice s)
{
	for (size_t at = 0;; at++) {
		at += slice_find(slice_from(s, at), 'H');
		if (at >= s.n)
			return s.n;
		if (status_verdict(slice_from(s, at)) != 0)
			return at;
	}
}

static bool is_known_method(struct slice s)
{
	return s.n > 0 && known_method_tail(s) == s.n;
}

/* A method that may be believed before its version was seen. */
static bool is_likely_method(struct slice s)
{
	if (is_known_method(s))
		return true;
	for (size_t i = 0; i < s.n; i++)
		if (!is_method_char(s.p[i]))
			return false;
	return s.n >= METHOD_LIKELY_MIN;
}

/* Whether the target, as far as it goes, has only bytes that may stand in one (RFC 3986 section 2). */
static bool is_clean_target(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] > ' ' && s.p[n] < 0x7f)
		n++;
	return n == s.n || s.p[n] == ' ';
}

static bool is_target_start(struct slice s, struct slice method)
{
	static const char *const absolute[] = { "http://", "https://" };

	for (size_t i = 0; i < ARRAY_SIZE(absolute); i++) {
		size_t n = MIN(s.n, strlen(absolute[i]));

		if (slice_eq_nocase(slice_head(s, n), slice_of(absolute[i], n)))
			return true;
	}
	return s.p[0] == '/' || s.p[0] == '*' || slice_eq_str(method, "CONNECT");
}

bool looks_like_request(struct slice s, bool *ret_more)
{
	size_t n = token_len(s);
	struct slice method = slice_head(s, n);
	int verdict;

	*ret_more = false;
	if (n == s.n || n + 1 == s.n) {
		*ret_more = n > 0 && n <= METHOD_MAX && (n == s.n || s.p[n] == ' ');
		return false;
	}
	if (n == 0 || s.p[n] != ' ' || !is_target_start(slice_from(s, n + 1), method))
		return false;
	verdict = target_verdict(slice_from(s, n + 1));
	if (verdict > 0)
		return true;
	/* A target too long for the probe, and nothing that speaks against it. */
	if (verdict < 0 && s.n >= HTTP1_PROBE_MAX)
		return is_likely_method(method) && is_clean_target(slice_from(s, n + 1));
	*ret_more = verdict < 0;
	return false;
}

/* Whether the bytes behind a status line may be of a head: its end, or a field's name and colon, as far
 * as they go. */
static bool is_field_start(struct slice s)
{
	size_t n = token_len(s);

	if (n == s.n || s.p[n] == '\n')
		return n == s.n || n == 0;
	if (s.p[n] == '\r')
		return n == 0 && (s.n == 1 || s.p[1] == '\n');
	return n > 0 && (s.p[n] == ':' || s.p[n] == ' ' || s.p[n] == '\t');
}

bool looks_like_response(struct slice s, bool *ret_more)
{
	int verdict = status_verdict(s);
	size_t nl = slice_find(s, '\n');

	*ret_more = verdict < 0 || (verdict > 0 && nl == s.n && s.n < PROBE_MAX);
	if (verdict <= 0 || *ret_more)
		return false;
	for (size_t i = 0; i < nl; i++)
		if (s.p[i] < ' ' && s.p[i] != '\t' && (s.p[i] != '\r' || i + 1 < nl))
			return false;
	return is_field_start(slice_from(s, nl + 1));
}

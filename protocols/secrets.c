#include "protocols/secrets.h"
#include "base/util.h"

#define EMAIL_DOMAIN_MAX 255 /* RFC 5321 section 4.5.3.1.2 */
#define JWT_MIN		 16
#define HEX_MIN		 32 /* digits of a run without separators: longer than ids in use */
#define RANDOM_MIN	 24
#define RANDOM_LOOK	 64 /* bytes that decide */

/* A piece of text that a detector found, from the start of the word it was asked about. */
struct hit {
	size_t n;    /* bytes, 0: nothing */
	size_t keep; /* leading bytes of these that are shown */
	struct slice mark;
};

enum cls {
	C_DIGIT = 1,
	C_LOWER = 2,
	C_UPPER = 4,
	C_WORD = 7,
	C_TOKEN = 8,
	C_LOCAL = 16,
	C_HEX = 32,
	C_ISSUER = 64
};

/* Classes of bytes: words; inside of base64url and JWT; local parts of
 * addresses; what the prefixes of issuers[] begin with. */
static const uint8_t classes[256] = {
	['0' ... '9'] = C_DIGIT | C_TOKEN | C_LOCAL | C_HEX,
	['a' ... 'c'] = C_LOWER | C_TOKEN | C_LOCAL | C_HEX,
	['d'] = C_LOWER | C_TOKEN | C_LOCAL | C_HEX | C_ISSUER,
	['e' ... 'f'] = C_LOWER | C_TOKEN | C_LOCAL | C_HEX,
	['g' ... 'h'] = C_LOWER | C_TOKEN | C_LOCAL | C_ISSUER,
	['i' ... 'm'] = C_LOWER | C_TOKEN | C_LOCAL,
	['n'] = C_LOWER | C_TOKEN | C_LOCAL | C_ISSUER,
	['o' ... 'q'] = C_LOWER | C_TOKEN | C_LOCAL,
	['r' ... 's'] = C_LOWER | C_TOKEN | C_LOCAL | C_ISSUER,
	['t' ... 'w'] = C_LOWER | C_TOKEN | C_LOCAL,
	['x'] = C_LOWER | C_TOKEN | C_LOCAL | C_ISSUER,
	['y' ... 'z'] = C_LOWER | C_TOKEN | C_LOCAL,
	['A'] = C_UPPER | C_TOKEN | C_LOCAL | C_HEX | C_ISSUER,
	['B' ... 'F'] = C_UPPER | C_TOKEN | C_LOCAL | C_HEX,
	['G' ... 'R'] = C_UPPER | C_TOKEN | C_LOCAL,
	['S'] = C_UPPER | C_TOKEN | C_LOCAL | C_ISSUER,
	['T' ... 'Z'] = C_UPPER | C_TOKEN | C_LOCAL,
	['-'] = C_TOKEN | C_LOCAL,
	['_'] = C_TOKEN | C_LOCAL,
	['.'] = C_LOCAL,
	['+'] = C_LOCAL | C_TOKEN,
	['='] = C_TOKEN,
};

static bool is(uint8_t c, unsigned int cls)
{
	return classes[c] & cls;
}

static size_t run(struct slice s, unsigned int cls, size_t max)
{
	size_t n = 0;

	while (n < s.n && n < max && is(s.p[n], cls))
		n++;
	return n;
}

void secret_put(struct secret_out *out, struct slice s)
{
	size_t n = MIN(s.n, out->cap - out->n);

	if (n > 0)
		memcpy(out->p + out->n, s.p, n);
	out->n += n;
}

/* Names of secrets, without '-' and '_', as the end of a name. */
static const char *const key_names[] = {
	"password", "passwd",	  "pwd",	 "passphrase", "secret",	"token",
	"apikey",   "accesskey",  "privatekey",	 "signature",  "sig",		"sessionid",
	"sid",	    "credential", "credentials", "auth",       "authorization", "otp",
	"pin",	    "cvv",	  "ssn",	 "jwt",	       "code",		"key",
	"pass",	    "nonce",	  "state",
};

/* Only these are believed in running text, where words stand before a colon for many reasons. */
#define KEY_NAMES_IN_TEXT 15

static bool name_ends_with(struct slice name, const char *tail, bool whole)
{
	size_t i = name.n, k = strlen(tail);

	while (k > 0 && i > 0) {
		uint8_t c = name.p[--i];

		if (c == '-' || c == '_')
			continue;
		if ((c | 0x20) != (uint8_t)tail[--k])
			return false;
	}
	return k == 0 && (i == 0 || !whole);
}

static bool is_key_name(struct slice name, size_t n_names)
{
	for (size_t i = 0; i < n_names; i++)
		if (name_ends_with(name, key_names[i], strlen(key_names[i]) < 5))
			return true;
	return false;
}

bool secret_is_key_name(struct slice name)
{
	return is_key_name(name, ARRAY_SIZE(key_names));
}

/* Bytes of what stands here as c, or as its percent-encoded form: two hexadecimal digits in capitals. 0:
 * something else. */
static size_t char_len(struct slice s, uint8_t c, const char *hex)
{
	if (s.n == 0)
		return 0;
	if (s.p[0] == c)
		return 1;
	return s.p[0] == '%' && slice_eq_nocase(slice_of(s.p + 1, MIN(s.n - 1, (size_t)2)),
						slice_of(hex, 2))
		       ? 3
		       : 0;
}

/* Bytes of what groups digits: one space or dash, also as a URL or a form has it. */
static size_t group_mark_len(struct slice s)
{
	size_t n = char_len(s, ' ', "20");

	if (n == 0)
		n = char_len(s, '-', "2D");
	return n > 0 ? n : char_len(s, '+', "2B");
}

/* Digits of a number that may be grouped by single spaces or dashes; *ret_n: bytes of it. */
static size_t grouped_digits(struct slice s, uint8_t *digits, size_t max, size_t *ret_n)
{
	size_t n = 0, i = 0;

	while (i < s.n && n < max) {
		size_t mark;

		if (is(s.p[i], C_DIGIT)) {
			digits[n++] = s.p[i++];
			continue;
		}
		mark = group_mark_len(slice_from(s, i));
		if (mark == 0 || i + mark >= s.n || !is(s.p[i + mark], C_DIGIT))
			break;
		i += mark;
	}
	*ret_n = i;
	return n;
}

/* A payment card's number: 13 to 19 digits, Luhn's sum (ISO/IEC 7812-1). */
static struct hit find_card(struct slice s)
{
	uint8_t d[20];
	size_t bytes, n;
	unsigned int sum = 0;

	if (s.p[0] < '2' || s.p[0] > '6')
		return (struct hit){ 0 };
	n = grouped_digits(s, d, sizeof(d), &bytes);
	if (n < 13 || n > 19 || (bytes < s.n && is(s.p[bytes], C_WORD)))
		return (struct hit){ 0 };
	for (size_t i = 0; i < n; i++) {
		unsigned int v = (unsigned int)(d[n - 1 - i] - '0') * (unsigned int)(i % 2 + 1);

		sum += v > 9 ? v - 9 : v;
	}
	if (sum % 10 != 0)
		return (struct hit){ 0 };
	return (struct hit){ bytes, 0, SLICE_LIT("<REDACTED_PAN>") };
}

/* International bank account number: country, check digits, 11 to 30 characters, modulo 97 (ISO
 * 13616); may be written in groups of four. */
static struct hit find_iban(struct slice s)
{
	uint8_t c[34];
	size_t n = 0, i = 0;
	unsigned int mod = 0;

	if (s.n < 15 || !is(s.p[0], C_UPPER) || !is(s.p[1], C_UPPER) || !is(s.p[2], C_DIGIT) ||
	    !is(s.p[3], C_DIGIT))
		return (struct hit){ 0 };
	for (; i < s.n && n < sizeof(c); i++) {
		if (is(s.p[i], C_DIGIT | C_UPPER))
			c[n++] = s.p[i];
		else if (s.p[i] != ' ' || n % 4 != 0 || i + 1 >= s.n ||
			 !is(s.p[i + 1], C_DIGIT | C_UPPER))
			break;
	}
	if (n < 15 || (i < s.n && is(s.p[i], C_WORD)))
		return (struct hit){ 0 };
	for (size_t k = 0; k < n; k++) {
		uint8_t x = c[(k + 4) % n];

		mod = is(x, C_DIGIT) ? (mod * 10 + x - '0') % 97 : (mod * 100 + x - 'A' + 10) % 97;
	}
	if (mod != 1)
		return (struct hit){ 0 };
	return (struct hit){ i, 0, SLICE_LIT("<REDACTED_IBAN>") };
}

/* Length of the longest part of s that a domain can be: its last label is made of letters, since
 * `pkg@1.2.3` is no address, and no digit follows. What comes behind may look like more of it. */
static size_t domain_len(struct slice s)
{
	size_t label = 0, best = 0; /* label: its start, 0 for the first and one not of letters */

	for (size_t i = 0; i <= s.n; i++) {
		uint8_t c = i < s.n ? s.p[i] : 0;

		if (is(c, C_LOWER | C_UPPER))
			continue;
		if (label > 1 && i - label >= 2 && !is(c, C_DIGIT))
			best = i;
		label = c == '.' ? i + 1 : 0;
	}
	return best;
}

/* local@domain.tld, '@' also as %40. s: from where the local part begins. */
static struct hit find_email(struct slice s)
{
	struct slice rest = slice_from(s, run(s, C_LOCAL, s.n));
	size_t domain;

	if (slice_starts(rest, SLICE_LIT("@")))
		rest = slice_from(rest, 1);
	else if (slice_starts(rest, SLICE_LIT("%40")))
		rest = slice_from(rest, 3);
	else
		return (struct hit){ 0 };
	domain = domain_len(slice_head(rest, run(rest, C_LOCAL, EMAIL_DOMAIN_MAX)));
	if (domain == 0)
		return (struct hit){ 0 };
	return (struct hit){ (size_t)(rest.p - s.p) + domain, 0, SLICE_LIT("<REDACTED_EMAIL>") };
}

/* What keys and tokens of well-known issuers begin with, and the least length of the whole. */
static const struct {
	const char *prefix;
	uint8_t min;
} issuers[] = {
	{ "AKIA", 20 },	    { "ASIA", 20 },	{ "AIza", 35 },	       { "ghp_", 20 },
	{ "gho_", 20 },	    { "ghs_", 20 },	{ "github_pat_", 30 }, { "glpat-", 20 },
	{ "sk_live_", 20 }, { "sk_test_", 20 }, { "rk_live_", 20 },    { "sk-", 24 },
	{ "xoxb-", 20 },    { "xoxp-", 20 },	{ "npm_", 30 },	       { "dckr_pat_", 20 },
	{ "hvs.", 24 },	    { "SG.", 40 },
};

static struct hit find_issued(struct slice s)
{
	for (size_t i = 0; i < ARRAY_SIZE(issuers); i++) {
		size_t n;

		if (s.n < issuers[i].min || s.p[0] != (uint8_t)issuers[i].prefix[0])
			continue;
		n = strlen(issuers[i].prefix);
		if (memcmp(s.p, issuers[i].prefix, n) != 0)
			continue;
		n = run(s, C_TOKEN | C_LOCAL, s.n);
		if (n >= issuers[i].min)
			return (struct hit){ n, 0, SLICE_LIT("<REDACTED_KEY>") };
	}
	return (struct hit){ 0 };
}

/* Base64url of `{"`: a JSON web token, whole or in part (RFC 7519). */
static struct hit find_jwt(struct slice s)
{
	size_t n;

	if (s.n < JWT_MIN || memcmp(s.p, "eyJ", 3) != 0)
		return (struct hit){ 0 };
	n = run(s, C_TOKEN | C_LOCAL, s.n);
	if (n < JWT_MIN)
		return (struct hit){ 0 };
	return (struct hit){ n, 0, SLICE_LIT("<REDACTED_JWT>") };
}

/* `Bearer x` and `Basic x`. */
static struct hit find_scheme(struct slice s, size_t word)
{
	struct slice value = slice_from(s, word + 1);
	size_t n, digits = 0;

	if (word >= s.n || s.p[word] != ' ' ||
	    (!slice_eq_nocase(slice_head(s, word), SLICE_LIT("bearer")) &&
	     !slice_eq_nocase(slice_head(s, word), SLICE_LIT("basic"))))
		return (struct hit){ 0 };
	n = run(value, C_TOKEN | C_LOCAL, value.n);
	for (size_t i = 0; i < n; i++)
		digits += is(value.p[i], C_DIGIT) || value.p[i] == '=';
	if (n < 8 || digits == 0)
		return (struct hit){ 0 };
	return (struct hit){ word + 1 + n, word + 1, SLICE_LIT("<REDACTED>") };
}

/* Bytes of a value up to the quote that ends it, or to the end of the text. */
static size_t quoted_len(struct slice s, uint8_t quote)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != quote)
		n += s.p[n] == '\\' && n + 1 < s.n ? 2 : 1;
	return n;
}

/* Bytes of a value without quotes. */
static size_t bare_len(struct slice s, enum secret_place place)
{
	static const char ends[] = "/\"'&;,<>"; /* the first one in paths only: base64 has it too */
	size_t skip = place == SECRET_IN_PATH ? 0 : 1, n = 0;

	while (n < s.n && s.p[n] > ' ' && !memchr(ends + skip, s.p[n], sizeof(ends) - 1 - skip))
		n++;
	return n;
}

/* Bytes of the '=' or ':' that stands between a name and its value. */
static size_t equals_len(struct slice s)
{
	size_t n = char_len(s, '=', "3D");

	return n > 0 ? n : char_len(s, ':', "3A");
}

/* `password=x`, `token: x`, `"secret" : "x y"`, `password%3Dx`. name: bytes of the whole name that ends
 * with the word.
 */
static struct hit find_named(struct slice s, size_t word, size_t name, enum secret_place place)
{
	size_t at = word, n;
	uint8_t quote = 0;

	at += char_len(slice_from(s, at), '"', "22");
	if (at > word)
		while (at < s.n && s.p[at] == ' ')
			at++;
	n = equals_len(slice_from(s, at));
	if (n == 0 || !is_key_name(slice_of(s.p + word - name, name), KEY_NAMES_IN_TEXT))
		return (struct hit){ 0 };
	for (at += n; at < s.n && !quote && memchr(" \t\"'", s.p[at], 4); at++)
		if (s.p[at] == '"' || s.p[at] == '\'')
			quote = s.p[at];
	n = quote ? quoted_len(slice_from(s, at), quote) : bare_len(slice_from(s, at), place);
	if (n == 0 || (n == 1 && s.p[at] == '?')) /* a placeholder, or masked before */
		return (struct hit){ 0 };
	return (struct hit){ at + n, at, SLICE_LIT("<REDACTED>") };
}

static bool is_uuid(struct slice s)
{
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? s.p[i] != '-' : !is(s.p[i], C_HEX))
			return false;
	return true;
}

/* Random text changes between kinds of characters all the time; words and numbers with separators
 * between them do not. */
static bool looks_random(struct slice s)
{
	size_t digits = 0, changes = 0;
	unsigned int seen = 0;

	if (s.n < RANDOM_MIN || is_uuid(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned int cls = classes[s.p[i]] & C_WORD;
		unsigned int before = i > 0 ? classes[s.p[i - 1]] & C_WORD : 0;

		digits += cls == C_DIGIT;
		changes += cls && before && cls != before;
		seen |= cls;
	}
	if (digits < 2 || changes * 3 < s.n)
		return false;
	return seen == C_WORD || s.n >= 28;
}

/* A long run of hexadecimal digits or of base64. fresh: s begins a run. */
static struct hit find_random(struct slice s, size_t word, bool fresh)
{
	if (word >= HEX_MIN && run(s, C_HEX, word) == word)
		return (struct hit){ word, 0, SLICE_LIT("<REDACTED_HEX>") };
	if (!fresh || !looks_random(slice_head(s, run(s, C_TOKEN, RANDOM_LOOK))))
		return (struct hit){ 0 };
	return (struct hit){ run(s, C_TOKEN, s.n), 0, SLICE_LIT("<REDACTED_TOKEN>") };
}

static struct hit find_pem(struct slice s)
{
	static const char end[] = "-----END";
	const uint8_t *p;
	size_t n;

	if (!slice_starts(s, SLICE_LIT("-----BEGIN")))
		return (struct hit){ 0 };
	p = memmem(s.p + 10, s.n - 10, end, sizeof(end) - 1);
	n = p ? (size_t)(p - s.p) + sizeof(end) - 1 : s.n;
	p = p ? memmem(s.p + n, s.n - n, end, 5) : NULL; /* the dashes that end the last line */
	n = p ? (size_t)(p - s.p) + 5 : s.n;
	return (struct hit){ n, 0, SLICE_LIT("<REDACTED_PEM>") };
}

/* Where user and password of a URL stand: bytes of s in front of them, when s, at byte `at` of the text,
 * is right behind `://`, or is the end of `://` percent-encoded. -1: not there. */
static int userinfo_skip(struct slice text, size_t at)
{
	const uint8_t *p = text.p + at;

	if (at >= 3 && memcmp(p - 3, "://", 3) == 0)
		return 0;
	if (at >= 4 && memcmp(p - 4, "://", 3) == 0)
		return 0; /* behind one byte that is in no word: `://:pw@` */
	if (at >= 4 && p[-1] == '%' && text.n - at > 2 &&
	    slice_eq_nocase(slice_of(p - 4, 6), SLICE_LIT("%2F%2F")))
		return 2;
	return -1;
}

/* `bob:pw` of `http://bob:pw@host/`. The authority ends where a slash does, encoded or not, so that no
 * byte is looked at for two URLs. */
static struct hit find_userinfo(struct slice s, size_t skip)
{
	size_t end = 0;

	for (size_t i = skip; i < s.n && s.p[i] > ' ' && !memchr("/?#\"<>", s.p[i], 6); i++) {
		struct slice rest = slice_from(s, i);

		if (char_len(rest, '/', "2F") > 0)
			break;
		if (char_len(rest, '@', "40") > 0)
			end = i;
	}
	if (end <= skip)
		return (struct hit){ 0 };
	return (struct hit){ end, skip, SLICE_LIT("<REDACTED>") };
}

/* Where a detector stands: at a word of `word` bytes at s, the end of a name of `name` bytes.
 * before: classes of the byte in front of it. mail: there is an '@' or a %40 somewhere. userinfo: see
 * userinfo_skip(). */
struct spot {
	struct slice s;
	int userinfo;
	size_t word, name;
	unsigned int before;
	bool mail;
	bool inside; /* a word before belongs to the same local part of an address */
	enum secret_place place;
};

/* What has an '@' in it. */
static struct hit find_with_at(const struct spot *at)
{
	struct hit h = { 0 };

	if (at->userinfo >= 0)
		h = find_userinfo(at->s, (size_t)at->userinfo);
	return h.n == 0 && !at->inside ? find_email(at->s) : h;
}

/* The detectors in turn, each behind a test of a byte or two: most words are harmless. */
static struct hit find_at(const struct spot *at)
{
	struct slice s = at->s;
	struct hit h = { 0 };
	uint8_t first = s.p[0], behind = at->word < s.n ? s.p[at->word] : '\0';

	if (at->mail)
		h = find_with_at(at);
	if (h.n == 0 && first >= '2' && first <= '6' && s.n >= 13)
		h = find_card(s);
	if (h.n == 0 && first == 'e')
		h = find_jwt(s);
	if (h.n == 0 && is(first, C_ISSUER))
		h = find_issued(s);
	if (h.n == 0 && at->word >= 4 && is(s.p[2], C_DIGIT) && is(first, C_UPPER))
		h = find_iban(s);
	if (h.n == 0 && behind == ' ' && (first | 0x20) == 'b')
		h = find_scheme(s, at->word);
	if (h.n == 0 && at->word >= 2 && memchr("=:\"%", behind, 4))
		h = find_named(s, at->word, at->name, at->place);
	if (h.n == 0 && at->place == SECRET_IN_PATH && s.n >= RANDOM_MIN)
		h = find_random(s, at->word, !(at->before & C_TOKEN));
	return h;
}

static bool has_mail_mark(struct slice s)
{
	const uint8_t *percent;

	if (s.n == 0 || memchr(s.p, '@', s.n))
		return s.n > 0;
	percent = memchr(s.p, '%', s.n); /* memmem() is slow to start, and most texts have none */
	return percent && memmem(percent, s.n - (size_t)(percent - s.p), "%40", 3);
}

/* The first secret at or after *at, *at set to its start; n = 0 when there is none. */
static struct hit find_next(struct slice s, size_t *at, bool mail, enum secret_place place)
{
	size_t i = *at, name_from = *at;
	bool inside = false;

	while (i < s.n) {
		struct slice rest = slice_from(s, i);
		struct hit h = { 0 };
		size_t word = run(rest, C_WORD, rest.n);

		if (word > 0) {
			h = find_at(&(struct spot){
				rest, mail ? userinfo_skip(s, i) : -1, word, i + word - name_from,
				i > 0 ? classes[s.p[i - 1]] : 0u, mail, inside, place });
			inside = true;
		} else {
			word = 1;
			inside = inside && is(rest.p[0], C_LOCAL);
			if (rest.p[0] == '-' && rest.n > 10)
				h = find_pem(rest);
			if (rest.p[0] != '-' && rest.p[0] != '_')
				name_from = i + 1;
		}
		if (h.n > 0) {
			*at = i;
			return h;
		}
		i += word;
	}
	*at = s.n;
	return (struct hit){ 0 };
}

bool secret_find(struct slice s, enum secret_place place)
{
	size_t at = 0;

	return find_next(s, &at, has_mail_mark(s), place).n > 0;
}

void secret_put_masked(struct secret_out *out, struct slice s, enum secret_place place)
{
	bool mail = has_mail_mark(s);
	size_t from = 0, at = 0;

	for (;;) {
		struct hit h = find_next(s, &at, mail, place);

		secret_put(out, slice_of(s.p + from, at + h.keep - from));
		if (h.n == 0)
			return;
		secret_put(out, h.mark);
		at += h.n;
		from = at;
	}
}

struct slice secret_safe_head(struct slice s, size_t max, enum secret_place place)
{
	bool mail = has_mail_mark(s);
	size_t at = 0;

	if (s.n <= max)
		return s;
	while (at < max) {
		struct hit h = find_next(s, &at, mail, place);

		if (h.n == 0 || at >= max)
			break;
		if (at + h.n > max)
			return slice_head(s, at);
		at += h.n;
	}
	return slice_head(s, max);
}

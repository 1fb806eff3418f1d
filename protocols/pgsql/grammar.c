#include "protocols/pgsql/grammar.h"
#include "base/bytes.h"
#include "base/util.h"

#include <string.h>

#define LARGE	  0x3fffffff /* bytes: what a server allocates at most */
#define SMALL	  30000
#define LOGIN_MAX 12 /* the last kind of an Authentication message: SASLFinal */

/* body: one letter for each part, in order:
 *	s text with its NUL	t the same, begins with a capital	k one of 'S' and 'P'
 *	b 0 or 1		z one of 'I', 'T' and 'E'		i four bytes	h two bytes
 *	a what a server asks for or says of a login, four bytes
 *	A n: a count of two bytes, then as many parts of n bytes
 *	L a count of two bytes, then values: a length of four bytes, -1 for none, and its bytes
 *	V one such value	F a count, then columns: a name and 18 bytes
 *	f fields of an error: a letter and a text each, then a NUL
 *	x anything up to the end */
struct shape {
	char tag;
	const char *body;
	uint32_t min, max; /* bytes of the body */
};

static const struct shape frontend[] = {
	{ 'Q', "s", 1, LARGE },	     { 'P', "ssA4", 4, LARGE }, { 'B', "ssA2LA2", 8, LARGE },
	{ 'D', "ks", 2, SMALL },     { 'E', "si", 5, SMALL },	{ 'C', "ks", 2, SMALL },
	{ 'S', "", 0, 0 },	     { 'H', "", 0, 0 },		{ 'X', "", 0, 0 },
	{ 'd', "x", 0, LARGE },	     { 'c', "", 0, 0 },		{ 'f', "s", 1, SMALL },
	{ 'F', "iA2Lh", 10, LARGE }, { 'p', "x", 1, 65535 },
};

static const struct shape backend[] = {
	{ 'D', "L", 2, LARGE },
	{ 'T', "F", 2, LARGE },
	{ 'C', "t", 2, SMALL },
	{ 'Z', "z", 1, 1 },
	{ '1', "", 0, 0 },
	{ '2', "", 0, 0 },
	{ '3', "", 0, 0 },
	{ 'n', "", 0, 0 },
	{ 's', "", 0, 0 },
	{ 'I', "", 0, 0 },
	{ 'c', "", 0, 0 },
	{ 't', "A4", 2, LARGE },
	{ 'E', "f", 1, LARGE },
	{ 'N', "f", 1, LARGE },
	{ 'S', "ss", 2, SMALL },
	{ 'A', "iss", 6, LARGE },
	{ 'd', "x", 0, LARGE },
	{ 'G', "bA2", 3, SMALL * 4 },
	{ 'H', "bA2", 3, SMALL * 4 },
	{ 'W', "bA2", 3, SMALL * 4 },
	{ 'V', "V", 4, LARGE },
	{ 'R', "ax", 4, SMALL },
	{ 'K', "ix", 8, SMALL },
	{ 'v', "iix", 8, SMALL },
};

static const struct shape *shape_of(enum pgsql_side side, uint8_t tag)
{
	const struct shape *t = side == PGSQL_FRONTEND ? frontend : backend;
	size_t n = side == PGSQL_FRONTEND ? ARRAY_SIZE(frontend) : ARRAY_SIZE(backend);

	for (size_t i = 0; i < n; i++)
		if ((uint8_t)t[i].tag == tag)
			return &t[i];
	return NULL;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The shape of the message that head begins with, and its body's length; NULL when there is none. */
static const struct shape *message_of(enum pgsql_side side, struct slice head, uint32_t *ret_len)
{
	const struct shape *s = shape_of(side, head.p[0]);
	uint32_t len = be32(head.p + 1);

	if (!s || len < 4 || len - 4 < s->min || len - 4 > s->max)
		return NULL;
	*ret_len = len - 4;
	return s;
}

int64_t pgsql_body_length(enum pgsql_side side, struct slice head)
{
	uint32_t len;

	return message_of(side, head, &len) ? (int64_t)len : -1;
}

/* ---- bodies ---- */

/* What is known of a body: the bytes that are there, and how many there are in all. */
struct body {
	struct slice left;
	uint64_t unseen; /* bytes of it behind those */
	bool out;	 /* the bytes that are there end inside a part */
};

/* The next n bytes; false when the body is shorter. */
static bool take(struct body *b, uint64_t n, struct slice *ret)
{
	if (n > b->left.n + b->unseen)
		return false;
	if (n > b->left.n) {
		b->out = true;
		n = b->left.n;
	}
	*ret = slice_head(b->left, (size_t)n);
	b->left = slice_from(b->left, (size_t)n);
	return true;
}

static bool is_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' && s.p[i] != '\n' && s.p[i] != '\t' && s.p[i] != '\r')
			return false;
	return true;
}

static bool take_text(struct body *b, bool capital)
{
	size_t n = slice_find(b->left, 0);
	struct slice s;

	if (n == b->left.n) {
		b->out = true;
		if (b->unseen == 0)
			return false;
	}
	s = slice_head(b->left, n);
	b->left = slice_from(b->left, MIN(n + 1, b->left.n));
	if (capital && s.n > 0 && (s.p[0] < 'A' || s.p[0] > 'Z'))
		return false;
	return is_text(s) && (!capital || s.n > 0 || b->out);
}

static bool take_byte_of(struct body *b, const char *set, size_t n)
{
	struct slice s;

	return take(b, 1, &s) && (s.n == 0 || memchr(set, s.p[0], n) != NULL);
}

static bool take_login(struct body *b)
{
	struct slice s;

	return take(b, 4, &s) && (b->out || be32(s.p) <= LOGIN_MAX);
}

/* A count of two bytes; -1 when it is not all there, -2 when it cannot be one. */
static int take_count(struct body *b)
{
	struct slice s;
	int n;

	if (!take(b, 2, &s))
		return -2;
	if (b->out)
		return -1;
	n = s.p[0] << 8 | s.p[1];
	return n < 0x8000 ? n : -2;
}

static bool take_value(struct body *b)
{
	struct slice s;
	uint32_t n;

	if (!take(b, 4, &s))
		return false;
	if (b->out)
		return true;
	n = be32(s.p);
	return n == UINT32_MAX || take(b, n, &s);
}

static bool take_fields(struct body *b)
{
	struct slice s;

	while (!b->out) {
		if (!take(b, 1, &s))
			return false;
		if (b->out || s.p[0] == 0)
			return true;
		if ((s.p[0] | 0x20) < 'a' || (s.p[0] | 0x20) > 'z' || !take_text(b, false))
			return false;
	}
	return true;
}

static bool take_parts(struct body *b, char kind, size_t size)
{
	int n = take_count(b);
	struct slice s;

	for (int i = 0; i < n && !b->out; i++) {
		bool ok = kind == 'L'	? take_value(b)
			  : kind == 'F' ? take_text(b, false) && (b->out || take(b, 18, &s))
					: take(b, size, &s);

		if (!ok)
			return false;
	}
	return n != -2;
}

static bool take_part(struct body *b, const char **part)
{
	struct slice s;
	char kind = *(*part)++;

	switch (kind) {
	case 's':
	case 't':
		return take_text(b, kind == 't');
	case 'k':
		return take_byte_of(b, "SP", 2);
	case 'b':
		return take_byte_of(b, "\0\1", 2);
	case 'z':
		return take_byte_of(b, "ITE", 3);
	case 'a':
		return take_login(b);
	case 'i':
		return take(b, 4, &s);
	case 'h':
		return take(b, 2, &s);
	case 'A':
		return take_parts(b, kind, (size_t)(*(*part)++ - '0'));
	case 'L':
	case 'F':
		return take_parts(b, kind, 0);
	case 'V':
		return take_value(b);
	case 'f':
		return take_fields(b);
	default:
		return take(b, b->left.n + b->unseen, &s);
	}
}

enum fit { FIT_NOT, FIT_PART, FIT_WHOLE };

/* Whether the bytes fit the shape, as far as they go. */
static enum fit fits(const struct shape *shape, struct slice seen, uint32_t len)
{
	struct body b = { slice_head(seen, len), len - MIN((size_t)len, seen.n), false };

	for (const char *part = shape->body; *part && !b.out;)
		if (!take_part(&b, &part))
			return FIT_NOT;
	if (b.out)
		return b.unseen > 0 ? FIT_PART : FIT_NOT;
	return b.left.n + b.unseen == 0 ? FIT_WHOLE : FIT_NOT;
}

/* ---- chains ---- */

enum link {
	LINK_NO,
	LINK_MORE,   /* it is not all there that would be looked at */
	LINK_STRONG, /* nothing else looks like this */
	LINK_WEAK,   /* it does, if another follows */
};

/* Whether the bytes of such a body have to be certain ones. */
static bool is_telling(const struct shape *m)
{
	return m->body[strspn(m->body, "ix")] != '\0';
}

/* What the first message of s is, by its first `look` bytes, no matter how many more there are: the
 * same whatever came together. *ret_len: of its body. */
static enum link link_of(enum pgsql_side side, struct slice s, size_t look, uint32_t *ret_len)
{
	const struct shape *m = shape_of(side, s.p[0]);
	enum fit fit;

	if (!m)
		return LINK_NO;
	if (s.n < PGSQL_HEADER)
		return LINK_MORE;
	m = message_of(side, s, ret_len);
	if (!m)
		return LINK_NO;
	s = slice_from(slice_head(s, look), PGSQL_HEADER);
	fit = fits(m, s, *ret_len);
	if (fit == FIT_NOT)
		return LINK_NO;
	if (s.n < MIN(*ret_len, look - PGSQL_HEADER))
		return LINK_MORE;
	if (fit == FIT_PART) /* text all the way; anything else may be by chance */
		return m->body[0] == 's' || m->body[0] == 'f' ? LINK_STRONG : LINK_NO;
	return is_telling(m) ? LINK_STRONG : LINK_WEAK;
}

enum pgsql_chain pgsql_chain(enum pgsql_side side, struct slice s)
{
	for (int n = 0; n < 2 && s.n > 0; n++) {
		uint32_t len;

		switch (link_of(side, s, PGSQL_LINK_MAX, &len)) {
		case LINK_NO:
			return CHAIN_NO;
		case LINK_MORE:
			return CHAIN_MORE;
		case LINK_STRONG:
			return CHAIN_YES;
		case LINK_WEAK:
			if (n == 1)
				return CHAIN_YES;
			s = slice_from(s, PGSQL_HEADER + len);
		}
	}
	return CHAIN_MORE;
}

/* ---- the beginning of a connection ---- */

enum pgsql_opening pgsql_opening(struct slice head, size_t *ret_len)
{
	static const struct {
		uint32_t code, min, max;
		enum pgsql_opening is;
	} codes[] = {
		{ 80877103, 8, 8, OPENING_SSL },
		{ 80877104, 8, 8, OPENING_GSS },
		{ 80877102, 16, 12 + 256, OPENING_CANCEL }, /* 3.2: a key of up to 256 bytes */
	};
	uint32_t len = be32(head.p), code = be32(head.p + 4);

	*ret_len = len;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == code && len >= codes[i].min && len <= codes[i].max)
			return codes[i].is;
	return code >> 16 == 3 && len > 8 && len <= PGSQL_OPENING_MAX ? OPENING_STARTUP
								      : OPENING_BAD;
}

/* Of a setting, or one of a pooler's own. */
static bool is_parameter_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.p[0] == '_' || ((s.p[0] | 0x20) >= 'a' && (s.p[0] | 0x20) <= 'z');
}

/* What is there of a packet's parameters: names and values, each with its NUL, a NUL behind all. unseen:
 * bytes of them behind these. */
static enum probe_result probe_parameters(struct slice s, size_t unseen)
{
	for (int n = 0; s.n > 0; n++) {
		size_t name = slice_find(s, 0);
		struct slice value = slice_from(s, name + 1);

		if (name == 0)
			return n > 0 && s.n + unseen == 1 ? PROBE_REQUEST : PROBE_NO;
		if (!is_parameter_name(slice_head(s, name)))
			return PROBE_NO;
		value = slice_head(value, slice_find(value, 0));
		if (!is_text(value))
			return PROBE_NO;
		s = slice_from(s, name + 1 + value.n + 1);
	}
	return unseen > 0 ? PROBE_MORE : PROBE_NO;
}

static enum probe_result probe_opening(struct slice head)
{
	enum probe_result r;
	struct slice seen;
	size_t n;

	if (head.p[0] != 0)
		return PROBE_NO;
	if (head.n < PGSQL_OPENING_HEAD)
		return head.n > 1 && (head.p[1] != 0 || (head.n > 2 && head.p[2] > 39))
			       ? PROBE_NO
			       : PROBE_MORE;
	switch (pgsql_opening(head, &n)) {
	case OPENING_SSL:
	case OPENING_GSS:
	case OPENING_CANCEL: /* the client waits for what the server does then */
		if (head.n < n)
			return PROBE_MORE;
		return head.n == n ? PROBE_REQUEST : PROBE_NO;
	case OPENING_STARTUP:
		seen = slice_head(head, n);
		r = probe_parameters(slice_from(seen, PGSQL_OPENING_HEAD), n - seen.n);
		return r == PROBE_MORE && head.n >= PROBE_MAX ? PROBE_REQUEST : r;
	case OPENING_BAD:
		break;
	}
	return PROBE_NO;
}

enum probe_result pgsql_probe_opening(const struct probe_in *in)
{
	return in->start ? probe_opening(in->head) : PROBE_NO;
}

/* Whether s is messages and nothing else, as far as it goes, and not by chance. */
static enum pgsql_chain chain_to_end(enum pgsql_side side, struct slice s)
{
	bool sure = false;

	for (int n = 0; s.n > 0; n++) {
		uint32_t len;
		enum link link = link_of(side, s, PROBE_MAX, &len);

		if (link == LINK_NO)
			return CHAIN_NO;
		if (link == LINK_MORE)
			break;
		sure |= link == LINK_STRONG || n > 0;
		s = slice_from(s, PGSQL_HEADER + (size_t)len);
	}
	return sure ? CHAIN_YES : CHAIN_MORE;
}

/* Messages that fit in one direction, and their counterparts in the other. */
enum probe_result pgsql_probe_chain(const struct probe_in *in)
{
	static const enum pgsql_side sides[] = { PGSQL_FRONTEND, PGSQL_BACKEND };
	enum probe_result r = PROBE_NO;

	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		enum pgsql_chain here = chain_to_end(sides[i], in->head);
		enum pgsql_chain there = chain_to_end(sides[1 - i], in->other);

		if (here == CHAIN_NO || there == CHAIN_NO)
			continue;
		if (here == CHAIN_YES && there == CHAIN_YES)
			return i == 0 ? PROBE_REQUEST : PROBE_RESPONSE;
		r = PROBE_MORE;
	}
	return r;
}

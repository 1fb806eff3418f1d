#include "base/jsonread.h"

#include "base/text.h"
#include "base/util.h"

struct jsonread jsonread_of(uint8_t *text, size_t n)
{
	/* Text of no bytes may have no address, which nothing may be added to (C17 6.5.6). */
	return (struct jsonread){ .p = text, .end = n ? text + n : text };
}

static bool fail(struct jsonread *j)
{
	j->bad = true;
	return false;
}

/* The next byte that is no space; -1 at the end and once bad. */
static int peek_byte(struct jsonread *j)
{
	while (!j->bad && j->p < j->end &&
	       (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
	return !j->bad && j->p < j->end ? *j->p : -1;
}

enum jsonread_kind jsonread_peek(struct jsonread *j)
{
	int c = peek_byte(j);

	switch (c) {
	case '{':
		return JSONREAD_OBJECT;
	case '[':
		return JSONREAD_ARRAY;
	case '"':
		return JSONREAD_STRING;
	case 't':
	case 'f':
		return JSONREAD_BOOL;
	}
	return c == '-' || (c >= '0' && c <= '9') ? JSONREAD_INT : JSONREAD_NULL;
}

bool jsonread_enter(struct jsonread *j, char open)
{
	uint64_t bit;

	if (peek_byte(j) != open)
		return false;
	if (j->depth == JSONREAD_DEPTH_MAX)
		return fail(j);
	j->p++;
	bit = 1ULL << j->depth++;
	j->more &= ~bit;
	j->objects = open == '{' ? j->objects | bit : j->objects & ~bit;
	return true;
}

bool jsonread_next(struct jsonread *j)
{
	uint64_t bit = 1ULL << (j->depth - 1);
	int c = peek_byte(j);

	if (c == (j->objects & bit ? '}' : ']')) {
		j->p++;
		j->depth--;
		return false;
	}
	if (c < 0)
		return fail(j);
	if (!(j->more & bit)) {
		j->more |= bit;
		return true;
	}
	if (c != ',')
		return fail(j);
	j->p++;
	c = peek_byte(j);
	return (c >= 0 && c != '}' && c != ']') || fail(j);
}

static int hex4(const uint8_t *p)
{
	int v = 0;

	for (size_t i = 0; i < 4; i++) {
		uint8_t c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static uint8_t *put_utf8(uint8_t *out, uint32_t c)
{
	static const uint8_t leads[] = { 0x00, 0xc0, 0xe0, 0xf0 };
	int more = (c >= 0x80) + (c >= 0x800) + (c >= 0x10000);

	*out++ = (uint8_t)(leads[more] | c >> (6 * more));
	while (more-- > 0)
		*out++ = (uint8_t)(0x80 | (c >> (6 * more) & 0x3f));
	return out;
}

/* p stands behind "\u" and its four digits, which were checked. Returns what is read of it, decoded. */
static const uint8_t *unicode(const uint8_t *p, const uint8_t *end, uint8_t **out)
{
	uint32_t c = (uint32_t)hex4(p), low = 0;

	p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u')
		low = (uint32_t)hex4(p + 2);
	if (low >= 0xdc00 && low < 0xe000) {
		p += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xd800 && c < 0xe000) {
		c = 0xfffd;
	}
	*out = put_utf8(*out, c);
	return p;
}

static const char escapes[] = "\"\\/bfnrt", escaped[] = "\"\\/\b\f\n\r\t";

/* In place: no escape is shorter than what it stands for. The escapes were checked. */
static struct slice unescape(uint8_t *text, size_t n)
{
	const uint8_t *p = text, *end = text + n;
	uint8_t *out = text;

	while (p < end) {
		if (*p != '\\') {
			*out++ = *p++;
		} else if (p[1] == 'u') {
			p = unicode(p + 2, end, &out);
		} else {
			*out++ = (uint8_t)escaped[strchr(escapes, p[1]) - escapes];
			p += 2;
		}
	}
	return slice_of(text, (size_t)(out - text));
}

/* Past a string; *ret its raw text between the quotes. */
static bool skip_string(struct jsonread *j, uint8_t **ret, size_t *ret_n, bool *ret_escapes)
{
	if (peek_byte(j) != '"')
		return fail(j);
	*ret = ++j->p;
	*ret_escapes = false;
	for (; j->p < j->end && *j->p != '"'; j->p++) {
		if (*j->p < 0x20)
			return fail(j);
		if (*j->p != '\\')
			continue;
		*ret_escapes = true;
		if (++j->p == j->end)
			return fail(j);
		if (*j->p == 'u' ? j->end - j->p < 5 || hex4(j->p + 1) < 0
				 : !*j->p || !strchr(escapes, *j->p))
			return fail(j);
	}
	if (j->p == j->end)
		return fail(j);
	*ret_n = (size_t)(j->p++ - *ret);
	return true;
}

static bool read_string(struct jsonread *j, struct slice *ret)
{
	uint8_t *p;
	size_t n;
	bool has_escapes;

	if (!skip_string(j, &p, &n, &has_escapes))
		return false;
	*ret = has_escapes ? unescape(p, n) : slice_of(p, n);
	return true;
}

static bool skip_digits(struct jsonread *j)
{
	const uint8_t *from = j->p;

	while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
		j->p++;
	return j->p > from;
}

static bool read_number(struct jsonread *j, struct jsonread_value *ret)
{
	const uint8_t *from = j->p;
	bool real = false, zero;

	j->p += *j->p == '-';
	zero = j->p < j->end && *j->p == '0';
	if (zero)
		j->p++;
	else if (!skip_digits(j))
		return fail(j);
	if (j->p < j->end && *j->p == '.') {
		real = true;
		j->p++;
		if (!skip_digits(j))
			return fail(j);
	}
	if (j->p < j->end && (*j->p | 0x20) == 'e') {
		real = true;
		j->p++;
		j->p += j->p < j->end && (*j->p == '-' || *j->p == '+');
		if (!skip_digits(j))
			return fail(j);
	}
	ret->kind = JSONREAD_INT;
	if (real || parse_i64(slice_of(from, (size_t)(j->p - from)), &ret->i) < 0)
		ret->kind = JSONREAD_REAL;
	return true;
}

static bool read_word(struct jsonread *j, struct jsonread_value *ret)
{
	static const struct {
		const char *word;
		enum jsonread_kind kind;
		int64_t i;
	} words[] = { { "true", JSONREAD_BOOL, 1 },
		      { "false", JSONREAD_BOOL, 0 },
		      { "null", JSONREAD_NULL, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (slice_starts(slice_of(j->p, (size_t)(j->end - j->p)),
				 slice_str(words[i].word))) {
			j->p += strlen(words[i].word);
			ret->kind = words[i].kind;
			ret->i = words[i].i;
			return true;
		}
	return fail(j);
}

bool jsonread_key(struct jsonread *j, struct slice *ret)
{
	if (!read_string(j, ret))
		return false;
	if (peek_byte(j) != ':')
		return fail(j);
	j->p++;
	return true;
}

bool jsonread_scalar(struct jsonread *j, struct jsonread_value *ret)
{
	int c = peek_byte(j);

	*ret = (struct jsonread_value){ 0 };
	if (c < 0)
		return fail(j);
	if (c == '"') {
		ret->kind = JSONREAD_STRING;
		return read_string(j, &ret->text);
	}
	return c == '-' || (c >= '0' && c <= '9') ? read_number(j, ret) : read_word(j, ret);
}

/* Into a container or past anything else. */
static void step(struct jsonread *j)
{
	struct jsonread_value v;
	uint8_t *p;
	size_t n;
	bool has_escapes;

	if (jsonread_enter(j, '{') || jsonread_enter(j, '['))
		return;
	if (peek_byte(j) == '"')
		skip_string(j, &p, &n, &has_escapes);
	else
		jsonread_scalar(j, &v);
}

struct slice jsonread_skip(struct jsonread *j)
{
	unsigned int outside = j->depth;
	const uint8_t *from;
	uint8_t *p;
	size_t n;
	bool has_escapes;

	peek_byte(j);
	from = j->p;
	step(j);
	while (!j->bad && j->depth > outside) {
		if (!jsonread_next(j))
			continue;
		if (j->objects >> (j->depth - 1) & 1) {
			if (!skip_string(j, &p, &n, &has_escapes))
				break;
			if (peek_byte(j) != ':') {
				fail(j);
				break;
			}
			j->p++;
		}
		step(j);
	}
	return slice_of(from, (size_t)(j->p - from));
}

bool jsonread_done(struct jsonread *j)
{
	return peek_byte(j) < 0 && !j->bad && j->depth == 0;
}

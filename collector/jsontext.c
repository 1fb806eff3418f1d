#include "collector/jsontext.h"

#include "base/text.h"

#include <errno.h>

struct cursor {
	struct slice s;
	size_t at;
	unsigned int depth;
};

static bool one_of(uint8_t b, const char *set)
{
	return b && strchr(set, b);
}

static int peek(const struct cursor *c)
{
	return c->at < c->s.n ? c->s.p[c->at] : -1;
}

static void skip_space(struct cursor *c)
{
	while (c->at < c->s.n && one_of(c->s.p[c->at], " \t\r\n"))
		c->at++;
}

static bool take(struct cursor *c, char want)
{
	skip_space(c);
	if (peek(c) != want)
		return false;
	c->at++;
	return true;
}

static bool take_word(struct cursor *c, const char *word)
{
	if (!slice_starts(slice_from(c->s, c->at), slice_str(word)))
		return false;
	c->at += strlen(word);
	return true;
}

static int hex4(struct slice s, size_t at)
{
	int v = 0;

	if (at + 4 > s.n)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		uint8_t b = s.p[i];

		if (b >= '0' && b <= '9')
			v = v * 16 + (b - '0');
		else if ((b | 0x20) >= 'a' && (b | 0x20) <= 'f')
			v = v * 16 + ((b | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return v;
}

/* Past one string literal that starts at its quote. */
static bool skip_string(struct cursor *c)
{
	c->at++;
	while (c->at < c->s.n) {
		uint8_t b = c->s.p[c->at];
		size_t n;

		if (b == '"') {
			c->at++;
			return true;
		}
		if (b < 0x20)
			return false;
		if (b != '\\') {
			n = utf8_len(slice_from(c->s, c->at));
			if (n == 0)
				return false;
			c->at += n;
			continue;
		}
		if (c->at + 1 >= c->s.n)
			return false;
		b = c->s.p[c->at + 1];
		if (b == 'u' && hex4(c->s, c->at + 2) < 0)
			return false;
		if (!one_of(b, "\"\\/bfnrtu"))
			return false;
		c->at += b == 'u' ? 6 : 2;
	}
	return false;
}

static size_t skip_digits(struct cursor *c)
{
	size_t from = c->at;

	while (peek(c) >= '0' && peek(c) <= '9')
		c->at++;
	return c->at - from;
}

static bool skip_number(struct cursor *c, bool *ret_integer)
{
	size_t lead;

	*ret_integer = true;
	if (peek(c) == '-')
		c->at++;
	lead = c->at;
	if (skip_digits(c) == 0 || (c->s.p[lead] == '0' && c->at > lead + 1))
		return false;
	if (peek(c) == '.') {
		*ret_integer = false;
		c->at++;
		if (skip_digits(c) == 0)
			return false;
	}
	if (peek(c) == 'e' || peek(c) == 'E') {
		*ret_integer = false;
		c->at++;
		if (peek(c) == '+' || peek(c) == '-')
			c->at++;
		if (skip_digits(c) == 0)
			return false;
	}
	return true;
}

static bool skip_value(struct cursor *c, struct jsontext_value *ret);

/* The members or elements between the brackets; c stands behind the opening one. */
static bool skip_list(struct cursor *c, bool object)
{
	char end = object ? '}' : ']';

	if (++c->depth > JSONTEXT_DEPTH_MAX)
		return false;
	if (!take(c, end)) {
		do {
			struct jsontext_value v;

			skip_space(c);
			if (object && (peek(c) != '"' || !skip_string(c) || !take(c, ':')))
				return false;
			if (!skip_value(c, &v))
				return false;
		} while (take(c, ','));
		if (!take(c, end))
			return false;
	}
	c->depth--;
	return true;
}

static bool skip_value(struct cursor *c, struct jsontext_value *ret)
{
	size_t from;
	bool ok, integer = false;
	int first;

	skip_space(c);
	from = c->at;
	first = peek(c);
	*ret = (struct jsontext_value){ .kind = JSONTEXT_NULL };
	if (first == '"') {
		ret->kind = JSONTEXT_STRING;
		ok = skip_string(c);
	} else if (first == '{' || first == '[') {
		ret->kind = first == '{' ? JSONTEXT_OBJECT : JSONTEXT_ARRAY;
		c->at++;
		ok = skip_list(c, first == '{');
	} else if (first == 't' || first == 'f') {
		ret->kind = JSONTEXT_BOOL;
		ret->i = first == 't';
		ok = take_word(c, first == 't' ? "true" : "false");
	} else if (first == 'n') {
		ok = take_word(c, "null");
	} else {
		ok = skip_number(c, &integer);
		ret->kind = JSONTEXT_REAL;
	}
	ret->raw = slice_of(c->s.p + from, c->at - from);
	if (ok && integer && parse_i64(ret->raw, &ret->i) == 0)
		ret->kind = JSONTEXT_INT;
	return ok;
}

bool jsontext_valid(struct slice text)
{
	struct cursor c = { .s = text };
	struct jsontext_value v;

	if (!skip_value(&c, &v))
		return false;
	skip_space(&c);
	return c.at == text.n;
}

static void add_utf8(struct strbuf *out, uint32_t v)
{
	if (v < 0x80) {
		strbuf_addch(out, (char)v);
	} else if (v < 0x800) {
		strbuf_addch(out, (char)(0xc0 | v >> 6));
		strbuf_addch(out, (char)(0x80 | (v & 0x3f)));
	} else if (v < 0x10000) {
		strbuf_addch(out, (char)(0xe0 | v >> 12));
		strbuf_addch(out, (char)(0x80 | (v >> 6 & 0x3f)));
		strbuf_addch(out, (char)(0x80 | (v & 0x3f)));
	} else {
		strbuf_addch(out, (char)(0xf0 | v >> 18));
		strbuf_addch(out, (char)(0x80 | (v >> 12 & 0x3f)));
		strbuf_addch(out, (char)(0x80 | (v >> 6 & 0x3f)));
		strbuf_addch(out, (char)(0x80 | (v & 0x3f)));
	}
}

/* The escape \uXXXX at s[at], with its second half when it is a pair. Bytes read; 0: no text. */
static size_t decode_u(struct slice s, size_t at, struct strbuf *out)
{
	int high = hex4(s, at + 2), low;

	if (high < 0 || (high >= 0xdc00 && high < 0xe000))
		return 0;
	if (high < 0xd800 || high >= 0xe000) {
		add_utf8(out, (uint32_t)high);
		return 6;
	}
	if (at + 8 > s.n || s.p[at + 6] != '\\' || s.p[at + 7] != 'u')
		return 0;
	low = hex4(s, at + 8);
	if (low < 0xdc00 || low >= 0xe000)
		return 0;
	add_utf8(out, 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
	return 12;
}

static int decode(struct slice quoted, struct strbuf *out)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	struct slice s = slice_of(quoted.p + 1, quoted.n - 2);

	for (size_t i = 0; i < s.n;) {
		size_t n;

		if (s.p[i] != '\\') {
			strbuf_addch(out, (char)s.p[i++]);
			continue;
		}
		if (s.p[i + 1] != 'u') {
			const char *at = strchr(names, s.p[i + 1]);

			strbuf_addch(out, values[at - names]);
			i += 2;
			continue;
		}
		n = decode_u(s, i, out);
		if (n == 0)
			return -EBADMSG;
		i += n;
	}
	return out->failed ? -ENOMEM : 0;
}

int jsontext_string(const struct jsontext_value *v, struct strbuf *out)
{
	return v->kind == JSONTEXT_STRING ? decode(v->raw, out) : -EBADMSG;
}

static int walk_members(struct cursor *c, struct strbuf *key,
			int (*fn)(void *ctx, struct slice key, const struct jsontext_value *v),
			void *ctx)
{
	if (take(c, '}'))
		return 0;
	do {
		struct jsontext_value v;
		size_t from;
		int err;

		skip_space(c);
		from = c->at;
		skip_string(c);
		strbuf_reset(key);
		err = decode(slice_of(c->s.p + from, c->at - from), key);
		take(c, ':');
		skip_value(c, &v);
		if (err == 0)
			err = fn(ctx, strbuf_slice(key), &v);
		if (err != 0)
			return err;
	} while (take(c, ','));
	return 0;
}

int jsontext_members(struct slice text,
		     int (*fn)(void *ctx, struct slice key, const struct jsontext_value *v),
		     void *ctx)
{
	struct cursor c = { .s = text };
	struct strbuf key = STRBUF_INIT(64 * KIB);
	int err;

	if (!jsontext_valid(text) || !take(&c, '{'))
		return -EBADMSG;
	err = walk_members(&c, &key, fn, ctx);
	strbuf_done(&key);
	return err;
}

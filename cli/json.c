#include "cli/json.h"

#include "base/text.h"
#include "cli/screen.h"

#include <errno.h>
#include <math.h>

#define NODES_MAX 8000000u

struct jparser {
	struct json *j;
	const uint8_t *p, *end;
	uint8_t *out; /* where decoded strings go; they are never longer than their source */
	unsigned int depth;
};

static int parse_any(struct jparser *p, uint32_t at);

static void skip_space(struct jparser *p)
{
	while (p->p < p->end && (*p->p == ' ' || *p->p == '\n' || *p->p == '\t' || *p->p == '\r'))
		p->p++;
}

static int new_node(struct jparser *p, uint32_t *ret)
{
	struct json *j = p->j;

	if (j->n == j->cap) {
		size_t cap = MAX(j->cap * 2, (size_t)64);
		struct json_node *nodes;

		if (cap > NODES_MAX)
			return -ENOMEM;
		nodes = reallocarray(j->nodes, cap, sizeof(*nodes));
		if (!nodes)
			return -ENOMEM;
		j->nodes = nodes;
		j->cap = cap;
	}
	j->nodes[j->n] = (struct json_node){ 0 };
	*ret = (uint32_t)j->n++;
	return 0;
}

static int hex4(const uint8_t *p, uint32_t *ret)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return -EBADMSG;
	}
	*ret = v;
	return 0;
}

static void put_utf8(struct jparser *p, uint32_t c)
{
	if (c < 0x80) {
		*p->out++ = (uint8_t)c;
		return;
	}
	if (c < 0x800) {
		*p->out++ = (uint8_t)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*p->out++ = (uint8_t)(0xe0 | c >> 12);
		} else {
			*p->out++ = (uint8_t)(0xf0 | c >> 18);
			*p->out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		}
		*p->out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	}
	*p->out++ = (uint8_t)(0x80 | (c & 0x3f));
}

/* p->p stands behind the 'u'. */
static int parse_unicode(struct jparser *p)
{
	uint32_t c, low;

	if (p->end - p->p < 4 || hex4(p->p, &c) < 0)
		return -EBADMSG;
	p->p += 4;
	if (c >= 0xd800 && c < 0xdc00 && p->end - p->p >= 6 && p->p[0] == '\\' && p->p[1] == 'u' &&
	    hex4(p->p + 2, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
		p->p += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xd800 && c < 0xe000) {
		c = 0xfffd; /* half a pair */
	}
	put_utf8(p, c);
	return 0;
}

static int parse_string(struct jparser *p, struct slice *ret)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint8_t *start = p->out;

	if (p->p == p->end || *p->p++ != '"')
		return -EBADMSG;
	while (p->p < p->end && *p->p != '"') {
		uint8_t c = *p->p++;
		const char *hit;

		if (c < 0x20)
			return -EBADMSG;
		if (c != '\\') {
			*p->out++ = c;
			continue;
		}
		if (p->p == p->end)
			return -EBADMSG;
		c = *p->p++;
		hit = c ? strchr(from, c) : NULL;
		if (hit)
			*p->out++ = (uint8_t)to[hit - from];
		else if (c != 'u' || parse_unicode(p) < 0)
			return -EBADMSG;
	}
	if (p->p == p->end)
		return -EBADMSG;
	p->p++;
	*ret = slice_of(start, (size_t)(p->out - start));
	return 0;
}

static bool digit(const struct jparser *p)
{
	return p->p < p->end && *p->p >= '0' && *p->p <= '9';
}

/* The grammar's number; integers exactly, the rest as double. */
static int parse_number(struct jparser *p, struct json_node *n)
{
	const uint8_t *start = p->p;
	double v = 0;
	bool negative = *p->p == '-', real = false;
	int64_t exponent = 0, given = 0;

	if (negative)
		p->p++;
	if (!digit(p))
		return -EBADMSG;
	for (; digit(p); p->p++)
		v = v * 10 + (*p->p - '0');
	if (p->p < p->end && *p->p == '.') {
		real = true;
		for (p->p++; digit(p); p->p++, exponent--)
			v = v * 10 + (*p->p - '0');
	}
	if (p->p < p->end && (*p->p | 0x20) == 'e') {
		bool down = false;

		real = true;
		p->p++;
		if (p->p < p->end && (*p->p == '-' || *p->p == '+'))
			down = *p->p++ == '-';
		if (!digit(p))
			return -EBADMSG;
		for (; digit(p); p->p++)
			given = MIN(given * 10 + (*p->p - '0'), (int64_t)9999);
		exponent += down ? -given : given;
	}
	n->text = slice_of(start, (size_t)(p->p - start));
	n->kind = JSON_INT;
	if (!real && parse_i64(n->text, &n->i) == 0)
		return 0;
	n->kind = JSON_REAL;
	/* dividing by an exact power of ten rounds once: 0.1 stays 0.1 */
	v = exponent < 0 ? v / pow(10, (double)-exponent) : v * pow(10, (double)exponent);
	n->d = negative ? -v : v;
	return 0;
}

static int parse_children(struct jparser *p, uint32_t at, bool object)
{
	uint8_t close = object ? '}' : ']';
	uint32_t last = 0, child;
	int r;

	if (++p->depth > JSON_DEPTH_MAX)
		return -EBADMSG;
	p->p++;
	skip_space(p);
	if (p->p < p->end && *p->p == close) {
		p->p++;
		p->depth--;
		return 0;
	}
	for (;;) {
		r = new_node(p, &child);
		if (r < 0)
			return r;
		skip_space(p);
		if (object) {
			struct slice key;

			r = parse_string(p, &key);
			if (r < 0)
				return r;
			p->j->nodes[child].key = key;
			skip_space(p);
			if (p->p == p->end || *p->p++ != ':')
				return -EBADMSG;
		}
		r = parse_any(p, child);
		if (r < 0)
			return r;
		*(last ? &p->j->nodes[last].next : &p->j->nodes[at].child) = child;
		p->j->nodes[at].n++;
		last = child;
		skip_space(p);
		if (p->p == p->end || (*p->p != ',' && *p->p != close))
			return -EBADMSG;
		if (*p->p++ == close)
			break;
	}
	p->depth--;
	return 0;
}

static int parse_word(struct jparser *p, struct json_node *n)
{
	static const struct {
		const char *word;
		uint8_t kind;
		int64_t i;
	} words[] = { { "true", JSON_BOOL, 1 },
		      { "false", JSON_BOOL, 0 },
		      { "null", JSON_NULL, 0 } };

	for (size_t k = 0; k < ARRAY_SIZE(words); k++)
		if (slice_starts(slice_of(p->p, (size_t)(p->end - p->p)),
				 slice_str(words[k].word))) {
			n->kind = words[k].kind;
			n->i = words[k].i;
			p->p += strlen(words[k].word);
			return 0;
		}
	return -EBADMSG;
}

static int parse_any(struct jparser *p, uint32_t at)
{
	const uint8_t *start;
	int r;

	skip_space(p);
	if (p->p == p->end)
		return -EBADMSG;
	start = p->p;
	if (*p->p == '"') {
		struct slice text;

		r = parse_string(p, &text);
		p->j->nodes[at].kind = JSON_STRING;
		if (!r)
			p->j->nodes[at].text = text;
		return r;
	}
	if (*p->p == '{' || *p->p == '[') {
		bool object = *p->p == '{';

		r = parse_children(p, at, object);
		p->j->nodes[at].kind = object ? JSON_OBJECT : JSON_ARRAY;
		p->j->nodes[at].text = slice_of(start, (size_t)(p->p - start));
		return r;
	}
	if (*p->p == '-' || digit(p))
		return parse_number(p, &p->j->nodes[at]);
	return parse_word(p, &p->j->nodes[at]);
}

int json_parse(struct json *j, struct slice text)
{
	struct jparser p = { .j = j, .p = text.p, .end = text.p + text.n };
	uint32_t root;
	int r;

	if (text.n > JSON_TEXT_MAX)
		return -EBADMSG;
	j->n = 0;
	free(j->strings);
	j->strings = malloc(text.n + 1);
	if (!j->strings)
		return -ENOMEM;
	p.out = j->strings;
	r = new_node(&p, &root);
	if (!r)
		r = parse_any(&p, root);
	if (r < 0)
		return r;
	skip_space(&p);
	return p.p == p.end ? 0 : -EBADMSG;
}

void json_done(struct json *j)
{
	free(j->nodes);
	free(j->strings);
	*j = (struct json){ 0 };
}

const struct json_node *json_each(const struct json *j, const struct json_node *in,
				  const struct json_node *before)
{
	uint32_t at;

	if (!in || (in->kind != JSON_ARRAY && in->kind != JSON_OBJECT))
		return NULL;
	at = before ? before->next : in->child;
	return at ? &j->nodes[at] : NULL;
}

const struct json_node *json_get(const struct json *j, const struct json_node *at, const char *key)
{
	const struct json_node *n = NULL;

	if (!at || at->kind != JSON_OBJECT)
		return NULL;
	while ((n = json_each(j, at, n)))
		if (slice_eq_str(n->key, key))
			return n;
	return NULL;
}

struct slice json_text(const struct json_node *n)
{
	return n && n->kind == JSON_STRING ? n->text : slice_of("", 0);
}

int64_t json_int(const struct json_node *n, int64_t fallback)
{
	return n && (n->kind == JSON_INT || n->kind == JSON_BOOL) ? n->i : fallback;
}

bool json_true(const struct json_node *n)
{
	return n && (n->kind == JSON_BOOL || n->kind == JSON_INT) && n->i;
}

void json_add_string(struct strbuf *out, struct slice s)
{
	static const char named[32] = { ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't' };

	strbuf_addch(out, '"');
	while (s.n) {
		struct screen_char c = screen_next(s);

		if (c.invalid)
			strbuf_addf(out, "\\\\x%02x", c.code);
		else if (c.code == '"' || c.code == '\\')
			strbuf_addf(out, "\\%c", (char)c.code);
		else if (c.code < 0x20 && named[c.code])
			strbuf_addf(out, "\\%c", named[c.code]);
		else if (c.columns >= 0)
			strbuf_add(out, s.p, c.n);
		else if (c.code < 0x10000)
			strbuf_addf(out, "\\u%04x", c.code);
		else
			strbuf_addf(out, "\\u%04x\\u%04x", 0xd800 + ((c.code - 0x10000) >> 10),
				    0xdc00 + ((c.code - 0x10000) & 0x3ff));
		s = slice_from(s, c.n);
	}
	strbuf_addch(out, '"');
}

void json_add_node(struct strbuf *out, const struct json *j, const struct json_node *n)
{
	const struct json_node *child = NULL;
	bool first = true;

	switch ((enum json_kind)n->kind) {
	case JSON_NULL:
		strbuf_adds(out, "null");
		break;
	case JSON_BOOL:
		strbuf_adds(out, n->i ? "true" : "false");
		break;
	case JSON_INT:
	case JSON_REAL:
		strbuf_add(out, n->text.p, n->text.n);
		break;
	case JSON_STRING:
		json_add_string(out, n->text);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		strbuf_addch(out, n->kind == JSON_ARRAY ? '[' : '{');
		while ((child = json_each(j, n, child))) {
			if (!first)
				strbuf_addch(out, ',');
			first = false;
			if (n->kind == JSON_OBJECT) {
				json_add_string(out, child->key);
				strbuf_addch(out, ':');
			}
			json_add_node(out, j, child);
		}
		strbuf_addch(out, n->kind == JSON_ARRAY ? ']' : '}');
		break;
	}
}

#include "base/strbuf.h"

#include "base/text.h"

#include <stdio.h>

void strbuf_init(struct strbuf *b, size_t max)
{
	*b = (struct strbuf)STRBUF_INIT(max);
}

void strbuf_done(struct strbuf *b)
{
	free(b->p);
	*b = (struct strbuf)STRBUF_INIT(b->max);
}

void strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = 0;
}

void *strbuf_reserve(struct strbuf *b, size_t n)
{
	size_t need, cap;
	char *p;

	if (b->failed || ckd_add(&need, b->len, n) || need > b->max) {
		b->failed = true;
		return NULL;
	}
	if (need < b->cap)
		return b->p + b->len;
	cap = MIN(MAX(need + 1, MAX(b->cap * 2, (size_t)64)), b->max + 1);
	p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return p + b->len;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
	void *to = strbuf_reserve(b, n);

	if (!to)
		return;
	if (n)
		memcpy(to, p, n);
	b->len += n;
	b->p[b->len] = 0;
}

void strbuf_addch(struct strbuf *b, char c)
{
	if (!b->failed && b->len + 1 < b->cap && b->len < b->max) {
		b->p[b->len++] = c;
		b->p[b->len] = 0;
	} else {
		strbuf_add(b, &c, 1);
	}
}

void strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;
	char *to;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		b->failed = true;
		return;
	}
	to = strbuf_reserve(b, (size_t)n);
	if (!to)
		return;
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(b, fmt, ap);
	va_end(ap);
}

char *strbuf_take(struct strbuf *b)
{
	char *p;

	if (!b->p && !b->failed)
		strbuf_add(b, "", 0);
	if (b->failed) {
		strbuf_done(b);
		return NULL;
	}
	p = b->p;
	b->p = NULL;
	strbuf_done(b);
	return p;
}

/* Bytes that stand for themselves in a JSON string. */
static const bool plain[256] = {
	[' ' ... '!'] = true,
	['#' ... '['] = true,
	[']' ... '~'] = true,
};

/* Length of the run at the start of s that needs no escape. */
static size_t plain_run(struct slice s)
{
	size_t i = 0;

	while (i < s.n && plain[s.p[i]])
		i++;
	return i;
}

static void add_escaped(struct strbuf *b, uint8_t c)
{
	switch (c) {
	case '"':
	case '\\':
		strbuf_addf(b, "\\%c", c);
		break;
	case '\n':
		strbuf_adds(b, "\\n");
		break;
	case '\t':
		strbuf_adds(b, "\\t");
		break;
	case '\r':
		strbuf_adds(b, "\\r");
		break;
	default:
		strbuf_addf(b, "\\u%04x", c);
	}
}

void strbuf_add_json(struct strbuf *b, struct slice s)
{
	strbuf_addch(b, '"');
	while (s.n) {
		size_t n = plain_run(s), len;

		strbuf_add(b, s.p, n);
		s = slice_from(s, n);
		if (!s.n)
			break;
		len = utf8_len(s);
		if (len == 0)
			strbuf_addf(b, "\\\\x%02x", s.p[0]);
		else if (len == 1)
			add_escaped(b, s.p[0]);
		else
			strbuf_add(b, s.p, len);
		s = slice_from(s, len ? len : 1);
	}
	strbuf_addch(b, '"');
}

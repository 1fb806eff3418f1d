#include "base/sql_trace.h"

#define KEY SLICE_LIT("traceparent")

/* Takes the bytes up to the first `end` from *s, and that. What there is when there is none. */
static struct slice take_until(struct slice *s, uint8_t end)
{
	size_t n = slice_find(*s, end);
	struct slice head = slice_head(*s, n);

	*s = slice_from(*s, n + 1);
	return head;
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' '))
		s = slice_from(s, 1);
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t decode(struct slice s, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++, n++) {
		int hi = -1, lo = -1;

		if (n == SQL_TRACEPARENT_MAX)
			return 0;
		if (s.p[i] == '%' && s.n - i > 2) {
			hi = hex(s.p[i + 1]);
			lo = hex(s.p[i + 2]);
		}
		if (hi >= 0 && lo >= 0)
			i += 2;
		out[n] = (char)(hi >= 0 && lo >= 0 ? hi * 16 + lo : s.p[i]);
	}
	return n;
}

/* Takes 'value' from *s, which then stands behind it. Empty when none is there, or its end is not. */
static struct slice take_value(struct slice *s)
{
	struct slice value;

	if (s->n == 0 || s->p[0] != '\'')
		return slice_of(s->p, 0);
	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '\\') {
			i++;
		} else if (s->p[i] == '\'') {
			value = slice_of(s->p + 1, i - 1);
			*s = slice_from(*s, i + 1);
			return value;
		}
	}
	return slice_of(s->p, 0);
}

/* s: the pairs of one comment, without the mark before them. */
static size_t read_pairs(struct slice s, char *out)
{
	while (s.n > 0) {
		struct slice key = trim(take_until(&s, '='));
		struct slice value = take_value(&s);

		if (slice_eq(key, KEY) && value.n > 0)
			return decode(value, out);
		(void)take_until(&s, ',');
	}
	return 0;
}

size_t sql_traceparent(struct slice sql, enum sql_dialect dialect, char *out)
{
	struct sql_lexer l;
	struct sql_token t;
	size_t n;

	if (sql.n < KEY.n || !memmem(sql.p, sql.n, KEY.p, KEY.n))
		return 0;
	sql_lex_init(&l, dialect, true);
	while ((t = sql_lex(&l, &sql)).kind != SQL_END) {
		if (t.kind != SQL_COMMENT || !slice_starts(t.text, SLICE_LIT("/*")))
			continue;
		n = read_pairs(slice_of(t.text.p + 2, t.text.n - 2), out);
		if (n > 0)
			return n;
	}
	return 0;
}

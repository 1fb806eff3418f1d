#include "csv.h"

#include <string.h>

/* Returns the bytes of a quoted field with its quotes. */
static size_t read_quoted(const char *s, size_t n, struct csv_field *f)
{
	size_t i = 1;

	while (i < n) {
		if (s[i] != '"')
			i++;
		else if (i + 1 < n && s[i + 1] == '"')
			i += 2;
		else
			break;
	}
	*f = (struct csv_field){ .s = s + 1, .n = i - 1, .quoted = true };
	return i < n ? i + 1 : n;
}

static size_t read_plain(const char *s, size_t n, struct csv_field *f)
{
	size_t i = 0;

	while (i < n && s[i] != ',' && s[i] != '\n' && s[i] != '\r')
		i++;
	*f = (struct csv_field){ .s = s, .n = i };
	return i;
}

size_t csv_next(const char *text, size_t n, struct csv_record *ret)
{
	size_t at = 0;

	ret->n = 0;
	if (n == 0)
		return 0;
	for (;;) {
		struct csv_field *f;

		if (ret->n == CSV_FIELDS_MAX)
			return 0;
		f = &ret->field[ret->n++];
		if (at < n && text[at] == '"')
			at += read_quoted(text + at, n - at, f);
		else
			at += read_plain(text + at, n - at, f);
		if (at >= n || text[at] != ',')
			break;
		at++;
	}
	if (at < n && text[at] == '\r')
		at++;
	if (at < n && text[at] == '\n')
		at++;
	return at;
}

int csv_column(const struct csv_record *header, const char *name)
{
	for (size_t i = 0; i < header->n; i++)
		if (header->field[i].n == strlen(name) &&
		    memcmp(header->field[i].s, name, header->field[i].n) == 0)
			return (int)i;
	return -1;
}

/* The next character of a field; -1 at its end. */
static int next_char(const struct csv_field *f, size_t *at)
{
	int c;

	if (*at >= f->n)
		return -1;
	c = (unsigned char)f->s[*at];
	*at += f->quoted && c == '"' ? 2 : 1;
	return c;
}

bool csv_equal(const struct csv_field *a, const struct csv_field *b)
{
	size_t i = 0, j = 0;
	int c, d;

	if (!a->quoted && !b->quoted)
		return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
	do {
		c = next_char(a, &i);
		d = next_char(b, &j);
	} while (c == d && c >= 0);
	return c == d;
}

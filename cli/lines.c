#include "cli/lines.h"

#include "base/util.h"

#include <errno.h>

struct slice line_next(struct slice *rest)
{
	struct slice line = slice_head(*rest, slice_find(*rest, '\n'));

	*rest = slice_from(*rest, MIN(line.n + 1, rest->n));
	return line;
}

struct slice line_nth(struct slice text, size_t n)
{
	struct slice line = line_next(&text);

	while (n-- && text.n)
		line = line_next(&text);
	return line;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool has_word(struct slice line, struct slice word)
{
	for (size_t i = 0; i + word.n <= line.n; i++) {
		size_t k = 0;

		while (k < word.n && lower(line.p[i + k]) == lower(word.p[k]))
			k++;
		if (k == word.n)
			return true;
	}
	return false;
}

bool line_has_words(struct slice line, struct slice words)
{
	while (words.n) {
		struct slice word = slice_head(words, slice_find(words, ' '));

		if (!has_word(line, word))
			return false;
		words = slice_from(words, MIN(word.n + 1, words.n));
	}
	return true;
}

int line_split_end(struct line_split *s)
{
	struct slice line = strbuf_slice(&s->line);

	if (line.n && line.p[line.n - 1] == '\r')
		line = slice_head(line, line.n - 1);
	if (line.n && !s->status)
		s->status = s->fn(s->ctx, line);
	strbuf_reset(&s->line);
	return s->status;
}

int line_split_add(struct line_split *s, struct slice bytes)
{
	while (bytes.n && !s->status) {
		size_t end = slice_find(bytes, '\n');

		strbuf_add(&s->line, bytes.p, end);
		if (s->line.failed)
			s->status = -EMSGSIZE;
		if (s->line.failed || end == bytes.n)
			break;
		line_split_end(s);
		bytes = slice_from(bytes, end + 1);
	}
	return s->status;
}

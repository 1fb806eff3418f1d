#include "cli/lines.h"

#include "base/util.h"

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

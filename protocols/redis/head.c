#include "protocols/redis/head.h"

#include "base/util.h"

static enum resp_got word_of_array(struct slice *from, size_t max, struct slice *ret)
{
	enum resp_got got = RESP_MORE;
	int64_t len = 0;
	size_t n = 0;

	*ret = (struct slice){ 0 };
	if (from->n > 0)
		got = from->p[0] == '$' ? resp_number(*from, &len, &n) : RESP_BAD;
	if (got != RESP_OK)
		return got;
	if (len < 0)
		return RESP_BAD;
	if ((uint64_t)len > max)
		return RESP_OK;
	got = resp_bulk(*from, max, ret, &n);
	if (got == RESP_OK)
		*from = slice_from(*from, n);
	return got;
}

static enum resp_got word_of_line(struct slice *from, size_t max, struct slice *ret)
{
	size_t n, quoted;

	while (from->n > 0 && (from->p[0] == ' ' || from->p[0] == '\t'))
		*from = slice_from(*from, 1);
	quoted = from->n > 0 && (from->p[0] == '"' || from->p[0] == '\'');
	if (quoted) {
		uint8_t quote = from->p[0];

		for (n = 1; n < from->n && from->p[n] != quote; n++)
			n += from->p[n] == '\\';
		n = MIN(n, from->n);
	} else {
		for (n = 0; n < from->n && from->p[n] != ' ' && from->p[n] != '\t'; n++)
			;
	}
	*ret = slice_of(from->p + quoted, n - quoted);
	*from = slice_from(*from, n + quoted);
	if (ret->n > max)
		ret->n = 0;
	return RESP_OK;
}

const struct words array_words = { word_of_array }, line_words = { word_of_line };

/* Only names that are known are shown: what is typed at a prompt may be anything. */
static bool is_module_name(struct slice s)
{
	size_t dot = slice_find(s, '.');

	if (dot == 0 || dot + 1 >= s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 'A' || s.p[i] > 'Z') && s.p[i] != '.' && s.p[i] != '_')
			return false;
	return true;
}

/* The second word of a container's command. */
static enum resp_got read_subcommand(struct head *h, struct slice from, const struct words *words)
{
	const struct command *c;
	struct slice word;
	enum resp_got got = words->next(&from, REDIS_NAME_MAX, &word);
	size_t n = h->name_n;

	if (got != RESP_OK || !resp_word(word, REDIS_NAME_MAX, h->name + n + 1))
		return got;
	h->name[n] = ' ';
	c = command_find(slice_of(h->name, n + 1 + word.n));
	if (!c)
		return RESP_OK;
	h->command = c;
	h->class = (enum command_class)c->class;
	h->name_n = n + 1 + word.n;
	h->used = 2;
	return RESP_OK;
}

/* What the class needs of the argument behind the name. */
static enum resp_got read_class(struct head *h, struct slice from, const struct words *words)
{
	struct slice word = { 0 };
	enum resp_got got;

	if (h->class >= CLASS_SUBSCRIBE && h->class <= CLASS_SUNSUBSCRIBE)
		h->arg = h->words - 1;
	if ((h->class != CLASS_SELECT && h->class != CLASS_REPLY) || h->words <= h->used)
		return RESP_OK;
	got = words->next(&from, COUNT_DIGITS, &word);
	if (got != RESP_OK)
		return got;
	if (h->class == CLASS_SELECT) {
		if (!resp_count(word, &h->arg))
			h->class = CLASS_PLAIN; /* it will be refused */
		return RESP_OK;
	}
	h->reply = slice_eq_nocase(word, SLICE_LIT("ON"))     ? REPLY_ON
		   : slice_eq_nocase(word, SLICE_LIT("OFF"))  ? REPLY_OFF
		   : slice_eq_nocase(word, SLICE_LIT("SKIP")) ? REPLY_SKIP
							      : REPLY_AS_BEFORE;
	return RESP_OK;
}

enum resp_got head_read(struct head *h, struct slice *from, const struct words *words)
{
	struct slice word, behind;
	enum resp_got got = words->next(from, REDIS_NAME_MAX, &word);

	if (got != RESP_OK)
		return got;
	h->used = word.p != NULL;
	if (!resp_word(word, REDIS_NAME_MAX, h->name))
		return RESP_OK;
	h->command = command_find(slice_of(h->name, word.n));
	if (!h->command) {
		h->name_n = is_module_name(slice_of(h->name, word.n)) ? word.n : 0;
		return RESP_OK;
	}
	h->name_n = word.n;
	h->class = (enum command_class)h->command->class;
	behind = *from;
	if ((h->command->flags & COMMAND_CONTAINER) && h->words > 1) {
		got = read_subcommand(h, behind, words);
		if (got != RESP_OK)
			return got;
		if (h->used == 2)
			(void)words->next(from, REDIS_NAME_MAX, &word);
	}
	return read_class(h, *from, words);
}

uint32_t count_words(struct slice line)
{
	struct slice word;
	uint32_t n = 0;

	while (n < INLINE_WORDS) {
		(void)word_of_line(&line, SIZE_MAX, &word);
		if (word.n == 0 && line.n == 0)
			break;
		n++;
	}
	return n;
}

/* What a server quotes in its messages, in any of the languages that it speaks. It does not escape quotes within, so where a quoted datum
 * ends cannot be told: everything from its first quote on goes, but for an end of the message that is
 * the server's own (tails[], named_tails[]). What stands in front of the first datum is the server's
 * text; there a name is kept whose kind the server says (kinds[]). */
#include "protocols/redact.h"
#include "protocols/secrets.h"
#include "base/util.h"

#define NAME_BYTES     64  /* of a name that is kept */
#define TAIL_MAX       256 /* bytes of a message's end that are looked at */
#define UNCUT_BYTES    512 /* MySQL and MariaDB have no longer messages */
#define TAIL_DIGITS    6   /* of a line's or row's number */
#define CONTRACTED_MAX 2   /* letters behind the apostrophe of can't, it's, we'll */

/* The word before a name. */
static const char *const kinds[] = {
	"relation",  "column", "table", "constraint", "function",  "role",    "database",
	"schema",    "index",  "type",	"sequence",   "view",	   "trigger", "reference",
	"extension", "field",  "key",	"cursor",     "statement", "portal",
};

/* Ends of messages behind a quoted datum. '#' stands for a number. */
static const char *const tails[] = {
	" at line #",
	" at row #",
	" at end of input",
	" bytes",
	" command",
	" does not exist",
	" already exists",
	" doesn't exist",
	" not recognized",
	" is out of range for type integer",
	" is out of range for type bigint",
	" is out of range for type smallint",
};

/* The same with a name in it, of messages whose data are so short that they are never cut off: else what
 * looks like their end could be part of a datum. */
static const struct {
	const char *head, *before, *behind;
} named_tails[] = {
	{ "Duplicate entry '", "' for key ", "" },
	{ "Incorrect ", "' for column ", " at row #" },
};

static bool is_letter(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_quote(uint8_t c)
{
	return c == '\'' || c == '"' || c == '`';
}

/* What other languages put in front of what they quote, in UTF-8: «, », „, “, ‚, ‘, ‹, ›, 「, 『, 《, 〈, ＂.
 * Not ’, an apostrophe. */
static const char *const foreign_quotes[] = {
	"\xc2\xab",	"\xc2\xbb",	"\xe2\x80\x9e", "\xe2\x80\x9c", "\xe2\x80\x9a",
	"\xe2\x80\x98", "\xe2\x80\xb9", "\xe2\x80\xba", "\xe3\x80\x8c", "\xe3\x80\x8e",
	"\xe3\x80\x8a", "\xe3\x80\x88", "\xef\xbc\x82",
};

/* Whether a quote of another language stands at i. In Latin-1 « and » are one byte, with ASCII before. */
static bool is_foreign_quote(struct slice s, size_t i)
{
	if (s.p[i] < 0x80)
		return false;
	for (size_t k = 0; k < ARRAY_SIZE(foreign_quotes); k++)
		if (slice_starts(slice_from(s, i), slice_str(foreign_quotes[k])))
			return true;
	return (s.p[i] == 0xab || s.p[i] == 0xbb) && (i == 0 || s.p[i - 1] < 0x80);
}

/* Whether the end of s is `pattern`; *ret_n: what is in front of it. */
static bool ends_as(struct slice s, const char *pattern, size_t *ret_n)
{
	size_t n = s.n, digits;

	for (size_t i = strlen(pattern); i-- > 0;) {
		if (pattern[i] != '#') {
			if (n == 0 || s.p[n - 1] != (uint8_t)pattern[i])
				return false;
			n--;
			continue;
		}
		for (digits = 0; n > 0 && digits < TAIL_DIGITS && is_digit(s.p[n - 1]); digits++)
			n--;
		if (digits == 0)
			return false;
	}
	*ret_n = n;
	return true;
}

/* The bytes of the name between quotes that s begins with, with its quotes; 0: is none. */
static size_t name_len(struct slice s)
{
	size_t n = 1;

	while (n < s.n && n <= NAME_BYTES &&
	       (is_letter(s.p[n]) || s.p[n] == '_' ||
		(n > 1 && (is_digit(s.p[n]) || memchr(".$-", s.p[n], 3)))))
		n++;
	return n > 1 && n < s.n && s.p[n] == s.p[0] ? n + 1 : 0;
}

/* Names joined by dots. */
static size_t names_len(struct slice s)
{
	size_t n = 0, one;

	while (n < s.n && is_quote(s.p[n])) {
		one = name_len(slice_from(s, n));
		if (one == 0)
			return 0;
		n += one;
		if (n + 1 >= s.n || s.p[n] != '.')
			break;
		n++;
	}
	return n;
}

/* The end of a message that begins and ends as one of named_tails[]: bytes of it, 0: it does not. */
static size_t named_tail(struct slice s)
{
	for (size_t i = 0; i < ARRAY_SIZE(named_tails) && s.n < UNCUT_BYTES; i++) {
		struct slice before = slice_str(named_tails[i].before);
		size_t end, from;

		if (!slice_starts(s, slice_str(named_tails[i].head)) ||
		    !ends_as(s, named_tails[i].behind, &end))
			continue;
		from = end > TAIL_MAX ? end - TAIL_MAX : 0;
		for (size_t at = end; at-- > from;) {
			struct slice here = slice_of(s.p + at, end - at);
			struct slice names = slice_from(here, before.n);

			if (slice_starts(here, before))
				return names.n && names_len(names) == names.n ? s.n - at - 1 : 0;
		}
	}
	return 0;
}

/* How much of the end of s is the server's; s begins with the quote of a datum. */
static size_t tail_len(struct slice message, struct slice s)
{
	size_t n = named_tail(message), last = s.n, at;

	if (n > 0 && n < s.n)
		return n;
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++)
		if (ends_as(s, tails[i], &at) && at > 1 && s.p[at - 1] == s.p[0])
			return s.n - at;
	while (last > 0 && memchr(")].,; ", s.p[last - 1], 6))
		last--;
	return last > 1 && is_quote(s.p[last - 1]) ? s.n - last : 0;
}

/* can't, it's, we'll */
static bool is_contraction(struct slice s, size_t i)
{
	size_t n = 0;

	if (s.p[i] != '\'' || i == 0 || !is_letter(s.p[i - 1]))
		return false;
	while (i + 1 + n < s.n && n <= CONTRACTED_MAX && is_letter(s.p[i + 1 + n]))
		n++;
	return n > 0 && n <= CONTRACTED_MAX && i + 1 + n < s.n && memchr(" .,", s.p[i + 1 + n], 3);
}

/* Whether a name of a certain kind may stand behind this text. */
static bool says_kind(struct slice before)
{
	size_t end = before.n, from;
	struct slice word;

	if (end == 0 || before.p[end - 1] != ' ')
		return false;
	for (from = --end; from > 0 && is_letter(before.p[from - 1]) && end - from < NAME_BYTES;)
		from--;
	word = slice_of(before.p + from, end - from);
	if (from > 0 && before.p[from - 1] != ' ')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (slice_eq_nocase(word, slice_str(kinds[i])))
			return true;
	return false;
}

/* The bytes of what is quoted at i when it is certainly no datum, else 0. */
static size_t kept_name(struct slice s, size_t i)
{
	size_t n = says_kind(slice_head(s, i)) ? name_len(slice_from(s, i)) : 0;

	return n && (i + n == s.n || memchr(" .,:;)", s.p[i + n], 6)) ? n : 0;
}

/* Where the first datum begins: its quote, or the parenthesis of (column)=(value). */
static size_t datum_at(struct slice s)
{
	size_t n;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '(' && i > 0 && s.p[i - 1] == '=')
			return i;
		if (is_foreign_quote(s, i))
			return i;
		if (!is_quote(s.p[i]) || is_contraction(s, i))
			continue;
		n = kept_name(s, i);
		if (n == 0)
			return i;
		i += n - 1;
	}
	return s.n;
}

/* What PostgreSQL says behind a key's value. */
static size_t key_tail_len(struct slice s)
{
	static const char *const ends[] = { " already exists.", " already exists" };
	size_t at;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (ends_as(s, ends[i], &at) && at > 1 && s.p[at - 1] == ')')
			return s.n - at;
	return 0;
}

struct slice redact_error(struct slice s, void *buf, size_t cap)
{
	struct secret_out out = { .p = buf, .cap = cap };
	size_t at = datum_at(s), tail;
	struct slice datum = slice_from(s, at);

	if (at == s.n)
		return redact_text(s, buf, cap);
	secret_put_masked(&out, slice_head(s, at), SECRET_IN_TEXT);
	if (s.p[at] == '(') {
		secret_put(&out, SLICE_LIT("(?)"));
		tail = key_tail_len(datum);
	} else {
		secret_put(&out, SLICE_LIT("'?'"));
		tail = tail_len(s, datum);
	}
	secret_put_masked(&out, slice_from(s, s.n - tail), SECRET_IN_TEXT);
	return slice_of(buf, out.n);
}

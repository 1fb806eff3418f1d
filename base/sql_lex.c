#include "base/sql_lex.h"
#include "base/util.h"

/* What differs between the dialects. */
static const struct {
	bool mysql;
	bool backslash; /* escapes in any string */
} rules[] = {
	[SQL_ANSI] = { false, false },
	[SQL_MYSQL] = { true, true },
	[SQL_ANSI_BACKSLASH] = { false, true },
	[SQL_MYSQL_NO_BACKSLASH] = { true, false },
};

enum class { C_PUNCT, C_SPACE, C_LETTER, C_DIGIT, C_DOLLAR, C_QUOTE, C_MARK, C_DOT, C_PARAM };

static const uint8_t classes[256] = {
	['\t' ... '\r'] = C_SPACE,
	[' '] = C_SPACE,
	['"'] = C_QUOTE,
	['\''] = C_QUOTE,
	['`'] = C_QUOTE,
	['#'] = C_MARK,
	['-'] = C_MARK,
	['/'] = C_MARK,
	['*'] = C_MARK,
	['$'] = C_DOLLAR,
	['.'] = C_DOT,
	['?'] = C_PARAM,
	['_'] = C_LETTER,
	['0' ... '9'] = C_DIGIT,
	['A' ... 'Z'] = C_LETTER,
	['a' ... 'z'] = C_LETTER,
	[0x80 ... 0xff] = C_LETTER,
};

/* MODE_START: between tokens. */
enum mode {
	MODE_START,
	MODE_SPACE,
	MODE_WORD,
	MODE_NUMBER,
	MODE_QUOTED,
	MODE_TAG,
	MODE_BODY,
	MODE_PARAM,
	MODE_LINE, /* this and the next ones are comments */
	MODE_BLOCK,
	MODE_VERSION,
};

enum { IN_QUOTES, BEHIND_BACKSLASH, BEHIND_QUOTE }; /* l->part of MODE_QUOTED */
enum { IN_BODY, IN_TAG };			    /* of MODE_BODY */
enum { NOT_JOINED, MAY_JOIN, JOINED };		    /* l->joined: MAY_JOIN until a new line came */

#define FNV_START 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

#define VERSION_DIGITS 6 /* at the start of a version comment; MySQL reads 5 or 6 */

bool sql_is_mysql(enum sql_dialect dialect)
{
	return rules[dialect].mysql;
}

void sql_lex_init(struct sql_lexer *l, enum sql_dialect dialect, bool whole)
{
	*l = (struct sql_lexer){ .dialect = (uint8_t)dialect, .whole = whole };
}

static bool is_mysql(const struct sql_lexer *l)
{
	return rules[l->dialect].mysql;
}

static bool is_word(uint8_t c)
{
	return classes[c] == C_LETTER || classes[c] == C_DIGIT;
}

static uint64_t fnv(uint64_t h, uint8_t c)
{
	return (h ^ c) * FNV_PRIME;
}

static size_t enter(struct sql_lexer *l, enum mode mode, enum sql_kind kind, size_t n)
{
	l->mode = (uint8_t)mode;
	l->kind = (uint8_t)kind;
	l->part = 0;
	return n;
}

static size_t run_space(struct sql_lexer *l, struct slice s)
{
	size_t n = 0;

	while (n < s.n && classes[s.p[n]] == C_SPACE) {
		if (l->joined == MAY_JOIN && (s.p[n] == '\n' || s.p[n] == '\r'))
			l->joined = JOINED;
		n++;
	}
	if (n < s.n)
		l->mode = MODE_START;
	return n;
}

static size_t run_quoted(struct sql_lexer *l, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (l->part == BEHIND_QUOTE && c != l->quote) {
			l->mode = MODE_START;
			l->joined = l->escapes && !is_mysql(l) ? MAY_JOIN : NOT_JOINED;
			return i;
		}
		if (l->part != IN_QUOTES)
			l->part = IN_QUOTES;
		else if (c == l->quote)
			l->part = BEHIND_QUOTE;
		else if (c == '\\' && l->escapes)
			l->part = BEHIND_BACKSLASH;
	}
	return s.n;
}

/* s: from the opening quote on. */
static size_t open_quoted(struct sql_lexer *l, struct slice s, bool escapes)
{
	bool name = s.p[0] == '`' || (s.p[0] == '"' && !is_mysql(l));

	l->quote = s.p[0];
	l->escapes = !name && escapes;
	return enter(l, MODE_QUOTED, name ? SQL_NAME : SQL_STRING, 1) +
	       run_quoted(l, slice_from(s, 1));
}

/* How many bytes behind a word belong to the literal that it is the prefix of: the quote of E'..'
 * B'..' X'..' N'..' _utf8'..', with the & of U&'..'. 0: it is no prefix. */
static size_t prefix_len(const struct sql_lexer *l, struct slice s)
{
	uint8_t c = l->first | 0x20;

	if (is_mysql(l) && l->first == '_')
		return s.p[0] == '\'' || s.p[0] == '"';
	if (l->length != 1)
		return 0;
	if (c == 'u' && !is_mysql(l))
		return slice_starts(s, SLICE_LIT("&'")) ? 2 : 0;
	return s.p[0] == '\'' && (c == 'b' || c == 'x' || c == 'n' || (c == 'e' && !is_mysql(l)));
}

static size_t run_word(struct sql_lexer *l, struct slice s)
{
	bool escapes = rules[l->dialect].backslash || (!is_mysql(l) && (l->first | 0x20) == 'e');
	size_t n = 0, more;

	while (n < s.n && (is_word(s.p[n]) || s.p[n] == '$'))
		n++;
	l->length = (uint8_t)MIN(l->length + n, (size_t)UINT8_MAX);
	if (n == s.n)
		return n;
	l->mode = MODE_START;
	more = prefix_len(l, slice_from(s, n));
	if (more == 0)
		return n;
	n += more - 1;
	return n + open_quoted(l, slice_from(s, n), escapes);
}

/* Hexadecimal, exponents and what is glued to the digits too. */
static size_t run_number(struct sql_lexer *l, struct slice s)
{
	bool hex = s.n > 1 && (s.p[1] | 0x20) == 'x';
	size_t n = 0;

	for (; n < s.n; n++) {
		if (is_word(s.p[n]) || s.p[n] == '.')
			continue;
		if (hex || n == 0 || n + 1 == s.n || (s.p[n - 1] | 0x20) != 'e' ||
		    (s.p[n] != '+' && s.p[n] != '-') || classes[s.p[n + 1]] != C_DIGIT)
			break;
	}
	if (n < s.n)
		l->mode = MODE_START;
	return n;
}

/* Tags of any length are told apart by their hash. */
static size_t run_body(struct sql_lexer *l, struct slice s)
{
	size_t n = 0;

	while (n < s.n) {
		uint8_t c;

		if (l->part == IN_BODY) {
			n += slice_find(slice_from(s, n), '$');
			if (n == s.n)
				break;
			l->part = IN_TAG;
			l->seen = FNV_START;
			n++;
			continue;
		}
		c = s.p[n++];
		if (c == '$' && l->seen == l->tag)
			return enter(l, MODE_START, SQL_STRING, n);
		l->seen = c == '$' ? FNV_START : fnv(l->seen, c);
		if (c != '$' && !is_word(c))
			l->part = IN_BODY;
	}
	return s.n;
}

static size_t run_digits(struct sql_lexer *l, struct slice s)
{
	size_t n = 0;

	while (n < s.n && classes[s.p[n]] == C_DIGIT)
		n++;
	if (n < s.n)
		l->mode = MODE_START;
	return n;
}

/* Behind the $ of $1, $tag$ or a $ that is neither. */
static size_t run_tag(struct sql_lexer *l, struct slice s)
{
	for (size_t n = 0; n < s.n; n++) {
		uint8_t c = s.p[n];

		if (c == '$') {
			l->tag = l->seen;
			enter(l, MODE_BODY, SQL_STRING, 0);
			return n + 1 + run_body(l, slice_from(s, n + 1));
		}
		if (l->length == 0 && classes[c] == C_DIGIT) {
			enter(l, MODE_PARAM, SQL_PARAM, 0);
			return n + run_digits(l, slice_from(s, n));
		}
		if (!is_word(c)) { /* a $ that stands alone, or before a word */
			enter(l, MODE_WORD, l->length ? SQL_WORD : SQL_PUNCT, 0);
			return n + run_word(l, slice_from(s, n));
		}
		if (l->length == 0)
			l->first = c;
		l->length = (uint8_t)MIN(l->length + 1, UINT8_MAX);
		l->seen = fnv(l->seen, c);
	}
	return s.n;
}

static size_t run_version(struct sql_lexer *l, struct slice s)
{
	size_t n = 0;

	while (n < s.n && classes[s.p[n]] == C_DIGIT && l->part < VERSION_DIGITS) {
		l->part++;
		n++;
	}
	if (n < s.n)
		l->mode = MODE_START;
	return n;
}

/* The new line is not part of it. */
static size_t run_line(struct sql_lexer *l, struct slice s)
{
	size_t n = slice_find(s, '\n');

	if (!is_mysql(l))
		n = slice_find(slice_head(s, n), '\r');
	if (n < s.n)
		l->mode = MODE_START;
	return n;
}

static size_t run_block(struct sql_lexer *l, struct slice s)
{
	for (size_t n = 0; n < s.n; n++) {
		uint8_t c = s.p[n], before = l->part;

		l->part = 0;
		if (before == '*' && c == '/') {
			if (l->depth <= 1)
				return enter(l, MODE_START, SQL_COMMENT, n + 1);
			l->depth--;
		} else if (before == '/' && c == '*' && !is_mysql(l)) {
			l->depth++;
		} else {
			l->part = c == '*' || c == '/' ? c : 0;
		}
	}
	return s.n;
}

static size_t (*const runs[])(struct sql_lexer *, struct slice) = {
	[MODE_SPACE] = run_space,     [MODE_WORD] = run_word, [MODE_NUMBER] = run_number,
	[MODE_QUOTED] = run_quoted,   [MODE_TAG] = run_tag,   [MODE_BODY] = run_body,
	[MODE_PARAM] = run_digits,    [MODE_LINE] = run_line, [MODE_BLOCK] = run_block,
	[MODE_VERSION] = run_version,
};

/* Whether -- begins a comment; MySQL wants white space, a control character or the end behind it. */
static size_t mark_dash(struct sql_lexer *l, struct slice s)
{
	if (s.n < 2 && !l->whole)
		return 0;
	if (s.n < 2 || s.p[1] != '-')
		return enter(l, MODE_START, SQL_PUNCT, 1);
	if (is_mysql(l)) {
		if (s.n < 3 && !l->whole)
			return 0;
		if (s.n >= 3 && s.p[2] > ' ' && s.p[2] != 0x7f)
			return enter(l, MODE_START, SQL_PUNCT, 1);
	}
	return enter(l, MODE_LINE, SQL_COMMENT, 2);
}

/* A comment, or the beginning of a version comment: those of MySQL with !, of MariaDB with M! too. */
static size_t mark_slash(struct sql_lexer *l, struct slice s)
{
	size_t bang = s.n > 2 && s.p[2] == 'M' ? 3 : 2;

	if (s.n < 2 && !l->whole)
		return 0;
	if (s.n < 2 || s.p[1] != '*')
		return enter(l, MODE_START, SQL_PUNCT, 1);
	if (is_mysql(l)) {
		if (s.n <= bang && !l->whole)
			return 0;
		if (s.n > bang && s.p[bang] == '!') {
			l->coded = true;
			return enter(l, MODE_VERSION, SQL_COMMENT, bang + 1);
		}
	}
	l->depth = 1;
	l->joined = NOT_JOINED;
	return enter(l, MODE_BLOCK, SQL_COMMENT, MIN(bang, s.n));
}

static size_t mark_star(struct sql_lexer *l, struct slice s)
{
	if (!l->coded)
		return enter(l, MODE_START, SQL_PUNCT, 1);
	if (s.n < 2 && !l->whole)
		return 0;
	if (s.n < 2 || s.p[1] != '/')
		return enter(l, MODE_START, SQL_PUNCT, 1);
	l->coded = false;
	return enter(l, MODE_START, SQL_COMMENT, 2);
}

/* Of a token that may be a comment's beginning: how many bytes of s are read, 0 when more are
 * needed to know. */
static size_t open_mark(struct sql_lexer *l, struct slice s)
{
	size_t n;

	if (s.p[0] == '#')
		return is_mysql(l) ? enter(l, MODE_LINE, SQL_COMMENT, 1)
				   : enter(l, MODE_START, SQL_PUNCT, 1);
	n = s.p[0] == '-' ? mark_dash(l, s) : s.p[0] == '/' ? mark_slash(l, s) : mark_star(l, s);
	if (n > 0 && l->kind != SQL_COMMENT)
		l->joined = NOT_JOINED;
	return n;
}

/* The same for bytes that were held, with those that follow: takes from *in and from what is held. */
static size_t open_held(struct sql_lexer *l, struct slice in)
{
	uint8_t window[SQL_HELD_MAX + 1];
	size_t had = l->held_n, more = MIN(in.n, sizeof(window) - had), n;

	memcpy(window, l->held, had);
	if (more > 0)
		memcpy(window + had, in.p, more);
	n = open_mark(l, slice_of(window, had + more));
	if (n == 0) { /* not known yet: as good as white space */
		l->kind = SQL_SPACE;
		memcpy(l->held, window, had + more);
		l->held_n = (uint8_t)(had + more);
		return more;
	}
	if (n >= had) {
		l->held_n = 0;
		return n - had;
	}
	memmove(l->held, l->held + n, had - n);
	l->held_n = (uint8_t)(had - n);
	return 0;
}

static size_t open_word(struct sql_lexer *l, struct slice s)
{
	l->first = s.p[0];
	l->length = 0;
	enter(l, MODE_WORD, SQL_WORD, 0);
	return run_word(l, s);
}

static size_t open_dollar(struct sql_lexer *l, struct slice s)
{
	if (is_mysql(l))
		return open_word(l, s);
	l->length = 0;
	l->seen = FNV_START;
	enter(l, MODE_TAG, SQL_PUNCT, 0);
	return 1 + run_tag(l, slice_from(s, 1));
}

static size_t open_space(struct sql_lexer *l, struct slice s)
{
	enter(l, MODE_SPACE, SQL_SPACE, 0);
	return run_space(l, s);
}

static size_t open_quote(struct sql_lexer *l, struct slice s)
{
	bool escapes = rules[l->dialect].backslash || l->joined == JOINED;

	l->joined = NOT_JOINED;
	return open_quoted(l, s, escapes);
}

static size_t open_number(struct sql_lexer *l, struct slice s)
{
	enter(l, MODE_NUMBER, SQL_NUMBER, 0);
	return run_number(l, s);
}

static size_t open_dot(struct sql_lexer *l, struct slice s)
{
	if (s.n > 1 && classes[s.p[1]] == C_DIGIT)
		return open_number(l, s);
	return enter(l, MODE_START, SQL_PUNCT, 1);
}

static size_t open_param(struct sql_lexer *l, struct slice s)
{
	return enter(l, MODE_PARAM, SQL_PARAM, 1) + run_digits(l, slice_from(s, 1));
}

static size_t open_punct(struct sql_lexer *l, struct slice s)
{
	(void)s;
	return enter(l, MODE_START, SQL_PUNCT, 1);
}

/* A token from its first byte on; not empty. */
static size_t (*const opens[])(struct sql_lexer *, struct slice) = {
	[C_PUNCT] = open_punct,	 [C_SPACE] = open_space,   [C_LETTER] = open_word,
	[C_DIGIT] = open_number, [C_DOLLAR] = open_dollar, [C_QUOTE] = open_quote,
	[C_MARK] = open_held,	 [C_DOT] = open_dot,	   [C_PARAM] = open_param,
};

static size_t open_token(struct sql_lexer *l, struct slice s)
{
	enum class c = (enum class)classes[s.p[0]];
	size_t n;

	if (l->joined && c != C_SPACE && c != C_MARK && c != C_QUOTE)
		l->joined = NOT_JOINED;
	n = opens[c](l, s);
	if (l->mode >= MODE_LINE) /* a comment: so far only its mark is read */
		n += runs[l->mode](l, slice_from(s, n));
	return n;
}

struct sql_token sql_lex(struct sql_lexer *l, struct slice *in)
{
	struct slice s = *in;
	size_t n = 0;

	if (s.n == 0)
		return (struct sql_token){ SQL_END, s };
	if (l->mode != MODE_START)
		n = runs[l->mode](l, s);
	if (n == 0 && l->mode == MODE_START)
		n = l->held_n ? open_held(l, s) : open_token(l, s);
	*in = slice_of(s.p + n, s.n - n);
	return (struct sql_token){ (enum sql_kind)l->kind, slice_of(s.p, n) };
}

bool sql_lex_held(const struct sql_lexer *l)
{
	/* What is held of two bytes or more is the beginning of a comment. */
	return l->held_n == 1;
}

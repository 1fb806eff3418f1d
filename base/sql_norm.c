#include "base/sql_norm.h"
#include "base/util.h"

#define ELLIPSIS "..."
#define WORD_MAX 24 /* bytes of the longest keyword, and more */

enum token_kind { TOK_END, TOK_SPACE, TOK_LITERAL, TOK_WORD, TOK_NAME, TOK_PUNCT };

struct token {
	enum token_kind kind;
	struct slice text;
};

struct lexer {
	struct slice left;
	enum sql_dialect dialect;
};

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(uint8_t c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c >= 0x80;
}

/* Behind a quoted run that starts at s.p[0]; an open end takes all. */
static size_t quoted_len(struct slice s, bool backslash)
{
	size_t i = 1;

	for (; i < s.n; i++) {
		if (backslash && s.p[i] == '\\') {
			i++;
		} else if (s.p[i] == s.p[0]) {
			if (i + 1 == s.n || s.p[i + 1] != s.p[0])
				return i + 1;
			i++;
		}
	}
	return s.n;
}

/* Behind a comment at s, 0 when none starts there. */
static size_t comment_len(struct slice s, enum sql_dialect dialect)
{
	const uint8_t *end;
	size_t depth = 0;

	if (slice_starts(s, SLICE_LIT("--")) || (dialect == SQL_MYSQL && s.p[0] == '#')) {
		end = memchr(s.p, '\n', s.n);
		return end ? (size_t)(end - s.p) : s.n;
	}
	if (!slice_starts(s, SLICE_LIT("/*")))
		return 0;
	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] == '/' && s.p[i + 1] == '*' && (depth == 0 || dialect == SQL_ANSI)) {
			depth++;
			i++;
		} else if (s.p[i] == '*' && s.p[i + 1] == '/') {
			i++;
			if (--depth == 0)
				return i + 1;
		}
	}
	return s.n;
}

/* $tag$ ... $tag$ (PostgreSQL); 0 when none starts at s. */
static size_t dollar_len(struct slice s)
{
	size_t tag = 1;
	const uint8_t *end;

	while (tag < s.n && is_word(s.p[tag]) && !(tag == 1 && is_digit(s.p[tag])))
		tag++;
	if (tag >= s.n || s.p[tag] != '$')
		return 0;
	tag++;
	end = memmem(s.p + tag, s.n - tag, s.p, tag);
	return end ? (size_t)(end - s.p) + tag : s.n;
}

/* A number from its first digit or point on, with exponent, hexadecimal too. */
static size_t number_len(struct slice s)
{
	size_t i = 0;

	while (i < s.n && (is_word(s.p[i]) || s.p[i] == '.' ||
			   ((s.p[i] == '+' || s.p[i] == '-') && i > 0 &&
			    (s.p[i - 1] | 0x20) == 'e' && (s.p[1] | 0x20) != 'x')))
		i++;
	return i;
}

static size_t word_len(struct slice s)
{
	size_t n = 0;

	while (n < s.n && (is_word(s.p[n]) || (n > 0 && s.p[n] == '$')))
		n++;
	return n;
}

static size_t space_len(struct slice s, enum sql_dialect dialect)
{
	size_t n = 0, comment;

	while (n < s.n) {
		if (is_space(s.p[n])) {
			n++;
			continue;
		}
		comment = comment_len(slice_from(s, n), dialect);
		if (comment == 0)
			break;
		n += comment;
	}
	return n;
}

/* E'..', B'..', X'..', N'..', U&'..', _utf8'..': the prefix belongs to the literal. */
static size_t prefixed_len(struct slice s, size_t word, enum sql_dialect dialect)
{
	size_t at = word;
	bool escapes = dialect == SQL_MYSQL || (s.p[0] | 0x20) == 'e';

	if (word == 1 && (s.p[0] | 0x20) == 'u' && at < s.n && s.p[at] == '&')
		at++;
	else if (!(word == 1 && memchr("eEbBxXnN", s.p[0], 8)) && s.p[0] != '_')
		return 0;
	if (at >= s.n || s.p[at] != '\'')
		return 0;
	return at + quoted_len(slice_from(s, at), escapes);
}

/* A placeholder of any style: ? $1 :name @name %s. 0 when none starts at s. */
static size_t placeholder_len(struct slice s, enum sql_dialect dialect)
{
	size_t n = 1;

	if (s.p[0] == '?')
		n = 1;
	else if (s.p[0] == '$' && dialect == SQL_ANSI)
		n = 1;
	else if (s.p[0] == ':' && s.n > 1 && s.p[1] != ':' && s.p[1] != '=')
		n = 1;
	else if (s.p[0] == '%' && s.n > 1 && s.p[1] == 's')
		return 2;
	else
		return 0;
	while (n < s.n && is_word(s.p[n]))
		n++;
	return n > 1 || s.p[0] == '?' ? n : 0;
}

static struct token token_of(struct lexer *l, enum token_kind kind, size_t n)
{
	struct token t = { kind, slice_head(l->left, n) };

	l->left = slice_from(l->left, n);
	return t;
}

static struct token next_quoted(struct lexer *l)
{
	bool mysql = l->dialect == SQL_MYSQL;
	bool name = l->left.p[0] == '`' || (l->left.p[0] == '"' && !mysql);

	return token_of(l, name ? TOK_NAME : TOK_LITERAL, quoted_len(l->left, mysql && !name));
}

static struct token next_token(struct lexer *l)
{
	struct slice s = l->left;
	size_t n;

	if (s.n == 0)
		return (struct token){ TOK_END, s };
	n = space_len(s, l->dialect);
	if (n > 0)
		return token_of(l, TOK_SPACE, n);
	if (memchr("'\"`", s.p[0], 3))
		return next_quoted(l);
	if (is_digit(s.p[0]) || (s.p[0] == '.' && s.n > 1 && is_digit(s.p[1])))
		return token_of(l, TOK_LITERAL, number_len(s));
	if (s.p[0] == '$' && l->dialect == SQL_ANSI) {
		n = dollar_len(s);
		if (n > 0)
			return token_of(l, TOK_LITERAL, n);
	}
	if (slice_starts(s, SLICE_LIT("::")))
		return token_of(l, TOK_NAME, 2);
	n = placeholder_len(s, l->dialect);
	if (n > 0)
		return token_of(l, TOK_LITERAL, n);
	n = word_len(s);
	if (n > 0) {
		size_t literal = prefixed_len(s, n, l->dialect);

		return literal ? token_of(l, TOK_LITERAL, literal) : token_of(l, TOK_WORD, n);
	}
	return token_of(l, TOK_PUNCT, 1);
}

/* Words that are written in capitals. */
static const char *const keywords[] = {
	"ADD",	       "ALL",	     "ALTER",	  "ANALYZE",   "AND",	    "ANY",
	"ARRAY",       "AS",	     "ASC",	  "BEGIN",     "BETWEEN",   "BY",
	"CALL",	       "CASCADE",    "CASE",	  "CAST",      "COALESCE",  "COLUMN",
	"COMMIT",      "CONFLICT",   "COPY",	  "COUNT",     "CREATE",    "CROSS",
	"DATABASE",    "DEALLOCATE", "DECLARE",	  "DEFAULT",   "DELETE",    "DESC",
	"DESCRIBE",    "DISTINCT",   "DO",	  "DROP",      "DUPLICATE", "ELSE",
	"END",	       "EXCEPT",     "EXECUTE",	  "EXISTS",    "EXPLAIN",   "FALSE",
	"FETCH",       "FOR",	     "FOREIGN",	  "FROM",      "FULL",	    "FUNCTION",
	"GRANT",       "GROUP",	     "HAVING",	  "IF",	       "IGNORE",    "ILIKE",
	"IN",	       "INDEX",	     "INNER",	  "INSERT",    "INTERSECT", "INTERVAL",
	"INTO",	       "IS",	     "JOIN",	  "KEY",       "LATERAL",   "LEFT",
	"LIKE",	       "LIMIT",	     "LOCK",	  "MAX",       "MERGE",	    "MIN",
	"NATURAL",     "NOT",	     "NOTHING",	  "NOTIFY",    "NULL",	    "NULLS",
	"OFFSET",      "ON",	     "OR",	  "ORDER",     "OUTER",	    "OVER",
	"PARTITION",   "PREPARE",    "PRIMARY",	  "PROCEDURE", "RECURSIVE", "REFERENCES",
	"RELEASE",     "REPLACE",    "RETURNING", "REVOKE",    "RIGHT",	    "ROLLBACK",
	"ROW",	       "ROWS",	     "SAVEPOINT", "SELECT",    "SET",	    "SHOW",
	"SKIP",	       "START",	     "SUM",	  "TABLE",     "THEN",	    "TO",
	"TRANSACTION", "TRIGGER",    "TRUE",	  "TRUNCATE",  "UNION",	    "UNIQUE",
	"UNLOCK",      "UPDATE",     "USE",	  "USING",     "VACUUM",    "VALUES",
	"VIEW",	       "WHEN",	     "WHERE",	  "WINDOW",    "WITH",
};

/* The keyword's spelling, or the word itself. */
static struct slice fold(struct slice w)
{
	size_t lo = 0, hi = ARRAY_SIZE(keywords);
	char up[WORD_MAX];

	if (w.n >= sizeof(up))
		return w;
	for (size_t i = 0; i < w.n; i++)
		up[i] = (char)(w.p[i] >= 'a' && w.p[i] <= 'z' ? w.p[i] & ~0x20 : w.p[i]);
	up[w.n] = '\0';
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int cmp = keywords[mid][0] - up[0];

		if (cmp == 0)
			cmp = strcmp(keywords[mid], up);
		if (cmp == 0)
			return slice_str(keywords[mid]);
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return w;
}

#define DEPTH_MAX 64 /* parentheses: deeper ones are not folded */

struct writer {
	char *out;
	size_t n;
	size_t opened[DEPTH_MAX]; /* where each open parenthesis stands */
	size_t depth;
	size_t group_from[DEPTH_MAX], group_to[DEPTH_MAX]; /* the one closed last, by depth */
	bool full;
	bool space;   /* white space is due before the next token */
	bool operand; /* an operand is expected: a sign belongs to the number behind it */
};

static void put(struct writer *w, struct slice s)
{
	if (w->full || s.n > SQL_NORM_MAX - sizeof(ELLIPSIS) - w->n) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->n, s.p, s.n);
	w->n += s.n;
}

static bool ends_with(const struct writer *w, const char *tail)
{
	size_t n = strlen(tail);

	return w->n >= n && memcmp(w->out + w->n - n, tail, n) == 0;
}

/* A group equal to the one before it, as the rows of VALUES are, is dropped. */
static void close_group(struct writer *w)
{
	size_t from, before, n;

	if (w->depth == 0 || w->depth-- > DEPTH_MAX)
		return;
	from = w->opened[w->depth];
	before = w->group_from[w->depth];
	n = w->n - from;
	if (from >= 2 && w->group_to[w->depth] == from - 2 && from - 2 - before == n &&
	    memcmp(w->out + before, w->out + from, n) == 0 && memchr(w->out + from, '?', n)) {
		w->n = from - 2;
		return;
	}
	w->group_from[w->depth] = from;
	w->group_to[w->depth] = w->n;
}

static void emit_punct(struct writer *w, uint8_t c)
{
	if (c == '(') {
		if (w->depth < DEPTH_MAX)
			w->opened[w->depth] = w->n;
		w->depth++;
	}
	put(w, slice_of(&c, 1));
	if (c == ')')
		close_group(w);
	if (c == ',')
		put(w, SLICE_LIT(" "));
	w->operand = c != ')' && c != ']';
}

static void emit(struct writer *w, const struct token *t)
{
	uint8_t c = t->text.p[0];
	bool tight = t->kind == TOK_PUNCT && (c == ',' || c == ')' || c == ';');
	struct slice word;

	if (t->kind == TOK_LITERAL && ends_with(w, "?, ")) {
		w->n -= 2;
		w->space = false;
		return;
	}
	if (w->space && w->n > 0 && !tight && !ends_with(w, "(") && !ends_with(w, " "))
		put(w, SLICE_LIT(" "));
	w->space = false;
	switch (t->kind) {
	case TOK_LITERAL:
		put(w, SLICE_LIT("?"));
		w->operand = false;
		break;
	case TOK_WORD:
		word = fold(t->text);
		w->operand = word.p != t->text.p;
		put(w, word);
		break;
	case TOK_PUNCT:
		emit_punct(w, c);
		break;
	default:
		put(w, t->text);
		w->operand = false;
		break;
	}
}

/* A plus or minus that is part of the number behind it. */
static bool is_sign(const struct writer *w, const struct token *t, struct slice left)
{
	return t->kind == TOK_PUNCT && (t->text.p[0] == '-' || t->text.p[0] == '+') && w->operand &&
	       left.n > 0 && (is_digit(left.p[0]) || left.p[0] == '.');
}

size_t sql_norm(struct slice sql, enum sql_dialect dialect, char *out)
{
	struct lexer l = { sql, dialect };
	struct writer w = { .out = out, .operand = true };
	struct token t;

	while (!w.full && (t = next_token(&l)).kind != TOK_END) {
		if (t.kind == TOK_SPACE)
			w.space = true;
		else if (!is_sign(&w, &t, l.left))
			emit(&w, &t);
	}
	if (w.full) {
		memcpy(out + w.n, ELLIPSIS, sizeof(ELLIPSIS) - 1);
		return w.n + sizeof(ELLIPSIS) - 1;
	}
	while (w.n > 0 && (out[w.n - 1] == ';' || out[w.n - 1] == ' '))
		w.n--;
	return w.n;
}

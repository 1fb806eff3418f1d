#include "base/sql_mask.h"
#include "base/sql_words.h"
#include "base/util.h"

#define ELLIPSIS SLICE_LIT("...")

/* Spellings of one statement. */
static const struct {
	const char *word, *verb;
} synonyms[] = {
	{ "END", "COMMIT" },
	{ "ABORT", "ROLLBACK" },
	{ "DESC", "DESCRIBE" },
};

/* The next token that is neither white space nor a comment. */
static struct sql_token next_told(struct sql_lexer *l, struct slice *in)
{
	struct sql_token t;

	do
		t = sql_lex(l, in);
	while (t.kind == SQL_SPACE || t.kind == SQL_COMMENT);
	return t;
}

static const struct sql_word *next_word(struct sql_lexer *l, struct slice *in)
{
	struct sql_token t = next_told(l, in);

	return t.kind == SQL_WORD ? sql_word_find(t.text) : NULL;
}

/* WITH a AS (...), b AS (...) SELECT: the first verb that stands outside of parentheses. */
static const struct sql_word *main_verb(struct sql_lexer *l, struct slice *in)
{
	size_t depth = 0;
	struct sql_token t;

	while ((t = next_told(l, in)).kind != SQL_END) {
		const struct sql_word *w = NULL;

		if (t.kind == SQL_WORD && depth == 0)
			w = sql_word_find(t.text);
		if (w && w->flags & SQL_QUERY)
			return w;
		if (t.kind == SQL_PUNCT && t.text.p[0] == '(')
			depth++;
		if (t.kind == SQL_PUNCT && t.text.p[0] == ')' && depth > 0)
			depth--;
	}
	return NULL;
}

const char *sql_verb(struct slice sql, enum sql_dialect dialect)
{
	const struct sql_word *w, *more;
	struct sql_lexer l;
	struct sql_token t;

	sql_lex_init(&l, dialect, true);
	do
		t = next_told(&l, &sql);
	while (t.kind == SQL_PUNCT && t.text.p[0] == '(');
	w = t.kind == SQL_WORD ? sql_word_find(t.text) : NULL;
	if (!w || !(w->flags & SQL_VERB))
		return NULL;
	if (w->id == SQL_IS_WITH) {
		more = main_verb(&l, &sql);
		return more ? more->text : w->text;
	}
	if (w->id == SQL_IS_START) {
		more = next_word(&l, &sql);
		return more && more->id == SQL_IS_TRANSACTION ? "BEGIN" : w->text;
	}
	for (size_t i = 0; i < ARRAY_SIZE(synonyms); i++)
		if (strcmp(synonyms[i].word, w->text) == 0)
			return synonyms[i].verb;
	return w->text;
}

struct masker {
	char *out;
	size_t n, cap;
	size_t whole; /* bytes up to the last token behind which the mark fits */
	bool full;
	bool gap; /* a comment went; white space is due */
	struct sql_secrets secrets;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void put(struct masker *m, struct slice s)
{
	if (m->full || s.n > m->cap - m->n) {
		m->full = true;
		return;
	}
	memcpy(m->out + m->n, s.p, s.n);
	m->n += s.n;
	if (m->n <= m->cap - ELLIPSIS.n)
		m->whole = m->n;
}

static void mask_token(struct masker *m, const struct sql_token *t)
{
	bool literal = sql_is_secret(&m->secrets, t) || t->kind == SQL_STRING ||
		       t->kind == SQL_NUMBER || sql_is_no_name(t) ||
		       (t->kind == SQL_PARAM && t->text.p[0] == '?');

	if (m->gap && m->n > 0 && !is_space(m->out[m->n - 1]))
		put(m, SLICE_LIT(" "));
	m->gap = false;
	put(m, literal ? SLICE_LIT("?") : t->text);
}

size_t sql_mask(struct slice sql, enum sql_dialect dialect, char *out, size_t cap)
{
	struct masker m = { .out = out, .cap = cap };
	struct sql_lexer l;
	struct sql_token t;

	sql_lex_init(&l, dialect, true);
	while (!m.full && (t = sql_lex(&l, &sql)).kind != SQL_END) {
		if (t.kind == SQL_COMMENT)
			m.gap = true;
		else if (t.kind != SQL_SPACE)
			mask_token(&m, &t);
		else if (m.n > 0)
			put(&m, t.text);
	}
	if (m.full) {
		memcpy(out + m.whole, ELLIPSIS.p, ELLIPSIS.n);
		return m.whole + ELLIPSIS.n;
	}
	while (m.n > 0 && is_space(out[m.n - 1]))
		m.n--;
	return m.n;
}

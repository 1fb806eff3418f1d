#include "base/sql_norm.h"
#include "base/sql_secret.h"
#include "base/sql_words.h"
#include "base/util.h"

#define ELLIPSIS  SLICE_LIT("...")
#define DEPTH_MAX 64 /* parentheses: deeper ones are not folded */

/* A pair of parentheses in the answer, as positions. */
struct group {
	size_t from, to;
};

struct writer {
	char *out;
	size_t n;
	size_t opened[DEPTH_MAX];	/* where each open parenthesis stands */
	struct group closed[DEPTH_MAX]; /* the group closed last, by depth */
	size_t depth;
	size_t constant; /* where a NULL that began an item of a list stands; 0: none */
	bool full;
	bool space;   /* white space is due before the next token */
	bool operand; /* an operand is expected: a sign belongs to the number behind it */
	bool literal; /* the last token was one */
};

static void put(struct writer *w, struct slice s)
{
	if (w->full || s.n > SQL_NORM_MAX - ELLIPSIS.n - w->n) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->n, s.p, s.n);
	w->n += s.n;
}

static bool ends_in(const struct writer *w, char c)
{
	return w->n > 0 && w->out[w->n - 1] == c;
}

/* Whether the answer up to byte n ends in a comma and its space. */
static bool ends_in_comma(const struct writer *w, size_t n)
{
	return n >= 2 && w->out[n - 2] == ',' && w->out[n - 1] == ' ';
}

/* The group that stands just before the one at `from`, as the rows of VALUES do; n: how much of both
 * is compared. */
static bool repeats(const struct writer *w, size_t depth, size_t from, size_t n)
{
	const struct group *g = &w->closed[depth];

	return ends_in_comma(w, from) && g->to == from - 2 && n <= g->to - g->from &&
	       memcmp(w->out + g->from, w->out + from, n) == 0;
}

static void open_group(struct writer *w)
{
	if (w->depth < DEPTH_MAX)
		w->opened[w->depth] = w->n;
	w->depth++;
}

static void close_group(struct writer *w)
{
	struct group g = { 0, w->n };

	if (w->depth == 0 || w->depth-- > DEPTH_MAX)
		return;
	g.from = w->opened[w->depth];
	if (repeats(w, w->depth, g.from, g.to - g.from) &&
	    memchr(w->out + g.from, '?', g.to - g.from))
		w->n = g.from - 2;
	else
		w->closed[w->depth] = g;
}

static void put_space(struct writer *w)
{
	if (w->space && w->n > 0 && !ends_in(w, '(') && !ends_in(w, ' '))
		put(w, SLICE_LIT(" "));
	w->space = false;
}

/* One ? for all that stand in a row, with commas or without. */
static void put_literal(struct writer *w)
{
	if (ends_in_comma(w, w->n) && w->n > 2 && w->out[w->n - 3] == '?') {
		w->n -= 2;
		w->space = false;
	} else if (!w->literal) {
		put_space(w);
		put(w, SLICE_LIT("?"));
	}
	w->literal = true;
	w->operand = false;
}

/* NULL and the like, alone between commas and parentheses, count as literals. */
static void end_item(struct writer *w)
{
	w->n = w->constant;
	w->literal = false;
	put_literal(w);
}

static void put_punct(struct writer *w, struct slice s)
{
	uint8_t c = s.p[0];

	if (w->constant && (c == ',' || c == ')'))
		end_item(w);
	w->constant = 0;
	if (c == ',' || c == ')' || c == ';')
		w->space = false;
	else if (c == '-' && ends_in(w, '-')) /* never a comment */
		w->space = true;
	put_space(w);
	if (c == '(')
		open_group(w);
	put(w, s);
	if (c == ')')
		close_group(w);
	if (c == ',')
		put(w, SLICE_LIT(" "));
	w->operand = c != ')' && c != ']';
	w->literal = false;
}

static void put_word(struct writer *w, struct slice s)
{
	const struct sql_word *known = sql_word_find(s);
	bool item = w->depth > 0 && (ends_in(w, '(') || ends_in_comma(w, w->n));

	w->operand = known && known->flags & SQL_CAPITALS;
	w->literal = false;
	put_space(w);
	w->constant = item && known && known->flags & SQL_CONSTANT ? w->n : 0;
	put(w, w->operand ? slice_of(known->text, known->n) : s);
}

/* A :name or %s where an operand belongs: takes its second token too. */
static bool take_placeholder(const struct writer *w, struct slice mark, struct sql_lexer *l,
			     struct slice *left)
{
	struct sql_lexer ahead = *l;
	struct slice rest = *left;
	struct sql_token t;

	if ((mark.p[0] != ':' && mark.p[0] != '%') || !w->operand || ends_in(w, ':'))
		return false;
	t = sql_lex(&ahead, &rest);
	if (t.kind != SQL_WORD || (mark.p[0] == '%' && !slice_eq_str(t.text, "s")))
		return false;
	*l = ahead;
	*left = rest;
	return true;
}

/* A plus or minus that is part of the number behind it. */
static bool is_sign(const struct writer *w, struct slice mark, struct slice left)
{
	size_t digit = left.n > 0 && left.p[0] == '.';

	return w->operand && (mark.p[0] == '-' || mark.p[0] == '+') && left.n > digit &&
	       left.p[digit] >= '0' && left.p[digit] <= '9';
}

static void put_name(struct writer *w, struct slice s)
{
	put_space(w);
	put(w, s);
	w->operand = false;
	w->literal = false;
}

static void emit(struct writer *w, const struct sql_token *t)
{
	if (t->kind == SQL_PUNCT) {
		put_punct(w, t->text);
		return;
	}
	w->constant = 0;
	if (t->kind == SQL_WORD)
		put_word(w, t->text);
	else if (t->kind == SQL_NAME)
		put_name(w, t->text);
	else
		put_literal(w);
}

/* Whether the last token of a text that is cut may be part of another one. */
static bool is_part(const struct sql_token *t)
{
	if (t->kind == SQL_PUNCT)
		return !memchr("(),;", t->text.p[0], 4);
	return t->kind == SQL_WORD || t->kind == SQL_NAME;
}

/* What may change with the text that is missing goes: an item of a list, a row of VALUES. */
static size_t end_cut(struct writer *w)
{
	if (w->constant)
		w->n = w->constant;
	while (ends_in(w, ' ') || ends_in(w, ',') || ends_in(w, '.'))
		w->n--;
	for (size_t i = 0; i < MIN(w->depth, (size_t)DEPTH_MAX); i++)
		if (repeats(w, i, w->opened[i], w->n - w->opened[i])) {
			w->n = w->opened[i] - 2;
			break;
		}
	memcpy(w->out + w->n, ELLIPSIS.p, ELLIPSIS.n);
	return w->n + ELLIPSIS.n;
}

static size_t norm(struct slice sql, enum sql_dialect dialect, bool cut, char *out)
{
	struct writer w = { .out = out, .operand = true };
	struct sql_secrets secrets = { 0 };
	struct sql_lexer l;
	struct sql_token t;

	sql_lex_init(&l, dialect, true);
	while (!w.full && (t = sql_lex(&l, &sql)).kind != SQL_END) {
		if (cut && sql.n == 0 && is_part(&t))
			break;
		if (t.kind == SQL_SPACE || t.kind == SQL_COMMENT)
			w.space = true;
		else if (sql_is_secret(&secrets, &t) || sql_is_no_name(&t))
			put_literal(&w);
		else if (t.kind != SQL_PUNCT)
			emit(&w, &t);
		else if (take_placeholder(&w, t.text, &l, &sql))
			emit(&w, &(struct sql_token){ SQL_PARAM, t.text });
		else if (!is_sign(&w, t.text, sql))
			emit(&w, &t);
	}
	if (cut || w.full)
		return end_cut(&w);
	while (ends_in(&w, ';') || ends_in(&w, ' '))
		w.n--;
	if (w.n >= ELLIPSIS.n && memcmp(out + w.n - ELLIPSIS.n, ELLIPSIS.p, ELLIPSIS.n) == 0)
		return end_cut(&w);
	return w.n;
}

size_t sql_norm(struct slice sql, enum sql_dialect dialect, char *out)
{
	return norm(sql, dialect, false, out);
}

size_t sql_norm_cut(struct slice sql, enum sql_dialect dialect, char *out)
{
	return norm(sql, dialect, true, out);
}

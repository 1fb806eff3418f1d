#include "base/sql_split.h"
#include "base/sql_words.h"
#include "base/util.h"

/* s->head */
enum head {
	HEAD_NEW,     /* no word came */
	HEAD_CREATE,  /* CREATE or ALTER, may become a stored program */
	HEAD_DEFINER, /* behind DEFINER, which may be any words */
	HEAD_BEGIN,   /* MariaDB: BEGIN NOT ATOMIC is a block, BEGIN alone is not */
	HEAD_PROGRAM, /* a stored program, before its body */
	HEAD_BODY,
	HEAD_PLAIN, /* anything else: each `;` ends it */
};

void sql_split_init(struct sql_split *s, enum sql_dialect dialect)
{
	*s = (struct sql_split){ .head = HEAD_NEW };
	sql_lex_init(&s->lex, dialect, false);
}

static void open_block(struct sql_split *s, bool expression)
{
	if (s->blocks < SQL_BLOCKS_MAX) {
		uint32_t bit = 1U << s->blocks;

		s->cases = expression ? s->cases | bit : s->cases & ~bit;
	}
	if (s->blocks < UINT8_MAX)
		s->blocks++;
}

static void close_block(struct sql_split *s)
{
	if (s->blocks > 0)
		s->blocks--;
}

static bool in_expression(const struct sql_split *s)
{
	return s->blocks > 0 && s->blocks <= SQL_BLOCKS_MAX && s->cases >> (s->blocks - 1) & 1;
}

static bool names_program(enum sql_word_id id)
{
	return id == SQL_IS_PROCEDURE || id == SQL_IS_FUNCTION || id == SQL_IS_TRIGGER ||
	       id == SQL_IS_EVENT;
}

/* Words that begin a compound statement which END closes. */
static bool opens(enum sql_word_id id)
{
	return id == SQL_IS_IF || id == SQL_IS_CASE || id == SQL_IS_LOOP || id == SQL_IS_REPEAT ||
	       id == SQL_IS_WHILE || id == SQL_IS_FOR;
}

/* PostgreSQL: CREATE [OR REPLACE] FUNCTION or PROCEDURE, then BEGIN ATOMIC ... END with CASE ... END
 * within. */
static void word_pgsql(struct sql_split *s, enum sql_word_id id)
{
	switch ((enum head)s->head) {
	case HEAD_NEW:
		s->head = id == SQL_IS_CREATE ? HEAD_CREATE : HEAD_PLAIN;
		break;
	case HEAD_CREATE:
		if (id == SQL_IS_FUNCTION || id == SQL_IS_PROCEDURE)
			s->head = HEAD_PROGRAM;
		else if (id != SQL_IS_OR && id != SQL_IS_REPLACE)
			s->head = HEAD_PLAIN;
		break;
	case HEAD_PROGRAM:
		if (s->blocks == 0 ? id == SQL_IS_ATOMIC && s->before == SQL_IS_BEGIN
				   : id == SQL_IS_CASE)
			open_block(s, false);
		else if (id == SQL_IS_END)
			close_block(s);
		break;
	default:
		break;
	}
}

static void begin_block(struct sql_split *s, enum sql_word_id id, bool expression)
{
	open_block(s, expression);
	s->first = id == SQL_IS_BEGIN || id == SQL_IS_LOOP || id == SQL_IS_REPEAT;
}

/* Between CREATE PROCEDURE and the like and the body. */
static void word_header(struct sql_split *s, enum sql_word_id id)
{
	static const enum sql_word_id simple[] = { SQL_IS_SELECT, SQL_IS_SET,  SQL_IS_CALL,
						   SQL_IS_RETURN, SQL_IS_FROM, SQL_IS_INTO,
						   SQL_IS_VALUES, SQL_IS_WITH };

	if (names_program((enum sql_word_id)s->before)) /* a name, or IF NOT EXISTS */
		return;
	if (id == SQL_IS_BEGIN || (opens(id) && id != SQL_IS_FOR)) {
		s->head = HEAD_BODY;
		begin_block(s, id, false);
	}
	for (size_t i = 0; i < ARRAY_SIZE(simple); i++)
		if (id == simple[i])
			s->head = HEAD_BODY;
}

static void word_body(struct sql_split *s, enum sql_word_id id)
{
	bool first = s->first;

	s->first = false;
	if (opens(id) && s->before == SQL_IS_END)
		return;
	if (id == SQL_IS_END)
		close_block(s);
	else if (id == SQL_IS_BEGIN ? s->before != SQL_IS_XA
				    : id == SQL_IS_CASE || (opens(id) && first))
		begin_block(s, id, id == SQL_IS_CASE && !first);
	else if (id == SQL_IS_THEN || id == SQL_IS_ELSE || id == SQL_IS_DO)
		s->first = !in_expression(s);
}

static void word_mysql(struct sql_split *s, enum sql_word_id id)
{
	switch ((enum head)s->head) {
	case HEAD_NEW:
		s->head = id == SQL_IS_CREATE || id == SQL_IS_ALTER ? HEAD_CREATE
			  : id == SQL_IS_BEGIN			    ? HEAD_BEGIN
			  : opens(id)				    ? HEAD_BODY
								    : HEAD_PLAIN;
		s->first = true;
		if (s->head == HEAD_BODY)
			word_body(s, id);
		break;
	case HEAD_CREATE:
	case HEAD_DEFINER:
		if (names_program(id))
			s->head = HEAD_PROGRAM;
		else if (id == SQL_IS_DEFINER)
			s->head = HEAD_DEFINER;
		else if (s->head == HEAD_DEFINER ? id == SQL_IS_VIEW
						 : id != SQL_IS_OR && id != SQL_IS_REPLACE &&
							   id != SQL_IS_AGGREGATE)
			s->head = HEAD_PLAIN;
		break;
	case HEAD_BEGIN:
		s->head = id == SQL_IS_NOT ? HEAD_BODY : HEAD_PLAIN;
		if (id == SQL_IS_NOT)
			open_block(s, false);
		break;
	case HEAD_PROGRAM:
		word_header(s, id);
		break;
	case HEAD_BODY:
		word_body(s, id);
		break;
	case HEAD_PLAIN:
		break;
	}
}

/* A word is complete. */
static void end_word(struct sql_split *s)
{
	const struct sql_word *w;
	enum sql_word_id id;

	if (s->word_n == 0)
		return;
	w = s->word_n < SQL_SPLIT_WORD_MAX ? sql_word_find(slice_of(s->word, s->word_n)) : NULL;
	id = w ? (enum sql_word_id)w->id : SQL_IS_OTHER;
	s->word_n = 0;
	if (sql_is_mysql((enum sql_dialect)s->lex.dialect))
		word_mysql(s, id);
	else
		word_pgsql(s, id);
	s->before = (uint8_t)id;
}

static void add_word(struct sql_split *s, struct slice text)
{
	size_t n = MIN(text.n, (size_t)(SQL_SPLIT_WORD_MAX - s->word_n));

	memcpy(s->word + s->word_n, text.p, n);
	s->word_n = (uint8_t)(s->word_n + n);
}

static void end_statement(struct sql_split *s)
{
	struct sql_lexer lex = s->lex;

	*s = (struct sql_split){ .lex = lex, .head = HEAD_NEW };
}

/* Anything but words, white space and comments. Returns whether the statement ends with it. */
static bool other(struct sql_split *s, const struct sql_token *t)
{
	uint8_t c = t->kind == SQL_PUNCT && t->text.n == 1 ? t->text.p[0] : 0;

	if (c == ';' && s->parens == 0 && s->blocks == 0)
		return true;
	if (c == '(' && s->parens < UINT16_MAX)
		s->parens++;
	if (c == ')' && s->parens > 0)
		s->parens--;
	if (s->head == HEAD_NEW && c != '(')
		s->head = HEAD_PLAIN;
	s->first = c == ';' || c == ':';
	s->before = SQL_IS_OTHER;
	s->filled = true;
	return false;
}

size_t sql_split(struct sql_split *s, struct slice piece, bool *ret_end, bool *ret_empty)
{
	struct slice in = piece;
	struct sql_token t;

	*ret_end = false;
	while ((t = sql_lex(&s->lex, &in)).kind != SQL_END) {
		if (t.kind == SQL_WORD) {
			s->filled = true;
			if (s->head != HEAD_PLAIN)
				add_word(s, t.text);
			continue;
		}
		end_word(s);
		if (t.kind == SQL_SPACE || t.kind == SQL_COMMENT)
			continue;
		if (other(s, &t)) {
			*ret_end = true;
			*ret_empty = !s->filled;
			end_statement(s);
			return piece.n - in.n;
		}
	}
	return piece.n;
}

bool sql_split_empty(const struct sql_split *s)
{
	return !s->filled && !sql_lex_held(&s->lex);
}

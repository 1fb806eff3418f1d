#include "base/sql_secret.h"

#include "base/sql_words.h"

static bool sets(const struct sql_token *t, const struct sql_word *w)
{
	if (t->kind == SQL_PUNCT)
		return t->text.p[0] == '=' || t->text.p[0] == ':';
	return w && (w->id == SQL_IS_TO || w->id == SQL_IS_BY);
}

bool sql_is_secret(struct sql_secrets *s, const struct sql_token *t)
{
	bool secret = s->named && (s->set || s->user);
	const struct sql_word *w;

	if (t->kind == SQL_PUNCT && t->text.p[0] == ';')
		*s = (struct sql_secrets){ 0 };
	if (!s->settles && (s->words > 0 || t->kind != SQL_WORD))
		return false;
	w = t->kind == SQL_WORD ? sql_word_find(t->text) : NULL;
	if (s->words < 2 && t->kind == SQL_WORD) {
		if (s->words == 0)
			s->settles = w && (w->id == SQL_IS_SET || w->id == SQL_IS_ALTER ||
					   w->id == SQL_IS_CREATE);
		else
			s->user = w && (w->id == SQL_IS_USER || w->id == SQL_IS_ROLE);
		s->words++;
	}
	if (s->named && sets(t, w)) {
		s->set = true;
		return false;
	}
	s->named = w && w->flags & SQL_SECRET;
	s->set = false;
	return secret && ((t->kind == SQL_WORD && !w) || t->kind == SQL_NAME);
}

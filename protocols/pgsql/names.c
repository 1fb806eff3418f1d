#include "protocols/pgsql/names.h"
#include "base/sql_lex.h"
#include "base/util.h"

uint64_t name_add(uint64_t hash, uint8_t *n, struct slice s)
{
	for (size_t i = 0; i < s.n && *n < PGSQL_NAME_MAX; i++, ++*n)
		hash = (hash ^ s.p[i]) * 0x100000001b3ULL; /* FNV-1a */
	return hash;
}

uint64_t name_id(uint64_t hash, uint8_t n)
{
	hash &= INT64_MAX;
	return n == 0 ? 0 : hash ? hash : 1;
}

static int find(const struct portals *p, uint64_t portal)
{
	for (int i = 0; i < p->n; i++)
		if (p->portal[i] == portal)
			return i;
	return -1;
}

void portals_put(struct portals *p, uint64_t portal, uint64_t stmt)
{
	int i = find(p, portal);

	if (i < 0 && p->n < PGSQL_PORTALS)
		i = p->n++;
	if (i < 0) {
		i = p->next;
		p->next = (uint8_t)((p->next + 1) % PGSQL_PORTALS);
	}
	p->portal[i] = portal;
	p->stmt[i] = stmt;
}

bool portals_get(const struct portals *p, uint64_t portal, uint64_t *ret_stmt)
{
	int i = find(p, portal);

	if (i >= 0)
		*ret_stmt = p->stmt[i];
	return i >= 0;
}

void portals_del(struct portals *p, uint64_t portal)
{
	int i = find(p, portal);

	if (i < 0)
		return;
	p->n--;
	p->portal[i] = p->portal[p->n];
	p->stmt[i] = p->stmt[p->n];
	p->next = (uint8_t)(p->next % MAX(p->n, 1));
}

/* ---- statements that close others ---- */

/* The next token that is no white space or comment. */
static struct sql_token next(struct sql_lexer *l, struct slice *in)
{
	struct sql_token t;

	do
		t = sql_lex(l, in);
	while (t.kind == SQL_SPACE || t.kind == SQL_COMMENT);
	return t;
}

static bool is_word(const struct sql_token *t, const char *word)
{
	return t->kind == SQL_WORD && slice_eq_nocase(t->text, slice_str(word));
}

/* False: not simple enough, or cut off. */
static bool name_of(const struct sql_token *t, bool cut, struct sql_name *ret)
{
	struct slice s = t->text;
	uint64_t hash;

	if (cut || (t->kind != SQL_WORD && t->kind != SQL_NAME))
		return false;
	if (t->kind == SQL_NAME)
		s = slice_of(s.p + 1, s.n >= 2 ? s.n - 2 : 0);
	ret->n = 0;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '"' || c >= 0x80)
			return false;
		if (t->kind == SQL_WORD && c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (ret->n < PGSQL_NAME_MAX)
			ret->text[ret->n++] = (char)c;
	}
	s = slice_of(ret->text, ret->n);
	ret->n = 0;
	hash = name_add(NAME_EMPTY, &ret->n, s);
	ret->id = name_id(hash, ret->n);
	return ret->n > 0;
}

static enum sql_about about_word(const struct sql_token *t)
{
	static const struct {
		const char *word;
		enum sql_about about;
	} words[] = {
		{ "copy", ABOUT_COPY },
		{ "deallocate", ABOUT_CLOSES },
		{ "prepare", ABOUT_PREPARES },
		{ "execute", ABOUT_EXECUTES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (is_word(t, words[i].word))
			return words[i].about;
	return ABOUT_OTHER;
}

enum sql_about sql_about(struct slice head, struct sql_name *ret)
{
	bool cut = head.n >= PGSQL_HEAD_MAX;
	enum sql_about about;
	struct sql_lexer l;
	struct sql_token t;

	sql_lex_init(&l, SQL_ANSI, true);
	t = next(&l, &head);
	about = about_word(&t);
	if (about == ABOUT_OTHER || about == ABOUT_COPY)
		return about;
	t = next(&l, &head);
	if (about == ABOUT_CLOSES && is_word(&t, "prepare"))
		t = next(&l, &head);
	/* ALL is told by the answer; PREPARE TRANSACTION names no statement. */
	if ((about == ABOUT_CLOSES && is_word(&t, "all")) ||
	    (about == ABOUT_PREPARES && is_word(&t, "transaction")))
		return ABOUT_OTHER;
	return name_of(&t, cut && head.n == 0, ret) ? about : ABOUT_OTHER;
}

struct slice sql_prepared(struct slice text)
{
	struct sql_lexer l;
	int depth = 0;

	sql_lex_init(&l, SQL_ANSI, true);
	(void)next(&l, &text); /* PREPARE */
	(void)next(&l, &text); /* its name, which may be anything */
	while (text.n > 0) {
		struct sql_token t = next(&l, &text);

		depth += slice_eq_str(t.text, "(") - slice_eq_str(t.text, ")");
		if (depth == 0 && is_word(&t, "as"))
			return text;
	}
	return text;
}

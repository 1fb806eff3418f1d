#include "cli/complete.h"

#include "protocols/schema.h"
#include "query/query.h"

static const char *const keywords[] = {
	"AND",	  "AS",	   "ASC",      "BETWEEN", "BY",	    "CASE",	 "CAST",   "COLLATE",
	"CROSS",  "DESC",  "DISTINCT", "ELSE",	  "END",    "EXCEPT",	 "EXISTS", "EXPLAIN",
	"FILTER", "FROM",  "GLOB",     "GROUP",	  "HAVING", "IN",	 "INNER",  "INTERSECT",
	"IS",	  "JOIN",  "LEFT",     "LIKE",	  "LIMIT",  "NOT",	 "NULL",   "OFFSET",
	"ON",	  "OR",	   "ORDER",    "OUTER",	  "OVER",   "PARTITION", "SELECT", "THEN",
	"UNION",  "USING", "VALUES",   "WHEN",	  "WHERE",  "WITH",
};

static bool is_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
}

/* Cuts the next word off; other characters are words of one byte. Literals and comments are left
 * out; *ret_open: the text ends in one. */
static struct slice next_word(struct slice *rest, bool *ret_open)
{
	while (rest->n) {
		struct slice s = *rest;
		size_t n = 0;

		if (s.p[0] == '\'' || s.p[0] == '"') {
			n = 1 + slice_find(slice_from(s, 1), s.p[0]);
			*ret_open |= n >= s.n;
			*rest = slice_from(s, MIN(n + 1, s.n));
		} else if (slice_starts(s, SLICE_LIT("--"))) {
			n = slice_find(s, '\n');
			*ret_open |= n == s.n;
			*rest = slice_from(s, n);
		} else if (s.p[0] <= ' ') {
			*rest = slice_from(s, 1);
		} else {
			while (n < s.n && is_word(s.p[n]))
				n++;
			n = MAX(n, (size_t)1);
			*rest = slice_from(s, n);
			return slice_head(s, n);
		}
	}
	return (struct slice){ 0 };
}

static bool starts_nocase(const char *name, struct slice word)
{
	return strlen(name) >= word.n && slice_eq_nocase(slice_of(name, word.n), word);
}

static void offer(struct completion *c, const char *name, struct slice word)
{
	size_t at = c->n;

	if (!name || !starts_nocase(name, word) || c->n == COMPLETE_MAX)
		return;
	while (at && strcmp(c->names[at - 1], name) > 0)
		at--;
	if (at && strcmp(c->names[at - 1], name) == 0)
		return;
	memmove(&c->names[at + 1], &c->names[at], (c->n - at) * sizeof(c->names[0]));
	c->names[at] = name;
	c->n++;
}

static void offer_columns(struct completion *c, const struct column *const *columns, size_t n,
			  struct slice word)
{
	for (size_t i = 0; i < n; i++)
		if (!(columns[i]->flags & COL_F_HIDDEN))
			offer(c, columns[i]->name, word);
}

/* Columns of the named table; the views over all exchanges have the common ones. */
static bool offer_table(struct completion *c, struct slice table, struct slice word)
{
	size_t n, n_common;
	const struct table_schema *const *all = schema_tables(&n);
	const struct column *const *common = schema_common(&n_common);

	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(table, slice_str(all[i]->name))) {
			offer_columns(c, all[i]->columns, all[i]->n_columns, word);
			return true;
		}
	if (!slice_eq_nocase(table, SLICE_LIT("requests")) &&
	    !slice_eq_nocase(table, SLICE_LIT("observations")))
		return false;
	offer_columns(c, common, n_common, word);
	return true;
}

static void offer_tables(struct completion *c, struct slice word)
{
	const char *name;

	for (size_t i = 0; (name = query_table_name(i)); i++)
		offer(c, name, word);
}

/* Of every table that a text names. */
static bool offer_mentioned(struct completion *c, struct slice text, struct slice word)
{
	bool open = false, found = false;

	while (text.n)
		found |= offer_table(c, next_word(&text, &open), word);
	return found;
}

static void offer_others(struct completion *c, struct slice word)
{
	const char *name;

	for (size_t i = 0; (name = query_function_name(i)); i++)
		offer(c, name, word);
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		offer(c, keywords[i], word);
}

static void finish(struct completion *c, struct slice word)
{
	c->typed = word.n;
	c->upper = word.n > 0;
	for (size_t i = 0; i < word.n; i++)
		c->upper &= !(word.p[i] >= 'a' && word.p[i] <= 'z');
	c->common = c->n ? strlen(c->names[0]) : 0;
	for (size_t i = 1; i < c->n; i++) {
		size_t k = 0;

		while (k < c->common && (c->names[0][k] | 0x20) == (c->names[i][k] | 0x20))
			k++;
		c->common = k;
	}
}

static struct slice last_word(struct slice text)
{
	size_t at = text.n;

	while (at && is_word(text.p[at - 1]))
		at--;
	return slice_from(text, at);
}

/* Whether a table is meant at the end of the text: behind FROM or JOIN, or a comma behind them. */
static bool wants_table(struct slice text, bool *ret_open)
{
	bool wants = false, list = false;

	while (text.n) {
		struct slice w = next_word(&text, ret_open);

		if (!w.n)
			break;
		if (slice_eq_nocase(w, SLICE_LIT("from")) || slice_eq_nocase(w, SLICE_LIT("join")))
			wants = list = true;
		else if (w.p[0] == ',')
			wants = list;
		else if (is_word(w.p[0]) && !wants)
			list &= !slice_eq_nocase(w, SLICE_LIT("where")) &&
				!slice_eq_nocase(w, SLICE_LIT("on")) &&
				!slice_eq_nocase(w, SLICE_LIT("group")) &&
				!slice_eq_nocase(w, SLICE_LIT("order"));
		else
			wants = false;
	}
	return wants;
}

void complete_statement(struct slice text, struct slice rest, struct completion *ret)
{
	struct slice word = last_word(text), before = slice_head(text, text.n - word.n);
	bool open = false, table = wants_table(before, &open), found;

	*ret = (struct completion){ 0 };
	if (open)
		return;
	if (table) {
		offer_tables(ret, word);
	} else {
		found = offer_mentioned(ret, before, word);
		found |= offer_mentioned(ret, rest, word);
		if (!found)
			offer_table(ret, SLICE_LIT("requests"), word);
		/* behind "t." stands a column of t, whatever t is */
		if (!before.n || before.p[before.n - 1] != '.')
			offer_others(ret, word);
	}
	finish(ret, word);
}

void complete_meta(struct slice line, const char *const *metas, struct completion *ret)
{
	static const char *const outputs[] = { "table", "wide", "json", "jsonl", "csv", "name" };
	size_t n = slice_find(line, ' ');
	struct slice word = line;

	*ret = (struct completion){ 0 };
	if (n < line.n) {
		word = last_word(line);
		if (slice_eq_str(slice_head(line, n), "\\d"))
			offer_tables(ret, word);
		for (size_t i = 0; i < ARRAY_SIZE(outputs); i++)
			if (slice_eq_str(slice_head(line, n), "\\o"))
				offer(ret, outputs[i], word);
	} else {
		for (; *metas; metas++)
			offer(ret, *metas, word);
	}
	finish(ret, word);
}

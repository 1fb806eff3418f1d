#include "query/sqltext.h"

#include "base/text.h"
#include "query/catalog.h"

#include <errno.h>
#include <inttypes.h>

/* 1973 as nanoseconds: an integer above the first and below the second is some other unit. */
#define TIME_SMALL  100000000LL
#define TIME_NS_MIN 100000000000000000LL

int time_from_text(struct slice text, int64_t *ret_ns, const char **ret_reason,
		   const char **ret_hint)
{
	uint64_t ns;

	if (parse_time(text, &ns) < 0 || ns > INT64_MAX) {
		*ret_reason = "this text is no time";
		*ret_hint = "write RFC 3339, as in '2026-01-02T03:04:05Z', or ago('5m')";
		return -EINVAL;
	}
	*ret_ns = (int64_t)ns;
	return 0;
}

int time_from_number(int64_t v, const char **ret_reason, const char **ret_hint)
{
	if (v < TIME_SMALL || v >= TIME_NS_MIN)
		return 0;
	*ret_reason = v < 100000000000LL ? "this number looks like seconds, times are nanoseconds"
					 : "this number is too small for nanoseconds since 1970";
	*ret_hint = "multiply it, or write RFC 3339, as in '2026-01-02T03:04:05Z', or ago('5m')";
	return -EINVAL;
}

static bool is_name_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_' || c == '$' || c >= 0x80;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* End of a run in quotes that starts at i; a doubled quote is a part of it. */
static size_t quoted_end(struct slice s, size_t i, uint8_t close)
{
	for (i++; i < s.n; i++) {
		if (s.p[i] != close)
			continue;
		if (close != ']' && i + 1 < s.n && s.p[i + 1] == close)
			i++;
		else
			return i + 1;
	}
	return s.n;
}

static size_t number_end(struct slice s, size_t i)
{
	while (i < s.n && (is_name_byte(s.p[i]) || s.p[i] == '.' ||
			   ((s.p[i] == '+' || s.p[i] == '-') && (s.p[i - 1] | 0x20) == 'e')))
		i++;
	return i;
}

/* Spaces and comments from i on. */
static size_t skip_blank(struct slice s, size_t i)
{
	for (;;) {
		struct slice rest = slice_from(s, i);

		if (rest.n && (rest.p[0] == ' ' || (rest.p[0] >= '\t' && rest.p[0] <= '\r'))) {
			i++;
		} else if (slice_starts(rest, SLICE_LIT("--"))) {
			i += slice_find(rest, '\n');
		} else if (slice_starts(rest, SLICE_LIT("/*"))) {
			const uint8_t *end = memmem(rest.p + 2, rest.n - 2, "*/", 2);

			i = end ? (size_t)(end - s.p) + 2 : s.n;
		} else {
			return i;
		}
	}
}

static size_t operator_end(struct slice s, size_t i)
{
	static const char *const doubles[] = {
		"<=", ">=", "==", "!=", "<>", "||", "<<", ">>", "->"
	};

	for (size_t k = 0; k < ARRAY_SIZE(doubles); k++)
		if (slice_starts(slice_from(s, i), slice_str(doubles[k])))
			return i + 2;
	return i + 1;
}

/* The token at i; returns where it ends. */
static size_t lex_one(struct slice s, size_t i, struct tok *ret)
{
	uint8_t c = s.p[i];
	size_t end = i + 1;

	*ret = (struct tok){ .kind = TOK_OP, .at = (uint32_t)i };
	if (c == '\'') {
		ret->kind = TOK_STRING;
		end = quoted_end(s, i, c);
	} else if (c == '"' || c == '`' || c == '[') {
		ret->kind = TOK_WORD;
		ret->quoted = true;
		end = quoted_end(s, i, c == '[' ? ']' : c);
	} else if (is_digit(c) || (c == '.' && i + 1 < s.n && is_digit(s.p[i + 1]))) {
		ret->kind = TOK_NUMBER;
		end = number_end(s, i + 1);
	} else if (c == ':' || c == '@' || c == '$' || c == '?' || c == '#') {
		ret->kind = TOK_VAR;
		while (end < s.n && is_name_byte(s.p[end]))
			end++;
	} else if (is_name_byte(c)) {
		ret->kind = TOK_WORD;
		while (end < s.n && is_name_byte(s.p[end]))
			end++;
	} else {
		end = operator_end(s, i);
	}
	ret->n = (uint32_t)(end - i);
	return end;
}

static int lex(struct sqltext *t)
{
	size_t i = skip_blank(t->sql, 0);

	while (i < t->sql.n) {
		if (t->n == t->cap) {
			size_t cap = t->cap ? 2 * t->cap : 128;
			struct tok *toks = reallocarray(t->toks, cap, sizeof(*toks));

			if (!toks)
				return -ENOMEM;
			t->toks = toks;
			t->cap = cap;
		}
		i = skip_blank(t->sql, lex_one(t->sql, i, &t->toks[t->n++]));
	}
	return 0;
}

struct slice sqltext_word(const struct sqltext *t, size_t i)
{
	const struct tok *k = &t->toks[i];
	struct slice s = slice_of(t->sql.p + k->at, k->n);

	if ((k->quoted || k->kind == TOK_STRING) && s.n >= 2)
		return slice_of(s.p + 1, s.n - 2);
	return s;
}

static bool is_op(const struct sqltext *t, size_t i, const char *op)
{
	return i < t->n && t->toks[i].kind == TOK_OP && slice_eq_str(sqltext_word(t, i), op);
}

static bool is_keyword(const struct sqltext *t, size_t i, const char *word)
{
	return i < t->n && t->toks[i].kind == TOK_WORD && !t->toks[i].quoted &&
	       slice_eq_nocase(sqltext_word(t, i), slice_str(word));
}

static bool is_any_op(const struct sqltext *t, size_t i, const char *const *ops, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (is_op(t, i, ops[k]))
			return true;
	return false;
}

/* Operators that bind tighter than a comparison: what stands beside one is no whole operand. */
static bool is_arithmetic(const struct sqltext *t, size_t i)
{
	static const char *const ops[] = { "+",	 "-",  "*", "/", "%",  "||",
					   "<<", ">>", "&", "|", "->", "~" };

	return is_any_op(t, i, ops, ARRAY_SIZE(ops));
}

static bool is_comparison(const struct sqltext *t, size_t i)
{
	static const char *const ops[] = { "=", "==", "<", "<=", ">", ">=", "!=", "<>" };

	return is_any_op(t, i, ops, ARRAY_SIZE(ops));
}

bool sqltext_mentions(const struct sqltext *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->toks[i].kind == TOK_WORD &&
		    slice_eq_nocase(sqltext_word(t, i), slice_str(name)))
			return true;
	return false;
}

static bool is_time_name(const struct sqltext *t, size_t i)
{
	return i < t->n && t->toks[i].kind == TOK_WORD && !is_op(t, i + 1, "(") &&
	       !is_op(t, i + 1, ".") && catalog_is_time(sqltext_word(t, i));
}

/* A name with its qualifiers that ends (starts) at i: whether it is a time column that is a whole
 * operand of a comparison. */
static bool time_ends_at(const struct sqltext *t, size_t i)
{
	if (!is_time_name(t, i))
		return false;
	while (i >= 2 && is_op(t, i - 1, "."))
		i -= 2;
	return i == 0 || !is_arithmetic(t, i - 1);
}

static size_t skip_qualifiers(const struct sqltext *t, size_t i)
{
	while (i + 2 < t->n && t->toks[i].kind == TOK_WORD && is_op(t, i + 1, "."))
		i += 2;
	return i;
}

static bool time_starts_at(const struct sqltext *t, size_t i)
{
	i = skip_qualifiers(t, i);
	return is_time_name(t, i) && !is_arithmetic(t, i + 1);
}

static bool is_constant(const struct sqltext *t, size_t i)
{
	return i < t->n && (t->toks[i].kind == TOK_STRING || t->toks[i].kind == TOK_NUMBER ||
			    t->toks[i].kind == TOK_VAR);
}

struct rewriter {
	struct sqltext *t;
	size_t copied; /* bytes of the original */
	struct query_error *error;
};

static int replace(struct rewriter *w, const struct tok *k, const char *before, const char *text,
		   const char *after)
{
	struct sqltext *t = w->t;
	size_t start;

	if (t->n_edits == t->cap_edits) {
		size_t cap = t->cap_edits ? 2 * t->cap_edits : 16;
		struct sql_edit *edits = reallocarray(t->edits, cap, sizeof(*edits));

		if (!edits)
			return -ENOMEM;
		t->edits = edits;
		t->cap_edits = cap;
	}
	strbuf_add(&t->rewritten, t->sql.p + w->copied, k->at - w->copied);
	start = t->rewritten.len;
	strbuf_adds(&t->rewritten, before);
	if (text)
		strbuf_adds(&t->rewritten, text);
	else
		strbuf_add(&t->rewritten, t->sql.p + k->at, k->n);
	strbuf_adds(&t->rewritten, after);
	w->copied = k->at + k->n;
	t->edits[t->n_edits++] = (struct sql_edit){ k->at, k->n,
						    (uint32_t)(t->rewritten.len - start) };
	return 0;
}

/* Token i is compared with a time: checks it, and makes a text into nanoseconds. */
static int convert(struct rewriter *w, size_t i)
{
	const struct tok *k = &w->t->toks[i];
	const char *reason, *hint;
	struct slice text = sqltext_word(w->t, i);
	char number[24];
	int64_t v = 0;
	int r = 0;

	/* Already converted, when it is compared with times on both of its sides. */
	if (k->at < w->copied)
		return 0;
	if (k->kind == TOK_STRING)
		r = time_from_text(text, &v, &reason, &hint);
	else if (k->kind == TOK_NUMBER && parse_i64(text, &v) == 0)
		r = time_from_number(v, &reason, &hint);
	if (r < 0) {
		*w->error = (struct query_error){ .code = "bad_time", .position = (int)k->at };
		snprintf(w->error->message, sizeof(w->error->message), "%s", reason);
		snprintf(w->error->hint, sizeof(w->error->hint), "%s", hint);
		return r;
	}
	if (k->kind == TOK_NUMBER && v)
		return 0;
	if (k->kind != TOK_STRING)
		return replace(w, k, "kelpie_time(", NULL, ")");
	snprintf(number, sizeof(number), "%" PRId64, v);
	return replace(w, k, "", number, "");
}

/* A constant operand that starts at i; sets *ret_after to the token behind it. */
static int convert_operand(struct rewriter *w, size_t i, size_t *ret_after)
{
	*ret_after = i;
	if (!is_constant(w->t, i) || is_arithmetic(w->t, i + 1))
		return 0;
	*ret_after = i + 1;
	return convert(w, i);
}

static int rewrite_comparison(struct rewriter *w, size_t op)
{
	struct sqltext *t = w->t;
	size_t after;

	if (op > 0 && time_ends_at(t, op - 1)) {
		t->compares_time |= !time_starts_at(t, op + 1);
		return convert_operand(w, op + 1, &after);
	}
	if (!time_starts_at(t, op + 1))
		return 0;
	t->compares_time = true;
	if (op > 0 && is_constant(t, op - 1) && (op == 1 || !is_arithmetic(t, op - 2)))
		return convert(w, op - 1);
	return 0;
}

/* time [NOT] BETWEEN a AND b, time [NOT] IN (a, b, ...) */
static int rewrite_keyword(struct rewriter *w, size_t i)
{
	struct sqltext *t = w->t;
	size_t left = i >= 2 && is_keyword(t, i - 1, "NOT") ? i - 2 : i - 1;
	bool between = is_keyword(t, i, "BETWEEN");
	size_t at = i + 1;
	int r;

	if (i == 0 || (!between && !is_keyword(t, i, "IN")) || !time_ends_at(t, left))
		return 0;
	t->compares_time |= !is_time_name(t, skip_qualifiers(t, at));
	if (between) {
		r = convert_operand(w, at, &at);
		return r == 0 && is_keyword(t, at, "AND") ? convert_operand(w, at + 1, &at) : r;
	}
	if (!is_op(t, at, "("))
		return 0;
	r = convert_operand(w, at + 1, &at);
	while (r == 0 && is_op(t, at, ","))
		r = convert_operand(w, at + 1, &at);
	return r;
}

static int rewrite(struct rewriter *w)
{
	struct sqltext *t = w->t;
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->n; i++) {
		if (is_comparison(t, i))
			r = rewrite_comparison(w, i);
		else if (t->toks[i].kind == TOK_WORD)
			r = rewrite_keyword(w, i);
	}
	if (r < 0)
		return r;
	strbuf_add(&t->rewritten, t->sql.p + w->copied, t->sql.n - w->copied);
	return t->rewritten.failed ? -ENOMEM : 0;
}

static void look(struct sqltext *t)
{
	static const char *const identity[] = { "OR", "RIGHT", "FULL", "ROWID", "_ROWID_", "OID" };

	for (size_t i = 0; i < ARRAY_SIZE(identity); i++)
		t->wants_rowid |= sqltext_mentions(t, identity[i]);
	t->has_natural = sqltext_mentions(t, "NATURAL");
	for (size_t i = 0; i < t->n; i++)
		t->has_star |= is_op(t, i, "*");
}

int sqltext_read(struct slice sql, struct sqltext *ret, struct query_error *ret_error)
{
	struct rewriter w = { .t = ret, .error = ret_error };
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->sql = sql;
	strbuf_init(&ret->rewritten, 4 * QUERY_SQL_MAX);
	if (sql.n > QUERY_SQL_MAX) {
		*ret_error = (struct query_error){ .code = "limit", .position = -1 };
		snprintf(ret_error->message, sizeof(ret_error->message),
			 "a statement has at most %d bytes", QUERY_SQL_MAX);
		return -EINVAL;
	}
	r = lex(ret);
	if (r == 0) {
		look(ret);
		r = rewrite(&w);
	}
	if (r < 0)
		sqltext_done(ret);
	return r;
}

void sqltext_done(struct sqltext *t)
{
	free(t->toks);
	free(t->edits);
	strbuf_done(&t->rewritten);
	memset(t, 0, sizeof(*t));
}

int sqltext_position(const struct sqltext *t, int rewritten)
{
	int shift = 0; /* rewritten place minus original place */

	if (rewritten < 0)
		return -1;
	for (size_t i = 0; i < t->n_edits; i++) {
		const struct sql_edit *e = &t->edits[i];

		if (rewritten < (int)e->at + shift)
			break;
		if (rewritten < (int)(e->at + e->new_n) + shift)
			return (int)e->at;
		shift += (int)e->new_n - (int)e->old_n;
	}
	return rewritten - shift;
}

/* The token behind the parenthesis that opens at i. */
static size_t skip_parens(const struct sqltext *t, size_t i, size_t to)
{
	size_t depth = 0;

	for (; i < to; i++) {
		depth += is_op(t, i, "(");
		if (is_op(t, i, ")") && --depth == 0)
			return i + 1;
	}
	return to;
}

/* The result list of the outermost SELECT. */
static bool result_list(const struct sqltext *t, struct tok_range *ret)
{
	static const char *const ends[] = { "FROM",  "WHERE", "GROUP", "HAVING", "WINDOW",
					    "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT" };
	size_t i = 0;

	while (i < t->n && !is_keyword(t, i, "SELECT"))
		i = is_op(t, i, "(") ? skip_parens(t, i, t->n) : i + 1;
	if (i >= t->n)
		return false;
	i++;
	if (is_keyword(t, i, "DISTINCT") || is_keyword(t, i, "ALL"))
		i++;
	ret->from = i;
	while (i < t->n && !is_op(t, i, ";")) {
		for (size_t k = 0; k < ARRAY_SIZE(ends); k++)
			if (is_keyword(t, i, ends[k])) {
				ret->to = i;
				return true;
			}
		i = is_op(t, i, "(") ? skip_parens(t, i, t->n) : i + 1;
	}
	ret->to = i;
	return true;
}

/* Element i of a comma list, from the end when back is set; false past the end. */
static bool list_element(const struct sqltext *t, struct tok_range list, size_t i,
			 struct tok_range *ret, size_t *ret_count, size_t *ret_star)
{
	size_t at = list.from, start = list.from, n = 0;
	bool found = false;

	*ret_star = SIZE_MAX;
	while (at <= list.to) {
		if (at == list.to || is_op(t, at, ",")) {
			if (n == i) {
				*ret = (struct tok_range){ start, at };
				found = true;
			}
			if (at > start && is_op(t, at - 1, "*") &&
			    (at - start == 1 || is_op(t, at - 2, ".")))
				*ret_star = *ret_star == SIZE_MAX ? n : SIZE_MAX - 1;
			n++;
			start = ++at;
		} else {
			at = is_op(t, at, "(") ? skip_parens(t, at, list.to) : at + 1;
		}
	}
	*ret_count = n;
	return found;
}

static void drop_alias(const struct sqltext *t, struct tok_range *r)
{
	size_t last = r->to - 1;

	if (r->to - r->from < 2)
		return;
	if (t->toks[last].kind != TOK_WORD && t->toks[last].kind != TOK_STRING)
		return;
	if (is_keyword(t, last - 1, "AS"))
		r->to -= 2;
	else if (t->toks[last].kind == TOK_WORD && !is_keyword(t, last, "END") &&
		 (is_op(t, last - 1, ")") ||
		  (t->toks[last - 1].kind == TOK_WORD && r->to - r->from >= 2 &&
		   (last - 1 == r->from || is_op(t, last - 2, ".")))))
		r->to -= 1;
}

bool sqltext_column(const struct sqltext *t, size_t i, size_t n, struct tok_range *ret)
{
	struct tok_range list;
	size_t count, star;

	if (!result_list(t, &list) || !list_element(t, list, 0, ret, &count, &star))
		return false;
	if (star == SIZE_MAX ? count != n : star == SIZE_MAX - 1)
		return false;
	if (star != SIZE_MAX && i >= star) {
		size_t from_end = n - i;

		/* Behind the star the elements are counted from the end. */
		if (from_end >= count - star)
			return false;
		i = count - from_end;
	}
	if (!list_element(t, list, i, ret, &count, &star))
		return false;
	drop_alias(t, ret);
	return ret->to > ret->from;
}

bool sqltext_call(const struct sqltext *t, struct tok_range r, struct slice *ret_name,
		  struct tok_range *ret_arg)
{
	size_t end, count, star;

	if (r.to < r.from + 3 || t->toks[r.from].kind != TOK_WORD || !is_op(t, r.from + 1, "("))
		return false;
	end = skip_parens(t, r.from + 1, r.to);
	if (end != r.to && !is_keyword(t, end, "FILTER") && !is_keyword(t, end, "OVER"))
		return false;
	*ret_name = sqltext_word(t, r.from);
	return list_element(t, (struct tok_range){ r.from + 2, end - 1 }, 0, ret_arg, &count,
			    &star);
}

struct slice sqltext_name(const struct sqltext *t, struct tok_range r)
{
	if (r.to == r.from || skip_qualifiers(t, r.from) != r.to - 1 ||
	    t->toks[r.to - 1].kind != TOK_WORD)
		return slice_of(NULL, 0);
	return sqltext_word(t, r.to - 1);
}

bool sqltext_calls(const struct sqltext *t, struct tok_range r, const char *function)
{
	for (size_t i = r.from; i + 1 < r.to; i++)
		if (t->toks[i].kind == TOK_WORD && is_op(t, i + 1, "(") &&
		    slice_eq_nocase(sqltext_word(t, i), slice_str(function)))
			return true;
	return false;
}

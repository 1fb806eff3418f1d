/* SQL text: where statements end, what is left without literals, fingerprints, verbs, traces.
 *
 * First byte: the dialect (2 bits), and whether the rest is a text as it is or chooses parts of one
 * (bit 2). In the latter each literal holds a mark, and none may be left wherever the text is cut.
 */
#include "base/sql_mask.h"
#include "base/sql_norm.h"
#include "base/sql_split.h"
#include "base/sql_trace.h"
#include "base/util.h"
#include "tests/fuzz/work.h"

#include <stdio.h>

#define MARK	  "QZ"
#define TEXT_MAX  4096
#define PIECE_MAX 16 /* bytes */

static const struct work_bound split_bound = { "sql_split", 128, 4096 };
static const struct work_bound mask_bound = { "sql_mask", 128, 4096 };
static const struct work_bound norm_bound = { "sql_norm", 128, 4096 };
static const struct work_bound verb_bound = { "sql_verb", 128, 4096 };
static const struct work_bound trace_bound = { "sql_traceparent", 128, 4096 };

static void check(bool ok, const char *what, struct slice sql)
{
	if (!ok) {
		fprintf(stderr, "fuzz_sqltext: %s of: %.*s\n", what, (int)sql.n,
			(const char *)sql.p);
		abort();
	}
}

/* ---- splitting ---- */

/* A number for where statements end, and whether they are empty. */
struct ends {
	uint64_t sum, n;
};

/* size: of the pieces; each is copied, so that a read beyond it is seen. */
static struct ends split(struct slice sql, enum sql_dialect dialect, size_t size)
{
	struct ends ends = { 0 };
	struct sql_split s;
	size_t at = 0;

	sql_split_init(&s, dialect);
	while (at < sql.n) {
		struct slice piece = slice_head(slice_from(sql, at), size);
		uint8_t *copy = malloc(piece.n);
		bool end, empty = false;
		size_t n;

		memcpy(copy, piece.p, piece.n);
		n = sql_split(&s, slice_of(copy, piece.n), &end, &empty);
		free(copy);
		check(n <= piece.n && (end ? n > 0 && piece.p[n - 1] == ';' : n == piece.n),
		      "an end that is none", sql);
		at += n;
		if (end)
			ends = (struct ends){ ends.sum * 31 + at * 2 + empty, ends.n + 1 };
	}
	ends.sum = ends.sum * 2 + sql_split_empty(&s);
	return ends;
}

static void check_split(struct slice sql, enum sql_dialect dialect)
{
	struct ends whole, pieces;

	work_begin();
	whole = split(sql, dialect, sql.n);
	work_end(&split_bound, sql.n);
	pieces = split(sql, dialect, 1 + sql.n % PIECE_MAX);
	check(whole.sum == pieces.sum && whole.n == pieces.n, "other ends in pieces", sql);
}

/* ---- what is left ---- */

static bool has_literal(struct slice sql, enum sql_dialect dialect)
{
	struct sql_lexer l;
	struct sql_token t;

	sql_lex_init(&l, dialect, true);
	while ((t = sql_lex(&l, &sql)).kind != SQL_END)
		if (t.kind == SQL_STRING || t.kind == SQL_NUMBER)
			return true;
	return false;
}

static void no_mark(const char *out, size_t n, const char *what, struct slice sql)
{
	check(memmem(out, n, MARK, sizeof(MARK) - 1) == NULL, what, sql);
}

static void check_mask(struct slice sql, enum sql_dialect dialect, bool marked)
{
	char *out = malloc(sql.n + 1);
	size_t n, cap = 3 + sql.n / 2;

	work_begin();
	n = sql_mask(sql, dialect, out, sql.n + 1);
	work_end(&mask_bound, sql.n);
	check(n <= sql.n, "a longer text without literals", sql);
	check(!has_literal(slice_of(out, n), dialect), "a literal in what has none", sql);
	if (marked)
		no_mark(out, n, "a datum in sql_mask", sql);
	if (cap <= sql.n)
		check(sql_mask(sql, dialect, out, cap) <= cap, "too much text", sql);
	free(out);
}

static void check_norm(struct slice sql, enum sql_dialect dialect, bool marked)
{
	char *one = malloc(SQL_NORM_MAX), *two = malloc(SQL_NORM_MAX);
	size_t n, m;

	work_begin();
	n = sql_norm(sql, dialect, one);
	work_end(&norm_bound, sql.n);
	check(n <= SQL_NORM_MAX, "a long fingerprint", sql);
	if (marked)
		no_mark(one, n, "a datum in sql_norm", sql);
	m = sql_norm(slice_of(one, n), dialect, two);
	check(m == n && memcmp(one, two, n) == 0, "another fingerprint of the fingerprint", sql);
	m = sql_norm_cut(sql, dialect, two);
	check(m >= 3 && m <= SQL_NORM_MAX && memcmp(two + m - 3, "...", 3) == 0,
	      "a fingerprint without its mark", sql);
	if (marked)
		no_mark(two, m, "a datum in sql_norm_cut", sql);
	free(one);
	free(two);
}

static void check_text(struct slice sql, enum sql_dialect dialect, bool marked)
{
	char trace[SQL_TRACEPARENT_MAX];
	const char *verb;

	check_split(sql, dialect);
	check_mask(sql, dialect, marked);
	check_norm(sql, dialect, marked);
	work_begin();
	verb = sql_verb(sql, dialect);
	work_end(&verb_bound, sql.n);
	check(!verb || (strlen(verb) > 1 && strlen(verb) < 32), "a verb that is none", sql);
	work_begin();
	check(sql_traceparent(sql, dialect, trace) <= sizeof(trace), "a long trace", sql);
	work_end(&trace_bound, sql.n);
}

/* ---- texts with marks ---- */

static const char *const plain[] = {
	" ",	  "\n",	   "select", "insert", "\t", "values", "in",  "(",  ")", ",",
	";",	  "+",	   "=",	     "<",      "a",  "t.b",    " - ", "::", ".", "null",
	" @v ",	  "/",	   "[",	     "]",      "as", "create", "?",   "*",  "%", "set password = ",
	" user ", " end ", " e ",    " u&",    "_x",
};

/* A literal or comment that holds a mark; behind a name it would be part of that. */
static const char *const literals_pgsql[] = {
	"'QZ'",	  "'a''QZ'",	       "E'\\'QZ'",	"e'\\\\'",   "E'a'\n'\\'QZ'",
	"$$QZ$$", "$x$'$$QZ$ $x$",     "U&'QZ'",	"N'QZ'",     "X'QZ'",
	"1QZ",	  "/* ' QZ */",	       "/*/*QZ*/QZ*/",	"-- ' QZ\n", "-1e5QZ",
	"'\\'",	  "E'a' -- \n'\\'QZ'", "$a1$QZ$a$$a1$", ".5QZ",	     "0xQZ",
};
static const char *const literals_mysql[] = {
	"'QZ'",	    "'a''QZ'",		"'\\'QZ'",   "\"\\\"QZ\"", "\"QZ\"\"QZ\"",
	"'\\\\'",   "\"'QZ\"",		"_utf8'QZ'", "x'QZ'",	   "N'QZ'",
	"1QZ",	    "/* ' QZ */",	"# ' QZ\n",  "-- ' QZ\n",  "-1e5QZ",
	"--\tQZ\n", "/*!50001 'QZ' */", "_b\"QZ\"",  ".5QZ",	   "0xQZ",
};

/* Chooses a part for each byte. */
static size_t make_text(struct slice in, bool mysql, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n && n < TEXT_MAX - 32; i++) {
		const char *const *literals = mysql ? literals_mysql : literals_pgsql;
		uint8_t c = in.p[i];
		const char *part = c & 1 ? literals[c / 2 % ARRAY_SIZE(literals_mysql)]
					 : plain[c / 2 % ARRAY_SIZE(plain)];

		/* Not the end of a name, nor what an E'..' before it goes on with. */
		if (c & 1)
			out[n++] = ',';
		memcpy(out + n, part, strlen(part));
		n += strlen(part);
	}
	return n;
}

_Static_assert(ARRAY_SIZE(literals_mysql) == ARRAY_SIZE(literals_pgsql), "chosen alike");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_from(slice_of(data, size), 1);
	enum sql_dialect dialect;
	char *text;
	size_t n;

	if (size == 0)
		return 0;
	dialect = (enum sql_dialect)(data[0] & 3);
	if (!(data[0] & 4)) {
		check_text(in, dialect, false);
		return 0;
	}
	dialect = dialect & 1 ? SQL_MYSQL : SQL_ANSI;
	text = malloc(TEXT_MAX);
	n = make_text(in, dialect == SQL_MYSQL, text);
	check_text(slice_of(text, n), dialect, true);
	check_text(slice_of(text, n - n * (data[0] >> 3) / 64), dialect, true);
	free(text);
	return 0;
}

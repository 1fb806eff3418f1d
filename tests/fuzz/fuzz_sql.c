/* Statements of strangers, as text: the lexer and rewriter, then all of it through SQLite over an
 * empty source; regular expressions against the same bytes. */
#include "query/query.h"
#include "query/regex.h"
#include "query/sqltext.h"
#include "tests/fuzz/work.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int empty_next(struct scan *s, struct scan_batch *ret)
{
	(void)s;
	(void)ret;
	return 0;
}

static void empty_coverage(const struct scan *s, struct scan_coverage *ret)
{
	(void)s;
	memset(ret, 0, sizeof(*ret));
}

static void empty_close(struct scan *s)
{
	(void)s;
}

static const struct scan_ops empty_ops = { empty_next, empty_coverage, empty_close };

static int empty_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	static struct scan empty = { &empty_ops };

	(void)src;
	must(scan_plan_check(plan) == 0);
	*ret = &empty;
	return 0;
}

static int take_columns(void *ctx, const struct query_column *cols, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		must(cols[i].name && cols[i].type && cols[i].unit_name);
	return 0;
}

static int take_row(void *ctx, const struct query_cell *cells, size_t n)
{
	(void)ctx;
	(void)cells;
	(void)n;
	return 0;
}

static void run(struct slice sql)
{
	static struct scan_source source = { empty_open };
	static struct query_conn *conn;
	const struct query_sink sink = { NULL, take_columns, take_row };
	struct query q = { .sql = sql,
			   .limits = { .timeout_ns = 50 * NSEC_PER_MSEC, .rows = 100 },
			   .range = { 0, UINT64_MAX, true } };
	struct query_coverage cov;
	struct query_error e;
	int r;

	if (!conn && query_open(&source, &conn) < 0)
		return;
	r = query_run(conn, &q, &sink, &cov, &e);
	must(r == 0 || (e.code[0] && e.position < (int)sql.n + 1));
	query_coverage_done(&cov);
}

/* What SQLite does with a statement is bounded by the time limit; what we do before, by its length.
 */
static const struct work_bound text_bound = { "sqltext", 256, 4096 };
/* A pattern of 1 KiB may become REGEX_PROGRAM_MAX instructions. */
static const struct work_bound compile_bound = { "regex_new", 256, 64 * REGEX_PROGRAM_MAX };
/* A byte of the text visits each instruction of the program once; see regex_steps(). */
static const struct work_bound match_bound = { "regex_match", 32, 4096 };

static void read_text(struct slice sql)
{
	struct query_error e = { 0 };
	struct sqltext t;
	int r;

	work_begin();
	r = sqltext_read(sql, &t, &e);
	work_end(&text_bound, sql.n);
	must(r == 0 || e.code[0] || r == -ENOMEM);
	if (r == 0)
		sqltext_done(&t);
}

static void match(struct slice pattern, struct slice text)
{
	struct regex_error e;
	struct regex *re;
	int r;

	work_begin();
	r = regex_new(pattern, &re, &e);
	work_end(&compile_bound, pattern.n);
	if (r < 0) {
		must(e.position <= pattern.n);
		return;
	}
	work_begin();
	regex_match(re, text);
	must(regex_steps(re) <= 3ULL * REGEX_PROGRAM_MAX * (text.n + 2));
	work_end(&match_bound, regex_steps(re) + text.n);
	regex_free(re);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	size_t line = slice_find(in, '\n');

	read_text(in);
	run(in);
	match(slice_head(in, line), slice_from(in, line));
	return 0;
}

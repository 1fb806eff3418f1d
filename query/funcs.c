#include "query/query_int.h"

#include "base/path_template.h"
#include "base/sql_norm.h"
#include "base/text.h"
#include "query/regex.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

/* The scalar functions and the table of all of them. To add one: write it here (or in
 * aggregates.c), add its row to the table, and say in describe.c what unit it shows if it has one.
 * A failure goes through query_fail(), so that it reaches people with a code and a hint. */

static struct query_conn *conn_of(sqlite3_context *ctx)
{
	return funcs_conn(ctx);
}

static struct slice arg_text(sqlite3_value *v)
{
	const unsigned char *p = sqlite3_value_text(v);

	return slice_of(p ? p : (const unsigned char *)"", p ? (size_t)sqlite3_value_bytes(v) : 0);
}

static void fail(sqlite3_context *ctx, const char *code, const char *hint, const char *message)
{
	query_fail(conn_of(ctx), code, -1, hint, "%s", message);
	sqlite3_result_error(ctx, message, -1);
}

/* A duration as text ('10s') or integer nanoseconds. */
static bool arg_duration(sqlite3_context *ctx, sqlite3_value *v, const char *function,
			 int64_t *ret_ns)
{
	char message[64];
	uint64_t ns;

	if (sqlite3_value_type(v) == SQLITE_INTEGER && sqlite3_value_int64(v) >= 0) {
		*ret_ns = sqlite3_value_int64(v);
		return true;
	}
	if (sqlite3_value_type(v) == SQLITE_TEXT && parse_duration_ns(arg_text(v), &ns) == 0 &&
	    ns <= INT64_MAX) {
		*ret_ns = (int64_t)ns;
		return true;
	}
	snprintf(message, sizeof(message), "%s wants a duration", function);
	fail(ctx, "bad_argument", "write it as in '500ms', '10s', '5m', '2h' or '7d'", message);
	return false;
}

static void fn_now(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	(void)argv;
	sqlite3_result_int64(ctx, (int64_t)conn_of(ctx)->now_ns);
}

static void fn_ago(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	int64_t ns;

	(void)argc;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return;
	if (arg_duration(ctx, argv[0], "ago()", &ns))
		sqlite3_result_int64(ctx, (int64_t)conn_of(ctx)->now_ns - ns);
}

/* What constants and parameters that are compared with a time are wrapped in. */
static void fn_time(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	const char *reason, *hint;
	int64_t ns = 0;
	int r = 0;

	(void)argc;
	switch (sqlite3_value_type(argv[0])) {
	case SQLITE_NULL:
		return;
	case SQLITE_TEXT:
		r = time_from_text(arg_text(argv[0]), &ns, &reason, &hint);
		break;
	case SQLITE_INTEGER:
		ns = sqlite3_value_int64(argv[0]);
		r = time_from_number(ns, &reason, &hint);
		break;
	case SQLITE_FLOAT:
		if (fabs(sqlite3_value_double(argv[0])) < 9e18)
			r = time_from_number((int64_t)sqlite3_value_double(argv[0]), &reason,
					     &hint);
		if (r == 0) {
			sqlite3_result_value(ctx, argv[0]);
			return;
		}
		break;
	default:
		r = -1;
		reason = "a blob is no time";
		hint = "write RFC 3339, as in '2026-01-02T03:04:05Z', or ago('5m')";
	}
	if (r < 0)
		fail(ctx, "bad_time", hint, reason);
	else
		sqlite3_result_int64(ctx, ns);
}

static void fn_time_bucket(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	int64_t width, t, rest;

	(void)argc;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL ||
	    sqlite3_value_type(argv[1]) == SQLITE_NULL)
		return;
	if (!arg_duration(ctx, argv[0], "time_bucket()", &width))
		return;
	if (width == 0 || sqlite3_value_type(argv[1]) != SQLITE_INTEGER) {
		fail(ctx, "bad_argument", "write time_bucket('10s', time)",
		     "time_bucket() wants a duration above 0 and a time");
		return;
	}
	t = sqlite3_value_int64(argv[1]);
	rest = t % width;
	if (rest < 0)
		rest += width;
	if (ckd_add(&t, t, -rest))
		return;
	sqlite3_result_int64(ctx, t);
}

static void fn_ms(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	if (sqlite3_value_type(argv[0]) != SQLITE_NULL)
		sqlite3_result_double(ctx, sqlite3_value_double(argv[0]) / (double)NSEC_PER_MSEC);
}

/* Three digits and a unit below a minute, two units above. */
static void format_duration(double ns, char *out, size_t cap)
{
	static const struct {
		double factor;
		const char *name;
	} units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" } };
	const char *sign = ns < 0 ? "-" : "";
	double abs_ns = fabs(ns);

	if (abs_ns >= 3600e9) {
		uint64_t minutes = (uint64_t)(abs_ns / 60e9);

		snprintf(out, cap, "%s%" PRIu64 "h%" PRIu64 "m", sign, minutes / 60, minutes % 60);
	} else if (abs_ns >= 60e9) {
		uint64_t seconds = (uint64_t)(abs_ns / 1e9);

		snprintf(out, cap, "%s%" PRIu64 "m%" PRIu64 "s", sign, seconds / 60, seconds % 60);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
			double v = abs_ns / units[i].factor;

			if (v < 1 && i + 1 < ARRAY_SIZE(units))
				continue;
			snprintf(out, cap, "%s%.*f%s", sign,
				 i + 1 == ARRAY_SIZE(units) || v >= 100 ? 0
				 : v >= 10				? 1
									: 2,
				 v, units[i].name);
			break;
		}
	}
}

static void fn_duration(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	char text[48];

	(void)argc;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return;
	if (fabs(sqlite3_value_double(argv[0])) > 9e18)
		return;
	format_duration(sqlite3_value_double(argv[0]), text, sizeof(text));
	sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

/* n per second of the range that the statement's scans cover: from the oldest row that is held
 * where the range has no beginning, to the newest one (or now) where it has no end. */
static void fn_rate(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct query_conn *c = conn_of(ctx);
	uint64_t from = 0, to = UINT64_MAX;

	(void)argc;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return;
	query_effective_range(c, &from, &to);
	if (!from || to <= from)
		return;
	sqlite3_result_double(ctx, sqlite3_value_double(argv[0]) /
					   ((double)(to - from) / (double)NSEC_PER_SEC));
}

static void fn_contains(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct slice text, part;

	(void)argc;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL ||
	    sqlite3_value_type(argv[1]) == SQLITE_NULL)
		return;
	text = arg_text(argv[0]);
	part = arg_text(argv[1]);
	sqlite3_result_int(ctx, part.n == 0 || memmem(text.p, text.n, part.p, part.n) != NULL);
}

static void free_regex(void *re)
{
	regex_free(re);
}

static void fn_regex(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct regex *re = sqlite3_get_auxdata(ctx, 1);
	bool fresh = !re, hit;

	(void)argc;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL ||
	    sqlite3_value_type(argv[1]) == SQLITE_NULL)
		return;
	if (fresh) {
		struct regex_error e;
		char message[160];
		int r = regex_new(arg_text(argv[1]), &re, &e);

		if (r < 0) {
			snprintf(message, sizeof(message),
				 "regex(): %s, at byte %zu of the pattern",
				 r == -ENOMEM ? "no memory" : e.message, e.position + 1);
			fail(ctx, "bad_argument", "", message);
			return;
		}
	}
	hit = regex_match(re, arg_text(argv[0]));
	sqlite3_result_int(ctx, hit);
	if (fresh)
		sqlite3_set_auxdata(ctx, 1, re, free_regex);
}

static void fn_sql_norm(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	enum sql_dialect dialect = SQL_ANSI;
	char out[SQL_NORM_MAX];

	for (int i = 0; i < argc; i++)
		if (sqlite3_value_type(argv[i]) == SQLITE_NULL)
			return;
	if (argc == 2 && slice_eq_str(arg_text(argv[1]), "mysql")) {
		dialect = SQL_MYSQL;
	} else if (argc == 2 && !slice_eq_str(arg_text(argv[1]), "pgsql")) {
		fail(ctx, "bad_argument", "", "sql_norm(): the dialect is 'pgsql' or 'mysql'");
		return;
	}
	sqlite3_result_text(ctx, out, (int)sql_norm(arg_text(argv[0]), dialect, out),
			    SQLITE_TRANSIENT);
}

static void fn_path_template(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	char out[PATH_TEMPLATE_MAX];

	(void)argc;
	if (sqlite3_value_type(argv[0]) != SQLITE_NULL)
		sqlite3_result_text(ctx, out, (int)path_template(arg_text(argv[0]), out),
				    SQLITE_TRANSIENT);
}

#define PURE (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)
#define ANY  (SQLITE_UTF8 | SQLITE_INNOCUOUS)

/* NULL doc: for our own rewritten text, not for people. */
static const struct function functions[] = {
	{ "ago", 1, PURE, fn_ago, NULL, NULL, 0, "ago('5m'): that long before now" },
	{ "contains", 2, PURE, fn_contains, NULL, NULL, 0,
	  "contains(text, part): whether the bytes of part occur in text" },
	{ "count_distinct", 1, ANY, NULL, agg_distinct_step, agg_distinct_final, 0,
	  "count_distinct(x): different values, exact to 10,000, then within 2 %" },
	{ "duration", 1, PURE, fn_duration, NULL, NULL, 0, "duration(ns): as text, 1.25ms" },
	{ "histogram", 1, ANY, NULL, agg_histogram_step, agg_histogram_final, 0,
	  "histogram(x): JSON list of {\"le\":upper bound,\"count\":n}, bounds 1, 2, 5, 10, ..." },
	{ "ms", 1, PURE, fn_ms, NULL, NULL, 0, "ms(ns): nanoseconds as milliseconds" },
	{ "now", 0, PURE, fn_now, NULL, NULL, 0, "now(): the start of the query" },
	{ "p50", 1, ANY, NULL, agg_quantile_step, agg_quantile_final, 50,
	  "p50(x): median, within 1 %" },
	{ "p90", 1, ANY, NULL, agg_quantile_step, agg_quantile_final, 90, "p90(x): within 1 %" },
	{ "p95", 1, ANY, NULL, agg_quantile_step, agg_quantile_final, 95, "p95(x): within 1 %" },
	{ "p99", 1, ANY, NULL, agg_quantile_step, agg_quantile_final, 99, "p99(x): within 1 %" },
	{ "path_template", 1, PURE, fn_path_template, NULL, NULL, 0,
	  "path_template(text): a URL path with a star for its variable segments" },
	{ "quantile", 2, ANY, NULL, agg_quantile_step, agg_quantile_final, 0,
	  "quantile(x, q): q from 0 to 1, within 1 %" },
	{ "rate", 1, ANY, fn_rate, NULL, NULL, 0,
	  "rate(n): n per second of the query's time range" },
	{ "regex", 2, PURE, fn_regex, NULL, NULL, 0,
	  "regex(text, pattern): whether the pattern matches somewhere; linear time" },
	{ "sql_norm", 1, PURE, fn_sql_norm, NULL, NULL, 0,
	  "sql_norm(text[, dialect]): an SQL statement with its literals as ?; 'pgsql', 'mysql'" },
	{ "sql_norm", 2, PURE, fn_sql_norm, NULL, NULL, 0, NULL },
	{ "time_bucket", 2, PURE, fn_time_bucket, NULL, NULL, 0,
	  "time_bucket('10s', time): start of the interval that holds the time (origin UTC)" },
	{ "format", -1, PURE, fn_format, NULL, NULL, 0, NULL },
	{ "printf", -1, PURE, fn_format, NULL, NULL, 0, NULL },
	{ "kelpie_time", 1, PURE, fn_time, NULL, NULL, 0, NULL },
};

const struct function *funcs_table(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(functions);
	return functions;
}

const char *query_function_name(size_t i)
{
	return i < ARRAY_SIZE(functions) && functions[i].doc ? functions[i].name : NULL;
}

const char *query_function_doc(size_t i)
{
	return i < ARRAY_SIZE(functions) ? functions[i].doc : NULL;
}

struct query_conn *funcs_conn(sqlite3_context *ctx)
{
	return ((struct function_data *)sqlite3_user_data(ctx))->conn;
}

int funcs_percent(sqlite3_context *ctx)
{
	return ((struct function_data *)sqlite3_user_data(ctx))->function->percent;
}

int funcs_register(struct query_conn *c)
{
	int rc = SQLITE_OK;

	_Static_assert(ARRAY_SIZE(functions) <= FUNCTIONS_MAX, "FUNCTIONS_MAX");
	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_SIZE(functions); i++) {
		const struct function *f = &functions[i];

		c->functions[i] = (struct function_data){ c, f };
		rc = sqlite3_create_function_v2(c->db, f->name, f->n_args, f->flags,
						&c->functions[i], f->scalar, f->step, f->final,
						NULL);
	}
	return rc;
}

void (*funcs_pushable(struct query_conn *c, const char *name, int *ret_op,
		      void **ret_arg))(sqlite3_context *, int, sqlite3_value **)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		if (!functions[i].scalar || sqlite3_stricmp(functions[i].name, name) != 0)
			continue;
		if (functions[i].scalar != fn_contains && functions[i].scalar != fn_regex)
			return NULL;
		*ret_op = functions[i].scalar == fn_contains ? PUSH_CONTAINS : PUSH_REGEX;
		*ret_arg = &c->functions[i];
		return functions[i].scalar;
	}
	return NULL;
}

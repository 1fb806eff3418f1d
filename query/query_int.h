/* What the files of the SQL surface share: the connection and the state of the running statement.
 */
#ifndef QUERY_QUERY_INT_H
#define QUERY_QUERY_INT_H

#include "query/catalog.h"
#include "query/query.h"
#include "query/sqltext.h"

#include <sqlite3.h>

struct join_cache;

#define PROGRESS_STEPS 1000 /* SQLite's instructions between looks at the clock */
#define FUNCTIONS_MAX  32

/* One row of the function table: a scalar, or step and final of an aggregate. */
struct function {
	const char *name;
	int n_args, flags;
	void (*scalar)(sqlite3_context *, int, sqlite3_value **);
	void (*step)(sqlite3_context *, int, sqlite3_value **);
	void (*final)(sqlite3_context *);
	int percent; /* of p50 and the like */
	const char *doc;
};

struct function_data {
	struct query_conn *conn;
	const struct function *function;
};

struct query_conn {
	sqlite3 *db;
	struct scan_source *source;
	struct function_data functions[FUNCTIONS_MAX];
	struct strbuf modules; /* names of SQLite's own tables, a line each */

	/* Of the running statement; NULL and zero between them. */
	const struct query *q;
	const struct sqltext *text;
	struct query_coverage *cov;
	struct query_error *error;
	struct join_cache *joins; /* owned */
	bool failed;		  /* *error holds why, from a function, a table or the authorizer */
	bool distinct_estimated;  /* some count_distinct() left its exact range */
	bool scanned;		  /* at least one scan with a time range was opened */
	uint64_t now_ns;	  /* unix, fixed for the statement */
	uint64_t deadline_ns;	  /* CLOCK_MONOTONIC; 0: none */
};

/* Records the first failure of the statement; later ones are consequences. */
void query_fail(struct query_conn *c, const char *code, int position, const char *hint,
		const char *fmt, ...) __printf(5, 6);
/* 0, -ECANCELED or -ETIME; records the failure. */
int query_check_time(struct query_conn *c);

/* Register with SQLite; 0 or an SQLite error. */
int funcs_register(struct query_conn *c);
int vtab_register(struct query_conn *c);
int columns_register(struct query_conn *c);
/* The function when tables can use it on a column of theirs, with the constraint by which SQLite
 * then offers it and its user data; NULL for all others. */
void (*funcs_pushable(struct query_conn *c, const char *name, int *ret_op,
		      void **ret_arg))(sqlite3_context *, int, sqlite3_value **);
const struct function *funcs_table(size_t *ret_n);
struct query_conn *funcs_conn(sqlite3_context *ctx);
int funcs_percent(sqlite3_context *ctx);

void fn_format(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void agg_quantile_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void agg_quantile_final(sqlite3_context *ctx);
void agg_distinct_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void agg_distinct_final(sqlite3_context *ctx);
void agg_histogram_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void agg_histogram_final(sqlite3_context *ctx);

#define PUSH_CONTAINS SQLITE_INDEX_CONSTRAINT_FUNCTION
#define PUSH_REGEX    (SQLITE_INDEX_CONSTRAINT_FUNCTION + 1)

/* Everything that a user's statement may do; installed last. */
int guard_install(struct query_conn *c);

/* What a result column shows; has_row: the statement stands on its first row. */
void describe_column(struct query_conn *c, sqlite3_stmt *stmt, int i, int n, bool has_row,
		     struct query_column *ret);
/* Whether it comes from a sketch; final when the statement has ended. */
bool describe_estimated(struct query_conn *c, sqlite3_stmt *stmt, int i, int n);

/* The range that rows of the answer can come from, with its open ends closed by what is held and by
 * the clock. Both 0 when nothing was scanned. */
void query_effective_range(const struct query_conn *c, uint64_t *ret_from_ns, uint64_t *ret_to_ns);
/* The part of the coverage that is known when the statement has ended. */
void coverage_finish(struct query_conn *c, int r);
int coverage_note(struct query_coverage *cov, const char *fmt, ...) __printf(2, 3);

#endif

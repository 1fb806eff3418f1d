/* SQL over a scan source: one read-only statement in, rows through callbacks out, and with every
 * answer how complete it is. The surface of module query; sketch.h, distinct.h, regex.h, wire.h and
 * worker.h stand beside it.
 *
 *	query_open() -> query_run() ... query_run() -> query_close()
 *
 * A connection belongs to one thread at a time. query_run() executes in the calling process; for
 * text of people who are not trusted with this process worker_run() (worker.h) does the same in a
 * limited child.
 */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "base/slice.h"
#include "base/strbuf.h"
#include "storage/scan.h"

#include <stdatomic.h>

#define QUERY_SQL_MAX	  65536	    /* bytes of one statement */
#define QUERY_PARAMS_MAX  100	    /* named parameters of one statement */
#define QUERY_COLUMNS_MAX 200	    /* columns of an answer */
#define QUERY_LIST_MAX	  10000	    /* names in one list of a coverage */
#define QUERY_VALUE_MAX	  (4 * MIB) /* bytes of one value or row inside the executor */

/* Rows with from_ns <= end_time <= to_ns; 0 and UINT64_MAX: no bound. */
struct query_range {
	uint64_t from_ns, to_ns;
	/* Nobody asked for this range: a statement that itself compares time or end_time is not
	 * limited by it. */
	bool is_default;
};

/* :name, @name or $name in the statement; name is given without the sign. */
struct query_param {
	const char *name;
	struct value value;
};

struct query_limits {
	uint64_t timeout_ns;   /* from the call on; 0: none */
	uint64_t rows;	       /* rows of the answer; 0: no cap */
	uint64_t bytes;	       /* bytes of the answer's values; 0: no cap */
	uint64_t memory_bytes; /* address space of a worker (worker.h); unused in-process */
};

struct query {
	struct slice sql;
	struct query_range range;
	const struct query_param *params;
	size_t n_params;
	struct query_limits limits;
	uint64_t now_ns;   /* what now() and ago() mean; 0: the clock */
	uint64_t reach_ns; /* rows have been captured and kept since then; 0: unknown, then the
			    * oldest row held is taken for it */
	const atomic_bool *cancel; /* may be NULL */
};

enum query_kind { QUERY_NULL, QUERY_INT, QUERY_REAL, QUERY_TEXT, QUERY_BLOB };

struct query_cell {
	uint8_t kind; /* enum query_kind */
	int64_t i;
	double r;
	struct slice text; /* of QUERY_TEXT and QUERY_BLOB; borrowed for the call */
};

struct query_column {
	const char *name;      /* borrowed for the call */
	const char *type;      /* "INTEGER", "REAL", "TEXT", "BLOB"; "" when no row told */
	uint8_t unit;	       /* enum col_unit: how to show a cell; UNIT_NONE when unknown */
	const char *unit_name; /* "ns", "ms", "bytes", "1/s", ...; "" when it has none */
	bool approximate;      /* from a sketch (CONTRACT: within 1 % or 2 %) */
};

/* columns() comes once, before the first row, for an empty answer too. A negative errno of either
 * ends the query with it. */
struct query_sink {
	void *ctx;
	int (*columns)(void *ctx, const struct query_column *cols, size_t n);
	int (*row)(void *ctx, const struct query_cell *cells, size_t n);
};

struct query_list {
	char **v; /* owned */
	size_t n; /* at most QUERY_LIST_MAX */
};

/* How much of the truth an answer holds. Zero it before the first use. query_run() fills it from
 * the scans of the statement; who asked several nodes adds what is known of them with the functions
 * below, which also clear `complete` where it has to be. */
struct query_coverage {
	bool complete;	/* no accidental loss in the range, and data reaches back to from_ns */
	bool timed;	/* rows with a time were asked for: losses of some time matter */
	bool truncated; /* stopped by a cap, the deadline or a cancel */
	/* All that clears `complete` is that rows are kept from a later time than from_ns on. */
	bool begins_late;
	uint64_t from_ns, to_ns;       /* what the scans really covered; 0 / UINT64_MAX: no bound */
	uint64_t oldest_ns, newest_ns; /* rows held in the tables of the statement, 0: none */
	uint32_t nodes_ok;
	struct query_list missing; /* names of nodes that did not answer */
	uint64_t rows;		   /* of the answer */
	uint64_t rows_scanned, rows_matched;
	uint64_t lost;	  /* rows or events that were lost by accident, as far as counted */
	uint64_t sampled; /* rows left out on purpose */
	struct query_list approximate; /* names of result columns */
	struct query_list notes; /* sentences for people: why empty, older rows exist, damage */
};

#define QUERY_ERROR_CODE_MAX	32
#define QUERY_ERROR_MESSAGE_MAX 512
#define QUERY_ERROR_HINT_MAX	256

/* Codes: syntax, unknown_table, unknown_column, unknown_function, not_allowed, bad_time,
 * bad_argument, bad_param, limit, memory, timeout, cancelled, source, sink, busy, worker, internal.
 */
struct query_error {
	char code[QUERY_ERROR_CODE_MAX];
	char message[QUERY_ERROR_MESSAGE_MAX];
	char hint[QUERY_ERROR_HINT_MAX]; /* "" without */
	int position;			 /* byte in the statement, from 0; -1 unknown */
};

struct query_conn;

/* src: borrowed until query_close(). 0, -ENOMEM or -EIO. */
int query_open(struct scan_source *src, struct query_conn **ret);
void query_close(struct query_conn *c);
DEFINE_CLEANUP(struct query_conn, query_close)

/* Executes one statement. 0; -EINVAL (statement or parameters, see *ret_error), -EACCES (not
 * allowed), -ENOMEM, -E2BIG (a limit of the language), -ETIME, -ECANCELED, the sink's error, or
 * -EIO (source). A cap on rows or bytes ends the answer without error and sets truncated.
 * *ret_coverage is valid in both cases (query_coverage_done() it), *ret_error only on failure. */
int query_run(struct query_conn *c, const struct query *q, const struct query_sink *sink,
	      struct query_coverage *ret_coverage, struct query_error *ret_error);

void query_coverage_done(struct query_coverage *cov);
/* Copies the name; silently full at QUERY_LIST_MAX, -ENOMEM without memory. */
int query_list_add(struct query_list *list, const char *text);
/* Something is missing, and the note (borrowed; NULL: none) says what. 0 or -ENOMEM. */
int query_coverage_gap(struct query_coverage *cov, const char *note);
/* A node that was asked and did not answer in time. */
int query_coverage_missing(struct query_coverage *cov, const char *node);
/* Known losses in the range: accidental ones clear `complete`. */
void query_coverage_lost(struct query_coverage *cov, uint64_t lost, uint64_t sampled);
/* The times that the answer is about, for epochs_cover() and its like. */
void query_coverage_times(const struct query_coverage *cov, uint64_t now_ns,
			  struct loss_times *ret);
/* What ledgers know of these times: accidental losses, and times that no ledger speaks for, clear
 * `complete`, with a sentence. */
void query_coverage_epochs(struct query_coverage *cov, const struct loss_cover *known);
/* The object of CONTRACT §3, one line, times in RFC 3339; null where there is no bound. */
void query_coverage_json(const struct query_coverage *cov, struct strbuf *out);
/* {"code","message","hint","position"} */
void query_error_json(const struct query_error *e, struct strbuf *out);

/* Whether a text ends with the ; that ends a statement, not with one of a literal or a comment. */
bool query_is_complete(const char *sql);

/* The names that SQL knows, for help and completion, in a fixed order. NULL past the end. */
const char *query_table_name(size_t i);
const char *query_function_name(size_t i);
/* One line about the function; NULL past the end. */
const char *query_function_doc(size_t i);

#endif

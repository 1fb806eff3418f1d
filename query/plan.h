/* From SQLite's constraints to a scan plan. A constraint that a scan cannot test exactly as SQLite
 * does is left out and the plan marked inexact: SQLite tests everything again but times, so an
 * answer is never wrong, and only an exact plan may stop at a LIMIT.
 */
#ifndef QUERY_PLAN_H
#define QUERY_PLAN_H

#include "query/query_int.h"

#define PLAN_TEXT_MAX  65536		   /* bytes of one constant that is pushed down */
#define PLAN_TEXTS_MAX 262144		   /* of all of them */
#define TIME_SLACK_NS  (10 * NSEC_PER_SEC) /* how far a clock step may put a start after its end */

/* What SQLite offered, by one letter in the plan's text. */
enum push_op {
	PUSH_EQ = 'E',
	PUSH_NE = 'N',
	PUSH_LT = 'l',
	PUSH_LE = 'L',
	PUSH_GT = 'g',
	PUSH_GE = 'G',
	PUSH_IN = 'I',
	PUSH_IS = 'S',
	PUSH_IS_NOT = 'T',
	PUSH_NULL = '0',
	PUSH_NOT_NULL = '1',
	PUSH_LIKE = 'k',
	PUSH_GLOB = 'b',
	PUSH_CONTAIN = 'c',
	PUSH_MATCH = 'r', /* regex() */
	PUSH_LIMIT = 'm',
	PUSH_OFFSET = 'o',
};

struct plan_builder {
	struct query_conn *conn;
	const struct sql_table *table;
	struct scan_pred preds[SCAN_PREDS_MAX];
	size_t first_value[SCAN_PREDS_MAX];
	size_t n_preds;
	struct value *values; /* owned; texts hold offsets into bytes until plan_finish() */
	size_t n_values, cap_values;
	struct strbuf bytes;
	uint64_t from_ns, to_ns;
	bool inexact; /* some constraint is left to SQLite */
	bool empty;   /* no row can match */
};

void plan_init(struct plan_builder *b, struct query_conn *c, const struct sql_table *t);
void plan_done(struct plan_builder *b);

/* Whether an op on the column can be pushed at all, so that SQLite passes its value on. */
bool plan_can_push(const struct sql_table *t, int column, int sqlite_op, const char *collation,
		   char *ret_op);
/* column: SQL's number. SQLITE_OK, SQLITE_NOMEM, or SQLITE_ERROR with the failure recorded. */
int plan_push(struct plan_builder *b, enum push_op op, int column, sqlite3_value *v);
/* Adds a condition of the table itself. */
int plan_push_int(struct plan_builder *b, uint16_t col, enum pred_op op, int64_t v);
/* Makes the predicates' pointers final. No push after it. SQLITE_OK or SQLITE_NOMEM. */
int plan_finish(struct plan_builder *b);

#endif

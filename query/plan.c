#include "query/plan.h"

#include "base/text.h"
#include "query/regex.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

void plan_init(struct plan_builder *b, struct query_conn *c, const struct sql_table *t)
{
	memset(b, 0, sizeof(*b));
	b->conn = c;
	b->table = t;
	b->to_ns = UINT64_MAX;
	strbuf_init(&b->bytes, PLAN_TEXTS_MAX);
}

void plan_done(struct plan_builder *b)
{
	free(b->values);
	strbuf_done(&b->bytes);
}

static int add_value(struct plan_builder *b, struct value v)
{
	if (b->n_values == b->cap_values) {
		size_t cap = b->cap_values ? 2 * b->cap_values : 32;
		struct value *values = reallocarray(b->values, cap, sizeof(*values));

		if (!values)
			return SQLITE_NOMEM;
		b->values = values;
		b->cap_values = cap;
	}
	if (v.kind == VALUE_TEXT) {
		v.i = (int64_t)b->bytes.len; /* where its bytes are, until plan_finish() */
		strbuf_add(&b->bytes, v.text.p, v.text.n);
		if (b->bytes.failed)
			return SQLITE_NOMEM;
	}
	b->values[b->n_values++] = v;
	return SQLITE_OK;
}

/* Whether there is room for one more predicate and n bytes of constants. */
static bool has_room(const struct plan_builder *b, size_t n)
{
	return b->n_preds < SCAN_PREDS_MAX && n <= PLAN_TEXT_MAX &&
	       b->bytes.len + n + 1 < PLAN_TEXTS_MAX;
}

static void begin_pred(struct plan_builder *b, uint16_t col, enum pred_op op)
{
	b->first_value[b->n_preds] = b->n_values;
	b->preds[b->n_preds++] = (struct scan_pred){ .col = col, .op = (uint8_t)op };
}

static int push_one(struct plan_builder *b, uint16_t col, enum pred_op op, struct value v)
{
	int r;

	if (!has_room(b, v.kind == VALUE_TEXT ? v.text.n : 0)) {
		b->inexact = true;
		return SQLITE_OK;
	}
	begin_pred(b, col, op);
	r = add_value(b, v);
	b->preds[b->n_preds - 1].n_values = 1;
	return r;
}

static int push_none(struct plan_builder *b, uint16_t col, enum pred_op op)
{
	if (has_room(b, 0))
		begin_pred(b, col, op);
	else
		b->inexact = true;
	return SQLITE_OK;
}

int plan_push_int(struct plan_builder *b, uint16_t col, enum pred_op op, int64_t v)
{
	return push_one(b, col, op, (struct value){ .kind = VALUE_INT, .i = v });
}

static int push_text(struct plan_builder *b, uint16_t col, enum pred_op op, struct slice text)
{
	return push_one(b, col, op, (struct value){ .kind = VALUE_TEXT, .text = text });
}

static struct slice value_text(sqlite3_value *v)
{
	const unsigned char *p = sqlite3_value_text(v);

	return slice_of(p, p ? (size_t)sqlite3_value_bytes(v) : 0);
}

/* An integer comparison as a range: least <= column <= most. */
struct int_range {
	int64_t least, most;
	bool none;
};

static struct int_range range_of(enum push_op op, int64_t v)
{
	struct int_range r = { INT64_MIN, INT64_MAX, false };

	if (op == PUSH_EQ || op == PUSH_IS)
		r.least = r.most = v;
	else if (op == PUSH_LE)
		r.most = v;
	else if (op == PUSH_GE)
		r.least = v;
	else if (op == PUSH_LT)
		r.none = ckd_add(&r.most, v, -1);
	else
		r.none = ckd_add(&r.least, v, 1);
	return r;
}

/* The same for a bound that is no integer: exact, since the column holds only integers. */
static struct int_range range_of_real(enum push_op op, double v)
{
	struct int_range r = { INT64_MIN, INT64_MAX, false };
	bool below = v < -9223372036854775808.0, above = v >= 9223372036854775808.0;
	double down = floor(v), up = ceil(v);

	if (op == PUSH_EQ || op == PUSH_IS) {
		if (below || above || down != v)
			r.none = true;
		else
			r.least = r.most = (int64_t)v;
	} else if (op == PUSH_LE || op == PUSH_LT) {
		if (below)
			r.none = true;
		else if (!above && (op == PUSH_LE || down != v))
			r.most = (int64_t)down;
		else if (!above)
			r.none = ckd_add(&r.most, (int64_t)v, -1);
	} else {
		if (above || up >= 9223372036854775808.0)
			r.none = true;
		else if (!below && (op == PUSH_GE || up != v))
			r.least = (int64_t)up;
		else if (!below)
			r.none = ckd_add(&r.least, (int64_t)v, 1);
	}
	return r;
}

/* Narrows the scan's range of end times. */
static void push_end_time(struct plan_builder *b, struct int_range r)
{
	if (r.most < 0)
		r.none = true;
	b->empty |= r.none;
	if (r.none)
		return;
	if (r.least > 0)
		b->from_ns = MAX(b->from_ns, (uint64_t)r.least);
	if (r.most < INT64_MAX)
		b->to_ns = MIN(b->to_ns, (uint64_t)r.most);
}

static int push_range(struct plan_builder *b, const struct column *col, struct int_range r)
{
	int rc = SQLITE_OK;

	if (r.none) {
		b->empty = true;
		return SQLITE_OK;
	}
	if (col->id == COL_END_TIME) {
		push_end_time(b, r);
		/* A NULL never satisfies a comparison, a bound that excludes nothing included. */
		return SQLITE_OK;
	}
	/* What starts late ends late. */
	if (col->id == COL_TIME && r.least > (int64_t)TIME_SLACK_NS)
		b->from_ns = MAX(b->from_ns, (uint64_t)r.least - TIME_SLACK_NS);
	if (r.least == r.most)
		return plan_push_int(b, col->id, PRED_EQ, r.least);
	if (r.least > INT64_MIN)
		rc = plan_push_int(b, col->id, PRED_GE, r.least);
	if (rc == SQLITE_OK && r.most < INT64_MAX)
		rc = plan_push_int(b, col->id, PRED_LE, r.most);
	if (rc == SQLITE_OK && r.least == INT64_MIN && r.most == INT64_MAX)
		rc = push_none(b, col->id, PRED_NOT_NULL);
	return rc;
}

static int bad_time(struct plan_builder *b, const struct column *col, const char *reason,
		    const char *hint)
{
	query_fail(b->conn, "bad_time", -1, hint, "%s is compared with a time that is none: %s",
		   col->name, reason);
	return SQLITE_ERROR;
}

/* Comparisons with times are exact for every kind of value; SQLite does not test them again. */
static int push_time(struct plan_builder *b, const struct column *col, enum push_op op,
		     sqlite3_value *value)
{
	const char *reason = "", *hint = "";
	int64_t v;

	switch (sqlite3_value_type(value)) {
	case SQLITE_INTEGER:
		v = sqlite3_value_int64(value);
		break;
	case SQLITE_FLOAT:
		if (op != PUSH_NE)
			return push_range(b, col, range_of_real(op, sqlite3_value_double(value)));
		if (range_of_real(PUSH_EQ, sqlite3_value_double(value)).none)
			return push_none(b, col->id, PRED_NOT_NULL);
		v = (int64_t)sqlite3_value_double(value);
		break;
	case SQLITE_TEXT:
		if (time_from_text(value_text(value), &v, &reason, &hint) < 0)
			return bad_time(b, col, reason, hint);
		break;
	default:
		return bad_time(b, col, "this is a blob", "use RFC 3339 text or ago('5m')");
	}
	if (op == PUSH_NE)
		return plan_push_int(b, col->id, PRED_NE, v);
	return push_range(b, col, range_of(op, v));
}

static int push_int_column(struct plan_builder *b, const struct column *col, enum push_op op,
			   sqlite3_value *value)
{
	int type = sqlite3_value_type(value);

	if (type == SQLITE_INTEGER && op == PUSH_NE)
		return plan_push_int(b, col->id, PRED_NE, sqlite3_value_int64(value));
	if (type == SQLITE_INTEGER)
		return push_range(b, col, range_of(op, sqlite3_value_int64(value)));
	if (type == SQLITE_FLOAT && op != PUSH_NE)
		return push_range(b, col, range_of_real(op, sqlite3_value_double(value)));
	b->inexact = true;
	return SQLITE_OK;
}

static int push_text_column(struct plan_builder *b, const struct column *col, enum push_op op,
			    sqlite3_value *value)
{
	static const uint8_t ops[] = {
		[PUSH_EQ] = PRED_EQ, [PUSH_IS] = PRED_EQ, [PUSH_NE] = PRED_NE, [PUSH_LT] = PRED_LT,
		[PUSH_LE] = PRED_LE, [PUSH_GT] = PRED_GT, [PUSH_GE] = PRED_GE,
	};

	if (sqlite3_value_type(value) == SQLITE_TEXT)
		return push_text(b, col->id, ops[op], value_text(value));
	b->inexact = true;
	return SQLITE_OK;
}

/* "NODE-EPOCHHEX-SEQ", exactly as it is printed; otherwise no row has it. */
static int push_id(struct plan_builder *b, sqlite3_value *value)
{
	struct slice text = value_text(value);
	char again[64];
	size_t seq_at = text.n, epoch_at, digits;
	uint64_t seq, epoch = 0;
	int r;

	while (seq_at > 0 && text.p[seq_at - 1] != '-')
		seq_at--;
	epoch_at = seq_at ? seq_at - 1 : 0;
	while (epoch_at > 0 && text.p[epoch_at - 1] != '-')
		epoch_at--;
	digits = seq_at > epoch_at ? seq_at - 1 - epoch_at : 0;
	if (epoch_at == 0 || digits == 0 || digits > 16 ||
	    parse_u64(slice_from(text, seq_at), &seq) < 0 || seq > INT64_MAX) {
		b->empty = true;
		return SQLITE_OK;
	}
	for (size_t i = epoch_at; i < seq_at - 1; i++) {
		uint8_t c = text.p[i];

		epoch = epoch << 4 | (uint64_t)((c <= '9' ? c : c + 9) & 15);
	}
	snprintf(again, sizeof(again), "%" PRIx64 "-%" PRIu64, epoch, seq);
	if (!slice_eq_str(slice_from(text, epoch_at), again)) {
		b->empty = true;
		return SQLITE_OK;
	}
	r = push_text(b, COL_NODE, PRED_EQ, slice_head(text, epoch_at - 1));
	if (r == SQLITE_OK)
		r = plan_push_int(b, COL_EPOCH, PRED_EQ, (int64_t)epoch);
	if (r == SQLITE_OK)
		r = plan_push_int(b, COL_SEQ, PRED_EQ, (int64_t)seq);
	return r;
}

/* "CONN_ID-OFFSETHEX" */
static int push_exchange_id(struct plan_builder *b, sqlite3_value *value)
{
	struct slice text = value_text(value);
	size_t at = text.n;
	uint64_t offset = 0;
	char again[20];
	int r;

	while (at > 0 && text.p[at - 1] != '-')
		at--;
	for (size_t i = at; i < text.n; i++)
		offset = offset << 4 |
			 (uint64_t)((text.p[i] <= '9' ? text.p[i] : text.p[i] + 9) & 15);
	snprintf(again, sizeof(again), "%" PRIx64, offset);
	if (at == 0 || !slice_eq_str(slice_from(text, at), again)) {
		b->empty = true;
		return SQLITE_OK;
	}
	r = push_text(b, COL_CONN_ID, PRED_EQ, slice_head(text, at - 1));
	if (r == SQLITE_OK)
		r = plan_push_int(b, COL_REQUEST_OFFSET, PRED_EQ, (int64_t)offset);
	return r;
}

/* The start of a pattern up to the first byte with a meaning of its own. LIKE folds the case of
 * ASCII letters; bytes of longer characters are compared decoded: neither is pushed. */
static int push_pattern(struct plan_builder *b, const struct column *col, enum push_op op,
			sqlite3_value *value)
{
	const char *special = op == PUSH_LIKE ? "%_" : "*?[";
	char any = op == PUSH_LIKE ? '%' : '*';
	struct slice text = value_text(value);
	size_t n = 0;

	if (sqlite3_value_type(value) != SQLITE_TEXT) {
		b->inexact = true;
		return SQLITE_OK;
	}
	while (n < text.n && text.p[n] && text.p[n] < 0x80 && !strchr(special, text.p[n]) &&
	       !(op == PUSH_LIKE && (text.p[n] | 0x20) >= 'a' && (text.p[n] | 0x20) <= 'z'))
		n++;
	/* 'abc%' is exactly a prefix, everything else more than that. */
	if (n + 1 != text.n || text.p[n] != (uint8_t)any)
		b->inexact = true;
	return n ? push_text(b, col->id, PRED_PREFIX, slice_head(text, n))
		 : push_none(b, col->id, PRED_NOT_NULL);
}

/* What every match of the expression begins with must be somewhere in the text. */
static int push_regex(struct plan_builder *b, const struct column *col, sqlite3_value *value)
{
	_cleanup_(regex_freep) struct regex *re = NULL;
	struct regex_error e;

	b->inexact = true;
	if (sqlite3_value_type(value) != SQLITE_TEXT || regex_new(value_text(value), &re, &e) < 0 ||
	    !regex_literal(re).n)
		return SQLITE_OK;
	return push_text(b, col->id, PRED_CONTAINS, regex_literal(re));
}

/* All or nothing: a list with a value of another kind, or too long, is SQLite's. */
static int push_in(struct plan_builder *b, const struct column *col, sqlite3_value *list)
{
	size_t n_values = b->n_values, bytes = b->bytes.len, n = 0;
	sqlite3_value *v = NULL;
	int rc;

	if (!has_room(b, 0)) {
		b->inexact = true;
		return SQLITE_OK;
	}
	begin_pred(b, col->id, PRED_IN);
	for (rc = sqlite3_vtab_in_first(list, &v); rc == SQLITE_OK && v;
	     rc = sqlite3_vtab_in_next(list, &v)) {
		int type = sqlite3_value_type(v);
		struct value value = { .kind = VALUE_INT };

		if (type == SQLITE_NULL)
			continue;
		if (type != (col->type == COL_INT ? SQLITE_INTEGER : SQLITE_TEXT) ||
		    n == SCAN_IN_MAX)
			goto leave;
		if (type == SQLITE_INTEGER) {
			value.i = sqlite3_value_int64(v);
		} else {
			value.kind = VALUE_TEXT;
			value.text = value_text(v);
			if (!has_room(b, value.text.n))
				goto leave;
		}
		rc = add_value(b, value);
		if (rc != SQLITE_OK)
			return rc;
		n++;
	}
	if (rc != SQLITE_OK && rc != SQLITE_DONE)
		return rc;
	b->empty |= n == 0;
	b->preds[b->n_preds - 1].n_values = n;
	return SQLITE_OK;
leave:
	b->n_values = n_values;
	b->bytes.len = bytes;
	b->n_preds--;
	b->inexact = true;
	return SQLITE_OK;
}

static const struct {
	int sqlite_op;
	char op;
} op_letters[] = {
	{ SQLITE_INDEX_CONSTRAINT_EQ, PUSH_EQ },
	{ SQLITE_INDEX_CONSTRAINT_NE, PUSH_NE },
	{ SQLITE_INDEX_CONSTRAINT_LT, PUSH_LT },
	{ SQLITE_INDEX_CONSTRAINT_LE, PUSH_LE },
	{ SQLITE_INDEX_CONSTRAINT_GT, PUSH_GT },
	{ SQLITE_INDEX_CONSTRAINT_GE, PUSH_GE },
	{ SQLITE_INDEX_CONSTRAINT_IS, PUSH_IS },
	{ SQLITE_INDEX_CONSTRAINT_ISNOT, PUSH_IS_NOT },
	{ SQLITE_INDEX_CONSTRAINT_ISNULL, PUSH_NULL },
	{ SQLITE_INDEX_CONSTRAINT_ISNOTNULL, PUSH_NOT_NULL },
	{ SQLITE_INDEX_CONSTRAINT_LIKE, PUSH_LIKE },
	{ SQLITE_INDEX_CONSTRAINT_GLOB, PUSH_GLOB },
	{ PUSH_CONTAINS, PUSH_CONTAIN },
	{ PUSH_REGEX, PUSH_MATCH },
};

bool plan_can_push(const struct sql_table *t, int column, int sqlite_op, const char *collation,
		   char *ret_op)
{
	const struct column *col;
	char op = 0;

	if (column < 0 || (size_t)column >= t->n_columns)
		return false;
	col = t->columns[column];
	for (size_t i = 0; i < ARRAY_SIZE(op_letters); i++)
		if (op_letters[i].sqlite_op == sqlite_op)
			op = op_letters[i].op;
	if (!op)
		return false;
	*ret_op = op;
	if (col->flags & COL_F_COMPUTED)
		return op == PUSH_EQ && strcmp(collation, "BINARY") == 0;
	if (col->type == COL_TEXT)
		return strchr("01kbcr", op) || strcmp(collation, "BINARY") == 0;
	return !strchr("kbcr", op);
}

int plan_push(struct plan_builder *b, enum push_op op, int column, sqlite3_value *v)
{
	const struct column *col = b->table->columns[column];

	if (op == PUSH_IN)
		return push_in(b, col, v);
	if (op == PUSH_NULL || op == PUSH_NOT_NULL)
		return push_none(b, col->id, op == PUSH_NULL ? PRED_IS_NULL : PRED_NOT_NULL);
	if (sqlite3_value_type(v) == SQLITE_NULL) {
		if (op == PUSH_IS || op == PUSH_IS_NOT)
			return push_none(b, col->id, op == PUSH_IS ? PRED_IS_NULL : PRED_NOT_NULL);
		b->empty = true; /* nothing compares with NULL */
		return SQLITE_OK;
	}
	if (op == PUSH_IS_NOT) {
		b->inexact = true; /* a NULL in the column satisfies it */
		return SQLITE_OK;
	}
	if (op == PUSH_LIKE || op == PUSH_GLOB)
		return push_pattern(b, col, op, v);
	if (op == PUSH_CONTAIN)
		return push_text(b, col->id, PRED_CONTAINS, value_text(v));
	if (op == PUSH_MATCH)
		return push_regex(b, col, v);
	if (col->id == COL_ID || col->id == COL_EXCHANGE_ID) {
		if (sqlite3_value_type(v) == SQLITE_TEXT)
			return col->id == COL_ID ? push_id(b, v) : push_exchange_id(b, v);
		b->inexact = true;
		return SQLITE_OK;
	}
	if (col->unit == UNIT_TIME_NS) {
		bool before = b->inexact;
		int rc = push_time(b, col, op, v);

		if (b->inexact == before || rc != SQLITE_OK)
			return rc;
		query_fail(b->conn, "limit", -1, "join them with OR or IN",
			   "more than %d conditions", SCAN_PREDS_MAX);
		return SQLITE_ERROR;
	}
	if (col->type == COL_INT)
		return push_int_column(b, col, op, v);
	return push_text_column(b, col, op, v);
}

int plan_finish(struct plan_builder *b)
{
	if (b->bytes.failed)
		return SQLITE_NOMEM;
	for (size_t i = 0; i < b->n_values; i++)
		if (b->values[i].kind == VALUE_TEXT)
			b->values[i].text.p = (const uint8_t *)strbuf_str(&b->bytes) +
					      b->values[i].i;
	for (size_t i = 0; i < b->n_preds; i++)
		b->preds[i].values = b->values + b->first_value[i];
	if (b->from_ns > b->to_ns)
		b->empty = true;
	return SQLITE_OK;
}

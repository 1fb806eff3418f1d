#include "query/joincache.h"
#include "query/plan.h"

#include <errno.h>
#include <inttypes.h>

/* Each table of the catalogue as an eponymous SQLite table over the scan source.
 *
 *	xBestIndex  which constraints are passed on: "USED/LETTERcolumn..." in the plan's text
 *	xFilter     plan.c makes a scan plan of their values; one scan per member table
 *	            or, asked often by a join, the rows kept by joincache.c
 *	xNext       the member whose next row comes first by end time
 *
 * Texts are handed to SQLite as copies: min(), max() and GROUP BY keep what they were given longer
 * than a batch lives.
 */
#define IDX_ORDERED	1 /* rows must come by end_time ... */
#define IDX_ASCENDING	2 /* ... upwards */
#define COST_EVENTS	1e6
#define COST_SMALL	200.0
#define LAST_COLUMN_BIT 63 /* of colUsed: this column or any later one */

struct vt_table {
	sqlite3_vtab base;
	struct query_conn *conn;
	const struct sql_table *table;
};

/* One member table's scan. */
struct vt_input {
	struct scan *scan;
	struct scan_batch batch;
	size_t row;
	uint64_t last_end; /* where the order is promised */
	bool done, counted;
};

struct vt_cursor {
	sqlite3_vtab_cursor base;
	struct vt_input inputs[_TABLE_MAX];
	size_t n_inputs;
	struct vt_input *at; /* whose row is the current one; NULL at the end */
	uint16_t cols[SCAN_COLS_MAX];
	size_t n_cols;
	int16_t place[_COL_MAX]; /* of a stored column in cols, -1 absent */
	bool ordered, ascending, limited;
	int64_t rowid;
	const struct join_entry *kept; /* rows come from there; NULL: from the inputs */
	size_t kept_row;
	bool by_key; /* only the rows that may have the key */
};

static struct vt_table *table_of(sqlite3_vtab_cursor *c)
{
	return (struct vt_table *)c->pVtab;
}

static int vt_connect(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **ret,
		      char **ret_error)
{
	_cleanup_(strbuf_done) struct strbuf sql = STRBUF_INIT(65536);
	struct query_conn *c = arg;
	struct vt_table *t;
	int rc;

	(void)ret_error;
	if (argc < 1)
		return SQLITE_ERROR;
	t = sqlite3_malloc(sizeof(*t));
	if (!t)
		return SQLITE_NOMEM;
	memset(t, 0, sizeof(*t));
	t->conn = c;
	t->table = catalog_find(argv[0]);
	if (t->table)
		catalog_declare(t->table, &sql);
	rc = t->table && !sql.failed ? sqlite3_declare_vtab(db, strbuf_str(&sql)) : SQLITE_ERROR;
	if (rc == SQLITE_OK)
		rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
	if (rc != SQLITE_OK) {
		sqlite3_free(t);
		return rc;
	}
	*ret = &t->base;
	return SQLITE_OK;
}

static int vt_disconnect(sqlite3_vtab *v)
{
	sqlite3_free(v);
	return SQLITE_OK;
}

struct offer {
	sqlite3_index_info *info;
	const struct vt_table *t;
	struct strbuf text;
	int n_args;
	bool all; /* every constraint so far is passed on */
	double cost;
};

static double selectivity(char op)
{
	switch (op) {
	case PUSH_EQ:
	case PUSH_IS:
		return 0.05;
	case PUSH_IN:
	case PUSH_CONTAIN:
		return 0.2;
	case PUSH_NE:
	case PUSH_NOT_NULL:
		return 0.9;
	default:
		return 0.3;
	}
}

static void pass(struct offer *o, int i, char op, int column, bool omit)
{
	o->info->aConstraintUsage[i].argvIndex = ++o->n_args;
	o->info->aConstraintUsage[i].omit = omit;
	strbuf_addf(&o->text, "%c%03d", op, column);
}

static void offer_constraint(struct offer *o, int i)
{
	const struct sqlite3_index_constraint *k = &o->info->aConstraint[i];
	const struct sql_table *table = o->t->table;
	const struct column *col;
	char op;

	if (k->op == SQLITE_INDEX_CONSTRAINT_LIMIT || k->op == SQLITE_INDEX_CONSTRAINT_OFFSET)
		return;
	if (!k->usable ||
	    !plan_can_push(table, k->iColumn, k->op, sqlite3_vtab_collation(o->info, i), &op)) {
		o->all = false;
		return;
	}
	col = table->columns[k->iColumn];
	if (op == PUSH_EQ && !(col->flags & COL_F_COMPUTED) && sqlite3_vtab_in(o->info, i, -1)) {
		if (col->unit == UNIT_TIME_NS) {
			o->all = false;
			return;
		}
		sqlite3_vtab_in(o->info, i, 1);
		op = PUSH_IN;
	}
	o->cost *= col->id == COL_ID || col->id == COL_EXCHANGE_ID ? 1e-4 : selectivity(op);
	pass(o, i, op, k->iColumn, col->unit == UNIT_TIME_NS && strchr("ENlLgGS", op));
}

/* The table's own order serves one ORDER BY: end_time alone. */
static void offer_order(struct offer *o)
{
	sqlite3_index_info *info = o->info;
	const struct sql_table *t = o->t->table;

	if (!t->ordered || info->nOrderBy != 1 || info->aOrderBy[0].iColumn < 0 ||
	    t->columns[info->aOrderBy[0].iColumn]->id != COL_END_TIME)
		return;
	info->orderByConsumed = 1;
	info->idxNum |= IDX_ORDERED | (info->aOrderBy[0].desc ? 0 : IDX_ASCENDING);
}

/* A scan may stop early only when nothing is filtered or sorted above it. */
static void offer_limit(struct offer *o)
{
	sqlite3_index_info *info = o->info;

	if (!o->all || (info->nOrderBy && !info->orderByConsumed))
		return;
	for (int i = 0; i < info->nConstraint; i++)
		if (info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_OFFSET &&
		    !info->aConstraint[i].usable)
			return;
	for (int i = 0; i < info->nConstraint; i++) {
		const struct sqlite3_index_constraint *k = &info->aConstraint[i];

		if (k->op == SQLITE_INDEX_CONSTRAINT_LIMIT && k->usable)
			pass(o, i, PUSH_LIMIT, 0, false);
		else if (k->op == SQLITE_INDEX_CONSTRAINT_OFFSET)
			pass(o, i, PUSH_OFFSET, 0, false);
	}
}

static int vt_best_index(sqlite3_vtab *v, sqlite3_index_info *info)
{
	const struct vt_table *t = (const struct vt_table *)v;
	struct offer o = { .info = info, .t = t, .all = true };

	strbuf_init(&o.text, 65536);
	o.cost = t->table->ordered ? COST_EVENTS : COST_SMALL;
	strbuf_addf(&o.text, "%016" PRIx64 "/", (uint64_t)info->colUsed);
	info->idxNum = 0;
	for (int i = 0; i < info->nConstraint; i++)
		offer_constraint(&o, i);
	offer_order(&o);
	offer_limit(&o);
	info->estimatedCost = t->table->ordered ? MAX(o.cost, 50.0) : COST_SMALL;
	info->estimatedRows = (sqlite3_int64)MAX(o.cost, 1.0);
	info->idxStr = sqlite3_mprintf("%s", strbuf_str(&o.text));
	info->needToFreeIdxStr = 1;
	if (!info->idxStr || o.text.failed) {
		strbuf_done(&o.text);
		return SQLITE_NOMEM;
	}
	strbuf_done(&o.text);
	return SQLITE_OK;
}

static int vt_open(sqlite3_vtab *v, sqlite3_vtab_cursor **ret)
{
	struct vt_cursor *cur = sqlite3_malloc(sizeof(*cur));

	(void)v;
	if (!cur)
		return SQLITE_NOMEM;
	memset(cur, 0, sizeof(*cur));
	*ret = &cur->base;
	return SQLITE_OK;
}

/* Adds what the scan knows of its own completeness to the statement's coverage. */
static void count_coverage(struct vt_cursor *cur, struct vt_input *in)
{
	struct query_coverage *cov = table_of(&cur->base)->conn->cov;
	struct scan_coverage sc = { 0 };

	if (in->counted || !cov)
		return;
	in->counted = true;
	in->scan->ops->coverage(in->scan, &sc);
	cov->rows_scanned += sc.rows_scanned;
	cov->rows_matched += sc.rows_matched;
	cov->lost += sc.rows_bad;
	if (sc.segments_bad) {
		cov->complete = false;
		coverage_note(cov, "%" PRIu64 " damaged segments of %s could not be read",
			      sc.segments_bad, table_of(&cur->base)->table->name);
	}
	/* A scan that stopped at the statement's own LIMIT lacks nothing. */
	if (sc.truncated && !cur->limited)
		cov->truncated = true;
	if (sc.oldest_ns && (!cov->oldest_ns || sc.oldest_ns < cov->oldest_ns))
		cov->oldest_ns = sc.oldest_ns;
	cov->newest_ns = MAX(cov->newest_ns, sc.newest_ns);
}

static void close_inputs(struct vt_cursor *cur)
{
	for (size_t i = 0; i < cur->n_inputs; i++) {
		struct scan *scan = cur->inputs[i].scan;

		if (!scan)
			continue;
		count_coverage(cur, &cur->inputs[i]);
		scan->ops->close(scan);
	}
	memset(cur->inputs, 0, sizeof(cur->inputs));
	cur->n_inputs = 0;
	cur->at = NULL;
}

static int vt_close(sqlite3_vtab_cursor *c)
{
	close_inputs((struct vt_cursor *)c);
	sqlite3_free(c);
	return SQLITE_OK;
}

static void need(struct vt_cursor *cur, uint16_t col)
{
	if (cur->place[col] >= 0 || cur->n_cols >= SCAN_COLS_MAX)
		return;
	cur->place[col] = (int16_t)cur->n_cols;
	cur->cols[cur->n_cols++] = col;
}

/* Columns from the 63rd on share one bit: their names tell which of them the statement uses. */
static bool is_used(const struct vt_table *t, size_t i, uint64_t used)
{
	const struct sqltext *text = t->conn->text;
	const struct column *col = t->table->columns[i];

	if (i < LAST_COLUMN_BIT)
		return used >> i & 1;
	if (!(used >> LAST_COLUMN_BIT & 1))
		return false;
	if ((text->has_star || text->has_natural) && !(col->flags & COL_F_PAYLOAD))
		return true;
	return sqltext_mentions(text, col->name);
}

static void choose_columns(struct vt_cursor *cur, const struct vt_table *t, uint64_t used)
{
	bool identity = t->conn->text->wants_rowid;
	uint16_t needs[3];

	cur->n_cols = 0;
	memset(cur->place, -1, sizeof(cur->place));
	for (size_t i = 0; i < t->table->n_columns; i++) {
		if (!is_used(t, i, used) && !(identity && !t->table->has_identity))
			continue;
		for (size_t n = catalog_needs(t->table->columns[i], needs); n > 0; n--)
			need(cur, needs[n - 1]);
	}
	if (identity && t->table->has_identity) {
		need(cur, COL_NODE);
		need(cur, COL_EPOCH);
		need(cur, COL_SEQ);
	}
	/* The order of a union, and the check that it is kept. */
	if (t->table->has_end_time && (cur->ordered || cur->n_cols == 0))
		need(cur, COL_END_TIME);
	if (cur->n_cols == 0)
		need(cur, t->table->columns[0]->id);
}

static int parse_digits(const char *p, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++)
		v = v * 10 + (p[i] - '0');
	return v;
}

static uint64_t parse_used(const char *hex)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 16; i++)
		v = v << 4 | (uint64_t)((hex[i] <= '9' ? hex[i] : hex[i] + 9) & 15);
	return v;
}

/* Values in the order of the plan's text, without those of the mask; *ret_limit: rows to deliver, 0
 * for all. */
static int push_values(struct plan_builder *b, const char *text, int argc, sqlite3_value **argv,
		       uint32_t leave_out, uint64_t *ret_limit)
{
	int64_t limit = -1, offset = 0;

	for (int i = 0; i < argc; i++, text += 4) {
		enum push_op op = (enum push_op)text[0];
		int rc = SQLITE_OK;

		if (i < JOIN_ARGS_MAX && (leave_out >> i & 1))
			continue;
		if (op == PUSH_LIMIT)
			limit = sqlite3_value_int64(argv[i]);
		else if (op == PUSH_OFFSET)
			offset = sqlite3_value_int64(argv[i]);
		else
			rc = plan_push(b, op, parse_digits(text + 1, 3), argv[i]);
		if (rc != SQLITE_OK)
			return rc;
	}
	*ret_limit = 0;
	if (limit >= 0 && !b->inexact && !ckd_add(&limit, limit, MAX(offset, (int64_t)0)))
		*ret_limit = (uint64_t)limit;
	b->empty |= limit == 0 && !b->inexact;
	return SQLITE_OK;
}

/* The caller's range, and what of it the answer then covers. */
static void apply_range(struct plan_builder *b)
{
	struct query_conn *c = b->conn;
	const struct query_range *range = &c->q->range;

	if (!b->table->has_end_time)
		return;
	if (!range->is_default || !c->text->compares_time) {
		b->from_ns = MAX(b->from_ns, range->from_ns);
		b->to_ns = MIN(b->to_ns, range->to_ns);
	}
	c->cov->from_ns = c->scanned ? MIN(c->cov->from_ns, b->from_ns) : b->from_ns;
	c->cov->to_ns = c->scanned ? MAX(c->cov->to_ns, b->to_ns) : b->to_ns;
	c->scanned = true;
}

static int source_failed(struct vt_table *t, int r)
{
	if (r == -ECANCELED)
		query_fail(t->conn, "cancelled", -1, "", "the query was cancelled");
	else if (r == -ETIME || r == -ETIMEDOUT)
		query_fail(t->conn, "timeout", -1, "narrow the time range or the conditions",
			   "%s could not be read in time", t->table->name);
	else if (r == -ENOMEM)
		query_fail(t->conn, "memory", -1, "narrow the time range or the conditions",
			   "no memory to read %s", t->table->name);
	else
		query_fail(t->conn, "source", -1, "", "%s could not be read: %s", t->table->name,
			   strerror(-r));
	return r == -ENOMEM ? SQLITE_NOMEM : SQLITE_ERROR;
}

/* The next row of one input; loads batches until there is one. */
static int fill(struct vt_cursor *cur, struct vt_input *in)
{
	struct vt_table *t = table_of(&cur->base);

	while (!in->done && in->row >= in->batch.n_rows) {
		int r = query_check_time(t->conn);

		if (r < 0)
			return SQLITE_INTERRUPT;
		r = in->scan->ops->next(in->scan, &in->batch);
		if (r < 0)
			return source_failed(t, r);
		if (r > 0 && in->batch.n_cols != cur->n_cols)
			return source_failed(t, -EBADMSG);
		in->row = 0;
		if (r == 0) {
			in->done = true;
			in->batch.n_rows = 0;
			count_coverage(cur, in);
		}
	}
	return SQLITE_OK;
}

static uint64_t end_time(const struct vt_cursor *cur, const struct vt_input *in)
{
	int16_t place = cur->place[COL_END_TIME];

	return place >= 0 ? (uint64_t)in->batch.cols[place].ints[in->row] : 0;
}

/* The input whose row is next: by end time where order was promised, one after the other elsewhere.
 */
static int choose(struct vt_cursor *cur)
{
	uint64_t end = 0;

	cur->at = NULL;
	for (size_t i = 0; i < cur->n_inputs; i++) {
		struct vt_input *in = &cur->inputs[i];
		int rc = fill(cur, in);

		if (rc != SQLITE_OK)
			return rc;
		if (in->done)
			continue;
		if (!cur->ordered) {
			cur->at = in;
			return SQLITE_OK;
		}
		if (!cur->at ||
		    (cur->ascending ? end_time(cur, in) < end : end_time(cur, in) > end)) {
			cur->at = in;
			end = end_time(cur, in);
		}
	}
	if (cur->at && cur->ordered) {
		if (cur->ascending ? end < cur->at->last_end : end > cur->at->last_end) {
			query_fail(table_of(&cur->base)->conn, "source", -1, "",
				   "a scan broke the order it had promised");
			return SQLITE_ERROR;
		}
		cur->at->last_end = end;
	}
	return SQLITE_OK;
}

static int open_inputs(struct vt_cursor *cur, struct plan_builder *b, uint64_t limit)
{
	struct vt_table *t = table_of(&cur->base);
	struct scan_plan plan = {
		.from_ns = b->from_ns,
		.to_ns = b->to_ns,
		.cols = cur->cols,
		.n_cols = cur->n_cols,
		.preds = b->preds,
		.n_preds = b->n_preds,
		.newest_first = !cur->ascending,
		.limit = limit,
		.cancel = t->conn->q->cancel,
	};

	for (size_t i = 0; i < t->table->n_members; i++) {
		struct vt_input *in = &cur->inputs[cur->n_inputs];
		int r;

		plan.table = t->table->members[i];
		r = t->conn->source->open(t->conn->source, &plan, &in->scan);
		if (r < 0)
			return source_failed(t, r);
		in->last_end = cur->ascending ? 0 : UINT64_MAX;
		cur->n_inputs++;
	}
	return SQLITE_OK;
}

/* Plans and opens the scans of the values, without those of the mask. */
static int start_scans(struct vt_cursor *cur, const char *text, int argc, sqlite3_value **argv,
		       uint32_t leave_out)
{
	struct vt_table *t = table_of(&cur->base);
	struct plan_builder b;
	uint64_t limit = 0;
	int rc;

	plan_init(&b, t->conn, t->table);
	rc = push_values(&b, text, argc, argv, leave_out, &limit);
	cur->limited = limit > 0;
	if (rc == SQLITE_OK)
		apply_range(&b);
	if (rc == SQLITE_OK && t->table->primary_only)
		rc = plan_push_int(&b, COL_IS_PRIMARY, PRED_EQ, 1);
	if (rc == SQLITE_OK)
		rc = plan_finish(&b);
	if (rc == SQLITE_OK && !b.empty)
		rc = open_inputs(cur, &b, limit);
	plan_done(&b);
	return rc;
}

/* SQLITE_OK with *ret_kept telling whether the rows fit. */
static int keep_rows(struct vt_cursor *cur, struct join_entry *e, const char *text, int argc,
		     sqlite3_value **argv, bool *ret_kept)
{
	int rc = start_scans(cur, text, argc, argv, e->variable), r = 0;

	rowcache_init(&e->rows, cur->n_cols);
	for (size_t i = 0; rc == SQLITE_OK && r == 0 && i < cur->n_inputs; i++) {
		struct vt_input *in = &cur->inputs[i];

		while ((rc = fill(cur, in)) == SQLITE_OK && !in->done && r == 0) {
			r = rowcache_add(&e->rows, &in->batch);
			in->row = in->batch.n_rows;
		}
	}
	close_inputs(cur);
	if (rc == SQLITE_OK && r == 0)
		r = joincache_ready(e, cur->place);
	if (rc != SQLITE_OK || r < 0)
		joincache_refuse(e);
	*ret_kept = rc == SQLITE_OK && r == 0;
	return rc;
}

static void start_kept(struct vt_cursor *cur, const struct join_entry *e, sqlite3_value **argv)
{
	uint64_t hash;

	cur->kept = e;
	cur->by_key = joincache_hash(e, argv, &hash);
	cur->kept_row = cur->by_key ? rowcache_first(&e->rows, hash) : 0;
}

static int vt_filter(sqlite3_vtab_cursor *c, int idx_num, const char *idx_str, int argc,
		     sqlite3_value **argv)
{
	struct vt_cursor *cur = (struct vt_cursor *)c;
	struct vt_table *t = table_of(c);
	enum join_answer answer = JOIN_SCAN;
	struct join_entry *e = NULL;
	int rc;

	close_inputs(cur);
	cur->kept = NULL;
	cur->ordered = idx_num & IDX_ORDERED;
	cur->ascending = idx_num & IDX_ASCENDING;
	cur->rowid = 0;
	choose_columns(cur, t, parse_used(idx_str));
	if (!cur->ordered)
		answer = joincache_ask(t->conn, t->table, idx_num, idx_str, argc, argv, &e);
	if (answer == JOIN_BUILD) {
		bool kept = false;

		rc = keep_rows(cur, e, idx_str + 17, argc, argv, &kept);
		if (rc != SQLITE_OK)
			return rc;
		answer = kept ? JOIN_USE : JOIN_SCAN;
	}
	if (answer == JOIN_USE) {
		start_kept(cur, e, argv);
		return SQLITE_OK;
	}
	rc = start_scans(cur, idx_str + 17, argc, argv, 0);
	return rc == SQLITE_OK ? choose(cur) : rc;
}

static int vt_next(sqlite3_vtab_cursor *c)
{
	struct vt_cursor *cur = (struct vt_cursor *)c;

	cur->rowid++;
	if (cur->kept) {
		cur->kept_row = cur->by_key ? rowcache_next(&cur->kept->rows, cur->kept_row)
					    : cur->kept_row + 1;
		return SQLITE_OK;
	}
	cur->at->row++;
	if (!cur->ordered && cur->at->row < cur->at->batch.n_rows)
		return SQLITE_OK;
	return choose(cur);
}

static int vt_eof(sqlite3_vtab_cursor *c)
{
	const struct vt_cursor *cur = (const struct vt_cursor *)c;

	return cur->kept ? cur->kept_row >= cur->kept->rows.n_rows : !cur->at;
}

/* The stored cell of the current row; NULL when it was not asked for. */
static struct value cell(const struct vt_cursor *cur, uint16_t col)
{
	const struct vt_input *in = cur->at;
	struct value v = { .kind = VALUE_NULL };

	if (cur->place[col] >= 0 && cur->kept)
		return rowcache_row(&cur->kept->rows, cur->kept_row)[cur->place[col]];
	if (cur->place[col] >= 0) {
		const struct scan_col *sc = &in->batch.cols[cur->place[col]];

		v.kind = sc->kinds[in->row];
		if (v.kind == VALUE_INT)
			v.i = sc->ints[in->row];
		else if (v.kind == VALUE_TEXT)
			v.text = sc->texts[in->row];
	}
	return v;
}

static void result_joined(sqlite3_context *ctx, struct value prefix, struct value hex,
			  const struct value *decimal)
{
	char text[JOINED_MAX];
	size_t n = joined_text(prefix, hex, decimal, text);

	if (n)
		sqlite3_result_text(ctx, text, (int)n, SQLITE_TRANSIENT);
}

static int vt_column(sqlite3_vtab_cursor *c, sqlite3_context *ctx, int i)
{
	struct vt_cursor *cur = (struct vt_cursor *)c;
	const struct column *col = table_of(c)->table->columns[i];
	struct value v;

	if (col->id == COL_ID) {
		v = cell(cur, COL_SEQ);
		result_joined(ctx, cell(cur, COL_NODE), cell(cur, COL_EPOCH), &v);
		return SQLITE_OK;
	}
	if (col->id == COL_EXCHANGE_ID) {
		result_joined(ctx, cell(cur, COL_CONN_ID), cell(cur, COL_REQUEST_OFFSET), NULL);
		return SQLITE_OK;
	}
	v = cell(cur, col->id);
	if (v.kind == VALUE_INT)
		sqlite3_result_int64(ctx, v.i);
	else if (v.kind == VALUE_TEXT)
		sqlite3_result_text64(ctx, v.text.n ? (const char *)v.text.p : "", v.text.n,
				      SQLITE_TRANSIENT, SQLITE_UTF8);
	return SQLITE_OK;
}

/* The same number for the same row in every scan: SQLite removes duplicates by it when it answers
 * OR with several scans, and finds unmatched rows of RIGHT and FULL JOIN. */
static int vt_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *ret)
{
	struct vt_cursor *cur = (struct vt_cursor *)c;
	struct vt_table *t = table_of(c);
	uint64_t h = 1;

	if (!t->conn->text->wants_rowid) {
		*ret = cur->rowid;
		return SQLITE_OK;
	}
	if (t->table->has_identity) {
		h = value_hash(h, cell(cur, COL_NODE));
		h = value_hash(h, cell(cur, COL_EPOCH));
		h = value_hash(h, cell(cur, COL_SEQ));
	} else {
		for (size_t i = 0; i < cur->n_cols; i++)
			h = value_hash(h, cell(cur, cur->cols[i]));
	}
	*ret = (sqlite3_int64)(h >> 1);
	return SQLITE_OK;
}

static int vt_find_function(sqlite3_vtab *v, int n_args, const char *name,
			    void (**ret_fn)(sqlite3_context *, int, sqlite3_value **),
			    void **ret_arg)
{
	int op = 0;

	if (n_args != 2)
		return 0;
	*ret_fn = funcs_pushable(((struct vt_table *)v)->conn, name, &op, ret_arg);
	return *ret_fn ? op : 0;
}

static const sqlite3_module module = {
	.iVersion = 2,
	.xConnect = vt_connect,
	.xBestIndex = vt_best_index,
	.xDisconnect = vt_disconnect,
	.xOpen = vt_open,
	.xClose = vt_close,
	.xFilter = vt_filter,
	.xNext = vt_next,
	.xEof = vt_eof,
	.xColumn = vt_column,
	.xRowid = vt_rowid,
	.xFindFunction = vt_find_function,
};

int vtab_register(struct query_conn *c)
{
	size_t n;
	const struct sql_table *tables = catalog_tables(&n);
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
		rc = sqlite3_create_module(c->db, tables[i].name, &module, c);
	return rc;
}

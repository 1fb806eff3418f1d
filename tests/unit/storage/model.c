#include "tests/unit/storage/model.h"

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/util.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

const uint16_t model_cols[MODEL_COLS] = {
	COL_TIME,	    COL_END_TIME,    COL_LATENCY_NS,  COL_TTFB_NS,
	COL_PROTOCOL,	    COL_METHOD,	     COL_RESOURCE,    COL_STATUS,
	COL_STATUS_CODE,    COL_FAILED,	     COL_ERROR,	      COL_REQUEST_BYTES,
	COL_RESPONSE_BYTES, COL_TRACE_ID,    COL_SPAN_ID,     COL_CONN_ID,
	COL_REQUEST_OFFSET, COL_CLIENT_PORT, COL_SERVER_NAME, COL_NODE,
	COL_EPOCH,	    COL_SEQ,	     COL_HTTP_PATH,   COL_HTTP_REQUEST_BODY,
};

#define SYMS 400
static struct {
	char text[24];
	bool announced;
} syms[SYMS];

void model_init(struct model *m, uint64_t seed)
{
	*m = (struct model){ .seed = seed };
	for (size_t i = 0; i < SYMS; i++)
		snprintf(syms[i].text, sizeof(syms[i].text), i ? "sym-%zu" : "", i * i);
	model_forget_syms();
}

void model_forget_syms(void)
{
	for (size_t i = 0; i < SYMS; i++)
		syms[i].announced = false;
}

static void row_free(struct model_row *r)
{
	for (size_t i = 0; i < MODEL_COLS; i++)
		if (r->cells[i].kind == VALUE_TEXT)
			free((void *)(uintptr_t)r->cells[i].text.p);
}

void model_done(struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		row_free(&m->rows[i]);
	free(m->rows);
	m->rows = NULL;
	m->n = m->cap = 0;
}

uint64_t model_random(struct model *m, uint64_t below)
{
	m->seed += 0x9e3779b97f4a7c15ULL;
	return below ? hash_u64(m->seed) % below : hash_u64(m->seed);
}

static struct value text_value(const void *p, size_t n)
{
	uint8_t *copy = malloc(n + 1);

	if (n)
		memcpy(copy, p, n);
	return (struct value){ .kind = VALUE_TEXT, .text = slice_of(copy, n) };
}

static struct value random_hex(struct model *m, size_t len)
{
	char hex[65];

	for (size_t i = 0; i < len; i++)
		hex[i] = "0123456789abcdef"[model_random(m, 16)];
	return text_value(hex, len);
}

static struct value random_bytes(struct model *m, size_t most)
{
	uint8_t bytes[2048];
	size_t n = model_random(m, most + 1);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(model_random(m, 8) ? 'a' + model_random(m, 26)
							: model_random(m, 256));
	return text_value(bytes, n);
}

static struct value random_int(struct model *m)
{
	static const int64_t extremes[] = { INT64_MIN, INT64_MAX, 0,	     -1,
					    1,	       255,	  256,	     65535,
					    65536,     -32768,	  1LL << 32, INT32_MIN };
	struct value v = { .kind = VALUE_INT };

	switch (model_random(m, 4)) {
	case 0:
		v.i = extremes[model_random(m, ARRAY_SIZE(extremes))];
		break;
	case 1:
		v.i = (int64_t)model_random(m, 0);
		break;
	default:
		v.i = (int64_t)model_random(m, 1000);
	}
	return v;
}

static struct value random_sym(struct model *m)
{
	const char *text = syms[model_random(m, model_random(m, 2) ? 5 : SYMS)].text;

	return text_value(text, strlen(text));
}

static struct value random_value(struct model *m, const struct column *c)
{
	if (c->id == COL_STATUS_CODE)
		return (struct value){ .kind = VALUE_INT, .i = model_random(m, 10) ? 200 : 503 };
	if (c->type == COL_INT && c->id == COL_REQUEST_BYTES)
		return random_int(m);
	if (c->type == COL_INT)
		return (struct value){ .kind = VALUE_INT, .i = (int64_t)model_random(m, 100000) };
	if (c->id == COL_PROTOCOL)
		return text_value("http", 4);
	if (c->flags & COL_F_SYM)
		return random_sym(m);
	if (c->id == COL_TRACE_ID)
		return random_hex(m, model_random(m, 50) ? 32 : 2 * model_random(m, 17));
	if (c->id == COL_SPAN_ID)
		return random_hex(m, 16);
	return random_bytes(m, c->flags & COL_F_PAYLOAD ? 800 : 60);
}

/* How often a column is NULL, out of 16; changes slowly so that segments differ. */
static uint64_t null_share(const struct model *m, uint16_t col)
{
	static const uint64_t shares[] = { 0, 1, 8, 15, 16 };

	if (col == COL_END_TIME || col == COL_SEQ || col == COL_EPOCH || col == COL_NODE)
		return 0;
	return shares[hash_u64(col * 977u + m->n / 1500) % ARRAY_SIZE(shares)];
}

static size_t col_index(uint16_t col)
{
	for (size_t i = 0; i < MODEL_COLS; i++)
		if (model_cols[i] == col)
			return i;
	return 0;
}

static uint64_t hash_value(const struct value *v)
{
	uint64_t h = v->kind;

	for (size_t i = 0; v->kind == VALUE_TEXT && i < v->text.n; i++)
		h = hash_u64(h ^ v->text.p[i]);
	return h;
}

/* In two of three stretches some columns follow from others, as in real traffic, with a rare slip.
 */
static void make_dependent(struct model *m, struct model_row *r)
{
	struct value *ttfb = &r->cells[col_index(COL_TTFB_NS)],
		     *name = &r->cells[col_index(COL_SERVER_NAME)];
	const struct value *latency = &r->cells[col_index(COL_LATENCY_NS)];
	uint64_t conn = hash_value(&r->cells[col_index(COL_CONN_ID)]);
	uint64_t status = hash_value(&r->cells[col_index(COL_STATUS)]);
	const char *text = syms[conn % 300].text;

	if (m->n / 700 % 3 == 0 || model_random(m, 2000) == 0)
		return;
	if (latency->kind == VALUE_INT && ttfb->kind == VALUE_INT && model_random(m, 5))
		ttfb->i = latency->i;
	r->cells[col_index(COL_STATUS_CODE)] = (struct value){ .kind = status % 4 ? VALUE_INT
										  : VALUE_NULL,
							       .i = (int64_t)(status % 5) };
	r->cells[col_index(COL_CLIENT_PORT)] = (struct value){ .kind = VALUE_INT,
							       .i = (int64_t)(conn % 60000) };
	if (name->kind == VALUE_TEXT)
		free((void *)(uintptr_t)name->text.p);
	*name = (struct value){ 0 };
	if (conn % 7)
		*name = text_value(text, strlen(text));
}

static struct model_row *new_row(struct model *m, uint64_t end_ns, uint64_t epoch)
{
	struct model_row *r;

	if (m->n == m->cap) {
		m->cap = MAX(m->cap * 2, (size_t)1024);
		m->rows = realloc(m->rows, m->cap * sizeof(*m->rows));
	}
	r = &m->rows[m->n];
	*r = (struct model_row){
		.end_ns = end_ns, .seq = m->n + 1, .epoch = epoch, .table = TABLE_HTTP
	};
	for (size_t i = 0; i < MODEL_COLS; i++) {
		const struct column *c = schema_column(model_cols[i]);

		if (model_random(m, 16) >= null_share(m, c->id))
			r->cells[i] = random_value(m, c);
		if (c->id == COL_END_TIME)
			r->cells[i].i = (int64_t)end_ns;
		if (c->id == COL_SEQ)
			r->cells[i].i = (int64_t)r->seq;
		if (c->id == COL_EPOCH)
			r->cells[i].i = (int64_t)epoch;
		if (c->id == COL_TIME && r->cells[i].kind == VALUE_INT && model_random(m, 8))
			r->cells[i].i = (int64_t)end_ns - r->cells[i].i;
	}
	make_dependent(m, r);
	m->n++;
	return r;
}

size_t model_encode(const struct model_row *r, struct row_builder *b, void *out)
{
	row_begin(b, r->table);
	for (size_t i = 0; i < MODEL_COLS; i++) {
		const struct value *v = &r->cells[i];
		unsigned int sym;

		if (v->kind == VALUE_INT)
			row_int(b, model_cols[i], v->i);
		if (v->kind != VALUE_TEXT)
			continue;
		if ((schema_column(model_cols[i])->flags & COL_F_SYM) && v->text.n > 4 &&
		    v->text.n < 20 && v->text.p[v->text.n - 1] % 2) {
			for (sym = 0; sym < SYMS; sym++)
				if (slice_eq_str(v->text, syms[sym].text))
					break;
			if (sym < SYMS && syms[sym].announced) {
				row_sym(b, model_cols[i], sym);
				continue;
			}
		}
		row_text(b, model_cols[i], v->text);
	}
	return row_end(b, r->seq, r->end_ns, out, ROW_MAX);
}

int model_append(struct model *m, struct store *s, uint64_t end_ns, uint64_t epoch)
{
	static struct row_builder b;
	static _Alignas(8) uint8_t out[ROW_MAX];
	struct model_row *r = new_row(m, end_ns, epoch);
	size_t sym = model_random(m, SYMS);
	struct row row;
	size_t n;

	if (!syms[sym].announced && store_sym(s, (uint32_t)sym, slice_str(syms[sym].text)) == 0)
		syms[sym].announced = true;
	n = model_encode(r, &b, out);
	if (n == 0 || row_check(slice_of(out, n), &row) < 0)
		return -EBADMSG;
	return store_append(s, &row);
}

static struct {
	uint16_t cols[SCAN_COLS_MAX];
	struct scan_pred preds[4];
	struct value values[4][8];
} kept;

void model_plan_all(struct scan_plan *ret)
{
	*ret = (struct scan_plan){
		.table = TABLE_HTTP, .to_ns = UINT64_MAX, .cols = model_cols, .n_cols = MODEL_COLS
	};
}

/* A value that some row has in the column, or any. */
static struct value some_value(struct model *m, size_t col_at)
{
	const struct column *c = schema_column(model_cols[col_at]);

	if (m->n && model_random(m, 8))
		return m->rows[model_random(m, m->n)].cells[col_at];
	if (model_random(m, 4) == 0)
		return (struct value){ .kind = VALUE_TEXT, .text = SLICE_LIT("m") };
	if (model_random(m, 4) == 0)
		return (struct value){ .kind = VALUE_NULL };
	return (struct value){ .kind = c->type == COL_INT ? VALUE_INT : VALUE_TEXT,
			       .i = (int64_t)model_random(m, 1000),
			       .text = SLICE_LIT("sym-9") };
}

static void random_pred(struct model *m, size_t i)
{
	size_t col_at = model_random(m, MODEL_COLS);
	struct scan_pred *p = &kept.preds[i];

	*p = (struct scan_pred){ .col = model_cols[col_at],
				 .op = (uint8_t)model_random(m, _PRED_MAX),
				 .values = kept.values[i],
				 .n_values = 1 };
	if (p->op == PRED_IS_NULL || p->op == PRED_NOT_NULL)
		p->n_values = 0;
	if (p->op == PRED_IN)
		p->n_values = model_random(m, 8);
	for (size_t k = 0; k < p->n_values; k++)
		kept.values[i][k] = some_value(m, col_at);
	if ((p->op == PRED_PREFIX || p->op == PRED_CONTAINS) && kept.values[i][0].text.n > 3)
		kept.values[i][0].text =
			slice_head(slice_from(kept.values[i][0].text, p->op == PRED_CONTAINS), 3);
}

void model_plan(struct model *m, struct scan_plan *ret)
{
	*ret = (struct scan_plan){
		.table = TABLE_HTTP, .to_ns = UINT64_MAX, .cols = kept.cols, .preds = kept.preds
	};
	ret->n_cols = model_random(m, MODEL_COLS + 1);
	for (size_t i = 0; i < ret->n_cols; i++)
		kept.cols[i] = model_cols[model_random(m, MODEL_COLS)];
	ret->n_preds = model_random(m, 4);
	for (size_t i = 0; i < ret->n_preds; i++)
		random_pred(m, i);
	ret->newest_first = model_random(m, 2);
	if (model_random(m, 3) == 0)
		ret->limit = 1 + model_random(m, model_random(m, 2) ? 20 : 9000);
	if (m->n && model_random(m, 2))
		ret->from_ns = m->rows[model_random(m, m->n)].end_ns;
	if (m->n && model_random(m, 2))
		ret->to_ns = m->rows[model_random(m, m->n)].end_ns;
}

static void print_value(struct strbuf *out, const struct value *v)
{
	if (v->kind == VALUE_NULL)
		strbuf_adds(out, "-");
	else if (v->kind == VALUE_INT)
		strbuf_addf(out, "%" PRId64, v->i);
	else
		strbuf_add_json(out, v->text);
	strbuf_addch(out, ' ');
}

int64_t model_run(struct scan_source *src, const struct scan_plan *plan, struct scan_coverage *cov,
		  char **ret_text)
{
	struct strbuf out = STRBUF_INIT(1u << 30);
	struct scan *scan;
	struct scan_batch batch;
	int64_t rows = 0;
	int err = src->open(src, plan, &scan);

	if (err < 0)
		return err;
	while ((err = scan_next(scan, &batch)) == 1) {
		for (size_t r = 0; r < batch.n_rows; r++) {
			for (size_t c = 0; c < batch.n_cols; c++) {
				const struct scan_col *col = &batch.cols[c];
				struct value v = { col->kinds[r], col->ints[r], col->texts[r] };

				print_value(&out, &v);
			}
			strbuf_addch(&out, '\n');
		}
		rows += (int64_t)batch.n_rows;
	}
	scan_coverage(scan, cov);
	scan_close(scan);
	*ret_text = strbuf_take(&out);
	return err < 0 ? err : rows;
}

static int compare_values(const struct value *a, const struct value *b)
{
	size_t n;
	int d;

	if (a->kind != b->kind)
		return a->kind == VALUE_INT ? -1 : 1;
	if (a->kind == VALUE_INT)
		return a->i < b->i ? -1 : a->i > b->i;
	n = MIN(a->text.n, b->text.n);
	d = n ? memcmp(a->text.p, b->text.p, n) : 0;
	return d ? d : a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
}

/* Written apart from the store's own, on purpose. */
static bool holds(const struct scan_pred *p, const struct value *v)
{
	const struct value *w = p->values;
	bool text = v->kind == VALUE_TEXT;

	if (p->op == PRED_IS_NULL || p->op == PRED_NOT_NULL)
		return (v->kind == VALUE_NULL) == (p->op == PRED_IS_NULL);
	if (v->kind == VALUE_NULL)
		return false;
	if (p->op == PRED_IN) {
		for (size_t i = 0; i < p->n_values; i++)
			if (w[i].kind != VALUE_NULL && compare_values(v, &w[i]) == 0)
				return true;
		return false;
	}
	if (w->kind == VALUE_NULL)
		return false;
	if (p->op == PRED_PREFIX || p->op == PRED_CONTAINS) {
		if (!text || w->kind != VALUE_TEXT)
			return false;
		if (p->op == PRED_PREFIX)
			return slice_starts(v->text, w->text);
		for (size_t i = 0; i + w->text.n <= v->text.n; i++)
			if (slice_starts(slice_from(v->text, i), w->text))
				return true;
		return w->text.n == 0;
	}
	switch (p->op) {
	case PRED_EQ:
		return compare_values(v, w) == 0;
	case PRED_NE:
		return compare_values(v, w) != 0;
	case PRED_LT:
		return compare_values(v, w) < 0;
	case PRED_LE:
		return compare_values(v, w) <= 0;
	case PRED_GT:
		return compare_values(v, w) > 0;
	default:
		return compare_values(v, w) >= 0;
	}
}

struct keyed {
	uint64_t end_ns;
	size_t at;
};

static int by_time(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	if (x->end_ns != y->end_ns)
		return x->end_ns < y->end_ns ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

int64_t model_answer(const struct model *m, const struct scan_plan *plan, char **ret_text)
{
	struct strbuf out = STRBUF_INIT(1u << 30);
	struct keyed *order = malloc((m->n + 1) * sizeof(*order));
	uint64_t rows = 0;

	for (size_t i = 0; i < m->n; i++)
		order[i] = (struct keyed){ m->rows[i].end_ns, i };
	qsort(order, m->n, sizeof(*order), by_time);
	for (size_t k = 0; k < m->n && (!plan->limit || rows < plan->limit); k++) {
		const struct model_row *r =
			&m->rows[order[plan->newest_first ? m->n - 1 - k : k].at];
		bool ok = r->end_ns >= plan->from_ns && r->end_ns <= plan->to_ns;

		for (size_t i = 0; i < plan->n_preds && ok; i++)
			ok = holds(&plan->preds[i], &r->cells[col_index(plan->preds[i].col)]);
		if (!ok)
			continue;
		rows++;
		for (size_t i = 0; i < plan->n_cols; i++)
			print_value(&out, &r->cells[col_index(plan->cols[i])]);
		strbuf_addch(&out, '\n');
	}
	free(order);
	*ret_text = strbuf_take(&out);
	return (int64_t)rows;
}

bool model_agrees(const struct model *m, struct scan_source *src, const struct scan_plan *plan)
{
	struct scan_coverage cov = { 0 };
	char *got = NULL, *want = NULL;
	int64_t n = model_run(src, plan, &cov, &got), w = model_answer(m, plan, &want);
	bool ok = n == w && strcmp(got ? got : "", want ? want : "") == 0 && cov.segments_bad == 0;
	size_t at = 0;

	if (!ok) {
		while (got && want && got[at] && got[at] == want[at])
			at++;
		printf("  got %" PRId64 " rows, want %" PRId64 "; bad %" PRIu64
		       "; from byte %zu:\n  got  %.200s\n  want %.200s\n",
		       n, w, cov.segments_bad, at, got ? got + at : "(none)",
		       want ? want + at : "(none)");
		for (size_t i = 0; i < plan->n_preds; i++)
			printf("  pred col %u op %u\n", plan->preds[i].col, plan->preds[i].op);
	}
	free(got);
	free(want);
	return ok;
}

void temp_dir(char *out, size_t cap)
{
	const char *base = getenv("TMPDIR");

	snprintf(out, cap, "%s/kelpie-store-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(out))
		perror("mkdtemp");
}

void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[4096];

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		(void)unlink(path);
	}
	if (d)
		closedir(d);
	(void)rmdir(dir);
}

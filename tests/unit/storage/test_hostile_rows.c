/* Rows as a parser that was taken over may write them: whatever row_check() lets through, with any
 * number, any size and any time. Counted either way, readable or rejected, and never a broken file.
 */
#include "base/util.h"
#include "tests/lib/test.h"
#include "tests/unit/storage/fixture.h"

#define ROWS	     1000
#define BIG_TEXT_MAX 60000
#define SYMS	     300

static int64_t any_int(struct model *m)
{
	static const int64_t odd[] = { 0, -1, 1, INT64_MIN, INT64_MAX, INT32_MIN, 1LL << 53 };
	uint64_t k = model_random(m, ARRAY_SIZE(odd) + 3);

	return k < ARRAY_SIZE(odd) ? odd[k] : (int64_t)model_random(m, UINT64_MAX);
}

static uint64_t any_time(struct fixture *f)
{
	const uint64_t odd[] = { 0, 1, INT64_MAX, UINT64_MAX,
				 f->now + 86400ULL * 365 * NSEC_PER_SEC };
	uint64_t k = model_random(&f->m, 100);

	return k < ARRAY_SIZE(odd) ? odd[k] : f->now + model_random(&f->m, NSEC_PER_SEC);
}

static struct slice any_text(struct model *m)
{
	static uint8_t text[BIG_TEXT_MAX];
	size_t n = model_random(m, model_random(m, 20) ? 40 : BIG_TEXT_MAX);

	for (size_t i = 0; i < n; i++)
		text[i] = (uint8_t)model_random(m, 256);
	return slice_of(text, n);
}

/* A cell of the kind that the column has, now and then of another. Not through row_text(), which
 * would cut it to the column's length. */
static bool put_cell(struct fixture *f, const struct column *col, struct row_hdr *h, uint8_t *end)
{
	struct cell *c = (struct cell *)(h + 1) + h->n_cells;
	bool text = (col->type == COL_INT) == (model_random(&f->m, 5000) == 0);
	struct slice v;

	*c = (struct cell){ .col = col->id, .kind = CELL_INT, .v.i = any_int(&f->m) };
	h->n_cells++;
	if (!text)
		return true;
	if (model_random(&f->m, 3) == 0) {
		c->kind = CELL_SYM;
		c->v.off = model_random(&f->m, 5000) ? model_random(&f->m, SYMS) : UINT32_MAX;
		return true;
	}
	v = any_text(&f->m);
	if (h->len + v.n + 8 > ROW_MAX) {
		h->n_cells--;
		return false;
	}
	memcpy(end + h->len, v.p, v.n);
	c->kind = CELL_TEXT;
	c->len = (uint32_t)v.n;
	c->v.off = h->len;
	h->len += (uint32_t)v.n;
	return true;
}

static size_t any_row(struct fixture *f, uint64_t seq, void *out)
{
	size_t n;
	const struct table_schema *const *tables = schema_tables(&n), *t;
	struct row_hdr *h = out;

	t = model_random(&f->m, 3) ? schema_table(TABLE_HTTP) : tables[model_random(&f->m, n)];
	*h = (struct row_hdr){ .table = t->id, .seq = seq, .end_ns = any_time(f) };
	h->len = (uint32_t)(sizeof(*h) + ROW_CELLS_MAX * sizeof(struct cell));
	for (uint16_t id = 0; id < _COL_MAX; id++)
		for (size_t i = 0; i < t->n_columns; i++)
			if (t->columns[i]->id == id && !(t->columns[i]->flags & COL_F_COMPUTED) &&
			    model_random(&f->m, 3) && h->n_cells < ROW_CELLS_MAX)
				(void)put_cell(f, t->columns[i], h, out);
	for (size_t i = 0; i < h->n_cells; i++) {
		struct cell *c = (struct cell *)(h + 1) + i;

		if (c->kind == CELL_TEXT)
			c->v.off -= sizeof(*h) + h->n_cells * sizeof(*c);
	}
	return h->len;
}

static void announce_some(struct fixture *f)
{
	if (model_random(&f->m, 20) == 0)
		store_sym_reset(f->s);
	for (uint32_t sym = 0; sym < SYMS; sym++) {
		struct slice text = any_text(&f->m);

		(void)store_sym(f->s, sym, slice_head(text, 4000));
	}
}

static void test_hostile_rows__are_stored_or_rejected(void)
{
	static _Alignas(8) uint8_t bytes[ROW_MAX];
	struct fixture f;
	struct scan_plan all;
	struct store_counters c;
	uint64_t taken = 0;

	fixture_init(&f, 11);
	f.o.flush_rows = 200;
	ASSERT(fixture_open(&f));
	for (uint64_t seq = 1; seq <= ROWS; seq++) {
		struct row row;
		size_t n;

		if (seq % 50 == 1)
			announce_some(&f);
		n = any_row(&f, seq, bytes);
		if (!EXPECT_EQ(row_check(slice_of(bytes, n), &row), 0))
			break;
		taken += store_append(f.s, &row) == 0;
		pass_time(&f, 20 * NSEC_PER_MSEC);
		if (seq % 997 == 0)
			store_flush(f.s);
	}
	EXPECT(taken > ROWS / 10);
	seal_all(&f);
	EXPECT(law_holds(f.s));
	for (int again = 0; again < 2; again++) {
		struct scan_coverage cov;
		char *text = NULL;

		model_plan_all(&all);
		EXPECT(model_run(store_source(f.s), &all, &cov, &text) > 0);
		EXPECT_EQ(cov.segments_bad, 0);
		EXPECT_EQ(cov.rows_bad, 0);
		free(text);
		c = counters_of(f.s);
		EXPECT_EQ(c.rows_damaged, 0);
		if (again)
			break;
		store_close(f.s);
		ASSERT(fixture_open(&f));
		EXPECT_EQ(counters_of(f.s).files_bad, 0);
	}
	fixture_done(&f);
}

TEST_MAIN(TEST(test_hostile_rows__are_stored_or_rejected))

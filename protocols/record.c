#include "protocols/record.h"

#include "base/text.h"
#include "base/util.h"

#include <errno.h>

void row_begin(struct row_builder *b, uint16_t table)
{
	b->table = table;
	b->n_cells = 0;
	b->truncated = false;
	b->text_len = 0;
	memset(b->present, 0, sizeof(b->present));
}

/* v cut to cap bytes, not inside a UTF-8 character. */
static struct slice cut_text(struct slice v, size_t cap)
{
	size_t n = cap;

	if (v.n <= cap)
		return v;
	for (size_t back = 0; back < 4 && back < n; back++)
		if ((v.p[n - back] & 0xc0) != 0x80)
			return slice_head(v, n - back);
	return slice_head(v, n);
}

void row_text(struct row_builder *b, uint16_t col, struct slice v)
{
	const struct column *column = schema_column(col);
	size_t cap = column && column->cap_bytes ? column->cap_bytes : sizeof(b->text);
	struct slice kept = cut_text(v, MIN(cap, sizeof(b->text) - b->text_len));

	if (kept.n < v.n)
		b->truncated = true;
	row_cell(b, col,
		 (struct cell){ .col = col,
				.kind = CELL_TEXT,
				.len = (uint32_t)kept.n,
				.v.off = b->text_len });
	if (kept.n)
		memcpy(b->text + b->text_len, kept.p, kept.n);
	b->text_len += (uint32_t)kept.n;
}

/* Copies the cells whose bit is set, run by run: most columns have neighbours. Returns behind them.
 */
static struct cell *put_runs(struct cell *to, const struct cell *from, uint64_t bits)
{
	while (bits) {
		size_t first = (size_t)__builtin_ctzll(bits);
		uint64_t ends = ~(bits >> first);
		size_t n = ends ? (size_t)__builtin_ctzll(ends) : 64;

		memcpy(to, from + first, n * sizeof(*to));
		to += n;
		bits &= first + n < 64 ? ~(uint64_t)0 << (first + n) : 0;
	}
	return to;
}

size_t row_end(struct row_builder *b, uint64_t seq, uint64_t end_ns, void *out, size_t cap)
{
	size_t text_at = sizeof(struct row_hdr) + b->n_cells * sizeof(struct cell);
	size_t len = (text_at + b->text_len + 7) & ~(size_t)7;
	struct row_hdr *h = out;
	struct cell *cells;

	if (len > cap || len > ROW_MAX)
		return 0;
	*h = (struct row_hdr){ (uint32_t)len, b->table, b->n_cells, seq, end_ns };
	cells = (struct cell *)(h + 1);
	for (size_t word = 0; word < ARRAY_SIZE(b->present); word++)
		cells = put_runs(cells, b->cells + word * 64, b->present[word]);
	memcpy((uint8_t *)out + text_at, b->text, b->text_len);
	memset((uint8_t *)out + text_at + b->text_len, 0, len - text_at - b->text_len);
	return len;
}

int row_check(struct slice encoded, struct row *ret)
{
	const struct row_hdr *h = (const struct row_hdr *)(const void *)encoded.p;
	const struct cell *cells;
	size_t text_at;
	int last = -1;

	if (encoded.n < sizeof(*h) || h->len != encoded.n || h->len > ROW_MAX ||
	    h->n_cells > ROW_CELLS_MAX || !schema_table(h->table))
		return -EBADMSG;
	text_at = sizeof(*h) + h->n_cells * sizeof(struct cell);
	if (text_at > encoded.n)
		return -EBADMSG;
	cells = (const struct cell *)(h + 1);
	for (size_t i = 0; i < h->n_cells; i++) {
		const struct cell *c = &cells[i];

		if (c->col <= last || c->col >= _COL_MAX)
			return -EBADMSG;
		last = c->col;
		if (c->kind == CELL_INT || (c->kind == CELL_SYM && c->v.off <= UINT32_MAX))
			continue;
		if (c->kind != CELL_TEXT || c->v.off > encoded.n - text_at ||
		    c->len > encoded.n - text_at - c->v.off)
			return -EBADMSG;
	}
	*ret = (struct row){ h, cells, encoded.p + text_at };
	return 0;
}

const struct cell *row_find(const struct row *r, uint16_t col)
{
	size_t lo = 0, hi = r->hdr->n_cells;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r->cells[mid].col == col)
			return &r->cells[mid];
		if (r->cells[mid].col < col)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

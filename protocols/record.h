/* The row as it crosses from the parser process to the store: a header, one 16-byte cell per column
 * that is not NULL, then the text of CELL_TEXT cells. Little-endian host layout (both processes are
 * one binary on one machine). The reader trusts nothing: the writer is the process that handles
 * hostile bytes.
 *
 *	0        24              24 + 16 * n_cells                len
 *	| header | cell | cell | ... | text bytes ............... |
 */
#ifndef PROTOCOLS_RECORD_H
#define PROTOCOLS_RECORD_H

#include "base/slice.h"
#include "protocols/schema.h"

#define ROW_MAX	      131072 /* bytes of one encoded row */
#define ROW_CELLS_MAX 128

enum cell_kind {
	CELL_INT = 1,  /* v.i */
	CELL_TEXT = 2, /* len bytes at offset v.off from the end of the cells */
	CELL_SYM = 3,  /* v.off: number of an interned text, announced before by the same writer */
};

struct row_hdr {
	uint32_t len;	/* of the row with this header */
	uint16_t table; /* enum table_id */
	uint16_t n_cells;
	uint64_t seq;	 /* number of the row in the epoch */
	uint64_t end_ns; /* COL_END_TIME (connections: closed), unix ns: the row's place in time */
};

struct cell {
	uint16_t col; /* enum col_id; ascending within a row */
	uint8_t kind; /* enum cell_kind */
	uint8_t pad;
	uint32_t len; /* bytes of text; 0 otherwise */
	union {
		int64_t i;
		uint64_t off;
	} v;
};

_Static_assert(sizeof(struct row_hdr) == 24, "row_hdr");
_Static_assert(sizeof(struct cell) == 16, "cell");

/* Builds rows in one fixed buffer: a place for each column's cell, text kept apart until row_end().
 * Cells may come in any order; a second one for the same column replaces the first. No allocation.
 */
struct row_builder {
	uint16_t table;
	uint16_t n_cells;
	bool truncated; /* some text was cut to its column's cap, or did not fit */
	uint32_t text_len;
	uint64_t present[_COL_MAX / 64]; /* a bit for each column that has a cell */
	struct cell cells[_COL_MAX];	 /* by column, valid where the bit is set */
	uint8_t text[ROW_MAX - sizeof(struct row_hdr) - ROW_CELLS_MAX * sizeof(struct cell)];
};

void row_begin(struct row_builder *b, uint16_t table);
/* Copied; cut to the column's cap_bytes on a UTF-8 boundary (sets b->truncated). */
void row_text(struct row_builder *b, uint16_t col, struct slice v);

/* Sets a column's cell. Inline: a row has dozens of them, most at columns that are constants. */
static inline void row_cell(struct row_builder *b, uint16_t col, struct cell cell)
{
	uint64_t bit = (uint64_t)1 << col % 64;

	if (col >= _COL_MAX)
		return;
	if (!(b->present[col / 64] & bit)) {
		if (b->n_cells == ROW_CELLS_MAX) {
			b->truncated = true;
			return;
		}
		b->present[col / 64] |= bit;
		b->n_cells++;
	}
	b->cells[col] = cell;
}

static inline void row_int(struct row_builder *b, uint16_t col, int64_t v)
{
	row_cell(b, col, (struct cell){ .col = col, .kind = CELL_INT, .v.i = v });
}

static inline void row_sym(struct row_builder *b, uint16_t col, uint32_t sym)
{
	row_cell(b, col, (struct cell){ .col = col, .kind = CELL_SYM, .v.off = sym });
}

/* Encodes into out. Returns the row's length, or 0 when out (cap bytes) is too small. */
size_t row_end(struct row_builder *b, uint64_t seq, uint64_t end_ns, void *out, size_t cap);

/* A checked view of an encoded row, borrowed from its bytes. */
struct row {
	const struct row_hdr *hdr;
	const struct cell *cells; /* hdr->n_cells: ascending columns, known kinds, text inside */
	const uint8_t *texts;	  /* behind the cells: what their offsets count from */
};

/* p: aligned to 8. 0, or -EBADMSG when anything is out of range. */
int row_check(struct slice encoded, struct row *ret);

/* The view of a row that row_check() accepted, or row_end() made. */
static inline struct row row_of(const struct row_hdr *h)
{
	const struct cell *cells = (const struct cell *)(h + 1);

	return (struct row){ h, cells, (const uint8_t *)(cells + h->n_cells) };
}

static inline struct slice row_cell_text(const struct row *r, const struct cell *c)
{
	return slice_of(r->texts + c->v.off, c->len);
}

/* NULL when the column is NULL in this row. */
const struct cell *row_find(const struct row *r, uint16_t col);

/* A row that owns its texts as one value list, what scans deliver to the query layer. */
enum value_kind { VALUE_NULL, VALUE_INT, VALUE_TEXT };

struct value {
	uint8_t kind; /* enum value_kind */
	int64_t i;
	struct slice text; /* borrowed until the cursor moves */
};

#endif

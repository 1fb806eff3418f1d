/* A segment of the store from any bytes, as from a damaged disk whose checksums are right: the
 * length of the descriptor, the descriptor, the parts. What is accepted is read in every row.
 */
#include "base/crc32c.h"
#include "base/util.h"
#include "storage/column.h"
#include "tests/fuzz/work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MAX (1u << 18) /* more only take time */
#define RAW_MAX	  (4 * MIB)

static const struct work_bound desc_bound = { "seg_desc_parse", 128, 4096 };
/* Rows, decompressed bytes and texts of all columns: each is unpacked, spread over the rows and
 * checked. */
static const struct work_bound load_bound = { "column_load", 64, 16384 };

struct segment {
	struct part_source src;
	struct seg_desc desc;
	struct slice data;
	struct column_data cols[SEG_COLS_MAX];
	bool loading[SEG_COLS_MAX];
	struct column_input in;
};

static int part(struct part_source *src, const struct seg_desc *seg, const struct col_desc *c,
		enum seg_part part, struct slice *ret)
{
	struct segment *s = container_of(src, struct segment, src);

	(void)seg;
	*ret = slice_head(slice_from(s->data, c->part[part].off), c->part[part].stored);
	return 0;
}

static int load(struct segment *s, size_t i)
{
	if (s->cols[i].loaded)
		return 0;
	if (s->loading[i])
		return -EBADMSG;
	s->loading[i] = true;
	return column_load(&s->in, s->desc.cols[i].col, &s->cols[i]);
}

static int other(void *ctx, uint16_t col, const struct column_data **ret)
{
	static const struct column_data none;
	struct segment *s = ctx;

	*ret = &none;
	for (size_t i = 0; i < s->desc.n_cols; i++) {
		if (s->desc.cols[i].col == col) {
			*ret = &s->cols[i];
			return load(s, i);
		}
	}
	return 0;
}

/* Reads all that a scan may read. */
static uint64_t read_rows(const struct column_data *c, uint32_t rows)
{
	uint64_t sum = 0;

	for (uint32_t row = 0; row < rows; row++) {
		struct slice text = { 0 };

		if (!c->loaded || c->form == COLUMN_NULL || !column_has(c, row))
			continue;
		if (c->form == COLUMN_INTS || c->form == COLUMN_CONST_INT)
			sum += (uint64_t)c->ints[c->form == COLUMN_INTS ? row : 0];
		else if (c->form == COLUMN_DICT && c->codes[row] >= c->n_texts)
			abort();
		else
			text = c->texts[c->form == COLUMN_DICT	  ? c->codes[row]
					: c->form == COLUMN_TEXTS ? row
								  : 0];
		for (size_t i = 0; i < text.n; i++)
			sum += text.p[i];
	}
	return sum;
}

/* The parts have the checksums that are asked for. Returns what decoding may cost; 0: too much. */
static size_t seal(struct segment *s)
{
	size_t raw = 0, cells = (size_t)s->desc.n_cols * s->desc.rows;

	for (size_t i = 0; i < s->desc.n_cols; i++) {
		for (int k = 0; k < _PART_MAX; k++) {
			struct part_desc *p = &s->desc.cols[i].part[k];
			struct slice v = slice_head(slice_from(s->data, p->off), p->stored);

			p->crc = crc32c(0, v.p, v.n);
			raw += p->raw;
		}
	}
	return raw > RAW_MAX || cells > CELLS_MAX ? 0 : raw + cells + s->data.n;
}

static void read_columns(struct segment *s, size_t cost)
{
	work_begin();
	for (size_t i = 0; i < s->desc.n_cols; i++)
		(void)load(s, i);
	work_end(&load_bound, cost);
	for (size_t i = 0; i < s->desc.n_cols; i++) {
		uint64_t sum = read_rows(&s->cols[i], s->desc.rows);

		__asm__ volatile("" : : "r"(sum)); /* it was read, whatever the compiler thinks */
		column_done(&s->cols[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct squeezer *z;
	static struct segment s;
	size_t n, cost;
	uint8_t *desc;
	uint32_t crc;
	int r;

	if (size < 6)
		return 0;
	if (!z)
		z = squeezer_new();
	n = MIN((size_t)data[0] | (size_t)data[1] << 8, size - 2);
	if (n < 4)
		return 0;
	desc = malloc(n);
	memcpy(desc, data + 2, n);
	crc = crc32c(0, desc, n - 4);
	for (int i = 0; i < 4; i++)
		desc[n - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
	memset(&s, 0, sizeof(s));
	s.src.part = part;
	s.data = slice_of(data + 2 + n, size - 2 - n);
	s.in = (struct column_input){ &s.src, z, &s.desc, other, &s };
	work_begin();
	r = seg_desc_parse(slice_of(desc, n), &s.desc);
	work_end(&desc_bound, n);
	cost = r == 0 ? seal(&s) : 0;
	if (cost > 0)
		read_columns(&s, cost);
	free(desc);
	return 0;
}

#include "storage/column.h"

#include "base/crc32c.h"

#include <errno.h>

void column_done(struct column_data *c)
{
	free(c->present);
	free(c->ints);
	free(c->codes);
	free(c->texts);
	free(c->raw);
	free(c->own);
	*c = (struct column_data){ .col = c->col };
}

int column_part(const struct column_input *in, const struct col_desc *d, enum seg_part part,
		uint8_t **ret_raw)
{
	const struct part_desc *p = &d->part[part];
	_cleanup_(freep) uint8_t *raw = NULL;
	struct slice stored;
	int err;

	err = in->src->part(in->src, in->seg, d, part, &stored);
	if (err < 0)
		return err;
	if (stored.n != p->stored || crc32c(0, stored.p, stored.n) != p->crc)
		return -EBADMSG;
	raw = malloc(p->raw + 1);
	if (!raw)
		return -ENOMEM;
	err = unsqueeze(in->z, stored, raw, p->raw);
	if (err < 0)
		return err;
	*ret_raw = TAKE_PTR(raw);
	return 0;
}

/* Reads PART_DATA into c->raw and splits off the bitmap of present rows. */
static int load_data(const struct column_input *in, const struct col_desc *d, struct column_data *c,
		     struct slice *ret_values)
{
	uint32_t rows = in->seg->rows, n = 0;
	size_t bitmap = d->n_values < rows ? (rows + 7) / 8 : 0;
	int err;

	*ret_values = slice_of(NULL, 0);
	if (!(d->parts & 1u << PART_DATA))
		return bitmap ? -EBADMSG : 0;
	err = column_part(in, d, PART_DATA, &c->raw);
	if (err < 0)
		return err;
	if (d->part[PART_DATA].raw < bitmap)
		return -EBADMSG;
	*ret_values = slice_of(c->raw + bitmap, d->part[PART_DATA].raw - bitmap);
	if (!bitmap)
		return 0;
	c->present = calloc((rows + 63) / 64, sizeof(*c->present));
	if (!c->present)
		return -ENOMEM;
	memcpy(c->present, c->raw, bitmap);
	if (rows % 64)
		c->present[rows / 64] &= (1ULL << rows % 64) - 1;
	for (size_t i = 0; i < (rows + 63) / 64; i++)
		n += (uint32_t)__builtin_popcountll(c->present[i]);
	return n == d->n_values ? 0 : -EBADMSG;
}

/* Values without NULLs, at the front of the array, move to their rows, from the back. */
#define SPREAD(array, rows, n)                                                                     \
	do {                                                                                       \
		uint32_t from = (n);                                                               \
		for (uint32_t to = (rows); c->present && to-- > 0;)                                \
			(array)[to] = column_has(c, to) && from ? (array)[--from]                  \
								: (__typeof__((array)[0])){ 0 };   \
	} while (0)

static int load_ints(const struct column_input *in, const struct col_desc *d, struct column_data *c,
		     struct slice values)
{
	uint32_t rows = in->seg->rows;
	size_t n_stored = d->enc == ENC_DELTA ? d->n_values - 1 : d->n_values;

	if (values.n != n_stored * d->width)
		return -EBADMSG;
	c->ints = malloc(rows * sizeof(*c->ints));
	if (!c->ints)
		return -ENOMEM;
	c->form = COLUMN_INTS;
	if (d->enc == ENC_FOR) {
		codec_unpack(c->ints, values.p, n_stored, d->min, d->width);
	} else if (d->enc == ENC_NEAR) {
		codec_unpack(c->ints, values.p, n_stored, d->near_min, d->width);
	} else {
		uint64_t sum = (uint64_t)d->base;

		codec_unpack(c->ints + 1, values.p, n_stored, d->step, d->width);
		c->ints[0] = d->base;
		for (size_t i = 1; i < d->n_values; i++) {
			sum += (uint64_t)c->ints[i];
			c->ints[i] = (int64_t)sum;
		}
	}
	SPREAD(c->ints, rows, d->n_values);
	return 0;
}

/* The value of an integer column in a row, 0 where it is NULL. */
static uint64_t int_or_0(const struct column_data *c, uint32_t row)
{
	if (!c || !column_has(c, row))
		return 0;
	if (c->form == COLUMN_INTS)
		return (uint64_t)c->ints[row];
	return c->form == COLUMN_CONST_INT ? (uint64_t)c->ints[0] : 0;
}

/* Residuals become values. */
static int undo_near(const struct column_input *in, const struct col_desc *d, struct column_data *c)
{
	const struct column_data *plus = NULL, *minus = NULL;
	uint16_t plus_col, minus_col;
	int err;

	if (!seg_near(d->col, &plus_col, &minus_col))
		return -EBADMSG;
	err = in->other(in->ctx, plus_col, &plus);
	if (!err && minus_col)
		err = in->other(in->ctx, minus_col, &minus);
	if (err < 0)
		return err;
	for (uint32_t i = 0; i < in->seg->rows; i++)
		if (column_has(c, i))
			c->ints[i] = (int64_t)(int_or_0(plus, i) - int_or_0(minus, i) -
					       (uint64_t)c->ints[i]);
	return 0;
}

/* The dictionary itself; c->raw, done with, makes room for it. */
static int load_dict_texts(const struct column_input *in, const struct col_desc *d,
			   struct column_data *c)
{
	uint8_t *raw;
	int err;

	c->texts = malloc(d->n_dict * sizeof(*c->texts));
	if (!c->texts)
		return -ENOMEM;
	c->n_texts = d->n_dict;
	err = column_part(in, d, PART_DICT, &raw);
	if (err < 0)
		return err;
	free(c->raw);
	c->raw = raw;
	return codec_texts_read(slice_of(raw, d->part[PART_DICT].raw), d->n_dict, c->texts,
				&c->own);
}

/* One value per code of another column: unpacked into slots, has[] says which have one. */
struct slots {
	uint32_t n;
	int64_t *v;
	uint8_t *has; /* bitmap, in the column's raw bytes */
};

static int read_slots(const struct column_input *in, const struct col_desc *d,
		      struct column_data *c, struct slots *ret)
{
	size_t bitmap = (d->n_map + 7) / 8, kept = 0;
	const struct part_desc *p = &d->part[PART_DATA];
	int64_t base = d->enc == ENC_MAP_INT ? d->min : 0;
	int err;

	ret->n = d->n_map;
	err = column_part(in, d, PART_DATA, &c->raw);
	if (err < 0)
		return err;
	if (p->raw < bitmap)
		return -EBADMSG;
	ret->has = c->raw;
	for (uint32_t i = 0; i < d->n_map; i++)
		kept += ret->has[i / 8] >> i % 8 & 1;
	if (p->raw != bitmap + kept * d->width)
		return -EBADMSG;
	ret->v = malloc((d->n_map + kept + 1) * sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	codec_unpack(ret->v, c->raw + bitmap, kept, base, d->width);
	for (uint32_t i = d->n_map; i-- > 0;)
		ret->v[i] = ret->has[i / 8] >> i % 8 & 1 ? ret->v[--kept] : 0;
	return 0;
}

/* Looks each row's value up by the other column's code. Exactly one of ints and codes is set. */
static int apply_slots(const struct slots *s, const struct column_data *ref,
		       const struct seg_desc *seg, const struct col_desc *d, struct column_data *c)
{
	uint32_t present = 0;

	if (ref->form != COLUMN_DICT || ref->n_texts + 1 != s->n)
		return -EBADMSG;
	c->present = calloc((seg->rows + 63) / 64, sizeof(*c->present));
	if (!c->present)
		return -ENOMEM;
	for (uint32_t row = 0; row < seg->rows; row++) {
		uint32_t slot = column_has(ref, row) ? ref->codes[row] : s->n - 1;
		bool has = s->has[slot / 8] >> slot % 8 & 1;

		c->present[row / 64] |= (uint64_t)has << row % 64;
		present += has;
		if (c->ints)
			c->ints[row] = s->v[slot];
		else if (has && (uint64_t)s->v[slot] >= d->n_dict)
			return -EBADMSG;
		else
			c->codes[row] = (uint32_t)s->v[slot];
	}
	if (present == seg->rows) {
		free(c->present);
		c->present = NULL;
	}
	return present == d->n_values ? 0 : -EBADMSG;
}

static int load_map(const struct column_input *in, const struct col_desc *d, struct column_data *c)
{
	const struct column_data *ref = NULL;
	struct slots slots = { 0 };
	int err = in->other(in->ctx, d->ref, &ref);

	if (d->enc == ENC_MAP_INT)
		c->ints = malloc(in->seg->rows * sizeof(*c->ints));
	else
		c->codes = malloc(in->seg->rows * sizeof(*c->codes));
	if (!err && !c->ints && !c->codes)
		err = -ENOMEM;
	if (!err)
		err = read_slots(in, d, c, &slots);
	if (!err)
		err = apply_slots(&slots, ref, in->seg, d, c);
	free(slots.v);
	c->form = d->enc == ENC_MAP_INT ? COLUMN_INTS : COLUMN_DICT;
	return err ? err : d->enc == ENC_MAP_DICT ? load_dict_texts(in, d, c) : 0;
}

static int load_const(const struct col_desc *d, struct column_data *c, struct slice values)
{
	if (values.n)
		return -EBADMSG;
	c->ints = malloc(sizeof(*c->ints));
	c->texts = malloc(sizeof(*c->texts));
	if (!c->ints || !c->texts)
		return -ENOMEM;
	c->ints[0] = d->min;
	c->texts[0] = d->text;
	c->n_texts = 1;
	c->form = d->enc == ENC_CONST_INT ? COLUMN_CONST_INT : COLUMN_CONST_TEXT;
	return 0;
}

static int load_dict(const struct column_input *in, const struct col_desc *d, struct column_data *c,
		     struct slice values)
{
	uint32_t rows = in->seg->rows;

	if (values.n != (size_t)d->n_values * d->width)
		return -EBADMSG;
	c->codes = malloc(rows * sizeof(*c->codes));
	if (!c->codes)
		return -ENOMEM;
	c->form = COLUMN_DICT;
	if (codec_unpack_u32(c->codes, values.p, d->n_values, d->width) >= d->n_dict)
		return -EBADMSG;
	SPREAD(c->codes, rows, d->n_values);
	return load_dict_texts(in, d, c);
}

static int load_texts(const struct column_input *in, const struct col_desc *d,
		      struct column_data *c, struct slice values)
{
	uint32_t rows = in->seg->rows;
	int err;

	c->texts = malloc(rows * sizeof(*c->texts));
	if (!c->texts)
		return -ENOMEM;
	c->form = COLUMN_TEXTS;
	c->n_texts = rows;
	err = codec_texts_read(values, d->n_values, c->texts, &c->own);
	if (err < 0)
		return err;
	SPREAD(c->texts, rows, d->n_values);
	return 0;
}

static int load_form(const struct column_input *in, const struct col_desc *d, struct column_data *c)
{
	struct slice values;
	int err;

	if (d->enc == ENC_MAP_INT || d->enc == ENC_MAP_DICT)
		return load_map(in, d, c);
	err = load_data(in, d, c, &values);
	if (err < 0)
		return err;
	switch (d->enc) {
	case ENC_CONST_INT:
	case ENC_CONST_TEXT:
		return load_const(d, c, values);
	case ENC_DICT:
		return load_dict(in, d, c, values);
	case ENC_TEXT:
		return load_texts(in, d, c, values);
	default:
		err = load_ints(in, d, c, values);
		return !err && d->enc == ENC_NEAR ? undo_near(in, d, c) : err;
	}
}

int column_load(const struct column_input *in, uint16_t col, struct column_data *c)
{
	const struct col_desc *d = seg_desc_find(in->seg, col);
	int err;

	*c = (struct column_data){ .col = col, .loaded = true };
	if (!d)
		return 0;
	err = load_form(in, d, c);
	if (err < 0)
		column_done(c);
	return err;
}

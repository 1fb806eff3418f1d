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
			(array)[to] = column_has(c, to) && from ? (array)[--from] :                \
								  (__typeof__((array)[0])){ 0 };   \
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
	} else if (d->enc == ENC_SPAN) {
		codec_unpack(c->ints, values.p, n_stored, d->span_min, d->width);
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

/* Residuals become start times. */
static int undo_span(const struct column_input *in, struct column_data *c)
{
	const struct column_data *e = in->ends, *l = in->latency;

	if (!e || !l || (e->form != COLUMN_INTS && e->form != COLUMN_CONST_INT) || e->present)
		return -EBADMSG;
	for (uint32_t i = 0; i < in->seg->rows; i++) {
		uint64_t end = (uint64_t)e->ints[e->form == COLUMN_INTS ? i : 0], latency = 0;

		if (!column_has(c, i))
			continue;
		if (l->form == COLUMN_INTS && column_has(l, i))
			latency = (uint64_t)l->ints[i];
		else if (l->form == COLUMN_CONST_INT && column_has(l, i))
			latency = (uint64_t)l->ints[0];
		c->ints[i] = (int64_t)(end - latency - (uint64_t)c->ints[i]);
	}
	return 0;
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
	uint8_t *raw;
	int err;

	if (values.n != (size_t)d->n_values * d->width)
		return -EBADMSG;
	c->codes = malloc(rows * sizeof(*c->codes));
	c->texts = malloc(d->n_dict * sizeof(*c->texts));
	if (!c->codes || !c->texts)
		return -ENOMEM;
	c->n_texts = d->n_dict;
	c->form = COLUMN_DICT;
	if (codec_unpack_u32(c->codes, values.p, d->n_values, d->width) >= d->n_dict)
		return -EBADMSG;
	SPREAD(c->codes, rows, d->n_values);
	err = column_part(in, d, PART_DICT, &raw);
	if (err < 0)
		return err;
	free(c->raw);
	c->raw = raw;
	return codec_texts_read(slice_of(raw, d->part[PART_DICT].raw), d->n_dict, c->texts, &c->own);
}

static int load_texts(const struct column_input *in, const struct col_desc *d, struct column_data *c,
		      struct slice values)
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
	int err = load_data(in, d, c, &values);

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
		return !err && d->enc == ENC_SPAN ? undo_span(in, c) : err;
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

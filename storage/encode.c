#include "storage/builder_int.h"

#include "base/crc32c.h"

#include <errno.h>

#define CONST_TEXT_MAX 512 /* bytes of a text that is kept in the descriptor */
#define BLOOM_MIN      16  /* texts: below, reading the filter costs what it saves */
#define WORDS	       (SEG_ROWS_MAX / 64)

struct key {
	uint64_t end;
	uint32_t row;
};

struct encoder {
	struct squeezer *z;
	struct strbuf raw;
	struct key keys[SEG_ROWS_MAX], merge[SEG_ROWS_MAX];
	uint32_t order[SEG_ROWS_MAX]; /* builder row of each row of the segment */
	uint16_t pos[SEG_ROWS_MAX];   /* the reverse, counted from the first row */
	uint64_t present[WORDS];
	int64_t ints[SEG_ROWS_MAX], sparse_ints[SEG_ROWS_MAX], latency[SEG_ROWS_MAX];
	uint32_t codes[SEG_ROWS_MAX], sparse_codes[SEG_ROWS_MAX];
	struct slice texts[SEG_ROWS_MAX];
	uint32_t *remap; /* intern number -> code + 1 of the column under way */
	size_t n_remap;
};

/* One encoding under way: which rows of which builder, and what came of it. */
struct job {
	struct builder *b;
	struct encoder *e;
	uint32_t from, rows;
	bool compress, failed;
	struct segbuf *out;
};

void segbuf_init(struct segbuf *s)
{
	*s = (struct segbuf){ .data = STRBUF_INIT(SEG_DATA_MAX) };
}

void segbuf_done(struct segbuf *s)
{
	free(s->desc);
	strbuf_done(&s->data);
	s->desc = NULL;
}

struct encoder *encoder_new(void)
{
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	strbuf_init(&e->raw, CODEC_RAW_MAX);
	e->z = squeezer_new();
	if (!e->z) {
		encoder_free(e);
		return NULL;
	}
	return e;
}

void encoder_free(struct encoder *e)
{
	if (!e)
		return;
	squeezer_free(e->z);
	strbuf_done(&e->raw);
	free(e->remap);
	free(e);
}

/* Merges runs of keys that are already in order; arrival order among equals. Returns where the result
 * is. Rows arrive almost sorted, so there are few runs. */
static struct key *sort_keys(struct key *a, struct key *spare, size_t n)
{
	for (;;) {
		size_t out = 0, runs = 0, i = 0;
		struct key *t;

		while (i < n) {
			size_t lo = i, mid, hi;

			for (mid = lo + 1; mid < n && a[mid - 1].end <= a[mid].end; mid++)
				;
			for (hi = mid; hi < n && (hi == mid || a[hi - 1].end <= a[hi].end); hi++)
				;
			for (size_t l = lo, r = mid; l < mid || r < hi; out++)
				spare[out] = r >= hi || (l < mid && a[l].end <= a[r].end) ? a[l++] :
											    a[r++];
			i = hi;
			runs++;
		}
		t = a;
		a = spare;
		spare = t;
		if (runs <= 1)
			return a;
	}
}

static void sort_rows(struct job *j)
{
	struct encoder *e = j->e;
	struct key *sorted;

	for (uint32_t i = 0; i < j->rows; i++)
		e->keys[i] = (struct key){ j->b->ends[j->from + i], j->from + i };
	sorted = sort_keys(e->keys, e->merge, j->rows);
	for (uint32_t i = 0; i < j->rows; i++) {
		e->order[i] = sorted[i].row;
		e->pos[sorted[i].row - j->from] = (uint16_t)i;
	}
	j->out->desc->tmin = sorted[0].end;
	j->out->desc->tmax = sorted[j->rows - 1].end;
}

static inline bool is_present(const struct encoder *e, uint32_t i)
{
	return e->present[i / 64] >> i % 64 & 1;
}

/* The values of the column that belong to the job's rows: [lo, hi) of its arrays. */
static void value_range(const struct job *j, const struct colbuf *c, uint32_t *ret_lo, uint32_t *ret_hi)
{
	uint32_t bounds[2] = { j->from, j->from + j->rows };

	for (int k = 0; k < 2; k++) {
		uint32_t lo = 0, hi = c->n;

		if (!c->sparse)
			lo = hi = MIN(bounds[k], c->n);
		while (lo < hi) {
			uint32_t mid = (lo + hi) / 2;

			if (c->rows[mid] < bounds[k])
				lo = mid + 1;
			else
				hi = mid;
		}
		bounds[k] = lo;
	}
	*ret_lo = bounds[0];
	*ret_hi = bounds[1];
}

/* Which rows have a value, in the segment's order; returns how many. */
static uint32_t mark_present(struct job *j, const struct colbuf *c, uint32_t lo, uint32_t hi)
{
	memset(j->e->present, 0, (j->rows + 63) / 64 * 8);
	for (uint32_t i = lo; i < hi; i++) {
		uint32_t at = j->e->pos[(c->sparse ? c->rows[i] : i) - j->from];

		j->e->present[at / 64] |= 1ULL << at % 64;
	}
	return hi - lo;
}

/* GATHER puts the column's values in the segment's order, without the NULLs. */
#define GATHER(out, spare, value)                                                                  \
	do {                                                                                       \
		uint32_t n_out = 0;                                                                \
		if (hi - lo == j->rows) {                                                          \
			for (uint32_t k = 0; k < j->rows; k++) {                                   \
				uint32_t i = lo + j->e->order[k] - j->from;                        \
				(out)[k] = (value);                                                \
			}                                                                          \
			break;                                                                     \
		}                                                                                  \
		for (uint32_t i = lo; i < hi; i++)                                                 \
			(spare)[j->e->pos[(c->sparse ? c->rows[i] : i) - j->from]] = (value);      \
		for (uint32_t k = 0; k < j->rows; k++)                                             \
			if (is_present(j->e, k))                                                   \
				(out)[n_out++] = (spare)[k];                                       \
	} while (0)

/* Starts a part's raw bytes: the bitmap first where there are NULLs. */
static void begin_data(struct job *j, const struct col_desc *d)
{
	strbuf_reset(&j->e->raw);
	if (d->n_values < j->rows)
		strbuf_add(&j->e->raw, j->e->present, (j->rows + 7) / 8);
}

/* Appends e->raw as a part of the column. */
static void end_part(struct job *j, struct col_desc *d, enum seg_part part, bool dense)
{
	struct part_desc *p = &d->part[part];
	struct slice raw = strbuf_slice(&j->e->raw);
	struct strbuf *out = &j->out->data;

	if (raw.n == 0)
		return;
	d->parts |= (uint8_t)(1u << part);
	p->off = (uint32_t)out->len;
	p->raw = (uint32_t)raw.n;
	if (j->compress && !dense) {
		p->stored = (uint32_t)squeeze(j->e->z, out, raw);
	} else {
		strbuf_add(out, raw.p, raw.n);
		p->stored = p->raw;
	}
	if (out->failed || j->e->raw.failed) {
		j->failed = true;
		return;
	}
	p->crc = crc32c(0, out->p + p->off, p->stored);
}

static void add_packed(struct job *j, const int64_t *v, size_t n, int64_t base, unsigned int width)
{
	uint8_t *p = strbuf_reserve(&j->e->raw, n * width);

	if (!p)
		return;
	codec_pack(p, v, n, base, width);
	j->e->raw.len += n * width;
}

static void min_max(const int64_t *v, size_t n, int64_t *ret_min, int64_t *ret_max)
{
	int64_t lo = v[0], hi = v[0];

	for (size_t i = 1; i < n; i++) {
		lo = v[i] < lo ? v[i] : lo;
		hi = v[i] > hi ? v[i] : hi;
	}
	*ret_min = lo;
	*ret_max = hi;
}

/* Differences fit fewer bytes than the values? Then v[1..) becomes them. */
static bool try_delta(struct job *j, struct col_desc *d, int64_t *v, size_t n, int64_t *tmp)
{
	int64_t lo, hi;

	if (n < 2)
		return false;
	for (size_t i = 1; i < n; i++)
		tmp[i - 1] = (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]);
	min_max(tmp, n - 1, &lo, &hi);
	if (codec_width((uint64_t)hi - (uint64_t)lo) >= d->width)
		return false;
	d->enc = ENC_DELTA;
	d->base = v[0];
	d->step = lo;
	d->width = (uint8_t)codec_width((uint64_t)hi - (uint64_t)lo);
	begin_data(j, d);
	add_packed(j, tmp, n - 1, lo, d->width);
	return true;
}

static void encode_ints(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo, uint32_t hi)
{
	struct encoder *e = j->e;
	int64_t *v = e->ints;

	GATHER(v, e->sparse_ints, c->ints[i]);
	min_max(v, d->n_values, &d->min, &d->max);
	d->width = (uint8_t)codec_width((uint64_t)d->max - (uint64_t)d->min);
	d->enc = d->width ? ENC_FOR : ENC_CONST_INT;
	if ((c->schema->flags & COL_F_SORTED) && d->width > 1 &&
	    try_delta(j, d, v, d->n_values, e->sparse_ints)) {
		end_part(j, d, PART_DATA, false);
		return;
	}
	begin_data(j, d);
	add_packed(j, v, d->n_values, d->min, d->width);
	end_part(j, d, PART_DATA, false);
}

/* latency_ns of each row in the segment's order, 0 where it is NULL. */
static void gather_latency(struct job *j)
{
	const struct colbuf *c = &j->b->cols[COL_LATENCY_NS];
	uint32_t lo, hi;

	memset(j->e->latency, 0, j->rows * sizeof(*j->e->latency));
	value_range(j, c, &lo, &hi);
	for (uint32_t i = lo; i < hi; i++)
		j->e->latency[j->e->pos[(c->sparse ? c->rows[i] : i) - j->from]] = c->ints[i];
}

/* The start of an exchange is its end less its latency nearly always: store how far it is off. */
static void encode_span(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo, uint32_t hi)
{
	struct encoder *e = j->e;
	int64_t least, most;
	uint32_t m = 0;

	gather_latency(j);
	GATHER(e->ints, e->sparse_ints, c->ints[i]);
	min_max(e->ints, d->n_values, &d->min, &d->max);
	for (uint32_t k = 0; k < j->rows; k++) {
		uint64_t end = j->b->ends[e->order[k]];

		if (d->n_values == j->rows || is_present(e, k)) {
			e->sparse_ints[m] = (int64_t)(end - (uint64_t)e->latency[k] - (uint64_t)e->ints[m]);
			m++;
		}
	}
	min_max(e->sparse_ints, m, &least, &most);
	d->enc = ENC_SPAN;
	d->span_min = least;
	d->width = (uint8_t)codec_width((uint64_t)most - (uint64_t)least);
	begin_data(j, d);
	add_packed(j, e->sparse_ints, m, least, d->width);
	end_part(j, d, PART_DATA, false);
}

static void encode_bloom(struct job *j, struct col_desc *d, const struct slice *v, size_t n)
{
	size_t bytes = bloom_bytes(n);
	uint8_t *p;

	if (n < BLOOM_MIN || !seg_wants_bloom(d->col))
		return;
	strbuf_reset(&j->e->raw);
	p = strbuf_reserve(&j->e->raw, bytes);
	if (!p)
		return;
	memset(p, 0, bytes);
	for (size_t i = 0; i < n; i++)
		bloom_add(p, bytes, v[i]);
	j->e->raw.len += bytes;
	end_part(j, d, PART_BLOOM, true);
}

/* Numbers of the intern table become codes 0, 1, ... in order of appearance; their texts go to
 * e->texts. */
static int make_codes(struct job *j, uint32_t n, uint32_t *ret_n_dict)
{
	struct encoder *e = j->e;
	const struct intern *t = &j->b->intern;
	uint32_t n_dict = 0;

	if (e->n_remap < t->n) {
		uint32_t *p = realloc(e->remap, t->n_slots * sizeof(*p));

		if (!p)
			return -ENOMEM;
		memset(p, 0, t->n_slots * sizeof(*p));
		e->remap = p;
		e->n_remap = t->n_slots;
	}
	for (uint32_t k = 0; k < n; k++) {
		uint32_t own = e->codes[k];

		if (!e->remap[own]) {
			e->texts[n_dict] = intern_text(t, own);
			e->sparse_codes[n_dict] = own;
			e->remap[own] = ++n_dict;
		}
		e->codes[k] = e->remap[own] - 1;
	}
	for (uint32_t i = 0; i < n_dict; i++)
		e->remap[e->sparse_codes[i]] = 0;
	*ret_n_dict = n_dict;
	return 0;
}

/* Whether all values are one short text: it moves into the descriptor. */
static bool encode_const_text(struct job *j, struct col_desc *d, struct slice text)
{
	if (text.n > CONST_TEXT_MAX)
		return false;
	d->enc = ENC_CONST_TEXT;
	d->text = text;
	begin_data(j, d);
	end_part(j, d, PART_DATA, false);
	return true;
}

static void encode_dict(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo, uint32_t hi)
{
	struct encoder *e = j->e;
	bool dense;
	uint8_t *p;

	GATHER(e->codes, e->sparse_codes, c->codes[i]);
	if (make_codes(j, d->n_values, &d->n_dict) < 0) {
		j->failed = true;
		return;
	}
	if (d->n_dict == 1 && encode_const_text(j, d, e->texts[0])) {
		d->n_dict = 0;
		return;
	}
	d->enc = ENC_DICT;
	d->width = (uint8_t)codec_width(d->n_dict - 1);
	begin_data(j, d);
	p = strbuf_reserve(&e->raw, (size_t)d->n_values * d->width);
	if (p) {
		codec_pack_u32(p, e->codes, d->n_values, d->width);
		e->raw.len += (size_t)d->n_values * d->width;
	}
	end_part(j, d, PART_DATA, false);
	strbuf_reset(&e->raw);
	codec_texts(&e->raw, e->texts, d->n_dict, &dense);
	end_part(j, d, PART_DICT, dense);
	encode_bloom(j, d, e->texts, d->n_dict);
}

static void encode_texts(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo, uint32_t hi)
{
	struct encoder *e = j->e;
	bool dense, same = true;

	GATHER(e->codes, e->sparse_codes, i);
	for (uint32_t k = 0; k < d->n_values; k++) {
		const struct span *s = &c->texts[e->codes[k]];

		e->texts[k] = slice_of(j->b->texts.p + s->off, s->len);
		same = same && slice_eq(e->texts[k], e->texts[0]);
	}
	if (same && encode_const_text(j, d, e->texts[0]))
		return;
	d->enc = ENC_TEXT;
	begin_data(j, d);
	codec_texts(&e->raw, e->texts, d->n_values, &dense);
	end_part(j, d, PART_DATA, dense);
	encode_bloom(j, d, e->texts, d->n_values);
}

static void encode_column(struct job *j, uint16_t col)
{
	const struct colbuf *c = &j->b->cols[col];
	struct seg_desc *desc = j->out->desc;
	struct col_desc *d = &desc->cols[desc->n_cols];
	uint32_t lo = 0, hi = 0;

	if (c->n)
		value_range(j, c, &lo, &hi);
	if (lo == hi)
		return;
	if (desc->n_cols == SEG_COLS_MAX) {
		j->failed = true;
		return;
	}
	*d = (struct col_desc){ .col = col, .n_values = hi - lo };
	desc->n_cols++;
	if (d->n_values < j->rows)
		mark_present(j, c, lo, hi);
	if (col == COL_TIME)
		encode_span(j, c, d, lo, hi);
	else if (c->schema->type == COL_INT)
		encode_ints(j, c, d, lo, hi);
	else if (c->schema->flags & COL_F_SYM)
		encode_dict(j, c, d, lo, hi);
	else
		encode_texts(j, c, d, lo, hi);
}

static void encode_epoch(struct job *j)
{
	struct seg_desc *desc = j->out->desc;

	desc->cols[desc->n_cols++] = (struct col_desc){
		.col = COL_EPOCH,
		.enc = ENC_CONST_INT,
		.n_values = j->rows,
		.min = (int64_t)j->b->epoch,
		.max = (int64_t)j->b->epoch,
	};
}

int builder_encode(struct builder *b, struct encoder *e, uint32_t from, uint32_t to, bool compress,
		   struct segbuf *ret)
{
	struct job j = { b, e, from, to - from, compress, false, ret };
	struct seg_desc *d = ret->desc ? ret->desc : malloc(sizeof(*d));
	const struct col_desc *seq;

	if (!d)
		return -ENOMEM;
	ret->desc = d;
	strbuf_reset(&ret->data);
	memset(d, 0, offsetof(struct seg_desc, cols));
	d->table = b->schema->id;
	d->schema_version = b->schema->version;
	d->rows = j.rows;
	d->epoch = b->epoch;
	sort_rows(&j);
	for (uint16_t col = 0; col < _COL_MAX; col++) {
		if (col == COL_EPOCH && d->n_cols < SEG_COLS_MAX)
			encode_epoch(&j);
		else if (b->cols[col].n)
			encode_column(&j, col);
	}
	seq = seg_desc_find(d, COL_SEQ);
	if (seq) {
		d->seq_min = (uint64_t)seq->min;
		d->seq_max = (uint64_t)seq->max;
	}
	d->data_len = (uint32_t)ret->data.len;
	return j.failed || ret->data.failed ? -ENOMEM : 0;
}

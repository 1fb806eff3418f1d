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

/* Codes by row of a dictionary column that others may refer to; n_dict stands for NULL. */
struct ref_codes {
	uint16_t col;
	uint32_t n_dict;
	uint16_t codes[SEG_ROWS_MAX];
};
#define REFS_KEPT 4

struct encoder {
	struct squeezer *z; /* borrowed */
	struct strbuf raw;
	struct key keys[SEG_ROWS_MAX], merge[SEG_ROWS_MAX];
	uint32_t order[SEG_ROWS_MAX]; /* builder row of each row of the segment */
	uint16_t pos[SEG_ROWS_MAX];   /* the reverse, counted from the first row */
	uint64_t present[WORDS];
	int64_t ints[SEG_ROWS_MAX], sparse_ints[SEG_ROWS_MAX];
	int64_t plus[SEG_ROWS_MAX], minus[SEG_ROWS_MAX], map[SEG_ROWS_MAX + 1];
	bool map_seen[SEG_ROWS_MAX + 1], map_null[SEG_ROWS_MAX + 1];
	struct ref_codes refs[REFS_KEPT];
	size_t n_refs;
	uint32_t codes[SEG_ROWS_MAX], sparse_codes[SEG_ROWS_MAX];
	struct slice texts[SEG_ROWS_MAX];
	uint32_t *remap; /* intern number -> code + 1 of the column under way */
	size_t n_remap;
	void (*between)(void *ctx);
	void *between_ctx;
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

void encoder_between(struct encoder *e, void (*between)(void *ctx), void *ctx)
{
	e->between = between;
	e->between_ctx = ctx;
}

struct encoder *encoder_new(struct squeezer *z)
{
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	strbuf_init(&e->raw, CODEC_RAW_MAX);
	e->z = z;
	return e;
}

void encoder_free(struct encoder *e)
{
	if (!e)
		return;
	strbuf_done(&e->raw);
	free(e->remap);
	free(e);
}

/* Merges runs of keys that are already in order; arrival order among equals. Returns where the
 * result is. Rows arrive almost sorted, so there are few runs. */
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
				spare[out] = r >= hi || (l < mid && a[l].end <= a[r].end) ? a[l++]
											  : a[r++];
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
	const int64_t *ends = j->b->cols[COL_END_TIME].ints; /* no row is without */
	struct key *sorted;

	for (uint32_t i = 0; i < j->rows; i++)
		e->keys[i] = (struct key){ (uint64_t)ends[j->from + i], j->from + i };
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
static void value_range(const struct job *j, const struct colbuf *c, uint32_t *ret_lo,
			uint32_t *ret_hi)
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
		const uint32_t *order = j->e->order, rows = j->rows, from = j->from;               \
		uint32_t n_out = 0;                                                                \
		if (hi - lo == rows) {                                                             \
			for (uint32_t k = 0; k < rows; k++) {                                      \
				uint32_t i = lo + order[k] - from;                                 \
				(out)[k] = (value);                                                \
			}                                                                          \
			break;                                                                     \
		}                                                                                  \
		for (uint32_t i = lo; i < hi; i++)                                                 \
			(spare)[j->e->pos[(c->sparse ? c->rows[i] : i) - from]] = (value);         \
		for (uint32_t k = 0; k < rows; k++)                                                \
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

/* Whether the values are a function of ref's codes. v: in the segment's order, without NULLs. Fills
 * e->map and says which codes have which value. */
static bool is_function(struct job *j, const struct col_desc *d, const struct ref_codes *ref,
			const int64_t *v)
{
	struct encoder *e = j->e;
	bool nulls = d->n_values < j->rows;
	uint32_t m = 0;

	memset(e->map_seen, 0, ref->n_dict + 1);
	for (uint32_t k = 0; k < j->rows; k++) {
		uint32_t code = ref->codes[k];
		bool null = nulls && !is_present(e, k);
		int64_t x = null ? 0 : v[m];

		m += !null;
		if (!e->map_seen[code]) {
			e->map_seen[code] = true;
			e->map_null[code] = null;
			e->map[code] = x;
		} else if (e->map[code] != x || e->map_null[code] != null) {
			return false;
		}
	}
	return true;
}

/* Writes e->map as the column's data: a bit and, for those that have one, a value per code. */
static void write_map(struct job *j, struct col_desc *d, const struct ref_codes *ref, int64_t base)
{
	struct encoder *e = j->e;
	uint32_t n = ref->n_dict + 1, kept = 0;
	uint8_t *bits;

	d->ref = ref->col;
	d->n_map = n;
	strbuf_reset(&e->raw);
	bits = strbuf_reserve(&e->raw, (n + 7) / 8);
	if (!bits) {
		j->failed = true;
		return;
	}
	memset(bits, 0, (n + 7) / 8);
	for (uint32_t i = 0; i < n; i++) {
		if (!e->map_seen[i] || e->map_null[i])
			continue;
		bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
		e->map[kept++] = e->map[i];
	}
	e->raw.len += (n + 7) / 8;
	add_packed(j, e->map, kept, base, d->width);
	end_part(j, d, PART_DATA, false);
}

/* Tries to say the column by another one. v: values or codes. */
static bool try_map(struct job *j, struct col_desc *d, enum seg_enc enc, const int64_t *v,
		    int64_t base)
{
	uint16_t cols[SEG_REFS_MAX];
	size_t n = seg_refs(d->col, cols);

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < j->e->n_refs; k++) {
			const struct ref_codes *ref = &j->e->refs[k];

			if (ref->col != cols[i] || ref->n_dict > j->rows / 4 ||
			    !is_function(j, d, ref, v))
				continue;
			d->enc = (uint8_t)enc;
			write_map(j, d, ref, base);
			return true;
		}
	}
	return false;
}

static uint64_t bits_of(const int64_t *v, size_t n, int64_t least)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t x = (uint64_t)v[i] - (uint64_t)least;

		bits += x ? 64u - (unsigned int)__builtin_clzll(x) : 0;
	}
	return bits;
}

/* A column's value of each row in the segment's order, 0 where it is NULL. */
static void gather_rows(struct job *j, uint16_t col, int64_t *out)
{
	const struct colbuf *c = &j->b->cols[col];
	uint32_t lo = 0, hi = 0;

	memset(out, 0, j->rows * sizeof(*out));
	if (col && c->n)
		value_range(j, c, &lo, &hi);
	for (uint32_t i = lo; i < hi; i++)
		out[j->e->pos[(c->sparse ? c->rows[i] : i) - j->from]] = c->ints[i];
}

/* Stores how far v is off what other columns predict, where that takes fewer bits. */
static bool try_near(struct job *j, struct col_desc *d, const int64_t *v)
{
	struct encoder *e = j->e;
	int64_t *off = e->sparse_ints, least, most;
	uint16_t plus, minus;
	uint32_t m = 0;

	if (!seg_near(d->col, &plus, &minus))
		return false;
	gather_rows(j, plus, e->plus);
	gather_rows(j, minus, e->minus);
	for (uint32_t k = 0; k < j->rows; k++) {
		if (d->n_values < j->rows && !is_present(e, k))
			continue;
		off[m] = (int64_t)((uint64_t)e->plus[k] - (uint64_t)e->minus[k] - (uint64_t)v[m]);
		m++;
	}
	min_max(off, m, &least, &most);
	if (bits_of(off, m, least) / 7 >= bits_of(v, m, d->min) / 8)
		return false;
	d->enc = ENC_NEAR;
	d->near_min = least;
	d->width = (uint8_t)codec_width((uint64_t)most - (uint64_t)least);
	begin_data(j, d);
	add_packed(j, off, m, least, d->width);
	end_part(j, d, PART_DATA, false);
	return true;
}

static void encode_ints(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo,
			uint32_t hi)
{
	struct encoder *e = j->e;
	const int64_t *ints = c->ints;
	int64_t *v = e->ints;

	GATHER(v, e->sparse_ints, ints[i]);
	min_max(v, d->n_values, &d->min, &d->max);
	d->width = (uint8_t)codec_width((uint64_t)d->max - (uint64_t)d->min);
	d->enc = d->width ? ENC_FOR : ENC_CONST_INT;
	if (d->width && (try_map(j, d, ENC_MAP_INT, v, d->min) || try_near(j, d, v)))
		return;
	if ((c->schema->flags & COL_F_SORTED) && d->width > 1 &&
	    try_delta(j, d, v, d->n_values, e->sparse_ints)) {
		end_part(j, d, PART_DATA, false);
		return;
	}
	begin_data(j, d);
	add_packed(j, v, d->n_values, d->min, d->width);
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

/* Remembers a column's codes by row for those that come after it. */
static void keep_ref(struct job *j, const struct col_desc *d)
{
	struct encoder *e = j->e;
	struct ref_codes *ref = &e->refs[e->n_refs];
	uint32_t m = 0;

	if (!seg_is_ref(d->col) || e->n_refs == REFS_KEPT)
		return;
	ref->col = d->col;
	ref->n_dict = d->n_dict;
	for (uint32_t k = 0; k < j->rows; k++)
		ref->codes[k] = (uint16_t)(d->n_values == j->rows || is_present(e, k)
						   ? e->codes[m++]
						   : d->n_dict);
	e->n_refs++;
}

static void encode_dict(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo,
			uint32_t hi)
{
	struct encoder *e = j->e;
	const uint32_t *codes = c->codes;
	bool dense;
	uint8_t *p;

	GATHER(e->codes, e->sparse_codes, codes[i]);
	if (make_codes(j, d->n_values, &d->n_dict) < 0) {
		j->failed = true;
		return;
	}
	if (d->n_dict == 1 && encode_const_text(j, d, e->texts[0])) {
		d->n_dict = 0;
		return;
	}
	d->width = (uint8_t)codec_width(d->n_dict - 1);
	keep_ref(j, d);
	for (uint32_t k = 0; k < d->n_values; k++)
		e->ints[k] = e->codes[k];
	if (!try_map(j, d, ENC_MAP_DICT, e->ints, 0)) {
		d->enc = ENC_DICT;
		begin_data(j, d);
		p = strbuf_reserve(&e->raw, (size_t)d->n_values * d->width);
		if (p) {
			codec_pack_u32(p, e->codes, d->n_values, d->width);
			e->raw.len += (size_t)d->n_values * d->width;
		}
		end_part(j, d, PART_DATA, false);
	}
	strbuf_reset(&e->raw);
	codec_texts(&e->raw, e->texts, d->n_dict, &dense);
	end_part(j, d, PART_DICT, dense);
	encode_bloom(j, d, e->texts, d->n_dict);
}

static void encode_texts(struct job *j, const struct colbuf *c, struct col_desc *d, uint32_t lo,
			 uint32_t hi)
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
	if (c->schema->type == COL_INT)
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
	e->n_refs = 0;
	sort_rows(&j);
	for (uint16_t col = 0; col < _COL_MAX; col++) {
		if (col == COL_EPOCH && d->n_cols < SEG_COLS_MAX)
			encode_epoch(&j);
		else if (b->cols[col].n)
			encode_column(&j, col);
		else
			continue;
		if (e->between)
			e->between(e->between_ctx);
	}
	seq = seg_desc_find(d, COL_SEQ);
	if (seq) {
		d->seq_min = (uint64_t)seq->min;
		d->seq_max = (uint64_t)seq->max;
	}
	d->data_len = (uint32_t)ret->data.len;
	return j.failed || ret->data.failed ? -ENOMEM : 0;
}

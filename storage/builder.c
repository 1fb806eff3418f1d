#include "storage/builder_int.h"

#include <errno.h>

#define ARENA_MAX  (64u << 20) /* bytes of texts in a builder */
#define SLOTS_MIN  1024
#define CELL_BYTES 8 /* counted for a value that is no text */

void intern_reset(struct intern *t)
{
	strbuf_reset(&t->texts);
	t->n = 0;
	if (t->slots)
		memset(t->slots, 0, t->n_slots * sizeof(*t->slots));
}

static void intern_done(struct intern *t)
{
	strbuf_done(&t->texts);
	free(t->v);
	free(t->slots);
	t->v = NULL;
	t->slots = NULL;
	t->n_slots = t->n = 0;
}

static uint64_t text_hash(struct slice s)
{
	uint64_t h = 0x9e3779b97f4a7c15ULL ^ s.n;
	uint64_t w;
	size_t i;

	for (i = 0; i + 8 <= s.n; i += 8) {
		memcpy(&w, s.p + i, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	w = 0;
	if (s.n > i)
		memcpy(&w, s.p + i, s.n - i);
	return hash_u64(h ^ w);
}

static int intern_grow(struct intern *t)
{
	size_t n_slots = MAX(t->n_slots * 2, (size_t)SLOTS_MIN);
	struct intern_text *v = realloc(t->v, n_slots / 2 * sizeof(*v));
	uint32_t *slots;

	if (!v)
		return -ENOMEM;
	t->v = v;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n; i++) {
		size_t at = v[i].hash & (n_slots - 1);

		while (slots[at])
			at = (at + 1) & (n_slots - 1);
		slots[at] = i + 1;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	return 0;
}

/* The number of a text, added when it is new. 0 or -ENOMEM. */
static int intern_put(struct intern *t, struct slice s, uint32_t *ret)
{
	uint64_t hash = text_hash(s) ^ t->seed;
	size_t at;

	if (t->n >= t->n_slots / 2 && intern_grow(t) < 0)
		return -ENOMEM;
	for (at = hash & (t->n_slots - 1); t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
		uint32_t i = t->slots[at] - 1;

		if (t->v[i].hash == hash && slice_eq(intern_text(t, i), s)) {
			*ret = i;
			return 0;
		}
	}
	t->v[t->n] = (struct intern_text){ hash, (uint32_t)t->texts.len, (uint32_t)s.n };
	strbuf_add(&t->texts, s.p, s.n);
	if (t->texts.failed) {
		t->texts.failed = false;
		return -ENOMEM;
	}
	t->slots[at] = ++t->n;
	*ret = t->n - 1;
	return 0;
}

static void set_column(struct colbuf *c, const struct column *schema)
{
	c->schema = schema;
	c->form = schema->type == COL_INT     ? BUF_INTS
		  : schema->flags & COL_F_SYM ? BUF_CODES
					      : BUF_TEXTS;
}

/* Columns grow in step: arrays that all began at the same place of a page would fight for the same
 * few lines of the cache. */
static size_t stagger(const struct colbuf *c)
{
	return c->schema->id % 61 * 64;
}

static void free_array(const struct colbuf *c, void *p)
{
	if (p)
		free((uint8_t *)p - stagger(c));
}

struct builder *builder_new(uint16_t table, struct slice node, uint64_t epoch, uint32_t max_rows)
{
	const struct table_schema *schema = schema_table(table);
	struct builder *b = aligned_alloc(64, sizeof(*b));
	struct hash_key key;

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->schema = schema;
	b->epoch = epoch;
	b->max_rows = MIN(max_rows, (uint32_t)SEG_ROWS_MAX);
	b->node = node;
	hash_key_random(&key);
	b->intern.seed = key.k0;
	strbuf_init(&b->intern.texts, ARENA_MAX);
	strbuf_init(&b->texts, ARENA_MAX);
	for (size_t i = 0; i < schema->n_columns; i++) {
		const struct column *c = schema->columns[i];

		if (c->flags & COL_F_COMPUTED)
			continue;
		set_column(&b->cols[c->id], c);
		b->accept[c->id] = c->type == COL_INT ? 1u << CELL_INT
						      : 1u << CELL_TEXT | 1u << CELL_SYM;
	}
	set_column(&b->cols[COL_END_TIME], schema_column(COL_END_TIME));
	set_column(&b->cols[COL_SEQ], schema_column(COL_SEQ));
	return b;
}

void builder_give_back(struct builder *b)
{
	for (size_t i = 0; i < _COL_MAX; i++) {
		struct colbuf *c = &b->cols[i];

		free_array(c, c->values);
		free_array(c, c->rows);
		c->values = c->rows = NULL;
		c->cap = c->rows_cap = 0;
	}
	intern_done(&b->intern);
	strbuf_done(&b->texts);
	free(b->sym_map);
	b->sym_map = NULL;
	b->n_sym_map = 0;
	b->array_bytes = b->texts_most = 0;
}

void builder_free(struct builder *b)
{
	if (!b)
		return;
	builder_give_back(b);
	free(b);
}

void builder_reset(struct builder *b)
{
	b->texts_most = MAX(b->texts_most, b->texts.len + b->intern.texts.len);
	for (size_t i = 0; i < _COL_MAX; i++) {
		b->cols[i].n = 0;
		b->cols[i].sparse = false;
	}
	intern_reset(&b->intern);
	strbuf_reset(&b->texts);
	b->n_rows = 0;
	b->bytes = 0;
	builder_forget_syms(b);
}

void builder_forget_syms(struct builder *b)
{
	if (b->sym_map)
		memset(b->sym_map, 0, b->n_sym_map * sizeof(*b->sym_map));
	b->node_code = 0;
}

void builder_forget_sym(struct builder *b, uint32_t sym)
{
	if (sym < b->n_sym_map)
		b->sym_map[sym] = 0;
}

uint32_t builder_rows(const struct builder *b)
{
	return b->n_rows;
}

size_t builder_bytes(const struct builder *b)
{
	return b->bytes + b->texts.len + b->intern.texts.len;
}

size_t builder_memory(const struct builder *b)
{
	return b->array_bytes + MAX(b->texts_most, b->texts.len + b->intern.texts.len) +
	       b->intern.n_slots * (sizeof(*b->intern.slots) + sizeof(*b->intern.v) / 2) +
	       b->n_sym_map * sizeof(*b->sym_map);
}

static int sym_map_grow(struct builder *b, size_t sym)
{
	size_t n = MAX(b->n_sym_map * 2, (size_t)1024);
	uint32_t *map;

	while (n <= sym)
		n *= 2;
	map = realloc(b->sym_map, n * sizeof(*map));
	if (!map)
		return -ENOMEM;
	memset(map + b->n_sym_map, 0, (n - b->n_sym_map) * sizeof(*map));
	b->sym_map = map;
	b->n_sym_map = n;
	return 0;
}

/* The builder's own number of an announced one: an array look-up after its first use. */
static int code_of_sym(struct builder *b, uint64_t sym, const struct syms *syms, uint32_t *ret)
{
	if (sym < b->n_sym_map && b->sym_map[sym]) {
		*ret = b->sym_map[sym] - 1;
		return 0;
	}
	if (sym >= b->n_sym_map && sym_map_grow(b, sym) < 0)
		return -ENOMEM;
	if (intern_put(&b->intern, syms_text(syms, sym), ret) < 0)
		return -ENOMEM;
	b->sym_map[sym] = *ret + 1;
	return 0;
}

/* *p: an array of `old` entries of so many bytes; becomes one of `cap`. */
static int grow_array(struct builder *b, const struct colbuf *c, void **p, size_t old, size_t cap,
		      size_t size)
{
	size_t bytes = stagger(c) + cap * size;
	uint8_t *q = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (!q)
		return -ENOMEM;
	q += stagger(c);
	if (*p)
		memcpy(q, *p, old * size);
	free_array(c, *p);
	*p = q;
	b->array_bytes += (cap - old) * size;
	return 0;
}

static int col_grow(struct builder *b, struct colbuf *c)
{
	static const size_t sizes[] = {
		[BUF_INTS] = sizeof(*c->ints),
		[BUF_CODES] = sizeof(*c->codes),
		[BUF_TEXTS] = sizeof(*c->texts),
	};
	size_t cap = MIN(MAX(c->cap * 2, (uint32_t)64), b->max_rows);
	int err = grow_array(b, c, &c->values, c->cap, cap, sizes[c->form]);

	if (!err)
		c->cap = (uint32_t)cap;
	return err;
}

static int rows_grow(struct builder *b, struct colbuf *c)
{
	int err = grow_array(b, c, (void **)&c->rows, c->rows_cap, c->cap, sizeof(*c->rows));

	if (!err)
		c->rows_cap = c->cap;
	return err;
}

static int col_make_sparse(struct builder *b, struct colbuf *c)
{
	if (c->rows_cap <= c->n && rows_grow(b, c) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n; i++)
		c->rows[i] = (uint16_t)i;
	c->sparse = true;
	return 0;
}

/* Makes room for one more value and notes its row; the first gap makes the column sparse. */
static inline int col_room(struct builder *b, struct colbuf *c)
{
	if (unlikely(c->n == c->cap) && col_grow(b, c) < 0)
		return -ENOMEM;
	if (unlikely(!c->sparse && c->n != b->n_rows) && col_make_sparse(b, c) < 0)
		return -ENOMEM;
	if (c->sparse) {
		if (unlikely(c->n == c->rows_cap) && rows_grow(b, c) < 0)
			return -ENOMEM;
		c->rows[c->n] = (uint16_t)b->n_rows;
	}
	return 0;
}

static inline int put_int(struct builder *b, struct colbuf *c, int64_t v)
{
	if (col_room(b, c) < 0)
		return -ENOMEM;
	c->ints[c->n++] = v;
	return 0;
}

static int put_text(struct builder *b, struct colbuf *c, struct slice s)
{
	if (col_room(b, c) < 0)
		return -ENOMEM;
	if (c->form == BUF_CODES) {
		if (intern_put(&b->intern, s, &c->codes[c->n]) < 0)
			return -ENOMEM;
	} else {
		c->texts[c->n] = (struct span){ (uint32_t)b->texts.len, (uint32_t)s.n };
		strbuf_add(&b->texts, s.p, s.n);
		if (b->texts.failed) {
			b->texts.failed = false;
			return -ENOMEM;
		}
	}
	c->n++;
	return 0;
}

static int put_sym(struct builder *b, struct colbuf *c, uint64_t sym, const struct syms *syms)
{
	if (c->form != BUF_CODES)
		return put_text(b, c, syms_text(syms, sym));
	if (col_room(b, c) < 0 || code_of_sym(b, sym, syms, &c->codes[c->n]) < 0)
		return -ENOMEM;
	c->n++;
	return 0;
}

/* This store's own node name, hashed once in a segment. */
static int put_node(struct builder *b)
{
	struct colbuf *c = &b->cols[COL_NODE];

	if (!b->node_code) {
		if (intern_put(&b->intern, b->node, &b->node_code) < 0)
			return -ENOMEM;
		b->node_code++;
	}
	if (col_room(b, c) < 0)
		return -ENOMEM;
	c->codes[c->n++] = b->node_code - 1;
	return 0;
}

static int put_cells(struct builder *b, const struct row *r, const struct syms *syms)
{
	bool has_node = false;
	int err = 0;

	for (size_t i = 0; i < r->hdr->n_cells && !err; i++) {
		const struct cell *c = &r->cells[i];
		struct colbuf *col = &b->cols[c->col];

		if (unlikely(!(b->accept[c->col] & 1u << c->kind)))
			return -EINVAL;
		if (c->col == COL_END_TIME || c->col == COL_SEQ || c->col == COL_EPOCH)
			continue; /* the header's and the store's are the truth */
		has_node |= c->col == COL_NODE;
		if (c->kind == CELL_INT)
			err = put_int(b, col, c->v.i);
		else if (c->kind == CELL_SYM && unlikely(!syms_has(syms, c->v.off)))
			err = -EINVAL;
		else if (c->kind == CELL_SYM)
			err = put_sym(b, col, c->v.off, syms);
		else
			err = put_text(b, col, row_cell_text(r, c));
	}
	if (!err && !has_node && b->accept[COL_NODE])
		err = put_node(b);
	if (!err)
		err = put_int(b, &b->cols[COL_END_TIME], (int64_t)r->hdr->end_ns);
	return err ? err : put_int(b, &b->cols[COL_SEQ], (int64_t)r->hdr->seq);
}

/* Takes back the values of the row under way. */
static void undo_row(struct builder *b)
{
	for (size_t i = 0; i < _COL_MAX; i++) {
		struct colbuf *c = &b->cols[i];

		if (c->n && (c->sparse ? c->rows[c->n - 1] == b->n_rows : c->n > b->n_rows))
			c->n--;
	}
}

int builder_append(struct builder *b, const struct row *r, const struct syms *syms)
{
	int err;

	if (r->hdr->table != b->schema->id || r->hdr->end_ns == 0 || r->hdr->end_ns > INT64_MAX ||
	    r->hdr->seq > INT64_MAX)
		return -EINVAL;
	if (b->n_rows == b->max_rows)
		return -ENOMEM;
	err = put_cells(b, r, syms);
	if (err < 0) {
		undo_row(b);
		return err;
	}
	b->n_rows++;
	b->bytes += r->hdr->n_cells * (size_t)CELL_BYTES;
	return 0;
}

#include "query/joincache.h"

#include "query/plan.h"

#include <errno.h>
#include <inttypes.h>

#define ARGS_AT	 17 /* in the plan's text, behind the used columns */
#define ARG_TEXT 4  /* bytes: letter and column */

uint64_t value_hash(uint64_t h, struct value v)
{
	h = (h ^ v.kind) * 0x9e3779b97f4a7c15ULL;
	if (v.kind == VALUE_INT)
		h = (h ^ (uint64_t)v.i) * 0xbf58476d1ce4e5b9ULL;
	for (size_t i = 0; v.kind == VALUE_TEXT && i < v.text.n; i++)
		h = (h ^ v.text.p[i]) * 0x100000001b3ULL;
	return h ^ h >> 29;
}

size_t joined_text(struct value prefix, struct value hex, const struct value *decimal, char *text)
{
	int n;

	if (prefix.kind != VALUE_TEXT || hex.kind != VALUE_INT ||
	    (decimal && decimal->kind != VALUE_INT) || prefix.text.n > JOINED_MAX - 48)
		return 0;
	if (prefix.text.n)
		memcpy(text, prefix.text.p, prefix.text.n);
	if (decimal)
		n = snprintf(text + prefix.text.n, 48, "-%" PRIx64 "-%" PRId64, (uint64_t)hex.i,
			     decimal->i);
	else
		n = snprintf(text + prefix.text.n, 48, "-%" PRIx64, (uint64_t)hex.i);
	return prefix.text.n + (size_t)n;
}

static char letter_of(const struct join_entry *e, int arg)
{
	return e->idx_str[ARGS_AT + arg * ARG_TEXT];
}

static const struct column *column_of(const struct join_entry *e, int arg)
{
	const char *p = e->idx_str + ARGS_AT + arg * ARG_TEXT + 1;

	return e->table->columns[(p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0')];
}

static struct value value_of(sqlite3_value *v)
{
	const void *p;

	switch (sqlite3_value_type(v)) {
	case SQLITE_INTEGER:
		return (struct value){ .kind = VALUE_INT, .i = sqlite3_value_int64(v) };
	case SQLITE_TEXT:
		p = sqlite3_value_text(v);
		return (struct value){ .kind = VALUE_TEXT,
				       .text = slice_of(p, (size_t)sqlite3_value_bytes(v)) };
	default:
		return (struct value){ .kind = VALUE_NULL };
	}
}

static bool same_value(sqlite3_value *a, sqlite3_value *b)
{
	struct value x, y;

	if (sqlite3_value_type(a) != sqlite3_value_type(b))
		return false;
	switch (sqlite3_value_type(a)) {
	case SQLITE_NULL:
		return true;
	case SQLITE_FLOAT:
		return sqlite3_value_double(a) == sqlite3_value_double(b);
	case SQLITE_BLOB:
		return false;
	default:
		x = value_of(a);
		y = value_of(b);
		return x.kind == VALUE_INT ? x.i == y.i : slice_eq(x.text, y.text);
	}
}

static void free_entry(struct join_entry *e)
{
	for (int i = 0; i < e->n_args; i++)
		sqlite3_value_free(e->args[i]);
	free(e->idx_str);
	rowcache_done(&e->rows);
}

void joincache_free(struct join_cache *jc)
{
	for (size_t i = 0; jc && i < jc->n; i++)
		free_entry(&jc->entries[i]);
	free(jc);
}

void joincache_refuse(struct join_entry *e)
{
	e->state = JOIN_NEVER;
	rowcache_done(&e->rows);
}

/* A new entry, or NULL when there are enough or there is no memory: then scans are all there is. */
static struct join_entry *add_entry(struct query_conn *c, const struct sql_table *t, int idx_num,
				    const char *idx_str, int argc, sqlite3_value **argv)
{
	struct join_entry *e;

	if (!c->joins)
		c->joins = calloc(1, sizeof(*c->joins));
	if (!c->joins || c->joins->n == JOIN_ENTRIES_MAX || argc > JOIN_ARGS_MAX)
		return NULL;
	e = &c->joins->entries[c->joins->n];
	*e = (struct join_entry){ .table = t, .idx_num = idx_num, .asked = 1, .key = -1 };
	e->idx_str = strdup(idx_str);
	if (!e->idx_str)
		return NULL;
	for (; e->n_args < argc; e->n_args++) {
		char letter = letter_of(e, e->n_args);

		e->args[e->n_args] = sqlite3_value_dup(argv[e->n_args]);
		if (!e->args[e->n_args]) {
			free_entry(e);
			return NULL;
		}
		/* A list's values cannot be compared; a limit is no condition. */
		if (letter == PUSH_IN || letter == PUSH_LIMIT || letter == PUSH_OFFSET)
			e->state = JOIN_NEVER;
	}
	c->joins->n++;
	return e;
}

/* The newest one: older ones were replaced. */
static struct join_entry *find_entry(struct query_conn *c, const struct sql_table *t, int idx_num,
				     const char *idx_str)
{
	for (size_t i = c->joins ? c->joins->n : 0; i > 0; i--) {
		struct join_entry *e = &c->joins->entries[i - 1];

		if (e->table == t && e->idx_num == idx_num && strcmp(e->idx_str, idx_str) == 0)
			return e;
	}
	return NULL;
}

static uint32_t changed(const struct join_entry *e, sqlite3_value **argv)
{
	uint32_t mask = 0;

	for (int i = 0; i < e->n_args; i++)
		if (!same_value(e->args[i], argv[i]))
			mask |= 1u << i;
	return mask;
}

/* Only an equality that SQLite tests again may change; times it does not. */
static bool may_change(const struct join_entry *e, uint32_t mask)
{
	for (int i = 0; i < e->n_args; i++)
		if ((mask >> i & 1) &&
		    (letter_of(e, i) != PUSH_EQ || column_of(e, i)->unit == UNIT_TIME_NS))
			return false;
	return true;
}

enum join_answer joincache_ask(struct query_conn *c, const struct sql_table *t, int idx_num,
			       const char *idx_str, int argc, sqlite3_value **argv,
			       struct join_entry **ret)
{
	struct join_entry *e = find_entry(c, t, idx_num, idx_str);
	uint32_t mask;

	if (!e) {
		add_entry(c, t, idx_num, idx_str, argc, argv);
		return JOIN_SCAN;
	}
	if (e->state == JOIN_NEVER)
		return JOIN_SCAN;
	mask = changed(e, argv);
	if (!may_change(e, mask)) {
		/* Its rows may be in use by a cursor; later questions are not answered from it. */
		e = e->state == JOIN_BUILT ? add_entry(c, t, idx_num, idx_str, argc, argv) : e;
		if (e)
			e->state = JOIN_NEVER;
		return JOIN_SCAN;
	}
	if (e->state == JOIN_BUILT && (mask & ~e->variable)) {
		mask |= e->variable;
		e = add_entry(c, t, idx_num, idx_str, argc, argv);
		if (!e)
			return JOIN_SCAN;
		e->asked = JOIN_SCANS;
	}
	*ret = e;
	if (e->state == JOIN_BUILT)
		return JOIN_USE;
	e->variable |= mask;
	return ++e->asked > JOIN_SCANS ? JOIN_BUILD : JOIN_SCAN;
}

struct key_of {
	const struct column *column;
	const int16_t *place;
};

static struct value part(const struct key_of *k, const struct value *row, uint16_t col)
{
	return k->place[col] >= 0 ? row[k->place[col]] : (struct value){ .kind = VALUE_NULL };
}

static uint64_t row_hash(void *ctx, const struct value *row)
{
	const struct key_of *k = ctx;
	char text[JOINED_MAX];
	struct value v = { .kind = VALUE_TEXT }, seq;

	if (!(k->column->flags & COL_F_COMPUTED))
		return value_hash(1, part(k, row, k->column->id));
	seq = part(k, row, COL_SEQ);
	v.text.p = (const uint8_t *)text;
	if (k->column->id == COL_ID)
		v.text.n = joined_text(part(k, row, COL_NODE), part(k, row, COL_EPOCH), &seq, text);
	else
		v.text.n = joined_text(part(k, row, COL_CONN_ID), part(k, row, COL_REQUEST_OFFSET),
				       NULL, text);
	return value_hash(1, v);
}

int joincache_ready(struct join_entry *e, const int16_t *place)
{
	struct key_of k = { .place = place };
	int r = 0;

	for (int i = 0; i < e->n_args && e->key < 0; i++)
		if (e->variable >> i & 1)
			e->key = i;
	if (e->key >= 0) {
		k.column = column_of(e, e->key);
		r = rowcache_index(&e->rows, row_hash, &k);
	}
	if (r == 0)
		e->state = JOIN_BUILT;
	return r;
}

bool joincache_hash(const struct join_entry *e, sqlite3_value **argv, uint64_t *ret)
{
	const struct column *col;
	struct value v;

	if (e->key < 0)
		return false;
	col = column_of(e, e->key);
	v = value_of(argv[e->key]);
	/* Another kind of value may equal a cell after conversion. */
	if (v.kind != (col->type == COL_INT ? VALUE_INT : VALUE_TEXT) ||
	    (v.kind == VALUE_TEXT && v.text.n > JOINED_MAX - 64))
		return false;
	*ret = value_hash(1, v);
	return true;
}

#include "storage/predicate.h"

static int compare_text(struct slice a, struct slice b)
{
	size_t n = MIN(a.n, b.n);
	int d = n ? memcmp(a.p, b.p, n) : 0;

	if (d)
		return d;
	return a.n < b.n ? -1 : a.n > b.n;
}

/* SQLite's order of two values that are not NULL: any integer before any text. */
static int compare(uint8_t kind, int64_t i, struct slice text, const struct value *v)
{
	if (kind != v->kind)
		return kind == VALUE_INT ? -1 : 1;
	if (kind == VALUE_INT)
		return i < v->i ? -1 : i > v->i;
	return compare_text(text, v->text);
}

static bool contains(struct slice text, struct slice part)
{
	return part.n == 0 || memmem(text.p, text.n, part.p, part.n) != NULL;
}

static bool in_list(const struct scan_pred *p, uint8_t kind, int64_t i, struct slice text)
{
	for (size_t k = 0; k < p->n_values; k++)
		if (p->values[k].kind != VALUE_NULL && compare(kind, i, text, &p->values[k]) == 0)
			return true;
	return false;
}

bool pred_value(const struct scan_pred *p, uint8_t kind, int64_t i, struct slice text)
{
	const struct value *v = p->values;

	if (kind == VALUE_NULL)
		return p->op == PRED_IS_NULL;
	switch (p->op) {
	case PRED_IS_NULL:
		return false;
	case PRED_NOT_NULL:
		return true;
	case PRED_IN:
		return in_list(p, kind, i, text);
	default:
		break;
	}
	if (v->kind == VALUE_NULL)
		return false;
	switch (p->op) {
	case PRED_EQ:
		return compare(kind, i, text, v) == 0;
	case PRED_NE:
		return compare(kind, i, text, v) != 0;
	case PRED_LT:
		return compare(kind, i, text, v) < 0;
	case PRED_LE:
		return compare(kind, i, text, v) <= 0;
	case PRED_GT:
		return compare(kind, i, text, v) > 0;
	case PRED_GE:
		return compare(kind, i, text, v) >= 0;
	case PRED_PREFIX:
		return kind == VALUE_TEXT && v->kind == VALUE_TEXT && slice_starts(text, v->text);
	case PRED_CONTAINS:
		return kind == VALUE_TEXT && v->kind == VALUE_TEXT && contains(text, v->text);
	default:
		return false;
	}
}

/* An integer comparison as one closed range: most predicates on numbers. */
static bool as_range(const struct scan_pred *p, int64_t *ret_lo, int64_t *ret_hi)
{
	const struct value *v = p->values;
	int64_t lo = INT64_MIN, hi = INT64_MAX;

	if (p->op > PRED_GE || p->op == PRED_NE || v->kind != VALUE_INT)
		return false;
	if ((p->op == PRED_LT && v->i == INT64_MIN) || (p->op == PRED_GT && v->i == INT64_MAX))
		return false;
	if (p->op == PRED_EQ || p->op == PRED_GE)
		lo = v->i;
	if (p->op == PRED_EQ || p->op == PRED_LE)
		hi = v->i;
	if (p->op == PRED_LT)
		hi = v->i - 1;
	if (p->op == PRED_GT)
		lo = v->i + 1;
	*ret_lo = lo;
	*ret_hi = hi;
	return true;
}

static uint32_t filter_ints(const struct scan_pred *p, const struct column_data *c, uint32_t *sel,
			    uint32_t n)
{
	uint32_t kept = 0;
	int64_t lo, hi;

	if (as_range(p, &lo, &hi)) {
		for (uint32_t k = 0; k < n; k++) {
			uint32_t row = sel[k];

			sel[kept] = row;
			kept += c->ints[row] >= lo && c->ints[row] <= hi && column_has(c, row);
		}
		return kept;
	}
	for (uint32_t k = 0; k < n; k++) {
		uint32_t row = sel[k];
		uint8_t kind = column_has(c, row) ? VALUE_INT : VALUE_NULL;

		if (pred_value(p, kind, c->ints[row], slice_of(NULL, 0)))
			sel[kept++] = row;
	}
	return kept;
}

/* Each entry of the dictionary is judged once. */
static uint32_t filter_dict(const struct scan_pred *p, const struct column_data *c, uint32_t *sel,
			    uint32_t n)
{
	bool null_ok = pred_value(p, VALUE_NULL, 0, slice_of(NULL, 0));
	bool ok[SEG_ROWS_MAX];
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->n_texts; i++)
		ok[i] = pred_value(p, VALUE_TEXT, 0, c->texts[i]);
	for (uint32_t k = 0; k < n; k++) {
		uint32_t row = sel[k];

		sel[kept] = row;
		kept += column_has(c, row) ? ok[c->codes[row]] : null_ok;
	}
	return kept;
}

static uint32_t filter_texts(const struct scan_pred *p, const struct column_data *c, uint32_t *sel,
			     uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t row = sel[k];
		uint8_t kind = column_has(c, row) ? VALUE_TEXT : VALUE_NULL;

		if (pred_value(p, kind, 0, c->texts[row]))
			sel[kept++] = row;
	}
	return kept;
}

/* One value for every row that is not NULL. */
static uint32_t filter_const(const struct scan_pred *p, const struct column_data *c, uint32_t *sel,
			     uint32_t n)
{
	bool null_ok = pred_value(p, VALUE_NULL, 0, slice_of(NULL, 0)), value_ok = false;
	uint32_t kept = 0;

	if (c->form == COLUMN_CONST_INT)
		value_ok = pred_value(p, VALUE_INT, c->ints[0], slice_of(NULL, 0));
	else if (c->form == COLUMN_CONST_TEXT)
		value_ok = pred_value(p, VALUE_TEXT, 0, c->texts[0]);
	for (uint32_t k = 0; k < n; k++) {
		uint32_t row = sel[k];

		sel[kept] = row;
		kept += c->form != COLUMN_NULL && column_has(c, row) ? value_ok : null_ok;
	}
	return kept;
}

uint32_t pred_filter(const struct scan_pred *p, const struct column_data *c, uint32_t *sel,
		     uint32_t n)
{
	switch (c->form) {
	case COLUMN_INTS:
		return filter_ints(p, c, sel, n);
	case COLUMN_DICT:
		return filter_dict(p, c, sel, n);
	case COLUMN_TEXTS:
		return filter_texts(p, c, sel, n);
	default:
		return filter_const(p, c, sel, n);
	}
}

/* Whether no integer in [min, max] satisfies p. */
static bool range_excludes(const struct scan_pred *p, int64_t min, int64_t max)
{
	int64_t lo, hi;

	if (p->op == PRED_PREFIX || p->op == PRED_CONTAINS)
		return true;
	if (p->op == PRED_IN) {
		for (size_t k = 0; k < p->n_values; k++)
			if (p->values[k].kind == VALUE_INT && p->values[k].i >= min &&
			    p->values[k].i <= max)
				return false;
		return true;
	}
	return as_range(p, &lo, &hi) && (max < lo || min > hi);
}

bool pred_excludes(const struct scan_pred *p, const struct seg_desc *seg)
{
	const struct col_desc *c = seg_desc_find(seg, p->col);

	if (!c)
		return p->op != PRED_IS_NULL;
	if (p->op == PRED_IS_NULL)
		return c->n_values == seg->rows;
	if (c->enc == ENC_CONST_TEXT)
		return !pred_value(p, VALUE_TEXT, 0, c->text);
	if (c->enc == ENC_DICT || c->enc == ENC_MAP_DICT || c->enc == ENC_TEXT)
		return false;
	return range_excludes(p, c->min, c->max);
}

struct scan_pred *preds_copy(const struct scan_pred *preds, size_t n)
{
	size_t n_values = 0, n_bytes = 0;
	struct scan_pred *copy;
	struct value *v;
	uint8_t *bytes;

	for (size_t i = 0; i < n; i++) {
		n_values += preds[i].n_values;
		for (size_t k = 0; k < preds[i].n_values; k++)
			n_bytes += preds[i].values[k].kind == VALUE_TEXT ? preds[i].values[k].text.n
									 : 0;
	}
	copy = calloc(1, (n + 1) * sizeof(*copy) + n_values * sizeof(*v) + n_bytes);
	if (!copy)
		return NULL;
	v = (struct value *)(void *)(copy + n + 1);
	bytes = (uint8_t *)(v + n_values);
	for (size_t i = 0; i < n; i++) {
		copy[i] = preds[i];
		copy[i].values = v;
		for (size_t k = 0; k < preds[i].n_values; k++, v++) {
			*v = preds[i].values[k];
			if (v->kind != VALUE_TEXT)
				continue;
			if (v->text.n)
				memcpy(bytes, v->text.p, v->text.n);
			v->text.p = bytes;
			bytes += v->text.n;
		}
	}
	return copy;
}

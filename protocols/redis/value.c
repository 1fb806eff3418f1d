#include "protocols/redis/value.h"
#include "base/util.h"

#define LINE_MAX_BYTES 512 /* of a line; more is dropped */

_Static_assert(REDIS_MESSAGE_MAX < LINE_MAX_BYTES && LINE_MAX_BYTES <= REDIS_NEED_MAX, "need");

/* By the byte they begin with. */
static const struct {
	uint8_t shape; /* enum shape */
	uint8_t type;  /* enum redis_type */
	uint8_t times; /* elements for each that is counted */
} kinds[256] = {
	['+'] = { SHAPE_LINE, REDIS_SIMPLE, 0 },     ['-'] = { SHAPE_LINE, REDIS_ERROR, 0 },
	[':'] = { SHAPE_LINE, REDIS_INTEGER, 0 },    ['_'] = { SHAPE_LINE, REDIS_NULL, 0 },
	['#'] = { SHAPE_LINE, REDIS_BOOLEAN, 0 },    [','] = { SHAPE_LINE, REDIS_DOUBLE, 0 },
	['('] = { SHAPE_LINE, REDIS_BIG_NUMBER, 0 }, ['$'] = { SHAPE_BULK, REDIS_BULK, 0 },
	['!'] = { SHAPE_BULK, REDIS_ERROR, 0 },	     ['='] = { SHAPE_BULK, REDIS_VERBATIM, 0 },
	['*'] = { SHAPE_AGGREGATE, REDIS_ARRAY, 1 }, ['~'] = { SHAPE_AGGREGATE, REDIS_SET, 1 },
	['%'] = { SHAPE_AGGREGATE, REDIS_MAP, 2 },   ['>'] = { SHAPE_AGGREGATE, REDIS_PUSH, 1 },
	['|'] = { SHAPE_AGGREGATE, REDIS_MAP, 2 },
};
static const char *const type_names[_REDIS_TYPE_MAX] = {
	[REDIS_SIMPLE] = "simple",
	[REDIS_ERROR] = "error",
	[REDIS_INTEGER] = "integer",
	[REDIS_BULK] = "bulk",
	[REDIS_NULL] = "null",
	[REDIS_ARRAY] = "array",
	[REDIS_MAP] = "map",
	[REDIS_SET] = "set",
	[REDIS_DOUBLE] = "double",
	[REDIS_BOOLEAN] = "boolean",
	[REDIS_BIG_NUMBER] = "big_number",
	[REDIS_VERBATIM] = "verbatim",
	[REDIS_PUSH] = "push",
	[REDIS_QUEUED] = "queued",
};

const char *redis_type_name(int64_t type)
{
	return type >= 0 && type < _REDIS_TYPE_MAX ? type_names[type] : NULL;
}

static enum resp_got line_get(struct slice s, struct value *v)
{
	struct slice head = slice_head(s, LINE_MAX_BYTES);
	size_t nl = slice_find(head, '\n');

	v->cut = nl == head.n;
	if (v->cut && s.n < LINE_MAX_BYTES)
		return RESP_MORE;
	if (!v->cut && (nl < 2 || head.p[nl - 1] != '\r'))
		return RESP_BAD;
	v->used = v->cut ? nl : nl + 1;
	v->text = slice_of(head.p + 1, v->cut ? nl - 1 : nl - 2);
	return RESP_OK;
}

static bool is_integer(struct slice s)
{
	size_t sign = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');

	for (size_t i = sign; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > sign;
}

static bool line_ok(const struct value *v)
{
	switch (v->mark) {
	case ':':
	case '(':
		return v->cut || is_integer(v->text);
	case '_':
		return v->text.n == 0;
	case '#':
		return v->text.n == 1 && (v->text.p[0] == 't' || v->text.p[0] == 'f');
	default:
		return true;
	}
}

static enum resp_got number_get(struct slice s, struct value *v)
{
	enum resp_got got = resp_number(s, &v->n, &v->used);

	if (got != RESP_OK)
		return got;
	if (v->n == -1 && (v->mark == '$' || v->mark == '*')) {
		v->type = REDIS_NULL;
		v->shape = SHAPE_LINE;
		return RESP_OK;
	}
	if (v->n < 0 && v->n != RESP_STREAMED)
		return RESP_BAD;
	return v->n > (v->shape == SHAPE_BULK ? REDIS_LENGTH_MAX : REDIS_COUNT_MAX) ? RESP_BAD
										    : RESP_OK;
}

enum resp_got value_get(struct slice s, struct value *v)
{
	enum resp_got got;

	*v = (struct value){ 0 };
	if (s.n == 0)
		return RESP_MORE;
	v->mark = s.p[0];
	v->shape = kinds[v->mark].shape;
	v->type = (enum redis_type)kinds[v->mark].type;
	if (v->shape == SHAPE_BAD)
		return RESP_BAD;
	if (v->shape != SHAPE_LINE)
		return number_get(s, v);
	got = line_get(s, v);
	return got == RESP_OK && !line_ok(v) ? RESP_BAD : got;
}

unsigned int value_times(uint8_t mark)
{
	return kinds[mark].times;
}

#include "k8s/json.h"

#include "base/jsonread.h"

#include <errno.h>

static void read_object(const struct fields *t, void *base, struct jsonread *j);

static void read_scalar(const struct field *f, void *base, struct jsonread *j)
{
	struct jsonread_value v;

	if (!jsonread_scalar(j, &v))
		return;
	if (v.kind == JSONREAD_STRING)
		field_put_text(f, base, v.text);
	else if ((f->type == FIELD_BOOL || f->type == FIELD_TRI) ? v.kind == JSONREAD_BOOL
								 : v.kind == JSONREAD_INT)
		field_put_num(f, base, v.i);
}

static void read_map(const struct field *f, void *base, struct jsonread *j)
{
	struct field_pair pair;
	struct jsonread_value v;

	while (jsonread_next(j) && jsonread_key(j, &pair.key)) {
		if (jsonread_peek(j) != JSONREAD_STRING) {
			jsonread_skip(j);
		} else if (jsonread_scalar(j, &v)) {
			pair.value = v.text;
			f->add(base, &pair);
		}
	}
}

/* The elements of an array: texts or objects. */
static void read_each(const struct field *f, void *base, struct jsonread *j)
{
	_Alignas(max_align_t) uint8_t element[FIELD_ELEMENT_MAX];

	while (jsonread_next(j)) {
		enum jsonread_kind kind = jsonread_peek(j);

		if (f->type == FIELD_TEXTS && kind == JSONREAD_STRING) {
			read_scalar(f, base, j);
		} else if (f->type == FIELD_EACH && jsonread_enter(j, '{')) {
			memset(element, 0, f->of->size);
			read_object(f->of, element, j);
			if (!j->bad)
				f->add(base, element);
		} else {
			jsonread_skip(j);
		}
	}
}

static void read_member(const struct field *f, void *base, struct jsonread *j)
{
	enum jsonread_kind kind = jsonread_peek(j);
	uint8_t *at = (uint8_t *)base + f->offset;

	if (f->type == FIELD_RAW)
		field_put_text(f, base, jsonread_skip(j));
	else if (f->type == FIELD_MESSAGE && jsonread_enter(j, '{'))
		read_object(f->of, at, j);
	else if (f->type == FIELD_MAP && jsonread_enter(j, '{'))
		read_map(f, at, j);
	else if ((f->type == FIELD_EACH || f->type == FIELD_TEXTS) && jsonread_enter(j, '['))
		read_each(f, at, j);
	else if (kind != JSONREAD_ARRAY && kind != JSONREAD_OBJECT && f->type != FIELD_MESSAGE &&
		 f->type != FIELD_MAP && f->type != FIELD_EACH)
		read_scalar(f, base, j);
	else
		jsonread_skip(j);
}

/* Inside the object. */
static void read_object(const struct fields *t, void *base, struct jsonread *j)
{
	struct slice key;

	while (jsonread_next(j) && jsonread_key(j, &key)) {
		const struct field *f = field_by_name(t, key);

		if (f)
			read_member(f, base, j);
		else
			jsonread_skip(j);
	}
}

int k8s_json_read(const struct fields *t, void *base, uint8_t *text, size_t n)
{
	struct jsonread j = jsonread_of(text, n);

	if (!jsonread_enter(&j, '{'))
		return -EBADMSG;
	read_object(t, base, &j);
	return jsonread_done(&j) ? 0 : -EBADMSG;
}

int k8s_json_object(enum k8s_kind kind, uint8_t *text, size_t n, struct k8s_object *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->kind = kind;
	return k8s_json_read(k8s_object_fields(kind), ret, text, n);
}

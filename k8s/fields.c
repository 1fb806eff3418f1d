#include "k8s/fields.h"

#include "base/text.h"

const struct field *field_by_number(const struct fields *t, uint64_t number)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].number == number && number)
			return &t->rows[i];
	return NULL;
}

const struct field *field_by_name(const struct fields *t, struct slice name)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].name && slice_eq_str(name, t->rows[i].name))
			return &t->rows[i];
	return NULL;
}

static void put(void *base, size_t offset, const void *v, size_t n)
{
	memcpy((uint8_t *)base + offset, v, n);
}

void field_put_text(const struct field *f, void *base, struct slice v)
{
	uint64_t ns;

	if (f->type == FIELD_TEXT || f->type == FIELD_RAW)
		put(base, f->offset, &v, sizeof(v));
	else if (f->type == FIELD_TEXTS)
		f->add((uint8_t *)base + f->offset, &v);
	else if (f->type == FIELD_TIME && parse_time(v, &ns) == 0)
		field_put_num(f, base, (int64_t)ns);
}

void field_put_num(const struct field *f, void *base, int64_t v)
{
	bool yes = v != 0;
	uint8_t tri = yes ? FIELD_TRUE : FIELD_FALSE;
	uint32_t u32 = v >= 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
	uint16_t port = v >= 0 && v <= UINT16_MAX ? (uint16_t)v : 0;

	switch (f->type) {
	case FIELD_BOOL:
		put(base, f->offset, &yes, sizeof(yes));
		break;
	case FIELD_TRI:
		put(base, f->offset, &tri, sizeof(tri));
		break;
	case FIELD_U32:
		put(base, f->offset, &u32, sizeof(u32));
		break;
	case FIELD_PORT:
		put(base, f->offset, &port, sizeof(port));
		break;
	case FIELD_TIME:
		put(base, f->offset, &v, sizeof(v));
		break;
	}
}

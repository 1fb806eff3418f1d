#include "storage/syms.h"

#include "storage/store.h"

#include <errno.h>

void syms_init(struct syms *s)
{
	*s = (struct syms){ .texts = STRBUF_INIT(STORE_SYM_BYTES_MAX) };
}

void syms_done(struct syms *s)
{
	free(s->v);
	strbuf_done(&s->texts);
	syms_init(s);
}

void syms_reset(struct syms *s)
{
	if (s->v)
		memset(s->v, 0, s->n * sizeof(*s->v));
	strbuf_reset(&s->texts);
}

static int grow(struct syms *s, uint32_t sym)
{
	size_t n = MAX(s->n * 2, (size_t)256);
	struct sym *v;

	while (n <= sym)
		n *= 2;
	v = realloc(s->v, n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	memset(v + s->n, 0, (n - s->n) * sizeof(*v));
	s->v = v;
	s->n = n;
	return 0;
}

int syms_put(struct syms *s, uint32_t sym, struct slice text)
{
	size_t at = s->texts.len;
	int err;

	if (sym >= STORE_SYMS_MAX || text.n > STORE_SYM_TEXT_MAX)
		return -ERANGE;
	if (syms_has(s, sym) && slice_eq(syms_text(s, sym), text))
		return 0;
	if (sym >= s->n) {
		err = grow(s, sym);
		if (err < 0)
			return err;
	}
	s->v[sym].known = false;
	if (text.n > STORE_SYM_BYTES_MAX - at)
		return -ERANGE;
	strbuf_add(&s->texts, text.p, text.n);
	if (s->texts.failed) {
		s->texts.failed = false;
		return -ENOMEM;
	}
	s->v[sym] = (struct sym){ (uint32_t)at, (uint32_t)text.n, true };
	return 1;
}

/* The interned texts a writer announced, by number. */
#ifndef STORAGE_SYMS_H
#define STORAGE_SYMS_H

#include "base/slice.h"
#include "base/strbuf.h"

struct sym {
	uint32_t off, len; /* in texts */
	bool known;
};

struct syms {
	struct sym *v;
	size_t n; /* entries of v */
	struct strbuf texts;
};

void syms_init(struct syms *s);
void syms_done(struct syms *s);
void syms_reset(struct syms *s);
/* 1: new text for this number; 0: it had this text already; -ERANGE, -ENOMEM. */
int syms_put(struct syms *s, uint32_t sym, struct slice text);

static inline bool syms_has(const struct syms *s, uint64_t sym)
{
	return sym < s->n && s->v[sym].known;
}

/* Borrowed until the next syms_put(). */
static inline struct slice syms_text(const struct syms *s, uint64_t sym)
{
	return slice_of(s->texts.p + s->v[sym].off, s->v[sym].len);
}

#endif

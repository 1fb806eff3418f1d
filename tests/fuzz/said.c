#include "tests/fuzz/said.h"
#include "tests/fuzz/work.h"
#include "base/hash.h"
#include "base/util.h"

enum event { BEGIN, FIELD, BODY, NUM, END };

static void add(struct said *s, enum msg_kind kind, uint64_t v)
{
	s->hash[kind] = hash_u64(s->hash[kind] * 31 + v);
}

static void add_bytes(struct said *s, enum msg_kind kind, struct slice v)
{
	uint64_t h = s->hash[kind];

	for (size_t i = 0; i < v.n; i++)
		h = (h ^ v.p[i]) * 0x100000001b3ULL; /* FNV-1a */
	s->hash[kind] = h;
}

static void tell(struct said *s, enum msg_kind kind, enum event e, uint64_t key, uint64_t v)
{
	s->broken |= e == BEGIN ? s->open[kind] : !s->open[kind] || s->open_key[kind] != key;
	s->in_body[kind] = e == BODY;
	add(s, kind, e);
	add(s, kind, v);
}

static void on_begin(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off)
{
	struct said *s = ctx;

	work_pause();
	(void)dir;
	tell(s, kind, BEGIN, key, off);
	add(s, kind, key);
	if (kind == MSG_REQUEST)
		s->outstanding = MAX(s->outstanding, ++s->unanswered);
	else if (kind == MSG_RESPONSE && !(key & KEY_ORPHAN))
		s->unanswered--;
	s->open[kind] = true;
	s->open_key[kind] = key;
	work_resume();
}

static void on_field(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, struct slice v)
{
	struct said *s = ctx;

	work_pause();
	if (f != FIELD_BODY)
		tell(s, kind, FIELD, key, f), add(s, kind, v.n);
	else if (!s->in_body[kind])
		tell(s, kind, BODY, key, f);
	add_bytes(s, kind, v);
	work_resume();
}

static void on_num(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v)
{
	struct said *s = ctx;

	work_pause();
	tell(s, kind, NUM, key, f);
	add(s, kind, (uint64_t)v);
	work_resume();
}

static void on_end(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags)
{
	struct said *s = ctx;

	work_pause();
	tell(s, kind, END, key, off);
	add(s, kind, flags);
	s->open[kind] = false;
	work_resume();
}

const struct sink_ops said_ops = {
	.begin = on_begin, .field = on_field, .num = on_num, .end = on_end
};

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
	if (kind == MSG_CONN)
		s->broken |= key != 0;
	else
		s->broken |= e == BEGIN ? s->open[kind]
					: !s->open[kind] || s->open_key[kind] != key;
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
	if (f != FIELD_BODY && f != FIELD_STATEMENT)
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
	if (kind == MSG_REQUEST && flags & MSG_DROP &&
	    !(s->open[kind] && s->open_key[kind] == key)) {
		add(s, kind, key); /* a request that has ended */
	} else if (flags & MSG_UNANSWERED) {
		s->broken |= kind != MSG_RESPONSE || s->open[kind];
		s->unanswered--;
		add(s, kind, key);
		add(s, kind, off);
	} else {
		tell(s, kind, END, key, off);
		s->open[kind] = false;
	}
	add(s, kind, flags);
	work_resume();
}

const struct sink_ops said_ops = {
	.begin = on_begin, .field = on_field, .num = on_num, .end = on_end
};

static struct said_line *place_of(struct said *s, struct slice line)
{
	uint64_t h = line.n;

	for (size_t i = 0; i < line.n; i++)
		h = hash_u64(h ^ line.p[i]);
	return &s->lines[h % SAID_LINES];
}

static void on_learn(void *ctx, enum msg_kind kind, uint64_t key, const struct header_line *h)
{
	struct said *s = ctx;
	struct said_line *l;

	work_pause();
	s->broken |= !s->open[kind] || s->open_key[kind] != key;
	s->broken |= h->name.p < h->line.p || h->name.p + h->name.n > h->line.p + h->line.n;
	s->broken |= h->value.p < h->line.p || h->value.p + h->value.n > h->line.p + h->line.n;
	if (!s->broken && h->line.n > 0 && h->line.n <= SAID_LINE_MAX) {
		l = place_of(s, h->line);
		*l = (struct said_line){ .n = (uint32_t)h->line.n,
					 .name_at = (uint32_t)(h->name.p - h->line.p),
					 .name_n = (uint32_t)h->name.n,
					 .value_at = (uint32_t)(h->value.p - h->line.p),
					 .value_n = (uint32_t)h->value.n,
					 .note = h->note };
		memcpy(l->bytes, h->line.p, h->line.n);
	}
	work_resume();
}

static int on_known(void *ctx, enum msg_kind kind, uint64_t key, struct slice line,
		    struct slice *ret_value)
{
	struct said *s = ctx;
	const struct said_line *l;
	int note = -1;

	work_pause();
	l = place_of(s, line);
	if (line.n > 0 && slice_eq(line, slice_of(l->bytes, l->n))) {
		*ret_value = slice_of(line.p + l->value_at, l->value_n);
		on_field(s, kind, key, FIELD_HEADER_NAME, slice_of(line.p + l->name_at, l->name_n));
		on_field(s, kind, key, FIELD_HEADER_VALUE, *ret_value);
		note = l->note;
	}
	work_resume();
	return note;
}

const struct sink_ops said_memo_ops = { .begin = on_begin,
					.field = on_field,
					.num = on_num,
					.end = on_end,
					.known = on_known,
					.learn = on_learn };

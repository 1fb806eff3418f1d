#include "tests/golden/script.h"
#include "base/text.h"

#include <stdio.h>

#define SCRIPT_BYTES_MAX (8 * MIB)

static bool next_line(struct slice text, size_t *pos, int *line_no, struct slice *ret)
{
	struct slice left = slice_from(text, *pos);

	if (left.n == 0)
		return false;
	*ret = slice_head(left, slice_find(left, '\n'));
	*pos += ret->n + 1;
	++*line_no;
	return true;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Adds s with its escapes resolved. False for an unknown escape. */
static bool unescape(struct strbuf *b, struct slice s)
{
	static const char from[] = "rnt0\\", to[] = "\r\n\t\0\\";

	for (size_t i = 0; i < s.n; i++) {
		const char *hit;

		if (s.p[i] != '\\') {
			strbuf_addch(b, (char)s.p[i]);
			continue;
		}
		if (++i == s.n)
			return false;
		hit = memchr(from, s.p[i], sizeof(from) - 1);
		if (hit) {
			strbuf_addch(b, to[hit - from]);
		} else if (s.p[i] == 'x' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 &&
			   hex(s.p[i + 2]) >= 0) {
			strbuf_addch(b, (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
			i += 2;
		} else {
			return false;
		}
	}
	return true;
}

static struct slice word(struct slice *s)
{
	struct slice w;

	while (s->n > 0 && s->p[0] == ' ')
		*s = slice_from(*s, 1);
	w = slice_head(*s, slice_find(*s, ' '));
	*s = slice_from(*s, w.n);
	return w;
}

static struct turn *turn_add(struct script *s, enum turn_kind kind, enum dir dir)
{
	struct turn *t = &s->turns[s->n_turns];

	if (s->n_turns + 1 >= SCRIPT_TURNS_MAX) {
		s->error = "too many turns";
		return t;
	}
	s->offs[s->n_turns++] = s->bytes.len;
	*t = (struct turn){ .kind = kind, .dir = dir };
	return t;
}

/* The turn that bytes of dir are added to. */
static struct turn *turn_bytes(struct script *s, enum dir dir)
{
	struct turn *t = s->n_turns ? &s->turns[s->n_turns - 1] : NULL;

	if (t && t->kind == TURN_BYTES && t->dir == dir)
		return t;
	return turn_add(s, TURN_BYTES, dir);
}

static void directive(struct script *s, struct slice text)
{
	struct slice verb = word(&text), mark, count;
	enum dir dir;
	uint64_t n = 0;

	if (slice_eq_str(verb, "mid")) {
		s->mid = true;
		return;
	}
	if (slice_eq_str(verb, "server")) {
		s->at_server = true;
		return;
	}
	if (slice_eq_str(verb, "no-loss-check")) {
		s->no_loss_check = true;
		return;
	}
	if (slice_eq_str(verb, "no-prefix-check")) {
		s->no_prefix_check = true;
		return;
	}
	if (slice_eq_str(verb, "bodies")) {
		if (parse_u64(word(&text), &s->bodies) != 0)
			s->error = "bodies: a number of bytes";
		return;
	}
	mark = word(&text);
	dir = slice_eq_str(mark, ">") ? DIR_RX : DIR_TX;
	count = word(&text);
	if (slice_eq_str(verb, "eof")) {
		turn_add(s, TURN_EOF, dir);
	} else if (parse_u64(count, &n) != 0) {
		s->error = "a number is missing";
	} else if (slice_eq_str(verb, "gap")) {
		turn_add(s, TURN_GAP, dir)->lost = n;
	} else if (slice_eq_str(verb, "fill")) {
		struct slice c = word(&text);
		struct turn *t = turn_bytes(s, dir);

		for (uint64_t i = 0; i < n && c.n; i++)
			strbuf_addch(&s->bytes, (char)c.p[0]);
		t->bytes.n += n;
	} else {
		s->error = "unknown directive";
	}
}

static void wire_line(struct script *s, struct slice text)
{
	size_t before = s->bytes.len;
	struct turn *t;

	if (text.n == 0 || text.p[0] == '#')
		return;
	if (text.p[0] == '!') {
		directive(s, slice_from(text, 1));
		return;
	}
	if ((text.p[0] != '>' && text.p[0] != '<') || (text.n > 1 && text.p[1] != ' ')) {
		s->error = "a wire line starts with '> ', '< ', '!' or '#'";
		return;
	}
	t = turn_bytes(s, text.p[0] == '>' ? DIR_RX : DIR_TX);
	before = s->bytes.len;
	if (!unescape(&s->bytes, slice_from(text, 2)))
		s->error = "unknown escape";
	t->bytes.n += s->bytes.len - before;
}

/* The lines of a block up to its closing fence. */
static bool block(struct slice text, size_t *pos, int *line_no, struct script *s, bool wire)
{
	struct slice l;

	s->log_from = wire ? 0 : *pos;
	for (;;) {
		size_t start = *pos;

		if (!next_line(text, pos, line_no, &l)) {
			s->error = "a block has no end";
			return false;
		}
		if (slice_eq_str(l, "```")) {
			s->log_to = wire ? 0 : start;
			return true;
		}
		if (wire) {
			wire_line(s, l);
			if (s->error)
				return false;
		} else {
			strbuf_add(&s->want, l.p, l.n);
			strbuf_addch(&s->want, '\n');
		}
	}
}

bool script_next(struct slice text, size_t *pos, int *line_no, struct script *s)
{
	struct slice l;
	bool have_wire = false;

	memset(s, 0, sizeof(*s));
	strbuf_init(&s->bytes, SCRIPT_BYTES_MAX);
	strbuf_init(&s->want, SCRIPT_BYTES_MAX);
	while (!s->error && next_line(text, pos, line_no, &l)) {
		if (slice_starts(l, SLICE_LIT("## "))) {
			snprintf(s->title, sizeof(s->title), "%.*s", (int)MIN(l.n - 3, (size_t)100),
				 (const char *)l.p + 3);
		} else if (slice_eq_str(l, "```wire")) {
			have_wire = block(text, pos, line_no, s, true);
		} else if (slice_eq_str(l, "```log") && have_wire) {
			if (!block(text, pos, line_no, s, false))
				break;
			for (size_t i = 0; i < s->n_turns; i++)
				s->turns[i].bytes.p = (const uint8_t *)s->bytes.p + s->offs[i];
			return true;
		}
	}
	s->error_line = *line_no;
	if (!s->error && have_wire)
		s->error = "a wire block without a log block";
	return s->error != NULL;
}

void script_done(struct script *s)
{
	strbuf_done(&s->bytes);
	strbuf_done(&s->want);
}

size_t script_bytes(const struct script *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_turns; i++)
		n += s->turns[i].bytes.n;
	return n;
}

void script_play_cut(const struct script *s, struct convo *c, size_t cut, size_t piece,
		     size_t until)
{
	size_t at = 0;

	convo_init(c, s->protocol, DIR_RX, s->mid, s->bodies);
	c->at_server = s->at_server;
	for (size_t i = 0; i < s->n_turns && at < until; i++) {
		struct turn t = s->turns[i];
		struct slice left = t.bytes;

		if (t.kind != TURN_BYTES) {
			convo_play(c, &t);
			continue;
		}
		while (left.n > 0 && at < until) {
			size_t n = MIN(left.n, until - at);

			if (piece)
				n = MIN(n, piece);
			if (at < cut && at + n > cut)
				n = cut - at;
			t.bytes = slice_head(left, n);
			convo_play(c, &t);
			left = slice_from(left, n);
			at += n;
		}
	}
	convo_finish(c);
}

static void begin(const struct script *s, struct convo *c, bool mid)
{
	convo_init(c, s->protocol, DIR_RX, mid, s->bodies);
	c->at_server = s->at_server;
}

static void play_bytes_lost(struct convo *c, const struct turn *turn, size_t from, size_t to)
{
	struct turn t = *turn, gap = { .kind = TURN_GAP, .dir = turn->dir, .lost = to - from };

	t.bytes = slice_head(turn->bytes, from);
	if (t.bytes.n)
		convo_play(c, &t);
	if (gap.lost)
		convo_play(c, &gap);
	t.bytes = slice_from(turn->bytes, to);
	if (t.bytes.n)
		convo_play(c, &t);
}

void script_play_lost(const struct script *s, struct convo *c, size_t at, size_t lost)
{
	size_t pos = 0;

	begin(s, c, s->mid);
	for (size_t i = 0; i < s->n_turns; i++) {
		const struct turn *t = &s->turns[i];
		size_t from = at > pos ? MIN(at - pos, t->bytes.n) : t->bytes.n;

		if (at == pos)
			from = 0;
		if (t->kind == TURN_BYTES)
			play_bytes_lost(c, t, from, from + MIN(lost, t->bytes.n - from));
		else
			convo_play(c, t);
		pos += t->bytes.n;
	}
	convo_finish(c);
}

bool script_may_join(const struct script *s, size_t from)
{
	size_t pos = 0;

	for (size_t i = 0; i < s->n_turns && pos <= from; i++) {
		const struct turn *t = &s->turns[i];

		if (from == pos || (from < pos + t->bytes.n && t->dir == DIR_TX))
			return true;
		pos += t->bytes.n;
	}
	return false;
}

void script_play_mid(const struct script *s, struct convo *c, size_t from)
{
	size_t pos = 0;

	begin(s, c, true);
	for (size_t i = 0; i < s->n_turns; i++) {
		struct turn t = s->turns[i];
		size_t skip = pos < from ? MIN(from - pos, t.bytes.n) : 0;

		pos += t.bytes.n;
		if (t.kind == TURN_GAP && pos <= from)
			c->dir[t.dir].off += t.lost;
		if (t.kind == TURN_BYTES) {
			c->dir[t.dir].off += skip;
			t.bytes = slice_from(t.bytes, skip);
		}
		if (pos > from && (t.kind != TURN_BYTES || t.bytes.n))
			convo_play(c, &t);
	}
	convo_finish(c);
}

void script_play(const struct script *s, struct convo *c)
{
	script_play_cut(s, c, 0, 0, SIZE_MAX);
}

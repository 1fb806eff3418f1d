#include "tests/golden/convo.h"

#define LOG_MAX	   (64 * MIB)
#define WINDOW_MAX (4 * MIB)

static const char *const kind_names[] = { "request", "response", "push", "session" };
static const char *const flag_names[] = { "truncated", "lost",	 "degraded", "cut",
					  "tunnel",    "oneway", "dropped",  "unanswered",
					  "unpaired",  "follows" };

static const char *const text_names[_FIELD_MAX] = {
	[FIELD_METHOD] = "method",
	[FIELD_TARGET] = "target",
	[FIELD_HEADER_NAME] = "header",
	[FIELD_HEADER_VALUE] = "  value",
	[FIELD_TRAILER_NAME] = "trailer",
	[FIELD_TRAILER_VALUE] = "  value",
	[FIELD_BODY] = "body",
	[FIELD_REASON] = "reason",
	[FIELD_USER] = "user",
	[FIELD_DATABASE] = "database",
	[FIELD_STATEMENT] = "statement",
	[FIELD_STMT_NAME] = "stmt_name",
	[FIELD_COMMAND] = "command",
	[FIELD_TAG] = "tag",
	[FIELD_SQLSTATE] = "sqlstate",
	[FIELD_SEVERITY] = "severity",
	[FIELD_MESSAGE] = "message",
	[FIELD_KEY] = "key",
	[FIELD_ARG] = "arg",
	[FIELD_QNAME] = "qname",
	[FIELD_RR_NAME] = "record",
	[FIELD_RR_DATA] = "  data",
};

static const char *const num_names[_FIELD_MAX] = {
	[FIELD_STATUS] = "status",
	[FIELD_VERSION] = "version",
	[FIELD_BODY_BYTES] = "body_bytes",
	[FIELD_INTERIM] = "interim",
	[FIELD_BACKSLASH] = "backslash",
	[FIELD_STMT_ID] = "stmt_id",
	[FIELD_STMT_CALLS] = "stmt_calls",
	[FIELD_STMT_CLOSE] = "stmt_close",
	[FIELD_STMT_RESET] = "stmt_reset",
	[FIELD_PREPARED] = "prepared",
	[FIELD_ROWS] = "rows",
	[FIELD_AFFECTED_ROWS] = "affected_rows",
	[FIELD_CODE] = "code",
	[FIELD_DATABASE] = "database", /* redis: its number */
	[FIELD_QUERY_ID] = "query_id",
	[FIELD_EDNS_SIZE] = "edns_size",
	[FIELD_EDNS_VERSION] = "edns_version",
	[FIELD_QTYPE] = "qtype",
	[FIELD_QCLASS] = "qclass",
	[FIELD_RCODE] = "rcode",
	[FIELD_FLAGS] = "flags",
	[FIELD_RR_TYPE] = "  type",
	[FIELD_RR_TTL] = "  ttl",
	[FIELD_REPLY_TYPE] = "reply_type",
};

static void line(struct convo_log *l, enum msg_kind kind, const char *fmt, ...) __printf(3, 4);

static void line(struct convo_log *l, enum msg_kind kind, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	strbuf_adds(&l->kind[kind], text);
	strbuf_adds(&l->all, text);
}

/* Bytes as the wire blocks of golden files write them; long runs by their length and ends. */
static void quoted(struct strbuf *b, struct slice s)
{
	static const size_t shown = 96;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (s.n > shown && i == shown / 2) {
			strbuf_addf(b, "[%zu more]", s.n - shown);
			i = s.n - shown / 2 - 1;
			continue;
		}
		if (c == '\\')
			strbuf_adds(b, "\\\\");
		else if (c == '\r' || c == '\n' || c == '\t')
			strbuf_adds(b, c == '\r' ? "\\r" : c == '\n' ? "\\n" : "\\t");
		else if (c < 0x20 || c >= 0x7f)
			strbuf_addf(b, "\\x%02x", c);
		else
			strbuf_addch(b, (char)c);
	}
}

static void text_line(struct convo_log *l, enum msg_kind kind, const char *name, struct slice v)
{
	struct strbuf *to[] = { &l->kind[kind], &l->all };

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		strbuf_addf(to[i], "  %s ", name);
		quoted(to[i], v);
		strbuf_addch(to[i], '\n');
	}
}

static void body_flush(struct convo_log *l, enum msg_kind kind)
{
	if (l->body_name[kind])
		text_line(l, kind, l->body_name[kind], strbuf_slice(&l->body[kind]));
	l->body_name[kind] = NULL;
	strbuf_reset(&l->body[kind]);
}

static void key_text(uint64_t key, char out[32])
{
	snprintf(out, 32, "%s%llu", key & KEY_ORPHAN ? "orphan " : "",
		 (unsigned long long)(key & ~(KEY_ORPHAN | KEY_PUSH)));
}

static void log_begin(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off)
{
	struct convo_log *l = ctx;
	char k[32];

	(void)dir;
	l->broken |= l->open[kind];
	l->open[kind] = true;
	l->open_key[kind] = key;
	l->orphans += (key & KEY_ORPHAN) != 0;
	key_text(key, k);
	line(l, kind, "%s %s @%llu\n", kind_names[kind], k, (unsigned long long)off);
}

/* Whether a field of this kind may be told now: within its message, of the session at any time. */
static bool fits(const struct convo_log *l, enum msg_kind kind, uint64_t key)
{
	return kind == MSG_CONN ? key == 0 : l->open[kind] && l->open_key[kind] == key;
}

static bool comes_in_pieces(enum field_id f)
{
	return f == FIELD_BODY || f == FIELD_STATEMENT;
}

static void log_field(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, struct slice v)
{
	struct convo_log *l = ctx;

	l->broken |= !fits(l, kind, key) || !text_names[f];
	if (comes_in_pieces(f)) {
		if (l->body_name[kind] != text_names[f])
			body_flush(l, kind);
		l->body_name[kind] = text_names[f];
		strbuf_add(&l->body[kind], v.p, v.n);
		return;
	}
	body_flush(l, kind);
	if (kind == MSG_CONN)
		line(l, kind, "session\n");
	text_line(l, kind, text_names[f], v);
}

static void log_num(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v)
{
	struct convo_log *l = ctx;

	l->broken |= !fits(l, kind, key) || !num_names[f];
	body_flush(l, kind);
	if (kind == MSG_CONN)
		line(l, kind, "session\n");
	line(l, kind, "  %s %lld\n", num_names[f], (long long)v);
}

static void log_end(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags)
{
	struct convo_log *l = ctx;
	char k[32];

	key_text(key, k);
	if (kind == MSG_REQUEST && flags & MSG_DROP && !fits(l, kind, key)) {
		line(l, kind, "request %s dropped behind its end\n", k);
		return;
	}
	l->broken |= fits(l, kind, key) == !!(flags & MSG_UNANSWERED);
	l->open[kind] = false;
	l->ended[kind]++;
	l->clean[kind] += (flags & ~(uint32_t)MSG_FOLLOWS) == 0;
	body_flush(l, kind);
	line(l, kind, "%s %s end @%llu", kind_names[kind], k, (unsigned long long)off);
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flags & 1u << i)
			line(l, kind, " %s", flag_names[i]);
	line(l, kind, "\n");
}

static const struct sink_ops log_ops = {
	.begin = log_begin, .field = log_field, .num = log_num, .end = log_end
};

void convo_init(struct convo *c, enum proto_id proto, enum dir client, bool mid, uint64_t bodies)
{
	memset(c, 0, sizeof(*c));
	c->ops = proto_get(proto);
	c->st = calloc(1, c->ops->state_size);
	c->ops->init(c->st, client, mid);
	c->client = client;
	if (c->ops->want_bodies)
		c->ops->want_bodies(c->st, bodies);
	c->sink = (struct sink){ .ops = &log_ops, .ctx = &c->log };
	for (int i = 0; i < 2; i++)
		strbuf_init(&c->dir[i].buf, WINDOW_MAX);
	for (int i = 0; i < CONVO_KINDS; i++) {
		strbuf_init(&c->log.kind[i], LOG_MAX);
		strbuf_init(&c->log.body[i], LOG_MAX);
	}
	strbuf_init(&c->log.all, LOG_MAX);
}

void convo_done(struct convo *c)
{
	for (int i = 0; i < 2; i++)
		strbuf_done(&c->dir[i].buf);
	for (int i = 0; i < CONVO_KINDS; i++) {
		strbuf_done(&c->log.kind[i]);
		strbuf_done(&c->log.body[i]);
	}
	strbuf_done(&c->log.all);
	unpack_free(c->unpack);
	unpack_pool_done(&c->pool);
	free(c->st);
}

static void window_drop(struct convo_dir *d, size_t n)
{
	memmove(d->buf.p, d->buf.p + n, d->buf.len - n);
	d->buf.len -= n;
	d->off += n;
}

/* What follows in both directions is compressed. */
static void unpack_begin(struct convo *c)
{
	uint64_t at[2];

	for (int i = 0; i < 2; i++)
		at[i] = MAX(c->dir[i].off, c->dir[i].skip_until);
	c->over = c->unpack != NULL; /* once in a connection */
	if (!c->over)
		c->unpack = unpack_new(&c->pool, c->client, at);
}

static struct drive_result drive(struct convo *c, const struct parse_in *in)
{
	struct drive_result r;

	if (!c->unpack)
		return proto_drive(c->ops, c->st, *in, &c->sink);
	r = unpack_drive(c->unpack, c->ops, c->st, in, &c->sink);
	c->refused += unpack_refused(c->unpack);
	return r;
}

/* Grows whenever the parser takes something. */
static uint64_t progress(const struct convo *c, enum dir dir)
{
	return c->dir[dir].off + (c->unpack ? unpack_progress(c->unpack, dir) : 0);
}

/* One drive of one direction. Whether anything moved. */
static bool run(struct convo *c, enum dir dir, bool force)
{
	struct convo_dir *d = &c->dir[dir];
	uint8_t *exact = calloc(1, d->buf.len ? d->buf.len : 1);
	struct parse_in in = { .buf = slice_of(exact, d->buf.len),
			       .off = d->off,
			       .dir = dir,
			       .eof = d->eof,
			       .force = force,
			       .settled = c->at_server && dir == DIR_TX &&
					  c->dir[DIR_RX].buf.len == 0 };
	uint64_t before = progress(c, dir);
	struct drive_result r;

	if (d->buf.len)
		memcpy(exact, d->buf.p, d->buf.len);
	r = drive(c, &in);
	free(exact);
	c->violated |= r.violated;
	c->last = r.st;
	c->resynced += r.resynced;
	if (r.consumed)
		window_drop(d, r.consumed);
	d->waiting = r.st == PARSE_WAIT;
	if (r.skip) {
		d->skip_until = d->off + r.skip;
	}
	if (r.st == PARSE_STOP || r.st == PARSE_SWITCH) {
		c->over = true;
		c->next = r.next;
	}
	if (r.st == PARSE_UNPACK) {
		unpack_begin(c);
		return c->over || run(c, dir, false);
	}
	return progress(c, dir) != before;
}

/* Drives dir, then whichever direction waited for what that did. */
static void advance(struct convo *c, enum dir dir)
{
	bool moved = true;

	run(c, dir, false);
	while (moved && !c->over) {
		moved = false;
		for (int i = 0; i < 2 && !c->over; i++)
			if (c->dir[i].waiting)
				moved |= run(c, (enum dir)i, false);
	}
}

static void force(struct convo *c, enum dir dir)
{
	if (!c->over && c->dir[dir].waiting) {
		run(c, dir, true);
		if (!c->over)
			advance(c, dir_other(dir));
	}
}

/* Passes over n bytes below skip_until. Returns how many there were. */
static uint64_t skip(struct convo *c, enum dir dir, uint64_t n)
{
	struct convo_dir *d = &c->dir[dir];
	uint64_t k;

	if (d->off >= d->skip_until || d->buf.len > 0)
		return 0;
	k = MIN(n, d->skip_until - d->off);
	d->off += k;
	if (d->off == d->skip_until)
		advance(c, dir);
	return k;
}

static void play_bytes(struct convo *c, enum dir dir, struct slice s)
{
	while (s.n > 0 && !c->over) {
		uint64_t k = skip(c, dir, s.n);

		s = slice_from(s, (size_t)k);
		if (k == 0) {
			strbuf_add(&c->dir[dir].buf, s.p, s.n);
			advance(c, dir);
			break;
		}
	}
}

/* Tells of the bytes that are missing before what comes now. */
static void tell_gap(struct convo *c, enum dir dir)
{
	struct convo_dir *d = &c->dir[dir];
	uint64_t lost = d->missing;

	d->missing = 0;
	lost -= skip(c, dir, lost);
	if (lost == 0 || c->over)
		return;
	force(c, dir_other(dir));
	force(c, dir);
	lost -= skip(c, dir, lost); /* what waited may have wanted no more */
	if (lost == 0 || c->over)
		return;
	if (c->unpack)
		unpack_gap(c->unpack, c->ops, c->st, dir, d->off, d->buf.len + lost, &c->sink);
	else
		c->ops->gap(c->st, dir, d->off, d->buf.len + lost, &c->sink);
	d->off += d->buf.len + lost;
	d->buf.len = 0;
	d->waiting = false;
}

void convo_play(struct convo *c, const struct turn *t)
{
	if (c->over) {
		c->passed += t->kind == TURN_BYTES ? t->bytes.n : 0;
		return;
	}
	if (c->dir[t->dir].eof)
		return;
	if (t->kind == TURN_GAP) {
		c->dir[t->dir].missing += t->lost;
		return;
	}
	tell_gap(c, t->dir);
	if (c->over) {
		c->passed += t->bytes.n;
		return;
	}
	switch (t->kind) {
	case TURN_GAP:
		break;
	case TURN_BYTES:
		play_bytes(c, t->dir, t->bytes);
		break;
	case TURN_EOF:
		c->dir[t->dir].eof = true;
		advance(c, t->dir);
		break;
	}
}

void convo_finish(struct convo *c)
{
	for (int i = 0; i < 2; i++)
		convo_play(c, &(struct turn){ .kind = TURN_EOF, .dir = (enum dir)i });
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 2; i++)
			force(c, (enum dir)i);
	if (c->over)
		return; /* the parser is out of business, what it had open stays open */
	if (c->unpack)
		unpack_close(c->unpack, c->ops, c->st, &c->sink);
	else
		c->ops->close(c->st, &c->sink);
	c->log.broken |= c->log.open[MSG_REQUEST] || c->log.open[MSG_RESPONSE] ||
			 c->log.open[MSG_PUSH];
}

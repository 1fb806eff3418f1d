#include "agent/pair.h"

#include "agent/pipeline_int.h"

#include <string.h>

void pair_init(struct pair *pr)
{
	*pr = (struct pair){ 0 };
}

static void exchange_free(struct exchange *x)
{
	strbuf_done(&x->bytes);
	strbuf_done(&x->msg[MSG_REQUEST].headers);
	strbuf_done(&x->msg[MSG_RESPONSE].headers);
	free(x);
}

void pair_done(struct pair *pr)
{
	while (pr->free_list) {
		struct exchange *x = pr->free_list;

		pr->free_list = x->next;
		exchange_free(x);
	}
}

void pair_at(struct pair *pr, struct pipeline *p, struct conn *c, enum dir dir)
{
	pr->p = p;
	pr->c = c;
	pr->ops = pair_ops_of((enum proto_id)c->proto);
	pr->dir = dir;
	pr->at = NULL;
}

/* ---- exchanges ---- */

static struct exchange *exchange_new(struct pair *pr, uint64_t key)
{
	struct exchange *x = pr->free_list;

	if (x) {
		struct strbuf bytes = x->bytes, req = x->msg[0].headers, resp = x->msg[1].headers;

		pr->free_list = x->next;
		pr->least_free = MIN(pr->least_free, --pr->n_free);
		*x = (struct exchange){ .bytes = bytes };
		x->msg[0].headers = req;
		x->msg[1].headers = resp;
		strbuf_reset(&x->bytes);
		strbuf_reset(&x->msg[0].headers);
		strbuf_reset(&x->msg[1].headers);
	} else {
		x = calloc(1, sizeof(*x));
		if (!x)
			return NULL;
		strbuf_init(&x->bytes, EXCHANGE_TEXT_MAX);
		strbuf_init(&x->msg[0].headers, 8192);
		strbuf_init(&x->msg[1].headers, 8192);
	}
	x->key = key;
	for (size_t i = 0; i < ARRAY_SIZE(x->num); i++)
		x->num[i] = -1;
	x->msg[0].body_bytes = x->msg[1].body_bytes = -1;
	return x;
}

static size_t memory_of(const struct exchange *x)
{
	return sizeof(*x) + x->bytes.cap + x->msg[MSG_REQUEST].headers.cap +
	       x->msg[MSG_RESPONSE].headers.cap;
}

static void exchange_put_back(struct pair *pr, struct exchange *x)
{
	if (pr->at == x)
		pr->at = NULL;
	if (pr->n_free >= EXCHANGE_KEEP || memory_of(x) > EXCHANGE_KEEP_BYTES) {
		exchange_free(x);
		return;
	}
	x->next = pr->free_list;
	pr->free_list = x;
	pr->n_free++;
}

void pair_rest(struct pair *pr)
{
	size_t spare = pr->least_free - MIN(pr->least_free, (size_t)EXCHANGE_REST);

	for (size_t i = 0; i < (spare + 1) / 2; i++) {
		struct exchange *x = pr->free_list;

		pr->free_list = x->next;
		pr->n_free--;
		exchange_free(x);
	}
	pr->least_free = pr->n_free;
}

void exchange_keep(struct exchange *x, unsigned int t, struct slice v, size_t max)
{
	struct text_ref *r = &x->text[t];
	size_t room;

	if (r->n && r->off + r->n != x->bytes.len) {
		/* Something else was kept since: move this text to the end, where it can grow. */
		struct slice old = exchange_text(x, t);
		uint32_t off = (uint32_t)x->bytes.len;

		if (!strbuf_reserve(&x->bytes, old.n)) {
			x->truncated = true;
			x->bytes.failed = false;
			return;
		}
		strbuf_add(&x->bytes, x->bytes.p + r->off, r->n);
		r->off = off;
	}
	room = MIN(max - MIN(max, (size_t)r->n), EXCHANGE_TEXT_MAX - x->bytes.len);
	if (v.n > room)
		x->truncated = true;
	v = slice_head(v, room);
	if (!r->n)
		r->off = (uint32_t)x->bytes.len;
	strbuf_add(&x->bytes, v.p, v.n);
	if (x->bytes.failed) {
		x->truncated = true;
		x->bytes.failed = false;
		return;
	}
	r->n += (uint32_t)v.n;
}

#define KEY_ODD (KEY_ORPHAN | KEY_PUSH) /* of what no request began */

/* Exchanges stand in the order of their requests. Answers come in about that order, or belong to the
 * newest one where a client gave up on the others; the keys of requests ascend, a new one is not looked
 * for. */
static struct exchange *exchange_find(struct pair *pr, uint64_t key)
{
	const struct conn *c = pr->c;

	if (pr->at && pr->at->key == key)
		return pr->at;
	if (key & KEY_ODD ? c->n_odd == 0 : key >= c->keys_to)
		return NULL;
	for (struct exchange *a = c->open_head, *b = c->open_tail; a; a = a->next, b = b->prev) {
		if (a->key == key)
			return pr->at = a;
		if (b->key == key)
			return pr->at = b;
		if (a == b || a->next == b)
			break;
	}
	return NULL;
}

static void exchange_link(struct conn *c, struct exchange *x)
{
	x->prev = c->open_tail;
	if (c->open_tail)
		c->open_tail->next = x;
	else
		c->open_head = x;
	c->open_tail = x;
	c->n_open++;
	c->n_odd += (x->key & KEY_ODD) != 0;
}

static void exchange_unlink(struct conn *c, struct exchange *x)
{
	if (x->prev)
		x->prev->next = x->next;
	else
		c->open_head = x->next;
	if (x->next)
		x->next->prev = x->prev;
	else
		c->open_tail = x->prev;
	c->n_odd -= (x->key & KEY_ODD) != 0;
	c->n_open--;
	c->open_memory -= x->memory;
}

/* ---- rows ---- */

/* How the exchange ended with its connection, in the words of column `outcome`. An answer that may
 * stand in bytes that were missed is nobody's fault. */
static const char *outcome_of_end(const struct pair *pr, const struct conn *c,
				  const struct exchange *x)
{
	const struct stream *answers = &c->dir[dir_other(c->request_dir)];
	bool server_first;

	if (pr->outcome)
		return pr->outcome;
	if (answers->gap_ns && answers->gap_ns >= x->msg[MSG_REQUEST].first_ns)
		return "lost";
	if (c->err || c->aborted)
		return "reset";
	if (!c->eof_first)
		return "closed_by_client";
	/* The direction that ended first was ended by the one who sends in it. */
	server_first = (c->eof_first - 1 == DIR_TX) == join_owner_is_server(c);
	return server_first ? "closed_by_server" : "closed_by_client";
}

/* From when the exchange is counted: its request's first byte. Of one that follows another, when the
 * last answer before its own ended; servers send answers of a query together, so what one call carried
 * is counted from the same moment: each took at most that long. */
static uint64_t counted_from(struct conn *c, const struct exchange *x)
{
	const struct message *req = &x->msg[MSG_REQUEST], *resp = &x->msg[MSG_RESPONSE];
	uint64_t from = 0;

	if (req->flags & MSG_FOLLOWS)
		from = resp->last_ns > c->answered_ns ? c->answered_ns : c->answer_from_ns;
	from = MAX(from, req->first_ns);
	if (resp->done) {
		c->answered_ns = resp->last_ns;
		c->answer_from_ns = from;
	}
	return from;
}

static void put_times(struct pipeline *p, struct conn *c, struct row_builder *b,
		      const struct exchange *x, uint64_t end_ns)
{
	const struct message *req = &x->msg[MSG_REQUEST], *resp = &x->msg[MSG_RESPONSE];
	uint64_t from;

	row_int(b, COL_END_TIME, (int64_t)join_unix_ns(p, end_ns));
	if (x->kind == EXCHANGE_PUSH) {
		row_int(b, COL_TIME, (int64_t)join_unix_ns(p, resp->first_ns));
		return;
	}
	row_int(b, COL_TIME, (int64_t)join_unix_ns(p, req->first_ns));
	from = counted_from(c, x);
	if (resp->done)
		row_int(b, COL_LATENCY_NS, (int64_t)(resp->last_ns - MIN(from, resp->last_ns)));
	if (resp->begun)
		row_int(b, COL_TTFB_NS, (int64_t)(resp->first_ns - MIN(from, resp->first_ns)));
	if (req->done)
		row_int(b, COL_REQUEST_NS,
			(int64_t)(req->last_ns - MIN(req->first_ns, req->last_ns)));
}

/* Bytes were lost in which the message ended. */
static bool end_unknown(const struct message *m)
{
	return (m->flags & (MSG_LOST | MSG_DEGRADED)) == (MSG_LOST | MSG_DEGRADED);
}

static void put_sizes(struct row_builder *b, const struct exchange *x)
{
	const struct message *req = &x->msg[MSG_REQUEST], *resp = &x->msg[MSG_RESPONSE];

	if (req->done && !end_unknown(req))
		row_int(b, COL_REQUEST_BYTES, (int64_t)(req->end - req->off));
	if (resp->done && !end_unknown(resp))
		row_int(b, COL_RESPONSE_BYTES, (int64_t)(resp->end - resp->off));
	if (req->body_bytes >= 0 && !end_unknown(req))
		row_int(b, COL_REQUEST_BODY_BYTES, req->body_bytes);
	if (resp->body_bytes >= 0 && !end_unknown(resp))
		row_int(b, COL_RESPONSE_BODY_BYTES, resp->body_bytes);
}

/* Whether the lack of an answer is the server's doing: it closed, or it sent the reset. */
static bool server_gave_up(const struct conn *c, const char *outcome)
{
	bool owner_is_server = join_owner_is_server(c);

	if (strcmp(outcome, "reset") == 0)
		return owner_is_server ? c->aborted : c->err != 0;
	return strcmp(outcome, "closed_by_server") == 0;
}

static const char *const kinds[] = {
	[EXCHANGE_REQUEST] = "request",
	[EXCHANGE_ONEWAY] = "oneway",
	[EXCHANGE_PUSH] = "push",
};

static bool all_there(const struct exchange *x)
{
	return (x->kind == EXCHANGE_PUSH || x->msg[MSG_REQUEST].done) &&
	       (x->kind == EXCHANGE_ONEWAY || x->msg[MSG_RESPONSE].done ||
		x->msg[MSG_RESPONSE].flags & MSG_UNANSWERED);
}

static uint64_t time_of_end(const struct pipeline *p, const struct exchange *x)
{
	if (x->msg[MSG_RESPONSE].done)
		return x->msg[MSG_RESPONSE].last_ns;
	return x->kind == EXCHANGE_ONEWAY ? x->msg[MSG_REQUEST].last_ns : p->now_ns;
}

/* Whether the other end is on this node and has the same exchange as its server. An answer proves that the
 * request has come there; one that none is expected to is on its way, while there is still something to
 * come. */
static bool server_reads(struct pipeline *p, const struct conn *c, const struct exchange *x)
{
	bool due = x->kind == EXCHANGE_ONEWAY && !p->pair.outcome;

	return c->datagram ? dgram_server_saw(p, x)
			   : conn_peer_reads(c, x->msg[MSG_REQUEST].off, due);
}

/* Whether the row stands for the exchange: a server's does, unless its client's has been made to before
 * this end was known to read it. After join_ends(). */
static bool is_primary(struct pipeline *p, struct conn *c, const struct exchange *x, bool server)
{
	uint64_t off = x->msg[MSG_REQUEST].off;
	bool alone = c->datagram || x->kind == EXCHANGE_PUSH; /* off is no position of a request */

	if (p->opts.wire)
		return true;
	if (server)
		return alone || !conn_peer_claims(c, off);
	if (c->server_covered || server_reads(p, c, x))
		return false;
	if (!alone)
		c->primary_to = MAX(c->primary_to, off + 1);
	return true;
}

/* With conn_id it is the identity of the exchange at both ends: of a datagram, how many of the same
 * bytes came before. */
static int64_t offset_of(const struct conn *c, const struct exchange *x)
{
	if (c->datagram)
		return x->twin_nth ? (int64_t)x->twin_nth - 1 : 0;
	return (int64_t)x->msg[MSG_REQUEST].off;
}

/* outcome NULL: its messages ended as they should. */
static void emit(struct pipeline *p, struct conn *c, struct exchange *x, const char *outcome)
{
	const struct message *req = &x->msg[MSG_REQUEST], *resp = &x->msg[MSG_RESPONSE];
	const struct pair_ops *ops = pair_ops_of((enum proto_id)c->proto);
	struct row_builder *b = &p->join.row;
	uint64_t end_ns = time_of_end(p, x);
	uint32_t flags;
	bool server = join_owner_is_server(c), push = x->kind == EXCHANGE_PUSH;

	c->n_rows++;
	c->rows_to = MAX(c->rows_to, push ? 0 : req->off + 1);
	row_begin(b, ops->table);
	put_times(p, c, b, x, end_ns);
	put_sizes(b, x);
	join_literal(p, b, COL_PROTOCOL, proto_name((enum proto_id)c->proto));
	join_literal(p, b, COL_KIND, kinds[x->kind]);
	join_literal(p, b, COL_ROLE, p->opts.wire ? "wire" : server ? "server" : "client");
	row_int(b, COL_ENCRYPTED, 0);
	if (!push)
		row_int(b, COL_REQUEST_OFFSET, offset_of(c, x));
	join_literal(p, b, COL_OUTCOME, outcome ? outcome : "ok");
	if (c->datagram)
		dgram_ends(p, c, x);
	join_ends(p, c, b, push ? resp->first_ns : req->first_ns);
	row_int(b, COL_IS_PRIMARY, is_primary(p, c, x, server));
	ops->columns(p, c, x, b);
	flags = req->flags | resp->flags; /* what is unknown may show only now */
	if (outcome && server_gave_up(c, outcome)) {
		row_int(b, COL_FAILED, 1);
		row_int(b, COL_CLIENT_ERROR, 0);
	}
	row_int(b, COL_COMPLETE, all_there(x) && !(flags & (MSG_LOST | MSG_CUT_EOF)));
	row_int(b, COL_TRUNCATED, x->truncated || b->truncated || (flags & MSG_TRUNCATED));
	row_int(b, COL_DEGRADED, x->degraded || (flags & (MSG_DEGRADED | MSG_LOST)));
	count(p, push ? L6_PUSH_OUT : L6_OUT, 1);
	join_emit(p, b, join_unix_ns(p, end_ns), PIPE_ROW);
}

/* Takes the exchange off its connection without a row. */
static void drop(struct pair *pr, struct exchange *x, enum ledger_id why)
{
	exchange_unlink(pr->c, x);
	pr->memory -= x->memory;
	x->memory = 0;
	pr->n_open--;
	count(pr->p, why, 1);
	if (x->msg[MSG_RESPONSE].begun) {
		pr->n_open_answers--;
		count(pr->p, L6_RESP_OUT, 1);
	}
	exchange_put_back(pr, x);
}

static void finish_push(struct pipeline *p, struct conn *c, struct exchange *x, const char *outcome)
{
	p->pair.n_open_pushes--;
	emit(p, c, x, outcome);
	exchange_put_back(&p->pair, x);
}

/* The first answer on a connection that is older than the agent is to a request that is, too. */
static enum ledger_id fate_of_answer(const struct conn *c, const struct exchange *x)
{
	if (x->msg[MSG_REQUEST].begun)
		return L6_RESP_OUT;
	return c->old && !c->n_rows ? L6_RESP_OLD : L6_RESP_ONLY;
}

/* Takes the exchange off its connection, as a row when it has a request. */
static void finish(struct pipeline *p, struct conn *c, struct exchange *x, const char *outcome)
{
	struct pair *pr = &p->pair;

	exchange_unlink(c, x);
	pr->memory -= x->memory;
	x->memory = 0;
	if (x->kind == EXCHANGE_PUSH) {
		finish_push(p, c, x, outcome);
		return;
	}
	if (x->msg[MSG_REQUEST].begun) {
		pr->n_open--;
		if (!leaks(p, 6))
			emit(p, c, x, outcome);
	}
	if (x->msg[MSG_RESPONSE].begun) {
		/* An answer to nobody may have been the answer to what is still open. */
		if (!x->msg[MSG_REQUEST].begun)
			c->dir[dir_other(c->request_dir)].gap_ns = p->now_ns;
		pr->n_open_answers--;
		count(p, fate_of_answer(c, x), 1);
	}
	exchange_put_back(pr, x);
}

/* A request without an answer ends at the client before its server can have read it. The first one of a
 * connection is told later, when it is known whether somebody on this node has. */
static bool is_early(struct pipeline *p, const struct conn *c, const struct exchange *x)
{
	return c->n_rows == 0 && c->open_head == x && c->hash && !c->datagram && !p->opts.wire &&
	       !join_owner_is_server(c) && !server_reads(p, c, x);
}

void pair_settle(struct pipeline *p, struct conn *c)
{
	if (c->open_head && c->open_head->waits)
		finish(p, c, c->open_head, NULL);
}

/* ---- the sink ---- */

/* Takes note of what the exchange has allocated since it was last asked about. */
static void note_memory(struct pair *pr, struct exchange *x)
{
	size_t now = memory_of(x);

	if (likely(now == x->memory))
		return;
	pr->memory += now - x->memory;
	pr->c->open_memory += now - x->memory;
	x->memory = now;
}

/* Whether x may keep another text: whoever has too much open pays with his own oldest exchanges. */
static bool has_room(struct pair *pr, struct exchange *x)
{
	struct conn *c = pr->c;

	while (c->open_memory > OPEN_BYTES_MAX || pr->memory > PAIR_BYTES_MAX) {
		if (c->open_head == x)
			return false;
		finish(pr->p, c, c->open_head, "evicted");
	}
	return true;
}

/* Where the fields of a message go. */
static enum msg_kind side(enum msg_kind kind)
{
	return kind == MSG_PUSH ? MSG_RESPONSE : kind;
}

/* NULL without memory. */
static struct exchange *exchange_open(struct pair *pr, enum msg_kind kind, uint64_t key)
{
	struct conn *c = pr->c;
	struct exchange *x;

	pair_settle(pr->p, c);
	if (c->n_open >= OPEN_MAX)
		finish(pr->p, c, c->open_head, "evicted");
	x = exchange_new(pr, key);
	if (!x)
		return NULL;
	x->kind = kind == MSG_PUSH ? EXCHANGE_PUSH : EXCHANGE_REQUEST;
	exchange_link(c, x);
	if (!(key & KEY_ODD))
		c->keys_to = MAX(c->keys_to, key + 1);
	pr->at = x;
	note_memory(pr, x);
	return x;
}

static void count_begin(struct pair *pr, enum msg_kind kind)
{
	static const enum ledger_id ids[] = { L6_IN, L6_RESP_IN, L6_PUSH_IN };
	uint64_t *const open[] = { &pr->n_open, &pr->n_open_answers, &pr->n_open_pushes };

	count(pr->p, ids[kind], 1);
	(*open[kind])++;
}

static void on_begin(void *ctx, enum msg_kind kind, enum dir dir, uint64_t key, uint64_t off)
{
	struct pair *pr = ctx;
	struct exchange *x = exchange_find(pr, key);
	struct message *m;

	if (!x)
		x = exchange_open(pr, kind, key);
	if (!x)
		return; /* no memory: neither begun nor counted */
	m = &x->msg[side(kind)];
	if (!m->begun)
		count_begin(pr, kind);
	m->begun = true;
	m->off = off;
	m->first_ns = stream_time(&pr->c->dir[dir], off);
	if (pr->c->datagram && kind == MSG_REQUEST)
		dgram_begun(pr->p, x);
}

/* ---- the session ---- */

static void session_set(char *text, uint8_t *n, struct slice v)
{
	v = slice_head(v, SESSION_TEXT_MAX);
	memcpy(text, v.p, v.n);
	*n = (uint8_t)v.n;
}

static struct session *session_of(struct conn *c)
{
	if (!c->session)
		c->session = calloc(1, sizeof(*c->session));
	return c->session;
}

static void session_field(struct conn *c, enum field_id f, struct slice v)
{
	struct session *s = session_of(c);

	if (!s)
		return;
	if (f == FIELD_USER) {
		session_set(s->user, &s->user_n, v);
		s->has_user = true;
	} else if (f == FIELD_DATABASE) {
		session_set(s->database, &s->database_n, v);
	}
}

static void session_num(struct conn *c, enum field_id f, int64_t v)
{
	struct session *s = f == FIELD_BACKSLASH ? session_of(c) : NULL;

	if (!s)
		return;
	s->has_backslash = true;
	s->backslash = v != 0;
}

static void name_set(struct pair *pr, struct slice name)
{
	pr->header_name_len = MIN(name.n, sizeof(pr->header_name));
	memcpy(pr->header_name, name.p, pr->header_name_len);
}

static void on_field(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, struct slice v)
{
	struct pair *pr = ctx;
	struct exchange *x;

	if (f == FIELD_HEADER_NAME) {
		name_set(pr, v);
		return;
	}
	if (kind == MSG_CONN) {
		session_field(pr->c, f, v);
		return;
	}
	x = exchange_find(pr, key);
	if (!x)
		return;
	if (!has_room(pr, x)) {
		x->truncated = true;
		return;
	}
	pr->ops->field(pr->p, x, side(kind), f, v);
	note_memory(pr, x);
}

static int on_known(void *ctx, enum msg_kind kind, uint64_t key, struct slice line,
		    struct slice *ret_value)
{
	struct pair *pr = ctx;
	struct exchange *x = exchange_find(pr, key);
	const struct memo_line *l;

	if (!x || !pr->ops->known || !has_room(pr, x))
		return -1;
	l = pr->ops->known(pr->p, x, kind, line);
	if (!l)
		return -1;
	name_set(pr, slice_head(line, l->name_n));
	*ret_value = slice_of(line.p + l->value_at, l->value_n);
	note_memory(pr, x);
	return l->note;
}

static void on_learn(void *ctx, enum msg_kind kind, uint64_t key, const struct header_line *h)
{
	struct pair *pr = ctx;
	struct exchange *x = exchange_find(pr, key);

	if (x && pr->ops->learn)
		pr->ops->learn(pr->p, x, kind, h);
}

static void on_num(void *ctx, enum msg_kind kind, uint64_t key, enum field_id f, int64_t v)
{
	struct pair *pr = ctx;
	struct exchange *x;

	if (kind == MSG_CONN) {
		session_num(pr->c, f, v);
		return;
	}
	x = exchange_find(pr, key);
	if (!x)
		return;
	if (f == FIELD_BODY_BYTES)
		x->msg[side(kind)].body_bytes = v;
	else
		pr->ops->num(pr->p, x, side(kind), f, v);
}

/* How the exchange ended with its last message; NULL: well. */
static const char *outcome_of_message(const struct pair *pr, const struct conn *c,
				      const struct exchange *x, uint32_t flags)
{
	if (flags & MSG_UNANSWERED && flags & MSG_LOST)
		return "lost";
	return flags & MSG_CUT_EOF ? outcome_of_end(pr, c, x) : NULL;
}

static void on_end(void *ctx, enum msg_kind kind, uint64_t key, uint64_t off, uint32_t flags)
{
	struct pair *pr = ctx;
	struct conn *c = pr->c;
	struct exchange *x = exchange_find(pr, key);
	struct message *m;

	if (!x)
		return;
	m = &x->msg[side(kind)];
	m->done = !(flags & (MSG_CUT_EOF | MSG_UNANSWERED));
	m->flags |= flags;
	m->end = off;
	m->last_ns = stream_time(
		&c->dir[kind == MSG_REQUEST ? c->request_dir : dir_other(c->request_dir)],
		off ? off - 1 : 0);
	if (flags & MSG_DROP) {
		drop(pr, x, L6_DROPPED);
		return;
	}
	if (flags & MSG_ONEWAY)
		x->kind = EXCHANGE_ONEWAY;
	if (flags & MSG_UNPAIRED)
		finish(pr->p, c, x, "lost");
	else if (flags & MSG_ONEWAY && is_early(pr->p, c, x))
		x->waits = true;
	else if (kind != MSG_REQUEST || flags & MSG_ONEWAY)
		finish(pr->p, c, x, outcome_of_message(pr, c, x, flags));
}

const struct sink_ops pair_sink = {
	.begin = on_begin,
	.field = on_field,
	.num = on_num,
	.end = on_end,
	.known = on_known,
	.learn = on_learn,
};

void pair_close(struct pipeline *p, struct conn *c)
{
	pair_settle(p, c);
	while (c->open_head)
		finish(p, c, c->open_head, outcome_of_end(&p->pair, c, c->open_head));
	stmts_clear(p, c);
	free(c->session);
	c->session = NULL;
	c->keys_to = 0;
}

void pair_expire(struct pipeline *p, struct conn *c, uint64_t before_ns)
{
	while (c->open_head &&
	       (c->datagram ? c->open_head->msg[MSG_REQUEST].first_ns : c->last_ns) < before_ns)
		finish(p, c, c->open_head, "timed_out");
}

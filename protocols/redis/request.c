/* What a client sends: arrays of bulk strings, or words on a line. Of a request, the name, the key and
 * the option words are read; everything else is passed over by its length.
 */
#include "protocols/redis/redis_int.h"
#include "protocols/redis/head.h"
#include "base/util.h"

#define INLINE_MAX 1024 /* bytes of an inline command that are looked at */

_Static_assert(INLINE_MAX <= REDIS_NEED_MAX, "INLINE_MAX");

static void emit_text(struct walk *w, enum field_id f, struct slice v)
{
	sink_field(w->out, MSG_REQUEST, w->r->request.key, f, v);
}

/* ---- arguments ---- */

static void show(struct walk *w, struct slice text)
{
	struct request *q = &w->r->request;

	if (q->shown == REDIS_ARGS_SHOWN) {
		q->left_out++;
		return;
	}
	q->shown++;
	emit_text(w, FIELD_ARG, text);
}

/* before, v, behind: into out, 24 bytes. */
static struct slice number_text(char *out, char before, uint64_t v, char behind)
{
	size_t at = 24;

	if (behind)
		out[--at] = behind;
	do {
		out[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	out[--at] = before;
	return slice_of(out + at, 24 - at);
}

static void show_length(struct walk *w, uint64_t len)
{
	struct request *q = &w->r->request;
	char text[24];

	if (q->command && (q->command->flags & COMMAND_SECRET))
		return;
	if (q->shown == REDIS_ARGS_SHOWN)
		q->left_out++;
	else
		show(w, number_text(text, '<', len, '>'));
}

static bool may_be_option(const struct request *q)
{
	const struct command *c = q->command;

	return c && c->options && q->arg >= c->options && !q->options_over;
}

/* How many bytes of the next argument have to be there. */
static uint64_t wanted(const struct redis *r, uint64_t len)
{
	const struct request *q = &r->request;
	const struct command *c = q->command;

	if (q->key_arg && q->arg == q->key_arg)
		return MIN(len, (uint64_t)REDIS_KEY_MAX);
	if (q->user_arg && q->arg == q->user_arg)
		return len <= REDIS_USER_MAX ? len : 0;
	if (c && (c->flags & COMMAND_NUMKEYS) && q->arg == c->key)
		return len <= COUNT_DIGITS ? len : 0;
	if (may_be_option(q) || q->class == CLASS_HELLO)
		return len <= OPTION_MAX ? len : 0;
	return 0;
}

static void use_key(struct walk *w, struct slice v, uint64_t len)
{
	if (len > REDIS_KEY_MAX)
		w->r->request.flags |= MSG_TRUNCATED;
	emit_text(w, FIELD_KEY, slice_head(v, REDIS_KEY_MAX));
}

static void use_user(struct redis *r, struct slice v, uint64_t len)
{
	if (r->request.flags & (MSG_ONEWAY | MSG_UNPAIRED))
		return;
	r->user_pending = true;
	r->user_n = len <= REDIS_USER_MAX ? (uint8_t)v.n : 0;
	memcpy(r->user, v.p, r->user_n);
}

/* HELLO version [AUTH user password] [SETNAME name], or the latter two the other way round */
static void use_hello(struct request *q, struct slice v)
{
	if (q->arg == 2)
		q->options_over = slice_eq_nocase(v, SLICE_LIT("SETNAME"));
	if ((q->arg == 2 || (q->arg == 4 && q->options_over)) &&
	    slice_eq_nocase(v, SLICE_LIT("AUTH")))
		q->user_arg = q->arg + 1;
}

static bool use_option(struct walk *w, struct slice v)
{
	struct request *q = &w->r->request;
	struct slice word = may_be_option(q) ? option_find(v) : slice_of(v.p, 0);

	if (word.n == 0) {
		q->options_over |= q->command && (q->command->flags & COMMAND_LEADING);
		return false;
	}
	if ((q->command->flags & COMMAND_STREAMS) && slice_eq_str(word, "STREAMS")) {
		q->key_arg = q->arg + 1;
		q->options_over = true;
	}
	show(w, word);
	return true;
}

/* v: the argument's first wanted() bytes. */
static void use_arg(struct walk *w, struct slice v, uint64_t len)
{
	struct request *q = &w->r->request;
	const struct command *c = q->command;
	uint32_t keys;

	if (q->key_arg && q->arg == q->key_arg) {
		use_key(w, v, len);
	} else {
		if (q->user_arg && q->arg == q->user_arg)
			use_user(w->r, v, len);
		else if (q->class == CLASS_HELLO)
			use_hello(q, v);
		else if (c && (c->flags & COMMAND_NUMKEYS) && q->arg == c->key)
			q->key_arg = resp_count(v, &keys) && keys > 0 ? q->arg + 1 : 0;
		if (!use_option(w, v))
			show_length(w, len);
	}
	q->arg++;
	q->args_left--;
}

/* ---- begin and end ---- */

/* Whether the request gets no answer. */
static bool is_oneway(struct redis *r, const struct head *h)
{
	if (h->reply == REPLY_ON || h->reply == REPLY_OFF)
		r->replies_off = h->reply == REPLY_OFF;
	if (h->reply == REPLY_SKIP && !r->replies_off)
		r->skip_replies = 2;
	if (r->skip_replies > 0) {
		r->skip_replies--;
		return true;
	}
	return r->replies_off;
}

static void tell_database(struct walk *w)
{
	if (!w->r->database_told && !w->r->mid)
		sink_field(w->out, MSG_CONN, 0, FIELD_DATABASE, SLICE_LIT("0"));
	w->r->database_told = true;
}

/* A request that begins at stream position off. */
static enum step begin(struct walk *w, uint64_t off, const struct head *h)
{
	struct redis *r = w->r;
	struct request *q = &r->request;
	enum command_class class = h->class == CLASS_REPLY || h->class == CLASS_REPLCONF
					   ? CLASS_PLAIN
					   : h->class;

	r->held_class = (uint8_t) class;
	r->request_held = redis_must_wait(r, class) && !w->in->force;
	if (r->request_held)
		return STEP_WAIT;
	if (redis_must_wait(r, class))
		redis_lose(r);
	*q = (struct request){ .command = h->command,
			       .class = (uint8_t) class,
			       .args_left = h->words - h->used,
			       .arg = h->used,
			       .seen = q->seen };
	if (is_oneway(r, h)) {
		class = CLASS_HOLE;
		q->flags |= MSG_ONEWAY;
	} else if (r->order.lost) {
		q->flags |= MSG_UNPAIRED | MSG_DEGRADED;
	}
	tell_database(w);
	q->key = order_request(&r->order, class, h->arg);
	q->open = true;
	r->request_lost = false;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, q->key, off);
	if (h->name_n)
		emit_text(w, FIELD_METHOD, slice_of(h->name, h->name_n));
	if (!h->command)
		return STEP_GO;
	if (!(h->command->flags & (COMMAND_NUMKEYS | COMMAND_STREAMS)))
		q->key_arg = h->command->key;
	if (h->command->flags & COMMAND_SECRET && q->args_left > 0)
		show(w, SLICE_LIT("<REDACTED>"));
	if (class == CLASS_AUTH && q->args_left == 2)
		q->user_arg = 1;
	else if (class == CLASS_AUTH)
		use_user(r, SLICE_LIT("default"), 7);
	return STEP_GO;
}

void redis_request_end(struct redis *r, struct sink *out, uint64_t off, uint32_t flags)
{
	struct request *q = &r->request;
	char text[24];

	if (q->open) {
		if (q->left_out)
			sink_field(out, MSG_REQUEST, q->key, FIELD_ARG,
				   number_text(text, '+', q->left_out, 0));
		order_request_end(&r->order);
		sink_end(out, MSG_REQUEST, q->key, off, q->flags | flags);
	}
	*q = (struct request){ .seen = q->seen };
}

static enum step end_here(struct walk *w)
{
	redis_request_end(w->r, w->out, position(w), 0);
	return STEP_ENDED;
}

/* ---- steps ---- */

static enum step leave(struct walk *w)
{
	w->why = "redis replication";
	w->r->over = true;
	return STEP_STOP;
}

static enum step step_array(struct walk *w)
{
	struct slice s = rest(w), from;
	struct head h = { 0 };
	int64_t words = 0;
	size_t n = 0;
	enum step step = step_of(resp_number(s, &words, &n));

	if (step != STEP_GO)
		return step;
	if (words == RESP_STREAMED || words > REDIS_COUNT_MAX)
		return STEP_LOST;
	if (words <= 0) { /* nothing is asked, and nothing answered */
		w->at += n;
		return STEP_GO;
	}
	from = slice_from(s, n);
	h.words = (uint32_t)words;
	step = step_of(head_read(&h, &from, &array_words));
	if (step != STEP_GO)
		return step;
	if (h.class == CLASS_REPLICA)
		return leave(w);
	step = begin(w, position(w), &h);
	if (step == STEP_GO)
		w->at += s.n - from.n;
	return step;
}

/* The words of an inline command behind its name. */
static void inline_args(struct walk *w, struct slice line)
{
	struct request *q = &w->r->request;
	struct slice word;

	while (q->args_left > 0) {
		(void)line_words.next(&line, SIZE_MAX, &word);
		use_arg(w, slice_head(word, (size_t)wanted(w->r, word.n)), word.n);
	}
}

static enum step step_inline(struct walk *w)
{
	struct slice s = rest(w), line = slice_head(s, INLINE_MAX);
	size_t nl = slice_find(line, '\n');
	bool cut = nl == line.n;
	struct head h = { 0 };
	uint64_t off = position(w);
	enum step step;

	if (cut && s.n < INLINE_MAX)
		return STEP_MORE;
	line = slice_head(line, nl);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	h.words = count_words(line);
	if (h.words == 0) {
		w->at += nl + 1;
		return STEP_GO;
	}
	(void)head_read(&h, &line, &line_words);
	if (h.class == CLASS_REPLICA)
		return leave(w);
	step = begin(w, off, &h);
	if (step != STEP_GO)
		return step;
	inline_args(w, line);
	w->at += nl + !cut;
	if (!cut)
		return end_here(w);
	w->r->request.flags |= MSG_TRUNCATED;
	w->r->request.in_line = true;
	return STEP_GO;
}

static enum step step_line_rest(struct walk *w)
{
	struct slice s = rest(w);
	size_t nl = slice_find(s, '\n');

	w->at += MIN(nl + 1, s.n);
	return nl == s.n ? STEP_MORE : end_here(w);
}

enum resp_got redis_request_look(struct slice s)
{
	struct head h = { 0 };
	int64_t words = 0;
	size_t n = 0;
	enum resp_got got = RESP_MORE;

	if (s.n > 0)
		got = s.p[0] == '*' ? resp_number(s, &words, &n) : RESP_BAD;
	if (got != RESP_OK)
		return got;
	if (words <= 0 || words > REDIS_COUNT_MAX)
		return RESP_BAD;
	s = slice_from(s, n);
	h.words = (uint32_t)words;
	got = head_read(&h, &s, &array_words);
	return got == RESP_OK && !h.command ? RESP_BAD : got;
}

static enum step step_start(struct walk *w)
{
	struct slice s = rest(w);
	uint8_t c;

	if (s.n == 0)
		return STEP_MORE;
	if (w->r->request_lost) {
		enum step step = position(w) == w->r->line[w->in->dir]
					 ? step_of(redis_request_look(s))
					 : STEP_LOST;

		return step == STEP_GO ? step_array(w) : step;
	}
	c = s.p[0];
	if (c == '*')
		return step_array(w);
	if (c == '\r' || c == '\n') {
		w->at++;
		return STEP_GO;
	}
	c |= 0x20;
	return c >= 'a' && c <= 'z' ? step_inline(w) : STEP_LOST;
}

static enum step step_arg(struct walk *w)
{
	struct request *q = &w->r->request;
	struct slice s = rest(w);
	int64_t len = 0;
	size_t n = 0;
	uint64_t want;
	enum step step;

	if (q->args_left == 0)
		return end_here(w);
	if (s.n == 0)
		return STEP_MORE;
	step = s.p[0] == '$' ? step_of(resp_number(s, &len, &n)) : STEP_LOST;
	if (step != STEP_GO)
		return step;
	if (len < 0 || len > REDIS_LENGTH_MAX)
		return STEP_LOST;
	want = wanted(w->r, (uint64_t)len);
	if (s.n - n < want)
		return STEP_MORE;
	use_arg(w, slice_of(s.p + n, (size_t)want), (uint64_t)len);
	w->at += n;
	return value_pass(w, (uint64_t)len, &q->value_end);
}

enum step redis_request_step(struct walk *w)
{
	const struct request *q = &w->r->request;

	if (q->in_line)
		return step_line_rest(w);
	return q->open ? step_arg(w) : step_start(w);
}

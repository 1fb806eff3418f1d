/* Hop 6 for HTTP: which header becomes which column, what of it may be kept, and the columns of a
 * finished exchange. Everything is redacted here, before it can leave the parser process.
 */
#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "protocols/secrets.h"
#include "base/text.h"

#include <string.h>

#define TARGET_MAX 8192
#define BODY_BUF   32768 /* the same for bodies; what is stored of one is at most half of it */

/* Kinds of memo entries: what becomes of a text in a column has the column's number. */
#define MEMO_LINE _COL_MAX	  /* + enum msg_kind: a header line, as JSON */
#define MEMO_NAME (MEMO_LINE + 2) /* + enum msg_kind: a header's name, as JSON */

/* What is kept of an exchange. */
enum http_text {
	TEXT_METHOD,
	TEXT_TARGET,
	TEXT_HOST,
	TEXT_USER_AGENT,
	TEXT_CONTENT_TYPE,
	TEXT_REQUEST_BODY,
	TEXT_RESPONSE_BODY,
	_HTTP_TEXT_MAX,
};
enum http_num { NUM_STATUS, NUM_VERSION, _HTTP_NUM_MAX };

_Static_assert(_HTTP_TEXT_MAX <= EXCHANGE_TEXTS, "texts");
_Static_assert(_HTTP_NUM_MAX <= EXCHANGE_NUMS, "numbers");

/* What a header is good for beyond being shown. */
enum header_use { USE_NONE, USE_TRACE, USE_TEXT /* + enum http_text */ };

/* Headers that columns are made from. */
static const struct {
	struct slice name;
	uint8_t kind; /* enum msg_kind */
	uint8_t text; /* enum http_text */
} wanted[] = {
	{ { (const uint8_t *)"host", 4 }, MSG_REQUEST, TEXT_HOST },
	{ { (const uint8_t *)"user-agent", 10 }, MSG_REQUEST, TEXT_USER_AGENT },
	{ { (const uint8_t *)"content-type", 12 }, MSG_RESPONSE, TEXT_CONTENT_TYPE },
};

static const uint16_t wanted_max[_HTTP_TEXT_MAX] = {
	[TEXT_HOST] = 256,
	[TEXT_USER_AGENT] = 256,
	[TEXT_CONTENT_TYPE] = 128,
};

static uint8_t header_use(enum msg_kind kind, struct slice name)
{
	struct trace_context probe = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (wanted[i].kind == kind && slice_eq_nocase(name, wanted[i].name))
			return USE_TEXT + wanted[i].text;
	return kind == MSG_REQUEST && trace_context_header(&probe, name, SLICE_LIT("")) ? USE_TRACE
											: USE_NONE;
}

/* What is kept of a value. What would not be seen to be secret without its end is left out too. */
static void keep_header(struct pipeline *p, struct exchange *x, unsigned int text,
			struct slice value)
{
	size_t max = wanted_max[text];

	if (value.n <= max) {
		exchange_keep(x, text, value, max);
		return;
	}
	x->truncated = true;
	exchange_keep(x, text,
		      policy_masks(&p->policy, value)
			      ? text_masked
			      : secret_safe_head(value, max, SECRET_IN_TEXT),
		      max);
}

static void use_header(struct pipeline *p, struct exchange *x, uint8_t use, struct slice name,
		       struct slice value)
{
	if (use == USE_TRACE)
		(void)trace_context_header(&x->trace, name, value);
	else if (use >= USE_TEXT && !x->text[use - USE_TEXT].n)
		keep_header(p, x, use - USE_TEXT, value);
}

/* "name": in lower case. Returns what the name says: what its header is good for (use), how its values
 * are shown (note). Names are few, and this is remembered with them. */
static struct memo_line put_name(struct pipeline *p, struct strbuf *json, enum msg_kind kind,
				 struct slice name)
{
	uint16_t what = (uint16_t)(MEMO_NAME + kind);
	struct memo_entry *e = name.n ? memo_get(&p->memo, what, name) : NULL;
	size_t n = MIN(name.n, (size_t)HEADER_NAME_MAX), before = json->len;
	uint8_t lower[HEADER_NAME_MAX];
	struct memo_line said = { 0 };

	if (e) {
		strbuf_add(json, e->out, e->out_n);
		return e->line;
	}
	said.use = header_use(kind, name);
	said.note = redact_header_rule(&p->policy.redact, name);
	for (size_t i = 0; i < n; i++)
		lower[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i];
	strbuf_add_json(json, secret_find(name, SECRET_IN_PATH) ? text_masked : slice_of(lower, n));
	strbuf_addch(json, ':');
	if (n && !json->failed)
		e = memo_put(&p->memo, what, name, slice_from(strbuf_slice(json), before));
	if (e)
		e->line = said;
	return said;
}

static void put_value(struct pipeline *p, struct strbuf *json, uint8_t rule, struct slice value)
{
	uint8_t buf[REDACT_BUF];

	if (policy_masks(&p->policy, value))
		value = text_masked;
	strbuf_add_json(json, redact_header_by(rule, value, buf, sizeof(buf)));
}

/* Ends what was added behind json[before]: with the brace that closes it, it must have had room. */
static bool json_fits(struct strbuf *json, size_t before)
{
	if (!json->failed && json->len < json->max)
		return true;
	json->len = before;
	json->failed = false;
	if (json->p)
		json->p[before] = 0;
	return false;
}

/* A repeated name stands twice, as it was sent. */
static void http_header(struct pipeline *p, struct exchange *x, enum msg_kind kind,
			struct slice name, struct slice value)
{
	struct strbuf *json = &x->msg[kind].headers;
	size_t before = json->len;
	struct memo_line said;

	p->pair.learnable = false;
	if (!p->opts.want_headers) {
		use_header(p, x, header_use(kind, name), name, value);
		return;
	}
	strbuf_addch(json, before ? ',' : '{');
	said = put_name(p, json, kind, name);
	put_value(p, json, said.note, value);
	use_header(p, x, said.use, name, value);
	p->pair.learnable = json_fits(json, before);
	p->pair.learn_from = before + 1;
	p->pair.learn_use = said.use;
	x->truncated |= !p->pair.learnable;
}

static void http_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		       struct slice v)
{
	switch (f) {
	case FIELD_METHOD:
		exchange_keep(x, TEXT_METHOD, v, 64);
		break;
	case FIELD_TARGET:
		x->truncated |= v.n > TARGET_MAX;
		exchange_keep(x, TEXT_TARGET, secret_safe_head(v, TARGET_MAX, SECRET_IN_PATH),
			      TARGET_MAX);
		break;
	case FIELD_BODY:
		if (p->opts.want_bodies)
			exchange_keep(x,
				      kind == MSG_REQUEST ? TEXT_REQUEST_BODY : TEXT_RESPONSE_BODY,
				      v, (size_t)p->opts.body_max_bytes + BODY_MARGIN);
		break;
	case FIELD_HEADER_VALUE:
		http_header(p, x, kind, slice_of(p->pair.header_name, p->pair.header_name_len), v);
		break;
	default:
		break;
	}
}

static void http_num(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
		     int64_t v)
{
	(void)p;
	if (f == FIELD_STATUS)
		x->num[NUM_STATUS] = v;
	else if (f == FIELD_VERSION && (kind == MSG_REQUEST || x->num[NUM_VERSION] < 0))
		x->num[NUM_VERSION] = v;
}

static void http_learn(struct pipeline *p, struct exchange *x, enum msg_kind kind,
		       const struct header_line *h)
{
	struct slice made = slice_from(strbuf_slice(&x->msg[kind].headers), p->pair.learn_from);
	struct memo_entry *e;

	if (!p->pair.learnable)
		return;
	e = memo_put(&p->memo, (uint16_t)(MEMO_LINE + kind), h->line, made);
	if (e)
		e->line = (struct memo_line){ (uint8_t)h->name.n, (uint8_t)(h->value.p - h->line.p),
					      (uint8_t)h->value.n, p->pair.learn_use, h->note };
}

static const struct memo_line *http_known(struct pipeline *p, struct exchange *x,
					  enum msg_kind kind, struct slice line)
{
	const struct memo_entry *e = memo_get(&p->memo, (uint16_t)(MEMO_LINE + kind), line);
	struct strbuf *json = &x->msg[kind].headers;
	size_t before = json->len;
	char *to;

	if (!e)
		return NULL;
	if (e->line.use != USE_NONE)
		use_header(p, x, e->line.use, slice_head(line, e->line.name_n),
			   slice_of(line.p + e->line.value_at, e->line.value_n));
	to = strbuf_reserve(json, 1 + (size_t)e->out_n);
	if (to) {
		to[0] = before ? ',' : '{';
		memcpy(to + 1, e->out, e->out_n);
		to[1 + e->out_n] = 0;
		json->len += 1 + (size_t)e->out_n;
	}
	x->truncated |= !json_fits(json, before);
	return &e->line;
}

static void put_status(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	int64_t status = x->num[NUM_STATUS];
	char text[3];

	if (status < 0)
		return;
	row_int(b, COL_STATUS_CODE, status);
	for (int64_t i = 2, left = status; i >= 0; i--, left /= 10)
		text[i] = (char)('0' + left % 10);
	join_text(p, b, COL_STATUS, slice_of(text, sizeof(text)));
	row_int(b, COL_FAILED, status >= 500);
	row_int(b, COL_CLIENT_ERROR, status >= 400 && status < 500);
}

static void put_target(struct pipeline *p, struct conn *c, struct exchange *x,
		       struct row_builder *b)
{
	struct target t = target_split(exchange_text(x, TEXT_TARGET));
	struct slice host = t.host.n ? t.host : redact_host(exchange_text(x, TEXT_HOST));
	uint8_t buf[REDACT_BUF];
	char tmpl[PATH_TEMPLATE_MAX];
	size_t n;

	put_redacted(p, b, COL_HTTP_HOST, host);
	if (t.query.n)
		row_text(b, COL_HTTP_QUERY, text_redacted(p, COL_HTTP_QUERY, t.query, buf));
	if (t.form == TARGET_AUTHORITY)
		t.path = t.host;
	else if (t.form == TARGET_ABSOLUTE && !t.path.n)
		t.path = SLICE_LIT("/"); /* the same (RFC 9110 section 4.2.3) */
	if (t.form == TARGET_ASTERISK)
		t.path = SLICE_LIT("*");
	if (!t.path.n)
		return;
	t.path = text_redacted(p, COL_HTTP_PATH, t.path, buf);
	row_text(b, COL_HTTP_PATH, t.path);
	n = path_guard_template(&p->paths, conn_server_number(c), t.path, tmpl);
	join_text(p, b, COL_RESOURCE, slice_of(tmpl, n));
}

/* The text without a character that was cut at its end; nothing of what is no UTF-8 text: in what is
 * compressed or binary no secret could be seen. */
static struct slice readable(struct slice s)
{
	size_t at = 0, n;

	while (at < s.n && s.p[at] && (n = utf8_len(slice_from(s, at))) > 0)
		at += n;
	return slice_head(s, at == s.n || (s.p[at] && s.n - at < 4) ? at : 0);
}

/* A body with a hole is not kept either: what follows a lost `password=` is no longer known as one. */
static void put_body(struct pipeline *p, struct exchange *x, struct row_builder *b,
		     enum msg_kind kind)
{
	uint8_t buf[BODY_BUF];
	struct slice s = readable(
		exchange_text(x, kind == MSG_REQUEST ? TEXT_REQUEST_BODY : TEXT_RESPONSE_BODY));

	if (!s.n || (x->msg[kind].flags & MSG_LOST))
		return;
	x->truncated |= s.n > p->opts.body_max_bytes;
	s = policy_masks(&p->policy, s) ? text_masked : redact_text(s, buf, sizeof(buf));
	row_text(b, kind == MSG_REQUEST ? COL_HTTP_REQUEST_BODY : COL_HTTP_RESPONSE_BODY,
		 readable(slice_head(s, p->opts.body_max_bytes)));
}

static void put_payload(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	static const uint16_t cols[] = { COL_HTTP_REQUEST_HEADERS, COL_HTTP_RESPONSE_HEADERS };

	for (size_t kind = 0; kind < ARRAY_SIZE(cols); kind++) {
		struct strbuf *json = &x->msg[kind].headers;

		if (!json->len)
			continue;
		strbuf_addch(json, '}');
		if (!json->failed)
			row_text(b, cols[kind], strbuf_slice(json));
	}
	if (!p->opts.want_bodies)
		return;
	put_body(p, x, b, MSG_REQUEST);
	put_body(p, x, b, MSG_RESPONSE);
}

static const char *const versions[10] = { "1.0", "1.1", "1.2", "1.3", "1.4",
					  "1.5", "1.6", "1.7", "1.8", "1.9" };

static void http_columns(struct pipeline *p, struct conn *c, struct exchange *x,
			 struct row_builder *b)
{
	put_status(p, x, b);
	put_target(p, c, x, b);
	put_trace(&x->trace, b);
	put_redacted(p, b, COL_METHOD, exchange_text(x, TEXT_METHOD));
	put_redacted(p, b, COL_HTTP_USER_AGENT, exchange_text(x, TEXT_USER_AGENT));
	put_redacted(p, b, COL_HTTP_CONTENT_TYPE, exchange_text(x, TEXT_CONTENT_TYPE));
	if (x->num[NUM_VERSION] >= 10)
		join_literal(p, b, COL_HTTP_VERSION,
			     x->num[NUM_VERSION] < 20 ? versions[x->num[NUM_VERSION] - 10] : "2");
	put_payload(p, x, b);
}

const struct pair_ops pair_http_ops = {
	.table = TABLE_HTTP,
	.field = http_field,
	.num = http_num,
	.known = http_known,
	.learn = http_learn,
	.columns = http_columns,
};

/* Hop 6 for HTTP: which header becomes which column, what of it may be kept, and the columns of a
 * finished exchange. Everything is redacted here, before it can leave the parser process.
 */
#include "agent/pipeline_int.h"

#include <string.h>

#define REDACT_BUF 9216 /* bytes: the longest kept text, and room for masks that are longer than what
			 * they mask */

/* Headers that columns are made from. */
static const struct {
	struct slice name;
	uint8_t kind; /* enum msg_kind */
	uint8_t text; /* enum exchange_text */
	uint16_t max_bytes;
} wanted[] = {
	{ { (const uint8_t *)"host", 4 }, MSG_REQUEST, TEXT_HOST, 256 },
	{ { (const uint8_t *)"user-agent", 10 }, MSG_REQUEST, TEXT_USER_AGENT, 256 },
	{ { (const uint8_t *)"content-type", 12 }, MSG_RESPONSE, TEXT_CONTENT_TYPE, 128 },
};

/* "name":"value" of a header, the name in lower case, the value redacted. */
static const struct slice masked = { (const uint8_t *)"<REDACTED>", 10 };

static void make_json(struct pipeline *p, struct strbuf *json, struct slice name, struct slice value)
{
	uint8_t buf[REDACT_BUF], lower[HEADER_NAME_MAX];
	size_t n = MIN(name.n, sizeof(lower));

	for (size_t i = 0; i < n; i++)
		lower[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i];
	if (policy_masks(&p->policy, value))
		value = masked;
	value = redact_header_value(&p->policy.redact, name, value, buf, sizeof(buf));
	strbuf_add_json(json, slice_of(lower, n));
	strbuf_addch(json, ':');
	strbuf_add_json(json, value);
}

/* Adds the header to the message's JSON object; a repeated name stands twice, as it was sent. */
static void add_json(struct pipeline *p, struct exchange *x, enum msg_kind kind, struct slice name,
		     struct slice value)
{
	struct strbuf *json = &x->msg[kind].headers;
	size_t before = json->len;
	struct slice made;

	strbuf_addch(json, json->len ? ',' : '{');
	if (memo_get(&p->memo, MEMO_HEADER, name, value, &made)) {
		strbuf_add(json, made.p, made.n);
	} else {
		size_t from = json->len;

		make_json(p, json, name, value);
		if (!json->failed)
			memo_put(&p->memo, MEMO_HEADER, name, value,
				 slice_of(json->p + from, json->len - from));
	}
	if (json->failed || json->len == json->max) {
		json->len = before;
		json->failed = false;
		if (json->p)
			json->p[before] = 0;
		x->truncated = true;
	}
}

/* One of the redactions, remembered. buf: REDACT_BUF bytes. */
static struct slice redacted(struct pipeline *p, enum memo_kind kind, struct slice s, uint8_t *buf)
{
	static const struct slice none;
	struct slice out;

	if (!s.n || memo_get(&p->memo, kind, s, none, &out))
		return s.n ? out : s;
	out = policy_masks(&p->policy, s) ? masked :
	      kind == MEMO_PATH	 ? redact_path(s, buf, REDACT_BUF) :
	      kind == MEMO_QUERY ? redact_query(&p->policy.redact, s, buf, REDACT_BUF) :
				   redact_text(s, buf, REDACT_BUF);
	memo_put(&p->memo, kind, s, none, out);
	return out;
}

void pair_http_header(struct pipeline *p, struct exchange *x, enum msg_kind kind, struct slice name,
		      struct slice value)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (wanted[i].kind == kind && !x->text[wanted[i].text].n &&
		    slice_eq_nocase(name, wanted[i].name))
			exchange_keep(x, (enum exchange_text)wanted[i].text, value, wanted[i].max_bytes);
	if (kind == MSG_REQUEST)
		(void)trace_context_header(&x->trace, name, value);
	if (p->opts.want_headers)
		add_json(p, x, kind, name, value);
}

static void put_status(struct pipeline *p, struct exchange *x, struct row_builder *b)
{
	char text[3];

	if (x->status < 0)
		return;
	row_int(b, COL_STATUS_CODE, x->status);
	for (int64_t i = 2, left = x->status; i >= 0; i--, left /= 10)
		text[i] = (char)('0' + left % 10);
	join_text(p, b, COL_STATUS, slice_of(text, sizeof(text)));
	row_int(b, COL_FAILED, x->status >= 500);
	row_int(b, COL_CLIENT_ERROR, x->status >= 400 && x->status < 500);
}

static void put_target(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b)
{
	struct target t = target_split(exchange_text(x, TEXT_TARGET));
	struct slice host = t.host.n ? t.host : exchange_text(x, TEXT_HOST);
	uint8_t buf[REDACT_BUF];
	char tmpl[PATH_TEMPLATE_MAX];
	size_t n;

	join_text(p, b, COL_HTTP_HOST, redacted(p, MEMO_TEXT, host, buf));
	if (t.query.n)
		row_text(b, COL_HTTP_QUERY, redacted(p, MEMO_QUERY, t.query, buf));
	if (t.form == TARGET_AUTHORITY)
		t.path = t.host;
	else if (t.form == TARGET_ABSOLUTE && !t.path.n)
		t.path = SLICE_LIT("/"); /* the same (RFC 9110 section 4.2.3) */
	if (t.form == TARGET_ASTERISK)
		t.path = SLICE_LIT("*");
	if (!t.path.n)
		return;
	t.path = redacted(p, MEMO_PATH, t.path, buf);
	row_text(b, COL_HTTP_PATH, t.path);
	n = path_guard_template(&p->paths, join_owner_is_server(c) ? c->local_port : c->remote_port,
				t.path, tmpl);
	join_text(p, b, COL_RESOURCE, slice_of(tmpl, n));
}

static void put_trace(const struct trace_context *t, struct row_builder *b)
{
	if (t->has_trace)
		row_text(b, COL_TRACE_ID, slice_of(t->trace_id, sizeof(t->trace_id)));
	if (t->has_span)
		row_text(b, COL_SPAN_ID, slice_of(t->span_id, sizeof(t->span_id)));
	if (t->has_parent)
		row_text(b, COL_PARENT_SPAN_ID, slice_of(t->parent_span_id, sizeof(t->parent_span_id)));
}

static void put_kept(struct pipeline *p, struct exchange *x, struct row_builder *b, uint16_t col,
		     enum exchange_text text)
{
	uint8_t buf[REDACT_BUF];

	join_text(p, b, col, redacted(p, MEMO_TEXT, exchange_text(x, text), buf));
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
	if (x->text[TEXT_REQUEST_BODY].n)
		put_kept(p, x, b, COL_HTTP_REQUEST_BODY, TEXT_REQUEST_BODY);
	if (x->text[TEXT_RESPONSE_BODY].n)
		put_kept(p, x, b, COL_HTTP_RESPONSE_BODY, TEXT_RESPONSE_BODY);
}

static const char *const versions[10] = { "1.0", "1.1", "1.2", "1.3", "1.4",
					  "1.5", "1.6", "1.7", "1.8", "1.9" };

void pair_http_columns(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b)
{
	put_status(p, x, b);
	put_target(p, c, x, b);
	put_trace(&x->trace, b);
	join_text(p, b, COL_METHOD, exchange_text(x, TEXT_METHOD));
	put_kept(p, x, b, COL_HTTP_USER_AGENT, TEXT_USER_AGENT);
	put_kept(p, x, b, COL_HTTP_CONTENT_TYPE, TEXT_CONTENT_TYPE);
	if (x->version >= 10)
		join_literal(p, b, COL_HTTP_VERSION, x->version < 20 ? versions[x->version - 10] : "2");
	put_payload(p, x, b);
}

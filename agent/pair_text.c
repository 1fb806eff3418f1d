#include "agent/pair_text.h"

#include "agent/pipeline_int.h"

const struct slice text_masked = { (const uint8_t *)"<REDACTED>", 10 };

static struct slice path(const struct pipeline *p, struct slice s, uint8_t *buf)
{
	(void)p;
	return redact_path(s, buf, REDACT_BUF);
}

static struct slice query(const struct pipeline *p, struct slice s, uint8_t *buf)
{
	return redact_query(&p->policy.redact, s, buf, REDACT_BUF);
}

/* Servers quote data in their messages. */
static struct slice message(const struct pipeline *p, struct slice s, uint8_t *buf)
{
	return p->opts.want_literals ? redact_text(s, buf, REDACT_BUF)
				     : redact_error(s, buf, REDACT_BUF);
}

/* How a column's text is made safe; the others are plain text. */
static const struct {
	uint16_t col;
	struct slice (*mask)(const struct pipeline *p, struct slice s, uint8_t *buf);
} rules[] = {
	{ COL_HTTP_PATH, path },
	{ COL_HTTP_QUERY, query },
	{ COL_DB_MESSAGE, message },
};

static struct slice redact(struct pipeline *p, uint16_t col, struct slice s, uint8_t *buf)
{
	if (policy_masks(&p->policy, s))
		return text_masked;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].col == col)
			return rules[i].mask(p, s, buf);
	return redact_text(s, buf, REDACT_BUF);
}

struct slice text_redacted(struct pipeline *p, uint16_t col, struct slice s, uint8_t *buf)
{
	struct memo_entry *e = memo_get(&p->memo, col, s);
	struct slice out;

	if (e)
		return memo_out(e);
	out = redact(p, col, s, buf);
	(void)memo_put(&p->memo, col, s, out);
	return out;
}

/* A text that the memo does not have. One that may never come again is not worth a number, which both
 * processes would have to keep; what is too long for the memo is not known when it comes again. */
static void put_new(struct pipeline *p, struct row_builder *b, uint16_t col, struct slice s)
{
	uint8_t buf[REDACT_BUF];
	struct slice out = redact(p, col, s, buf);

	if (s.n > MEMO_IN_MAX || out.n > MEMO_OUT_MAX) {
		(void)join_text(p, b, col, out);
		return;
	}
	if (out.n)
		row_text(b, col, out);
	(void)memo_put(&p->memo, col, s, out);
}

void put_redacted(struct pipeline *p, struct row_builder *b, uint16_t col, struct slice s)
{
	struct memo_entry *e = s.n ? memo_get(&p->memo, col, s) : NULL;

	if (e && e->sym_gen != p->join.gen) {
		e->sym = join_text(p, b, col, memo_out(e));
		e->sym_gen = e->sym == SYM_NONE ? 0 : p->join.gen;
	} else if (e) {
		row_sym(b, col, e->sym);
	} else if (s.n) {
		put_new(p, b, col, s);
	}
}

void put_trace(const struct trace_context *t, struct row_builder *b)
{
	if (t->has_trace)
		row_text(b, COL_TRACE_ID, slice_of(t->trace_id, sizeof(t->trace_id)));
	if (t->has_span)
		row_text(b, COL_SPAN_ID, slice_of(t->span_id, sizeof(t->span_id)));
	if (t->has_parent)
		row_text(b, COL_PARENT_SPAN_ID,
			 slice_of(t->parent_span_id, sizeof(t->parent_span_id)));
}

void put_session(struct pipeline *p, const struct conn *c, struct row_builder *b)
{
	const struct session *s = c->session;

	if (!s)
		return;
	put_redacted(p, b, COL_DB_USER, slice_of(s->user, s->user_n));
	put_redacted(p, b, COL_DB_DATABASE, slice_of(s->database, s->database_n));
}

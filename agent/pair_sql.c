#include "agent/pair_sql.h"

#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "base/sql_mask.h"
#include "base/sql_trace.h"
#include "base/sql_wide.h"
#include "protocols/secrets.h"

#define MESSAGE_MAX 1024
#define MEMO_SQL    (_COL_MAX + 16) /* + dialect: a statement, as it is kept and its fingerprint */

_Static_assert(_SQL_TEXT_MAX <= EXCHANGE_TEXTS, "texts");
_Static_assert(_SQL_NUM_MAX <= EXCHANGE_NUMS, "numbers");

/* Which field is kept as what, and how much of it. */
static const struct {
	uint16_t max;
	uint8_t text; /* enum sql_text, and one; 0: not kept */
} texts[_FIELD_MAX] = {
	[FIELD_STATEMENT] = { STATEMENT_MAX, 1 + SQL_TEXT_STATEMENT },
	[FIELD_COMMAND] = { 48, 1 + SQL_TEXT_COMMAND },
	[FIELD_TAG] = { 64, 1 + SQL_TEXT_TAG },
	[FIELD_SQLSTATE] = { 5, 1 + SQL_TEXT_STATE },
	[FIELD_SEVERITY] = { 16, 1 + SQL_TEXT_SEVERITY },
	[FIELD_MESSAGE] = { MESSAGE_MAX, 1 + SQL_TEXT_MESSAGE },
};

void sql_field(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f,
	       struct slice v)
{
	(void)p;
	(void)kind;
	if (texts[f].text)
		exchange_keep(x, texts[f].text - 1u, v, texts[f].max);
}

/* What is kept of a statement, made from its text. */
struct made {
	struct stmt s;
	bool cut; /* it has no more than the beginning of the text */
	char statement[STATEMENT_MAX], fingerprint[SQL_NORM_MAX];
	uint8_t safe_statement[REDACT_BUF], safe_fingerprint[REDACT_BUF];
};

/* What no longer holds a datum, unless the configuration wants those. Behind what is not sure, data may look
 * like anything. */
static void make_texts(const struct pipeline *p, struct slice text, bool cut,
		       enum sql_dialect dialect, struct made *m)
{
	struct slice sure = slice_head(text, sql_sure(text));
	size_t n;

	m->cut = cut || sure.n < text.n;
	n = m->cut ? sql_norm_cut(sure, dialect, m->fingerprint)
		   : sql_norm(text, dialect, m->fingerprint);
	m->s = (struct stmt){ sql_verb(text, dialect), text, slice_of(m->fingerprint, n) };
	if (!p->opts.want_literals)
		m->s.statement = slice_of(
			m->statement, sql_mask(sure, dialect, m->statement, sizeof(m->statement)));
}

/* A statement with placeholders comes again and again as it is. */
static bool recall(struct pipeline *p, struct slice text, enum sql_dialect dialect, struct made *m)
{
	const struct memo_entry *e = memo_get(&p->memo, (uint16_t)(MEMO_SQL + dialect), text);
	size_t n;

	if (!e)
		return false;
	m->cut = false;
	n = e->line.value_at;
	memcpy(m->statement, e->out, n);
	memcpy(m->fingerprint, e->out + n, e->out_n - n);
	m->s = (struct stmt){ sql_verb(text, dialect), slice_of(m->statement, n),
			      slice_of(m->fingerprint, e->out_n - n) };
	return true;
}

static void learn(struct pipeline *p, struct slice text, enum sql_dialect dialect,
		  const struct made *m)
{
	const struct slice *parts[] = { &m->s.statement, &m->s.fingerprint };
	uint8_t out[MEMO_OUT_MAX];
	struct memo_entry *e;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i]->n > sizeof(out) - n)
			return;
		memcpy(out + n, parts[i]->p, parts[i]->n);
		n += parts[i]->n;
	}
	e = memo_put(&p->memo, (uint16_t)(MEMO_SQL + dialect), text, slice_of(out, n));
	if (e)
		e->line.value_at = (uint8_t)m->s.statement.n;
}

/* Names may hold secrets too, and literals that are kept. */
static void make(struct pipeline *p, struct slice text, bool cut, enum sql_dialect dialect,
		 struct made *m)
{
	if (!cut && recall(p, text, dialect, m))
		return;
	make_texts(p, text, cut, dialect, m);
	if (policy_masks(&p->policy, m->s.statement)) {
		m->s.statement = m->s.fingerprint = text_masked;
	} else if (secret_find(m->s.statement, SECRET_IN_TEXT)) {
		m->s.statement = redact_text(m->s.statement, m->safe_statement, REDACT_BUF);
		m->s.fingerprint = redact_text(m->s.fingerprint, m->safe_fingerprint, REDACT_BUF);
	}
	if (!m->cut)
		learn(p, text, dialect, m);
}

/* The protocol's, with what the session's server said of it. */
static enum sql_dialect dialect_of(const struct conn *c)
{
	static const enum sql_dialect dialects[2][2] = {
		{ SQL_ANSI, SQL_ANSI_BACKSLASH },
		{ SQL_MYSQL_NO_BACKSLASH, SQL_MYSQL },
	};
	bool mysql = c->proto == PROTO_MYSQL;

	return dialects[mysql]
		       [c->session && c->session->has_backslash ? c->session->backslash : mysql];
}

void sql_prepare(struct pipeline *p, uint64_t id, struct slice text, bool cut)
{
	struct made m;

	make(p, text, cut, dialect_of(p->pair.c), &m);
	stmts_put(p, p->pair.c, id, &m.s);
}

/* Whether the text is the beginning of a longer one. */
static bool is_cut(const struct exchange *x, struct slice text)
{
	return x->truncated && text.n >= STATEMENT_MAX;
}

static void prepared(struct pipeline *p, struct exchange *x, uint64_t id)
{
	struct slice text = exchange_text(x, SQL_TEXT_STATEMENT);

	if (text.n)
		sql_prepare(p, id, text, is_cut(x, text));
}

void sql_num(struct pipeline *p, struct exchange *x, enum msg_kind kind, enum field_id f, int64_t v)
{
	switch (f) {
	case FIELD_STMT_ID:
		if (kind == MSG_RESPONSE)
			prepared(p, x, (uint64_t)v);
		else
			x->num[SQL_NUM_STMT] = v;
		break;
	case FIELD_STMT_CALLS:
		x->num[SQL_NUM_CALLS] = v;
		break;
	case FIELD_STMT_CLOSE:
		stmts_del(p, p->pair.c, (uint64_t)v);
		break;
	case FIELD_STMT_RESET:
		stmts_clear(p, p->pair.c);
		break;
	case FIELD_PREPARED:
		x->num[SQL_NUM_PREPARED] = v;
		break;
	case FIELD_ROWS:
		x->num[SQL_NUM_ROWS] = v;
		break;
	case FIELD_AFFECTED_ROWS:
		x->num[SQL_NUM_AFFECTED] = v;
		break;
	case FIELD_CODE:
		x->num[SQL_NUM_CODE] = v;
		break;
	default:
		break;
	}
}

/* What the client says in a comment; what it says in another way wins. */
static void read_trace(struct exchange *x, struct slice text, enum sql_dialect dialect)
{
	char value[SQL_TRACEPARENT_MAX];
	size_t n = x->trace.has_trace ? 0 : sql_traceparent(text, dialect, value);

	if (n > 0)
		(void)trace_context_header(&x->trace, SLICE_LIT("traceparent"), slice_of(value, n));
}

/* The fingerprint of the statement that the text executes. */
static struct slice called(const struct conn *c, struct exchange *x)
{
	struct stmt s;

	if (stmts_get(c, (uint64_t)x->num[SQL_NUM_CALLS], &s))
		return s.fingerprint;
	x->msg[MSG_REQUEST].flags |= MSG_DEGRADED;
	return SLICE_LIT("");
}

static void put_statement(struct pipeline *p, struct conn *c, struct exchange *x,
			  struct row_builder *b)
{
	struct slice text = exchange_text(x, SQL_TEXT_STATEMENT);
	struct stmt s = { 0 };
	struct made m;

	if (text.n) {
		make(p, text, is_cut(x, text), dialect_of(c), &m);
		s = m.s;
		x->truncated |= m.cut && !p->opts.want_literals;
		if (x->num[SQL_NUM_CALLS] >= 0)
			s.fingerprint = called(c, x);
		read_trace(x, text, dialect_of(c));
	} else if (x->num[SQL_NUM_STMT] < 0) {
		return;
	} else if (!stmts_get(c, (uint64_t)x->num[SQL_NUM_STMT], &s)) {
		x->msg[MSG_REQUEST].flags |= MSG_DEGRADED;
		return;
	}
	if (s.verb)
		join_literal(p, b, COL_METHOD, s.verb);
	join_text(p, b, COL_DB_STATEMENT, s.statement);
	join_text(p, b, COL_RESOURCE, s.fingerprint);
}

/* Whether its login told whose session it is, but before the agent came or in bytes that were lost. */
static bool login_missed(const struct conn *c)
{
	return !(c->session && c->session->has_user) &&
	       (c->old || c->dir[DIR_RX].gap_ns || c->dir[DIR_TX].gap_ns);
}

void put_sql(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b)
{
	struct slice message = exchange_text(x, SQL_TEXT_MESSAGE);
	uint8_t buf[REDACT_BUF];

	put_statement(p, c, x, b);
	put_trace(&x->trace, b);
	put_session(p, c, b);
	x->degraded |= login_missed(c);
	if (x->num[SQL_NUM_PREPARED] >= 0)
		row_int(b, COL_DB_PREPARED, x->num[SQL_NUM_PREPARED]);
	if (x->num[SQL_NUM_ROWS] >= 0)
		row_int(b, COL_DB_ROWS, x->num[SQL_NUM_ROWS]);
	join_text(p, b, COL_DB_SQLSTATE, exchange_text(x, SQL_TEXT_STATE));
	if (!message.n)
		return;
	message = text_redacted(p, COL_DB_MESSAGE, message, buf);
	row_text(b, COL_DB_MESSAGE, message);
	if (x->text[SQL_TEXT_STATE].n)
		row_text(b, COL_ERROR, message);
}

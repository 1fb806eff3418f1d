#include "agent/pair_sql.h"

#include "agent/pair_text.h"
#include "agent/pipeline_int.h"
#include "base/sql_mask.h"

#define MESSAGE_MAX 1024

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
	char statement[STATEMENT_MAX], fingerprint[SQL_NORM_MAX];
};

/* What no longer holds a datum, unless the configuration wants those or finds one. */
static void make(struct pipeline *p, struct slice text, enum sql_dialect dialect, struct made *m)
{
	struct slice statement = text;

	if (!p->opts.want_literals)
		statement = slice_of(m->statement,
				     sql_mask(text, dialect, m->statement, sizeof(m->statement)));
	m->s = (struct stmt){ sql_verb(text, dialect), statement,
			      slice_of(m->fingerprint, sql_norm(text, dialect, m->fingerprint)) };
	if (policy_masks(&p->policy, statement))
		m->s.statement = m->s.fingerprint = text_masked;
}

static enum sql_dialect dialect_of(const struct conn *c)
{
	return c->proto == PROTO_MYSQL ? SQL_MYSQL : SQL_ANSI;
}

static void prepared(struct pipeline *p, struct exchange *x, uint64_t id)
{
	struct slice text = exchange_text(x, SQL_TEXT_STATEMENT);
	struct made m;

	if (!text.n)
		return;
	make(p, text, dialect_of(p->pair.c), &m);
	stmts_put(p, p->pair.c, id, &m.s);
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

static void put_statement(struct pipeline *p, struct conn *c, struct exchange *x,
			  struct row_builder *b)
{
	struct slice text = exchange_text(x, SQL_TEXT_STATEMENT);
	struct stmt s = { 0 };
	struct made m;

	if (text.n) {
		make(p, text, dialect_of(c), &m);
		s = m.s;
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

void put_sql(struct pipeline *p, struct conn *c, struct exchange *x, struct row_builder *b)
{
	struct slice message = exchange_text(x, SQL_TEXT_MESSAGE);
	uint8_t buf[REDACT_BUF];

	put_statement(p, c, x, b);
	put_trace(&x->trace, b);
	put_session(p, c, b);
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

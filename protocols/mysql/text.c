/* The text of a query: where its statements end, and of each what its first word says about the
 * results to come. The server removes white space and semicolons at the end of the text, so those
 * alone are no statement. */
#include "protocols/mysql/state.h"
#include "base/util.h"

enum head_at { HEAD_WORD, HEAD_NAME, HEAD_BEHIND_NAME, HEAD_DONE };

/* Statements that do not have one result each. */
static const struct {
	char word[HEAD_WORD_MAX];
	uint8_t flags; /* enum pending_flag; 0: what results it has cannot be known */
} several[] = {
	{ "CALL", PENDING_CALL },  { "BEGIN", PENDING_CALL }, { "IF", PENDING_CALL },
	{ "CASE", PENDING_CALL },  { "LOOP", PENDING_CALL },  { "REPEAT", PENDING_CALL },
	{ "WHILE", PENDING_CALL }, { "FOR", PENDING_CALL },   { "USE", PENDING_USE },
	{ "EXECUTE", 0 },
};

static struct pending *newest(struct mysql *m)
{
	return &m->pending[(m->pending_at + m->n_pending - 1) % MYSQL_PENDING_MAX];
}

/* Two commands on their way that both change the database: which one holds cannot be told. */
static bool name_taken(const struct mysql *m)
{
	for (uint32_t i = 0; i + 1 < m->n_pending; i++)
		if (m->pending[(m->pending_at + i) % MYSQL_PENDING_MAX].flags & PENDING_USE)
			return true;
	return false;
}

static void word_over(struct mysql *m)
{
	struct statement_head *h = &m->head;

	h->at = HEAD_DONE;
	for (size_t i = 0; i < ARRAY_SIZE(several); i++) {
		if (!slice_eq_nocase(slice_of(h->word, h->word_n), slice_str(several[i].word)))
			continue;
		newest(m)->flags |= several[i].flags;
		if (several[i].flags == 0)
			m->splits = false;
		if (several[i].flags == PENDING_USE) {
			m->wanted.n = 0;
			h->at = name_taken(m) ? HEAD_DONE : HEAD_NAME;
		}
	}
}

static void word_add(struct statement_head *h, struct slice v)
{
	for (size_t i = 0; i < v.n && h->word_n < HEAD_WORD_MAX; i++)
		h->word[h->word_n++] = (char)v.p[i];
}

static void wanted_add(struct mysql *m, struct slice v)
{
	if (m->wanted.n + v.n > MYSQL_NAME_MAX) {
		m->wanted.n = 0;
		m->head.at = HEAD_DONE;
		return;
	}
	memcpy(m->wanted.bytes + m->wanted.n, v.p, v.n);
	m->wanted.n = (uint8_t)(m->wanted.n + v.n);
}

/* Anything but the end behind the name: it was not one name, or more than that. */
static void name_token(struct mysql *m, const struct sql_token *t)
{
	bool part = t->kind == SQL_WORD || t->kind == SQL_NAME;
	bool nothing = t->kind == SQL_SPACE || t->kind == SQL_COMMENT;

	if (m->head.at == HEAD_NAME && part) {
		wanted_add(m, t->text);
	} else if (m->head.at == HEAD_NAME && nothing) {
		m->head.at = m->wanted.n ? HEAD_BEHIND_NAME : HEAD_NAME;
	} else if (!nothing && !slice_eq_str(t->text, ";")) {
		m->wanted.n = 0;
		m->head.at = HEAD_DONE;
	}
}

static void head_add(struct mysql *m, struct slice text)
{
	struct statement_head *h = &m->head;

	while (h->at != HEAD_DONE && text.n > 0) {
		struct sql_token t = sql_lex(&h->lex, &text);

		if (h->at == HEAD_WORD && t.kind == SQL_WORD)
			word_add(h, t.text);
		else if (h->at == HEAD_WORD && h->word_n)
			word_over(m);
		else if (h->at == HEAD_WORD && t.kind != SQL_SPACE && t.kind != SQL_COMMENT)
			h->at = HEAD_DONE;
		else if (h->at != HEAD_WORD)
			name_token(m, &t);
	}
}

/* The name without its quotes. */
static void wanted_over(struct mysql *m)
{
	struct name *n = &m->wanted;
	uint8_t to = 0;

	if (n->n < 2 || n->bytes[0] != '`')
		return;
	for (uint8_t i = 1; i + 1 < n->n; i++) {
		n->bytes[to++] = n->bytes[i];
		if (n->bytes[i] == '`')
			i++;
	}
	n->n = to;
}

void text_begin(struct mysql *m)
{
	bool query = m->request.command == COM_QUERY;

	m->splits = query && (!m->caps_known || m->caps & CAP_MULTI_STATEMENTS);
	m->request.text_left = MYSQL_STATEMENT_MAX;
	m->head = (struct statement_head){ .at = query ? HEAD_WORD : HEAD_DONE };
	sql_lex_init(&m->head.lex, dialect_of(m), false);
	sql_split_init(&m->split, dialect_of(m));
	m->wide = (struct sql_wide){ 0 };
}

/* Another statement of the command begins. */
static void statement_begin(struct walk *w)
{
	struct mysql *m = w->m;
	struct request *q = &m->request;
	struct pending *before = newest(m), *to;

	before->flags &= (uint8_t)~PENDING_LAST;
	q->key = m->next_key++;
	q->off = position(w);
	q->flags = 0;
	q->open = true;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, q->key, q->off);
	sink_field(w->out, MSG_REQUEST, q->key, FIELD_COMMAND, command_of(q->command)->name);
	to = pending_push(m);
	*to = (struct pending){ .key = q->key, .command = q->command, .flags = PENDING_LAST };
	text_begin(m);
}

/* No more than text_left bytes. */
static void text_emit(struct walk *w, struct slice text)
{
	struct request *q = &w->m->request;

	if (text.n)
		sink_field(w->out, MSG_REQUEST, q->key, FIELD_STATEMENT, text);
	q->text_left -= text.n;
}

/* Between statements: white space and what is left of empty ones. */
static size_t between(struct slice text)
{
	size_t n = 0;

	while (n < text.n &&
	       (text.p[n] == ';' || text.p[n] == ' ' || (text.p[n] >= '\t' && text.p[n] <= '\r')))
		n++;
	return n;
}

void text_over(struct mysql *m)
{
	head_add(m, SLICE_LIT(" "));
	if (m->n_pending && newest(m)->flags & PENDING_USE && m->request.command == COM_QUERY)
		wanted_over(m);
}

enum step text_payload(struct walk *w)
{
	struct mysql *m = w->m;
	struct half *h = w->half;
	struct slice text = slice_head(rest(w), (size_t)MIN(h->left, (uint64_t)rest(w).n));
	bool end = false, empty, over;
	size_t n;

	if (!m->request.open) {
		n = between(text);
		w->at += n;
		h->left -= n;
		text = slice_from(text, n);
		if (text.n == 0)
			return h->left ? STEP_MORE : STEP_GO;
		statement_begin(w);
	}
	text = slice_head(text, (size_t)m->request.text_left);
	n = m->splits ? sql_split(&m->split, text, &end, &empty) : text.n;
	if (m->splits && sql_wide(&m->wide, slice_head(text, n)) < n) {
		m->splits = false; /* where it ends is not sure */
		n = text.n;
	}
	head_add(m, slice_head(text, n)); /* may tell that its end cannot be known */
	over = end && m->splits && m->n_pending < MYSQL_PENDING_MAX;
	text_emit(w, slice_head(text, over ? n - 1 : n));
	w->at += n;
	h->left -= n;
	if (over) {
		text_over(m);
		request_end(m, w->out, position(w), 0);
		return STEP_ENDED;
	}
	if (h->left == 0)
		return STEP_GO;
	if (m->request.text_left == 0) {
		/* What is not wanted is not copied either: whatever statements it has are one with this. */
		m->request.job = JOB_COMMAND;
		m->request.flags |= MSG_TRUNCATED;
	}
	return n < text.n || m->request.job == JOB_COMMAND ? STEP_GO : STEP_MORE;
}

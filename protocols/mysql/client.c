/* The client's side: its login, its commands, the local files it sends. */
#include "protocols/mysql/handshake.h"
#include "protocols/mysql/state.h"
#include "base/util.h"

#define DATABASE_LOOK 1025 /* bytes of a packet that names a database */

void request_end(struct mysql *m, struct sink *out, uint64_t off, uint32_t flags)
{
	if (m->request.open)
		sink_end(out, MSG_REQUEST, m->request.key, off, m->request.flags | flags);
	m->request.open = false;
}

/* ---- the login ---- */

static enum step login_start(struct walk *w, const struct packet *p)
{
	struct mysql *m = w->m;
	struct login login;
	struct slice head;

	if (!peek_payload(w, p, MYSQL_HEAD_MAX, &head))
		return STEP_MORE;
	if (p->seq == 0 || !login_parse(head, p->len, m->caps, &login))
		return STEP_LOST;
	if (login.tls) {
		w->at += PACKET_HEADER + p->len;
		w->next = PROTO_TLS;
		m->over = true;
		return STEP_SWITCH;
	}
	m->caps = login.caps;
	m->caps_known = true;
	m->deprecate_eof = login.caps & CAP_DEPRECATE_EOF ? YES : NO;
	(void)name_set(&m->user, login.user);
	(void)name_set(&m->database, login.database);
	m->login_off = m->login_end = position(w);
	m->phase = PHASE_DIALOG;
	m->request.job = JOB_PASS;
	take_packet(w, p, 0);
	return STEP_GO;
}

/* What authenticates: never looked at. A command cannot come before the login is over. */
static enum step dialog_start(struct walk *w, const struct packet *p)
{
	struct mysql *m = w->m;

	if (p->seq == 0) {
		m->blocked = !w->in->force;
		if (m->blocked)
			return STEP_WAIT;
		m->phase = PHASE_COMMANDS;
		m->half[dir_other(w->in->dir)].lost = true;
		return STEP_GO;
	}
	m->request.job = JOB_PASS;
	take_packet(w, p, 0);
	return STEP_GO;
}

/* ---- commands ---- */

/* A piece of a local file; an empty one ends it. */
static enum step content_start(struct walk *w, const struct packet *p)
{
	w->m->request.job = JOB_CONTENT;
	w->m->file = p->len > 0;
	take_packet(w, p, 0);
	return STEP_GO;
}

/* Long data goes with the execute behind it. */
static enum step long_data_start(struct walk *w, const struct packet *p, uint32_t stmt)
{
	struct mysql *m = w->m;

	if (!m->long_sent || m->long_stmt != stmt)
		m->long_off = position(w);
	m->long_sent = true;
	m->long_stmt = stmt;
	m->request.job = JOB_PASS;
	take_packet(w, p, 5);
	return STEP_GO;
}

static struct pending *expect_reply(struct mysql *m, uint64_t key, uint8_t command)
{
	struct pending *to = pending_push(m);

	*to = (struct pending){
		.key = key, .command = command, .seq = 1, .flags = PENDING_FIRST | PENDING_LAST
	};
	if (m->held)
		to->flags |= PENDING_HELD;
	m->held = false;
	return to;
}

void note_reply_seq(struct mysql *m, uint8_t seq)
{
	for (uint32_t i = m->n_pending; i > 0; i--) {
		struct pending *to = &m->pending[(m->pending_at + i - 1) % MYSQL_PENDING_MAX];

		if (to->flags & PENDING_FIRST) {
			to->seq = seq;
			return;
		}
	}
}

/* A fetch that goes on with the reply that left its cursor open. */
static enum step fetch_start(struct walk *w, const struct packet *p)
{
	struct mysql *m = w->m;
	struct pending *to = expect_reply(m, m->cursor.key, COM_STMT_FETCH);

	to->flags |= PENDING_JOINED;
	to->stmt = m->cursor.stmt;
	m->cursor.open = false;
	m->reply = (struct reply){
		.key = m->cursor.key, .rows = m->cursor.rows, .affected = -1, .open = true
	};
	m->request.job = JOB_COMMAND;
	take_packet(w, p, 5);
	return STEP_GO;
}

/* Tells of the names that a command brings; what they become when it succeeds. */
static void take_names(struct walk *w, struct pending *to, const struct command *c,
		       struct slice payload)
{
	struct mysql *m = w->m;
	struct login login;

	if (c->args == ARGS_DATABASE) {
		(void)name_set(&m->wanted, slice_from(payload, 1));
		to->flags |= PENDING_USE;
	} else if (c->args == ARGS_USER) {
		change_user_parse(slice_from(payload, 1),
				  m->caps_known ? m->caps : CAP_SECURE_CONNECTION, &login);
		(void)name_set(&m->user, login.user);
		(void)name_set(&m->wanted, login.database);
		to->flags |= PENDING_USE;
	}
}

/* MariaDB: the statement that was prepared last goes by LAST_PREPARED as well, so that it can be executed
 * before its number is known. LAST_PREPARED: it is not known here either. */
#define LAST_PREPARED UINT32_MAX
static uint32_t statement_of(const struct mysql *m, uint32_t number)
{
	return number == LAST_PREPARED && m->prepared ? m->prepared : number;
}

static void take_statement(struct walk *w, uint32_t number)
{
	struct mysql *m = w->m;
	struct request *q = &m->request;
	uint32_t stmt = statement_of(m, number);

	if (stmt == LAST_PREPARED)
		q->flags |= MSG_DEGRADED;
	else
		sink_num(w->out, MSG_REQUEST, q->key,
			 q->command == COM_STMT_CLOSE ? FIELD_STMT_CLOSE : FIELD_STMT_ID, stmt);
	if (q->command == COM_STMT_CLOSE && stmt == m->prepared)
		m->prepared = 0;
}

static bool has_attributes(const struct mysql *m, struct slice payload)
{
	return payload.p[0] == COM_QUERY &&
	       (m->caps_known ? (m->caps & CAP_QUERY_ATTRIBUTES) != 0
			      : attributes_plausible(slice_from(payload, 1)));
}

/* Emits what the payload's beginning says; returns how many of its bytes that were. */
static size_t take_args(struct walk *w, const struct command *c, struct slice payload)
{
	struct mysql *m = w->m;
	struct request *q = &m->request;
	struct reader r = reader_of(slice_from(payload, 1));

	if (c->args == ARGS_TEXT) {
		q->job = JOB_TEXT;
		text_begin(m);
		if (has_attributes(m, payload))
			read_query_attributes(&r);
		if (!r.bad)
			return payload.n - reader_left(&r);
		q->job = JOB_COMMAND;
		q->flags |= MSG_DEGRADED;
	} else if (c->args == ARGS_STATEMENT) {
		take_statement(w, read_le32(&r));
	}
	return payload.n;
}

/* Bytes of the payload that have to be there together. */
static size_t args_look(const struct mysql *m, const struct command *c, struct slice head)
{
	if (c->args == ARGS_DATABASE)
		return DATABASE_LOOK;
	if (c->args == ARGS_USER)
		return MYSQL_HEAD_MAX;
	return has_attributes(m, head) && head.n > 1 && head.p[1] ? MYSQL_HEAD_MAX : COMMAND_LOOK;
}

static enum step command_begin(struct walk *w, const struct packet *p, const struct command *c,
			       struct slice payload)
{
	struct mysql *m = w->m;
	struct request *q = &m->request;
	struct reader r = reader_of(slice_from(payload, 1));
	uint32_t stmt = c->args == ARGS_STATEMENT ? read_le32(&r) : 0;
	struct pending *to;

	*q = (struct request){ .key = m->next_key++,
			       .off = position(w),
			       .command = payload.p[0],
			       .job = JOB_COMMAND,
			       .open = true };
	if (m->long_sent && m->long_stmt == stmt && q->command == COM_STMT_EXECUTE)
		q->off = m->long_off;
	m->long_sent = false;
	sink_begin(w->out, MSG_REQUEST, w->in->dir, q->key, q->off);
	sink_field(w->out, MSG_REQUEST, q->key, FIELD_COMMAND, c->name);
	if (c->reply != REPLY_NONE) {
		to = expect_reply(m, q->key, q->command);
		to->stmt = statement_of(m, stmt);
		take_names(w, to, c, payload);
	}
	if (q->command == COM_STMT_PREPARE)
		m->prepared = 0; /* until it has succeeded */
	take_packet(w, p, take_args(w, c, payload));
	return STEP_GO;
}

/* A boundary was found behind lost bytes while a reply is still awaited. */
static enum step start_after_loss(struct walk *w)
{
	struct mysql *m = w->m;

	if (m->piped)
		return STEP_STOP; /* whose reply comes next can never be known again */
	while (m->n_pending)
		pending_pop(m);
	m->half[dir_other(w->in->dir)].lost = true;
	return STEP_GO;
}

/* What has to be settled before the next command may begin. STEP_GO: nothing is left. */
static enum step settle(struct walk *w)
{
	struct mysql *m = w->m;
	const struct pending *newest =
		&m->pending[(m->pending_at + m->n_pending + MYSQL_PENDING_MAX - 1) %
			    MYSQL_PENDING_MAX];

	if (!w->in->force && m->n_pending) {
		/* Two that come before the reply to the first: the client does not wait. */
		m->piped |= (newest->flags & (PENDING_HELD | PENDING_FIRST)) ==
			    (PENDING_HELD | PENDING_FIRST);
		m->held = m->blocked = true;
		w->why = MYSQL_IN_DOUBT;
		return m->piped && m->half[dir_other(w->in->dir)].lost ? STEP_STOP : STEP_WAIT;
	}
	if (!w->in->force)
		return STEP_GO;
	if (m->n_pending < MYSQL_PENDING_MAX)
		return STEP_GO;
	if (m->reply.open) {
		reply_end(m, w->out, m->half[dir_other(w->in->dir)].last, MSG_LOST | MSG_DEGRADED);
		pending_pop(m);
		return STEP_ENDED;
	}
	pending_pop(m);
	return STEP_GO;
}

static enum step command_start(struct walk *w, const struct packet *p)
{
	struct mysql *m = w->m;
	const struct command *c;
	struct slice head;
	struct reader r;
	enum step step;
	bool whole;

	if (p->seq != 0 || p->len == 0)
		return STEP_LOST;
	whole = peek_payload(w, p, COMMAND_LOOK, &head);
	if (head.n == 0)
		return STEP_MORE;
	c = command_of(head.p[0]);
	if (!c || p->len < c->min || (w->half->lost && !command_plausible(head, p->len)))
		return STEP_LOST;
	if (!whole)
		return STEP_MORE;
	step = settle(w);
	if (step == STEP_GO && w->half->lost && m->n_pending)
		step = start_after_loss(w);
	if (step != STEP_GO)
		return step;
	if (!peek_payload(w, p, args_look(m, c, head), &head))
		return STEP_MORE;
	r = reader_of(slice_from(head, 1));
	if (m->cursor.open && head.p[0] == COM_STMT_FETCH && read_le32(&r) == m->cursor.stmt)
		return fetch_start(w, p);
	if (cursor_end(m, w->out))
		return STEP_ENDED;
	w->half->lost = false;
	if (head.p[0] == COM_STMT_SEND_LONG_DATA)
		return long_data_start(w, p, read_le32(&r));
	return command_begin(w, p, c, head);
}

enum step client_start(struct walk *w)
{
	struct mysql *m = w->m;
	struct pending *to = pending_oldest(m);
	struct packet p;

	m->blocked = false;
	if (drop_one(m, w->out))
		return STEP_ENDED;
	if (!peek_packet(w, &p))
		return STEP_MORE;
	if (m->phase == PHASE_GREETING)
		return w->in->force ? STEP_LOST : STEP_WAIT;
	if (m->phase == PHASE_LOGIN)
		return login_start(w, &p);
	if (m->phase == PHASE_DIALOG)
		return dialog_start(w, &p);
	if (m->packing)
		return w->in->force ? STEP_STOP : STEP_WAIT;
	if (m->file)
		return content_start(w, &p);
	if (to && to->command == COM_CHANGE_USER && p.seq != 0 && !w->half->lost)
		return dialog_start(w, &p);
	return command_start(w, &p);
}

enum step client_payload(struct walk *w)
{
	return w->m->request.job == JOB_TEXT ? text_payload(w) : pass_payload(w);
}

enum step client_done(struct walk *w)
{
	struct mysql *m = w->m;
	uint8_t next_seq = (uint8_t)(w->half->seq + 1);
	const struct command *c;

	switch (m->request.job) {
	case JOB_PASS:
		if (m->login_end == m->login_off)
			m->login_end = position(w);
		if (m->phase == PHASE_COMMANDS)
			m->server_seq = next_seq; /* a change of user */
		return STEP_GO;
	case JOB_CONTENT:
		m->server_seq = next_seq;
		return STEP_GO;
	default:
		break;
	}
	if (!m->request.open)
		return STEP_GO;
	c = command_of(m->request.command);
	if (m->request.job == JOB_TEXT)
		text_over(m);
	request_end(m, w->out, position(w), c->reply == REPLY_NONE ? MSG_ONEWAY : 0);
	return STEP_ENDED;
}

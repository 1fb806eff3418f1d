/* The server's side: its greeting, the dialog of the login, whose reply comes, what it says unasked. */
#include "protocols/mysql/handshake.h"
#include "protocols/mysql/state.h"
#include "base/util.h"

#define END_LOOK      (9 + MYSQL_MESSAGE_MAX)
#define SQLSTATE_LOOK 9	   /* bytes of an error with its SQLSTATE */
#define HEADER_MAX    10   /* bytes of a result's header */
#define CODE_MIN      1000 /* the first number of an error */

void tell_error(struct walk *w, enum msg_kind kind, uint64_t key, struct slice payload)
{
	struct err_packet e;

	if (!err_parse(payload, &e))
		return;
	sink_num(w->out, kind, key, FIELD_CODE, e.code);
	if (e.sqlstate.n)
		sink_field(w->out, kind, key, FIELD_SQLSTATE, e.sqlstate);
	if (e.message.n)
		sink_field(w->out, kind, key, FIELD_MESSAGE,
			   slice_head(e.message, MYSQL_MESSAGE_MAX));
}

void tell_backslash(struct mysql *m, struct sink *out)
{
	bool no = m->backslash == NO;

	if (m->backslash == UNKNOWN || no == m->no_backslash)
		return;
	m->no_backslash = no;
	sink_num(out, MSG_CONN, 0, FIELD_BACKSLASH, !no);
}

/* What changes holds for what comes behind the reply, and is told then. What was not known held, most
 * likely, for the statement already. */
void note_status(struct walk *w, const struct ok_packet *ok)
{
	struct mysql *m = w->m;
	bool first = m->backslash == UNKNOWN;

	if (!ok->has_status)
		return;
	m->backslash = ok->status & STATUS_NO_BACKSLASH ? NO : YES;
	if (first)
		tell_backslash(m, w->out);
}

/* ---- before commands ---- */

/* What the server says without having been asked: why it will say nothing more. */
static enum step push_start(struct walk *w, const struct packet *p, struct slice payload)
{
	struct mysql *m = w->m;

	m->push_open = true;
	sink_begin(w->out, MSG_PUSH, w->in->dir, KEY_PUSH | m->next_push, position(w));
	tell_error(w, MSG_PUSH, KEY_PUSH | m->next_push, payload);
	take_packet(w, p, 0);
	return STEP_GO;
}

static enum step greeting_start(struct walk *w, const struct packet *p)
{
	struct mysql *m = w->m;
	struct err_packet e;
	struct slice head;

	if (p->seq != 0 || p->len > MYSQL_GREETING_MAX)
		return STEP_LOST;
	if (!peek_payload(w, p, MYSQL_GREETING_MAX, &head))
		return STEP_MORE;
	if (refusal_parse(head, &e))
		return push_start(w, p, head);
	if (!greeting_parse(head, &m->caps))
		return STEP_LOST;
	m->phase = PHASE_LOGIN;
	take_packet(w, p, 0);
	return STEP_GO;
}

static void logged_in(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	struct ok_packet ok;

	ok_parse(head, p->len, m->caps & CAP_PROTOCOL_41, &ok);
	m->phase = PHASE_COMMANDS;
	m->packing = m->caps & (CAP_COMPRESS | CAP_ZSTD);
	note_status(w, &ok);
	sink_field(w->out, MSG_CONN, 0, FIELD_USER, name_get(&m->user));
	sink_field(w->out, MSG_CONN, 0, FIELD_DATABASE,
		   ok.has_schema ? ok.schema : name_get(&m->database));
}

/* A login that fails is an exchange after all; that shows only now. */
static enum step login_failed(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;

	if (!m->login_told) {
		m->login_told = true;
		m->reply.key = m->next_key++;
		sink_begin(w->out, MSG_REQUEST, dir_other(w->in->dir), m->reply.key, m->login_off);
		sink_field(w->out, MSG_REQUEST, m->reply.key, FIELD_COMMAND, SLICE_LIT("CONNECT"));
		sink_field(w->out, MSG_REQUEST, m->reply.key, FIELD_USER, name_get(&m->user));
		sink_field(w->out, MSG_REQUEST, m->reply.key, FIELD_DATABASE,
			   name_get(&m->database));
		sink_end(w->out, MSG_REQUEST, m->reply.key, m->login_end, 0);
		return STEP_ENDED;
	}
	m->reply = (struct reply){ .key = m->reply.key,
				   .rows = -1,
				   .affected = -1,
				   .open = true,
				   .over = true,
				   .error = true };
	sink_begin(w->out, MSG_RESPONSE, w->in->dir, m->reply.key, position(w));
	tell_error(w, MSG_RESPONSE, m->reply.key, head);
	take_packet(w, p, 0);
	return STEP_GO;
}

static enum step dialog_packet(struct walk *w, const struct packet *p)
{
	struct slice head;

	if (p->len == 0)
		return STEP_LOST;
	if (!peek_payload(w, p, 1, &head))
		return STEP_MORE;
	if (head.p[0] == 0 || head.p[0] == 0xff) {
		if (!peek_payload(w, p, END_LOOK, &head))
			return STEP_MORE;
		if (head.p[0] == 0xff)
			return login_failed(w, p, head);
		logged_in(w, p, head);
	}
	take_packet(w, p, 0);
	return STEP_GO;
}

/* ---- replies ---- */

/* No command is known that this could answer. Where none can come that it does, it is nobody's. */
static enum step unasked(struct walk *w, const struct packet *p)
{
	enum step nobodys = w->in->force || w->in->settled ? STEP_LOST : STEP_WAIT;
	struct slice head;
	struct err_packet e;

	if (p->seq != 0 || p->len == 0 || p->len > END_LOOK)
		return nobodys;
	if (!peek_payload(w, p, END_LOOK, &head))
		return STEP_MORE;
	if (head.p[0] == 0xff && err_parse(head, &e) && e.code >= CODE_MIN && e.sqlstate.n)
		return push_start(w, p, head);
	return nobodys;
}

static bool is_error(struct slice head)
{
	struct err_packet e;

	if (head.p[0] != 0xff || !err_parse(head, &e) || e.code < CODE_MIN || !e.sqlstate.n)
		return false;
	for (size_t i = 0; i < e.sqlstate.n; i++)
		if (!((e.sqlstate.p[i] >= '0' && e.sqlstate.p[i] <= '9') ||
		      (e.sqlstate.p[i] >= 'A' && e.sqlstate.p[i] <= 'Z')))
			return false;
	return true;
}

/* A result's header and the description of its first column, whose catalogue is always "def". */
static enum step result_believable(struct walk *w, const struct packet *p, struct slice head)
{
	struct slice behind = slice_from(rest(w), PACKET_HEADER + p->len);
	struct reader r = reader_of(head);
	uint64_t n = read_lenenc(&r);

	if (r.bad || n == 0 || n > MYSQL_COLUMNS_MAX || reader_left(&r) > 1 || p->len > HEADER_MAX)
		return STEP_LOST;
	if (behind.n < PACKET_HEADER + 4)
		return STEP_MORE;
	return behind.p[3] == (uint8_t)(p->seq + 1) &&
			       slice_eq_str(slice_head(slice_from(behind, PACKET_HEADER), 4),
					    "\3def")
		       ? STEP_GO
		       : STEP_LOST;
}

static bool is_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ')
			return false;
	return true;
}

static bool ok_plausible(struct slice head, uint32_t len)
{
	struct ok_packet ok;

	ok_parse(head, len, true, &ok);
	return len >= 7 && ok.has_affected && !(ok.status & 0x8000u);
}

enum step reply_believable(struct walk *w, const struct packet *p, const struct pending *to)
{
	uint8_t kind = command_of(to->command)->reply;
	struct slice head;
	bool ok, eof;

	if (p->len == 0 || !seq_fits(w->m, p, to->seq))
		return STEP_LOST;
	if (!peek_payload(w, p, 16, &head))
		return STEP_MORE;
	if (is_error(head))
		return STEP_GO;
	ok = head.p[0] == 0 && ok_plausible(head, p->len);
	eof = head.p[0] == 0xfe && is_eof_length(p->len);
	switch (kind) {
	case REPLY_RESULT:
		return ok || head.p[0] == 0xfb ? STEP_GO : result_believable(w, p, head);
	case REPLY_PREPARE:
		return head.p[0] == 0 && (p->len == 12 || p->len == 13) ? STEP_GO : STEP_LOST;
	case REPLY_STRING:
		return is_text(head) ? STEP_GO : STEP_LOST;
	case REPLY_ROWS:
		return head.p[0] == 0 || eof ? STEP_GO : STEP_LOST;
	case REPLY_FIELDS:
		return head.p[0] == 3 || eof ? STEP_GO : STEP_LOST;
	case REPLY_OK:
		return ok || eof ? STEP_GO : STEP_LOST;
	default:
		return STEP_GO;
	}
}

/* An EOF packet that may stand behind a reply whose end did not show. */
static bool trailing_eof(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	bool is = m->eof_may_come && p->seq == m->server_seq && p->len == 5 && head.p[0] == 0xfe;

	if (is)
		m->deprecate_eof = NO;
	m->eof_may_come = false;
	return is;
}

static enum step reply_start(struct walk *w, const struct packet *p)
{
	struct mysql *m = w->m;
	struct pending *to = pending_oldest(m);
	enum step step;
	struct slice head;

	if (m->eof_may_come) {
		if (!peek_payload(w, p, 1, &head))
			return STEP_MORE;
		if (head.n && trailing_eof(w, p, head)) {
			take_packet(w, p, 0);
			return STEP_GO;
		}
	}
	if (!to)
		return unasked(w, p);
	if (w->half->lost) {
		step = reply_believable(w, p, to);
		if (step != STEP_GO)
			return step;
	} else if (!seq_fits(m, p, to->flags & PENDING_FIRST ? to->seq : m->server_seq)) {
		return STEP_LOST;
	}
	step = reply_packet(w, p);
	if (step == STEP_GO) {
		to->flags &= (uint8_t)~PENDING_FIRST;
		w->half->lost = false;
	}
	return step;
}

/* The rest of a reply that was torn, or the reply to a command that was missed. */
static bool answers_nothing(const struct walk *w)
{
	const struct mysql *m = w->m;

	return m->phase == PHASE_COMMANDS && m->n_pending == 0 &&
	       (w->half->lost || m->half[m->client].lost);
}

/* What the client has sent came before what is here: the command that waits, the end of the file. */
static bool came_later(const struct walk *w)
{
	const struct mysql *m = w->m;

	if (w->in->force || m->phase != PHASE_COMMANDS)
		return false;
	return (m->blocked && m->n_pending == 0) || (m->file && !w->in->settled);
}

enum step server_start(struct walk *w)
{
	struct mysql *m = w->m;
	struct packet p;

	if (drop_one(m, w->out))
		return STEP_ENDED;
	if (came_later(w))
		return rest(w).n ? STEP_WAIT : STEP_MORE;
	if (answers_nothing(w))
		return rest(w).n ? STEP_LOST : STEP_MORE;
	if (!peek_packet(w, &p))
		return STEP_MORE;
	switch (m->phase) {
	case PHASE_GREETING:
		return greeting_start(w, &p);
	case PHASE_LOGIN:
		return unasked(w, &p);
	case PHASE_DIALOG:
		return dialog_packet(w, &p);
	default:
		return reply_start(w, &p);
	}
}

/* ---- behind a payload ---- */

/* The statements of the same command that come behind are never executed. */
static void drop_rest(struct mysql *m)
{
	uint32_t n = 0;

	while (n < m->n_pending &&
	       !(m->pending[(m->pending_at + n) % MYSQL_PENDING_MAX].flags & PENDING_FIRST))
		n++;
	m->drops = n;
}

static bool goes_on(const struct mysql *m, const struct pending *to)
{
	return (to->command == COM_STMT_EXECUTE || to->command == COM_STMT_FETCH) &&
	       m->reply.status & STATUS_CURSOR_EXISTS &&
	       !(m->reply.status & STATUS_LAST_ROW_SENT) && !m->reply.error && m->n_pending == 1 &&
	       (to->command == COM_STMT_EXECUTE || to->flags & PENDING_JOINED);
}

static enum step reply_over(struct walk *w)
{
	struct mysql *m = w->m;
	struct pending to = *pending_answered(m);

	if (goes_on(m, &to)) {
		m->cursor = (struct cursor){ .key = m->reply.key,
					     .end = position(w),
					     .rows = m->reply.rows,
					     .stmt = to.stmt,
					     .open = true };
		m->reply = (struct reply){ 0 };
		pending_pop(m);
		tell_backslash(m, w->out);
		return STEP_GO;
	}
	pending_pop(m);
	if (!(m->reply.status & STATUS_MORE_RESULTS))
		drop_rest(m);
	m->piped |= m->n_pending && pending_oldest(m)->flags & PENDING_FIRST;
	reply_end(m, w->out, position(w), 0);
	tell_backslash(m, w->out);
	return STEP_ENDED;
}

enum step server_done(struct walk *w)
{
	struct mysql *m = w->m;

	if (m->push_open) {
		m->push_open = false;
		sink_end(w->out, MSG_PUSH, KEY_PUSH | m->next_push++, position(w), 0);
		return STEP_ENDED;
	}
	if (m->packing) {
		/* What the client has sent is no command as it is. */
		m->packing = m->blocked = false;
		m->packed = true;
		return STEP_UNPACK;
	}
	if (!m->reply.over)
		return STEP_GO;
	if (m->phase == PHASE_COMMANDS)
		return reply_over(w);
	reply_end(m, w->out, position(w), 0);
	return STEP_ENDED;
}

/* The packets of one reply: how many results it has, how many rows, how it ends. Which rows there
 * are is not looked at: the first byte of a packet tells a row from an end.
 *
 *	AT_FIRST -> OK, error                          over, or AT_FIRST when more results follow
 *	         -> the wish for a file: AT_FILE       until OK or error
 *	         -> columns: AT_COLUMNS -> AT_COLUMNS_OVER -> AT_ROW -> end of the rows, error
 *
 * Whether an EOF packet stands behind the columns (CAP_DEPRECATE_EOF) shows by its length: no other
 * packet there begins with 0xfe and has five bytes.
 */
#include "protocols/mysql/state.h"
#include "base/util.h"

#define END_LOOK      (9 + MYSQL_MESSAGE_MAX) /* bytes of an OK or an error that are looked at */
#define PROGRESS_CODE 0xffff		      /* MariaDB: how far a command is, no error */

/* Once it is certain that the packet at hand belongs to the reply. */
static void reply_begin(struct walk *w)
{
	struct mysql *m = w->m;
	const struct pending *to = pending_oldest(m);

	if (m->reply.open)
		return;
	m->reply = (struct reply){
		.key = to->key, .off = position(w), .rows = -1, .affected = -1, .open = true
	};
	sink_begin(w->out, MSG_RESPONSE, w->in->dir, to->key, position(w));
}

/* flags: of the end; a reply that was cut has no result. */
static void put_result(struct sink *out, const struct reply *r, uint32_t flags)
{
	if (r->error || flags & (MSG_LOST | MSG_CUT_EOF | MSG_TUNNEL))
		return;
	if (r->rows >= 0)
		sink_num(out, MSG_RESPONSE, r->key, FIELD_ROWS, r->rows);
	if (r->affected >= 0)
		sink_num(out, MSG_RESPONSE, r->key, FIELD_AFFECTED_ROWS, r->affected);
	sink_num(out, MSG_RESPONSE, r->key, FIELD_CODE, 0);
}

void reply_end(struct mysql *m, struct sink *out, uint64_t off, uint32_t flags)
{
	if (m->reply.open) {
		put_result(out, &m->reply, flags);
		sink_end(out, MSG_RESPONSE, m->reply.key, off, m->reply.flags | flags);
	}
	m->reply = (struct reply){ 0 };
}

bool cursor_end(struct mysql *m, struct sink *out)
{
	if (!m->cursor.open)
		return false;
	m->cursor.open = false;
	m->reply = (struct reply){
		.key = m->cursor.key, .rows = m->cursor.rows, .affected = -1, .open = true
	};
	reply_end(m, out, m->cursor.end, 0);
	return true;
}

bool drop_one(struct mysql *m, struct sink *out)
{
	const struct pending *to = pending_oldest(m);

	if (!m->drops || !to)
		return false;
	m->drops--;
	if (m->request.open && m->request.key == to->key) {
		/* The server has answered before it had all of the command: no more is told of it. */
		m->request.open = false;
		m->request.job = JOB_COMMAND;
	}
	sink_end(out, MSG_REQUEST, to->key, 0, MSG_DROP);
	pending_pop(m);
	return true;
}

/* ---- how a reply ends ---- */

static enum step pass(struct walk *w, const struct packet *p)
{
	w->m->server_seq = (uint8_t)(p->seq + 1);
	take_packet(w, p, 0);
	return STEP_GO;
}

/* What came of the packet at hand is one result; rows: it had columns. */
static void result_over(struct mysql *m, uint32_t status, bool rows)
{
	const struct pending *to = pending_oldest(m);

	m->reply.status = status;
	m->reply.state = AT_FIRST;
	m->reply.over = !(status & STATUS_MORE_RESULTS) ||
			!(to->flags & PENDING_LAST || (to->flags & PENDING_CALL && rows));
}

static enum step error_packet(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	struct err_packet e;

	if (!err_parse(head, &e))
		return STEP_LOST;
	reply_begin(w);
	if (e.code == PROGRESS_CODE)
		return pass(w, p);
	m->file = false;
	m->reply.error = m->reply.over = true;
	m->reply.status = 0;
	tell_error(w, MSG_RESPONSE, m->reply.key, head);
	return pass(w, p);
}

static void tell_database(struct walk *w, struct slice name)
{
	sink_field(w->out, MSG_CONN, 0, FIELD_DATABASE, name);
}

/* What the success of the command changes in the session. */
static void session_changed(struct walk *w, const struct ok_packet *ok)
{
	struct mysql *m = w->m;
	const struct pending *to = pending_answered(m);

	if (to->command == COM_CHANGE_USER)
		sink_field(w->out, MSG_CONN, 0, FIELD_USER, name_get(&m->user));
	if (to->command == COM_CHANGE_USER || to->command == COM_RESET_CONNECTION)
		sink_num(w->out, MSG_RESPONSE, to->key, FIELD_STMT_RESET, 1);
	if (ok->has_schema)
		tell_database(w, ok->schema);
	else if (to->flags & PENDING_USE)
		tell_database(w, name_get(&m->wanted));
}

static enum step ok_packet(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	struct ok_packet ok;

	reply_begin(w);
	ok_parse(head, p->len, !m->caps_known || m->caps & CAP_PROTOCOL_41, &ok);
	if (ok.has_affected && head.p[0] == 0)
		m->reply.affected = (int64_t)MIN(ok.affected, (uint64_t)INT64_MAX);
	note_status(w, &ok);
	session_changed(w, &ok);
	result_over(m, ok.status, false);
	return pass(w, p);
}

/* ---- rows ---- */

static enum step row_packet(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	struct ok_packet ok;

	if (head.p[0] == 0xff)
		return error_packet(w, p, head);
	reply_begin(w);
	m->reply.rows = MAX(m->reply.rows, INT64_C(0));
	if (head.p[0] != 0xfe || p->len == PACKET_FULL) {
		m->reply.rows++;
		return pass(w, p);
	}
	ok_parse(head, p->len, !m->caps_known || m->caps & CAP_PROTOCOL_41, &ok);
	note_status(w, &ok);
	if (ok.has_schema)
		tell_database(w, ok.schema);
	result_over(m, ok.status, true);
	return pass(w, p);
}

/* The number of columns, and whether they are described when that may be left out. */
static enum step result_header(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	struct reader r = reader_of(head);
	uint64_t n = read_lenenc(&r);
	bool described = reader_left(&r) == 0 || read_u8(&r) != 0;

	if (r.bad || n == 0 || n > MYSQL_COLUMNS_MAX || reader_left(&r))
		return STEP_LOST;
	reply_begin(w);
	m->reply.rows = MAX(m->reply.rows, INT64_C(0));
	m->reply.left = (uint32_t)n;
	m->reply.state = described ? AT_COLUMNS : AT_COLUMNS_OVER;
	return pass(w, p);
}

/*	0 | number of the statement 4 | columns 2 | parameters 2 | 0 | warnings 2 | described 1 */
static enum step prepared_packet(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	struct reader r = reader_of(slice_from(head, 1));
	uint32_t stmt = read_le32(&r);
	uint16_t columns = read_le16(&r), params = read_le16(&r);
	bool described;

	(void)read_bytes(&r, 1);
	if (r.bad)
		return STEP_LOST;
	reply_begin(w);
	(void)read_bytes(&r, 2);
	described = r.bad || reader_left(&r) == 0 || read_u8(&r) != 0;
	m->prepared = stmt;
	sink_num(w->out, MSG_RESPONSE, m->reply.key, FIELD_STMT_ID, stmt);
	m->reply.left = params ? params : columns;
	m->reply.left_next = params ? columns : 0;
	m->reply.state = AT_COLUMNS;
	m->reply.over = !described || m->reply.left == 0;
	return pass(w, p);
}

/* The last description of a kind has come. */
static void described(struct mysql *m)
{
	bool prepare = pending_answered(m)->command == COM_STMT_PREPARE;

	m->reply.state = AT_COLUMNS_OVER;
	if (!prepare || m->deprecate_eof == NO)
		return;
	if (m->deprecate_eof == YES && m->reply.left_next) {
		m->reply.left = m->reply.left_next;
		m->reply.left_next = 0;
		m->reply.state = AT_COLUMNS;
	} else if (!m->reply.left_next) {
		m->reply.over = true;
		m->eof_may_come = m->deprecate_eof == UNKNOWN;
	}
}

static enum step column_packet(struct walk *w, const struct packet *p, struct slice head)
{
	if (head.p[0] == 0xff)
		return error_packet(w, p, head);
	if (--w->m->reply.left == 0)
		described(w->m);
	return pass(w, p);
}

static enum step columns_over_packet(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	bool prepare = pending_answered(m)->command == COM_STMT_PREPARE;
	bool eof = head.p[0] == 0xfe && is_eof_length(p->len);
	struct ok_packet ok;

	if (prepare && !eof && (m->deprecate_eof == NO || !m->reply.left_next))
		return head.p[0] == 0xff ? error_packet(w, p, head) : STEP_LOST;
	m->deprecate_eof = eof ? NO : YES;
	if (prepare) {
		m->reply.over = m->reply.left_next == 0;
		m->reply.left = m->reply.left_next;
		m->reply.left_next = 0;
		m->reply.state = AT_COLUMNS;
		return eof ? pass(w, p) : column_packet(w, p, head);
	}
	m->reply.state = AT_ROW;
	if (!eof)
		return row_packet(w, p, head);
	ok_parse(head, p->len, true, &ok);
	note_status(w, &ok);
	if (ok.status & STATUS_CURSOR_EXISTS)
		result_over(m, ok.status, true);
	return pass(w, p);
}

/* ---- the first packet of a result ---- */

static enum step file_wanted(struct walk *w, const struct packet *p)
{
	reply_begin(w);
	w->m->file = true;
	w->m->reply.state = AT_FILE;
	return pass(w, p);
}

/* From here on the server sends without being asked: replication. */
static enum step stream_packet(struct walk *w)
{
	struct mysql *m = w->m;

	reply_begin(w);
	w->at += PACKET_HEADER + 1;
	reply_end(m, w->out, position(w), MSG_TUNNEL);
	pending_pop(m);
	w->why = "replication";
	return STEP_STOP;
}

static enum step first_packet(struct walk *w, const struct packet *p, struct slice head)
{
	struct mysql *m = w->m;
	uint8_t kind = command_of(pending_answered(m)->command)->reply, first = head.p[0];

	if (first == 0xff)
		return error_packet(w, p, head);
	switch (kind) {
	case REPLY_OK:
		return first == 0 || first == 0xfe ? ok_packet(w, p, head) : STEP_LOST;
	case REPLY_STRING:
		reply_begin(w);
		m->reply.over = true;
		return pass(w, p);
	case REPLY_RESULT:
		if (first == 0xfb)
			return file_wanted(w, p);
		return first == 0 ? ok_packet(w, p, head) : result_header(w, p, head);
	case REPLY_PREPARE:
		return first == 0 ? prepared_packet(w, p, head) : STEP_LOST;
	case REPLY_ROWS:
		return row_packet(w, p, head);
	case REPLY_FIELDS:
		reply_begin(w);
		m->reply.over = first == 0xfe;
		return pass(w, p);
	case REPLY_AUTH:
		reply_begin(w);
		return first == 0 ? ok_packet(w, p, head) : pass(w, p);
	default:
		return stream_packet(w);
	}
}

/* Behind a file only its OK or an error can come. */
static enum step file_packet(struct walk *w, const struct packet *p, struct slice head)
{
	if (head.p[0] == 0xff)
		return error_packet(w, p, head);
	w->m->file = false;
	return head.p[0] == 0 ? ok_packet(w, p, head) : STEP_LOST;
}

enum step reply_packet(struct walk *w, const struct packet *p)
{
	static enum step (*const handlers[])(struct walk *, const struct packet *, struct slice) = {
		[AT_FIRST] = first_packet,
		[AT_COLUMNS] = column_packet,
		[AT_COLUMNS_OVER] = columns_over_packet,
		[AT_ROW] = row_packet,
		[AT_FILE] = file_packet,
	};
	uint8_t state = w->m->reply.open ? w->m->reply.state : AT_FIRST;
	struct slice head;
	size_t look = 1;

	if (p->len == 0)
		return STEP_LOST;
	if (!peek_payload(w, p, 1, &head))
		return STEP_MORE;
	if (head.p[0] >= 0xfe || (head.p[0] == 0 && (state == AT_FIRST || state == AT_FILE)))
		look = END_LOOK;
	else if (state == AT_FIRST)
		look = 10; /* a length-encoded integer and a byte */
	if (!peek_payload(w, p, look, &head))
		return STEP_MORE;
	return handlers[state](w, p, head);
}

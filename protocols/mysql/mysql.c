/* The walk along the packets of both directions, and what becomes of it when bytes are lost.
 *
 * After a loss a command is looked for among the client's bytes (resync()); what the server sends
 * before one is found is passed over. The first packet behind it must then be the reply to it and
 * look like nothing else (reply_believable()), else the command stays without one. Whether a client
 * waits for its replies shows as it goes; of one that does not, nothing is paired after a loss.
 */
#include "protocols/mysql/packed.h"
#include "protocols/mysql/state.h"
#include "base/util.h"

static bool is_client(const struct walk *w)
{
	return w->in->dir == (enum dir)w->m->client;
}

/* The payload goes on in the next packet. */
static enum step next_packet(struct walk *w)
{
	struct half *h = w->half;
	struct packet p;

	if (!peek_packet(w, &p))
		return STEP_MORE;
	if (!seq_fits(w->m, &p, (uint8_t)(h->seq + 1)))
		return STEP_LOST;
	take_packet(w, &p, 0);
	if (!is_client(w))
		w->m->server_seq = (uint8_t)(p.seq + 1);
	else if (w->m->phase == PHASE_COMMANDS && w->m->request.job != JOB_CONTENT)
		note_reply_seq(w->m, (uint8_t)(p.seq + 1));
	return STEP_GO;
}

enum step pass_payload(struct walk *w)
{
	struct half *h = w->half;
	size_t n = (size_t)MIN(h->left, (uint64_t)rest(w).n);

	w->at += n;
	h->left -= n;
	if (h->left == 0)
		return STEP_GO;
	if (w->in->eof)
		return STEP_MORE;
	w->skip = h->left;
	return STEP_SKIP;
}

static enum step go(struct walk *w)
{
	struct half *h = w->half;

	if (!h->inside)
		return is_client(w) ? client_start(w) : server_start(w);
	if (h->left > 0)
		return is_client(w) ? client_payload(w) : pass_payload(w);
	if (h->more)
		return next_packet(w);
	h->inside = false;
	return is_client(w) ? client_done(w) : server_done(w);
}

/* Bytes that were skipped lie between the last call and this one. */
static bool skipped(struct half *h, uint64_t off)
{
	uint64_t n = off - h->last;

	if (!h->inside)
		return true;
	if (off < h->last || n > h->left)
		return false;
	h->left -= n;
	return true;
}

/* A reply that was under way or had not begun cannot be read any more. The newest command may have
 * been sent when it was over, so that its own reply may still come. */
static void give_up_pending(struct mysql *m, bool but_newest)
{
	uint32_t keep = but_newest ? m->n_pending : 0, from = 0;

	while (keep > 0 &&
	       !(m->pending[(m->pending_at + keep - 1) % MYSQL_PENDING_MAX].flags & PENDING_FIRST))
		keep--;
	from = keep > 1 ? keep - 1 : m->n_pending;
	while (from-- > 0)
		pending_pop(m);
	m->drops = 0;
}

/* Nothing is known any more of where the server's messages begin. gap: what was read before is sound,
 * and what the client sent meanwhile has been read. */
static void lose_server(struct mysql *m, struct sink *out, uint64_t off, bool gap)
{
	if (m->push_open)
		sink_end(out, MSG_PUSH, KEY_PUSH | m->next_push++, off, MSG_LOST | MSG_DEGRADED);
	m->push_open = false;
	m->over |= m->piped || m->blocked;
	reply_end(m, out, off, MSG_LOST | MSG_DEGRADED);
	give_up_pending(m, gap);
	m->file = m->eof_may_come = false;
	m->backslash = UNKNOWN; /* what was lost may have changed it */
	if (m->phase == PHASE_DIALOG)
		m->half[m->client].lost = true;
}

static void lose_client(struct mysql *m, struct sink *out, uint64_t off)
{
	m->over |= m->piped;
	request_end(m, out, off, MSG_LOST | MSG_DEGRADED);
	m->file = m->long_sent = false;
}

/* Without the login it is not known whether what follows is compressed. */
static bool is_readable(const struct mysql *m)
{
	return (m->phase == PHASE_COMMANDS && !m->packing) ||
	       (m->phase == PHASE_DIALOG && !(m->caps & (CAP_COMPRESS | CAP_ZSTD)));
}

static void lose(struct mysql *m, struct sink *out, enum dir dir, uint64_t off, bool gap)
{
	struct half *h = &m->half[dir];

	h->inside = h->more = false;
	h->left = 0;
	h->lost = true;
	m->over |= !is_readable(m);
	if (dir == (enum dir)m->client)
		lose_client(m, out, off);
	else
		lose_server(m, out, off, gap);
	m->phase = PHASE_COMMANDS;
}

/* The direction ends here, and so does what is open in it. */
static void finish(struct walk *w)
{
	struct mysql *m = w->m;

	w->at = w->in->buf.n;
	w->half->inside = false;
	if (is_client(w)) {
		request_end(m, w->out, position(w), MSG_CUT_EOF);
	} else if (m->push_open) {
		m->push_open = false;
		sink_end(w->out, MSG_PUSH, KEY_PUSH | m->next_push++, position(w), MSG_CUT_EOF);
	} else {
		reply_end(m, w->out, position(w), MSG_CUT_EOF);
	}
}

static struct parse_result conclude(struct walk *w, enum step step)
{
	struct mysql *m = w->m;
	struct parse_result r = step_result(step, w->in, w->at, 0);

	r.next = w->next;
	r.skip = w->skip;
	r.why = w->why;
	if (step == STEP_MORE && w->in->eof)
		finish(w);
	if (step == STEP_LOST)
		lose(m, w->out, w->in->dir, position(w), false);
	if (step == STEP_LOST && m->over) {
		r.st = PARSE_STOP;
		r.why = m->piped || m->blocked ? MYSQL_IN_DOUBT : NULL;
	}
	m->over |= step == STEP_STOP;
	r.consumed = w->at;
	w->half->last = position(w);
	return r;
}

/* At the first command of a connection that is older than what is known of it, which is what it was
 * recognised by: whether it goes on in compressed packets. What could be a command as it is, is one.
 * STEP_GO: it does not. */
static enum step goes_on(struct mysql *m, const struct parse_in *in)
{
	struct slice head = slice_head(in->buf, PACKED_LOOK);
	struct reader r = reader_of(head);
	uint32_t len = (uint32_t)read_le(&r, 3);
	size_t need = PACKED_LOOK;

	if (!m->mid || in->dir != (enum dir)m->client || head.n == 0)
		return STEP_GO;
	if (head.n > PACKET_HEADER && command_of(head.p[PACKET_HEADER]))
		need = MIN(need, PACKET_HEADER + (size_t)len);
	if (head.n < need && !in->eof && !in->force)
		return STEP_MORE;
	m->mid = false;
	m->packed = head.n == PACKED_LOOK && packed_plausible(head, true) &&
		    !command_plausible(slice_from(head, PACKET_HEADER), len);
	return m->packed ? STEP_UNPACK : STEP_GO;
}

static struct parse_result mysql_parse(void *st, const struct parse_in *in, struct sink *out)
{
	struct mysql *m = st;
	struct walk w = {
		.m = m, .half = &m->half[in->dir], .in = in, .out = out, .next = PROTO_UNKNOWN
	};
	enum step step = STEP_GO;

	if (m->over)
		return (struct parse_result){ .st = PARSE_STOP, .next = PROTO_UNKNOWN };
	step = goes_on(m, in);
	if (step != STEP_GO)
		return step_result(step, in, 0, 0);
	if (!skipped(w.half, in->off))
		step = STEP_LOST;
	while (step == STEP_GO)
		step = go(&w);
	return conclude(&w, step);
}

static void mysql_init(void *st, enum dir client, bool mid)
{
	struct mysql *m = st;

	m->client = (uint8_t)client;
	m->mid = m->half[0].lost = m->half[1].lost = mid;
	m->phase = mid ? PHASE_COMMANDS : PHASE_GREETING;
}

/* A command's header; parse() looks at what is behind it. */
static size_t find_command(struct slice buf)
{
	for (size_t i = 0; i < buf.n; i++) {
		struct slice at = slice_from(buf, i);

		if (at.n > 3 && at.p[3] != 0)
			continue;
		if (at.n > PACKET_HEADER && !command_of(at.p[PACKET_HEADER]))
			continue;
		return i;
	}
	return buf.n;
}

static size_t mysql_resync(const void *st, struct slice buf, enum dir dir)
{
	const struct mysql *m = st;

	return dir == (enum dir)m->client ? find_command(buf) : buf.n;
}

/* Bytes of a payload whose end is known are missing. */
static void gap_inside(struct mysql *m, enum dir dir, uint64_t lost)
{
	struct half *h = &m->half[dir];

	h->left -= lost;
	if (dir == (enum dir)m->client) {
		m->request.flags |= MSG_LOST;
		if (m->request.job == JOB_TEXT) {
			m->request.flags |= MSG_TRUNCATED;
			m->request.job = JOB_COMMAND;
		}
	} else {
		m->reply.flags |= MSG_LOST;
	}
}

static void mysql_gap(void *st, enum dir dir, uint64_t off, uint64_t lost, struct sink *out)
{
	struct mysql *m = st;
	struct half *h = &m->half[dir];

	if (lost == 0 || m->over)
		return;
	if (h->inside && off > h->last)
		h->left -= MIN(h->left, off - h->last);
	h->last = off + lost;
	if (h->inside && lost <= h->left)
		gap_inside(m, dir, lost);
	else
		lose(m, out, dir, off, true);
}

static void mysql_close(void *st, struct sink *out)
{
	struct mysql *m = st;
	enum dir server = dir_other((enum dir)m->client);

	while (drop_one(m, out))
		;
	(void)cursor_end(m, out);
	request_end(m, out, m->half[m->client].last, MSG_CUT_EOF);
	if (m->push_open)
		sink_end(out, MSG_PUSH, KEY_PUSH | m->next_push++, m->half[server].last,
			 MSG_CUT_EOF);
	m->push_open = false;
	reply_end(m, out, m->half[server].last, MSG_CUT_EOF);
	m->over = true;
}

const struct proto_ops mysql_ops = {
	.id = PROTO_MYSQL,
	.name = "mysql",
	.flags = PROTO_F_GAP_OK,
	.state_size = sizeof(struct mysql),
	.max_need = PACKET_HEADER + MYSQL_HEAD_MAX + 1,
	.probe = mysql_probe_greeting,
	.init = mysql_init,
	.parse = mysql_parse,
	.resync = mysql_resync,
	.gap = mysql_gap,
	.close = mysql_close,
};

/* Whether a connection speaks MySQL. A greeting is certain by itself. Without one, commands and
 * replies have to confirm each other: one byte says which command it is, which is next to nothing. */
#include "protocols/mysql/handshake.h"
#include "protocols/mysql/packed.h"
#include "protocols/mysql/state.h"
#include "base/util.h"

#define PACKETS_MAX 64 /* of a reply that are walked along */

static bool packet_at(struct slice s, struct packet *ret)
{
	struct reader r = reader_of(s);

	ret->len = (uint32_t)read_le(&r, 3);
	ret->seq = read_u8(&r);
	return !r.bad;
}

enum probe_result mysql_probe_greeting(const struct probe_in *in)
{
	struct slice payload = slice_from(in->head, PACKET_HEADER);
	struct err_packet e;
	struct packet p;
	uint64_t caps;

	if (!in->start)
		return PROBE_NO;
	if ((in->head.n > 3 && in->head.p[3] != 0) || (in->head.n > 2 && in->head.p[2] != 0) ||
	    (in->head.n > 4 && in->head.p[4] != 10 && in->head.p[4] != 0xff))
		return PROBE_NO;
	if (in->head.n <= PACKET_HEADER)
		return PROBE_MORE;
	if (!packet_at(in->head, &p) || p.len < 8 || p.len > PROBE_MAX - PACKET_HEADER)
		return PROBE_NO;
	if (in->head.p[4] == 10 && payload.n > 1 && (payload.p[1] < '0' || payload.p[1] > '9'))
		return PROBE_NO;
	if (payload.n < p.len)
		return PROBE_MORE;
	if (payload.n > p.len) /* a server that greets waits for the answer */
		return PROBE_NO;
	return greeting_parse(payload, &caps) || refusal_parse(payload, &e) ? PROBE_RESPONSE
									    : PROBE_NO;
}

/* How much can be said of a reply: nothing, that it may be one, that it can be nothing else. */
enum belief { BELIEF_NONE, BELIEF_MORE, BELIEF_SOME, BELIEF_SURE };

static enum belief reply_belief(struct slice s, uint8_t command)
{
	struct mysql m = { .caps = CAP_PROTOCOL_41 };
	struct parse_in in = { .buf = s };
	struct walk w = { .m = &m, .in = &in };
	struct pending to = { .command = command, .seq = 1 };
	struct packet p;
	enum step step;

	if (!packet_at(s, &p))
		return s.n == 4 ? BELIEF_NONE : BELIEF_MORE;
	step = reply_believable(&w, &p, &to);
	if (step != STEP_GO)
		return step == STEP_MORE ? BELIEF_MORE : BELIEF_NONE;
	if (s.p[PACKET_HEADER] == 0xff ||
	    (s.p[PACKET_HEADER] > 0 && command_of(command)->reply == REPLY_RESULT))
		return BELIEF_SURE;
	return BELIEF_SOME;
}

/* The command at the beginning of s; its packet's bytes, 0 when it is none. */
static size_t command_bytes(struct slice s, uint8_t *ret_command, bool *ret_more)
{
	struct packet p;
	struct slice payload;

	*ret_more = false;
	if (!packet_at(s, &p)) {
		*ret_more = true;
		return 0;
	}
	payload = slice_head(slice_from(s, PACKET_HEADER), p.len);
	if (p.seq != 0 || p.len == 0 || p.len == PACKET_FULL ||
	    (payload.n && !command_plausible(payload, p.len)))
		return 0;
	*ret_more = payload.n < MIN(p.len, (uint32_t)COMMAND_LOOK);
	if (*ret_more)
		return 0;
	*ret_command = payload.p[0];
	return PACKET_HEADER + p.len;
}

/* Where the packet with sequence number 1 behind the first packet of s begins; s.n when none does. */
static size_t next_reply(struct slice s)
{
	struct packet p;
	size_t at = 0;

	for (int i = 0; i < PACKETS_MAX && packet_at(slice_from(s, at), &p); i++) {
		if (p.seq != (uint8_t)(1 + i))
			return p.seq == 1 && i > 0 ? at : s.n;
		at += PACKET_HEADER + p.len;
		if (at >= s.n)
			break;
	}
	return s.n;
}

static enum probe_result conversation(struct slice client, struct slice server)
{
	uint8_t command;
	bool more;
	size_t n = command_bytes(client, &command, &more), m;
	struct packet reply;
	enum belief b;

	if (packet_at(server, &reply) && reply.seq != 1)
		return PROBE_NO;
	if (n == 0)
		return more ? PROBE_MORE : PROBE_NO;
	if (command_of(command)->reply == REPLY_NONE || command_of(command)->reply >= REPLY_AUTH)
		return PROBE_NO;
	b = reply_belief(server, command);
	if (b == BELIEF_NONE && server.n)
		return PROBE_NO;
	if (b == BELIEF_SURE)
		return PROBE_REQUEST;
	m = next_reply(server);
	if (b != BELIEF_SOME || n >= client.n || m >= server.n)
		return PROBE_MORE;
	client = slice_from(client, n);
	server = slice_from(server, m);
	if (command_bytes(client, &command, &more) == 0)
		return more ? PROBE_MORE : PROBE_NO;
	b = command_of(command)->reply == REPLY_NONE ? BELIEF_NONE : reply_belief(server, command);
	if (b == BELIEF_MORE)
		return PROBE_MORE;
	return b == BELIEF_NONE ? PROBE_NO : PROBE_REQUEST;
}

enum probe_result mysql_probe_pair(const struct probe_in *in)
{
	enum probe_result r = conversation(in->head, in->other);

	if (r != PROBE_NO || in->other.n == 0)
		return r;
	r = conversation(in->other, in->head);
	return r == PROBE_REQUEST ? PROBE_RESPONSE : r;
}

/* A command alone in its compressed packet, which is all there is. */
static enum probe_result packed_command(struct slice s)
{
	struct packed_header h;
	uint8_t command;
	bool more;

	if (s.n > 3 && s.p[3] != 0)
		return PROBE_NO;
	if (s.n < PACKED_LOOK)
		return PROBE_MORE;
	if (!packed_header_read(s, &h) || !packed_plausible(s, true))
		return PROBE_NO;
	if (s.n < MIN(PACKED_HEADER + h.wire, (uint32_t)PROBE_MAX))
		return PROBE_MORE;
	if (s.n != PACKED_HEADER + h.wire && s.n < PROBE_MAX)
		return PROBE_NO;
	return h.plain || command_bytes(packed_stored(s, 0), &command, &more) > 0 ? PROBE_REQUEST
										  : PROBE_NO;
}

static enum probe_result packed_conversation(struct slice client, struct slice server)
{
	enum probe_result r = packed_command(client);
	struct packed_header h;

	if (r != PROBE_REQUEST)
		return r;
	if (server.n < PACKED_LOOK)
		return server.n > 3 && server.p[3] != 1 ? PROBE_NO : PROBE_MORE;
	if (!packed_header_read(server, &h) || h.seq != 1 || !packed_plausible(server, false))
		return PROBE_NO;
	return h.plain ? PROBE_REQUEST
		       : conversation(packed_stored(client, 0), packed_stored(server, 1));
}

enum probe_result mysql_probe_packed(const struct probe_in *in)
{
	enum probe_result r;

	if (in->start)
		return PROBE_NO; /* a connection does not begin so */
	r = packed_conversation(in->head, in->other);
	if (r != PROBE_NO || in->other.n == 0)
		return r;
	r = packed_conversation(in->other, in->head);
	return r == PROBE_REQUEST ? PROBE_RESPONSE : r;
}

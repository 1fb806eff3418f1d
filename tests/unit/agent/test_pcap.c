/* The capture reader on packets made here, where each byte is known, and on files that tcpdump and
 * dumpcap wrote (tests/corpus/pcap/README.md says of what). */
#include "agent/pcap.h"
#include "base/bytes.h"
#include "base/strbuf.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define CONNS_MAX 16

/* What came out of the reader, by connection. */
struct got {
	struct strbuf bytes[2]; /* by direction, a gap as "[N]" */
	uint64_t next[2], eof[2];
	struct ev_conn open;
	struct ev_close close;
	bool opened, failed, closed, has_eof[2];
	uint64_t last_ns;
};

static struct got got[CONNS_MAX];
static size_t n_got;
static struct pcap *reader;
/* The datagrams that came out. */
static struct {
	struct ev_dgram last;
	struct strbuf bytes;
	size_t n;
} dgrams;
static bool rules_broken;

static struct got *got_of(uint64_t conn)
{
	return conn >= 1 && conn <= CONNS_MAX ? &got[conn - 1] : &got[0];
}

static void on_data(const struct ev_data *ev)
{
	struct got *g = got_of(ev->conn);
	int dir = ev->h.flags & EV_F_TX ? EV_TX : EV_RX;
	uint32_t missing = ev->orig_len - ev->cap_len;

	rules_broken |= !g->opened || g->closed || ev->pos < g->next[dir] || ev->orig_len == 0 ||
			ev->cap_len > EV_CHUNK_MAX || ev->h.len != sizeof(*ev) + ev->cap_len;
	if (ev->pos > g->next[dir])
		strbuf_addf(&g->bytes[dir], "[%llu]", (unsigned long long)(ev->pos - g->next[dir]));
	strbuf_add(&g->bytes[dir], ev->data, ev->cap_len);
	if (missing)
		strbuf_addf(&g->bytes[dir], "[%u]", missing);
	g->next[dir] = ev->pos + ev->orig_len;
}

static void on_event(void *ctx, const struct ev_hdr *h)
{
	const void *p = h;

	(void)ctx;
	if (h->type == EV_DGRAM) {
		const struct ev_dgram *ev = p;

		rules_broken |= h->len != sizeof(*ev) + ev->cap_len || ev->sock == 0;
		dgrams.n++;
		memcpy(&dgrams.last, ev, sizeof(dgrams.last));
		strbuf_reset(&dgrams.bytes);
		strbuf_add(&dgrams.bytes, ev->data, ev->cap_len);
		return;
	}
	rules_broken |= h->version != EV_VERSION || (uintptr_t)p % 8 != 0;
	if (h->type == EV_CONN_OPEN || h->type == EV_CONN_FAILED) {
		const struct ev_conn *ev = p;
		struct got *g = got_of(ev->conn);

		n_got++;
		rules_broken |= ev->conn != n_got || g->opened;
		g->open = *ev;
		g->opened = true;
		g->failed = h->type == EV_CONN_FAILED;
	} else if (h->type == EV_DATA) {
		on_data(p);
	} else if (h->type == EV_CONN_EOF) {
		const struct ev_eof *ev = p;
		int dir = h->flags & EV_F_TX ? EV_TX : EV_RX;

		got_of(ev->conn)->eof[dir] = ev->pos;
		got_of(ev->conn)->has_eof[dir] = true;
	} else if (h->type == EV_CONN_CLOSE) {
		const struct ev_close *ev = p;

		rules_broken |= got_of(ev->conn)->closed;
		got_of(ev->conn)->close = *ev;
		got_of(ev->conn)->closed = true;
	}
}

static void begin(void)
{
	memset(got, 0, sizeof(got));
	for (size_t i = 0; i < CONNS_MAX; i++)
		for (int d = 0; d < 2; d++)
			strbuf_init(&got[i].bytes[d], 64 * MIB);
	n_got = 0;
	memset(&dgrams, 0, sizeof(dgrams));
	strbuf_init(&dgrams.bytes, MIB);
	rules_broken = false;
	reader = pcap_new(on_event, NULL);
}

static void done(void)
{
	pcap_free(reader);
	strbuf_done(&dgrams.bytes);
	for (size_t i = 0; i < CONNS_MAX; i++)
		for (int d = 0; d < 2; d++)
			strbuf_done(&got[i].bytes[d]);
}

/* ---- packets made here ---- */

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

struct tcp {
	bool from_server;
	uint32_t seq, ack;
	uint8_t flags;
	const char *data;
};

static struct strbuf file = STRBUF_INIT(64 * MIB);
static uint32_t link_type, clock_s;
static bool v6;
static uint16_t client_port = 40000, server_port = 80;

static void add_be(struct strbuf *b, uint64_t v, size_t width)
{
	uint8_t bytes[8];

	put_be(bytes, v, width);
	strbuf_add(b, bytes, width);
}

static void add_le(struct strbuf *b, uint64_t v, size_t width)
{
	uint8_t bytes[8];

	put_le(bytes, v, width);
	strbuf_add(b, bytes, width);
}

static void file_begin(uint32_t link)
{
	link_type = link;
	clock_s = 1700000000;
	strbuf_reset(&file);
	add_le(&file, 0xa1b2c3d4, 4);
	add_le(&file, 2, 2);
	add_le(&file, 4, 2);
	add_le(&file, 0, 8);
	add_le(&file, 262144, 4);
	add_le(&file, link, 4);
}

/* cap: bytes of the packet that are recorded. */
static void file_packet(const struct strbuf *packet, size_t cap)
{
	add_le(&file, clock_s++, 4);
	add_le(&file, 5, 4);
	add_le(&file, MIN(cap, packet->len), 4);
	add_le(&file, packet->len, 4);
	strbuf_add(&file, packet->p, MIN(cap, packet->len));
}

static void add_link(struct strbuf *b)
{
	uint16_t type = v6 ? 0x86dd : 0x0800;

	switch (link_type) {
	case 1:
		strbuf_add(b, "\1\2\3\4\5\6\6\5\4\3\2\1", 12);
		add_be(b, 0x88a8, 2); /* two VLAN tags */
		add_be(b, 7, 2);
		add_be(b, 0x8100, 2);
		add_be(b, 8, 2);
		add_be(b, type, 2);
		break;
	case 113:
		strbuf_add(b, "\0\0\3\4\0\6\0\0\0\0\0\0\0\0", 14);
		add_be(b, type, 2);
		break;
	case 276:
		add_be(b, type, 2);
		strbuf_add(b, "\0\0\0\0\0\1\3\4\0\6\0\0\0\0\0\0\0\0", 18);
		break;
	case 0:
	case 108:
		add_le(b, v6 ? 30 : 2, 4);
		break;
	default:
		break;
	}
}

/* Of the packets made from here on: UDP, with only ports and data of struct tcp. */
static bool udp;

static void add_udp(struct strbuf *b, const struct tcp *t)
{
	add_be(b, t->from_server ? server_port : client_port, 2);
	add_be(b, t->from_server ? client_port : server_port, 2);
	add_be(b, 8 + strlen(t->data), 2);
	add_be(b, 0, 2);
	strbuf_adds(b, t->data);
}

static void add_tcp(struct strbuf *b, const struct tcp *t)
{
	if (udp) {
		add_udp(b, t);
		return;
	}
	add_be(b, t->from_server ? server_port : client_port, 2);
	add_be(b, t->from_server ? client_port : server_port, 2);
	add_be(b, t->seq, 4);
	add_be(b, t->ack, 4);
	add_be(b, 0x60, 1); /* one word of options */
	add_be(b, t->flags | 8u, 1);
	add_be(b, 1000, 2);
	add_be(b, 0, 4);
	add_be(b, 0x01010101, 4);
	strbuf_adds(b, t->data ? t->data : "");
}

/* frag: the fragment field; proto data follows. */
static void add_ip4(struct strbuf *b, const struct tcp *t, size_t payload, uint16_t id,
		    uint16_t frag)
{
	add_be(b, 0x45, 1);
	add_be(b, 0, 1);
	add_be(b, 20 + payload, 2);
	add_be(b, id, 2);
	add_be(b, frag, 2);
	add_be(b, 64, 1);
	add_be(b, udp ? 17 : 6, 1);
	add_be(b, 0, 2);
	add_be(b, t->from_server ? 0x0a000002 : 0x0a000001, 4);
	add_be(b, t->from_server ? 0x0a000001 : 0x0a000002, 4);
}

static void add_ip6(struct strbuf *b, const struct tcp *t, size_t payload)
{
	add_be(b, 0x60000000, 4);
	add_be(b, payload + 16, 2);
	add_be(b, 0, 1); /* hop-by-hop options, then destination options */
	add_be(b, 64, 1);
	add_be(b, 0xfd00000000000000, 8);
	add_be(b, t->from_server ? 2 : 1, 8);
	add_be(b, 0xfd00000000000000, 8);
	add_be(b, t->from_server ? 1 : 2, 8);
	strbuf_add(b, "\x3c\0\1\4\0\0\0\0", 8);
	strbuf_add(b, udp ? "\x11\0\1\4\0\0\0\0" : "\6\0\1\4\0\0\0\0", 8);
}

static void put_packet(const struct tcp *t, size_t cap)
{
	struct strbuf segment = STRBUF_INIT(MIB), packet = STRBUF_INIT(MIB);

	add_tcp(&segment, t);
	add_link(&packet);
	if (v6)
		add_ip6(&packet, t, segment.len);
	else
		add_ip4(&packet, t, segment.len, 1, 0x4000);
	strbuf_add(&packet, segment.p, segment.len);
	strbuf_adds(&packet, link_type == 1 ? "pad" : ""); /* Ethernet's padding is no data */
	file_packet(&packet, cap);
	strbuf_done(&segment);
	strbuf_done(&packet);
}

static void put(bool from_server, uint32_t seq, uint32_t ack, uint8_t flags, const char *data)
{
	put_packet(&(struct tcp){ from_server, seq, ack, flags, data }, SIZE_MAX);
}

#define C(seq, ack, flags, data) put(false, seq, ack, flags, data)
#define S(seq, ack, flags, data) put(true, seq, ack, flags, data)

/* piece: bytes of one push. */
static int run(size_t piece)
{
	struct slice left = strbuf_slice(&file);
	int e = 0;

	begin();
	while (left.n > 0 && e == 0) {
		e = pcap_push(reader, slice_head(left, piece));
		left = slice_from(left, piece);
	}
	e = pcap_finish(reader);
	EXPECT(!rules_broken);
	return e;
}

static void expect_streams(const char *client, const char *server)
{
	EXPECT_STR(strbuf_str(&got[0].bytes[EV_RX]), client);
	EXPECT_STR(strbuf_str(&got[0].bytes[EV_TX]), server);
}

static void handshake(uint32_t c, uint32_t s)
{
	C(c, 0, SYN, NULL);
	S(s, c + 1, SYN | ACK, NULL);
	C(c + 1, s + 1, ACK, NULL);
}

static void whole_exchange(uint32_t c, uint32_t s)
{
	handshake(c, s);
	C(c + 1, s + 1, ACK, "hello");
	S(s + 1, c + 6, ACK, "world!");
	C(c + 6, s + 7, ACK | FIN, NULL);
	S(s + 7, c + 7, ACK | FIN, NULL);
	C(c + 7, s + 8, ACK, NULL);
}

static void test_pcap__link_layers(void)
{
	static const uint32_t links[] = { 0, 1, 12, 101, 108, 113, 228, 276 };

	for (size_t i = 0; i < ARRAY_SIZE(links) * 2; i++) {
		v6 = i % 2;
		file_begin(links[i / 2]);
		whole_exchange(100, 5000);
		EXPECT_EQ(run(SIZE_MAX), 0);
		expect_streams("hello", "world!");
		EXPECT(got[0].closed && got[0].close.err == 0 && got[0].has_eof[0] &&
		       got[0].has_eof[1]);
		EXPECT(got[0].open.initiator == EV_INITIATOR_REMOTE && got[0].open.isn_known);
		EXPECT(got[0].open.isn[EV_RX] == 101 && got[0].open.isn[EV_TX] == 5001);
		EXPECT(got[0].open.local_port == 80 && got[0].open.remote_port == 40000);
		EXPECT_EQ(got[0].open.family, v6 ? AF_INET6 : AF_INET);
		EXPECT(got[0].open.local[15] == 2 && got[0].open.remote[15] == 1);
		EXPECT_EQ(got[0].open.connect_ns, 1000000000);
		EXPECT_EQ(got[0].open.h.ts_ns, 1700000001000005000);
		EXPECT_EQ(pcap_stats(reader)->tcp, 8);
		done();
	}
	v6 = false;
	file_begin(999);
	whole_exchange(1, 1);
	EXPECT_EQ(run(SIZE_MAX), 0);
	EXPECT_EQ(pcap_stats(reader)->unknown_link, 8);
	done();
}

static void test_pcap__any_piece_size(void)
{
	file_begin(1);
	whole_exchange(100, 5000);
	for (size_t piece = 1; piece < 60; piece++) {
		EXPECT_EQ(run(piece), 0);
		expect_streams("hello", "world!");
		done();
	}
}

static void test_pcap__order_and_repetition(void)
{
	file_begin(101);
	handshake(100, 5000);
	C(107, 5001, ACK, "ghi");
	C(104, 5001, ACK, "defgh"); /* overlaps what is held */
	C(101, 5001, ACK, "abc");
	C(101, 5001, ACK, "abcdef"); /* again */
	C(110, 5001, ACK, "jk");
	C(109, 5001, ACK, "ijkl"); /* half of it known */
	EXPECT_EQ(run(SIZE_MAX), 0);
	expect_streams("abcdefghijkl", "");
	EXPECT_EQ(pcap_stats(reader)->lost_bytes, 0);
	EXPECT(pcap_stats(reader)->retransmitted_bytes > 0);
	done();
}

static void test_pcap__sequence_wraps(void)
{
	file_begin(101);
	whole_exchange(0xfffffffd, 0xfffffff9);
	EXPECT_EQ(run(SIZE_MAX), 0);
	expect_streams("hello", "world!");
	EXPECT(got[0].closed && got[0].close.pos[EV_RX] == 5 && got[0].close.pos[EV_TX] == 6);
	done();
}

static void test_pcap__missing_segment(void)
{
	file_begin(101);
	handshake(100, 5000);
	C(101, 5001, ACK, "abc");
	C(110, 5001, ACK, "jkl"); /* 104..109 were not captured, but acknowledged */
	for (int i = 0; i < 20; i++)
		S(5001 + (uint32_t)i, 113, ACK, "x");
	C(113, 5021, ACK, "mno");
	EXPECT_EQ(run(SIZE_MAX), 0);
	expect_streams("abc[6]jklmno", "xxxxxxxxxxxxxxxxxxxx");
	EXPECT_EQ(pcap_stats(reader)->lost_bytes, 6);
	done();
	/* Not acknowledged: it is waited for. */
	file_begin(101);
	handshake(100, 5000);
	C(110, 5001, ACK, "jkl");
	for (int i = 0; i < 50; i++)
		S(5001 + (uint32_t)i, 101, ACK, "x");
	C(101, 5051, ACK, "abcdefghi");
	EXPECT_EQ(run(SIZE_MAX), 0);
	EXPECT_STR(strbuf_str(&got[0].bytes[EV_RX]), "abcdefghijkl");
	done();
}

static void test_pcap__cut_packets(void)
{
	file_begin(101);
	handshake(100, 5000);
	put_packet(&(struct tcp){ false, 101, 5001, ACK, "0123456789" }, 20 + 24 + 4);
	C(111, 5001, ACK, "next");
	EXPECT_EQ(run(SIZE_MAX), 0);
	expect_streams("0123[6]next", "");
	EXPECT_EQ(pcap_stats(reader)->cut_packets, 1);
	done();
}

static void test_pcap__mid_stream(void)
{
	file_begin(101);
	S(5000, 100, ACK, "tail");
	C(100, 5004, ACK, "GET / HTTP/1.1\r\n\r\n");
	S(5004, 118, ACK, "HTTP/1.1 204 N\r\n\r\n");
	EXPECT_EQ(run(SIZE_MAX), 0);
	expect_streams("GET / HTTP/1.1\r\n\r\n", "tailHTTP/1.1 204 N\r\n\r\n");
	EXPECT(got[0].open.h.flags & EV_F_OLD);
	EXPECT(got[0].open.initiator == EV_INITIATOR_UNKNOWN && !got[0].open.isn_known);
	EXPECT_EQ(got[0].open.local_port, 80); /* by the lower port */
	done();
	/* By content, whatever the ports say. */
	server_port = 50000;
	file_begin(101);
	C(100, 5004, ACK, "GET / HTTP/1.1\r\n\r\n");
	EXPECT_EQ(run(SIZE_MAX), 0);
	EXPECT_EQ(got[0].open.local_port, 50000);
	server_port = 80;
	done();
}

static void test_pcap__ends(void)
{
	file_begin(101);
	C(100, 0, SYN, NULL);
	S(0, 101, RST | ACK, NULL);
	client_port = 40001;
	C(100, 0, SYN, NULL); /* never answered */
	clock_s += 10;
	client_port = 40002;
	handshake(7, 8);
	C(8, 9, ACK, "abc");
	S(9, 11, RST | ACK, NULL);
	client_port = 40004;
	handshake(7, 8);
	C(8, 9, ACK, "abc");
	C(11, 9, RST | ACK, NULL);
	client_port = 40003;
	whole_exchange(50, 60);
	whole_exchange(1050, 1060); /* the same ports again */
	client_port = 40000;
	EXPECT_EQ(run(SIZE_MAX), 0);
	EXPECT_EQ(n_got, 6);
	EXPECT(got[0].failed && got[0].open.err == ECONNREFUSED);
	EXPECT(got[0].open.local_port == 40000 && got[0].open.initiator == EV_INITIATOR_LOCAL);
	EXPECT(got[1].closed && got[1].close.err == ECONNRESET && got[1].close.pos[EV_RX] == 3);
	EXPECT(got[1].close.h.flags == EV_F_TX); /* by the server, whose end is shown */
	EXPECT(got[2].closed && got[2].close.err == ECONNRESET && got[2].close.h.flags == 0);
	EXPECT(got[3].closed && got[3].close.err == 0 && got[4].closed && got[4].close.err == 0);
	EXPECT(got[5].failed && got[5].open.err == ETIMEDOUT);
	EXPECT_STR(strbuf_str(&got[4].bytes[EV_TX]), "world!");
	done();
}

/* One segment in fragments of 16 bytes, in the order given. */
static void put_fragments(const struct tcp *t, const int *order, size_t n, bool six)
{
	struct strbuf segment = STRBUF_INIT(MIB);

	add_tcp(&segment, t);
	for (size_t i = 0; i < n; i++) {
		struct strbuf packet = STRBUF_INIT(MIB);
		size_t off = (size_t)order[i] * 16, len = MIN(segment.len - off, (size_t)16);
		bool more = off + len < segment.len;

		if (six) {
			add_be(&packet, 0x60000000, 4);
			add_be(&packet, 8 + len, 2);
			add_be(&packet, 44, 1);
			add_be(&packet, 64, 1);
			add_be(&packet, 0xfd00000000000000, 8);
			add_be(&packet, 1, 8);
			add_be(&packet, 0xfd00000000000000, 8);
			add_be(&packet, 2, 8);
			add_be(&packet, udp ? 17 : 6, 1);
			add_be(&packet, 0, 1);
			add_be(&packet, off | more, 2);
			add_be(&packet, 77, 4);
		} else {
			add_ip4(&packet, t, len, 99, (uint16_t)((more ? 0x2000 : 0) | off / 8));
		}
		strbuf_add(&packet, segment.p + off, len);
		file_packet(&packet, SIZE_MAX);
		strbuf_done(&packet);
	}
	strbuf_done(&segment);
}

static void test_pcap__fragments(void)
{
	static const int orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 2, 0, 3, 1 } };
	struct tcp t = { false, 101, 5001, ACK,
			 "0123456789abcdefghijklmnopqrs" }; /* 24 + 29 bytes */

	for (size_t i = 0; i < ARRAY_SIZE(orders) * 2; i++) {
		v6 = i % 2;
		file_begin(101);
		handshake(100, 5000);
		put_fragments(&t, orders[i / 2], 4, v6);
		EXPECT_EQ(run(SIZE_MAX), 0);
		expect_streams(t.data, "");
		EXPECT_EQ(pcap_stats(reader)->fragments, 4);
		EXPECT_EQ(pcap_stats(reader)->fragments_dropped, 0);
		done();
	}
	v6 = false;
	file_begin(101);
	handshake(100, 5000);
	put_fragments(&t, orders[0], 3, false); /* the last one is missing */
	EXPECT_EQ(run(SIZE_MAX), 0);
	expect_streams("", "");
	done();
}

static void expect_datagram(bool from_server, const char *data)
{
	const struct ev_dgram *e = &dgrams.last;
	uint8_t server[16] = { [10] = 0xff, 0xff, 10, 0, 0, 2 };

	if (v6)
		memcpy(server, (uint8_t[16]){ 0xfd, [15] = 2 }, 16);
	EXPECT_STR(strbuf_str(&dgrams.bytes), data);
	EXPECT_EQ(e->orig_len, strlen(data));
	EXPECT_EQ(e->h.flags, from_server ? EV_F_TX : 0);
	EXPECT_EQ(e->local_port, server_port);
	EXPECT_EQ(e->remote_port, client_port);
	EXPECT(memcmp(e->local, server, 16) == 0);
	EXPECT_EQ(e->h.ts_ns % 1000, 0);
	EXPECT_EQ(e->h.miss, EV_MISS_NONE);
}

/* What a datagram of each link layer, tagged or not, whole or in fragments, becomes. */
static void test_pcap__datagrams(void)
{
	static const uint32_t links[] = { 0, 1, 101, 113, 276 };
	static const int orders[][2] = { { 0, 1 }, { 1, 0 } };
	struct tcp query = { false, 0, 0, 0, "what is the address" },
		   answer = { true, 0, 0, 0, "here" };

	udp = true;
	for (size_t i = 0; i < ARRAY_SIZE(links) * 2; i++) {
		uint64_t sock;

		v6 = i % 2;
		for (int last = 0; last < 2; last++) {
			file_begin(links[i / 2]);
			put_packet(&query, SIZE_MAX);
			if (last)
				put_packet(&answer, SIZE_MAX);
			EXPECT_EQ(run(i % 3 ? SIZE_MAX : 1), 0);
			expect_datagram(last, last ? answer.data : query.data);
			EXPECT(!last || dgrams.last.sock == sock);
			sock = dgrams.last.sock;
			EXPECT_EQ(pcap_stats(reader)->udp, 1u + (unsigned int)last);
			done();
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(orders) * 2; i++) {
		v6 = i % 2;
		file_begin(101);
		put_fragments(&query, orders[i / 2], 2, v6);
		EXPECT_EQ(run(SIZE_MAX), 0);
		expect_datagram(false, query.data);
		EXPECT_EQ(dgrams.n, 1);
		done();
	}
	v6 = udp = false;
}

/* Recorded in part, empty, and with lengths that do not fit. */
static void test_pcap__bad_datagrams(void)
{
	struct tcp t = { false, 0, 0, 0, "what is the address" };
	size_t length_at;

	udp = true;
	file_begin(101);
	put_packet(&t, 20 + 8 + 4);
	EXPECT_EQ(run(SIZE_MAX), 0);
	EXPECT_STR(strbuf_str(&dgrams.bytes), "what");
	EXPECT_EQ(dgrams.last.orig_len, strlen(t.data));
	EXPECT_EQ(dgrams.last.h.miss, EV_MISS_LIMIT);
	done();
	for (int length = 0; length < 40; length++) {
		file_begin(101);
		put_packet(&t, SIZE_MAX);
		length_at = file.len - strlen(t.data) - 3;
		file.p[length_at] = (char)length;
		EXPECT_EQ(run(SIZE_MAX), 0);
		if (length == 8) /* empty: none */
			EXPECT_EQ(dgrams.n, 0);
		else if (length == 0 || (length > 8 && length <= 27))
			EXPECT_EQ(dgrams.last.orig_len, length ? length - 8 : 19);
		else
			EXPECT_EQ(pcap_stats(reader)->malformed, 1);
		done();
	}
	udp = false;
}

static void test_pcap__malformed(void)
{
	size_t whole, whole_packets = 0;

	file_begin(101);
	whole_exchange(100, 5000);
	whole = file.len;
	for (size_t n = 0; n < whole; n++) {
		int e;

		file.len = n;
		e = run(SIZE_MAX);
		EXPECT(n < 24 ? e == -EPROTO : e == 0 || e == -EBADMSG);
		whole_packets += e == 0;
		EXPECT(got[0].bytes[EV_RX].len <= 5);
		done();
	}
	EXPECT_EQ(whole_packets, 8); /* the header alone, and behind each packet but the last */
	strbuf_reset(&file);
	strbuf_adds(&file, "GIF89a, which is no capture");
	EXPECT_EQ(run(SIZE_MAX), -EPROTO);
	done();
	file_begin(101);
	add_le(&file, 0, 8);
	add_le(&file, PCAP_PACKET_MAX + 1, 4);
	add_le(&file, PCAP_PACKET_MAX + 1, 4);
	EXPECT_EQ(run(SIZE_MAX), -EBADMSG);
	done();
}

/* ---- pcapng made here ---- */

static void add_n(bool big, uint64_t v, size_t width)
{
	if (big)
		add_be(&file, v, width);
	else
		add_le(&file, v, width);
}

static void ng_section(bool big)
{
	add_n(big, 0x0a0d0d0a, 4);
	add_n(big, 28, 4);
	add_n(big, 0x1a2b3c4d, 4);
	add_n(big, 1, 2);
	add_n(big, 0, 2);
	add_n(big, UINT64_MAX, 8);
	add_n(big, 28, 4);
}

static void ng_interface(bool big, uint32_t link, uint8_t resolution)
{
	add_n(big, 1, 4);
	add_n(big, 32, 4);
	add_n(big, link, 2);
	add_n(big, 0, 2);
	add_n(big, 0, 4);
	add_n(big, 9, 2); /* if_tsresol */
	add_n(big, 1, 2);
	add_be(&file, resolution, 1);
	add_be(&file, 0, 3);
	add_n(big, 0, 4); /* end of options */
	add_n(big, 32, 4);
}

static void ng_packet(bool big, uint32_t interface, uint64_t ts, const struct strbuf *packet)
{
	size_t padded = (packet->len + 3) / 4 * 4;

	add_n(big, 6, 4);
	add_n(big, 32 + padded, 4);
	add_n(big, interface, 4);
	add_n(big, ts >> 32, 4);
	add_n(big, ts & 0xffffffff, 4);
	add_n(big, packet->len, 4);
	add_n(big, packet->len, 4);
	strbuf_add(&file, packet->p, packet->len);
	strbuf_add(&file, "\0\0\0", padded - packet->len);
	add_n(big, 32 + padded, 4);
}

static void test_pcap__pcapng(void)
{
	struct tcp t = { false, 101, 5001, ACK, "GET / HTTP/1.1\r\n\r\n" };

	for (int big = 0; big < 2; big++) {
		struct strbuf packet = STRBUF_INIT(MIB), segment = STRBUF_INIT(MIB);

		add_tcp(&segment, &t);
		add_ip4(&packet, &t, segment.len, 1, 0);
		strbuf_add(&packet, segment.p, segment.len);
		strbuf_reset(&file);
		ng_section(big);
		ng_interface(big, 1, 6);
		ng_interface(big, 101, 9);
		add_n(big, 0x0bad, 4); /* an unknown block */
		add_n(big, 16, 4);
		add_n(big, 0, 4);
		add_n(big, 16, 4);
		ng_packet(big, 1, 1700000000123456789, &packet);
		ng_section(!big); /* interfaces are forgotten */
		ng_packet(!big, 0, 0, &packet);
		for (size_t piece = 1; piece < 40; piece++) {
			EXPECT_EQ(run(piece), 0);
			expect_streams("GET / HTTP/1.1\r\n\r\n", "");
			EXPECT_EQ(got[0].open.h.ts_ns, 1700000000123456789);
			EXPECT(pcap_stats(reader)->packets == 2 &&
			       pcap_stats(reader)->unknown_link == 1);
			done();
		}
		strbuf_done(&packet);
		strbuf_done(&segment);
	}
}

static bool read_file(const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "tests/corpus/pcap/%s", name);
	f = fopen(path, "rb");
	strbuf_reset(&file);
	if (!f)
		return EXPECT(f != NULL);
	while (!feof(f)) {
		void *room = strbuf_reserve(&file, 65536);

		if (!room)
			break;
		file.len += fread(room, 1, 65536, f);
	}
	fclose(f);
	return true;
}

#define BIG_BYTES 90890

/* The numbers below 17,000, a line each. */
static void make_big(char big[BIG_BYTES + 1])
{
	size_t n = 0;

	for (int i = 0; i < 17000; i++)
		n += (size_t)snprintf(big + n, BIG_BYTES + 1 - n, "%d\n", i);
	EXPECT_EQ(n, BIG_BYTES);
}

/* Two exchanges on one connection, the second with BIG_BYTES of body, then one on another
 * connection. */
static void expect_recorded(const char *name, bool sees_start)
{
	static char big[BIG_BYTES + 1];

	make_big(big);
	if (!read_file(name))
		return;
	EXPECT_EQ(run(SIZE_MAX), 0);
	EXPECT_EQ(n_got, 2);
	EXPECT_EQ(pcap_stats(reader)->lost_bytes, 0);
	for (size_t i = 0; i < 2 && i < n_got; i++) {
		const char *request = strbuf_str(&got[i].bytes[EV_RX]);
		const struct strbuf *answer = &got[i].bytes[EV_TX];

		EXPECT(got[i].closed);
		EXPECT_EQ(got[i].open.initiator,
			  sees_start || i > 0 ? EV_INITIATOR_REMOTE : EV_INITIATOR_UNKNOWN);
		EXPECT_EQ(got[i].open.local_port, 8977);
		EXPECT(strstr(request, "GET /small HTTP/1.1\r\n") != NULL);
		EXPECT(i == 1 || strstr(request, "GET /big HTTP/1.1\r\n") != NULL);
		EXPECT(i == 1 ||
		       (answer->len > BIG_BYTES &&
			memcmp(answer->p + answer->len - BIG_BYTES, big, BIG_BYTES) == 0));
		EXPECT(strstr(strbuf_str(answer), "HTTP/1.1 200 OK\r\n") != NULL);
	}
	done();
}

static void test_pcap__recorded_ethernet(void)
{
	expect_recorded("lo.pcap", true);
}

static void test_pcap__recorded_cooked(void)
{
	expect_recorded("any-sll.pcap", true);
	expect_recorded("any-sll2.pcap", true);
}

static void test_pcap__recorded_pcapng(void)
{
	expect_recorded("lo6.pcapng", true);
}

static void test_pcap__recorded_mid_stream(void)
{
	expect_recorded("mid.pcap", false);
}

TEST_MAIN(TEST(test_pcap__link_layers), TEST(test_pcap__any_piece_size),
	  TEST(test_pcap__order_and_repetition), TEST(test_pcap__sequence_wraps),
	  TEST(test_pcap__missing_segment), TEST(test_pcap__cut_packets),
	  TEST(test_pcap__mid_stream), TEST(test_pcap__ends), TEST(test_pcap__fragments),
	  TEST(test_pcap__datagrams), TEST(test_pcap__bad_datagrams), TEST(test_pcap__malformed),
	  TEST(test_pcap__pcapng), TEST(test_pcap__recorded_ethernet),
	  TEST(test_pcap__recorded_cooked), TEST(test_pcap__recorded_pcapng),
	  TEST(test_pcap__recorded_mid_stream))

/* The capture reader on any bytes: records are well-formed and in order, and the same whatever the
 * size of the pieces the file comes in. */
#include "agent/pcap.h"
#include "base/util.h"
#include "tests/fuzz/work.h"

#include <stdio.h>
#include <string.h>

#define CONNS_MAX 256

static const struct work_bound pcap_bound = { "pcap", 64, 16384 };
#define PIECE_BYTES_WORTH 8

struct seen {
	uint64_t next[CONNS_MAX][2];
	uint64_t n_conns, n_events, sum;
	uint8_t state[CONNS_MAX]; /* 0 unknown, 1 open, 2 over */
};

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fuzz_pcap: %s\n", what);
		abort();
	}
}

static void on_data(struct seen *s, const struct ev_data *ev)
{
	int dir = ev->h.flags & EV_F_TX ? EV_TX : EV_RX;

	check(ev->h.len == sizeof(*ev) + ev->cap_len && ev->cap_len <= EV_CHUNK_MAX,
	      "length of data");
	check(ev->orig_len > 0 && ev->cap_len <= ev->orig_len, "data of nothing");
	if (ev->conn > CONNS_MAX)
		return;
	check(s->state[ev->conn - 1] == 1, "data of a connection that is not open");
	check(ev->pos >= s->next[ev->conn - 1][dir], "a position goes back");
	s->next[ev->conn - 1][dir] = ev->pos + ev->orig_len;
}

static void on_record(void *ctx, const struct ev_hdr *h)
{
	struct seen *s = ctx;
	const void *p = h;
	uint64_t conn;

	memcpy(&conn, (const uint8_t *)p + sizeof(*h), sizeof(conn));
	check(h->version == EV_VERSION && conn != 0, "header");
	s->n_events++;
	for (uint32_t i = 0; i < h->len; i++)
		s->sum = s->sum * 31 + ((const uint8_t *)p)[i];
	switch (h->type) {
	case EV_CONN_OPEN:
	case EV_CONN_FAILED:
		check(h->len == sizeof(struct ev_conn) && conn == ++s->n_conns, "a new connection");
		if (conn <= CONNS_MAX)
			s->state[conn - 1] = h->type == EV_CONN_OPEN ? 1 : 2;
		break;
	case EV_DATA:
		on_data(s, p);
		break;
	case EV_DGRAM: {
		const struct ev_dgram *g = p;

		check(h->len == sizeof(*g) + g->cap_len && g->cap_len <= EV_DGRAM_MAX &&
			      g->cap_len <= g->orig_len && g->orig_len > 0,
		      "length of a datagram");
		break;
	}
	case EV_CONN_EOF:
		check(h->len == sizeof(struct ev_eof), "length of an end");
		break;
	case EV_CONN_CLOSE:
		check(h->len == sizeof(struct ev_close), "length of a close");
		check(conn > CONNS_MAX || s->state[conn - 1] == 1, "closed, but not open");
		if (conn <= CONNS_MAX)
			s->state[conn - 1] = 2;
		break;
	default:
		check(false, "unknown type");
	}
}

static void on_event(void *ctx, const struct ev_hdr *h)
{
	work_pause();
	on_record(ctx, h);
	work_resume();
}

static int play(struct slice file, size_t piece, struct seen *s)
{
	struct pcap *p = pcap_new(on_event, s);
	struct slice left = file;
	size_t pieces = 1;
	int e = 0;

	check(p != NULL, "memory");
	memset(s, 0, sizeof(*s));
	work_begin();
	while (left.n > 0 && e == 0) {
		e = pcap_push(p, slice_head(left, piece));
		left = slice_from(left, piece);
		pieces++;
	}
	e = pcap_finish(p);
	work_end(&pcap_bound, file.n + PIECE_BYTES_WORTH * pieces);
	check(pcap_stats(p)->packets >= pcap_stats(p)->tcp, "packets");
	pcap_free(p);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, cut;
	int e = play(slice_of(data, size), SIZE_MAX, &whole);

	check(play(slice_of(data, size), 1 + size % 97, &cut) == e, "another verdict in pieces");
	check(whole.n_events == cut.n_events && whole.sum == cut.sum, "other records in pieces");
	return 0;
}

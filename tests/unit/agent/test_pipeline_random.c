/* Pieces of HTTP in any order, split anywhere, with gaps, repeats, ends and positions that no
 * kernel would tell: memory stays whole (sanitizers), work ends, and the ledger balances to the
 * unit.
 */
#include "agent/pipeline_int.h"
#include "protocols/record.h"
#include "tests/lib/test.h"

#define CONNS  12
#define EVENTS 4000
#define RUNS   12
#ifndef SEED
#define SEED 1ULL
#endif

static struct {
	struct ledger ledger;
	struct conn_ctl ctl[CONNS + 1];
	struct pipeline *p;
	_Alignas(8) uint8_t frame[ROW_MAX];
	uint64_t seed, now, next_id, rows, bad_rows;
	uint64_t id[CONNS], pos[CONNS][2];
	bool begun[CONNS][2];
} t;

static uint64_t any(uint64_t below)
{
	t.seed = t.seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (t.seed >> 33) % below;
}

static void *reserve(void *ctx, uint32_t n)
{
	(void)ctx;
	return n <= sizeof(t.frame) && any(500) ? t.frame : NULL;
}

static void commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	struct row row;

	(void)ctx;
	if (type != PIPE_ROW && type != PIPE_SNAPSHOT)
		return;
	t.rows++;
	t.bad_rows += row_check(slice_of(t.frame, n), &row) < 0;
}

static void publish(void *ctx)
{
	(void)ctx;
}

static const char *const pieces[] = {
	"GET / HTTP/1.1\r\n\r\n",
	"GET /a?b=c HTTP/1.0\r\nHost: x\r\n",
	"POST /p HTTP/1.1\r\n",
	"HEAD /h HTTP/1.1\r\n\r\n",
	"CONNECT h:1 HTTP/1.1\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n",
	"HTTP/1.1 204 No\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 101 Switching\r\n\r\n",
	"HTTP/1.0 500 Oh\r\n\r\n",
	"Content-Length: 5\r\n",
	"Content-Length: 4611686018427387904\r\n",
	"Content-Length: 99999\r\n",
	"Transfer-Encoding: chunked\r\n",
	"Upgrade: websocket\r\n",
	"Authorization: Bearer abcdef12\r\n",
	"\r\n",
	"\r\n\r\n",
	"hello",
	"5\r\nhello\r\n",
	"0\r\n\r\n",
	"ffffffffffffffff\r\n",
	"3fffffffffffffff\r\n",
	" folded\r\n",
	":bad\r\n",
	"\xff\xfe\x00z",
	"x",
	"\n",
	"Host: y\r\n",
};

/* first: what a connection begins with, so that most are parsed. */
static size_t fill(uint8_t *out, size_t cap, const char *first)
{
	size_t n = strlen(first), want = any(20) ? any(6) : any(2000);

	memcpy(out, first, n);

	for (size_t i = 0; i <= want; i++) {
		const char *s = pieces[any(ARRAY_SIZE(pieces))];
		size_t k = strlen(s);

		if (any(8) == 0)
			k = any(k + 1);
		if (n + k > cap)
			break;
		memcpy(out + n, s, k);
		n += k;
	}
	return n;
}

static void give_open(size_t i)
{
	struct ev_conn e = {
		.h = { sizeof(e), EV_CONN_OPEN, EV_VERSION, any(3) ? 0 : EV_F_OLD, 0,
		       t.now += any(100000) },
		.conn = t.id[i] = ++t.next_id,
		.slot = any(10) ? (uint32_t)i : EV_NO_SLOT,
		.tgid = (uint32_t)any(5),
		.initiator = (uint8_t)any(3),
		.isn_known = (uint8_t)any(2),
		.isn = { (uint32_t)any(4), (uint32_t)any(4) },
	};

	t.begun[i][0] = t.begun[i][1] = false;
	for (int d = 0; d < 2; d++)
		e.pos[d] = t.pos[i][d] = any(20) ? 0 : UINT64_MAX - any(100000);
	memcpy(e.comm, "0123456789abcdef", any(16));
	pipeline_event(t.p, &e.h);
}

static void give_data(size_t i, int d)
{
	static _Alignas(8) uint8_t buf[sizeof(struct ev_data) + EV_CHUNK_MAX];
	struct ev_data *ev = (void *)buf;
	const char *first = t.begun[i][d] || any(10) == 0 ? ""
			    : d				  ? "HTTP/1.1 200 OK\r\n"
							  : "GET / HTTP/1.1\r\nHost: z\r\n";
	size_t n = fill(ev->data, EV_CHUNK_MAX, first);
	uint64_t pos = t.pos[i][d];
	uint32_t behind = any(10) ? 0 : (uint32_t)any(any(2) ? 10 : 200000);

	if (any(15) == 0)
		pos = any(2) ? pos + any(500) : pos - MIN(pos, any(500));
	if (pos + n + behind < pos)
		pos = UINT64_MAX - n - behind;
	*ev = (struct ev_data){
		.h = { (uint32_t)(sizeof(*ev) + n), EV_DATA, EV_VERSION, d ? EV_F_TX : 0,
		       (uint8_t)any(8), t.now += any(3) ? any(1000) : any(NSEC_PER_SEC) },
		.conn = t.id[i],
		.pos = pos,
		.orig_len = (uint32_t)n + behind,
		.cap_len = (uint32_t)n,
	};
	t.pos[i][d] = pos + n + behind;
	t.begun[i][d] = true;
	pipeline_event(t.p, &ev->h);
}

static void give_end(size_t i, bool close)
{
	struct ev_close c = { .h = { sizeof(c), EV_CONN_CLOSE, EV_VERSION, 0, 0, t.now },
			      .conn = t.id[i],
			      .pos = { t.pos[i][0], t.pos[i][1] },
			      .err = any(3) ? 0 : 104 };
	struct ev_eof e = { .h = { sizeof(e), EV_CONN_EOF, EV_VERSION, any(2) ? EV_F_TX : 0, 0,
				   t.now },
			    .conn = t.id[i],
			    .pos = any(4) ? t.pos[i][any(2)] : any(UINT64_MAX) };

	pipeline_event(t.p, close ? &c.h : &e.h);
	if (close)
		give_open(i);
}

static void one_run(uint64_t seed)
{
	struct pipeline_opts o = {
		.node = "n",
		.epoch = 1,
		.id_key = { 1, 2 },
		.ctl = t.ctl,
		.n_ctl = CONNS,
		.ledger = &t.ledger,
		.want_headers = true,
		.want_bodies = seed % 2,
		.body_max_bytes = 4096,
		.idle_timeout_ns = 20 * NSEC_PER_SEC,
		.out = { NULL, reserve, commit, publish, NULL },
	};

	memset(&t, 0, sizeof(t));
	t.seed = seed;
	t.now = 1000 * NSEC_PER_SEC;
	t.p = pipeline_new(&o);
	ASSERT(t.p);
	pipeline_tick(t.p, t.now, 5000 * NSEC_PER_SEC);
	for (size_t i = 0; i < CONNS; i++)
		give_open(i);
	for (int k = 0; k < EVENTS; k++) {
		size_t i = any(CONNS);
		uint64_t what = any(100);

		if (what < 85)
			give_data(i, (int)any(2));
		else if (what < 88)
			give_end(i, false);
		else if (what < 97)
			give_end(i, true);
		else if (what < 99)
			pipeline_tick(t.p, t.now += any(3 * NSEC_PER_SEC), 5000 * NSEC_PER_SEC);
		else
			(void)pipeline_snapshot(t.p, (uint32_t)k);
		if (k % 16 == 0)
			pipeline_commit(t.p);
	}
	EXPECT(pipeline_stop(t.p, SIZE_MAX));
	EXPECT_EQ(t.bad_rows, 0);
	EXPECT(t.rows > 1000);
	EXPECT_EQ(t.p->held_bytes, 0);
	EXPECT_EQ(t.p->buf_bytes, 0);
	EXPECT_EQ(t.p->pair.memory, 0);
	EXPECT_EQ(t.p->pair.n_open, 0);
}

static void expect_balanced(uint64_t seed)
{
	static const enum ledger_id accounts[][12] = {
		{ L3_CONN_IN, L3_CONN_OUT, L3_CONN_HELD, L3_CONN_EVICTED },
		{ L4_IN, L4_OUT, L4_HELD, L4_DUPLICATE, L4_UNWANTED, L4_UNREADABLE, L4_EVICTED,
		  L4_CUT, L4_REST },
		{ L5_IN, L5_OUT, L5_RESYNCED },
		{ L6_IN, L6_OUT, L6_HELD, L6_EVICTED },
		{ L6_RESP_IN, L6_RESP_OUT, L6_RESP_HELD, L6_RESP_ONLY, L6_RESP_OLD },
		{ L7_IN, L7_OUT, L7_QUEUE_FULL, L7_TOO_BIG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(accounts); i++) {
		uint64_t sum = 0;

		for (size_t k = 1; k < 12 && accounts[i][k]; k++)
			sum += ledger_get(&t.ledger, accounts[i][k]);
		if (!EXPECT_EQ(sum, ledger_get(&t.ledger, accounts[i][0])))
			printf("#   account %zu, seed %llu\n", i, (unsigned long long)seed);
	}
}

static void test_pipeline_random__survives_and_balances(void)
{
	for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
		one_run(seed);
		expect_balanced(seed);
		pipeline_free(t.p);
	}
}

TEST_MAIN(TEST(test_pipeline_random__survives_and_balances))

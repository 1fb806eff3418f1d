/* Hops 2 to 7 in one process: records as the kernel would write them go in, rows come out. */
#include "agent/ring.h"
#include "agent/pipeline_int.h"
#include "base/util.h"
#include "tests/lib/test.h"
#include "protocols/record.h"

#include <stdio.h>

#define ROWS_MAX  64
#define CLIENT_ID 1
#define SERVER_ID 2

/* What the pipeline wrote, with the texts behind the numbers. */
static struct {
	struct ledger ledger;
	struct conn_ctl ctl[8];
	struct pipeline *p;
	_Alignas(8) uint8_t frame[ROW_MAX];
	_Alignas(8) uint8_t rows[ROWS_MAX][8192];
	size_t n_rows;
	char syms[1024][272];
	uint64_t now;
	size_t queued, queue_max; /* bytes since the last round; 0: no limit */
	size_t n_snapshot, n_snapshot_ends;
	bool anonymous; /* opens do not say which connection it is */
} t;

static void *reserve(void *ctx, uint32_t n)
{
	(void)ctx;
	if (t.queue_max && t.queued + n + 8 > t.queue_max)
		return NULL;
	return n <= sizeof(t.frame) ? t.frame : NULL;
}

static void commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	uint32_t sym;

	(void)ctx;
	t.queued += n + 8;
	t.n_snapshot += type == PIPE_SNAPSHOT;
	t.n_snapshot_ends += type == PIPE_SNAPSHOT_END;
	if (type == PIPE_SYM) {
		memcpy(&sym, t.frame, 4);
		if (sym < ARRAY_SIZE(t.syms))
			snprintf(t.syms[sym], sizeof(t.syms[sym]), "%.*s", (int)(n - 4),
				 t.frame + 4);
	} else if (type == PIPE_ROW && t.n_rows < ROWS_MAX && n <= sizeof(t.rows[0])) {
		memcpy(t.rows[t.n_rows++], t.frame, n);
	}
}

static void publish(void *ctx)
{
	(void)ctx;
	t.queued = 0;
}

static void start_with(uint32_t body_max_bytes)
{
	struct pipeline_opts o = {
		.node = "n1",
		.epoch = 7,
		.id_key = { 1, 2 },
		.ctl = t.ctl,
		.n_ctl = ARRAY_SIZE(t.ctl),
		.ledger = &t.ledger,
		.out = { NULL, reserve, commit, publish, NULL },
		.want_headers = true,
		.want_bodies = body_max_bytes > 0,
		.body_max_bytes = body_max_bytes,
	};

	memset(&t, 0, sizeof(t));
	t.now = 1000 * NSEC_PER_SEC;
	t.p = pipeline_new(&o);
	pipeline_tick(t.p, t.now, 5000 * NSEC_PER_SEC);
}

static void start(void)
{
	start_with(0);
}

static struct row row_at(size_t i)
{
	struct row r = { 0 };
	const struct row_hdr *h = (const void *)t.rows[i];

	EXPECT(row_check(slice_of(t.rows[i], h->len), &r) == 0);
	return r;
}

static const char *text_of(const struct row *r, uint16_t col)
{
	static char text[512];
	const struct cell *c = row_find(r, col);

	if (!c)
		return "(null)";
	if (c->kind == CELL_SYM)
		return t.syms[c->v.off % ARRAY_SIZE(t.syms)];
	snprintf(text, sizeof(text), "%.*s", (int)c->len, r->texts + c->v.off);
	return text;
}

static int64_t int_of(const struct row *r, uint16_t col)
{
	const struct cell *c = row_find(r, col);

	return c && c->kind == CELL_INT ? c->v.i : -999;
}

/* The rows of one table, by position. */
static struct row nth_row(uint16_t table, size_t n)
{
	struct row none = { 0 };

	for (size_t i = 0; i < t.n_rows; i++) {
		struct row r = row_at(i);

		if (r.hdr->table == table && n-- == 0)
			return r;
	}
	return none;
}

static size_t count_rows(uint16_t table)
{
	size_t n = 0;

	for (size_t i = 0; i < t.n_rows; i++)
		n += ((const struct row_hdr *)(const void *)t.rows[i])->table == table;
	return n;
}

static void give_open_at(uint64_t id, bool server, uint8_t flags, uint64_t rx, uint64_t tx)
{
	struct ev_conn e = {
		.h = { sizeof(e), EV_CONN_OPEN, EV_VERSION, flags, 0, t.now += 1000 },
		.conn = id,
		.pos = { [EV_RX] = rx, [EV_TX] = tx },
		.slot = (uint32_t)id,
		.tgid = (uint32_t)(100 + id),
		.local = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
		.remote = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
		.local_port = server ? 80 : 4000,
		.remote_port = server ? 4000 : 80,
		.family = 2,
		.initiator = server ? EV_INITIATOR_REMOTE : EV_INITIATOR_LOCAL,
		.isn_known = !t.anonymous,
		.isn = { [EV_RX] = server ? 11 : 22, [EV_TX] = server ? 22 : 11 },
	};

	memcpy(e.comm, server ? "nginx" : "curl", 5);
	pipeline_event(t.p, &e.h);
}

static void give_open(uint64_t id, bool server, uint8_t flags)
{
	give_open_at(id, server, flags, 0, 0);
}

/* A UNIX socket bound to the name, and one connected to it. */
static void give_unix_open(uint64_t id, bool server, const char *name, size_t n)
{
	struct ev_conn_unix e = {
		.c = { .h = { sizeof(e), EV_CONN_OPEN, EV_VERSION, 0, 0, t.now += 1000 },
		       .conn = id,
		       .slot = (uint32_t)id,
		       .tgid = (uint32_t)(100 + id),
		       .family = 1,
		       .initiator = server ? EV_INITIATOR_REMOTE : EV_INITIATOR_LOCAL,
		       .isn_known = 1,
		       .isn = { 4711, 0 } },
		.name_len = { server ? (uint8_t)n : 0, server ? 0 : (uint8_t)n },
	};

	memcpy(e.name[!server], name, n);
	memcpy(e.c.comm, server ? "nginx" : "curl", 5);
	EXPECT(ev_valid(&e.c.h, sizeof(e)));
	pipeline_event(t.p, &e.c.h);
}

static void give_bytes(uint64_t id, enum ev_dir dir, uint64_t pos, const char *bytes, size_t n,
		       uint32_t orig, uint8_t miss)
{
	static _Alignas(8) uint8_t buf[sizeof(struct ev_data) + EV_CHUNK_MAX];
	struct ev_data *d = (void *)buf;

	*d = (struct ev_data){
		.h = { (uint32_t)(sizeof(*d) + n), EV_DATA, EV_VERSION, dir == EV_TX ? EV_F_TX : 0,
		       miss, t.now += 1000000 },
		.conn = id,
		.pos = pos,
		.orig_len = orig,
		.cap_len = (uint32_t)n,
	};
	memcpy(d->data, bytes, n);
	pipeline_event(t.p, &d->h);
}

static uint64_t give(uint64_t id, enum ev_dir dir, uint64_t pos, const char *text)
{
	give_bytes(id, dir, pos, text, strlen(text), (uint32_t)strlen(text), 0);
	return pos + strlen(text);
}

static void give_close(uint64_t id, uint64_t rx, uint64_t tx, int err)
{
	struct ev_close e = { .h = { sizeof(e), EV_CONN_CLOSE, EV_VERSION, 0, 0, t.now += 1000 },
			      .conn = id,
			      .pos = { rx, tx },
			      .err = err };

	pipeline_event(t.p, &e.h);
}

static void expect_balanced(void)
{
	static const struct {
		enum ledger_id in[1], rest[12];
	} accounts[] = {
		{ { L2_IN }, { L2_OUT, L2_INVALID } },
		{ { L3_IN }, { L3_OUT, L3_UNKNOWN, L3_EVICTED, L3_IGNORED, L3_POISON } },
		{ { L3_CONN_IN }, { L3_CONN_OUT, L3_CONN_HELD, L3_CONN_EVICTED } },
		{ { L4_IN },
		  { L4_OUT, L4_HELD, L4_DUPLICATE, L4_UNWANTED, L4_UNREADABLE, L4_EVICTED, L4_CUT,
		    L4_REST } },
		{ { L5_IN }, { L5_OUT, L5_RESYNCED } },
		{ { L6_IN }, { L6_OUT, L6_HELD, L6_EVICTED } },
		{ { L6_RESP_IN }, { L6_RESP_OUT, L6_RESP_HELD, L6_RESP_ONLY, L6_RESP_OLD } },
		{ { L7_IN }, { L7_OUT, L7_QUEUE_FULL, L7_TOO_BIG } },
	};

	pipeline_commit(t.p);
	for (size_t i = 0; i < ARRAY_SIZE(accounts); i++) {
		uint64_t sum = 0;

		for (size_t k = 0; k < 12 && (k == 0 || accounts[i].rest[k]); k++)
			sum += ledger_get(&t.ledger, accounts[i].rest[k]);
		if (!EXPECT_EQ(sum, ledger_get(&t.ledger, accounts[i].in[0])))
			printf("#   account %zu\n", i);
	}
}

static void finish(void)
{
	expect_balanced();
	pipeline_free(t.p);
}

static const char request[] = "GET /a/b?x=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: ua\r\n\r\n";
static const char response[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nhi";

static void test_pipeline__one_exchange_seen_by_both_ends(void)
{
	struct row server, client;

	start();
	give_open(CLIENT_ID, false, 0);
	give_open(SERVER_ID, true, 0);
	give(CLIENT_ID, EV_TX, 0, request);
	give(SERVER_ID, EV_RX, 0, request);
	give(SERVER_ID, EV_TX, 0, response);
	give(CLIENT_ID, EV_RX, 0, response);
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	server = nth_row(TABLE_HTTP, 0);
	client = nth_row(TABLE_HTTP, 1);
	EXPECT_STR(text_of(&server, COL_ROLE), "server");
	EXPECT_STR(text_of(&client, COL_ROLE), "client");
	EXPECT_EQ(int_of(&server, COL_IS_PRIMARY), 1);
	EXPECT_EQ(int_of(&client, COL_IS_PRIMARY), 0);
	EXPECT_STR(text_of(&server, COL_METHOD), "GET");
	EXPECT_STR(text_of(&server, COL_HTTP_PATH), "/a/b");
	EXPECT_STR(text_of(&server, COL_STATUS), "200");
	EXPECT_STR(text_of(&server, COL_OUTCOME), "ok");
	EXPECT_EQ(int_of(&server, COL_COMPLETE), 1);
	EXPECT_EQ(int_of(&server, COL_REQUEST_BYTES), sizeof(request) - 1);
	EXPECT_EQ(int_of(&server, COL_RESPONSE_BYTES), sizeof(response) - 1);
	EXPECT_EQ(int_of(&server, COL_RESPONSE_BODY_BYTES), 2);
	EXPECT_EQ(int_of(&server, COL_LATENCY_NS), 1000000);
	EXPECT_EQ(int_of(&client, COL_LATENCY_NS), 3000000);
	EXPECT_STR(text_of(&client, COL_SERVER_COMM), "nginx");
	EXPECT_STR(text_of(&server, COL_CLIENT_COMM), "curl");
	EXPECT_STR(text_of(&server, COL_SERVER_NAME), "nginx:80");
	finish();
}

static void expect_unix_row(const struct row *r, const char *addr, const char *name)
{
	EXPECT_STR(text_of(r, COL_SERVER_ADDR), addr);
	EXPECT_STR(text_of(r, COL_CLIENT_ADDR), "unix:");
	EXPECT_EQ(int_of(r, COL_SERVER_PORT), -999);
	EXPECT_EQ(int_of(r, COL_CLIENT_PORT), -999);
	EXPECT_STR(text_of(r, COL_SERVER_NAME), name);
	EXPECT_STR(text_of(r, COL_CLIENT_NAME), "curl");
	EXPECT_EQ(int_of(r, COL_SERVER_PID), 100 + SERVER_ID);
	EXPECT_EQ(int_of(r, COL_CLIENT_PID), 100 + CLIENT_ID);
	EXPECT_EQ(int_of(r, COL_COMPLETE), 1);
}

static void unix_exchange(const char *bound, size_t n, const char *addr, const char *name)
{
	struct row server, client;
	char conn_id[32];

	start();
	give_unix_open(CLIENT_ID, false, bound, n);
	give_unix_open(SERVER_ID, true, bound, n);
	give(CLIENT_ID, EV_TX, 0, request);
	give(SERVER_ID, EV_RX, 0, request);
	give(SERVER_ID, EV_TX, 0, response);
	give(CLIENT_ID, EV_RX, 0, response);
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	server = nth_row(TABLE_HTTP, 0);
	client = nth_row(TABLE_HTTP, 1);
	EXPECT_EQ(int_of(&server, COL_IS_PRIMARY), 1);
	EXPECT_EQ(int_of(&client, COL_IS_PRIMARY), 0);
	expect_unix_row(&server, addr, name);
	expect_unix_row(&client, addr, name);
	snprintf(conn_id, sizeof(conn_id), "%s", text_of(&server, COL_CONN_ID));
	EXPECT_STR(text_of(&client, COL_CONN_ID), conn_id);
	finish();
}

static void test_pipeline__unix_sockets(void)
{
	unix_exchange("/run/app.sock", 14, "unix:/run/app.sock", "nginx:/run/app.sock");
	unix_exchange("\0app", 4, "unix:@app", "nginx:@app");
	unix_exchange("", 0, "unix:", "nginx");
}

/* A UNIX socket's record has its own length, a TCP connection's another. */
static void test_pipeline__unix_records_are_checked(void)
{
	struct ev_conn_unix e = { .c = { .h = { sizeof(e), EV_CONN_OPEN, EV_VERSION, 0, 0, 1 },
					 .conn = 1,
					 .family = 1 } };

	EXPECT(ev_valid(&e.c.h, sizeof(e)));
	EXPECT(!ev_valid(&e.c.h, sizeof(e) - 8));
	e.name_len[1] = EV_NAME_MAX + 1;
	EXPECT(!ev_valid(&e.c.h, sizeof(e)));
	e.name_len[1] = 0;
	e.c.family = 2;
	EXPECT(!ev_valid(&e.c.h, sizeof(e)));
	e.c.h.len = sizeof(e.c);
	EXPECT(ev_valid(&e.c.h, sizeof(e.c)));
	e.c.family = 1; /* without names */
	EXPECT(!ev_valid(&e.c.h, sizeof(e.c)));
}

static void test_pipeline__a_body_sent_by_the_kernel_is_complete_and_ends_in_time(void)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
	struct row r;

	start();
	give_open(SERVER_ID, true, 0);
	give(SERVER_ID, EV_RX, 0, request);
	give(SERVER_ID, EV_TX, 0, head);
	EXPECT_EQ(t.ctl[SERVER_ID].verdict, CTL_COPY);
	EXPECT_EQ(t.ctl[SERVER_ID].skip_until[EV_TX], sizeof(head) - 1 + 100000);
	EXPECT_EQ(count_rows(TABLE_HTTP), 0);
	/* Half of it is silent; the call that reaches the end is told without payload. */
	give_bytes(SERVER_ID, EV_TX, sizeof(head) - 1 + 60000, "", 0, 40000, EV_MISS_NOPAYLOAD);
	ASSERT_EQ(count_rows(TABLE_HTTP), 1);
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_EQ(int_of(&r, COL_COMPLETE), 1);
	EXPECT_EQ(int_of(&r, COL_LATENCY_NS), 2000000);
	EXPECT_EQ(int_of(&r, COL_RESPONSE_BODY_BYTES), 100000);
	EXPECT_EQ(ledger_get(&t.ledger, L4_GAP_LOST), 0);
	finish();
}

static void test_pipeline__a_lost_answer_makes_no_row_with_anothers(void)
{
	uint64_t rx, tx;

	start();
	give_open(SERVER_ID, true, 0);
	rx = give(SERVER_ID, EV_RX, 0, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
	rx = give(SERVER_ID, EV_RX, rx, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	tx = sizeof(response) - 1; /* the first answer is lost */
	tx = give(SERVER_ID, EV_TX, tx, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	give(SERVER_ID, EV_RX, rx, "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
	give(SERVER_ID, EV_TX, tx, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
	give_close(SERVER_ID, 1000, 1000, 0);
	for (size_t i = 0; i < count_rows(TABLE_HTTP); i++) {
		struct row r = nth_row(TABLE_HTTP, i);
		char path[64];

		snprintf(path, sizeof(path), "%s", text_of(&r, COL_HTTP_PATH));
		if (strcmp(path, "/1") == 0)
			EXPECT(int_of(&r, COL_STATUS_CODE) == -999);
		if (strcmp(path, "/2") == 0)
			EXPECT(int_of(&r, COL_STATUS_CODE) == -999 ||
			       int_of(&r, COL_STATUS_CODE) == 201);
		if (strcmp(path, "/3") == 0)
			EXPECT(int_of(&r, COL_STATUS_CODE) == -999 ||
			       int_of(&r, COL_STATUS_CODE) == 202);
	}
	EXPECT_EQ(count_rows(TABLE_HTTP), 3);
	finish();
}

static void test_pipeline__an_answer_that_was_missed_blames_nobody(void)
{
	uint64_t rx, tx = sizeof(response) - 1;
	struct row first, second;

	start();
	give_open(SERVER_ID, true, 0);
	rx = give(SERVER_ID, EV_RX, 0, request);
	give(SERVER_ID, EV_TX, 0, response);
	rx = give(SERVER_ID, EV_RX, rx, request);
	pipeline_pause(t.p, true);
	tx = give(SERVER_ID, EV_TX, tx, response);
	pipeline_pause(t.p, false);
	give_close(SERVER_ID, rx, tx, 0);
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	first = nth_row(TABLE_HTTP, 0);
	second = nth_row(TABLE_HTTP, 1);
	EXPECT_STR(text_of(&first, COL_OUTCOME), "ok");
	EXPECT_STR(text_of(&second, COL_OUTCOME), "lost");
	EXPECT_EQ(int_of(&second, COL_STATUS_CODE), -999);
	EXPECT_EQ(int_of(&second, COL_FAILED), -999);
	finish();
}

static void test_pipeline__an_unanswered_request_is_a_row(void)
{
	struct row r;

	start();
	give_open(CLIENT_ID, false, 0);
	give(CLIENT_ID, EV_TX, 0, request);
	give_close(CLIENT_ID, 0, sizeof(request) - 1, 104);
	ASSERT_EQ(count_rows(TABLE_HTTP), 1);
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_STR(text_of(&r, COL_OUTCOME), "reset");
	EXPECT_STR(text_of(&r, COL_STATUS), "(null)");
	EXPECT_EQ(int_of(&r, COL_FAILED),
		  1); /* the client's end was told of a reset: the server's doing */
	EXPECT_EQ(int_of(&r, COL_COMPLETE), 0);
	EXPECT_EQ(count_rows(TABLE_CONNECTIONS), 1);
	finish();
}

static void test_pipeline__a_reset_ends_no_body(void)
{
	struct row r;
	uint64_t tx;

	start();
	give_open(SERVER_ID, true, 0);
	give(SERVER_ID, EV_RX, 0, request);
	tx = give(SERVER_ID, EV_TX, 0, "HTTP/1.1 200 OK\r\n\r\nuntil the en");
	give_close(SERVER_ID, sizeof(request) - 1, tx, 104);
	ASSERT_EQ(count_rows(TABLE_HTTP), 1);
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_STR(text_of(&r, COL_OUTCOME), "reset");
	EXPECT_EQ(int_of(&r, COL_COMPLETE), 0);
	EXPECT_EQ(int_of(&r, COL_STATUS_CODE), 200);
	finish();
}

/* A server that has waited for long enough says so and closes; at that moment a request comes. What it
 * said was no answer to that. */
static void test_pipeline__a_farewell_answers_no_later_request(void)
{
	static const char farewell[] = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
	uint64_t rx, tx;
	struct row r;

	start();
	give_open(SERVER_ID, true, 0);
	rx = give(SERVER_ID, EV_RX, 0, request);
	tx = give(SERVER_ID, EV_TX, 0, response);
	tx = give(SERVER_ID, EV_TX, tx, farewell);
	rx = give(SERVER_ID, EV_RX, rx, request);
	give_close(SERVER_ID, rx, tx, 0);
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_EQ(int_of(&r, COL_STATUS_CODE), 200);
	r = nth_row(TABLE_HTTP, 1);
	EXPECT_STR(text_of(&r, COL_STATUS), "(null)");
	EXPECT_STR(text_of(&r, COL_OUTCOME), "closed_by_client"); /* who closed first is not told */
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L6_RESP_ONLY), 1);
	finish();
}

/* The same at the client's end, where it waits for a request until the connection is over. */
static void test_pipeline__what_waits_at_the_end_is_read(void)
{
	static const char farewell[] = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
	struct ev_eof eof = { .h = { sizeof(eof), EV_CONN_EOF, EV_VERSION, 0, 0, 0 },
			      .conn = CLIENT_ID };
	uint64_t rx, tx;

	start();
	give_open(CLIENT_ID, false, 0);
	tx = give(CLIENT_ID, EV_TX, 0, request);
	rx = give(CLIENT_ID, EV_RX, 0, response);
	rx = give(CLIENT_ID, EV_RX, rx, farewell);
	eof.h.ts_ns = t.now += 1000;
	eof.pos = rx;
	pipeline_event(t.p, &eof.h);
	give_close(CLIENT_ID, rx, tx, 0);
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L4_REST), 0);
	EXPECT_EQ(ledger_get(&t.ledger, L6_RESP_ONLY), 1);
	finish();
}

#define GIVE(dir, pos, text)                                                                       \
	(give_bytes(SERVER_ID, dir, pos, text, sizeof(text) - 1, sizeof(text) - 1, 0),             \
	 (pos) + sizeof(text) - 1)

/* Each is counted from the last answer that came before its own: here a millisecond is between calls. */
static void test_pipeline__statements_of_one_query_are_counted_apart(void)
{
	static const int64_t ms[] = { 3, 3, 1, 1 };
	uint64_t rx, tx;

	start();
	give_open(SERVER_ID, true, 0);
	rx = GIVE(EV_RX, (uint64_t)0, "\0\0\0\x12\0\3\0\0user\0bob\0\0");
	tx = GIVE(EV_TX, (uint64_t)0, "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
	rx = GIVE(EV_RX, rx, "Q\0\0\0(SELECT 1;SELECT 2;SELECT 3");
	rx = GIVE(EV_RX, rx, ";");
	rx = GIVE(EV_RX, rx, "SELECT 4\0");
	tx = GIVE(EV_TX, tx, "C\0\0\0\rSELECT 1\0C\0\0\0\rSELECT 2\0C\0\0\0\rSEL");
	tx = GIVE(EV_TX, tx, "ECT 3\0C\0\0\0\rSELECT 4\0Z\0\0\0\x05I");
	give_close(SERVER_ID, rx, tx, 0);
	ASSERT_EQ(count_rows(TABLE_PGSQL), 4);
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		struct row r = nth_row(TABLE_PGSQL, i);

		EXPECT_EQ(int_of(&r, COL_LATENCY_NS), ms[i] * 1000000);
		EXPECT(int_of(&r, COL_TTFB_NS) <= int_of(&r, COL_LATENCY_NS));
	}
	finish();
}

/* A beginning that is not understood, here of a proxy in front, may hide a request: the answer to
 * that one must not go to the next, nor so on for the rest of the connection. */
static void test_pipeline__what_was_passed_over_shifts_no_answers(void)
{
	uint64_t rx, tx;

	start();
	give_open(SERVER_ID, true, 0);
	rx = give(SERVER_ID, EV_RX, 0,
		  "PROXY TCP4 10.0.0.1 10.0.0.2 1 80\r\nGET /hidden HTTP/1.1\r\n\r\n");
	tx = give(SERVER_ID, EV_TX, 0, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		rx = give(SERVER_ID, EV_RX, rx, request);
		tx = give(SERVER_ID, EV_TX, tx, response);
	}
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	for (size_t i = 0; i < 2; i++) {
		struct row r = nth_row(TABLE_HTTP, i);

		EXPECT_EQ(int_of(&r, COL_STATUS_CODE), 200);
		EXPECT_EQ(int_of(&r, COL_LATENCY_NS), 1000000);
	}
	finish();
}

/* The server's end closed with the second request unread, so only the client's can stand for it. */
static void test_pipeline__a_request_that_was_never_read_is_the_clients(void)
{
	const uint64_t n = sizeof(request) - 1, m = sizeof(response) - 1;
	struct row r;

	start();
	give_open(CLIENT_ID, false, 0);
	give_open(SERVER_ID, true, 0);
	give(CLIENT_ID, EV_TX, 0, request);
	give(SERVER_ID, EV_RX, 0, request);
	give(SERVER_ID, EV_TX, 0, response);
	give(CLIENT_ID, EV_RX, 0, response);
	give(CLIENT_ID, EV_TX, n, request);
	give_close(SERVER_ID, n, m, 0);
	give_close(CLIENT_ID, m, 2 * n, 104);
	ASSERT_EQ(count_rows(TABLE_HTTP), 3);
	r = nth_row(TABLE_HTTP, 1);
	EXPECT_EQ(int_of(&r, COL_IS_PRIMARY), 0);
	r = nth_row(TABLE_HTTP, 2);
	EXPECT_STR(text_of(&r, COL_OUTCOME), "reset");
	EXPECT_EQ(int_of(&r, COL_IS_PRIMARY), 1);
	finish();
}

/* What one end of a connection is told of, in this order; what it tells is not in both lists. */
enum told {
	TOLD_OPEN,
	TOLD_OLD,
	TOLD_ANONYMOUS,
	TOLD_REQUEST,
	TOLD_RESPONSE,
	TOLD_CANCEL,
	TOLD_CLOSE
};

struct story {
	const char *name;
	uint16_t table;
	enum told client[4], server[4]; /* each ends with TOLD_CLOSE */
};

static const struct story stories[] = {
	{ "answered",
	  TABLE_HTTP,
	  { TOLD_OPEN, TOLD_REQUEST, TOLD_RESPONSE, TOLD_CLOSE },
	  { TOLD_OPEN, TOLD_REQUEST, TOLD_RESPONSE, TOLD_CLOSE } },
	{ "older",
	  TABLE_HTTP,
	  { TOLD_OLD, TOLD_REQUEST, TOLD_RESPONSE, TOLD_CLOSE },
	  { TOLD_OLD, TOLD_REQUEST, TOLD_RESPONSE, TOLD_CLOSE } },
	{ "unanswered",
	  TABLE_HTTP,
	  { TOLD_OPEN, TOLD_REQUEST, TOLD_CLOSE },
	  { TOLD_OPEN, TOLD_REQUEST, TOLD_CLOSE } },
	{ "one-way",
	  TABLE_PGSQL,
	  { TOLD_OPEN, TOLD_CANCEL, TOLD_CLOSE },
	  { TOLD_OPEN, TOLD_CANCEL, TOLD_CLOSE } },
};

static const char cancel[16] = "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2";

/* Where the end has got to is in pos[]. */
static void tell(uint64_t id, enum told what, uint64_t pos[2])
{
	bool server = id == SERVER_ID;
	enum ev_dir asks = server ? EV_RX : EV_TX, answers = server ? EV_TX : EV_RX;

	t.anonymous = what == TOLD_ANONYMOUS;
	if (what == TOLD_REQUEST) {
		pos[asks] = give(id, asks, pos[asks], request);
	} else if (what == TOLD_RESPONSE) {
		pos[answers] = give(id, answers, pos[answers], response);
	} else if (what == TOLD_CANCEL) {
		give_bytes(id, asks, pos[asks], cancel, sizeof(cancel), sizeof(cancel), 0);
		pos[asks] += sizeof(cancel);
	} else if (what == TOLD_CLOSE) {
		give_close(id, pos[EV_RX], pos[EV_TX], 0);
	} else {
		give_open(id, server, what == TOLD_OPEN ? 0 : EV_F_OLD);
	}
	t.anonymous = false;
}

static size_t count_primary(uint16_t table)
{
	size_t n = 0;

	for (size_t i = 0; i < count_rows(table); i++) {
		struct row r = nth_row(table, i);

		n += int_of(&r, COL_IS_PRIMARY) == 1;
	}
	return n;
}

/* The order is a number: bit i says whose step comes i-th, 1 the server's. False: it is none. */
static bool tell_in_order(const struct story *s, uint32_t order)
{
	const enum told *next[2] = { s->client, s->server };
	uint64_t pos[2][2] = { 0 };
	bool over[2] = { false, false };

	start();
	for (uint32_t i = 0; !over[0] || !over[1]; i++) {
		unsigned int whose = order >> i & 1;

		if (over[whose])
			return false;
		over[whose] = *next[whose] == TOLD_CLOSE;
		tell(whose ? SERVER_ID : CLIENT_ID, *next[whose]++, pos[whose]);
		pipeline_commit(t.p);
	}
	return true;
}

/* Both ends tell of the exchange and one row stands for it, whichever end is heard of first, how far the
 * other has got meanwhile, and whether it has gone. */
static void test_pipeline__one_row_is_primary_in_any_order(void)
{
	size_t orders = 0;

	for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
		for (uint32_t order = 0; order < 1u << 8; order++) {
			const struct story *s = &stories[i];

			if (tell_in_order(s, order)) {
				orders++;
				if (!EXPECT_EQ(count_rows(s->table), 2) ||
				    !EXPECT_EQ(count_primary(s->table), 1))
					printf("#   %s, order %x\n", s->name, order);
				expect_balanced();
			}
			pipeline_free(t.p);
		}
	EXPECT(orders > 180);
}

/* The agent stops between what the client sent and what its server read. */
static void test_pipeline__a_request_under_way_at_the_stop_is_the_clients(void)
{
	uint64_t c[2] = { 0 }, s[2] = { 0 };
	struct row r;

	start();
	tell(CLIENT_ID, TOLD_OPEN, c);
	tell(SERVER_ID, TOLD_OPEN, s);
	tell(CLIENT_ID, TOLD_REQUEST, c);
	tell(SERVER_ID, TOLD_REQUEST, s);
	tell(CLIENT_ID, TOLD_RESPONSE, c);
	tell(CLIENT_ID, TOLD_REQUEST, c);
	/* The client's row is made first: it has been idle for longer. */
	tell(SERVER_ID, TOLD_RESPONSE, s);
	while (!pipeline_stop(t.p, 1))
		;
	ASSERT_EQ(count_rows(TABLE_HTTP), 3);
	EXPECT_EQ(count_primary(TABLE_HTTP), 2);
	r = nth_row(TABLE_HTTP, 2);
	EXPECT_STR(text_of(&r, COL_OUTCOME), "agent_stopped");
	EXPECT_STR(text_of(&r, COL_ROLE), "client");
	EXPECT_EQ(int_of(&r, COL_IS_PRIMARY), 1);
	finish();
}

/* Who cancels a statement writes and is gone before its server has read it. */
static void test_pipeline__a_one_way_request_is_its_servers(void)
{
	uint64_t c[2] = { 0 }, s[2] = { 0 };
	struct row r;

	start();
	tell(CLIENT_ID, TOLD_OPEN, c);
	tell(CLIENT_ID, TOLD_CANCEL, c);
	EXPECT_EQ(count_rows(TABLE_PGSQL), 0);
	expect_balanced();
	EXPECT_EQ(ledger_get(&t.ledger, L6_HELD), 1);
	tell(SERVER_ID, TOLD_OPEN, s);
	tell(SERVER_ID, TOLD_CANCEL, s);
	tell(SERVER_ID, TOLD_CLOSE, s);
	tell(CLIENT_ID, TOLD_CLOSE, c);
	ASSERT_EQ(count_rows(TABLE_PGSQL), 2);
	r = nth_row(TABLE_PGSQL, 0);
	EXPECT_STR(text_of(&r, COL_ROLE), "server");
	EXPECT_EQ(int_of(&r, COL_IS_PRIMARY), 1);
	r = nth_row(TABLE_PGSQL, 1);
	EXPECT_STR(text_of(&r, COL_ROLE), "client");
	EXPECT_STR(text_of(&r, COL_OUTCOME), "ok");
	EXPECT_EQ(int_of(&r, COL_IS_PRIMARY), 0);
	finish();
}

/* Nobody on this node reads it: it waits for a second, no longer. */
static void test_pipeline__a_one_way_request_waits_a_second(void)
{
	uint64_t c[2] = { 0 };
	struct row r;

	start();
	tell(CLIENT_ID, TOLD_OPEN, c);
	tell(CLIENT_ID, TOLD_CANCEL, c);
	pipeline_tick(t.p, t.now + 2 * NSEC_PER_SEC, 5000 * NSEC_PER_SEC);
	ASSERT_EQ(count_rows(TABLE_PGSQL), 1);
	r = nth_row(TABLE_PGSQL, 0);
	EXPECT_STR(text_of(&r, COL_OUTCOME), "ok");
	EXPECT_EQ(int_of(&r, COL_IS_PRIMARY), 1);
	finish();
}

/* An end of an older connection is told before it is certain which connection that is, then again. */
static void test_pipeline__an_end_may_be_told_who_it_is_later(void)
{
	uint64_t c[2] = { 0 }, s[2] = { 0 };
	struct row r;

	start();
	tell(CLIENT_ID, TOLD_ANONYMOUS, c);
	EXPECT(!pipeline_knows(t.p, CLIENT_ID));
	tell(SERVER_ID, TOLD_OLD, s);
	tell(CLIENT_ID, TOLD_OLD, c);
	EXPECT(pipeline_knows(t.p, CLIENT_ID));
	tell(CLIENT_ID, TOLD_REQUEST, c);
	tell(SERVER_ID, TOLD_REQUEST, s);
	tell(SERVER_ID, TOLD_RESPONSE, s);
	tell(CLIENT_ID, TOLD_RESPONSE, c);
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	EXPECT_EQ(count_primary(TABLE_HTTP), 1);
	r = nth_row(TABLE_HTTP, 1);
	EXPECT_STR(text_of(&r, COL_ROLE), "client");
	EXPECT_STR(text_of(&r, COL_SERVER_COMM), "nginx");
	finish();
}

/* The answer is lost, and nothing behind it shows that but the position at the close. */
static void test_pipeline__lost_before_the_close(void)
{
	const uint64_t n = sizeof(request) - 1, m = sizeof(response) - 1;
	struct ev_close e = { .h = { sizeof(e), EV_CONN_CLOSE, EV_VERSION, 0, 0, 0 },
			      .conn = SERVER_ID,
			      .pos = { n, m },
			      .lost_bytes = m };
	struct row r;

	start();
	give_open(SERVER_ID, true, 0);
	give(SERVER_ID, EV_RX, 0, request);
	e.h.ts_ns = t.now += 1000;
	pipeline_event(t.p, &e.h);
	ASSERT_EQ(count_rows(TABLE_HTTP), 1);
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_STR(text_of(&r, COL_OUTCOME), "lost");
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L4_GAP_LOST), m);
	finish();
}

/* A parser that began anew is told where the connection is now; what crossed before waits in the ring. */
static void test_pipeline__told_again(void)
{
	const uint64_t n = sizeof(request) - 1, m = sizeof(response) - 1;

	start();
	give_open_at(SERVER_ID, true, EV_F_OLD | EV_F_KNOWN, 100 + n, 100 + m);
	give(SERVER_ID, EV_RX, 100, request);
	give(SERVER_ID, EV_TX, 100, response);
	EXPECT_EQ(count_rows(TABLE_HTTP), 1);
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L4_DUPLICATE), 0);
	finish();
}

/* What the kernel leaves out on purpose is a loss where the parser wanted it, and only there. */
static void left_out(const char *before, enum ev_miss why, enum ledger_id booked)
{
	start();
	give_open(SERVER_ID, true, 0);
	give_bytes(SERVER_ID, EV_RX, give(SERVER_ID, EV_RX, 0, before), "", 0, 500, why);
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L4_GAP_IN), 500);
	EXPECT_EQ(ledger_get(&t.ledger, booked), 500);
	EXPECT_EQ(ledger_get(&t.ledger, L4_CUT), 0);
	finish();
}

static void test_pipeline__left_out_on_purpose(void)
{
	left_out(request, EV_MISS_WINDOW, L4_GAP_WINDOW);
	left_out("GET /neither-nor", EV_MISS_BUDGET, L4_GAP_BUDGET);
}

static void test_pipeline__start_lines_that_are_rare(void)
{
	uint64_t rx;
	struct row r;

	start();
	give_open(SERVER_ID, true, 0);
	rx = give(SERVER_ID, EV_RX, 0, "GET http://far.test HTTP/1.2\r\nHost: near.test\r\n\r\n");
	give(SERVER_ID, EV_TX, 0, response);
	give(SERVER_ID, EV_RX, rx, "CONNECT far.test:443 HTTP/1.1\r\nHost: near.test\r\n\r\n");
	give(SERVER_ID, EV_TX, sizeof(response) - 1, response);
	ASSERT_EQ(count_rows(TABLE_HTTP), 2);
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_STR(text_of(&r, COL_HTTP_PATH), "/");
	EXPECT_STR(text_of(&r, COL_HTTP_HOST), "far.test");
	EXPECT_STR(text_of(&r, COL_HTTP_VERSION), "1.2");
	r = nth_row(TABLE_HTTP, 1);
	EXPECT_STR(text_of(&r, COL_HTTP_PATH), "far.test:443");
	EXPECT_STR(text_of(&r, COL_HTTP_VERSION), "1.1");
	finish();
}

static void test_pipeline__control_bytes_in_a_target_hide_nothing(void)
{
	struct row r;

	start();
	give_open(SERVER_ID, true, 0);
	give(SERVER_ID, EV_RX, 0, "GET /e\x1b[31mvil HTTP/1.1\r\nHost: h\r\n\r\n");
	give(SERVER_ID, EV_TX, 0, response);
	if (EXPECT_EQ(count_rows(TABLE_HTTP), 1)) {
		r = nth_row(TABLE_HTTP, 0);
		EXPECT_STR(text_of(&r, COL_STATUS), "200");
	}
	finish();
}

static void test_pipeline__an_unknown_protocol_soon_costs_nothing(void)
{
	uint64_t pos = 0;

	start();
	give_open(SERVER_ID, true, 0);
	for (int i = 0; i < 20; i++)
		pos = give(SERVER_ID, EV_RX, pos,
			   "\x01\x02\x03 some binary protocol that nobody knows");
	EXPECT_EQ(t.ctl[SERVER_ID].verdict, CTL_COUNT);
	give_close(SERVER_ID, pos, 0, 0);
	EXPECT_EQ(count_rows(TABLE_HTTP), 0);
	finish();
}

static void test_pipeline__joined_in_the_middle_of_an_answer(void)
{
	uint64_t tx = 5000;

	start();
	give_open(SERVER_ID, true, EV_F_OLD);
	tx = give(SERVER_ID, EV_TX, tx, "rest of an older body, whatever it was");
	give(SERVER_ID, EV_RX, 700, request);
	give(SERVER_ID, EV_TX, tx, response);
	ASSERT_EQ(count_rows(TABLE_HTTP), 1);
	finish();
}

/* Opens connections, each with many requests of many bytes that nobody answers. */
static void test_pipeline__unanswered_requests_have_bounded_memory(void)
{
	static char big[20000];
	size_t n = 0;

	start();
	n += (size_t)snprintf(big, sizeof(big), "GET /");
	memset(big + n, 'p', 8000);
	n += 8000;
	n += (size_t)snprintf(big + n, sizeof(big) - n, " HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n, "Accept: %080d\r\n", i);
	n += (size_t)snprintf(big + n, sizeof(big) - n, "\r\n");
	for (uint64_t id = 1; id <= 100; id++) {
		uint64_t pos = 0;

		give_open(id, false, 0);
		for (int i = 0; i < 200; i++)
			pos = give(id, EV_TX, pos, big);
	}
	EXPECT(t.p->pair.memory <= PAIR_BYTES_MAX + EXCHANGE_TEXT_MAX);
	for (uint64_t id = 1; id <= 100; id++)
		EXPECT(conn_get(&t.p->conns, id)->open_memory <=
		       OPEN_BYTES_MAX + EXCHANGE_TEXT_MAX);
	EXPECT(pipeline_stop(t.p, SIZE_MAX));
	EXPECT_EQ(t.p->pair.memory, 0);
	finish();
}

/* A line without an end on each of many connections. */
static void test_pipeline__unfinished_lines_have_bounded_memory(void)
{
	static char line[16001] = "GET /";

	start();
	memset(line + 5, 'x', sizeof(line) - 6);
	for (uint64_t id = 1; id <= 6000; id++) {
		give_open(id, false, 0);
		give(id, EV_TX, 0, line);
	}
	EXPECT(t.p->buf_bytes <= STREAM_BYTES_MAX);
	EXPECT(t.p->buf_bytes > STREAM_BYTES_MAX / 2);
	EXPECT(pipeline_stop(t.p, SIZE_MAX));
	EXPECT_EQ(t.p->buf_bytes, 0);
	finish();
}

/* What thousands of requests under way needed goes back when they are over. */
static void test_pipeline__a_burst_leaves_no_memory_behind(void)
{
	uint64_t pos = 0;

	start();
	for (uint64_t id = 1; id <= 2000; id++)
		give_open(id, false, 0);
	for (int i = 0; i < OPEN_MAX / 2; i++)
		pos = give(1, EV_TX, pos, request);
	EXPECT(conn_get(&t.p->conns, 1)->n_open > OPEN_MAX / 3);
	for (uint64_t id = 1; id <= 2000; id++)
		give_close(id, 0, id == 1 ? pos : 0, 0);
	EXPECT(t.p->pair.n_free > EXCHANGE_KEEP / 2);
	for (int i = 0; i < 20; i++)
		pipeline_tick(t.p, t.now += NSEC_PER_SEC, 0);
	EXPECT(t.p->pair.n_free <= EXCHANGE_REST);
	EXPECT(t.p->conns.by_id.cap <= 32);
	EXPECT(t.p->conns.by_hash.cap <= 32);
	finish();
}

/* Ends that found no room in the control ring: who has a slot after them tells that they are over. */
static void test_pipeline__connections_whose_end_was_lost_do_not_stay(void)
{
	enum { SLOTS = 100 };

	start();
	for (uint64_t use = 1; use <= 50; use++)
		for (uint64_t slot = 1; slot <= SLOTS; slot++)
			give_open(use << 32 | slot, false, 0);
	EXPECT_EQ(t.p->conns.n, 50 * SLOTS);
	pipeline_tick(t.p, t.now += 5 * NSEC_PER_SEC, 0);
	EXPECT_EQ(t.p->conns.n, 50 * SLOTS); /* they may be told yet */
	pipeline_tick(t.p, t.now += 30 * NSEC_PER_SEC, 0);
	EXPECT_EQ(t.p->conns.n, SLOTS);
	pipeline_commit(t.p);
	EXPECT_EQ(ledger_get(&t.ledger, L3_CONN_EVICTED), 49 * SLOTS);
	EXPECT(conn_get(&t.p->conns, UINT64_C(50) << 32 | 1));
	finish();
}

/* A name for each connection, more of them than can be known at one time. */
static void test_pipeline__texts_have_bounded_memory(void)
{
	char ask[600], host[400];
	uint64_t pos = 0;

	start();
	give_open(1, false, 0);
	memset(host, 'h', sizeof(host) - 1);
	host[sizeof(host) - 1] = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		snprintf(ask, sizeof(ask), "GET / HTTP/1.1\r\nHost: %x.%s\r\n\r\n", i, host);
		pos = give(1, EV_TX, pos, ask);
		give(1, EV_RX, i * strlen(response), response);
		if (!EXPECT(t.p->join.n_syms <= SYM_MAX) ||
		    !EXPECT(t.p->join.arena_len <= SYM_ARENA_MAX))
			break;
	}
	EXPECT(t.p->join.gen > 2); /* they began anew meanwhile */
	EXPECT_EQ(ledger_get(&t.ledger, L7_QUEUE_FULL), 0);
	give_close(1, 0, pos, 0);
	finish();
}

/* All rows of a snapshot together are more than the queue holds. */
static void test_pipeline__a_snapshot_of_many_leaves_room_in_the_queue(void)
{
	enum { MANY = 20000 };

	start();
	t.queue_max = 4 * MIB;
	for (uint64_t id = 1; id <= MANY; id++)
		give_open(id, false, 0);
	pipeline_commit(t.p);
	EXPECT(pipeline_snapshot(t.p, 1));
	EXPECT(!pipeline_snapshot(t.p, 2));
	for (uint64_t id = 1; t.n_snapshot_ends == 0 && id <= MANY; id += 100) {
		uint64_t pos = give(id, EV_TX, 0, request);

		give(id, EV_RX, 0, response);
		give_close(id + 1, 0, 0, 0);
		give_open(MANY + id, false, 0);
		pipeline_commit(t.p);
		give(id, EV_TX, pos, request);
	}
	EXPECT_EQ(t.n_snapshot_ends, 1);
	EXPECT(t.n_snapshot > MANY - MANY / 100 && t.n_snapshot < MANY + MANY / 100);
	EXPECT_EQ(ledger_get(&t.ledger, L7_QUEUE_FULL), 0);
	EXPECT(pipeline_snapshot(t.p, 2));
	t.queue_max = 0;
	EXPECT(pipeline_stop(t.p, SIZE_MAX));
	finish();
}

/* Columns that say when and where, not what. */
static bool differs_by_nature(uint16_t col)
{
	return col == COL_SEQ || col == COL_TIME || col == COL_END_TIME ||
	       col == COL_REQUEST_OFFSET ||
	       col == COL_CONN_ID; /* as a number from the second row on */
}

static void expect_same_row(const struct row *a, const struct row *b)
{
	ASSERT_EQ(a->hdr->n_cells, b->hdr->n_cells);
	for (size_t i = 0; i < a->hdr->n_cells; i++) {
		const struct cell *c = &a->cells[i];
		char text[512];

		EXPECT_EQ(b->cells[i].col, c->col);
		if (differs_by_nature(c->col))
			continue;
		EXPECT_EQ(int_of(b, c->col), int_of(a, c->col));
		snprintf(text, sizeof(text), "%s", text_of(a, c->col));
		EXPECT_STR(text_of(b, c->col), text);
	}
}

/* Lines of heads are remembered, and what they were good for with them. */
static void test_pipeline__a_head_that_comes_again_says_the_same(void)
{
	static const char ask[] =
		"POST /a HTTP/1.1\r\nHOST:h \r\nUser-Agent: ua/1\r\n"
		"Authorization: Basic c2VjcmV0OnNlY3JldA==\r\nX-Long: one\r\n two\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
		"Accept: */*\r\nAccept: */*\r\nContent-Type: x\r\n"
		"Content-Length: 3\r\n\r\nabc";
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nHost: no\r\n"
				     "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
	uint64_t rx = 0, tx = 0;
	struct row first, again;

	start();
	give_open(SERVER_ID, true, 0);
	for (size_t i = 0; i < 4; i++) {
		rx = give(SERVER_ID, EV_RX, rx, ask);
		tx = give(SERVER_ID, EV_TX, tx, answer);
	}
	ASSERT_EQ(count_rows(TABLE_HTTP), 4);
	first = nth_row(TABLE_HTTP, 0);
	EXPECT_STR(text_of(&first, COL_HTTP_HOST), "h");
	EXPECT_STR(text_of(&first, COL_HTTP_USER_AGENT), "ua/1");
	EXPECT_STR(text_of(&first, COL_HTTP_CONTENT_TYPE), "text/plain");
	EXPECT_STR(text_of(&first, COL_TRACE_ID), "0af7651916cd43dd8448eb211c80319c");
	EXPECT_EQ(int_of(&first, COL_REQUEST_BODY_BYTES), 3);
	EXPECT_EQ(int_of(&first, COL_RESPONSE_BODY_BYTES), 2);
	EXPECT(strstr(text_of(&first, COL_HTTP_REQUEST_HEADERS),
		      "{\"host\":\"h\",\"user-agent\":\"ua/1\",\"authorization\":\"<REDACTED>\""));
	for (size_t i = 1; i < 4; i++) {
		again = nth_row(TABLE_HTTP, i);
		expect_same_row(&first, &again);
	}
	finish();
}

/* More texts than are remembered, twice over: none is taken for another. */
static void test_pipeline__many_heads_are_kept_apart(void)
{
	uint64_t rx = 0, tx = 0;

	start();
	give_open(SERVER_ID, true, 0);
	for (unsigned int i = 0; i < 6000; i++) {
		char ask[256], agent[32];
		struct row r;

		snprintf(agent, sizeof(agent), "agent-%04u-agent", i % 3000);
		snprintf(ask, sizeof(ask),
			 "GET /a HTTP/1.1\r\nUser-Agent: %s\r\nX-Request-Id: %u\r\n\r\n", agent,
			 i % 3000);
		t.n_rows = 0;
		rx = give(SERVER_ID, EV_RX, rx, ask);
		tx = give(SERVER_ID, EV_TX, tx, response);
		ASSERT_EQ(t.n_rows, 1);
		r = row_at(0);
		snprintf(ask, sizeof(ask), "{\"user-agent\":\"%s\",\"x-request-id\":\"%u\"}", agent,
			 i % 3000);
		if (i % 3000 < 900)
			EXPECT_STR(text_of(&r, COL_HTTP_USER_AGENT), agent);
		EXPECT_STR(text_of(&r, COL_HTTP_REQUEST_HEADERS), ask);
	}
	finish();
}

/* Secrets where nobody expects them, and one that the column's limit cuts in two. */
static void test_pipeline__secrets_anywhere_in_a_head(void)
{
	static const char *const asks[] = {
		"AKIAIOSFODNN7EXAMPLE /m HTTP/1.1\r\nHost: bob:hunter2@intern\r\n"
		"ghp_abcdefghijklmnopqrst: x\r\n\r\n",
		"GET /proxy/http://bob:hunter2@intern/x?ghp_abcdefghijklmnopqrst=1 HTTP/1.1\r\n"
		"Host: a\r\nVia: 1.1 http://bob:hunter2@intern/\r\n\r\n",
	};
	char ask[400], agent[251];
	uint64_t rx = 0, tx = 0;
	struct row r;

	memset(agent, 'x', 250);
	agent[250] = 0;
	start();
	give_open(SERVER_ID, true, 0);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		rx = give(SERVER_ID, EV_RX, rx, asks[i]);
		tx = give(SERVER_ID, EV_TX, tx, response);
	}
	snprintf(ask, sizeof(ask),
		 "GET /ua HTTP/1.1\r\nUser-Agent: %.240s 4111111111111111\r\n\r\n", agent);
	rx = give(SERVER_ID, EV_RX, rx, ask);
	tx = give(SERVER_ID, EV_TX, tx, response);
	ASSERT_EQ(count_rows(TABLE_HTTP), 3);
	for (size_t i = 0; i < 3; i++) {
		static const uint16_t cols[] = {
			COL_METHOD,	COL_HTTP_HOST,	     COL_HTTP_PATH,	      COL_RESOURCE,
			COL_HTTP_QUERY, COL_HTTP_USER_AGENT, COL_HTTP_REQUEST_HEADERS
		};

		r = nth_row(TABLE_HTTP, i);
		for (size_t k = 0; k < ARRAY_SIZE(cols); k++) {
			const char *text = text_of(&r, cols[k]);

			EXPECT(!strstr(text, "hunter2") && !strstr(text, "AKIA") &&
			       !strstr(text, "ghp_") && !strstr(text, "4111"));
		}
	}
	r = nth_row(TABLE_HTTP, 0);
	EXPECT_STR(text_of(&r, COL_METHOD), "<REDACTED_KEY>");
	EXPECT_STR(text_of(&r, COL_HTTP_HOST), "intern");
	r = nth_row(TABLE_HTTP, 2);
	snprintf(ask, sizeof(ask), "%.240s ", agent);
	EXPECT_STR(text_of(&r, COL_HTTP_USER_AGENT), ask);
	EXPECT_EQ(int_of(&r, COL_TRUNCATED), 1);
	finish();
}

/* A request with this body and its empty answer, as a row. In two records, cut behind `cut` bytes of
 * the body; lost: the first part never comes. */
static struct row post(const char *body, size_t n, size_t cut, bool lost, uint32_t body_max_bytes)
{
	char head[128];
	int len = snprintf(head, sizeof(head), "POST /b HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
			   n);
	uint64_t at;

	start_with(body_max_bytes);
	give_open(SERVER_ID, true, 0);
	at = give(SERVER_ID, EV_RX, 0, head);
	if (!lost)
		give_bytes(SERVER_ID, EV_RX, at, body, cut, (uint32_t)cut, 0);
	give_bytes(SERVER_ID, EV_RX, at + cut, body + cut, n - cut, (uint32_t)(n - cut), 0);
	give(SERVER_ID, EV_TX, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	EXPECT_EQ(count_rows(TABLE_HTTP), 1);
	EXPECT_EQ(len, (int)at);
	return nth_row(TABLE_HTTP, 0);
}

static void test_pipeline__bodies_are_kept_when_asked_for(void)
{
	static const char form[] = "user=ann&password=hunter2&say=\xc3\xa4";
	struct row r = post(form, sizeof(form) - 1, 20, false, 4096);

	EXPECT(strstr(text_of(&r, COL_HTTP_REQUEST_BODY), "user=ann&password=<REDACTED"));
	EXPECT(strstr(text_of(&r, COL_HTTP_REQUEST_BODY), "say=\xc3\xa4"));
	EXPECT(!strstr(text_of(&r, COL_HTTP_REQUEST_BODY), "hunter2"));
	EXPECT_STR(text_of(&r, COL_HTTP_RESPONSE_BODY), "hello");
	EXPECT_EQ(int_of(&r, COL_TRUNCATED), 0);
	finish();
	r = post(form, sizeof(form) - 1, 20, false, 0);
	EXPECT_STR(text_of(&r, COL_HTTP_REQUEST_BODY), "(null)");
	EXPECT_STR(text_of(&r, COL_HTTP_RESPONSE_BODY), "(null)");
	EXPECT_EQ(int_of(&r, COL_REQUEST_BODY_BYTES), sizeof(form) - 1);
	EXPECT_EQ(int_of(&r, COL_TRUNCATED), 0);
	finish();
}

static void test_pipeline__bodies_are_cut_behind_a_character_and_no_secret(void)
{
	static const char card[] = "card 4111111111111111 \xc3\xa4 and more of it";
	struct row r = post(card, sizeof(card) - 1, 9, false, 14);

	EXPECT(!strstr(text_of(&r, COL_HTTP_REQUEST_BODY), "4111"));
	EXPECT_EQ(strlen(text_of(&r, COL_HTTP_REQUEST_BODY)), 14);
	EXPECT_EQ(int_of(&r, COL_TRUNCATED), 1);
	finish();
	r = post("abc\xc3\xa4"
		 "def",
		 8, 2, false, 4);
	EXPECT_STR(text_of(&r, COL_HTTP_REQUEST_BODY), "abc");
	EXPECT_STR(text_of(&r, COL_HTTP_RESPONSE_BODY), "hell");
	EXPECT_EQ(int_of(&r, COL_TRUNCATED), 1);
	finish();
}

static void test_pipeline__bodies_that_cannot_be_read_are_not_kept(void)
{
	static const char packed[] = "\x1f\x8b\x08 compressed", wide[] = "p\0a\0s\0s\0";
	struct row r = post(packed, sizeof(packed) - 1, 3, false, 4096);

	EXPECT_STR(text_of(&r, COL_HTTP_REQUEST_BODY), "(null)");
	EXPECT_STR(text_of(&r, COL_HTTP_RESPONSE_BODY), "hello");
	finish();
	r = post(wide, sizeof(wide) - 1, 3, false, 4096);
	EXPECT_STR(text_of(&r, COL_HTTP_REQUEST_BODY), "(null)");
	finish();
	r = post("user=ann&password=hunter2", 25, 18, true, 4096);
	EXPECT_STR(text_of(&r, COL_HTTP_REQUEST_BODY), "(null)");
	EXPECT_EQ(int_of(&r, COL_DEGRADED), 1);
	finish();
}

TEST_MAIN(TEST(test_pipeline__one_exchange_seen_by_both_ends), TEST(test_pipeline__unix_sockets),
	  TEST(test_pipeline__unix_records_are_checked),
	  TEST(test_pipeline__a_body_sent_by_the_kernel_is_complete_and_ends_in_time),
	  TEST(test_pipeline__a_lost_answer_makes_no_row_with_anothers),
	  TEST(test_pipeline__an_answer_that_was_missed_blames_nobody),
	  TEST(test_pipeline__an_unanswered_request_is_a_row),
	  TEST(test_pipeline__a_reset_ends_no_body),
	  TEST(test_pipeline__a_farewell_answers_no_later_request),
	  TEST(test_pipeline__what_waits_at_the_end_is_read),
	  TEST(test_pipeline__statements_of_one_query_are_counted_apart),
	  TEST(test_pipeline__what_was_passed_over_shifts_no_answers),
	  TEST(test_pipeline__a_request_that_was_never_read_is_the_clients),
	  TEST(test_pipeline__one_row_is_primary_in_any_order),
	  TEST(test_pipeline__a_request_under_way_at_the_stop_is_the_clients),
	  TEST(test_pipeline__a_one_way_request_is_its_servers),
	  TEST(test_pipeline__a_one_way_request_waits_a_second),
	  TEST(test_pipeline__an_end_may_be_told_who_it_is_later),
	  TEST(test_pipeline__lost_before_the_close), TEST(test_pipeline__left_out_on_purpose),
	  TEST(test_pipeline__told_again), TEST(test_pipeline__start_lines_that_are_rare),
	  TEST(test_pipeline__control_bytes_in_a_target_hide_nothing),
	  TEST(test_pipeline__an_unknown_protocol_soon_costs_nothing),
	  TEST(test_pipeline__joined_in_the_middle_of_an_answer),
	  TEST(test_pipeline__unanswered_requests_have_bounded_memory),
	  TEST(test_pipeline__unfinished_lines_have_bounded_memory),
	  TEST(test_pipeline__a_burst_leaves_no_memory_behind),
	  TEST(test_pipeline__connections_whose_end_was_lost_do_not_stay),
	  TEST(test_pipeline__texts_have_bounded_memory),
	  TEST(test_pipeline__a_snapshot_of_many_leaves_room_in_the_queue),
	  TEST(test_pipeline__a_head_that_comes_again_says_the_same),
	  TEST(test_pipeline__many_heads_are_kept_apart),
	  TEST(test_pipeline__secrets_anywhere_in_a_head),
	  TEST(test_pipeline__bodies_are_kept_when_asked_for),
	  TEST(test_pipeline__bodies_are_cut_behind_a_character_and_no_secret),
	  TEST(test_pipeline__bodies_that_cannot_be_read_are_not_kept))

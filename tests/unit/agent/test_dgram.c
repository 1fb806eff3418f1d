/* Datagrams to rows: what is taken for DNS, which answer belongs to which query, both ends, bounds. */
#include "agent/pipeline_int.h"
#include "base/bytes.h"
#include "protocols/record.h"
#include "tests/lib/test.h"

#include <string.h>

#define ROWS_MAX 64
#define MS	 (NSEC_PER_SEC / 1000)
#define CLIENT	 5 /* sockets; any number but 0 */
#define SERVER	 6
#define HIGH	 30000 /* a port that says nothing */

static struct {
	struct ledger ledger;
	struct conn_ctl ctl[4];
	struct pipeline *p;
	_Alignas(8) uint8_t frame[ROW_MAX];
	_Alignas(8) uint8_t rows[ROWS_MAX][2048];
	size_t n_rows;
	char syms[256][64];
	uint64_t now;
} t;

static void *reserve(void *ctx, uint32_t n)
{
	(void)ctx;
	return n <= sizeof(t.frame) ? t.frame : NULL;
}

static void commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	const struct row_hdr *h = (const void *)t.frame;
	uint32_t sym;

	(void)ctx;
	if (type == PIPE_SYM) {
		memcpy(&sym, t.frame, 4);
		snprintf(t.syms[sym % ARRAY_SIZE(t.syms)], sizeof(t.syms[0]), "%.*s", (int)(n - 4),
			 t.frame + 4);
	} else if (type == PIPE_ROW && h->table == TABLE_DNS && t.n_rows < ROWS_MAX &&
		   n <= sizeof(t.rows[0])) {
		memcpy(t.rows[t.n_rows++], t.frame, n);
	}
}

static void publish(void *ctx)
{
	(void)ctx;
}

static void start(void)
{
	struct pipeline_opts o = {
		.node = "n1",
		.epoch = 7,
		.id_key = { 1, 2 },
		.ctl = t.ctl,
		.n_ctl = ARRAY_SIZE(t.ctl),
		.ledger = &t.ledger,
		.out = { NULL, reserve, commit, publish, NULL },
	};

	memset(&t, 0, sizeof(t));
	t.now = 1000 * NSEC_PER_SEC;
	t.p = pipeline_new(&o);
	pipeline_tick(t.p, t.now, 5000 * NSEC_PER_SEC);
}

static void pass(uint64_t ns)
{
	t.now += ns;
	pipeline_tick(t.p, t.now, t.now + 4000 * NSEC_PER_SEC);
	pipeline_commit(t.p);
}

static uint64_t counted(enum ledger_id id)
{
	pipeline_commit(t.p);
	return ledger_get(&t.ledger, id);
}

/* Ends what is open; every datagram is accounted for. */
static void stop(void)
{
	pass(30 * NSEC_PER_SEC);
	(void)pipeline_stop(t.p, SIZE_MAX);
	EXPECT_EQ(ledger_get(&t.ledger, L3_D_IN), ledger_get(&t.ledger, L3_D_OUT) +
							  ledger_get(&t.ledger, L3_D_UNREADABLE) +
							  ledger_get(&t.ledger, L3_D_IGNORED));
	EXPECT_EQ(ledger_get(&t.ledger, L3_D_HELD), 0);
	EXPECT_EQ(ledger_get(&t.ledger, L6_IN), ledger_get(&t.ledger, L6_OUT));
	pipeline_free(t.p);
}

/* Who sends and who hears it; ports of the client and of the server. */
struct way {
	uint64_t sock;
	uint16_t client, server;
	bool at_server;
	uint32_t tgid;
};

/* One byte of text stands for the name asked for: "x.test". */
static size_t message(uint8_t *m, uint16_t id, char name, bool answer)
{
	static const uint8_t question[] = { 1, 'x', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1 };
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 1, 1 };

	memset(m, 0, 12);
	put_be(m, id, 2);
	put_be(m + 2, answer ? 0x8180 : 0x0100, 2);
	put_be(m + 4, 1, 2);
	put_be(m + 6, answer, 2);
	memcpy(m + 12, question, sizeof(question));
	m[13] = (uint8_t)name;
	memcpy(m + 12 + sizeof(question), record, sizeof(record));
	return 12 + sizeof(question) + (answer ? sizeof(record) : 0);
}

static void give(const struct way *w, bool answer, const uint8_t *bytes, size_t n)
{
	union {
		struct ev_dgram ev;
		uint8_t room[sizeof(struct ev_dgram) + 600];
	} u = { .ev = {
			.h = { (uint32_t)(sizeof(struct ev_dgram) + n), EV_DGRAM, EV_VERSION,
			       w->at_server == answer ? EV_F_TX : 0, 0, t.now += 1000 },
			.sock = w->sock,
			.orig_len = (uint32_t)n,
			.cap_len = (uint32_t)n,
			.tgid = w->tgid,
			.slot = (uint32_t)(w->sock % ARRAY_SIZE(t.ctl)),
			.netns = 1,
			.local_port = w->at_server ? w->server : w->client,
			.remote_port = w->at_server ? w->client : w->server,
			.local = { [10] = 0xff, 0xff, 127, 0, 0, 1 },
			.remote = { [10] = 0xff, 0xff, 127, 0, 0, 1 },
			.comm = "prog",
		} };

	memcpy(u.room + sizeof(u.ev), bytes, n);
	pipeline_event(t.p, &u.ev.h);
}

static void say(const struct way *w, bool answer, uint16_t id, char name)
{
	uint8_t m[64];

	give(w, answer, m, message(m, id, name, answer));
}

#define ASK(w, id, name)  say(&(w), false, id, name)
#define TELL(w, id, name) say(&(w), true, id, name)

static struct row row_at(size_t i)
{
	struct row r = { 0 };
	const struct row_hdr *h = (const void *)t.rows[i];

	if (EXPECT(i < t.n_rows))
		EXPECT(row_check(slice_of(t.rows[i], h->len), &r) == 0);
	return r;
}

static int64_t number(size_t i, uint16_t col)
{
	struct row r = row_at(i);
	const struct cell *c = r.hdr ? row_find(&r, col) : NULL;

	return c && c->kind == CELL_INT ? c->v.i : -1;
}

static const char *word(size_t i, uint16_t col)
{
	static char text[64];
	struct row r = row_at(i);
	const struct cell *c = r.hdr ? row_find(&r, col) : NULL;

	if (!c)
		return "";
	if (c->kind == CELL_SYM)
		return t.syms[c->v.off % ARRAY_SIZE(t.syms)];
	snprintf(text, sizeof(text), "%.*s", (int)c->len, r.texts + c->v.off);
	return text;
}

static const struct way client = { CLIENT, 40000, 53, false, 100 };
static const struct way server = { SERVER, 40000, 53, true, 200 };

static void test_dgram__query_and_answer(void)
{
	start();
	ASK(client, 7, 'a');
	TELL(client, 7, 'a');
	EXPECT_EQ(t.n_rows, 1);
	EXPECT_STR(word(0, COL_OUTCOME), "ok");
	EXPECT_STR(word(0, COL_ROLE), "client");
	EXPECT_EQ(number(0, COL_IS_PRIMARY), 1);
	EXPECT_EQ(t.ctl[CLIENT % 4].verdict, CTL_COPY);
	EXPECT_EQ(t.ctl[CLIENT % 4].conn, CLIENT);
	stop();
}

/* Whichever end is seen first, the server's row is the primary one, and both have one connection. */
static void test_dgram__both_ends(void)
{
	char conn[64];

	start();
	ASK(client, 7, 'a');
	ASK(server, 7, 'a');
	TELL(server, 7, 'a');
	TELL(client, 7, 'a');
	EXPECT_EQ(t.n_rows, 2);
	EXPECT_STR(word(0, COL_ROLE), "server");
	EXPECT_EQ(number(0, COL_IS_PRIMARY), 1);
	EXPECT_EQ(number(1, COL_IS_PRIMARY), 0);
	snprintf(conn, sizeof(conn), "%s", word(0, COL_CONN_ID));
	EXPECT(conn[0]);
	EXPECT_STR(word(1, COL_CONN_ID), conn);
	EXPECT_STR(word(1, COL_SERVER_COMM), "prog");
	stop();
}

/* The same query twice, and only one got through: the first at one end is the first at the other. */
static void test_dgram__a_retry_the_server_never_saw(void)
{
	start();
	ASK(client, 7, 'a');
	ASK(server, 7, 'a');
	ASK(client, 7, 'a');
	TELL(server, 7, 'a');
	TELL(client, 7, 'a');
	pass(11 * NSEC_PER_SEC);
	EXPECT_EQ(t.n_rows, 3);
	EXPECT_EQ(number(0, COL_IS_PRIMARY), 1);
	EXPECT_EQ(number(1, COL_IS_PRIMARY),
		  1); /* the retry, answered: the server has no row of it */
	EXPECT_STR(word(1, COL_OUTCOME), "ok");
	EXPECT_STR(word(2, COL_OUTCOME), "timed_out");
	EXPECT_EQ(number(2, COL_IS_PRIMARY), 0);
	stop();
}

static void test_dgram__late_answers(void)
{
	start();
	ASK(client, 7, 'a');
	pass(9 * NSEC_PER_SEC);
	EXPECT_EQ(t.n_rows, 0);
	TELL(client, 7, 'a');
	EXPECT_EQ(t.n_rows, 1);
	EXPECT_STR(word(0, COL_OUTCOME), "ok");
	ASK(client, 8, 'a');
	pass(11 * NSEC_PER_SEC);
	EXPECT_EQ(t.n_rows, 2);
	EXPECT_STR(word(1, COL_OUTCOME), "timed_out");
	TELL(client, 8,
	     'a'); /* nobody waits for it any more: no row, and no other query's answer */
	ASK(client, 9, 'a');
	TELL(client, 9, 'a');
	EXPECT_EQ(t.n_rows, 3);
	EXPECT_STR(word(2, COL_OUTCOME), "ok");
	EXPECT_EQ(number(2, COL_DNS_QUERY_ID), 9);
	stop();
}

/* One id, many questions: from ports of their own, and from one port. */
static void test_dgram__same_id_in_flight(void)
{
	struct way ways[4];

	start();
	for (uint16_t i = 0; i < 4; i++) {
		ways[i] = client;
		ways[i].client = (uint16_t)(40000 + i);
		ways[i].sock = 10u + i;
		ASK(ways[i], 7, 'a');
	}
	for (int i = 3; i >= 0; i--)
		TELL(ways[i], 7, 'a');
	EXPECT_EQ(t.n_rows, 4);
	for (size_t i = 0; i < 4; i++) {
		EXPECT_EQ(number(i, COL_CLIENT_PORT), 40003 - (int64_t)i);
		EXPECT_STR(word(i, COL_OUTCOME), "ok");
	}
	for (char name = 'a'; name < 'e'; name++)
		ASK(client, 9, name);
	for (char name = 'd'; name >= 'a'; name--)
		TELL(client, 9, name);
	EXPECT_EQ(t.n_rows, 8);
	for (size_t i = 4; i < 8; i++) {
		char question[] = { (char)('d' - (int)(i - 4)), '.', 't', 'e', 's', 't', 0 };

		EXPECT_STR(word(i, COL_DNS_QUESTION), question);
	}
	stop();
}

static bool name_known(void)
{
	static const uint8_t addr[16] = { [10] = 0xff, 0xff, 10, 1, 1, 1 };
	const struct dns_asker who = { 1, client.tgid };
	bool shared;

	return dns_names_find(&t.p->names, &who, addr, t.now, &shared).n > 0;
}

/* Anybody can send an answer to a port: it gives no address a name. */
static void test_dgram__names_are_asked_for(void)
{
	start();
	say(&client, true, 7, 'x');
	pass(MS);
	EXPECT(!name_known());
	say(&client, false, 7, 'x');
	say(&client, true, 8, 'x');
	EXPECT(!name_known());
	say(&client, true, 7, 'y');
	EXPECT(!name_known());
	say(&client, true, 7, 'x');
	EXPECT(name_known());
	stop();
}

/* The receiver did not ask who sent: the answer is of the query that its socket sent. */
static void test_dgram__unknown_sender(void)
{
	struct way unknown = client;

	unknown.server = 0;
	start();
	TELL(unknown, 6, 'a');
	ASK(client, 7, 'a');
	TELL(unknown, 7, 'b');
	TELL(unknown, 8, 'a');
	EXPECT_EQ(t.n_rows, 0);
	TELL(unknown, 7, 'a');
	EXPECT_EQ(t.n_rows, 1);
	EXPECT_STR(word(0, COL_OUTCOME), "ok");
	EXPECT_EQ(number(0, COL_SERVER_PORT), 53);
	stop();
}

/* On any other port a query is believed when its answer has come, and then the next ones at once. */
static void test_dgram__unknown_port(void)
{
	struct way high = { CLIENT, 40000, HIGH, false, 100 },
		   next = { 9, 40001, HIGH, false, 100 };

	start();
	ASK(high, 7, 'a');
	EXPECT_EQ(counted(L3_D_HELD), 1);
	EXPECT_EQ(counted(L3_D_OUT), 0);
	TELL(high, 7, 'a');
	EXPECT_EQ(t.n_rows, 1);
	EXPECT_EQ(counted(L3_D_HELD), 0);
	ASK(next, 8, 'b');
	EXPECT_EQ(counted(L3_D_OUT), 3);
	TELL(next, 8, 'b');
	EXPECT_EQ(t.n_rows, 2);
	stop();
}

/* What looks like a query and has no answer of its own is nothing. */
static void test_dgram__no_evidence(void)
{
	struct way high = { CLIENT, 40000, HIGH, false, 100 };

	start();
	ASK(high, 7, 'a');
	TELL(high, 8, 'a');
	TELL(high, 7, 'b');
	pass(11 * NSEC_PER_SEC);
	TELL(high, 7, 'a');
	EXPECT_EQ(t.n_rows, 0);
	EXPECT_EQ(counted(L3_D_OUT), 0);
	EXPECT_EQ(counted(L3_D_UNREADABLE), 4);
	stop();
}

static void test_dgram__not_dns(void)
{
	struct way high = { CLIENT, 40000, HIGH, false, 100 };
	uint8_t noise[40] = { 0x80, 0xff, 3, 4 };

	start();
	for (int i = 0; i < DGRAM_STRIKES; i++) {
		EXPECT_EQ(t.ctl[CLIENT % 4].verdict, CTL_UNJUDGED);
		give(&high, false, noise, sizeof(noise));
	}
	EXPECT_EQ(t.ctl[CLIENT % 4].verdict, CTL_COUNT);
	give(&client, false, noise, 3); /* port 53 does not make it DNS */
	EXPECT_EQ(t.n_rows, 0);
	stop();
}

/* Every prefix of a message, on the port where it would be believed. */
static void test_dgram__cut(void)
{
	uint8_t m[64];
	size_t n = message(m, 7, 'a', true);

	for (size_t cut = 0; cut < n; cut++) {
		start();
		give(&client, true, m, cut);
		EXPECT_EQ(t.n_rows, 0);
		stop();
	}
}

/* More sockets than flows: the idlest end, none is forgotten in the books. */
static void test_dgram__flows_are_bounded(void)
{
	struct way w = client;

	start();
	for (uint32_t i = 0; i < DGRAM_FLOWS_MAX + 100; i++) {
		w.sock = 100 + i;
		w.client = (uint16_t)(1024 + i);
		ASK(w, 7, 'a');
	}
	EXPECT_EQ(t.p->dgram.flows.n, DGRAM_FLOWS_MAX);
	EXPECT_EQ(t.n_rows, ROWS_MAX);
	EXPECT_STR(word(0, COL_OUTCOME), "evicted");
	EXPECT_EQ(number(0, COL_CLIENT_PORT), 1024);
	stop();
}

TEST_MAIN(TEST(test_dgram__query_and_answer), TEST(test_dgram__both_ends),
	  TEST(test_dgram__a_retry_the_server_never_saw), TEST(test_dgram__late_answers),
	  TEST(test_dgram__same_id_in_flight), TEST(test_dgram__names_are_asked_for),
	  TEST(test_dgram__unknown_sender), TEST(test_dgram__unknown_port),
	  TEST(test_dgram__no_evidence), TEST(test_dgram__not_dns), TEST(test_dgram__cut),
	  TEST(test_dgram__flows_are_bounded))

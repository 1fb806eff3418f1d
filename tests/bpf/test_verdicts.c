/* What the parser says of a connection (struct conn_ctl), and the bounds that hold without it: the kernel
 * copies that much and no more, and what it leaves out is counted by its reason.
 */
#include "tests/lib/test.h"
#include "script.h"

#include <string.h>

/* The parser's wishes: the first message is judged while the child waits, then obeyed. */
static struct conn_ctl wish;
static int go[2]; /* the child waits for a byte of it */

static int steps(void *arg)
{
	int client, server;
	char c;

	(void)arg;
	if (script_connect(&client, &server) ||
	    script_move(client, server, &senders[0], &receivers[0], OP_BYTES))
		return 2;
	if (read(go[0], &c, 1) != 1)
		return 3;
	for (int i = 0; i < 4; i++)
		if (script_move(client, server, &senders[0], &receivers[0], OP_BYTES))
			return 4;
	close(client);
	close(server);
	return 0;
}

static void judge(struct harness *h)
{
	struct side *c = harness_side(h, script->client_port, script->server_port);
	struct side *s = harness_side(h, script->server_port, script->client_port);

	if (!c || !s || script->n != 1 || s->end[EV_RX] < OP_BYTES)
		return;
	for (int i = 0; i < 2; i++) {
		struct side *end = i ? s : c;

		if (h->conn_ctl[end->open.slot].conn)
			return;
		h->conn_ctl[end->open.slot].skip_until[0] = wish.skip_until[0];
		h->conn_ctl[end->open.slot].skip_until[1] = wish.skip_until[1];
		memcpy(h->conn_ctl[end->open.slot].taken, wish.taken, sizeof(wish.taken));
		h->conn_ctl[end->open.slot].verdict = wish.verdict;
		__atomic_store_n(&h->conn_ctl[end->open.slot].conn, end->open.conn,
				 __ATOMIC_RELEASE);
	}
	EXPECT(write(go[1], "g", 1) == 1);
}

static bool run_steps(struct harness *h, const struct capture_opts *o)
{
	script = script_new();
	if (!script_start(h, o))
		return false;
	if (pipe(go))
		return false;
	h->while_running = judge;
	EXPECT_EQ(harness_run(h, steps, NULL), 0);
	return true;
}

static void test_verdicts__skip_until(void)
{
	struct harness h;
	struct side *s;
	uint64_t until = 2 * OP_BYTES + 100; /* in the third call */

	wish = (struct conn_ctl){ .verdict = CTL_COPY, .skip_until = { until, until } };
	if (!run_steps(&h, NULL))
		return;
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, 0, OP_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, OP_BYTES, until), BYTE_UNSEEN);
	EXPECT_EQ(side_state(s, EV_RX, until, 5 * OP_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(s->unordered, 0);
	EXPECT_EQ(harness_counter(&h, BC_B_SKIP), 2 * (until - OP_BYTES));
	EXPECT_EQ(harness_counter(&h, BC_C_SKIP), 2);
	EXPECT_EQ(s->close.skipped_bytes, until - OP_BYTES);
	script_balance(&h);
	harness_stop(&h);
}

/* Where the unwanted stretch ends with a call, that call is told without payload: it has a time. */
static void test_verdicts__skip_to_edge(void)
{
	struct harness h;
	struct side *s;

	wish = (struct conn_ctl){ .verdict = CTL_COPY,
				  .skip_until = { 3 * OP_BYTES, 3 * OP_BYTES } };
	if (!run_steps(&h, NULL))
		return;
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, OP_BYTES, 2 * OP_BYTES), BYTE_UNSEEN);
	EXPECT_EQ(side_state(s, EV_RX, 2 * OP_BYTES, 3 * OP_BYTES), BYTE_HOLE);
	EXPECT_EQ(side_state(s, EV_RX, 3 * OP_BYTES, 5 * OP_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(s->miss[EV_RX][EV_MISS_SKIP], 1);
	script_balance(&h);
	harness_stop(&h);
}

static void test_verdicts__count_only(void)
{
	struct harness h;
	struct side *s;

	wish = (struct conn_ctl){ .verdict = CTL_COUNT };
	if (!run_steps(&h, NULL))
		return;
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, OP_BYTES, 5 * OP_BYTES), BYTE_UNSEEN);
	EXPECT_EQ(harness_counter(&h, BC_B_VERDICT), 2 * 4 * OP_BYTES);
	EXPECT_EQ(harness_counter(&h, BC_C_VERDICT), 2 * 4);
	EXPECT_EQ(s->close.pos[EV_RX], 5 * OP_BYTES);
	script_balance(&h);
	harness_stop(&h);
}

/* A verdict that names another connection is not believed, whatever it says. */
static void forge(struct harness *h)
{
	for (uint32_t i = 0; i < capture_ctl_entries(h->cap); i++) {
		h->conn_ctl[i].verdict = CTL_COUNT;
		h->conn_ctl[i].skip_until[0] = h->conn_ctl[i].skip_until[1] = UINT64_MAX;
		h->conn_ctl[i].conn = 12345;
	}
}

static void test_verdicts__foreign_verdict(void)
{
	struct harness h;
	struct side *c, *s;

	script = script_new();
	if (!script_start(&h, NULL))
		return;
	forge(&h);
	EXPECT_EQ(harness_run(&h, script_matrix, NULL), 0);
	c = harness_side(&h, script->client_port, script->server_port);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(c && s);
	script_check(c, s);
	script_balance(&h);
	harness_stop(&h);
}

static void test_verdicts__probe_budget(void)
{
	struct capture_opts o = { .probe_budget_bytes = OP_BYTES + 500 };
	struct harness h;
	struct side *s;

	wish = (struct conn_ctl){ .verdict = CTL_UNJUDGED };
	if (!run_steps(&h, &o))
		return;
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, 0, OP_BYTES + 500), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, OP_BYTES + 500, 5 * OP_BYTES), BYTE_HOLE);
	EXPECT_EQ(s->miss[EV_RX][EV_MISS_BUDGET], 1);
	EXPECT_EQ(s->close.skipped_bytes, 4 * OP_BYTES - 500);
	EXPECT_EQ(harness_counter(&h, BC_B_BUDGET), 2 * (4 * OP_BYTES - 500));
	EXPECT_EQ(harness_counter(&h, BC_C_BUDGET), 0);
	script_balance(&h);
	harness_stop(&h);
}

#define HOLES_TOLD 1024 /* HOLES_MAX of agent/bpf/xfer.bpf.h */
#define HOLES_MORE 10

static int one_byte_calls(void *arg)
{
	int client, server;
	char c = 'x';

	(void)arg;
	if (script_connect(&client, &server))
		return 2;
	for (int i = 0; i < 1 + HOLES_TOLD + HOLES_MORE; i++)
		if (write(client, &c, 1) != 1 || read(server, &c, 1) != 1)
			return 3;
	close(client);
	close(server);
	return 0;
}

/* Over the budget so many calls are told as holes, then nothing. */
static void test_verdicts__holes_over_budget(void)
{
	struct capture_opts o = { .probe_budget_bytes = 1 };
	struct harness h;
	struct side *s;

	script = script_new();
	if (!script_start(&h, &o))
		return;
	EXPECT_EQ(harness_run(&h, one_byte_calls, NULL), 0);
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, 1, 1 + HOLES_TOLD), BYTE_HOLE);
	EXPECT_EQ(side_state(s, EV_RX, 1 + HOLES_TOLD, 1 + HOLES_TOLD + HOLES_MORE), BYTE_UNSEEN);
	EXPECT_EQ(harness_counter(&h, BC_C_BUDGET), 2 * HOLES_MORE);
	script_balance(&h);
	harness_stop(&h);
}

#define WINDOW (2u << 20) /* a quarter of the default ring */

/* Payload that the reader has not taken is bounded per connection; beyond that, holes. */
static void test_verdicts__window(void)
{
	uint32_t behind = OP_BYTES -
			  (WINDOW - OP_BYTES - 500); /* so much more fits: OP_BYTES + 500 */
	struct harness h;
	struct side *s;

	wish = (struct conn_ctl){ .verdict = CTL_COPY, .taken = { behind, behind } };
	if (!run_steps(&h, NULL))
		return;
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, 0, 2 * OP_BYTES + 500), BYTE_CAPTURED);
	EXPECT_EQ(side_state(s, EV_RX, 2 * OP_BYTES + 500, 5 * OP_BYTES), BYTE_HOLE);
	EXPECT_EQ(s->miss[EV_RX][EV_MISS_WINDOW], 1);
	EXPECT_EQ(harness_counter(&h, BC_B_WINDOW), 2 * (3 * OP_BYTES - 500));
	EXPECT_EQ(s->close.lost_bytes, 0);
	script_balance(&h);
	harness_stop(&h);
}

/* A reader that began anew may have taken more than there was: that is no hole. */
static void test_verdicts__window_ahead(void)
{
	struct harness h;
	struct side *s;

	wish = (struct conn_ctl){ .verdict = CTL_COPY, .taken = { 3 * OP_BYTES, 3 * OP_BYTES } };
	if (!run_steps(&h, NULL))
		return;
	s = harness_side(&h, script->server_port, script->client_port);
	ASSERT(s);
	EXPECT_EQ(side_state(s, EV_RX, 0, 5 * OP_BYTES), BYTE_CAPTURED);
	EXPECT_EQ(harness_counter(&h, BC_B_WINDOW), 0);
	script_balance(&h);
	harness_stop(&h);
}

static const struct test_case cases[] = {
	TEST(test_verdicts__skip_until),   TEST(test_verdicts__skip_to_edge),
	TEST(test_verdicts__count_only),   TEST(test_verdicts__foreign_verdict),
	TEST(test_verdicts__probe_budget), TEST(test_verdicts__holes_over_budget),
	TEST(test_verdicts__window),	   TEST(test_verdicts__window_ahead),
};

int main(int argc, char **argv)
{
	return script_main(cases, ARRAY_SIZE(cases), argc, argv);
}

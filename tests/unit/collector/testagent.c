/* An agent of uplink.c and computed rows, for the tests of the API:
 *
 *	testagent SOCKET NODE ROWS BASE_NS STEP_NS [hang|deaf|fail|slow=MS|tail=ROWS_PER_S]...
 *
 * Answers status and control as a store would: "paused" follows pause and resume, purge fails.
 * Prints "opened N closed N cancelled N" on SIGUSR1.
 */
#include "agent/uplink.h"
#include "base/text.h"
#include "tests/unit/collector/memsource.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct state {
	struct memsource source;
	atomic_bool paused;
	_Atomic uint64_t lost;
};

static void on_status(void *ctx, struct uplink_status *out)
{
	struct state *s = ctx;
	struct uplink_ledger_line line = {
		.hop = 2,
		.stage = "intake",
		.counter = "read",
		.kind = "in",
		.unit = "records",
		.value = 100,
	};

	uplink_status_text(out, "hook.rung", "sock_length");
	uplink_status_int(out, "hook.kernel", 6);
	uplink_status_int(out, "watched.processes", 3);
	uplink_status_bool(out, "paused", s->paused);
	uplink_status_int(out, "storage.oldest_ns",
			  (int64_t)(s->source.n_rows ? s->source.base_ns : 0));
	uplink_status_ledger(out, &line);
	line.counter = "valid";
	line.kind = "out";
	line.value = 90;
	uplink_status_ledger(out, &line);
	line.counter = "held";
	line.kind = "held";
	line.value = 10 - s->lost;
	uplink_status_ledger(out, &line);
	line.counter = "invalid";
	line.kind = "loss";
	line.value = s->lost;
	uplink_status_ledger(out, &line);
}

static int on_control(void *ctx, enum uplink_verb verb, char *message, size_t cap)
{
	struct state *s = ctx;

	if (verb == UPLINK_PURGE) {
		snprintf(message, cap, "this test keeps its rows");
		return -EPERM;
	}
	s->paused = verb == UPLINK_PAUSE;
	return 0;
}

static struct slice on_symbol(void *ctx, uint32_t sym)
{
	(void)ctx;
	return sym == 7 ? SLICE_LIT("symbolic") : slice_of(NULL, 0);
}

static const struct uplink_ops ops = {
	.status = on_status,
	.control = on_control,
	.symbol = on_symbol,
};

/* Row n of the live feed: the cells of row n of the source, its client's name a symbol. */
static void feed(struct uplink *u, const struct memsource *m, uint64_t n)
{
	static const uint16_t cols[] = {
		COL_TIME,	COL_LATENCY_NS, COL_PROTOCOL,	 COL_METHOD,
		COL_RESOURCE,	COL_STATUS,	COL_STATUS_CODE, COL_FAILED,
		COL_IS_PRIMARY, COL_HTTP_PATH,	COL_SERVER_NAME,
	};
	static struct row_builder b;
	static uint64_t encoded[ROW_MAX / 8];
	struct row row;
	char buf[64];
	size_t len;

	row_begin(&b, TABLE_HTTP);
	for (size_t i = 0; i < ARRAY_SIZE(cols); i++) {
		struct value v = memsource_cell(m, n, cols[i], buf);

		if (v.kind == VALUE_INT)
			row_int(&b, cols[i], v.i);
		else
			row_text(&b, cols[i], v.text);
	}
	row_sym(&b, COL_CLIENT_NAME, 7);
	len = row_end(&b, n + 1, m->base_ns + n * m->step_ns, encoded, sizeof(encoded));
	if (row_check(slice_of(encoded, len), &row) == 0)
		uplink_tail_row(u, &row);
}

static uint64_t arg_u64(const char *s)
{
	uint64_t v = 0;

	parse_u64(slice_str(s), &v);
	return v;
}

static void take_mode(struct state *s, const char *mode, uint64_t *tail)
{
	if (strcmp(mode, "hang") == 0)
		s->source.hang = true;
	else if (strcmp(mode, "deaf") == 0)
		s->source.deaf = true;
	else if (strcmp(mode, "fail") == 0)
		s->source.fail = true;
	else if (strncmp(mode, "slow=", 5) == 0)
		s->source.delay_ns = arg_u64(mode + 5) * NSEC_PER_MSEC;
	else if (strncmp(mode, "lost=", 5) == 0)
		s->lost = arg_u64(mode + 5);
	else if (strncmp(mode, "tail=", 5) == 0)
		*tail = arg_u64(mode + 5);
}

static void live(struct uplink *u, struct state *s, uint64_t rate, const sigset_t *set)
{
	const struct timespec tick = { .tv_nsec = 10 * NSEC_PER_MSEC };
	uint64_t row = 0, tenths = 0;
	int sig;

	for (;;) {
		sig = sigtimedwait(set, NULL, &tick);
		if (sig == SIGTERM || sig == SIGINT)
			return;
		if (sig == SIGUSR1) {
			printf("opened %u closed %u cancelled %u\n", s->source.opened,
			       s->source.closed, s->source.cancelled);
			fflush(stdout);
		}
		for (tenths += rate; tenths >= 100; tenths -= 100)
			if (uplink_has_tails(u))
				feed(u, &s->source, row++);
	}
}

int main(int argc, char **argv)
{
	static struct state s;
	struct uplink_config cfg = { .ops = &ops, .ctx = &s };
	struct uplink *u;
	uint64_t tail = 0;
	sigset_t set;

	if (argc < 6)
		return 2;
	memsource_init(&s.source, argv[2], arg_u64(argv[3]), arg_u64(argv[4]), arg_u64(argv[5]));
	for (int i = 6; i < argc; i++)
		take_mode(&s, argv[i], &tail);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cfg.socket_path = argv[1];
	cfg.node = argv[2];
	cfg.epoch = s.source.epoch;
	cfg.source = &s.source.source;
	if (uplink_start(&cfg, &u) < 0)
		return 1;
	live(u, &s, tail, &set);
	atomic_store(&s.source.release, true);
	uplink_stop(u);
	return 0;
}

/* bench_hops [--proto PROTO] MODE MILLISECONDS [DIR]: how fast exchanges (of HTTP/1 when nothing is said)
 * go through Kelpie's own hops on one core, from records in memory.
 *
 *	pipeline   hops 2 to 7: checked records in, encoded rows out
 *	stored     hops 2 to 8: and into a store in DIR
 *	store      hop 8 alone: rows that the pipeline made before, into a store in DIR
 *
 * Records are those of the server's end of CONNS connections: one for each request, one for each
 * response. Prints JSON.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/pipeline.h"
#include "agent/ring.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/util.h"
#include "protocols/record.h"
#include "storage/store.h"

#define CONNS	    64u
#define ROUND	    256u /* exchanges between two commits */
#define FRAME_BYTES (ROW_MAX + 64)
#define KEPT_BYTES  (256u * MIB)
#define GAP_NS_MAX  65536u /* time between records is drawn from 1 to this */
#define TEMPLATES   32768u /* different exchanges, prepared before the clock starts */

#define RECORD_BYTES (sizeof(struct ev_data) + 512)

enum mode { MODE_PIPELINE, MODE_STORED, MODE_STORE, _MODE_MAX };
static const char *const mode_names[_MODE_MAX] = { "pipeline", "stored", "store" };

/* Where the pipeline's frames go. */
struct drain {
	enum mode mode;
	struct store *store;
	uint64_t rows, row_bytes;
	_Alignas(8) uint8_t frame[FRAME_BYTES];
	uint8_t *kept; /* MODE_STORE: frames one behind the other, a header of 8 bytes each */
	size_t kept_n;
	bool full;
};

struct bench;

/* A protocol's exchanges. */
struct workload {
	const char *name;
	uint16_t port;
	struct slice opening[2]; /* by direction: what comes before the first exchange */
	/* Makes the messages of the i-th template. */
	void (*prepare)(struct bench *b, unsigned int i);
};

struct bench {
	const struct workload *load;
	struct drain drain;
	struct pipeline *pipeline;
	struct ledger *ledger;
	uint64_t now_ns, seq;
	uint64_t pos[CONNS][2];
	_Alignas(8) uint8_t record[TEMPLATES][2][RECORD_BYTES]; /* by direction */
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void *drain_reserve(void *ctx, uint32_t n)
{
	struct drain *d = ctx;

	return n <= FRAME_BYTES ? d->frame : NULL;
}

static void to_store(struct store *s, enum pipe_frame type, struct slice frame)
{
	struct row row;
	uint32_t sym;

	if (type == PIPE_ROW && row_check(frame, &row) == 0) {
		(void)store_append(s, &row);
	} else if (type == PIPE_SYM && frame.n > 4) {
		memcpy(&sym, frame.p, 4);
		(void)store_sym(s, sym, slice_of((const uint8_t *)frame.p + 4, frame.n - 4));
	} else if (type == PIPE_SYM_RESET) {
		store_sym_reset(s);
	}
}

static void keep(struct drain *d, enum pipe_frame type, uint32_t n)
{
	uint32_t head[2] = { type, n };
	size_t room = sizeof(head) + ((n + 7u) & ~(size_t)7);

	if (d->kept_n + room > KEPT_BYTES) {
		d->full = true;
		return;
	}
	memcpy(d->kept + d->kept_n, head, sizeof(head));
	memcpy(d->kept + d->kept_n + sizeof(head), d->frame, n);
	d->kept_n += room;
}

static void drain_commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	struct drain *d = ctx;

	if (type == PIPE_ROW) {
		d->rows++;
		d->row_bytes += n;
	}
	if (d->mode == MODE_STORE)
		keep(d, type, n);
	else if (d->mode == MODE_STORED)
		to_store(d->store, type, slice_of(d->frame, n));
}

static void drain_publish(void *ctx)
{
	(void)ctx;
}

static void nobody(void *ctx, uint32_t tgid, uint64_t cgroup)
{
	(void)cgroup;
	(void)ctx;
	(void)tgid;
}

static void give(struct bench *b, struct ev_hdr *h, uint32_t len, enum ev_type type)
{
	h->len = len;
	h->type = type;
	h->version = EV_VERSION;
	h->ts_ns = b->now_ns += 1 + hash_u64(b->now_ns) % GAP_NS_MAX;
	if (ev_valid(h, len))
		pipeline_event(b->pipeline, h);
	else
		pipeline_invalid(b->pipeline);
}

static void open_connection(struct bench *b, uint32_t n)
{
	struct ev_conn conn = { 0 }, *c = &conn;

	c->conn = n + 1;
	c->inode = 1000 + n;
	c->slot = n;
	c->isn[0] = 7919 * n;
	c->isn[1] = 104729 * n;
	c->isn_known = 1;
	c->netns = 1;
	c->tgid = 4242;
	c->local[10] = c->local[11] = c->remote[10] = c->remote[11] = 0xff;
	c->local[12] = c->remote[12] = 127;
	c->local[15] = c->remote[15] = 1;
	c->local_port = b->load->port;
	c->remote_port = (uint16_t)(33000 + n);
	c->family = 2;
	c->initiator = EV_INITIATOR_REMOTE;
	c->tcp_state = 1;
	memcpy(c->comm, "bench", 6);
	give(b, &c->h, sizeof(*c), EV_CONN_OPEN);
}

static void prepare(struct bench *b, uint32_t n, enum ev_dir dir, struct slice v)
{
	struct ev_data *e = (struct ev_data *)b->record[n][dir];

	e->orig_len = e->cap_len = (uint32_t)v.n;
	e->tgid = 4242;
	e->h.flags = dir == EV_TX ? EV_F_TX : 0;
	memcpy(e->data, v.p, v.n);
}

static void prepare_http(struct bench *b, unsigned int i)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "GET /orders/%u/items?page=%u HTTP/1.1\r\nHost: shop.test\r\n"
		 "User-Agent: bench/1.0\r\nAccept: */*\r\nX-Request-Id: %016x\r\n\r\n",
		 i, i % 7, i);
	prepare(b, i, EV_RX, slice_str(text));
	snprintf(text, sizeof(text),
		 "HTTP/1.1 %d OK\r\nServer: bench\r\nContent-Type: application/json\r\n"
		 "Content-Length: 27\r\n\r\n{\"order\":%016x}\n",
		 i % 50 ? 200 : 404, i);
	prepare(b, i, EV_TX, slice_str(text));
}

/* Adds a message of PostgreSQL's, and returns its length. */
static size_t pg_message(char *to, char tag, struct slice body)
{
	to[0] = tag;
	for (int i = 0; i < 4; i++)
		to[1 + i] = (char)((body.n + 4) >> (24 - 8 * i));
	memcpy(to + 5, body.p, body.n);
	return 5 + body.n;
}

#define PG_ROW "\0\2\0\0\0\4reed\0\0\0\3350"

/* Simple queries and prepared ones in turn; each has one row. */
static void prepare_pgsql(struct bench *b, unsigned int i)
{
	char text[256], out[512];
	size_t n = 0;

	if (i % 2) {
		int len = snprintf(text, sizeof(text),
				   "SELECT name, price FROM items WHERE id = %u AND shop = '%u'", i,
				   i % 7);

		n += pg_message(out + n, 'Q', slice_of(text, (size_t)len + 1));
	} else {
		n += pg_message(out + n, 'P',
				SLICE_LIT("\0SELECT name, price FROM items WHERE id = $1\0\0\0"));
		n += pg_message(out + n, 'B', SLICE_LIT("\0\0\0\0\0\1\0\0\0\00217\0\0"));
		n += pg_message(out + n, 'E', SLICE_LIT("\0\0\0\0\0"));
		n += pg_message(out + n, 'S', SLICE_LIT(""));
	}
	prepare(b, i, EV_RX, slice_of(out, n));
	n = 0;
	if (i % 2 == 0) {
		n += pg_message(out + n, '1', SLICE_LIT(""));
		n += pg_message(out + n, '2', SLICE_LIT(""));
	}
	n += pg_message(out + n, 'D', SLICE_LIT(PG_ROW));
	n += pg_message(out + n, 'C', SLICE_LIT("SELECT 1\0"));
	n += pg_message(out + n, 'Z', SLICE_LIT("I"));
	prepare(b, i, EV_TX, slice_of(out, n));
}

/* Reads and writes in turn. */
static void prepare_redis(struct bench *b, unsigned int i)
{
	char text[256];

	if (i % 4)
		snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$14\r\norder:%08u\r\n", i);
	else
		snprintf(text, sizeof(text),
			 "*5\r\n$3\r\nSET\r\n$14\r\norder:%08u\r\n$16\r\n%016x\r\n"
			 "$2\r\nEX\r\n$2\r\n60\r\n",
			 i, i);
	prepare(b, i, EV_RX, slice_str(text));
	if (i % 4)
		snprintf(text, sizeof(text), "$16\r\n%016x\r\n", i);
	prepare(b, i, EV_TX, i % 4 ? slice_str(text) : SLICE_LIT("+OK\r\n"));
}

static const struct workload workloads[] = {
	{ .name = "http", .port = 8080, .prepare = prepare_http },
	{ .name = "pgsql",
	  .port = 5432,
	  .opening = { [EV_RX] = { (const uint8_t *)"\0\0\0\x12\0\3\0\0user\0bob\0\0", 18 },
		       [EV_TX] = { (const uint8_t *)"R\0\0\0\x08\0\0\0\0Z\0\0\0\5I", 15 } },
	  .prepare = prepare_pgsql },
	{ .name = "redis", .port = 6379, .prepare = prepare_redis },
};

static void prepare_all(struct bench *b)
{
	for (unsigned int i = 0; i < TEMPLATES; i++)
		b->load->prepare(b, i);
}

/* Gives what a template holds to a connection. */
static void give_template(struct bench *b, uint32_t conn, uint64_t n, enum ev_dir dir)
{
	struct ev_data *e = (struct ev_data *)b->record[n][dir];

	e->conn = conn + 1;
	e->slot = conn;
	e->pos = b->pos[conn][dir];
	b->pos[conn][dir] += e->orig_len;
	give(b, &e->h, (uint32_t)sizeof(*e) + e->cap_len, EV_DATA);
}

/* The first template's place serves: it is made afterwards. */
static void give_opening(struct bench *b, uint32_t conn)
{
	for (int dir = 0; dir < 2; dir++) {
		if (!b->load->opening[dir].n)
			continue;
		prepare(b, 0, (enum ev_dir)dir, b->load->opening[dir]);
		give_template(b, conn, 0, (enum ev_dir)dir);
	}
}

static void give_exchange(struct bench *b)
{
	uint32_t conn = (uint32_t)(b->seq % CONNS);

	give_template(b, conn, b->seq % TEMPLATES, EV_RX);
	give_template(b, conn, b->seq % TEMPLATES, EV_TX);
	b->seq++;
}

static int make_pipeline(struct bench *b)
{
	struct ledger_fds fds;
	struct pipeline_opts o = {
		.node = "bench",
		.epoch = 1,
		.id_key = { 1, 2 },
		.out = { &b->drain, drain_reserve, drain_commit, drain_publish, nobody },
		.want_headers = true,
		.idle_timeout_ns = 300 * NSEC_PER_SEC,
	};

	b->ledger = ledger_create(&fds) < 0 ? NULL : ledger_map(&fds, LEDGER_PARSER);
	o.ledger = b->ledger;
	b->pipeline = b->ledger ? pipeline_new(&o) : NULL;
	if (!b->pipeline)
		return -1;
	for (uint32_t i = 0; i < CONNS; i++) {
		open_connection(b, i);
		give_opening(b, i);
	}
	prepare_all(b);
	return 0;
}

static void one_round(struct bench *b)
{
	for (unsigned int i = 0; i < ROUND; i++)
		give_exchange(b);
	pipeline_tick(b->pipeline, b->now_ns, b->now_ns);
	pipeline_commit(b->pipeline);
	if (b->drain.store && b->seq % (ROUND * 64) == 0)
		store_tick(b->drain.store, b->now_ns, b->now_ns);
}

static struct store *open_store(const char *dir, uint64_t now_ns)
{
	struct store_opts o;
	struct store_diag diag;
	struct store *s = NULL;

	store_opts_init(&o);
	o.dir = dir;
	o.node = "bench";
	o.epoch = 1;
	if (store_open(&o, now_ns, now_ns, &s, &diag) < 0) {
		fprintf(stderr, "%s\n", diag.text);
		return NULL;
	}
	return s;
}

/* Appends the kept frames once over; returns rows. */
static uint64_t append_kept(struct bench *b)
{
	struct drain *d = &b->drain;
	uint64_t rows = 0;

	for (size_t at = 0; at < d->kept_n;) {
		uint32_t head[2];

		memcpy(head, d->kept + at, sizeof(head));
		to_store(d->store, (enum pipe_frame)head[0], slice_of(d->kept + at + 8, head[1]));
		rows += head[0] == PIPE_ROW;
		at += sizeof(head) + ((head[1] + 7u) & ~(size_t)7);
		if (rows % 65536 == 0)
			store_tick(d->store, b->now_ns, b->now_ns);
	}
	return rows;
}

static void report(const struct bench *b, uint64_t n, uint64_t wall_ns, uint64_t cpu_ns)
{
	struct store_counters c = { 0 };

	if (b->drain.store)
		store_counters(b->drain.store, &c);
	printf("{\"exchanges\":%llu,\"rows\":%llu,\"per_second\":%.0f,\"per_cpu_second\":%.0f,"
	       "\"row_bytes\":%.1f,\"disk_bytes_per_row\":%.1f,\"written_bytes_per_row\":%.1f,"
	       "\"rows_lost\":%llu}\n",
	       (unsigned long long)n, (unsigned long long)b->drain.rows,
	       (double)n * 1e9 / (double)wall_ns, (double)n * 1e9 / (double)cpu_ns,
	       b->drain.rows ? (double)b->drain.row_bytes / (double)b->drain.rows : 0,
	       c.rows_stored ? (double)c.bytes_disk / (double)c.rows_stored : 0,
	       c.rows_stored ? (double)c.bytes_appended / (double)c.rows_stored : 0,
	       (unsigned long long)(c.rows_lost + c.rows_rejected));
}

static int run(struct bench *b, uint64_t duration_ns)
{
	uint64_t wall, cpu, n = 0;

	if (b->drain.mode == MODE_STORE) {
		while (!b->drain.full)
			one_round(b);
	} else {
		one_round(b);
		b->drain.rows = b->drain.row_bytes = 0;
	}
	wall = clock_ns(CLOCK_MONOTONIC);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	do {
		if (b->drain.mode == MODE_STORE) {
			n += append_kept(b);
		} else {
			one_round(b);
			n += ROUND;
		}
	} while (clock_ns(CLOCK_MONOTONIC) - wall < duration_ns);
	if (b->drain.store)
		(void)store_flush(b->drain.store);
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	report(b, n, wall, cpu);
	free(b->drain.kept);
	return b->drain.rows == 0;
}

static const struct workload *workload_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(workloads); i++)
		if (strcmp(workloads[i].name, name) == 0)
			return &workloads[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static struct bench b;
	uint64_t ms = 0;
	int r;

	b.drain.mode = _MODE_MAX;
	b.load = &workloads[0];
	if (argc >= 3 && strcmp(argv[1], "--proto") == 0) {
		b.load = workload_named(argv[2]);
		argc -= 2;
		argv += 2;
	}
	for (int i = 0; argc >= 3 && i < _MODE_MAX; i++)
		if (strcmp(argv[1], mode_names[i]) == 0)
			b.drain.mode = (enum mode)i;
	if (!b.load || b.drain.mode == _MODE_MAX ||
	    parse_u64(slice_of(argv[2], strlen(argv[2])), &ms) < 0 ||
	    (b.drain.mode != MODE_PIPELINE && argc != 4)) {
		fprintf(stderr, "bench_hops [--proto http|pgsql|redis] pipeline|stored|store "
				"MILLISECONDS [DIR]\n");
		return 2;
	}
	b.now_ns = clock_ns(CLOCK_REALTIME);
	if (b.drain.mode != MODE_PIPELINE && !(b.drain.store = open_store(argv[3], b.now_ns)))
		return 1;
	b.drain.kept = b.drain.mode == MODE_STORE ? malloc(KEPT_BYTES) : NULL;
	if ((b.drain.mode == MODE_STORE && !b.drain.kept) || make_pipeline(&b) < 0) {
		fprintf(stderr, "no memory for the pipeline\n");
		return 1;
	}
	r = run(&b, ms * NSEC_PER_MSEC);
	pipeline_free(b.pipeline);
	store_close(b.drain.store);
	return r;
}

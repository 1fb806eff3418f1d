/* Where a byte stands is what the byte itself says: strains.c moves bytes that know their position
 * through every odd state of a socket, on all CPUs at once, and each record is checked against its own
 * bytes, against the one before and against the connection's end.
 */
#include "tests/lib/test.h"
#include "base/text.h"
#include "script.h"
#include "strains.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CONNS	 (1u << 21) /* power of two: connections of one case */
#define ENDS_MAX 65536	    /* of one look at the rings */
#define TOLD_MAX 8	    /* findings that are printed */

struct known {
	uint64_t conn;
	uint64_t end[2]; /* where the next record begins */
	uint64_t eof[2];
	bool over;
	uint16_t local, remote;
	bool others; /* of another network namespace */
};

static struct known *table;
static uint64_t found, records, opened, over;
static struct strains *strains; /* shared with the children */

/* One finding: what and of which connection. */
static void finding(const struct known *s, const char *what, uint64_t got, uint64_t want)
{
	if (found++ < TOLD_MAX)
		printf("# %s: conn %llx %u -> %u: %lld, not %lld\n", what,
		       (unsigned long long)s->conn, s->local, s->remote, (long long)got,
		       (long long)want);
}

/* The connection's entry; where it has none, the one to fill. */
static struct known *place_of(uint64_t conn)
{
	size_t i = (size_t)(conn * 0x9e3779b97f4a7c15ull >> 32);

	while (table[i & (CONNS - 1)].conn && table[i & (CONNS - 1)].conn != conn)
		i++;
	return &table[i & (CONNS - 1)];
}

static struct known *known_of(uint64_t conn)
{
	struct known *s = place_of(conn);

	return s->conn ? s : NULL;
}

static void on_open(const struct ev_conn *e)
{
	struct known *s = place_of(e->conn);

	if (s->over)
		finding(s, "opened after its end", e->h.type, 0);
	if (!s->conn && opened < CONNS / 2) {
		*s = (struct known){ .conn = e->conn,
				     .end = { e->pos[0], e->pos[1] },
				     .eof = { UINT64_MAX, UINT64_MAX },
				     .local = e->local_port,
				     .remote = e->remote_port,
				     .others = e->netns !=
					       __atomic_load_n(&strains->netns, __ATOMIC_ACQUIRE) };
		if (s->others)
			return;
		opened++;
		for (int d = 0; d < 2; d++)
			if (e->h.type == EV_CONN_OPEN && e->pos[d] > STRAIN_BYTES_MAX)
				finding(s, "begins far away", e->pos[d], 0);
	}
	if (e->h.type == EV_CONN_FAILED && !s->others) {
		s->over = true;
		over++;
	}
}

static void on_end(const struct ev_close *e)
{
	struct known *s = known_of(e->conn);

	if (!s) {
		finding(&(struct known){ .conn = e->conn }, "unknown connection ends", 1, 0);
		return;
	}
	if (s->others)
		return;
	if (s->over)
		finding(s, "ends twice", 1, 0);
	for (int d = 0; d < 2; d++)
		if (e->pos[d] != s->end[d])
			finding(s, d == EV_TX ? "sent in the end" : "received in the end",
				e->pos[d], s->end[d]);
	s->over = true;
	over++;
}

static void on_eof(const struct ev_eof *e)
{
	struct known *s = known_of(e->conn);
	int d = e->h.flags & EV_F_TX ? EV_TX : EV_RX;

	if (!s || s->others)
		return;
	if (e->pos < s->end[d] || e->pos > STRAIN_BYTES_MAX)
		finding(s, "end of a direction", e->pos, s->end[d]);
	s->eof[d] = e->pos;
}

static void on_data(const struct ev_data *e)
{
	struct known *s = known_of(e->conn);
	int d = e->h.flags & EV_F_TX ? EV_TX : EV_RX;

	if (s && s->others)
		return;
	records++;
	if (!s || s->over) {
		finding(s ? s : &(struct known){ .conn = e->conn }, "bytes of no open connection",
			e->pos, 0);
		return;
	}
	if (e->pos != s->end[d])
		finding(s, d == EV_TX ? "sent at" : "received at", e->pos, s->end[d]);
	if (e->pos > STRAIN_BYTES_MAX - e->cap_len ||
	    memcmp(e->data, strain_bytes() + e->pos, e->cap_len) != 0)
		finding(s,
			d == EV_TX ? "sent bytes of another place"
				   : "received bytes of another place",
			e->pos, s->end[d]);
	s->end[d] = e->pos + e->orig_len;
}

/* The control ring up to a snapshot; the ends are kept. */
static size_t drain_ctl(struct harness *h, uint64_t upto, struct ev_close *ends, size_t n)
{
	const struct ev_hdr *e;
	enum ring_result r;

	while ((r = ring_next(&h->ctl, upto, &e)) != RING_END)
		if (r == RING_INVALID)
			finding(&(struct known){ 0 }, "invalid control record", e->type, 0);
		else if (e->type == EV_CONN_OPEN || e->type == EV_CONN_FAILED)
			on_open((const struct ev_conn *)(const void *)e);
		else if (e->type == EV_CONN_CLOSE && n < ENDS_MAX)
			ends[n++] = *(const struct ev_close *)(const void *)e;
		else if (e->type == EV_CONN_EOF)
			on_eof((const struct ev_eof *)(const void *)e);
	ring_release(&h->ctl);
	return n;
}

/* In the order of events.h: an end is taken when the data that it may end has been. */
static void drain(struct harness *h)
{
	static struct ev_close ends[ENDS_MAX];
	static size_t n;
	uint64_t upto = ring_snapshot(&h->ctl);
	size_t ripe = drain_ctl(h, upto, ends, n);
	const struct ev_hdr *e;
	enum ring_result r;

	upto = ring_snapshot(&h->data);
	n = drain_ctl(h, ring_snapshot(&h->ctl), ends, ripe);
	while ((r = ring_next(&h->data, upto, &e)) != RING_END)
		if (r == RING_INVALID)
			finding(&(struct known){ 0 }, "invalid data record",
				((const struct ev_data *)(const void *)e)->pos, 0);
		else if (e->type == EV_DATA)
			on_data((const struct ev_data *)(const void *)e);
	ring_release(&h->data);
	for (size_t i = 0; i < ripe; i++)
		on_end(&ends[i]);
	n -= ripe;
	memmove(ends, ends + ripe, n * sizeof(ends[0]));
}

static void run(const char *only, unsigned workers, unsigned rounds)
{
	/* Large enough for all that a slow machine does between two looks. */
	struct capture_opts o = { .ctl_ring_bytes = 32u << 20, .data_ring_bytes = 128u << 20 };
	struct missed_runs missed;
	struct harness h;

	found = records = opened = over = 0;
	table = calloc(CONNS, sizeof(*table));
	script = script_new();
	strains = mmap(NULL, sizeof(*strains), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	ASSERT(table && script && strains != MAP_FAILED);
	*strains = (struct strains){ .only = only, .workers = workers, .rounds = rounds };
	if (!script_start(&h, &o))
		return;
	h.lazy = true;
	h.while_running = drain;
	EXPECT_EQ(harness_run(&h, strains_run, strains), 0);
	usleep(100000); /* what the kernel ends behind the last close() */
	drain(&h);
	drain(&h);
	EXPECT_EQ(found, 0);
	EXPECT_EQ(over, opened);
	for (size_t i = 0; over != opened && i < CONNS; i++)
		if (table[i].conn && !table[i].others && !table[i].over)
			finding(&table[i], "has no end", table[i].end[0], table[i].end[1]);
	EXPECT(records > 0);
	EXPECT_EQ(harness_counter(&h, BC_EV_CTL_RING) + harness_counter(&h, BC_C_RING), 0);
	EXPECT_EQ(harness_balance(&h, "bytes"), 0);
	if (!harness_sees_all)
		EXPECT_EQ(harness_balance(&h, "connections"), 0);
	missed = capture_missed_runs(h.cap);
	EXPECT_EQ(missed.data, 0);
	printf("# %llu connections, %llu records, %llu missed state changes\n",
	       (unsigned long long)opened, (unsigned long long)records,
	       (unsigned long long)missed.state);
	harness_stop(&h);
	free(table);
}

/* KELPIE_STRAINS: how many times as many; KELPIE_STRAIN: the name of the one to run. */
static void run_all(void)
{
	const char *text = getenv("KELPIE_STRAINS");
	uint64_t times = 1;

	if (text && parse_u64(slice_of(text, strlen(text)), &times) < 0)
		times = 1;
	run(getenv("KELPIE_STRAIN"), 4, 10 * (unsigned)times);
}

static void test_positions__of_a_group(void)
{
	run_all();
}

/* With every other process's: entries are made as connections come about, not at their first bytes. */
static void test_positions__of_all(void)
{
	harness_sees_all = true;
	run_all();
	harness_sees_all = false;
}

static const struct test_case cases[] = { TEST(test_positions__of_a_group),
					  TEST(test_positions__of_all) };

int main(int argc, char **argv)
{
	return script_main(cases, ARRAY_SIZE(cases), argc, argv);
}

/* The running seconds: what time of a row can do to them. */
#include "agent/red.h"

#include "base/base64.h"
#include "protocols/schema.h"
#include "query/sketch.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define NOW_NS (UINT64_C(1800000000) * NSEC_PER_SEC)
#define LAP_NS (RED_SLOTS * RED_SLOT_NS)

static void add_at(struct red *r, uint64_t end_ns)
{
	struct red_sample s = { .end_ns = end_ns, .latency_ns = 1000 };

	for (size_t i = 0; i < RED_TEXTS; i++)
		s.texts[i] = slice_str("x");
	red_add(r, &s);
}

/* Slots between two times. */
static size_t slots(const struct red *r, uint64_t from_ns, uint64_t to_ns)
{
	struct mem_rows rows;
	size_t n;

	mem_rows_init(&rows, 10000);
	EXPECT_EQ(red_rows(r, from_ns, to_ns, "node", &rows), 0);
	n = rows.n;
	mem_rows_done(&rows);
	return n;
}

static void test_red__keeps_a_lap(void)
{
	static struct red r;

	red_init(&r);
	for (uint64_t at = NOW_NS - 3 * LAP_NS; at <= NOW_NS; at += RED_SLOT_NS)
		add_at(&r, at);
	EXPECT_EQ(slots(&r, 0, UINT64_MAX), RED_SLOTS);
	EXPECT_EQ(slots(&r, NOW_NS, NOW_NS), 1);
	add_at(&r, NOW_NS - LAP_NS); /* too late for its slot */
	EXPECT_EQ(slots(&r, NOW_NS, NOW_NS), 1);
	EXPECT_EQ(slots(&r, 0, UINT64_MAX), RED_SLOTS);
	red_done(&r);
}

/* The clock was ahead and is put right, or a parser that was taken over gave rows of the next century: the
 * present is shown nevertheless. */
static void test_red__the_future_does_not_stay(void)
{
	static const uint64_t ahead[] = { 3600 * NSEC_PER_SEC, 86400 * NSEC_PER_SEC,
					  UINT64_C(1) << 62, UINT64_MAX - LAP_NS - NOW_NS };
	static struct red r;

	for (size_t i = 0; i < ARRAY_SIZE(ahead); i++) {
		red_init(&r);
		for (size_t k = 0; k < RED_SLOTS; k++)
			add_at(&r, NOW_NS + ahead[i] + k * RED_SLOT_NS);
		for (size_t k = 0; k < 10; k++)
			add_at(&r, NOW_NS + k * RED_SLOT_NS);
		EXPECT_EQ(slots(&r, NOW_NS, NOW_NS + 9 * RED_SLOT_NS), 10);
		red_done(&r);
	}
}

static void add_named(struct red *r, const char *server, const char *method)
{
	struct red_sample s = { .end_ns = NOW_NS, .latency_ns = 1000 };

	s.texts[0] = slice_str(server);
	s.texts[3] = slice_str(method);
	red_add(r, &s);
}

static uint64_t requests_of(const struct red *r, const char *server, const char *method)
{
	struct mem_rows rows;
	uint64_t sum = 0;

	mem_rows_init(&rows, 10000);
	EXPECT_EQ(red_rows(r, 0, UINT64_MAX, "node", &rows), 0);
	for (size_t i = 0; i < rows.n; i++) {
		struct row row = row_of(rows.rows[i].bytes);
		const struct cell *s = row_find(&row, COL_SERVER_NAME),
				  *m = row_find(&row, COL_METHOD);

		if (s && slice_eq_str(row_cell_text(&row, s), server) &&
		    (!method || (m && slice_eq_str(row_cell_text(&row, m), method))))
			sum += (uint64_t)row_find(&row, COL_REQUESTS)->v.i;
	}
	mem_rows_done(&rows);
	return sum;
}

/* A client makes up methods: what it asks stays its server's, and the others keep their names. */
static void test_red__one_server_cannot_fill_it(void)
{
	static struct red r;
	char method[16];

	red_init(&r);
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(method, sizeof(method), "M%u", i);
		add_named(&r, "attacked", method);
	}
	add_named(&r, "shop", "GET");
	EXPECT_EQ(requests_of(&r, "shop", "GET"), 1);
	EXPECT_EQ(requests_of(&r, "attacked", NULL), 3000);
	EXPECT_EQ(requests_of(&r, "attacked", "M7"), 1);
	EXPECT_EQ(requests_of(&r, "(other)", NULL), 0);
	red_done(&r);
}

static int64_t only_cell(const struct mem_rows *rows, uint16_t col)
{
	struct row row = row_of(rows->rows[0].bytes);
	const struct cell *c = row_find(&row, col);

	return c ? c->v.i : -1;
}

/* What `top` shows as TOTAL, MAX, IN and OUT; an exchange without an answer has bytes, and no time. */
static void test_red__sums(void)
{
	static const struct {
		int64_t latency_ns, total_ns, max_ns;
	} steps[] = { { -1, -1, -1 }, { 40, 40, 40 }, { 2, 42, 40 } };
	static struct red r;
	struct mem_rows rows;

	red_init(&r);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct red_sample s = { .end_ns = NOW_NS,
					.latency_ns = steps[i].latency_ns,
					.request_bytes = 10,
					.response_bytes = 200 };

		red_add(&r, &s);
		mem_rows_init(&rows, 10);
		EXPECT_EQ(red_rows(&r, 0, UINT64_MAX, "node", &rows), 0);
		EXPECT_EQ(rows.n, 1);
		EXPECT_EQ(only_cell(&rows, COL_TOTAL_NS), steps[i].total_ns);
		EXPECT_EQ(only_cell(&rows, COL_MAX_NS), steps[i].max_ns);
		EXPECT_EQ(only_cell(&rows, COL_REQUEST_BYTES), (int64_t)(10 * (i + 1)));
		EXPECT_EQ(only_cell(&rows, COL_RESPONSE_BYTES), (int64_t)(200 * (i + 1)));
		mem_rows_done(&rows);
	}
	red_done(&r);
}

/* The sum of a row's sketches, slot by slot. */
static void add_sketches(const struct red *r, uint64_t from_ns, uint64_t to_ns, struct sketch *sum)
{
	struct strbuf bytes = STRBUF_INIT(SKETCH_BYTES_MAX);
	struct mem_rows rows;

	mem_rows_init(&rows, 100000);
	EXPECT_EQ(red_rows(r, from_ns, to_ns, "node", &rows), 0);
	for (size_t i = 0; i < rows.n; i++) {
		struct row row = row_of(rows.rows[i].bytes);
		struct slice text = row_cell_text(&row, row_find(&row, COL_SKETCH));
		struct sketch s;

		strbuf_reset(&bytes);
		EXPECT_EQ(base64_get(&bytes, slice_from(text, strlen(SKETCH_TEXT_PREFIX))), 0);
		ASSERT_EQ(sketch_get(strbuf_slice(&bytes), &s), 0);
		EXPECT_EQ(sketch_merge(sum, &s), 0);
		sketch_done(&s);
	}
	strbuf_done(&bytes);
	mem_rows_done(&rows);
}

static void add_key(struct red *r, uint64_t end_ns, unsigned int key, int64_t latency_ns)
{
	struct red_sample s = { .end_ns = end_ns, .latency_ns = latency_ns };
	char resource[64];

	snprintf(resource, sizeof(resource), "/shelves/%u/things", key);
	s.texts[0] = slice_str("shop");
	s.texts[1] = slice_str("curl");
	s.texts[2] = slice_str("http");
	s.texts[3] = slice_str("GET");
	s.texts[4] = slice_str(resource);
	red_add(r, &s);
}

/* A lap of many keys with latencies all over the place: what is over takes little room, and says the
 * same; rows that come late are added. */
static void test_red__slots_that_are_over_are_small(void)
{
	enum { KEYS = 200, EACH = 40 };
	static struct red r;
	struct sketch sum;
	uint64_t n = 0;

	red_init(&r);
	for (uint64_t slot = 0; slot < RED_SLOTS; slot++)
		for (unsigned int i = 0; i < KEYS * EACH; i++, n++)
			add_key(&r, NOW_NS + slot * RED_SLOT_NS, i % KEYS,
				1000 + (int64_t)(hash_u64(n) % 100000000));
	EXPECT(red_bytes(&r) < 4 * MIB);
	for (unsigned int i = 0; i < KEYS; i++, n++)
		add_key(&r, NOW_NS, i, 5000);
	sketch_init(&sum);
	add_sketches(&r, 0, UINT64_MAX, &sum);
	EXPECT_EQ(sum.count, n);
	EXPECT_EQ(sum.min >= 1000 && sum.max < 100001000, true);
	sketch_done(&sum);
	sketch_init(&sum);
	add_sketches(&r, NOW_NS, NOW_NS, &sum);
	EXPECT_EQ(sum.count, KEYS * EACH + KEYS);
	sketch_done(&sum);
	add_key(&r, NOW_NS + RED_SLOTS * RED_SLOT_NS, 0, 1); /* the late ones are packed too */
	EXPECT(red_bytes(&r) < 4 * MIB);
	red_done(&r);
	EXPECT_EQ(red_bytes(&r), sizeof(r));
}

/* Names that never come again, of many servers. */
static void test_red__names_have_bounded_memory(void)
{
	static struct red r;
	char server[64];
	static char text[RED_TEXT_MAX];
	uint64_t n = 0;

	memset(text, 'n', sizeof(text));
	red_init(&r);
	for (uint64_t slot = 0; slot < RED_SLOTS; slot++)
		for (unsigned int i = 0; i < 200; i++, n++) {
			struct red_sample s = { .end_ns = NOW_NS + slot * RED_SLOT_NS,
						.latency_ns = 1000 };

			snprintf(server, sizeof(server), "server %llu", (unsigned long long)n);
			s.texts[0] = slice_str(server);
			s.texts[4] = slice_of(text, sizeof(text));
			red_add(&r, &s);
			EXPECT(r.names_bytes <= RED_NAMES_BYTES_MAX + KIB);
		}
	EXPECT(requests_of(&r, "(other)", NULL) > 0);
	EXPECT_EQ(requests_of(&r, "server 0", NULL), 1);
	red_done(&r);
}

TEST_MAIN(TEST(test_red__slots_that_are_over_are_small), TEST(test_red__names_have_bounded_memory),
	  TEST(test_red__keeps_a_lap), TEST(test_red__the_future_does_not_stay),
	  TEST(test_red__one_server_cannot_fill_it), TEST(test_red__sums))

#include "rows.h"

#include "base/hash.h"

#include <inttypes.h>

uint64_t rows_random(uint64_t *state)
{
	return hash_u64(*state += 0x9e3779b97f4a7c15ULL);
}

static const char *const paths[] = {
	"/", "/api/users/17",  "/api/users/18",	  "/API/orders", "/a_b%c",
	"",  "/caf\xc3\xa9/x", "/api/orders/9?x", "/\xff\xfe"
};
static const char *const methods[] = { "GET", "POST", "get", "DELETE" };
static const char *const hosts[] = { "shop", "cart", "shop.local", "10" };

static const char *pick(const char *const *list, size_t n, uint64_t *state)
{
	return list[rows_random(state) % n];
}

static void add_exchange(struct mem_source *m, size_t i, bool primary, uint64_t end,
			 uint64_t *state)
{
	struct mem_row *r = mem_source_row(m, TABLE_HTTP, end);
	int64_t latency = (int64_t)(rows_random(state) % 5000000);
	char conn[16];

	mem_row_int(r, COL_TIME, (int64_t)end - latency);
	mem_row_int(r, COL_LATENCY_NS, latency);
	mem_row_text(r, COL_PROTOCOL, "http");
	mem_row_text(r, COL_NODE, i % 3 ? "node-a" : "node-b");
	mem_row_int(r, COL_EPOCH, 0x1234abcd);
	mem_row_int(r, COL_SEQ, (int64_t)(2 * i + primary));
	mem_row_int(r, COL_IS_PRIMARY, primary);
	mem_row_text(r, COL_METHOD, pick(methods, ARRAY_SIZE(methods), state));
	mem_row_text(r, COL_HTTP_HOST, pick(hosts, ARRAY_SIZE(hosts), state));
	mem_row_text(r, COL_CLIENT_NAME, i % 4 ? "web" : "external");
	if (rows_random(state) % 5)
		mem_row_text(r, COL_HTTP_PATH, pick(paths, ARRAY_SIZE(paths), state));
	if (rows_random(state) % 4) {
		mem_row_int(r, COL_STATUS_CODE, (int64_t)(rows_random(state) % 4 + 2) * 100);
		mem_row_int(r, COL_FAILED, r->cells[COL_STATUS_CODE].i >= 500);
	}
	if (rows_random(state) % 3) {
		snprintf(conn, sizeof(conn), "c%" PRIu64, rows_random(state) % 20);
		mem_row_text(r, COL_CONN_ID, conn);
		if (rows_random(state) % 3)
			mem_row_int(r, COL_REQUEST_OFFSET, (int64_t)(rows_random(state) % 5000));
	}
	if (rows_random(state) % 2)
		mem_row_text(r, COL_HTTP_USER_AGENT, "curl/8");
	mem_row_text(r, COL_HTTP_REQUEST_HEADERS, "{\"accept\":\"*/*\"}");
	if (rows_random(state) % 2)
		mem_row_text(r, COL_HTTP_RESPONSE_BODY, "hello world");
}

static void add_connection(struct mem_source *m, size_t i, uint64_t *state)
{
	uint64_t end = T0 + i * 1000000007ULL;
	struct mem_row *r = mem_source_row(m, TABLE_CONNECTIONS, end);
	char conn[16];

	snprintf(conn, sizeof(conn), "c%zu", i);
	mem_row_text(r, COL_CONN_ID, conn);
	mem_row_int(r, COL_CONN_OPENED, (int64_t)end - 1000);
	if (rows_random(state) % 2)
		mem_row_int(r, COL_CONN_CLOSED, (int64_t)end);
	mem_row_text(r, COL_CONN_STATE, i % 2 ? "open" : "closed");
	mem_row_int(r, COL_CONN_BYTES_SENT, (int64_t)(rows_random(state) % 100000));
	mem_row_text(r, COL_NODE, "node-a");
	mem_row_int(r, COL_EPOCH, 0x1234abcd);
	mem_row_int(r, COL_SEQ, (int64_t)(1000000 + i));
}

void rows_fill(struct mem_source *m, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		/* 97 is prime to n's usual values: arrival order is not time order */
		uint64_t end = T0 + (i * 97 % n) * 100000000ULL;

		add_exchange(m, i, true, end, &seed);
		if (i % 3 == 0)
			add_exchange(m, i, false, end, &seed);
	}
	for (size_t i = 0; i < 30; i++)
		add_connection(m, i, &seed);
}

void answer_done(struct answer *a)
{
	strbuf_done(&a->text);
	strbuf_done(&a->names);
	query_coverage_done(&a->cov);
}

static int take_columns(void *ctx, const struct query_column *cols, size_t n)
{
	struct answer *a = ctx;

	a->n_cols = n;
	for (size_t i = 0; i < n; i++) {
		a->cols[i] = cols[i];
		strbuf_addf(&a->names, "%s%s", i ? "," : "", cols[i].name);
	}
	return 0;
}

static int take_row(void *ctx, const struct query_cell *cells, size_t n)
{
	struct answer *a = ctx;

	a->rows++;
	for (size_t i = 0; i < n; i++) {
		if (i)
			strbuf_addch(&a->text, '|');
		if (cells[i].kind == QUERY_INT)
			strbuf_addf(&a->text, "%" PRId64, cells[i].i);
		else if (cells[i].kind == QUERY_REAL)
			strbuf_addf(&a->text, "%.15g", cells[i].r);
		else if (cells[i].kind == QUERY_NULL)
			strbuf_addch(&a->text, '~');
		else
			strbuf_add(&a->text, cells[i].text.p, cells[i].text.n);
	}
	strbuf_addch(&a->text, '\n');
	return 0;
}

void answer_sink(struct answer *a, struct query_sink *ret)
{
	memset(a, 0, sizeof(*a));
	strbuf_init(&a->text, 64 * MIB);
	strbuf_init(&a->names, 65536);
	*ret = (struct query_sink){ a, take_columns, take_row };
}

void ask_query(struct query_conn *c, const struct query *q, struct answer *ret)
{
	struct query_sink sink;

	answer_sink(ret, &sink);
	ret->result = query_run(c, q, &sink, &ret->cov, &ret->error);
}

void ask(struct query_conn *c, const char *sql, struct answer *ret)
{
	struct query q = { .sql = slice_str(sql), .range = { 0, UINT64_MAX, true } };

	ask_query(c, &q, ret);
}

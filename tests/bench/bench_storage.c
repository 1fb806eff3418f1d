/* Ingest into the store with the real HTTP schema: rows a second on one core, bytes a row on disk,
 * bytes written, files and start-up time. One line `name value unit` each.
 *
 *	bench_storage [rows]			ingest at full speed, then scans
 *	bench_storage week RATE HOURS		HOURS of RATE rows in 1,000 seconds, on a
 *						simulated clock
 *
 * Rows are synthetic: 15 services, Zipf-like choice among 115 routes with random ids in the paths,
 * log-normal latency, a few hundred connections that live a while, a fifth of the rows with random
 * trace ids. Rows are made before the clock starts.
 */
#include "base/hash.h"
#include "base/text.h"
#include "base/util.h"
#include "storage/store.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#define SERVICES   15
#define ROUTES	   115
#define CONNS	   300
#define POOL_ROWS  200000
#define SYM_BASE   1000 /* numbers of connections */
#define START_NS   (1700000000 * NSEC_PER_SEC)
#define TRACED_PCT 20
#define STEP_NS	   100000 /* between rows of the full-speed run: as at 10,000 a second */
#define JITTER_NS  500000 /* rows arrive out of order by so much */

static uint64_t seed = 1;

static uint64_t rnd(uint64_t below)
{
	seed += 0x9e3779b97f4a7c15ULL;
	return below ? hash_u64(seed) % below : hash_u64(seed);
}

static double uniform(void)
{
	return ((double)(rnd(0) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* ---- the workload */

enum {
	S_HTTP,
	S_REQUEST,
	S_SERVER,
	S_OK,
	S_GET,
	S_POST,
	S_PUT,
	S_11,
	S_JSON,
	S_AGENT,
	S_NS,
	S_DEPLOYMENT,
	S_NODE,
	S_200,
	S_201,
	S_404,
	S_500,
	S_503,
	S_SERVICE,
	S_POD = S_SERVICE + SERVICES,
	S_ADDR = S_POD + 2 * SERVICES,
	S_CONTAINER = S_ADDR + 2 * SERVICES,
	S_ROUTE = S_CONTAINER + 2 * SERVICES,
	S_HOST = S_ROUTE + ROUTES,
	S_COMM = S_HOST + SERVICES,
	_S_MAX
};

static const char *const plain[] = { "http",
				     "request",
				     "server",
				     "ok",
				     "GET",
				     "POST",
				     "PUT",
				     "1.1",
				     "application/json",
				     "Go-http-client/1.1",
				     "shop",
				     "Deployment",
				     "node-1",
				     "200",
				     "201",
				     "404",
				     "500",
				     "503" };

static struct {
	unsigned int route, port, client;
	uint64_t offset;
} conns[CONNS];

static void sym_hex(struct store *s, uint32_t sym, size_t n)
{
	char hex[65];

	for (size_t i = 0; i < n; i++)
		hex[i] = "0123456789abcdef"[rnd(16)];
	store_sym(s, sym, slice_of(hex, n));
}

static void announce(struct store *s)
{
	char text[128];

	for (uint32_t i = 0; i < ARRAY_SIZE(plain); i++)
		store_sym(s, i, slice_str(plain[i]));
	for (uint32_t i = 0; i < SERVICES; i++) {
		snprintf(text, sizeof(text), "service-%u", i);
		store_sym(s, S_SERVICE + i, slice_str(text));
		snprintf(text, sizeof(text), "service-%u.shop.svc.cluster.local", i);
		store_sym(s, S_HOST + i, slice_str(text));
		snprintf(text, sizeof(text), "svc%u", i);
		store_sym(s, S_COMM + i, slice_str(text));
	}
	for (uint32_t i = 0; i < 2 * SERVICES; i++) {
		snprintf(text, sizeof(text), "service-%u-7d4b9c6f5-x%04u", i / 2, i * 37);
		store_sym(s, S_POD + i, slice_str(text));
		snprintf(text, sizeof(text), "10.1.%u.%u", i / 7, i * 5 + 3);
		store_sym(s, S_ADDR + i, slice_str(text));
		sym_hex(s, S_CONTAINER + i, 64);
	}
	for (uint32_t i = 0; i < ROUTES; i++) {
		snprintf(text, sizeof(text), "/api/v1/%s%u/*/items", i % 2 ? "orders" : "products",
			 i);
		store_sym(s, S_ROUTE + i, slice_str(text));
	}
	for (uint32_t i = 0; i < CONNS; i++)
		sym_hex(s, SYM_BASE + i, 16);
}

static void hex_cell(struct row_builder *b, uint16_t col, size_t n)
{
	char hex[33];

	for (size_t i = 0; i < n; i++)
		hex[i] = "0123456789abcdef"[rnd(16)];
	row_text(b, col, slice_of(hex, n));
}

static void identity(struct row_builder *b, uint16_t addr, unsigned int service, unsigned int pod,
		     unsigned int port)
{
	row_sym(b, addr, S_ADDR + pod);
	row_int(b, (uint16_t)(addr + 1), port);
	row_int(b, (uint16_t)(addr + 2), 1000 + pod);
	row_sym(b, (uint16_t)(addr + 3), S_COMM + service);
	row_sym(b, (uint16_t)(addr + 4), S_CONTAINER + pod);
	row_sym(b, (uint16_t)(addr + 5), S_NS);
	row_sym(b, (uint16_t)(addr + 6), S_POD + pod);
	row_sym(b, (uint16_t)(addr + 7), S_DEPLOYMENT);
	row_sym(b, (uint16_t)(addr + 8), S_SERVICE + service);
	row_sym(b, (uint16_t)(addr + 9), S_SERVICE + service);
	row_sym(b, (uint16_t)(addr + 10), S_NODE);
	row_sym(b, (uint16_t)(addr + 11), S_SERVICE + service);
}

static void numbers(struct row_builder *b, uint64_t end, unsigned int route, unsigned int c,
		    bool get)
{
	uint64_t latency = (uint64_t)(exp(normal() * 0.9 + 14.5 + (route % 7) * 0.4));
	uint64_t up = 200 + rnd(60) + (get ? 0 : rnd(600)),
		 down = 150 + route % 9 + (uint64_t)exp(normal() * 1.1 + 6);
	unsigned int roll = (unsigned int)rnd(1000);
	uint32_t status = roll < 4    ? S_503
			  : roll < 10 ? S_500
			  : roll < 40 ? S_404
			  : get	      ? S_200
				      : S_201;
	static const int codes[] = { 200, 201, 404, 500, 503 };

	row_int(b, COL_TIME, (int64_t)(end - latency));
	row_int(b, COL_LATENCY_NS, (int64_t)latency);
	/* a response that one system call carried has its first byte with its last */
	row_int(b, COL_TTFB_NS, (int64_t)(latency - (rnd(4) ? 0 : latency / (8 + rnd(8)))));
	row_int(b, COL_REQUEST_NS, get ? 0 : (int64_t)rnd(90000));
	row_sym(b, COL_STATUS, status);
	row_int(b, COL_STATUS_CODE, codes[status - S_200]);
	row_int(b, COL_FAILED, status >= S_500);
	row_int(b, COL_CLIENT_ERROR, status == S_404);
	row_int(b, COL_REQUEST_BYTES, (int64_t)up);
	row_int(b, COL_RESPONSE_BYTES, (int64_t)down);
	row_int(b, COL_REQUEST_BODY_BYTES, get ? 0 : (int64_t)(up - 180));
	row_int(b, COL_RESPONSE_BODY_BYTES, (int64_t)(down - 130 - route % 9));
	row_int(b, COL_REQUEST_OFFSET, (int64_t)conns[c].offset);
	conns[c].offset += up;
}

static void fill(struct row_builder *b, uint64_t end)
{
	unsigned int c = (unsigned int)(CONNS * uniform() * uniform());
	unsigned int route, service, pod;
	bool get;
	char path[128];

	if (!conns[c].port || rnd(500) == 0) {
		conns[c].port = 32768 + (unsigned int)rnd(28000);
		conns[c].client = (unsigned int)rnd(SERVICES);
		conns[c].route = (unsigned int)rnd(ROUTES);
		conns[c].offset = 0;
	}
	route = (unsigned int)(ROUTES * uniform() * uniform() * uniform());
	service = (conns[c].route / 8) % SERVICES;
	route = (route * SERVICES + service) % ROUTES;
	pod = service * 2 + c % 2;
	get = route % 3 != 0;
	row_begin(b, TABLE_HTTP);
	numbers(b, end, route, c, get);
	row_sym(b, COL_PROTOCOL, S_HTTP);
	row_sym(b, COL_KIND, S_REQUEST);
	row_sym(b, COL_ROLE, S_SERVER);
	row_int(b, COL_ENCRYPTED, 0);
	row_sym(b, COL_METHOD, get ? S_GET : S_POST);
	row_sym(b, COL_RESOURCE, S_ROUTE + route);
	row_sym(b, COL_OUTCOME, S_OK);
	row_int(b, COL_COMPLETE, 1);
	row_int(b, COL_TRUNCATED, 0);
	row_int(b, COL_DEGRADED, 0);
	row_int(b, COL_IS_PRIMARY, 1);
	row_sym(b, COL_CONN_ID, SYM_BASE + c);
	if (rnd(100) < TRACED_PCT) {
		hex_cell(b, COL_TRACE_ID, 32);
		hex_cell(b, COL_SPAN_ID, 16);
	}
	identity(b, COL_CLIENT_ADDR, conns[c].client, conns[c].client * 2 + c % 2, conns[c].port);
	identity(b, COL_SERVER_ADDR, service, pod, 8080);
	row_sym(b, COL_HTTP_VERSION, S_11);
	row_sym(b, COL_HTTP_HOST, S_HOST + service);
	snprintf(path, sizeof(path), "/api/v1/%s%u/%u/items", route % 2 ? "orders" : "products",
		 route, (unsigned int)(100000 * uniform() * uniform() * uniform()));
	row_text(b, COL_HTTP_PATH, slice_str(path));
	row_sym(b, COL_HTTP_CONTENT_TYPE, S_JSON);
	row_sym(b, COL_HTTP_USER_AGENT, S_AGENT);
}

/* Encoded rows, one behind the other, used round and round with new times and numbers. */
static struct {
	uint8_t *bytes;
	size_t *at;
	size_t n;
} pool;

static void make_pool(size_t n)
{
	static struct row_builder b;
	size_t len = 0, cap = n * 1400;

	pool.bytes = malloc(cap);
	pool.at = malloc((n + 1) * sizeof(*pool.at));
	for (size_t i = 0; i < n; i++) {
		uint64_t end = START_NS + i * 10000 + rnd(200000);

		fill(&b, end);
		pool.at[i] = len;
		len += row_end(&b, i + 1, end, pool.bytes + len, cap - len);
	}
	pool.at[n] = len;
	pool.n = n;
}

/* Row i of an endless workload: the pool's row moved to a time and number of its own. */
static void next_row(size_t i, uint64_t end, struct row *ret)
{
	struct row_hdr *h = (struct row_hdr *)(void *)(pool.bytes + pool.at[i % pool.n]);
	struct cell *cells = (struct cell *)(h + 1);

	for (size_t k = 0; k < 4; k++)
		if (cells[k].col == COL_TIME)
			cells[k].v.i += (int64_t)(end - h->end_ns);
	h->end_ns = end;
	h->seq = i + 1;
	if (row_check(slice_of(h, h->len), ret) < 0)
		abort();
}

/* ---- runs */

static void fail(const char *what)
{
	fprintf(stderr, "bench_storage: %s\n", what);
	exit(1);
}

static struct store *open_store(const char *dir, struct store_opts *o)
{
	struct store_diag diag;
	struct store *s;

	o->dir = dir;
	o->node = "node-1";
	o->epoch = 1;
	o->reserve_bytes = 0;
	if (store_open(o, START_NS, NSEC_PER_SEC, &s, &diag) < 0)
		fail(diag.text);
	announce(s);
	return s;
}

static void report_disk(struct store *s)
{
	struct store_counters c;

	store_counters(s, &c);
	printf("rows_stored %" PRIu64 " rows\n", c.rows_stored);
	printf("bytes_per_row %.1f B\n", (double)c.bytes_disk / (double)c.rows_stored);
	printf("written_per_stored %.2f ratio\n", (double)c.bytes_appended / (double)c.bytes_disk);
	printf("row_bytes_in %.0f B\n", (double)c.bytes_in / (double)c.rows_in);
	printf("segments %" PRIu64 " segments\n", c.segments);
	printf("files %" PRIu64 " files\n", c.files);
	if (c.rows_lost || c.rows_rejected || c.write_errors)
		fail("rows were lost");
}

static void timed_scan(struct store *s, const char *name, const uint16_t *cols, size_t n_cols,
		       const struct scan_pred *preds, size_t n_preds, uint64_t limit)
{
	struct scan_plan plan = { .table = TABLE_HTTP,
				  .to_ns = UINT64_MAX,
				  .cols = cols,
				  .n_cols = n_cols,
				  .preds = preds,
				  .n_preds = n_preds,
				  .newest_first = true,
				  .limit = limit };
	struct scan_coverage cov;
	struct scan_batch batch;
	uint64_t t = wall_ns();
	struct scan *scan;

	if (store_source(s)->open(store_source(s), &plan, &scan) < 0)
		fail("scan");
	while (scan_next(scan, &batch) == 1)
		;
	scan_coverage(scan, &cov);
	scan_close(scan);
	printf("%s %.1f ms (%" PRIu64 " rows of %" PRIu64 ", %" PRIu64 " segments read, %" PRIu64
	       " skipped)\n",
	       name, (double)(wall_ns() - t) / 1e6, cov.rows_matched, cov.rows_scanned,
	       cov.segments_read, cov.segments_skipped);
}

static void scans(struct store *s)
{
	static const uint16_t red[] = { COL_SERVER_NAME, COL_RESOURCE, COL_LATENCY_NS, COL_FAILED };
	static const uint16_t wide[] = { COL_TIME,	  COL_END_TIME,	   COL_LATENCY_NS,
					 COL_METHOD,	  COL_RESOURCE,	   COL_STATUS,
					 COL_CLIENT_NAME, COL_SERVER_NAME, COL_HTTP_PATH,
					 COL_TRACE_ID };
	struct value one = { .kind = VALUE_INT, .i = 1 };
	struct value trace = { .kind = VALUE_TEXT,
			       .text = SLICE_LIT("0123456789abcdef0123456789abcdef") };
	struct value slow = { .kind = VALUE_INT, .i = 100 * (int64_t)NSEC_PER_MSEC };
	struct scan_pred failed = { COL_FAILED, PRED_EQ, &one, 1 };
	struct scan_pred by_trace = { COL_TRACE_ID, PRED_EQ, &trace, 1 };
	struct scan_pred latency = { COL_LATENCY_NS, PRED_GE, &slow, 1 };

	timed_scan(s, "scan_red_columns", red, ARRAY_SIZE(red), NULL, 0, 0);
	timed_scan(s, "scan_newest_100_failed", wide, ARRAY_SIZE(wide), &failed, 1, 100);
	timed_scan(s, "scan_slow_all", wide, ARRAY_SIZE(wide), &latency, 1, 0);
	timed_scan(s, "scan_absent_trace", wide, ARRAY_SIZE(wide), &by_trace, 1, 0);
}

static void bench_ingest(const char *dir, size_t rows)
{
	struct store_opts o;
	struct store *s;
	uint64_t cpu, append_cpu, wall;
	struct rusage ru;

	store_opts_init(&o);
	o.retention_bytes = 64ULL << 30;
	o.sync_ns = 0;
	s = open_store(dir, &o);
	cpu = cpu_ns();
	wall = wall_ns();
	for (size_t i = 0; i < rows; i++) {
		uint64_t end = START_NS + i * STEP_NS + hash_u64(i) % JITTER_NS;
		struct row r;

		next_row(i, end, &r);
		if (store_append(s, &r) < 0)
			fail("append");
		if (i % 8192 == 0)
			store_tick(s, START_NS + i * STEP_NS, NSEC_PER_SEC + i * STEP_NS);
	}
	append_cpu = cpu_ns() - cpu;
	store_tick(s, START_NS + rows * STEP_NS + 5 * 3600 * NSEC_PER_SEC,
		   NSEC_PER_SEC + rows * STEP_NS + 5 * 3600 * NSEC_PER_SEC);
	for (int i = 0; i < 2000; i++)
		store_tick(s, START_NS + (rows + 1) * STEP_NS + 5 * 3600 * NSEC_PER_SEC,
			   NSEC_PER_SEC + (rows + 1) * STEP_NS + 5 * 3600 * NSEC_PER_SEC);
	printf("ingest %.0f rows/s/core\n", (double)rows * 1e9 / (double)append_cpu);
	printf("ingest_and_seal %.0f rows/s/core\n", (double)rows * 1e9 / (double)(cpu_ns() - cpu));
	printf("ingest_wall %.2f s\n", (double)(wall_ns() - wall) / 1e9);
	report_disk(s);
	scans(s);
	getrusage(RUSAGE_SELF, &ru);
	printf("peak_rss %ld KiB (pool of rows: %zu KiB)\n", ru.ru_maxrss, pool.at[pool.n] / 1024);
	store_close(s);
}

static void bench_week(const char *dir, double rate, double hours)
{
	struct store_opts o;
	struct store_counters c;
	struct store *s;
	uint64_t seconds = (uint64_t)(hours * 3600), boot = NSEC_PER_SEC, cpu, t;
	double due = 0;
	size_t i = 0;

	store_opts_init(&o);
	o.retention_bytes = 64ULL << 30;
	o.sync_ns = 0;
	s = open_store(dir, &o);
	cpu = cpu_ns();
	for (uint64_t sec = 0; sec < seconds; sec++) {
		due += rate;
		for (; (double)i < due; i++) {
			struct row r;

			next_row(i,
				 START_NS + sec * NSEC_PER_SEC +
					 (uint64_t)((double)(i % 1000) * 1e6),
				 &r);
			if (store_append(s, &r) < 0)
				fail("append");
		}
		boot += NSEC_PER_SEC;
		store_tick(s, START_NS + (sec + 1) * NSEC_PER_SEC, boot);
	}
	cpu = cpu_ns() - cpu;
	store_counters(s, &c);
	printf("simulated_hours %.1f h at %.1f rows/s\n", hours, rate);
	printf("cpu_share %.4f of a core\n", (double)cpu / 1e9 / (double)seconds);
	printf("written %.2f MB/h\n", (double)c.bytes_appended / 1e6 / hours);
	report_disk(s);
	store_close(s);
	t = wall_ns();
	s = open_store(dir, &o);
	printf("open %.1f ms\n", (double)(wall_ns() - t) / 1e6);
	scans(s);
	store_close(s);
}

static void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[512];

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		(void)unlink(path);
	}
	if (d)
		closedir(d);
	(void)rmdir(dir);
}

static double number(const char *text)
{
	uint64_t v;

	if (parse_u64(slice_str(text), &v) < 0)
		fail("usage: bench_storage [ROWS | week ROWS_PER_1000_SECONDS HOURS]");
	return (double)v;
}

int main(int argc, char **argv)
{
	const char *base = getenv("TMPDIR");
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/kelpie-bench-XXXXXX", base ? base : "/var/tmp");
	if (!mkdtemp(dir))
		fail("mkdtemp");
	make_pool(POOL_ROWS);
	if (argc == 4 && strcmp(argv[1], "week") == 0)
		bench_week(dir, number(argv[2]) / 1000.0, number(argv[3]));
	else
		bench_ingest(dir, argc > 1 ? (size_t)number(argv[1]) : 2000000);
	if (!getenv("KELPIE_KEEP"))
		remove_dir(dir);
	free(pool.bytes);
	free(pool.at);
	return 0;
}

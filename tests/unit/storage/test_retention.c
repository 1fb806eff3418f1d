/* What is kept and what is deleted; who may open a directory. */
#include "tests/unit/storage/fixture.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#define HOUR (3600 * NSEC_PER_SEC)

static int64_t count_rows(struct scan_source *src, uint16_t table, const struct scan_pred *pred)
{
	struct scan_plan plan = {
		.table = table, .to_ns = UINT64_MAX, .preds = pred, .n_preds = pred != NULL
	};
	struct scan_coverage cov;
	char *text = NULL;
	int64_t n = model_run(src, &plan, &cov, &text);

	free(text);
	return cov.segments_bad ? -1 : n;
}

static bool newest_agree(struct fixture *f, uint64_t n)
{
	struct scan_plan plan;

	model_plan_all(&plan);
	plan.newest_first = true;
	plan.limit = n;
	return model_agrees(&f->m, store_source(f->s), &plan);
}

static void test_retention__bytes(void)
{
	struct fixture f;
	struct store_counters c;

	fixture_init(&f, 5);
	f.o.retention_bytes = f.o.payload_bytes = 2 * MIB;
	f.o.bucket_bytes = 200 * KIB;
	f.o.flush_rows = 500;
	ASSERT(fixture_open(&f));
	for (int i = 0; i < 30; i++) {
		add_rows(&f, 700);
		pass_time(&f, NSEC_PER_SEC);
		pass_time(&f, NSEC_PER_SEC);
		c = counters_of(f.s);
		EXPECT(c.bytes_disk < 2 * MIB + 600 * KIB);
		law_holds(f.s);
	}
	EXPECT(c.rows_expired > 0);
	EXPECT(c.payload_expired > 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), c.rows_stored + c.rows_held);
	EXPECT(newest_agree(&f, 300));
	EXPECT(c.oldest_ns > f.m.rows[0].end_ns);
	fixture_done(&f);
}

static void test_retention__payload_goes_first(void)
{
	struct fixture f;
	struct store_counters c;
	struct scan_pred body = { COL_HTTP_REQUEST_BODY, PRED_NOT_NULL, NULL, 0 };
	int64_t before;

	fixture_init(&f, 6);
	f.o.bucket_bytes = 100 * KIB;
	f.o.flush_rows = 300;
	ASSERT(fixture_open(&f));
	add_rows(&f, 3000);
	seal_all(&f);
	before = count_rows(store_source(f.s), TABLE_HTTP, &body);
	EXPECT(before > 500);
	EXPECT(count_files(f.dir, ".payload.db", NULL, 0) >= 2);
	store_close(f.s);
	f.o.payload_bytes = 1;
	ASSERT(fixture_open(&f));
	pass_time(&f, 2 * NSEC_PER_SEC);
	c = counters_of(f.s);
	EXPECT_EQ(count_files(f.dir, ".payload.db", NULL, 0), 0);
	EXPECT_EQ(c.bytes_payload, 0);
	EXPECT(c.payload_expired >= 2);
	EXPECT_EQ(c.rows_expired, 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), 3000);
	EXPECT(count_rows(store_source(f.s), TABLE_HTTP, &body) < before / 3);
	law_holds(f.s);
	fixture_done(&f);
}

static void test_retention__age_and_clock_jumps(void)
{
	struct fixture f;
	uint64_t ten_years = 10 * 365 * 24 * HOUR;
	struct store_counters c;

	fixture_init(&f, 7);
	f.o.retention_age_ns = 2 * HOUR;
	ASSERT(fixture_open(&f));
	add_rows(&f, 200);
	pass_time(&f, NSEC_PER_SEC);
	for (int i = 0; i < 4; i++) { /* the system clock leaps about; no time passes */
		f.now = i % 2 ? f.now - 2 * ten_years : f.now + ten_years * (i ? 2 : 1);
		store_tick(f.s, f.now, f.boot += NSEC_PER_SEC);
		seal_all(&f);
	}
	f.now = START_NS + HOUR;
	c = counters_of(f.s);
	EXPECT_EQ(c.clock_jumps, 4);
	EXPECT_EQ(c.rows_expired, 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), 200);
	store_close(f.s); /* nor does it matter what it says at the start */
	f.now += 3 * ten_years;
	ASSERT(fixture_open(&f));
	pass_time(&f, 2 * NSEC_PER_SEC);
	EXPECT_EQ(counters_of(f.s).rows_expired, 0);
	add_rows(&f, 100);
	for (int i = 0; i < 150; i++)
		pass_time(&f, 60 * NSEC_PER_SEC);
	c = counters_of(f.s);
	EXPECT_EQ(c.rows_expired, 300);
	EXPECT_EQ(c.rows_stored + c.rows_held, 0);
	law_holds(f.s);
	fixture_done(&f);
}

/* A row of the connections table. */
static int append_conn(struct fixture *f, uint64_t seq)
{
	static struct row_builder b;
	static _Alignas(8) uint8_t out[4096];
	struct row row;
	size_t n;

	row_begin(&b, TABLE_CONNECTIONS);
	row_text(&b, COL_CONN_ID, SLICE_LIT("00112233445566778899aabbccddeeff"));
	row_int(&b, COL_CONN_BYTES_SENT, (int64_t)seq * 3);
	row_text(&b, COL_CONN_STATE, SLICE_LIT("closed"));
	n = row_end(&b, seq, f->now, out, sizeof(out));
	return row_check(slice_of(out, n), &row) < 0 ? -1 : store_append(f->s, &row);
}

static void test_retention__each_table_keeps_a_floor(void)
{
	struct fixture f;

	fixture_init(&f, 8);
	f.o.retention_bytes = 2 * MIB;
	f.o.bucket_bytes = 100 * KIB;
	f.o.flush_rows = 300;
	f.o.bucket_ns = 20 * NSEC_PER_SEC;
	ASSERT(fixture_open(&f));
	for (uint64_t i = 0; i < 40; i++)
		EXPECT_EQ(append_conn(&f, 100000 + i), 0);
	for (int i = 0; i < 30; i++) {
		add_rows(&f, 700);
		for (int k = 0; k < 5; k++)
			pass_time(&f, NSEC_PER_SEC);
	}
	EXPECT(counters_of(f.s).rows_expired > 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_CONNECTIONS, NULL), 40);
	law_holds(f.s);
	fixture_done(&f);
}

static void test_retention__purge(void)
{
	struct fixture f;

	fixture_init(&f, 9);
	f.o.bucket_bytes = 100 * KIB;
	ASSERT(fixture_open(&f));
	add_rows(&f, 2000);
	seal_all(&f);
	add_rows(&f, 100);
	EXPECT_EQ(store_purge(f.s), 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), 0);
	EXPECT_EQ(count_files(f.dir, ".db", NULL, 0), 1); /* the catalogue */
	EXPECT_EQ(counters_of(f.s).rows_expired, 2100);
	law_holds(f.s);
	add_rows(&f, 10);
	EXPECT_EQ(store_flush(f.s), 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), 10);
	fixture_done(&f);
}

static void test_retention__rejects(void)
{
	static struct row_builder b;
	static _Alignas(8) uint8_t out[4096];
	struct fixture f;
	struct row row;
	size_t n;

	fixture_init(&f, 10);
	ASSERT(fixture_open(&f));
	add_rows(&f, 3);
	for (int i = 0; i < 6; i++) {
		static const uint16_t tables[] = { TABLE_HTTP,	 TABLE_HTTP, TABLE_HTTP,
						   TABLE_STATUS, TABLE_HTTP, TABLE_HTTP };

		row_begin(&b, tables[i]);
		row_int(&b, COL_LATENCY_NS, 5);
		if (i == 0)
			row_text(&b, COL_STATUS_CODE,
				 SLICE_LIT("200")); /* text in a number's place */
		if (i == 1)
			row_int(&b, COL_METHOD, 7);
		if (i == 2)
			row_sym(&b, COL_METHOD, 4000000000u); /* never announced */
		if (i == 4)
			row_int(&b, COL_CONN_BYTES_SENT, 7); /* a column of another table */
		n = row_end(&b, 9, i == 5 ? 0 : f.now, out, sizeof(out));
		ASSERT_EQ(row_check(slice_of(out, n), &row), 0);
		EXPECT_EQ(store_append(f.s, &row), -EINVAL);
	}
	EXPECT_EQ(counters_of(f.s).rows_rejected, 6);
	EXPECT(newest_agree(&f, 10)); /* and nothing of them is left behind */
	EXPECT_EQ(store_sym(f.s, STORE_SYMS_MAX, SLICE_LIT("x")), -ERANGE);
	law_holds(f.s);
	fixture_done(&f);
}

static void test_directory__two_instances(void)
{
	struct fixture f;
	struct store_diag diag;
	struct store *second = NULL;
	char pid[32];

	fixture_init(&f, 11);
	ASSERT(fixture_open(&f));
	EXPECT_EQ(store_open(&f.o, f.now, f.boot, &second, &diag), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	EXPECT(strstr(diag.text, pid) != NULL);
	EXPECT(strstr(diag.text, "in use") != NULL);
	add_rows(&f, 5);
	EXPECT(newest_agree(&f, 10));
	fixture_done(&f);
}

static void test_directory__unusable(void)
{
	struct fixture f;
	char path[300], file[320];
	struct store_diag diag;
	struct store *s = NULL;
	struct store_reader *r;
	int fd;

	fixture_init(&f, 12);
	snprintf(path, sizeof(path), "%s/no/such", f.dir);
	f.o.dir = path;
	EXPECT_EQ(store_open(&f.o, f.now, f.boot, &s, &diag), -ENOENT);
	EXPECT(diag.text[0] != 0);
	EXPECT_EQ(store_reader_open(path, &r, &diag), -ENOENT);
	snprintf(file, sizeof(file), "%s/plain", f.dir);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	f.o.dir = file;
	EXPECT_EQ(store_open(&f.o, f.now, f.boot, &s, &diag), -ENOTDIR);
	EXPECT(strstr(diag.text, "plain") != NULL);
	fixture_done(&f);
}

static uint64_t dir_state(const char *dir)
{
	char command[400], text[64] = "";
	FILE *p;

	snprintf(command, sizeof(command),
		 "cat $(ls -d %s/* | grep -v lock | sort) | cksum; ls %s | cksum", dir, dir);
	p = popen(command, "r");
	if (p) {
		size_t n = fread(text, 1, sizeof(text) - 1, p);

		text[n] = 0;
		pclose(p);
	}
	return crc32c(0, text, strlen(text));
}

static void raise_log_version(const char *path)
{
	uint8_t head[64];
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ASSERT(fd >= 0);
	EXPECT_EQ(pread(fd, head, 64, 0), 64);
	head[4]++;
	put_le(head + 60, crc32c(0, head, 60), 4);
	EXPECT_EQ(pwrite(fd, head, 64, 0), 64);
	close(fd);
}

static void raise_sealed_version(const char *path)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	uint8_t *head;
	size_t n;

	ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT d FROM bucket", -1, &st, NULL);
	ASSERT(sqlite3_step(st) == SQLITE_ROW);
	n = (size_t)sqlite3_column_bytes(st, 0);
	head = malloc(n);
	memcpy(head, sqlite3_column_blob(st, 0), n);
	sqlite3_finalize(st);
	head[4]++;
	put_le(head + n - 4, crc32c(0, head, n - 4), 4);
	sqlite3_prepare_v2(db, "UPDATE bucket SET d = ?", -1, &st, NULL);
	sqlite3_bind_blob64(st, 1, head, n, SQLITE_STATIC);
	EXPECT_EQ(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	sqlite3_close(db);
	free(head);
}

static void test_directory__newer_format(void)
{
	for (int i = 0; i < 2; i++) {
		struct fixture f;
		char path[600] = "";
		struct store_reader *r;
		uint64_t before;

		fixture_init(&f, 13);
		f.o.bucket_bytes = 50 * KIB;
		f.o.flush_rows = 200;
		ASSERT(fixture_open(&f));
		add_rows(&f, 1000);
		seal_all(&f);
		add_rows(&f, 10);
		store_close(f.s);
		f.s = NULL;
		ASSERT(count_files(f.dir, i ? ".meta.db" : ".log", path, sizeof(path)) > 0);
		if (i)
			raise_sealed_version(path);
		else
			raise_log_version(path);
		before = dir_state(f.dir);
		EXPECT(!fixture_open(&f));
		EXPECT(strstr(f.diag.text, "newer") != NULL);
		EXPECT_EQ(store_open(&f.o, f.now, f.boot, &f.s, &f.diag), -EPROTONOSUPPORT);
		EXPECT(dir_state(f.dir) == before);
		EXPECT_EQ(store_reader_open(f.dir, &r, &f.diag), -EPROTONOSUPPORT);
		fixture_done(&f);
	}
}

static void test_directory__catalogue_is_made_again(void)
{
	struct fixture f;
	char path[300];
	int64_t buckets;

	fixture_init(&f, 14);
	f.o.bucket_bytes = 50 * KIB;
	f.o.flush_rows = 200;
	ASSERT(fixture_open(&f));
	add_rows(&f, 2000);
	seal_all(&f);
	store_close(f.s);
	snprintf(path, sizeof(path), "%s/catalog.db", f.dir);
	EXPECT_EQ(unlink(path), 0);
	ASSERT(fixture_open(&f));
	EXPECT_EQ(counters_of(f.s).files_missing, 0);
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), 2000);
	buckets = (int64_t)count_files(f.dir, ".meta.db", NULL, 0);
	EXPECT(buckets > 2);
	store_close(f.s);
	EXPECT_EQ(truncate(path, 1000), 0); /* damaged this time */
	ASSERT(fixture_open(&f));
	EXPECT_EQ(count_rows(store_source(f.s), TABLE_HTTP, NULL), 2000);
	fixture_done(&f);
}

/* ---- scans in threads while the writer appends, seals and expires */

static struct {
	struct scan_source *src;
	atomic_bool stop;
	_Atomic uint64_t scans, wrong;
} shared;

static void *scan_loop(void *arg)
{
	static const uint16_t cols[] = { COL_END_TIME, COL_SEQ, COL_SERVER_NAME };
	struct scan_plan plan = { .table = TABLE_HTTP,
				  .to_ns = UINT64_MAX,
				  .cols = cols,
				  .n_cols = 3,
				  .newest_first = arg != NULL };

	while (!shared.stop) {
		struct scan_coverage cov;
		struct scan_batch batch;
		struct scan *scan;
		int64_t last = plan.newest_first ? INT64_MAX : 0;

		if (shared.src->open(shared.src, &plan, &scan) < 0) {
			shared.wrong++;
			break;
		}
		while (scan_next(scan, &batch) == 1) {
			for (size_t i = 0; i < batch.n_rows; i++) {
				int64_t t = batch.cols[0].ints[i];

				shared.wrong += plan.newest_first ? t > last : t < last;
				last = t;
			}
		}
		scan_coverage(scan, &cov);
		shared.wrong += cov.segments_bad;
		scan_close(scan);
		shared.scans++;
	}
	return NULL;
}

static void test_store__scans_in_threads(void)
{
	struct fixture f;
	pthread_t threads[2];

	fixture_init(&f, 15);
	f.o.bucket_bytes = 100 * KIB;
	f.o.flush_rows = 400;
	f.o.retention_bytes = MIB;
	ASSERT(fixture_open(&f));
	shared.src = store_source(f.s);
	shared.stop = false;
	for (size_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, scan_loop, i ? &shared : NULL);
	for (int i = 0; i < 60 || (shared.scans < 20 && i < 2000); i++) {
		add_rows(&f, 200);
		pass_time(&f, NSEC_PER_SEC);
	}
	shared.stop = true;
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT(shared.scans >= 20);
	EXPECT_EQ(shared.wrong, 0);
	EXPECT(counters_of(f.s).rows_expired > 0);
	law_holds(f.s);
	fixture_done(&f);
}

TEST_MAIN(TEST(test_retention__bytes), TEST(test_retention__payload_goes_first),
	  TEST(test_retention__age_and_clock_jumps), TEST(test_retention__each_table_keeps_a_floor),
	  TEST(test_retention__purge), TEST(test_retention__rejects),
	  TEST(test_directory__two_instances), TEST(test_directory__unusable),
	  TEST(test_directory__newer_format), TEST(test_directory__catalogue_is_made_again),
	  TEST(test_store__scans_in_threads))

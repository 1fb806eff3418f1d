/* Flipped bits: whatever byte of whatever file changes, an answer is the right one or says that
 * something is damaged. Sampled; KELPIE_FLIP_STRIDE=1 tries every byte.
 */
#include "tests/unit/storage/fixture.h"

#include "base/text.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define PLANS 4

struct question {
	struct scan_plan plan;
	char *answer;
	int64_t rows;
};

static const uint16_t narrow[] = { COL_END_TIME, COL_SERVER_NAME, COL_CLIENT_PORT };
static struct value conn = { .kind = VALUE_TEXT, .text = SLICE_LIT("sym-4") };
static struct scan_pred by_conn = { COL_CONN_ID, PRED_EQ, &conn, 1 };

static void make_questions(const struct model *m, struct question q[PLANS])
{
	for (size_t i = 0; i < PLANS; i++)
		model_plan_all(&q[i].plan);
	q[1].plan.newest_first = true;
	q[1].plan.limit = 40;
	q[2].plan.cols = narrow;
	q[2].plan.n_cols = ARRAY_SIZE(narrow);
	q[2].plan.from_ns = START_NS + 100 * NSEC_PER_MSEC;
	q[3].plan.preds = &by_conn;
	q[3].plan.n_preds = 1;
	for (size_t i = 0; i < PLANS; i++)
		q[i].rows = model_answer(m, &q[i].plan, &q[i].answer);
}

/* A store with sealed files of both classes, and a log with whole segments and minis in it. */
static bool make_store(struct fixture *f)
{
	fixture_init(f, 77);
	f->o.flush_rows = 60;
	f->o.bucket_bytes = 30 * KIB;
	if (!EXPECT(fixture_open(f)))
		return false;
	while (count_files(f->dir, ".meta.db", NULL, 0) < 2 && f->m.n < 3000) {
		add_rows(f, 60);
		pass_time(f, NSEC_PER_SEC);
	}
	seal_all(f);
	f->o.flush_rows = 60;
	add_rows(f, 70);
	pass_time(f, NSEC_PER_SEC); /* ten rows in a mini */
	add_rows(f, 5);
	pass_time(f, NSEC_PER_SEC);
	return true;
}

/* The files as a dead process leaves them: the minis are all there is of the newest rows. */
static bool abandon(struct fixture *f, char *copy, size_t cap)
{
	char command[800];

	temp_dir(copy, cap);
	snprintf(command, sizeof(command), "cp %s/http-* %s/catalog.db %s/", f->dir, f->dir, copy);
	return system(command) == 0;
}

/* Whether every question gets its right answer, or one that says that something is wrong. */
static bool honest(struct scan_source *src, const struct question q[PLANS], bool *ret_noticed)
{
	for (size_t i = 0; i < PLANS; i++) {
		struct scan_coverage cov = { 0 };
		char *got = NULL;
		int64_t n = model_run(src, &q[i].plan, &cov, &got);
		bool same = n == q[i].rows &&
			    strcmp(got ? got : "", q[i].answer ? q[i].answer : "") == 0;
		bool said = n < 0 || cov.segments_bad > 0;

		free(got);
		*ret_noticed |= said;
		if (!same && !said)
			return false;
	}
	return true;
}

static bool flip(const char *path, off_t at, uint8_t mask)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t b = 0;
	bool ok;

	if (fd < 0)
		return false;
	ok = pread(fd, &b, 1, at) == 1;
	b ^= mask;
	ok = ok && pwrite(fd, &b, 1, at) == 1;
	close(fd);
	return ok;
}

static uint64_t stride(uint64_t usual)
{
	const char *env = getenv("KELPIE_FLIP_STRIDE");
	uint64_t v = usual;

	if (env)
		(void)parse_u64(slice_str(env), &v);
	return MAX(v, (uint64_t)1);
}

/* Flips sampled bytes of one file and asks a reader. */
static void flip_file(const char *dir, const char *path, const struct question q[PLANS],
		      uint64_t step, unsigned int *tried, unsigned int *noticed)
{
	struct stat st;

	ASSERT(stat(path, &st) == 0);
	for (off_t at = 0; at < st.st_size;
	     at += 1 + (off_t)((uint64_t)(at * 7919) % (2 * step - 1))) {
		uint8_t mask = (uint8_t)(1u << at % 8);
		struct store_reader *r;
		struct store_diag diag;
		bool ok = true, said = false;

		ASSERT(flip(path, at, mask));
		if (store_reader_open(dir, &r, &diag) == 0) {
			ok = honest(store_reader_source(r), q, &said);
			store_reader_close(r);
		} else {
			said = true;
		}
		ASSERT(flip(path, at, mask));
		(*tried)++;
		*noticed += said;
		if (!EXPECT(ok))
			printf("# %s byte %lld mask %u: a wrong answer without a word\n", path,
			       (long long)at, mask);
	}
}

static void flip_all(const char *suffix, uint64_t step, unsigned int least_noticed_pct)
{
	struct fixture f;
	struct question q[PLANS];
	char copy[256], path[600];
	unsigned int tried = 0, noticed = 0;
	struct dirent *e;
	bool said = false;
	struct store_reader *r;
	struct store_diag diag;
	DIR *d;

	ASSERT(make_store(&f));
	make_questions(&f.m, q);
	ASSERT(abandon(&f, copy, sizeof(copy)));
	ASSERT(store_reader_open(copy, &r, &diag) == 0);
	EXPECT(honest(store_reader_source(r), q, &said));
	EXPECT(!said);
	store_reader_close(r);
	d = opendir(copy);
	while (d && (e = readdir(d))) {
		size_t n = strlen(e->d_name), len = strlen(suffix);

		snprintf(path, sizeof(path), "%s/%s", copy, e->d_name);
		if (n > len && strcmp(e->d_name + n - len, suffix) == 0)
			flip_file(copy, path, q, stride(step), &tried, &noticed);
	}
	if (d)
		closedir(d);
	printf("# %s: %u bytes flipped, %u noticed\n", suffix, tried, noticed);
	EXPECT(tried > 50);
	EXPECT(noticed * 100 >= tried * least_noticed_pct);
	for (size_t i = 0; i < PLANS; i++)
		free(q[i].answer);
	remove_dir(copy);
	fixture_done(&f);
}

static void test_damage__sealed(void)
{
	flip_all(".meta.db", 250, 30);
}

static void test_damage__payload(void)
{
	flip_all(".payload.db", 150, 15);
}

static void test_damage__log(void)
{
	flip_all(".log", 40, 90);
}

/* The same through a store that is opened on the damaged files and may set them aside. */
static void test_damage__open_store(void)
{
	struct fixture f;
	struct question q[PLANS];
	uint64_t step = stride(2500);

	ASSERT(make_store(&f));
	make_questions(&f.m, q);
	for (uint64_t round = 0, done = 0; round < 80 && !done; round++) {
		static const char *const suffixes[] = { ".meta.db", ".payload.db", ".log",
							"catalog.db" };
		char copy[256], path[600] = "";
		struct store_opts o = f.o;
		struct store_diag diag;
		struct store *s = NULL;
		bool said = false;
		struct stat st;
		off_t at;

		ASSERT(abandon(&f, copy, sizeof(copy)));
		ASSERT(count_files(copy, suffixes[round % 4], path, sizeof(path)) > 0);
		ASSERT(stat(path, &st) == 0);
		at = (off_t)((round / 4 * (step + 13) + round * 31) % (uint64_t)st.st_size);
		if (round < 16)
			at = (off_t)round * 9;
		ASSERT(flip(path, at, (uint8_t)(1u << round % 8)));
		o.dir = copy;
		if (EXPECT(store_open(&o, f.now, f.boot, &s, &diag) == 0 ||
			   strstr(diag.text, "newer"))) {
			if (s && !EXPECT(honest(store_source(s), q, &said)))
				printf("# %s byte %lld\n", path, (long long)at);
			store_tick(s, f.now, f.boot + 2 * NSEC_PER_SEC);
			law_holds(s);
		}
		store_close(s);
		remove_dir(copy);
	}
	for (size_t i = 0; i < PLANS; i++)
		free(q[i].answer);
	fixture_done(&f);
}

/* A file that vanished, a file full of zeros, an empty one, a cut one: said, never fatal. */
static void test_damage__whole_files(void)
{
	struct fixture f;
	struct question q[PLANS];

	ASSERT(make_store(&f));
	make_questions(&f.m, q);
	for (int how = 0; how < 4; how++) {
		char copy[256], path[600] = "", text[2000];
		struct store_opts o = f.o;
		struct store_diag diag;
		struct store_counters c;
		struct store *s = NULL;
		bool said = false;
		struct stat st;

		ASSERT(abandon(&f, copy, sizeof(copy)));
		ASSERT(count_files(copy, ".meta.db", path, sizeof(path)) > 0);
		ASSERT(stat(path, &st) == 0);
		ASSERT(how == 0 ? unlink(path) == 0
				: truncate(path, how == 3 ? st.st_size / 2 : 0) == 0);
		if (how == 1)
			ASSERT(truncate(path, st.st_size) == 0);
		o.dir = copy;
		ASSERT(EXPECT_EQ(store_open(&o, f.now, f.boot, &s, &diag), 0));
		store_counters(s, &c);
		EXPECT(c.files_bad + c.files_missing > 0 || how == 3);
		if (how > 0)
			EXPECT(honest(store_source(s), q, &said));
		EXPECT(said || how == 0);
		store_tick(s, f.now, f.boot + 2 * NSEC_PER_SEC);
		EXPECT(store_damage(s, text, sizeof(text)) > 0);
		law_holds(s);
		store_close(s);
		remove_dir(copy);
	}
	for (size_t i = 0; i < PLANS; i++)
		free(q[i].answer);
	fixture_done(&f);
}

TEST_MAIN(TEST(test_damage__sealed), TEST(test_damage__payload), TEST(test_damage__log),
	  TEST(test_damage__open_store), TEST(test_damage__whole_files))

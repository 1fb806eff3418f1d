#include "tests/unit/storage/fixture.h"

#include "base/util.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <stdio.h>

void fixture_init(struct fixture *f, uint64_t seed)
{
	*f = (struct fixture){ .now = START_NS, .boot = 5 * NSEC_PER_SEC, .epoch = 41 };
	store_opts_init(&f->o);
	f->o.reserve_bytes = 0;
	f->o.sync_ns = 0;
	model_init(&f->m, seed);
	temp_dir(f->dir, sizeof(f->dir));
}

bool fixture_open(struct fixture *f)
{
	f->o.dir = f->dir;
	f->o.node = "node-1";
	f->o.epoch = ++f->epoch;
	model_forget_syms();
	return store_open(&f->o, f->now, f->boot, &f->s, &f->diag) == 0;
}

void fixture_done(struct fixture *f)
{
	store_close(f->s);
	f->s = NULL;
	model_done(&f->m);
	remove_dir(f->dir);
}

void pass_time(struct fixture *f, uint64_t ns)
{
	f->now += ns;
	f->boot += ns;
	store_tick(f->s, f->now, f->boot);
}

void add_rows(struct fixture *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t late = model_random(&f->m, 10) ? 0 : model_random(&f->m, 3 * NSEC_PER_SEC);

		f->now += model_random(&f->m, 3) * NSEC_PER_MSEC;
		f->boot += NSEC_PER_MSEC;
		EXPECT_EQ(model_append(&f->m, f->s, f->now - late, f->epoch), 0);
	}
}

void seal_all(struct fixture *f)
{
	for (int i = 0; i < 2000; i++)
		pass_time(f, NSEC_PER_MSEC);
}

struct store_counters counters_of(struct store *s)
{
	struct store_counters c;

	store_counters(s, &c);
	return c;
}

bool law_holds(struct store *s)
{
	struct store_counters c = counters_of(s);
	bool ok;

	ok = EXPECT_EQ(c.rows_in, c.rows_written + c.rows_held + c.rows_rejected + c.rows_lost);
	ok &= EXPECT_EQ(c.rows_found + c.rows_written,
			c.rows_stored + c.rows_expired + c.rows_damaged);
	return ok;
}

size_t count_files(const char *dir, const char *suffix, char *first, size_t cap)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0, len = strlen(suffix);

	while (d && (e = readdir(d))) {
		size_t have = strlen(e->d_name);

		if (have < len || strcmp(e->d_name + have - len, suffix) != 0)
			continue;
		if (n++ == 0 && first)
			snprintf(first, cap, "%s/%s", dir, e->d_name);
	}
	if (d)
		closedir(d);
	return n;
}

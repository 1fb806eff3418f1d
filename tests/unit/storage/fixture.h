/* A store in a directory of its own, on a clock of its own, with the model of what is in it. */
#ifndef TESTS_UNIT_STORAGE_FIXTURE_H
#define TESTS_UNIT_STORAGE_FIXTURE_H

#include "tests/unit/storage/model.h"

#define START_NS 1700000000000000000ULL

struct fixture {
	char dir[256];
	struct store *s;
	struct store_opts o;
	struct model m;
	uint64_t now, boot, epoch;
	struct store_diag diag;
};

/* Sets the options' defaults; the caller may change f->o before fixture_open(). */
void fixture_init(struct fixture *f, uint64_t seed);
/* Opens the store as the next epoch. Whether that worked; f->diag says why not. */
bool fixture_open(struct fixture *f);
void fixture_done(struct fixture *f);

/* Moves both clocks on and ticks. */
void pass_time(struct fixture *f, uint64_t ns);
/* n rows, mostly in order, some late, one or two milliseconds apart. */
void add_rows(struct fixture *f, size_t n);
/* Ticks until nothing is left to seal. */
void seal_all(struct fixture *f);
/* Both laws of store.h, exactly. */
bool law_holds(struct store *s);
struct store_counters counters_of(struct store *s);

/* Names in the directory that end so; the first one goes to first (may be NULL). */
size_t count_files(const char *dir, const char *suffix, char *first, size_t cap);

#endif

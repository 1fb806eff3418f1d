/* A plain array of rows and the plainest possible answer to a plan over it: the oracle that scans
 * of the store are compared with.
 */
#ifndef TESTS_UNIT_STORAGE_MODEL_H
#define TESTS_UNIT_STORAGE_MODEL_H

#include "storage/store.h"

#define MODEL_COLS 24

struct model_row {
	uint64_t end_ns, seq, epoch;
	uint16_t table;
	struct value cells[MODEL_COLS]; /* in the order of model_cols[]; texts owned */
};

struct model {
	struct model_row *rows;
	size_t n, cap;
	uint64_t seed;
};

/* The columns that model rows may have: every type, flag and encoding. */
extern const uint16_t model_cols[MODEL_COLS];

void model_init(struct model *m, uint64_t seed);
void model_done(struct model *m);
uint64_t model_random(struct model *m, uint64_t below);

/* Makes up one row near end_ns, adds it to the model and appends it to the store. Announces
 * interned texts as needed. Returns what store_append() did. */
int model_append(struct model *m, struct store *s, uint64_t end_ns, uint64_t epoch);
/* Encodes a model row. out: ROW_MAX bytes. */
size_t model_encode(const struct model_row *r, struct row_builder *b, void *out);
/* Forgets what was announced (with the store it was announced to). */
void model_forget_syms(void);

/* A random plan over the columns; its arrays live until the next call. */
void model_plan(struct model *m, struct scan_plan *ret);

/* Runs the plan on the source. Appends a text of every cell, a line a row, to out. Returns rows or
 * a negative errno. */
int64_t model_run(struct scan_source *src, const struct scan_plan *plan, struct scan_coverage *cov,
		  char **ret_text);
/* The same text from the array. */
int64_t model_answer(const struct model *m, const struct scan_plan *plan, char **ret_text);
/* Both; true when they are equal (prints a difference) and nothing is reported as bad. */
bool model_agrees(const struct model *m, struct scan_source *src, const struct scan_plan *plan);
/* The plan that asks for everything in the http table. */
void model_plan_all(struct scan_plan *ret);

/* A fresh directory under /tmp (or TMPDIR), and its removal. */
void temp_dir(char *out, size_t cap);
void remove_dir(const char *dir);

#endif

/* What the printers share. */
#ifndef CLI_PRINT_INT_H
#define CLI_PRINT_INT_H

#include "cli/print.h"

struct held_row {
	size_t at; /* index of the first of its cells */
	bool failed, client_error;
};

struct held_cell {
	uint32_t off, len; /* in printer.text */
	uint32_t columns;
	bool alarm;
};

struct layout_col {
	size_t source; /* column of the answer */
	const char *head;
	uint8_t shape, flags, priority;
	size_t min, natural, width;
	bool kept, right;
};

struct printer {
	struct print_opts opts;
	struct answer_col cols[ANSWER_COLS_MAX];
	size_t n_cols;
	bool have_columns;
	uint64_t rows;
	struct strbuf coverage;
	struct strbuf line; /* scratch */
	int status;	    /* first error of a write */

	/* tables */
	struct layout_col layout[ANSWER_COLS_MAX];
	size_t n_layout, dropped;
	size_t failed_at, client_error_at; /* columns of the answer, or SIZE_MAX */
	struct strbuf text;
	struct held_cell *cells;
	size_t n_cells, cap_cells;
	struct held_row *held;
	size_t n_held, cap_held;
	size_t name_at; /* for -o name */
};

struct print_format {
	int (*columns)(struct printer *p);
	int (*row)(struct printer *p, const struct datum *cells);
	int (*end)(struct printer *p);
};

extern const struct print_format print_table, print_json, print_jsonl, print_csv, print_name;

/* Writes and empties p->line. */
int print_flush(struct printer *p);
/* Index of the named column of the answer, SIZE_MAX when absent. */
size_t print_find(const struct printer *p, const char *name);

#endif

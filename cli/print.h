/* Answers on stdout in the six formats of -o. A printer is an answer_sink; print_end() writes what
 * is still held (tables are laid out when all rows are there).
 */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/format.h"

#include <stdio.h>

#define PRINT_HELD_MAX (256 * MIB) /* bytes of cells that a table holds before it refuses */

enum view_flag {
	VIEW_WIDE = 1 << 0,  /* only with -o wide */
	VIEW_FLEX = 1 << 1,  /* may be cut to min columns */
	VIEW_ALARM = 1 << 2, /* a value above 0 is red and marked with ! */
	VIEW_NAME = 1 << 3,  /* what -o name prints */
	VIEW_MAIN = 1 << 5,  /* what the view is about: has most of the room that is to be shared */
	VIEW_KEY = 1 << 4,   /* with others of its kind: what tells a row from the others */
};

/* One column of a view: which column of the answer, under which head. */
struct view_col {
	const char *name;
	const char *head;
	uint8_t shape;	  /* enum shape */
	uint8_t priority; /* the lowest goes first when the terminal is narrow */
	uint8_t min;	  /* columns of a VIEW_FLEX one; of all in a stream */
	uint8_t flags;	  /* enum view_flag */
};

struct view {
	const struct view_col *cols;
	size_t n;
};

struct print_opts {
	uint8_t output; /* enum output */
	bool color, no_headers, csv_exact;
	bool terminal; /* out is one: nothing that it would obey is written, in no format */
	bool stream;   /* rows are printed as they come; a table then has fixed columns */
	struct format_clock clock;
	size_t width;
	const struct view *view; /* NULL: every column of the answer as it is */
	const char *order;	 /* --sort-by: that column of a view is always shown; may be NULL */
	FILE *out;
	/* Of a table: gets a line for each row, a JSON array of its VIEW_KEY texts; NULL: nowhere. */
	struct strbuf *keys;
	struct strbuf *uncut; /* gets a line for each row, its cells in full; NULL: nowhere */
};

/* From the flags and the state of stdout. */
void print_opts_init(struct print_opts *p, const struct options *o, const struct view *view);

struct printer;

/* opts->view is borrowed. */
int printer_new(const struct print_opts *opts, struct printer **ret);
void printer_free(struct printer *p);
DEFINE_CLEANUP(struct printer, printer_free)
struct answer_sink printer_sink(struct printer *p);
/* Writes the rest. -EPIPE when nobody reads any more. */
int print_end(struct printer *p);
/* Rows so far, and the coverage object as it came ("" when none did). Borrowed. */
uint64_t printer_rows(const struct printer *p);
struct slice printer_coverage(const struct printer *p);
/* Columns that did not fit the width. */
size_t printer_dropped(const struct printer *p);

#endif

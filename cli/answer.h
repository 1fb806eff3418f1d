/* An answer on its way from a source (the API, a data directory) to a printer. */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "base/strbuf.h"

#define ANSWER_COLS_MAX 256
#define ANSWER_NAME_MAX 128 /* bytes of a column's name with its NUL; longer ones are cut */

enum datum_kind { DATUM_NULL, DATUM_INT, DATUM_REAL, DATUM_TEXT };

struct datum {
	uint8_t kind; /* enum datum_kind */
	int64_t i;
	double d;
	struct slice text; /* borrowed for the call */
};

/* How a cell is shown; from the column's unit, else its name, or as a view says. */
enum shape {
	SHAPE_PLAIN,
	SHAPE_TIME,	/* unix ns */
	SHAPE_DURATION, /* ns */
	SHAPE_BYTES,
	SHAPE_COUNT,
	SHAPE_RATE, /* per second */
	SHAPE_PERCENT,
	SHAPE_BOOL,
	SHAPE_JSON,
	SHAPE_STATUS, /* text, coloured by the row */
};

struct answer_col {
	char name[ANSWER_NAME_MAX];
	char type[16]; /* "INTEGER", "REAL", "TEXT", "" */
	char unit[16]; /* "unix_ns", "ns", "bytes", "count", "bool", "json", ... or "" */
	uint8_t shape; /* enum shape */
};

/* columns() comes once before the first row, also for an empty answer; coverage() last, with the
 * JSON object of the answer's completeness. A negative errno of any ends the answer with it. */
struct answer_sink {
	void *ctx;
	int (*columns)(void *ctx, const struct answer_col *cols, size_t n);
	int (*row)(void *ctx, const struct datum *cells);
	int (*coverage)(void *ctx, struct slice json);
	int (*progress)(void *ctx,
			uint64_t skipped); /* of a stream; may be NULL: rows left out so far */
};

/* The shape that follows from unit and name. */
enum shape shape_of(const char *name, const char *unit);

static inline struct datum datum_int(int64_t v)
{
	return (struct datum){ .kind = DATUM_INT, .i = v };
}

static inline struct datum datum_text(struct slice s)
{
	return (struct datum){ .kind = DATUM_TEXT, .text = s };
}

#endif

/* An answer's rows as JSON, NDJSON or CSV, written to the client as they come. Values follow one
 * set of rules (docs/api.md): times RFC 3339 with nanoseconds, JSON columns as objects, bytes that
 * are no UTF-8 as \xNN.
 */
#ifndef COLLECTOR_RESULT_H
#define COLLECTOR_RESULT_H

#include "collector/out.h"
#include "query/query.h"

#define RESULT_LINE_MAX (16 * MIB) /* bytes of one row */

enum result_format { RESULT_JSON, RESULT_NDJSON, RESULT_CSV, _RESULT_FORMAT_MAX };

/* _RESULT_FORMAT_MAX when unknown. */
enum result_format result_format_parse(struct slice name);

struct result {
	struct out *out;
	enum result_format format;
	uint64_t until_ns; /* CLOCK_MONOTONIC: how long to wait for a slow client */
	uint64_t start_ns, progress_ns;
	uint64_t rows, bytes;
	bool begun; /* columns were written */
	uint8_t units[QUERY_COLUMNS_MAX];
	size_t n_columns;
	struct strbuf line;
};

void result_init(struct result *r, struct out *out, enum result_format format, uint64_t until_ns);
void result_done(struct result *r);
/* The sink to give to a query; r must live as long. */
struct query_sink result_sink(struct result *r);

/* Ends the answer: well, or with an error after rows. coverage, error: JSON objects. */
void result_finish(struct result *r, const char *coverage);
void result_fail(struct result *r, const char *error, const char *coverage);

/* One column description of a schema, {"name","type","unit"}. */
void result_add_column(struct strbuf *out, const char *name, const char *type, const char *unit);
/* One cell under the rules of JSON. */
void result_add_int(struct strbuf *out, int64_t v, uint8_t unit);
void result_add_text(struct strbuf *out, struct slice v, uint8_t unit);

#endif

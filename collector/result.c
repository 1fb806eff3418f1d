#include "collector/result.h"

#include "base/text.h"
#include "base/clock.h"
#include "collector/jsontext.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define PROGRESS_NS (250 * NSEC_PER_MSEC)
#define FIELD_MAX   (8 * KIB) /* of a header field: many missing nodes would not fit */

static const struct {
	const char *name, *type;
} formats[_RESULT_FORMAT_MAX] = {
	[RESULT_JSON] = { "json", "application/json" },
	[RESULT_NDJSON] = { "ndjson", "application/x-ndjson" },
	[RESULT_CSV] = { "csv", "text/csv; charset=utf-8" },
};

enum result_format result_format_parse(struct slice name)
{
	enum result_format f = RESULT_JSON;

	while (f < _RESULT_FORMAT_MAX && !slice_eq_str(name, formats[f].name))
		f++;
	return f;
}

void result_init(struct result *r, struct out *out, enum result_format format, uint64_t until_ns)
{
	*r = (struct result){ .out = out, .format = format, .until_ns = until_ns };
	r->start_ns = r->progress_ns = clock_mono_ns();
	strbuf_init(&r->line, RESULT_LINE_MAX);
	out_set_type(out, formats[format].type);
}

void result_done(struct result *r)
{
	strbuf_done(&r->line);
}

static int send_line(struct result *r)
{
	if (r->line.failed)
		return -E2BIG;
	r->bytes += r->line.len;
	return out_write(r->out, strbuf_str(&r->line), r->line.len, r->until_ns);
}

void result_add_column(struct strbuf *out, const char *name, const char *type, const char *unit)
{
	strbuf_adds(out, "{\"name\":");
	strbuf_add_json(out, slice_str(name));
	strbuf_adds(out, ",\"type\":");
	strbuf_add_json(out, slice_str(type));
	strbuf_adds(out, ",\"unit\":");
	strbuf_add_json(out, slice_str(unit));
	strbuf_addch(out, '}');
}

static void add_time(struct strbuf *out, int64_t v)
{
	char text[36];

	format_time_utc((uint64_t)v, text);
	strbuf_adds(out, text);
}

void result_add_int(struct strbuf *out, int64_t v, uint8_t unit)
{
	if (unit == UNIT_TIME_NS && v >= 0) {
		strbuf_addch(out, '"');
		add_time(out, v);
		strbuf_addch(out, '"');
	} else {
		strbuf_addf(out, "%lld", (long long)v);
	}
}

void result_add_text(struct strbuf *out, struct slice v, uint8_t unit)
{
	if (unit == UNIT_JSON && v.n > 0 && v.p[0] == '{' && jsontext_valid(v))
		strbuf_add(out, v.p, v.n);
	else
		strbuf_add_json(out, v);
}

/* The shortest of two precisions that gives the same number back; JSON has no infinity. */
static void add_real(struct strbuf *out, double v)
{
	char text[40];

	if (!isfinite(v)) {
		strbuf_adds(out, "null");
		return;
	}
	snprintf(text, sizeof(text), "%.15g", v);
	if (strtod(text, NULL) != v)
		snprintf(text, sizeof(text), "%.17g", v);
	strbuf_adds(out, text);
	if (!strpbrk(text, ".e"))
		strbuf_adds(out, ".0");
}

static void add_json_cell(struct strbuf *out, const struct query_cell *c, uint8_t unit)
{
	switch (c->kind) {
	case QUERY_INT:
		result_add_int(out, c->i, unit);
		break;
	case QUERY_REAL:
		add_real(out, c->r);
		break;
	case QUERY_TEXT:
	case QUERY_BLOB:
		result_add_text(out, c->text, unit);
		break;
	default:
		strbuf_adds(out, "null");
	}
}

/* Invalid UTF-8 as \xNN, then quoted where RFC 4180 asks for it; '' is told from NULL by its
 * quotes. */
static void add_csv_text(struct strbuf *out, struct slice v)
{
	bool quote = v.n == 0;

	for (size_t i = 0; i < v.n && !quote; i++)
		quote = v.p[i] && strchr(",\"\r\n", v.p[i]);
	if (quote)
		strbuf_addch(out, '"');
	for (size_t i = 0; i < v.n;) {
		size_t n = utf8_len(slice_from(v, i));

		if (n == 0)
			strbuf_addf(out, "\\x%02x", v.p[i]);
		else if (v.p[i] == '"')
			strbuf_adds(out, "\"\"");
		else
			strbuf_add(out, v.p + i, n);
		i += n ? n : 1;
	}
	if (quote)
		strbuf_addch(out, '"');
}

static void add_csv_cell(struct strbuf *out, const struct query_cell *c, uint8_t unit)
{
	switch (c->kind) {
	case QUERY_INT:
		if (unit == UNIT_TIME_NS && c->i >= 0)
			add_time(out, c->i);
		else
			strbuf_addf(out, "%lld", (long long)c->i);
		break;
	case QUERY_REAL:
		if (isfinite(c->r))
			add_real(out, c->r);
		break;
	case QUERY_TEXT:
	case QUERY_BLOB:
		add_csv_text(out, c->text);
		break;
	default:
		break;
	}
}

static void add_columns(struct strbuf *out, const struct query_column *cols, size_t n)
{
	strbuf_addch(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			strbuf_addch(out, ',');
		result_add_column(out, cols[i].name, cols[i].type, cols[i].unit_name);
	}
	strbuf_addch(out, ']');
}

static int on_columns(void *ctx, const struct query_column *cols, size_t n)
{
	struct result *r = ctx;

	if (n > QUERY_COLUMNS_MAX)
		return -E2BIG;
	r->n_columns = n;
	for (size_t i = 0; i < n; i++)
		r->units[i] = cols[i].unit;
	strbuf_reset(&r->line);
	if (r->format == RESULT_CSV) {
		for (size_t i = 0; i < n; i++) {
			if (i)
				strbuf_addch(&r->line, ',');
			add_csv_text(&r->line, slice_str(cols[i].name));
		}
		strbuf_addch(&r->line, '\n');
	} else {
		strbuf_adds(&r->line, r->format == RESULT_JSON
					      ? "{\"columns\":"
					      : "{\"type\":\"schema\",\"columns\":");
		add_columns(&r->line, cols, n);
		strbuf_adds(&r->line, r->format == RESULT_JSON ? ",\"rows\":[" : "}\n");
	}
	r->begun = true;
	return send_line(r);
}

static void add_progress(struct result *r)
{
	uint64_t now_ns = clock_mono_ns();

	if (now_ns < r->progress_ns + PROGRESS_NS)
		return;
	r->progress_ns = now_ns;
	strbuf_addf(&r->line, "{\"type\":\"progress\",\"rows\":%llu,\"elapsed_ms\":%llu}\n",
		    (unsigned long long)r->rows,
		    (unsigned long long)((now_ns - r->start_ns) / NSEC_PER_MSEC));
}

static void add_row(struct result *r, const struct query_cell *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			strbuf_addch(&r->line, ',');
		if (r->format == RESULT_CSV)
			add_csv_cell(&r->line, &cells[i], r->units[i]);
		else
			add_json_cell(&r->line, &cells[i], r->units[i]);
	}
}

static int on_row(void *ctx, const struct query_cell *cells, size_t n)
{
	struct result *r = ctx;
	bool commit = false;
	int err;

	if (n != r->n_columns)
		return -EPROTO;
	strbuf_reset(&r->line);
	switch (r->format) {
	case RESULT_JSON:
		strbuf_adds(&r->line, r->rows ? ",[" : "[");
		add_row(r, cells, n);
		strbuf_addch(&r->line, ']');
		break;
	case RESULT_NDJSON:
		strbuf_adds(&r->line, "{\"type\":\"row\",\"values\":[");
		add_row(r, cells, n);
		strbuf_adds(&r->line, "]}\n");
		commit = clock_mono_ns() >= r->progress_ns + PROGRESS_NS;
		add_progress(r);
		break;
	default:
		add_row(r, cells, n);
		strbuf_addch(&r->line, '\n');
	}
	r->rows++;
	err = send_line(r);
	if (err == 0 && commit)
		out_commit(r->out, MHD_HTTP_OK);
	return err;
}

struct query_sink result_sink(struct result *r)
{
	return (struct query_sink){ .ctx = r, .columns = on_columns, .row = on_row };
}

void result_finish(struct result *r, const char *coverage)
{
	strbuf_reset(&r->line);
	if (r->format == RESULT_JSON)
		strbuf_addf(&r->line, "],\"coverage\":%s}\n", coverage);
	else if (r->format == RESULT_NDJSON)
		strbuf_addf(&r->line, "{\"type\":\"coverage\",\"coverage\":%s}\n", coverage);
	if (send_line(r) < 0) {
		out_finish(r->out, NULL, true);
		return;
	}
	if (r->format != RESULT_CSV || strlen(coverage) > FIELD_MAX)
		coverage = NULL;
	out_finish(r->out, coverage, false);
}

void result_fail(struct result *r, const char *error, const char *coverage)
{
	bool broken = true;

	strbuf_reset(&r->line);
	if (r->format == RESULT_JSON && r->begun) {
		strbuf_addf(&r->line, "],\"coverage\":%s,\"error\":%s}\n", coverage, error);
		broken = send_line(r) < 0;
	} else if (r->format == RESULT_NDJSON) {
		strbuf_addf(&r->line, "{\"type\":\"error\",\"error\":%s}\n", error);
		broken = send_line(r) < 0;
	}
	out_finish(r->out, NULL, broken);
}

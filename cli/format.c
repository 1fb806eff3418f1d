#include "cli/format.h"

#include "base/text.h"
#include "cli/screen.h"

#include <math.h>
#include <stdio.h>

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

enum shape shape_of(const char *name, const char *unit)
{
	static const struct {
		const char *unit;
		uint8_t shape;
	} units[] = {
		{ "unix_ns", SHAPE_TIME }, { "time", SHAPE_TIME },   { "ns", SHAPE_DURATION },
		{ "bytes", SHAPE_BYTES },  { "count", SHAPE_COUNT }, { "1/s", SHAPE_RATE },
		{ "bool", SHAPE_BOOL },	   { "json", SHAPE_JSON },   { "%", SHAPE_PERCENT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(unit, units[i].unit) == 0)
			return units[i].shape;
	if (*unit)
		return SHAPE_PLAIN;
	if (ends_with(name, "_ns"))
		return SHAPE_DURATION;
	if (ends_with(name, "_bytes"))
		return SHAPE_BYTES;
	if (ends_with(name, "_pct"))
		return SHAPE_PERCENT;
	if (ends_with(name, "_per_s"))
		return SHAPE_RATE;
	return SHAPE_PLAIN;
}

bool format_right(enum shape shape, const char *type)
{
	switch (shape) {
	case SHAPE_DURATION:
	case SHAPE_BYTES:
	case SHAPE_COUNT:
	case SHAPE_RATE:
	case SHAPE_PERCENT:
	case SHAPE_BOOL:
		return true;
	case SHAPE_PLAIN:
		return strcmp(type, "INTEGER") == 0 || strcmp(type, "REAL") == 0;
	default:
		return false;
	}
}

/* Three significant digits: 1.23, 12.3, 123. */
static void add_three(double v, const char *unit, struct strbuf *out)
{
	strbuf_addf(out, "%.*f%s", v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, unit);
}

/* The same without zeros behind the point: 4ms, 12.3ms. */
static void add_short(double v, const char *unit, struct strbuf *out)
{
	size_t start = out->len;

	add_three(v, "", out);
	if (!out->failed && memchr(out->p + start, '.', out->len - start)) {
		while (out->p[out->len - 1] == '0')
			out->len--;
		if (out->p[out->len - 1] == '.')
			out->len--;
		out->p[out->len] = 0;
	}
	strbuf_adds(out, unit);
}

void format_duration(uint64_t ns, struct strbuf *out)
{
	static const struct {
		uint64_t ns;
		const char *unit;
	} units[] = { { NSEC_PER_SEC, "s" }, { NSEC_PER_MSEC, "ms" }, { NSEC_PER_USEC, "us" } };

	if (ns >= 60 * NSEC_PER_SEC) {
		uint64_t s = ns / NSEC_PER_SEC;

		if (s < 3600)
			strbuf_addf(out, "%llum%02llus", (unsigned long long)(s / 60),
				    (unsigned long long)(s % 60));
		else if (s < 48 * 3600)
			strbuf_addf(out, "%lluh%02llum", (unsigned long long)(s / 3600),
				    (unsigned long long)(s / 60 % 60));
		else
			strbuf_addf(out, "%llud%02lluh", (unsigned long long)(s / 86400),
				    (unsigned long long)(s / 3600 % 24));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (ns >= units[i].ns) {
			add_short((double)ns / (double)units[i].ns, units[i].unit, out);
			return;
		}
	strbuf_addf(out, "%lluns", (unsigned long long)ns);
}

void format_count(double v, struct strbuf *out)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };
	size_t i = 0;

	if (v < 0) {
		strbuf_addch(out, '-');
		v = -v;
	}
	for (; v >= 999.5 && i + 1 < ARRAY_SIZE(units); i++)
		v /= 1000;
	if (i == 0 && v == floor(v))
		strbuf_addf(out, "%.0f", v);
	else
		add_short(v, units[i], out);
}

void format_bytes(uint64_t v, struct strbuf *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double x = (double)v;
	size_t i = 0;

	for (; x >= 1023.5 && i + 1 < ARRAY_SIZE(units); i++)
		x /= 1024;
	if (i == 0)
		strbuf_addf(out, "%lluB", (unsigned long long)v);
	else
		add_short(x, units[i], out);
}

static void add_time(int64_t ns, const struct format_clock *clock, struct strbuf *out)
{
	time_t now = (time_t)(clock->now_ns / NSEC_PER_SEC),
	       sec = (time_t)(ns / (int64_t)NSEC_PER_SEC);
	struct tm at, today;

	if (ns < 0) {
		strbuf_addf(out, "%lld", (long long)ns);
		return;
	}
	if (clock->utc) {
		gmtime_r(&sec, &at);
		gmtime_r(&now, &today);
	} else {
		localtime_r(&sec, &at);
		localtime_r(&now, &today);
	}
	if (at.tm_year != today.tm_year)
		strbuf_addf(out, "%04d-", at.tm_year + 1900);
	if (at.tm_year != today.tm_year || at.tm_yday != today.tm_yday)
		strbuf_addf(out, "%02d-%02d ", at.tm_mon + 1, at.tm_mday);
	strbuf_addf(out, "%02d:%02d:%02d.%03d", at.tm_hour, at.tm_min, at.tm_sec,
		    (int)(ns % (int64_t)NSEC_PER_SEC / (int64_t)NSEC_PER_MSEC));
}

void format_real(double v, struct strbuf *out)
{
	char text[40];

	if (!isfinite(v)) {
		strbuf_adds(out, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		double back;

		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (sscanf(text, "%lf", &back) == 1 && back == v)
			break;
	}
	strbuf_adds(out, text);
}

/* Integers in a shape that has a unit. */
static void add_number(double v, enum shape shape, struct strbuf *out)
{
	switch (shape) {
	case SHAPE_DURATION:
		if (v < 0)
			strbuf_addch(out, '-');
		format_duration((uint64_t)fabs(v), out);
		break;
	case SHAPE_BYTES:
		if (v < 0)
			strbuf_addch(out, '-');
		format_bytes((uint64_t)fabs(v), out);
		break;
	case SHAPE_RATE:
		if (v > 0 && v < 0.01)
			strbuf_adds(out, "<0.01");
		else
			format_count(v, out);
		strbuf_adds(out, "/s");
		break;
	case SHAPE_PERCENT:
		strbuf_addf(out, "%.1f%%", v);
		break;
	default:
		format_count(v, out);
		break;
	}
}

void format_cell(const struct datum *d, enum shape shape, const struct format_clock *clock,
		 struct strbuf *out)
{
	static const uint8_t with_unit[] = {
		[SHAPE_DURATION] = 1, [SHAPE_BYTES] = 1,   [SHAPE_COUNT] = 1,
		[SHAPE_RATE] = 1,     [SHAPE_PERCENT] = 1, [SHAPE_STATUS] = 0,
	};
	uint64_t unix_ns;

	switch ((enum datum_kind)d->kind) {
	case DATUM_NULL:
		strbuf_addch(out, '-');
		break;
	case DATUM_INT:
		if (shape == SHAPE_TIME)
			add_time(d->i, clock, out);
		else if (with_unit[shape])
			add_number((double)d->i, shape, out);
		else
			strbuf_addf(out, "%lld", (long long)d->i);
		break;
	case DATUM_REAL:
		if (with_unit[shape])
			add_number(d->d, shape, out);
		else
			strbuf_addf(out, "%.6g", d->d);
		break;
	case DATUM_TEXT:
		if (shape == SHAPE_TIME && parse_time(d->text, &unix_ns) == 0)
			add_time((int64_t)unix_ns, clock, out);
		else
			screen_escape(d->text, out);
		break;
	}
}

void format_exact(const struct datum *d, enum shape shape, struct strbuf *out)
{
	char text[40];

	switch ((enum datum_kind)d->kind) {
	case DATUM_NULL:
		break;
	case DATUM_INT:
		if (shape == SHAPE_TIME && d->i >= 0) {
			format_time_utc((uint64_t)d->i, text);
			strbuf_adds(out, text);
		} else {
			strbuf_addf(out, "%lld", (long long)d->i);
		}
		break;
	case DATUM_REAL:
		format_real(d->d, out);
		break;
	case DATUM_TEXT:
		strbuf_add(out, d->text.p, d->text.n);
		break;
	}
}

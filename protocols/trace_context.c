#include "protocols/trace_context.h"
#include "base/util.h"

enum source { SOURCE_NONE, SOURCE_B3_MULTI, SOURCE_B3, SOURCE_W3C };

static bool is_hex(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n > 0;
}

static bool is_id(struct slice s, size_t digits)
{
	if (s.n != digits || !is_hex(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '0')
			return true;
	return false; /* all zeros is no id */
}

/* 32 digits, or 16 that are filled up with zeros. */
static bool set_trace(struct trace_context *t, struct slice s)
{
	if (!is_id(s, 32) && !is_id(s, 16))
		return false;
	memset(t->trace_id, '0', sizeof(t->trace_id));
	memcpy(t->trace_id + sizeof(t->trace_id) - s.n, s.p, s.n);
	t->has_trace = true;
	return true;
}

static bool set_span(struct slice s, char out[16], bool *ret_has)
{
	if (!is_id(s, 16))
		return false;
	memcpy(out, s.p, 16);
	*ret_has = true;
	return true;
}

/* version "-" trace-id "-" parent-id "-" flags (W3C Trace Context, section 3.2). A later version
 * may have more behind another dash; version ff is invalid. */
static void from_traceparent(struct trace_context *t, struct slice v)
{
	struct trace_context got = { .source = SOURCE_W3C };
	bool first = slice_starts(v, SLICE_LIT("00"));

	if (v.n < 55 || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-' ||
	    !is_hex(slice_head(v, 2)))
		return;
	if (slice_starts(v, SLICE_LIT("ff")) || !is_hex(slice_of(v.p + 53, 2)))
		return;
	if (v.n > 55 && (first || v.p[55] != '-'))
		return;
	if (is_id(slice_of(v.p + 3, 32), 32) && set_trace(&got, slice_of(v.p + 3, 32)) &&
	    set_span(slice_of(v.p + 36, 16), got.span_id, &got.has_span))
		*t = got;
}

static struct slice next_part(struct slice *s)
{
	struct slice part = slice_head(*s, slice_find(*s, '-'));

	*s = slice_from(*s, part.n + 1);
	return part;
}

/* {TraceId}-{SpanId}[-{SamplingState}[-{ParentSpanId}]]; a sampling state alone carries no ids. */
static void from_b3(struct trace_context *t, struct slice v)
{
	struct trace_context got = { .source = SOURCE_B3 };
	struct slice parent;

	if (!set_trace(&got, next_part(&v)) || !set_span(next_part(&v), got.span_id, &got.has_span))
		return;
	if (v.n > 0) {
		struct slice state = next_part(&v);

		if (state.n != 1 || !memchr("01d", state.p[0], 3))
			return;
		parent = next_part(&v);
		if ((parent.n > 0 && !set_span(parent, got.parent_span_id, &got.has_parent)) ||
		    v.n > 0)
			return;
	}
	*t = got;
}

static bool from_b3_multi(struct trace_context *t, struct slice name, struct slice v)
{
	bool trace = slice_eq_nocase(name, SLICE_LIT("x-b3-traceid"));
	bool span = slice_eq_nocase(name, SLICE_LIT("x-b3-spanid"));
	bool parent = slice_eq_nocase(name, SLICE_LIT("x-b3-parentspanid"));

	if (!trace && !span && !parent)
		return false;
	if (t->source > SOURCE_B3_MULTI)
		return true;
	t->source = SOURCE_B3_MULTI;
	if (trace)
		set_trace(t, v);
	else if (span)
		set_span(v, t->span_id, &t->has_span);
	else
		set_span(v, t->parent_span_id, &t->has_parent);
	return true;
}

bool trace_context_header(struct trace_context *t, struct slice name, struct slice value)
{
	switch (name.n) {
	case 2:
		if (!slice_eq_nocase(name, SLICE_LIT("b3")))
			return false;
		if (t->source < SOURCE_B3)
			from_b3(t, value);
		return true;
	case 11:
		if (!slice_eq_nocase(name, SLICE_LIT("traceparent")))
			return slice_eq_nocase(name, SLICE_LIT("x-b3-spanid")) &&
			       from_b3_multi(t, name, value);
		if (t->source < SOURCE_W3C)
			from_traceparent(t, value);
		return true;
	case 12:
	case 17:
		return from_b3_multi(t, name, value);
	default:
		return false;
	}
}

#include "protocols/trace_context.h"
#include "tests/lib/test.h"

#define T "4bf92f3577b34da6a3ce929d0e0e4736"
#define S "00f067aa0ba902b7"
#define P "05e3ac9a4f6e3b90"

static struct trace_context one(const char *name, const char *value)
{
	struct trace_context t = { 0 };

	EXPECT(trace_context_header(&t, slice_str(name), slice_str(value)));
	return t;
}

static void test_trace_context__traceparent(void)
{
	struct trace_context t = one("TraceParent", "00-" T "-" S "-01");

	EXPECT(t.has_trace && t.has_span && !t.has_parent);
	EXPECT_MEM(t.trace_id, 32, T, 32);
	EXPECT_MEM(t.span_id, 16, S, 16);
	EXPECT(one("traceparent", "01-" T "-" S "-01-extra").has_trace);
	EXPECT(one("traceparent", "cc-" T "-" S "-01").has_trace);
}

static void test_trace_context__traceparent_strict(void)
{
	static const char *const bad[] = {
		"",
		"00",
		"00-" T "-" S,
		"00-" T "-" S "-01-extra",
		"ff-" T "-" S "-01",
		"01-" T "-" S "-01x",
		"00-00000000000000000000000000000000-" S "-01",
		"00-" T "-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-" S "-01",
		"00-" T "-" S "-0g",
		"00_" T "-" S "-01",
		"0g-" T "-" S "-01",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (one("traceparent", bad[i]).has_trace)
			test_check(false, __FILE__, __LINE__, bad[i]);
}

static void test_trace_context__b3(void)
{
	struct trace_context t = one("b3", T "-" S "-1-" P);

	EXPECT(t.has_trace && t.has_span && t.has_parent);
	EXPECT_MEM(t.parent_span_id, 16, P, 16);
	EXPECT(one("b3", T "-" S).has_span);
	EXPECT(one("b3", T "-" S "-d").has_span);
	EXPECT(!one("b3", "0").has_trace);
	EXPECT(!one("b3", T).has_trace);
	EXPECT(!one("b3", T "-" S "-x").has_trace);
	EXPECT(!one("b3", T "-" S "-1-" P "-y").has_trace);
	t = one("b3", S "-" S "-1");
	EXPECT_MEM(t.trace_id, 32, "0000000000000000" S, 32);
}

static void test_trace_context__multi_and_precedence(void)
{
	struct trace_context t = { 0 };

	trace_context_header(&t, SLICE_LIT("X-B3-TraceId"), SLICE_LIT(T));
	trace_context_header(&t, SLICE_LIT("X-B3-SpanId"), SLICE_LIT(P));
	trace_context_header(&t, SLICE_LIT("X-B3-ParentSpanId"), SLICE_LIT(S));
	EXPECT(t.has_trace && t.has_span && t.has_parent);
	trace_context_header(&t, SLICE_LIT("traceparent"), SLICE_LIT("00-" T "-" S "-00"));
	EXPECT(!t.has_parent);
	EXPECT_MEM(t.span_id, 16, S, 16);
	trace_context_header(&t, SLICE_LIT("b3"), SLICE_LIT(T "-" P "-1"));
	EXPECT_MEM(t.span_id, 16, S, 16);
	trace_context_header(&t, SLICE_LIT("x-b3-spanid"), SLICE_LIT(P));
	EXPECT_MEM(t.span_id, 16, S, 16);
	EXPECT(!trace_context_header(&t, SLICE_LIT("host"), SLICE_LIT("a")));
	EXPECT(!trace_context_header(&t, SLICE_LIT("x-b3-sampled"), SLICE_LIT("1")));
}

TEST_MAIN(TEST(test_trace_context__traceparent), TEST(test_trace_context__traceparent_strict),
	  TEST(test_trace_context__b3), TEST(test_trace_context__multi_and_precedence))

#include "base/sql_trace.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void expect_in(enum sql_dialect d, const char *sql, const char *want)
{
	char out[SQL_TRACEPARENT_MAX + 1];
	size_t n = sql_traceparent(slice_str(sql), d, out);

	out[n] = '\0';
	if (!EXPECT_STR(out, want))
		fprintf(stderr, "\tof: %s\n", sql);
}

static void expect(const char *sql, const char *want)
{
	expect_in(SQL_ANSI, sql, want);
	expect_in(SQL_MYSQL, sql, want);
}

static void test_sql_trace__found(void)
{
	expect("select 1 /*traceparent='" PARENT "'*/", PARENT);
	expect("/*traceparent='" PARENT "'*/ select 1", PARENT);
	expect("select 1 /*action='a%2Cb',controller='c',traceparent='" PARENT
	       "',tracestate='x%3D1'*/;",
	       PARENT);
	expect("select /* other */ 1 /* a='b' , traceparent='" PARENT "' */", PARENT);
	expect("/*route='it\\'s, traceparent=',traceparent='" PARENT "'*/ select 1", PARENT);
	expect("select 1 /*traceparent='00%2D1'*/", "00-1");
	expect("select 1 /*traceparent='%zz%4'*/", "%zz%4");
	expect("select 1 /*a=b,traceparent='x'*/", "x");
	expect("select 1 /*traceparent=''*/ /*traceparent='x'*/", "x");
}

static void test_sql_trace__none(void)
{
	expect("", "");
	expect("select 1", "");
	expect("select '/*traceparent=''x''*/'", "");
	expect("select \"/*traceparent='x'*/\"", "");
	expect("select traceparent = 'x'", "");
	expect("select 1 /*traceparent=x*/", "");
	expect("select 1 /*traceparent='x*/", "");
	expect("select 1 /*traceparent='x\\", "");
	expect("select 1 /*traceparent=", "");
	expect("select 1 /*traceparent", "");
	expect("select 1 /*xtraceparent='x'*/", "");
	expect("select 1 /*a='traceparent='x'*/", "");
	expect("-- traceparent='x'", "");
	expect("/*traceparent='12345678901234567890123456789012345678901234567890123456789012345'*"
	       "/",
	       "");
	expect_in(SQL_MYSQL, "# /*traceparent='x'*/", "");
	expect_in(SQL_ANSI, "$$ /*traceparent='x'*/ $$", "");
}

TEST_MAIN(TEST(test_sql_trace__found), TEST(test_sql_trace__none))

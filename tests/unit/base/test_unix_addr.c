#include "base/text.h"
#include "tests/lib/test.h"

#include <string.h>

static void expect(const char *name, size_t n, const char *want)
{
	char out[UNIX_ADDR_TEXT_MAX];

	EXPECT_EQ(format_unix_addr(slice_of(name, n), out), strlen(want));
	EXPECT_STR(out, want);
}

static void test_unix_addr__paths(void)
{
	expect("/run/a.sock", 11, "unix:/run/a.sock");
	expect("/run/a.sock\0", 12, "unix:/run/a.sock");
	expect("/run/a.sock\0behind", 18, "unix:/run/a.sock");
	expect("", 0, "unix:");
}

static void test_unix_addr__abstract(void)
{
	expect("\0dbus-1", 7, "unix:@dbus-1");
	expect("\0", 1, "unix:@");
	expect("\0a\0b", 4, "unix:@a\\x00b");
}

/* A name is chosen by anybody: it neither moves a terminal's cursor nor looks like another. */
static void test_unix_addr__unprintable(void)
{
	expect("/a b\n\x1b[2J\\", 10, "unix:/a\\x20b\\x0a\\x1b[2J\\x5c");
	expect("/\xff\xc3\xa4\x7f", 5, "unix:/\\xff\\xc3\\xa4\\x7f");
}

static void test_unix_addr__longest(void)
{
	char name[200], out[UNIX_ADDR_TEXT_MAX];

	memset(name, 1, sizeof(name));
	EXPECT_EQ(format_unix_addr(slice_of(name, sizeof(name)), out), 5 + 4 * 108);
	EXPECT(5 + 4 * 108 < UNIX_ADDR_TEXT_MAX);
}

TEST_MAIN(TEST(test_unix_addr__paths), TEST(test_unix_addr__abstract),
	  TEST(test_unix_addr__unprintable), TEST(test_unix_addr__longest))

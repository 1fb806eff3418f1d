/* The test harness: a table of named cases, checks that say what was expected, one line per case.
 *
 *	static void test_slice__empty(void) { EXPECT_EQ(slice_len(x), 0); }
 *	TEST_MAIN(TEST(test_slice__empty))
 *
 * A failed check marks the case and goes on; a failed ASSERT_* leaves the case. The program prints
 * "ok NAME" or "not ok NAME" and exits with 1 when a case failed. An argument runs only the cases
 * whose name contains it.
 */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct test_case {
	const char *name;
	void (*fn)(void);
};

#define TEST(fn)                                                                                   \
	{                                                                                          \
#fn, fn                                                                            \
	}
#define TEST_MAIN(...)                                                                             \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct test_case cases[] = { __VA_ARGS__ };                           \
		return test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);              \
	}

int test_run(const struct test_case *cases, size_t n, int argc, char **argv);

/* Marks the running case as skipped with a reason that is printed; the case should return then. */
void test_skip(const char *reason);

/* Each returns whether the check held; a failure prints file, line and both values. */
bool test_check(bool ok, const char *file, int line, const char *expr);
bool test_check_int(long long got, long long want, const char *file, int line, const char *expr);
bool test_check_str(const char *got, const char *want, const char *file, int line,
		    const char *expr);
bool test_check_mem(const void *got, size_t got_len, const void *want, size_t want_len,
		    const char *file, int line, const char *expr);

#define EXPECT(x) test_check((x), __FILE__, __LINE__, #x)
#define EXPECT_EQ(got, want)                                                                       \
	test_check_int((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define EXPECT_STR(got, want) test_check_str((got), (want), __FILE__, __LINE__, #got)
#define EXPECT_MEM(got, gl, want, wl)                                                              \
	test_check_mem((got), (gl), (want), (wl), __FILE__, __LINE__, #got)
#define ASSERT(x)                                                                                  \
	do {                                                                                       \
		if (!EXPECT(x))                                                                    \
			return;                                                                    \
	} while (0)
#define ASSERT_EQ(got, want)                                                                       \
	do {                                                                                       \
		if (!EXPECT_EQ(got, want))                                                         \
			return;                                                                    \
	} while (0)

#endif

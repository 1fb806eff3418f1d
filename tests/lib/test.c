#include "tests/lib/test.h"

#include <stdio.h>

static struct {
	bool failed;
	const char *skipped;
} now;

bool test_check(bool ok, const char *file, int line, const char *expr)
{
	if (!ok) {
		printf("# %s:%d: failed: %s\n", file, line, expr);
		now.failed = true;
	}
	return ok;
}

bool test_check_int(long long got, long long want, const char *file, int line, const char *expr)
{
	if (got == want)
		return true;
	printf("# %s:%d: %s is %lld, expected %lld\n", file, line, expr, got, want);
	now.failed = true;
	return false;
}

bool test_check_str(const char *got, const char *want, const char *file, int line, const char *expr)
{
	if (got && want && strcmp(got, want) == 0)
		return true;
	printf("# %s:%d: %s is\n#   '%s', expected\n#   '%s'\n", file, line, expr,
	       got ? got : "(null)", want ? want : "(null)");
	now.failed = true;
	return false;
}

bool test_check_mem(const void *got, size_t got_len, const void *want, size_t want_len,
		    const char *file, int line, const char *expr)
{
	if (got_len == want_len && memcmp(got, want, got_len) == 0)
		return true;
	printf("# %s:%d: %s (%zu bytes) differs from what was expected (%zu bytes)\n", file, line,
	       expr, got_len, want_len);
	now.failed = true;
	return false;
}

void test_skip(const char *reason)
{
	now.skipped = reason;
}

int test_run(const struct test_case *cases, size_t n, int argc, char **argv)
{
	size_t failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < n; i++) {
		if (argc > 1 && !strstr(cases[i].name, argv[1]))
			continue;
		now.failed = false;
		now.skipped = NULL;
		cases[i].fn();
		if (now.failed)
			failed++;
		if (now.skipped)
			printf("skip %s: %s\n", cases[i].name, now.skipped);
		else
			printf("%s %s\n", now.failed ? "not ok" : "ok", cases[i].name);
	}
	return failed ? 1 : 0;
}

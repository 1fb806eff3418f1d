/* The counters of work.h. Modules are compiled with -fsanitize-coverage=trace-pc, which calls a
 * function on each edge. libFuzzer has one of that name that refuses to work, so the linker is told
 * to take this one; and so it is for the calls into the C library, which have no edges of their
 * own.
 */
#include "tests/fuzz/work.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES_PER_STEP 8

#define SMALL	256 /* may be nothing but separators */
#define STOPPED 1000000

static uint64_t steps;
static int paused = STOPPED; /* 0: counting */

void work_begin(void)
{
	steps = 0;
	paused = 0;
}

void work_pause(void)
{
	paused++;
}

void work_resume(void)
{
	paused--;
}

void work_end(const struct work_bound *b, size_t bytes)
{
	uint64_t allowed = (uint64_t)b->per_byte * bytes + b->fixed;

	paused = STOPPED;
	if (getenv("FUZZ_WORK")) {
		fprintf(stderr, "work %s %zu %llu\n", b->name, bytes, (unsigned long long)steps);
		return;
	}
#ifdef KELPIE_FUZZ
	if (steps == 0 && bytes > SMALL) {
		fprintf(stderr, "work: nothing is counted in %s\n", b->name);
		abort();
	}
#endif
	if (steps > allowed) {
		fprintf(stderr, "work: %s takes %llu steps for %zu bytes, %llu are allowed\n",
			b->name, (unsigned long long)steps, bytes, (unsigned long long)allowed);
		abort();
	}
}

#ifdef KELPIE_FUZZ
static void touch(size_t bytes)
{
	if (!paused)
		steps += 1 + bytes / BYTES_PER_STEP;
}

void __wrap___sanitizer_cov_trace_pc(void);

void __wrap___sanitizer_cov_trace_pc(void)
{
	steps += !paused;
}

/* What the compiler makes of memcpy() and its kin under the address sanitizer. */
#define WRAP_MEMORY(name, type)                                                                    \
	void *__real_##name(void *to, type from, size_t n);                                        \
	void *__wrap_##name(void *to, type from, size_t n);                                        \
	void *__wrap_##name(void *to, type from, size_t n)                                         \
	{                                                                                          \
		touch(n);                                                                          \
		return __real_##name(to, from, n);                                                 \
	}

WRAP_MEMORY(__asan_memcpy, const void *)
WRAP_MEMORY(__asan_memmove, const void *)
WRAP_MEMORY(__asan_memset, int)

#define WRAP_COMPARE(name)                                                                         \
	int __real_##name(const void *a, const void *b, size_t n);                                 \
	int __wrap_##name(const void *a, const void *b, size_t n);                                 \
	int __wrap_##name(const void *a, const void *b, size_t n)                                  \
	{                                                                                          \
		touch(n);                                                                          \
		return __real_##name(a, b, n);                                                     \
	}

WRAP_COMPARE(memcmp)
WRAP_COMPARE(bcmp)

void *__real_memchr(const void *p, int c, size_t n);
void *__wrap_memchr(const void *p, int c, size_t n);

void *__wrap_memchr(const void *p, int c, size_t n)
{
	char *found = __real_memchr(p, c, n);

	touch(found ? (size_t)(found - (const char *)p) : n);
	return found;
}

void *__real_memmem(const void *p, size_t n, const void *needle, size_t m);
void *__wrap_memmem(const void *p, size_t n, const void *needle, size_t m);

void *__wrap_memmem(const void *p, size_t n, const void *needle, size_t m)
{
	char *found = __real_memmem(p, n, needle, m);

	touch(found ? (size_t)(found - (const char *)p) + m : n);
	return found;
}

size_t __real_strlen(const char *s);
size_t __wrap_strlen(const char *s);

size_t __wrap_strlen(const char *s)
{
	size_t n = __real_strlen(s);

	touch(n);
	return n;
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

/* Growing by a constant is quadratic: each time all may be copied. */
void *__wrap_realloc(void *p, size_t n)
{
	touch(p ? n : 0);
	return __real_realloc(p, n);
}

const char *__asan_default_options(void);

/* Inputs are small and many: what was freed long ago need not be kept. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16";
}
#endif

/* Counts the basic blocks that run in the code compiled with -fsanitize-coverage=trace-pc.
 * libFuzzer has a function of that name that refuses to work, so the linker is told to take this
 * one. */
#include "tests/fuzz/steps.h"

uint64_t fuzz_steps;

void __wrap___sanitizer_cov_trace_pc(void);

__attribute__((no_sanitize("all"))) void __wrap___sanitizer_cov_trace_pc(void)
{
	fuzz_steps++;
}

const char *__asan_default_options(void);

/* Inputs are small and many: what was freed long ago need not be kept. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16";
}

/* Work done by the code under test, as the fuzz build's coverage counters see it: edges that ran in
 * the modules (not in the tests), and eight bytes for each step of a library call that copies,
 * searches or compares. In other builds nothing is counted and every bound holds.
 *
 *	work_begin() -> code under test, work_pause() ... work_resume() around callbacks ->
 *	work_end(): aborts when the bound is broken
 *
 * A bound is linear on purpose: work that grows faster than the input breaks it at some length.
 */
#ifndef TESTS_FUZZ_WORK_H
#define TESTS_FUZZ_WORK_H

#include <stddef.h>
#include <stdint.h>

struct work_bound {
	const char *name;
	uint32_t per_byte; /* steps */
	uint32_t fixed;	   /* steps of an empty input; a table of limited size that is set up */
};

void work_begin(void);
/* These nest. */
void work_pause(void);
void work_resume(void);
/* Ends counting. bytes: what was given to the code under test. With FUZZ_WORK in the environment
 * the measurement is written to stderr instead of judged. */
void work_end(const struct work_bound *b, size_t bytes);

#endif

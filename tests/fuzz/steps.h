/* Work done by the parsers, in basic blocks; only counted in the fuzz build. */
#ifndef TESTS_FUZZ_STEPS_H
#define TESTS_FUZZ_STEPS_H

#include <stdint.h>

extern uint64_t fuzz_steps;

#endif

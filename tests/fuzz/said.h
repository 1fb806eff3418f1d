/* What a parser told its sink, as one number for each kind of message: for comparing two runs
 * without keeping what they said. A body's pieces count as their concatenation. Checks the sink's
 * order as it goes. */
#ifndef TESTS_FUZZ_SAID_H
#define TESTS_FUZZ_SAID_H

#include "protocols/protocol.h"

#define SAID_KINDS 4 /* enum msg_kind */

/* A few header lines that were learnt, at the place their bytes hash to. */
#define SAID_LINES    16
#define SAID_LINE_MAX 64

struct said_line {
	uint8_t bytes[SAID_LINE_MAX];
	uint32_t n, name_at, name_n, value_at, value_n; /* n 0: none */
	uint8_t note;
};

struct said {
	uint64_t hash[SAID_KINDS];
	uint64_t open_key[SAID_KINDS];
	bool open[SAID_KINDS];
	bool in_body[SAID_KINDS];
	bool broken;
	uint32_t outstanding; /* most requests ever begun and not answered */
	uint32_t unanswered;
	struct said_line lines[SAID_LINES];
};

/* Its ctx is a struct said, zeroed before. Work done in it is not counted. */
extern const struct sink_ops said_ops;
/* The same, but for header lines that it learns and knows again. */
extern const struct sink_ops said_memo_ops;

#endif

/* What a parser told its sink, as one number for each kind of message: for comparing two runs
 * without keeping what they said. A body's pieces count as their concatenation. Checks the sink's
 * order as it goes. */
#ifndef TESTS_FUZZ_SAID_H
#define TESTS_FUZZ_SAID_H

#include "protocols/protocol.h"

#define SAID_KINDS 3 /* enum msg_kind */

struct said {
	uint64_t hash[SAID_KINDS];
	uint64_t open_key[SAID_KINDS];
	bool open[SAID_KINDS];
	bool in_body[SAID_KINDS];
	bool broken;
	uint32_t outstanding; /* most requests ever begun and not answered */
	uint32_t unanswered;
};

/* Its ctx is a struct said, zeroed before. Work done in it is not counted. */
extern const struct sink_ops said_ops;

#endif

/* Conversations through the PostgreSQL parser, see tests/fuzz/turns.h. */
#include "protocols/pgsql/flight.h"
#include "tests/fuzz/turns.h"

static const struct fuzz_turns pgsql = {
	.proto = PROTO_PGSQL,
	.bound = { "pgsql", 512, 8192 },
	.outstanding_max = FLIGHT_MAX - FLIGHT_RESERVED,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_turns(&pgsql, data, size);
	return 0;
}

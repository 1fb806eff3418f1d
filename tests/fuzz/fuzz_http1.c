/* Conversations through the HTTP/1 parser, see tests/fuzz/turns.h. */
#include "protocols/http1/http1.h"
#include "tests/fuzz/turns.h"

static const struct fuzz_turns http1 = {
	.proto = PROTO_HTTP1,
	.bound = { "http1", 256, 4096 },
	.outstanding_max = HTTP1_OUTSTANDING_MAX,
	.memo = true,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_turns(&http1, data, size);
	return 0;
}

/* Conversations through the Redis parser, see tests/fuzz/turns.h. */
#include "protocols/redis/redis.h"
#include "tests/fuzz/turns.h"

static const struct fuzz_turns redis = {
	.proto = PROTO_REDIS,
	.bound = { "redis", 256, 8192 },
	.outstanding_max = REDIS_SPECIAL_MAX,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_turns(&redis, data, size);
	return 0;
}

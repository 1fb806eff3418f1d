/* Conversations through the MySQL parser, see tests/fuzz/turns.h. */
#include "protocols/mysql/mysql.h"
#include "tests/fuzz/turns.h"

static const struct fuzz_turns mysql = {
	.proto = PROTO_MYSQL,
	.bound = { "mysql", 256, 8192 },
	.outstanding_max = MYSQL_PENDING_MAX,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_turns(&mysql, data, size);
	return 0;
}

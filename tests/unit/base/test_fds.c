/* A token in a file, as editors and Secrets leave it. */
#include "base/fds.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void test_fds__trimmed(void)
{
	static const struct {
		const char *file;
		ssize_t n;
		const char *want;
	} cases[] = {
		{ "token", 5, "token" },	 { "\n token\r\n", 5, "token" },
		{ "to ken\n", 6, "to ken" },	 { "", -ENODATA, "" },
		{ " \n", -ENODATA, "" },	 { "123456789", 9, "123456789" },
		{ "1234567890", -EMSGSIZE, "" }, { "123456789\n", -EMSGSIZE, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(closep) int fd = memfd_create("test", MFD_CLOEXEC);
		size_t n = strlen(cases[i].file);
		char buf[10] = "";

		EXPECT(fd >= 0 && pwrite(fd, cases[i].file, n, 0) == (ssize_t)n);
		EXPECT_EQ(fd_read_trimmed(fd, buf, sizeof(buf)), cases[i].n);
		if (cases[i].n > 0)
			EXPECT_MEM(buf, (size_t)cases[i].n, cases[i].want, strlen(cases[i].want));
	}
	EXPECT_EQ(fd_read_trimmed(-1, (char[8]){ 0 }, 8), -EBADF);
}

TEST_MAIN(TEST(test_fds__trimmed))

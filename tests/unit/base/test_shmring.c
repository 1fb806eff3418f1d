/* The ring between two processes, both ends in one: frames come out as they went in, and what lies free
 * keeps no memory.
 */
#include "base/hash.h"
#include "base/shmring.h"
#include "base/util.h"
#include "tests/lib/test.h"

#include <sys/stat.h>

#define RING_BYTES (1 * MIB)
#define FRAME_MOST 5000

static struct {
	int fd;
	struct shmring out, in;
	uint64_t written, read; /* frames */
	uint64_t random;
} t;

static void start(void)
{
	memset(&t, 0, sizeof(t));
	t.fd = shmring_create(RING_BYTES);
	ASSERT(t.fd >= 0);
	ASSERT_EQ(shmring_open(&t.out, t.fd, RING_BYTES), 0);
	ASSERT_EQ(shmring_open(&t.in, t.fd, RING_BYTES), 0);
}

static void finish(void)
{
	shmring_close(&t.out);
	shmring_close(&t.in);
	close(t.fd);
}

static uint64_t any(uint64_t below)
{
	t.random = hash_u64(t.random + 1);
	return t.random % below;
}

/* Length and content of a frame follow from its number. */
static uint32_t length_of(uint64_t nth)
{
	return (uint32_t)(8 + hash_u64(nth) % FRAME_MOST);
}

static bool write_one(void)
{
	uint32_t n = length_of(t.written);
	uint8_t *p = shmring_reserve(&t.out, n);

	if (!p)
		return false;
	memset(p, (int)(t.written * 7 + 1), n);
	shmring_commit(&t.out, 1, n);
	t.written++;
	return true;
}

static bool read_one(void)
{
	struct shm_frame f;
	bool same = true;

	if (shmring_next(&t.in, &f) != 1)
		return false;
	EXPECT_EQ(f.payload.n, length_of(t.read));
	for (size_t i = 0; i < f.payload.n; i++)
		same = same && f.payload.p[i] == (uint8_t)(t.read * 7 + 1);
	EXPECT(same);
	t.read++;
	return same;
}

static uint64_t memory(void)
{
	struct stat info;

	return fstat(t.fd, &info) == 0 ? (uint64_t)info.st_blocks * 512 : UINT64_MAX;
}

static void test_shmring__rest_takes_nothing_that_waits(void)
{
	start();
	for (int turn = 0; turn < 3000; turn++) {
		for (uint64_t n = any(60); n > 0 && write_one(); n--)
			;
		if (any(3))
			shmring_publish(&t.out);
		if (any(2))
			shmring_rest(&t.out);
		for (uint64_t n = any(60); n > 0 && read_one(); n--)
			;
		if (any(2))
			shmring_release(&t.in);
	}
	shmring_publish(&t.out);
	while (read_one())
		;
	EXPECT_EQ(t.read, t.written);
	EXPECT(t.written > 10000);
	finish();
}

static void fill_and_drain(void)
{
	while (write_one())
		;
	shmring_publish(&t.out);
	while (read_one())
		;
	shmring_release(&t.in);
}

static void test_shmring__free_memory_goes_back(void)
{
	start();
	fill_and_drain();
	EXPECT(memory() > RING_BYTES * 9 / 10);
	shmring_rest(&t.out); /* all of it was just needed */
	EXPECT(memory() > RING_BYTES * 9 / 10);
	shmring_rest(&t.out);
	EXPECT(memory() <= 4 * 4096); /* the header, and what is part of a page at the ends */
	fill_and_drain();
	finish();
}

/* The reader's side is less trusted: a tail that cannot be makes no difference to what waits. */
static void test_shmring__rest_with_an_impossible_tail(void)
{
	start();
	for (int i = 0; i < 10; i++)
		EXPECT(write_one());
	shmring_publish(&t.out);
	t.in.pos = t.out.pending + 4096;
	shmring_release(&t.in);
	shmring_rest(&t.out);
	t.in.pos = 0;
	shmring_release(&t.in);
	for (int i = 0; i < 10; i++)
		EXPECT(read_one());
	finish();
}

TEST_MAIN(TEST(test_shmring__rest_takes_nothing_that_waits),
	  TEST(test_shmring__free_memory_goes_back),
	  TEST(test_shmring__rest_with_an_impossible_tail))

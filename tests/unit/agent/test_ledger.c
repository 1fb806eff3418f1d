/* The ledger's parts: who can write where, and what the attacher does for a dead process. */
#include "agent/ledger.h"

#include "base/util.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct ledger_fds fds;

static bool ready(void)
{
	static bool done;

	done = done || ledger_create(&fds) == 0;
	return done;
}

/* In a child with this process's descriptors: the signal it dies of, 0 when it lives. */
static int write_as(enum ledger_writer self, enum ledger_writer where)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct ledger *l = ledger_map(&fds, self);

		signal(SIGSEGV, SIG_DFL);
		if (!l)
			_exit(1);
		ledger_add(l, where, L2_IN, 1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void test_ledger__each_writes_its_own(void)
{
#ifdef __SANITIZE_ADDRESS__
	test_skip("the sanitizer takes the signal");
	return;
#endif
	ASSERT(ready());
	for (int self = 0; self < _LEDGER_WRITERS; self++)
		for (int where = 0; where < _LEDGER_WRITERS; where++)
			EXPECT_EQ(write_as((enum ledger_writer)self, (enum ledger_writer)where),
				  self == where ? 0 : SIGSEGV);
}

static void test_ledger__no_way_around(void)
{
	struct ledger *l;
	int own[_LEDGER_WRITERS];

	ASSERT(ready());
	l = ledger_map(&fds, LEDGER_PARSER);
	ASSERT(l != NULL);
	ledger_fds_of(&fds, LEDGER_PARSER, own);
	EXPECT(mprotect(&l->store, LEDGER_PART_BYTES, PROT_READ | PROT_WRITE) < 0 &&
	       errno == EACCES);
	for (int w = 0; w < _LEDGER_WRITERS; w++) {
		void *p = mmap(NULL, LEDGER_PART_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, own[w],
			       0);

		EXPECT_EQ(p != MAP_FAILED, w == LEDGER_PARSER);
		if (p != MAP_FAILED)
			munmap(p, LEDGER_PART_BYTES);
		/* Less memory than a reader has mapped would be its end. */
		EXPECT(ftruncate(own[w], 0) < 0);
	}
	ledger_unmap(l);
}

static void test_ledger__all_read_the_sum(void)
{
	struct ledger *all[_LEDGER_WRITERS];
	uint64_t before;

	ASSERT(ready());
	for (int w = 0; w < _LEDGER_WRITERS; w++) {
		all[w] = ledger_map(&fds, (enum ledger_writer)w);
		ASSERT(all[w] != NULL);
	}
	before = ledger_get(all[0], L7_OUT);
	for (int w = 0; w < _LEDGER_WRITERS; w++)
		ledger_add(all[w], (enum ledger_writer)w, L7_OUT, 1);
	for (int w = 0; w < _LEDGER_WRITERS; w++) {
		EXPECT_EQ(ledger_get(all[w], L7_OUT), before + _LEDGER_WRITERS);
		ledger_unmap(all[w]);
	}
}

/* Whatever the dead one left: its successor's next number is one that the store takes. */
static void test_ledger__numbers_are_mended(void)
{
	static const struct {
		uint64_t given, stored;
		enum ledger_writer dead;
		uint64_t want_given, want_stored;
	} cases[] = {
		{ 100, 90, LEDGER_PARSER, 100, 90 },
		{ 100, 90, LEDGER_STORE, 100, 90 },
		{ 100, 100, LEDGER_PARSER, 100, 100 },
		{ 80, 90, LEDGER_PARSER, 90, 90 },
		{ 80, 90, LEDGER_STORE, 80, 90 }, /* the queue's rows come before their number */
		{ UINT64_MAX - 5, 90, LEDGER_PARSER, 90, 90 },
		{ UINT64_MAX - 5, 90, LEDGER_STORE, UINT64_MAX - 5,
		  90 }, /* the living is asked for itself */
		{ 80, UINT64_MAX, LEDGER_STORE, 80, 80 },
		{ 89 + ROWS_AHEAD_MAX, 90, LEDGER_PARSER, 89 + ROWS_AHEAD_MAX, 90 },
		{ 90 + ROWS_AHEAD_MAX, 90, LEDGER_PARSER, 90, 90 },
	};
	static struct ledger l;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		l.parser.rows_seq = cases[i].given;
		l.store.stored_seq = cases[i].stored;
		ledger_mend_numbers(&l, cases[i].dead);
		EXPECT_EQ(l.parser.rows_seq, cases[i].want_given);
		EXPECT_EQ(l.store.stored_seq, cases[i].want_stored);
	}
}

static void test_ledger__a_crash_closes_the_accounts(void)
{
	static struct ledger l;

	ledger_add(&l, LEDGER_PARSER, L4_IN, 1000);
	ledger_add(&l, LEDGER_PARSER, L4_OUT, 600);
	ledger_set(&l, LEDGER_PARSER, L4_HELD, 300);
	ledger_add(&l, LEDGER_PARSER, L4_CUT, 50);
	ledger_add(&l, LEDGER_STORE, L8_IN, 7);
	ledger_book_crash(&l, LEDGER_PARSER);
	EXPECT_EQ(ledger_get(&l, L4_HELD), 0);
	EXPECT_EQ(ledger_get(&l, L4_CRASH), 350);
	EXPECT_EQ(ledger_get(&l, L8_CRASH), 0); /* another's account */
	ledger_book_crash(&l, LEDGER_PARSER);
	EXPECT_EQ(ledger_get(&l, L4_CRASH), 350);
}

TEST_MAIN(TEST(test_ledger__each_writes_its_own), TEST(test_ledger__no_way_around),
	  TEST(test_ledger__all_read_the_sum), TEST(test_ledger__numbers_are_mended),
	  TEST(test_ledger__a_crash_closes_the_accounts))

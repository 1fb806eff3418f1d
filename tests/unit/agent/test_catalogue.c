/* The catalogue of statements that are prepared under a name: what is certain, and what is not. */
#include "agent/catalogue.h"
#include "agent/conn.h"
#include "tests/lib/test.h"

static struct stmt stmt_of(const char *text)
{
	return (struct stmt){ "SELECT", slice_str(text), slice_str("fingerprint") };
}

static bool knows(const struct catalogue *t, const struct conn *c, uint64_t id, const char *text)
{
	struct stmt s;

	return catalogue_get(t, c, id, &s) && slice_eq_str(s.statement, text) &&
	       slice_eq_str(s.fingerprint, "fingerprint");
}

static void test_catalogue__names_that_last(void)
{
	EXPECT(catalogue_is_lasting(slice_str("get_user")));
	EXPECT(catalogue_is_lasting(slice_str("stmtcache_0123456789abcdef0123456789abcdef")));
	EXPECT(!catalogue_is_lasting(slice_str("S_1")));
	EXPECT(!catalogue_is_lasting(slice_str("_pg3_17")));
	EXPECT(!catalogue_is_lasting(slice_str("7")));
	EXPECT(!catalogue_is_lasting(slice_str("")));
}

static void test_catalogue__one_text_for_a_name(void)
{
	struct conn a = { .initiator = EV_INITIATOR_REMOTE, .local_port = 5432 },
		    b = { .initiator = EV_INITIATOR_REMOTE, .local_port = 5433 };
	struct stmt one = stmt_of("SELECT a"), two = stmt_of("SELECT b");
	struct catalogue t;

	catalogue_init(&t);
	EXPECT(!knows(&t, &a, 1, "SELECT a"));
	catalogue_put(&t, &a, 1, &one);
	catalogue_put(&t, &a, 1, &one);
	EXPECT(knows(&t, &a, 1, "SELECT a"));
	EXPECT(!knows(&t, &b, 1, "SELECT a")); /* another server */
	EXPECT(!knows(&t, &a, 2, "SELECT a"));
	catalogue_put(&t, &a, 1, &two);
	EXPECT(!knows(&t, &a, 1, "SELECT a") && !knows(&t, &a, 1, "SELECT b"));
	catalogue_put(&t, &a, 1, &one); /* for good */
	EXPECT(!knows(&t, &a, 1, "SELECT a"));
	catalogue_done(&t);
}

/* Two containers may have a socket of the same name, and a socket need not have one. */
static void test_catalogue__unix_sockets(void)
{
	struct unix_names path = { .local = "unix:/run/pg" }, none = { .local = "" },
			  to = { .remote = "unix:/run/pg" };
	struct conn a = { .initiator = EV_INITIATOR_REMOTE, .names = &path, .cgroup = 1 }, b = a,
		    c = a, d = a,
		    client = { .initiator = EV_INITIATOR_LOCAL, .names = &to, .cgroup = 9 };
	struct stmt one = stmt_of("SELECT a");
	struct catalogue t;

	b.cgroup = 2;
	c.cgroup = 0;
	d.names = &none;
	catalogue_init(&t);
	catalogue_put(&t, &a, 1, &one);
	catalogue_put(&t, &c, 1, &one);
	catalogue_put(&t, &d, 1, &one);
	EXPECT(knows(&t, &a, 1, "SELECT a"));
	EXPECT(!knows(&t, &b, 1, "SELECT a"));
	EXPECT(!knows(&t, &c, 1, "SELECT a") && !knows(&t, &d, 1, "SELECT a"));
	EXPECT(!knows(&t, &client, 1, "SELECT a"));
	client.peer = &a;
	EXPECT(knows(&t, &client, 1, "SELECT a"));
	catalogue_done(&t);
}

static void test_catalogue__full(void)
{
	struct conn c = { .initiator = EV_INITIATOR_REMOTE, .local_port = 5432 };
	struct stmt one = stmt_of("SELECT a"), two = stmt_of("SELECT b");
	struct catalogue t;

	catalogue_init(&t);
	for (uint64_t id = 1; id <= CATALOGUE_MAX + 8; id++)
		catalogue_put(&t, &c, id, &one);
	EXPECT(t.full);
	EXPECT(knows(&t, &c, 1, "SELECT a"));
	EXPECT(!knows(&t, &c, CATALOGUE_MAX + 8, "SELECT a"));
	catalogue_put(&t, &c, 1, &two); /* what is there is still watched */
	EXPECT(!knows(&t, &c, 1, "SELECT a"));
	catalogue_done(&t);
}

TEST_MAIN(TEST(test_catalogue__names_that_last), TEST(test_catalogue__one_text_for_a_name),
	  TEST(test_catalogue__unix_sockets), TEST(test_catalogue__full))

/* What the golden conversations of PostgreSQL do not show: guesses, limits, names, the flight. */
#include "protocols/pgsql/flight.h"
#include "protocols/pgsql/names.h"
#include "tests/lib/test.h"

static enum proto_id guess(struct slice head, struct slice other, bool start, bool *ret_request,
			   bool *ret_more)
{
	struct probe_in in = { .head = head, .other = other, .start = start };

	return proto_infer(&in, ret_request, ret_more);
}

#define GUESS(head, other, start) guess(SLICE_LIT(head), SLICE_LIT(other), start, &request, &more)

#define QUERY "Q\0\0\0\x0dSELECT 1\0"
#define DONE  "C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"

static void test_pgsql__beginnings(void)
{
	bool request = false, more = false;

	EXPECT(GUESS("\0\0\0\x12\0\3\0\0user\0bob\0\0", "", true) == PROTO_PGSQL && request);
	EXPECT(GUESS("\0\0\0\x12\0\3\0\2user\0bob\0\0", "", true) == PROTO_PGSQL && request);
	EXPECT(GUESS("\0\0\0\x08\x04\xd2\x16\x2f", "", true) == PROTO_PGSQL && request);
	EXPECT(GUESS("\0\0\0\x08\x04\xd2\x16\x30", "", true) == PROTO_PGSQL && request);
	EXPECT(GUESS("\0\0\0\x08\x04\xd2", "", true) == PROTO_UNKNOWN && more);
	EXPECT(GUESS("\0\0\0\x12\0\3\0\0\1ser\0bob\0\0", "", true) == PROTO_UNKNOWN);
	EXPECT(GUESS("\0\0\0\x12\0\4\0\0user\0bob\0\0", "", true) == PROTO_UNKNOWN);
	/* Whole, nothing else than that, and no longer than it says. */
	EXPECT(GUESS("\0\0\0\x12\0\3\0\0user\0bob\0", "", true) == PROTO_UNKNOWN && more);
	EXPECT(GUESS("\0\0\0\x12\0\3\0\0user\0bob\0#", "", true) == PROTO_UNKNOWN && !more);
	EXPECT(GUESS("\0\0\0\x13\0\3\0\0user\0bob\0\0", "", true) == PROTO_UNKNOWN && !more);
	EXPECT(GUESS("\0\0\0\x12\0\3\0\0user\0b\1b\0\0", "", true) == PROTO_UNKNOWN && !more);
	EXPECT(GUESS("\0\0\0\x08\x04\xd2\x16\x2fnoise", "", true) == PROTO_UNKNOWN);
}

/* Without a beginning, one direction alone is no evidence. */
static void test_pgsql__both_directions(void)
{
	bool request = false, more = false;

	EXPECT(GUESS(QUERY, "", false) == PROTO_UNKNOWN && more);
	EXPECT(GUESS(QUERY, DONE, false) == PROTO_PGSQL && request);
	EXPECT(GUESS(DONE, QUERY, false) == PROTO_PGSQL && !request);
	EXPECT(GUESS(QUERY, "+OK\r\n", false) == PROTO_UNKNOWN);
	EXPECT(GUESS("QUIT\r\n", DONE, false) == PROTO_UNKNOWN);
	EXPECT(GUESS("EHLO example.com\r\n", "220 mail\r\n", false) == PROTO_UNKNOWN);
}

/* A message that fits is none when what is behind it does not, and a length is to be kept. */
static void test_pgsql__to_the_end(void)
{
	static const char ok[] = "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
	struct slice server = slice_of(ok, sizeof(ok) - 1);
	bool request = false, more = false;
	char text[400];

	EXPECT(GUESS(QUERY, "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", false) == PROTO_PGSQL);
	EXPECT(GUESS(QUERY, "R\0\0\0\x08r\rs\n", false) == PROTO_UNKNOWN);
	EXPECT(GUESS(QUERY, DONE "r\rn", false) == PROTO_UNKNOWN);
	EXPECT(GUESS(QUERY "noise", DONE, false) == PROTO_UNKNOWN);
	EXPECT(GUESS(QUERY "Q\0\0", DONE, false) == PROTO_PGSQL);
	EXPECT(GUESS("K\0\0\0\x0cany8byte", QUERY, false) == PROTO_UNKNOWN);
	/* Text of 300 bytes: with its NUL at the end, before, and nowhere. */
	memset(text, 'x', sizeof(text));
	memcpy(text, "Q\0\0\1\x30", 5);
	text[304] = '\0';
	EXPECT(guess(slice_of(text, 305), server, false, &request, &more) == PROTO_PGSQL &&
	       request);
	EXPECT(guess(slice_of(text, 200), server, false, &request, &more) == PROTO_UNKNOWN && more);
	text[5] = '\0';
	EXPECT(guess(slice_of(text, 305), server, false, &request, &more) == PROTO_UNKNOWN &&
	       !more);
	text[5] = text[304] = 'x';
	EXPECT(guess(slice_of(text, 400), server, false, &request, &more) == PROTO_UNKNOWN &&
	       !more);
}

static void test_pgsql__names(void)
{
	struct portals p = { 0 };
	struct sql_name name = { 0 }, other = { 0 };
	uint64_t stmt = 0;

	EXPECT(sql_about(SLICE_LIT("DEALLOCATE Foo"), &name) == ABOUT_CLOSES);
	EXPECT(sql_about(SLICE_LIT("/* c */ prepare \"foo\" AS SELECT 1"), &other) ==
	       ABOUT_PREPARES);
	EXPECT(name.id == other.id && name.id != 0 && name.n == 3);
	EXPECT(sql_about(SLICE_LIT("EXECUTE FOO(1)"), &other) == ABOUT_EXECUTES);
	EXPECT(name.id == other.id && memcmp(other.text, "foo", 3) == 0);
	EXPECT(sql_about(SLICE_LIT("EXECUTE \"Foo\""), &other) == ABOUT_EXECUTES);
	EXPECT(name.id != other.id);
	EXPECT(sql_about(SLICE_LIT("EXECUTE \"a\"\"b\""), &other) == ABOUT_OTHER);
	EXPECT(sql_about(SLICE_LIT("DEALLOCATE ALL"), &name) == ABOUT_OTHER);
	EXPECT(sql_about(SLICE_LIT("DEALLOCATE PREPARE x"), &name) == ABOUT_CLOSES && name.n == 1);
	EXPECT(sql_about(SLICE_LIT("PREPARE TRANSACTION 'x'"), &name) == ABOUT_OTHER);
	EXPECT(sql_about(SLICE_LIT("\tcopy t from stdin"), &name) == ABOUT_COPY);
	EXPECT(sql_about(SLICE_LIT("SELECT 1"), &name) == ABOUT_OTHER);
	for (uint64_t n = 0; n <= PGSQL_PORTALS; n++)
		portals_put(&p, n, n + 100);
	EXPECT(!portals_get(&p, 0, &stmt)); /* the oldest */
	EXPECT(portals_get(&p, PGSQL_PORTALS, &stmt) && stmt == PGSQL_PORTALS + 100);
	portals_del(&p, 1);
	EXPECT(!portals_get(&p, 1, &stmt) && portals_get(&p, 2, &stmt) && stmt == 102);
}

static bool prepares(const char *text, const char *want)
{
	return slice_eq_str(sql_prepared(slice_str(text)), want);
}

static void test_pgsql__what_prepare_prepares(void)
{
	EXPECT(prepares("PREPARE a AS SELECT 1", " SELECT 1"));
	EXPECT(prepares("prepare \"as\" (numeric(3,2), \"as\") /* as */ As SELECT 1 AS x",
			" SELECT 1 AS x"));
	EXPECT(prepares("PREPARE as AS SELECT 1", " SELECT 1"));
	EXPECT(prepares("PREPARE a (int", ""));
	EXPECT(prepares("PREPARE a (int AS SELECT 1", ""));
	EXPECT(prepares("", ""));
}

/* Thousands of alike requests take one entry; what does not fit waits. */
static void test_pgsql__flight(void)
{
	struct flight f = { 0 };

	for (int n = 0; n < 5000; n++) {
		EXPECT(flight_add(&f, UNIT_GROUP) == (uint64_t)n);
		flight_part(&f, PART_BIND);
		flight_part(&f, PART_EXECUTE);
		flight_close(&f);
		flight_barrier(&f);
	}
	EXPECT(f.n == 1 && f.barriers == 5000 && flight_waiting(&f) == 5000);
	for (int n = 0; n < 5000; n++) {
		flight_answered(&f);
		flight_pop(&f);
	}
	EXPECT(f.n == 0 && f.barriers == 0 && flight_waiting(&f) == 0);
	for (int n = 0; !flight_full(&f); n++) {
		flight_add(&f, n % 2 ? UNIT_STATEMENT : UNIT_CALL);
		flight_barrier(&f);
	}
	EXPECT(f.n == FLIGHT_MAX - FLIGHT_RESERVED + 1 && !f.hopeless);
}

TEST_MAIN(TEST(test_pgsql__beginnings), TEST(test_pgsql__both_directions),
	  TEST(test_pgsql__to_the_end), TEST(test_pgsql__names),
	  TEST(test_pgsql__what_prepare_prepares), TEST(test_pgsql__flight))

/* The machine against scripted answers: what it asks for next, and what it tells. */
#include "base/util.h"
#include "k8s/reflector.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define UID(n) "00000000-0000-0000-0000-00000000000" #n
#define MINUTE (60 * NSEC_PER_SEC)

static struct strbuf log_text = STRBUF_INIT(MIB);
static struct reflector *r;
static struct reflector_request asked;

static void on_put(void *ctx, const struct k8s_object *o)
{
	(void)ctx;
	strbuf_addf(&log_text, "+%c@%.*s ", o->meta.uid.p[35], (int)o->meta.resource_version.n,
		    (const char *)o->meta.resource_version.p);
}

static void on_gone(void *ctx, const struct k8s_object *o)
{
	(void)ctx;
	strbuf_addf(&log_text, "-%c ", o->meta.uid.p[35]);
}

static void on_synced(void *ctx)
{
	(void)ctx;
	strbuf_adds(&log_text, "synced ");
}

static void on_condition(void *ctx, const char *text)
{
	(void)ctx;
	strbuf_addf(&log_text, "[%s] ", text ? text : "well");
}

static void next(void)
{
	reflector_next(r, 0, &asked);
}

static void begin(void)
{
	static const struct reflector_ops ops = { on_put, on_gone, on_synced, on_condition };
	struct reflector_opts opts = { .kind = K8S_POD,
				       .field_selector = "spec.nodeName=a b",
				       .ops = &ops };

	strbuf_reset(&log_text);
	ASSERT_EQ(reflector_new(&opts, &r), 0);
	next();
}

static void done(void)
{
	reflector_free(r);
	r = NULL;
}

/* What was told since the last look. */
static void told(const char *want)
{
	EXPECT_STR(strbuf_str(&log_text), want);
	strbuf_reset(&log_text);
}

/* The query has all of these parts and none of those. */
static void query(const char *has, const char *has_not)
{
	if (!EXPECT(strstr(asked.url, has) != NULL) ||
	    !EXPECT(!has_not[0] || strstr(asked.url, has_not) == NULL))
		printf("# %s: has %s, has not %s\n", asked.url, has, has_not);
}

static int body(const char *text)
{
	return reflector_body(r, slice_str(text));
}

static void answer(int status, const char *text, uint64_t lasted_ns)
{
	reflector_head(r, status, SLICE_LIT("application/json"), 0);
	if (body(text) < 0)
		reflector_end(r, REFLECTOR_BROKEN, "given up", lasted_ns);
	else
		reflector_end(r, REFLECTOR_EOF, NULL, lasted_ns);
	next();
}

#define EVENT(type, uid, version)                                                                  \
	"{\"type\":\"" type "\",\"object\":{\"metadata\":{\"uid\":\"" uid                          \
	"\",\"resourceVersion\":\"" version "\"}}}\n"
#define ITEM(uid, version)                                                                         \
	"{\"metadata\":{\"uid\":\"" uid "\",\"resourceVersion\":\"" version "\"}}"
#define MARK(version, notes)                                                                       \
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version          \
	"\"" notes "}}}\n"
#define SYNC(version) MARK(version, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}")
#define LIST(version, more, items)                                                                 \
	"{\"metadata\":{\"resourceVersion\":\"" version "\"" more "},\"items\":[" items "]}"
#define ERROR_EVENT(code, reason, rest)                                                            \
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"reason\":\"" reason                 \
	"\",\"code\":" code rest "}}\n"
#define STATUS(code, reason)                                                                       \
	"{\"kind\":\"Status\",\"message\":\"m\",\"reason\":\"" reason "\",\"code\":" code "}"

static void test_reflector__stream(void)
{
	begin();
	EXPECT(asked.watch && asked.wait_ns == 0 && !asked.fresh_token);
	query("/api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=300"
	      "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
	      "&fieldSelector=spec.nodeName%3Da%20b",
	      "resourceVersion=");
	reflector_head(r, 200, SLICE_LIT("application/json"), 0);
	EXPECT_EQ(body(EVENT("ADDED", UID(1), "90") EVENT("ADDED", UID(2), "40")), 0);
	told("+1@90 +2@40 ");
	EXPECT_EQ(body(SYNC("100")), 0);
	told("synced ");
	EXPECT_EQ(body(EVENT("ADDED", UID(3), "101") EVENT("MODIFIED", UID(1), "102")), 0);
	EXPECT_EQ(body(EVENT("DELETED", UID(2), "103")), 0);
	told("+3@101 +1@102 -2 ");
	reflector_end(r, REFLECTOR_EOF, NULL, 5 * MINUTE);
	next();
	EXPECT(asked.watch && asked.wait_ns == 0);
	query("&resourceVersion=103", "sendInitialEvents");
	/* told before, or older: no news; of another uid it is */
	answer(200, EVENT("ADDED", UID(1), "102") EVENT("MODIFIED", UID(3), "100"), MINUTE);
	told("");
	EXPECT_EQ(r->counts.stale, 2);
	done();
}

/* Versions of the first ADDEDs are in no order: the stream that ends before its mark proves nothing. */
static void test_reflector__stream_ends_early(void)
{
	begin();
	answer(200, EVENT("ADDED", UID(1), "90"), NSEC_PER_SEC);
	told("+1@90 ");
	EXPECT(!asked.watch);
	query("resourceVersion=0&", "watch");
	answer(200, LIST("95", "", ITEM(UID(1), "90") "," ITEM(UID(2), "91")), NSEC_PER_MSEC);
	told("+2@91 synced ");
	query("watch=1", "sendInitial");
	query("resourceVersion=95", "sendInitial");
	done();
}

static void test_reflector__no_stream(void)
{
	static const char *const refusals[] = { "422", "400" };

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		begin();
		answer(i ? 400 : 422, STATUS("422", "Invalid"), NSEC_PER_MSEC);
		EXPECT_EQ(asked.wait_ns, 0);
		query("resourceVersion=0", "watch");
		answer(200, LIST("5", "", ""), NSEC_PER_MSEC);
		told("synced ");
		/* and it is not tried again */
		answer(200, ERROR_EVENT("410", "Expired", ""), MINUTE);
		query("?fieldSelector", "watch");
		query("", "resourceVersion");
		done();
	}
	begin();
	answer(200, ERROR_EVENT("500", "InternalError", ""), NSEC_PER_MSEC);
	query("resourceVersion=0", "watch");
	done();
	/* a server in trouble is another matter: the next time it may be well */
	begin();
	answer(503, "upstream", NSEC_PER_MSEC);
	EXPECT_EQ(asked.wait_ns, REFLECTOR_WAIT_MIN_NS);
	query("resourceVersion=0", "watch");
	answer(200, LIST("5", "", ""), NSEC_PER_MSEC);
	answer(200, ERROR_EVENT("410", "Gone", ""), MINUTE);
	query("sendInitialEvents=true", "resourceVersion=");
	done();
}

/* What a new list lacks has gone; what it has in the version that was told is no news. */
static void test_reflector__relist(void)
{
	begin();
	answer(422, "", NSEC_PER_MSEC);
	answer(200,
	       LIST("50", "", ITEM(UID(1), "10") "," ITEM(UID(2), "20") "," ITEM(UID(3), "30")), 1);
	told("+1@10 +2@20 +3@30 synced ");
	answer(200, ERROR_EVENT("410", "Expired", ""), MINUTE);
	EXPECT_EQ(asked.wait_ns, REFLECTOR_WAIT_MIN_NS);
	query("/api/v1/pods?fieldSelector", "resourceVersion");
	answer(200, LIST("90", "", ITEM(UID(1), "10") "," ITEM(UID(3), "80")), 1);
	told("+3@80 -2 synced ");
	query("resourceVersion=90", "sendInitial");
	done();
}

static void test_reflector__pages(void)
{
	begin();
	answer(422, "", 1);
	answer(200, LIST("50", ",\"continue\":\"a/b=\"", ITEM(UID(1), "10")), 1);
	told("+1@10 ");
	query("limit=500&continue=a%2Fb%3D", "resourceVersion");
	/* the token is too old: all again, what was told stays told */
	answer(410, STATUS("410", "Expired"), 1);
	query("/api/v1/pods?fieldSelector", "continue");
	answer(200, LIST("60", ",\"continue\":\"x\"", ITEM(UID(1), "10")), 1);
	answer(200, LIST("60", "", ITEM(UID(2), "20")), 1);
	told("+2@20 synced ");
	query("resourceVersion=60", "continue");
	done();
}

/* 410 in both ways, and a version of the future. */
static void test_reflector__versions_lost(void)
{
	static const struct {
		int status;
		const char *text;
		uint64_t wait_ns;
	} rows[] = {
		{ 410, STATUS("410", "Gone"), REFLECTOR_WAIT_MIN_NS },
		{ 200, ERROR_EVENT("410", "Expired", ""), REFLECTOR_WAIT_MIN_NS },
		{ 200, ERROR_EVENT("500", "Expired", ""), REFLECTOR_WAIT_MIN_NS },
		{ 504,
		  "{\"reason\":\"Timeout\",\"code\":504,\"message\":\"Too large resource version: "
		  "9\"}",
		  NSEC_PER_SEC },
		{ 200,
		  ERROR_EVENT("504", "Timeout",
			      ",\"details\":{\"retryAfterSeconds\":4,\"causes\":[{\"reason\":"
			      "\"ResourceVersionTooLarge\"}]}"),
		  4 * NSEC_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		answer(200, SYNC("7"), MINUTE);
		query("resourceVersion=7", "sendInitial");
		answer(rows[i].status, rows[i].text, MINUTE);
		EXPECT_EQ(asked.wait_ns, rows[i].wait_ns);
		query("sendInitialEvents", "resourceVersion=");
		done();
	}
}

static void test_reflector__busy(void)
{
	begin();
	answer(200, SYNC("7"), MINUTE);
	reflector_head(r, 429, SLICE_LIT(""), 12);
	reflector_end(r, REFLECTOR_EOF, NULL, 1);
	next();
	EXPECT_EQ(asked.wait_ns, 12 * NSEC_PER_SEC);
	query("resourceVersion=7", "sendInitial");
	answer(200,
	       ERROR_EVENT("429", "TooManyRequests", ",\"details\":{\"retryAfterSeconds\":20}"), 1);
	EXPECT_EQ(asked.wait_ns, 20 * NSEC_PER_SEC);
	query("resourceVersion=7", "sendInitial");
	done();
}

/* Errors of the server are waited for; after a minute of them all is listed again. */
static void test_reflector__server_errors(void)
{
	uint64_t waited = 0;

	begin();
	answer(200, SYNC("7"), 3 * MINUTE);
	for (int i = 0; i < 20 && !strstr(asked.url, "sendInitial"); i++) {
		query("resourceVersion=7", "");
		answer(200, ERROR_EVENT("500", "InternalError", ""), NSEC_PER_MSEC);
		waited += asked.wait_ns;
	}
	query("sendInitialEvents", "");
	query("&resourceVersion=7", "");
	EXPECT(waited > MINUTE && waited < 3 * MINUTE);
	done();
}

static void test_reflector__unauthorized(void)
{
	begin();
	answer(401, STATUS("401", "Unauthorized"), 1);
	EXPECT(asked.fresh_token && asked.wait_ns == 0);
	query("sendInitialEvents", "");
	told("");
	answer(401, STATUS("401", "Unauthorized"), 1);
	EXPECT(asked.fresh_token && asked.wait_ns == REFLECTOR_WAIT_MIN_NS);
	told("[pods: HTTP 401: m; asked again with growing pauses] ");
	answer(200, SYNC("7"), MINUTE);
	told("[well] synced ");
	/* the next rotation is a new one */
	answer(401, STATUS("401", "Unauthorized"), 1);
	EXPECT(asked.fresh_token && asked.wait_ns == 0);
	query("resourceVersion=7", "sendInitial");
	done();
}

static void test_reflector__forbidden(void)
{
	begin();
	answer(403, STATUS("403", "Forbidden"), 1);
	EXPECT_EQ(asked.wait_ns, REFLECTOR_WAIT_MAX_NS);
	told("[pods: HTTP 403: m; asked again every minute] ");
	query("sendInitialEvents", "");
	answer(403, STATUS("403", "Forbidden"), 1);
	told("");
	answer(200, EVENT("ADDED", UID(1), "1") SYNC("7"), MINUTE);
	told("+1@1 [well] synced ");
	/* the right is taken away: what was seen stays, the watch goes on when it is back */
	answer(403, STATUS("403", "Forbidden"), 1);
	query("resourceVersion=7", "sendInitial");
	done();
}

/* A server that is there and overloaded is asked ever less. */
static void test_reflector__back_off_of_a_busy_server(void)
{
	static const uint64_t ms[] = { 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000 };

	begin();
	answer(200, SYNC("7"), MINUTE);
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		answer(429, STATUS("429", "TooManyRequests"), 1);
		EXPECT_EQ(asked.wait_ns, ms[i] * NSEC_PER_MSEC);
		query("resourceVersion=7", "sendInitial");
	}
	done();
}

/* Doubles to its maximum, and is stretched by the caller's number. One that cannot be reached is asked so
 * often that names are right within 10 s of its return. */
static void test_reflector__back_off(void)
{
	static const uint64_t ms[] = { 800, 1600, 3200, 4000, 4000, 4000, 4000, 4000, 4000 };

	begin();
	answer(200, SYNC("7"), MINUTE);
	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		reflector_end(r, REFLECTOR_BROKEN, "connection refused", 1);
		next();
		EXPECT_EQ(asked.wait_ns, ms[i] * NSEC_PER_MSEC);
		query("resourceVersion=7", "sendInitial");
	}
	told("synced [pods: connection refused; asked again with growing pauses] ");
	reflector_end(r, REFLECTOR_BROKEN, "connection refused", 1);
	reflector_next(r, UINT32_MAX, &asked);
	EXPECT(asked.wait_ns > 7 * NSEC_PER_SEC && asked.wait_ns <= 8 * NSEC_PER_SEC);
	query("timeoutSeconds=", "timeoutSeconds=300");
	/* two healthy minutes */
	reflector_head(r, 200, SLICE_LIT("application/json"), 0);
	body(MARK("8", ""));
	told("[well] ");
	reflector_end(r, REFLECTOR_BROKEN, "reset", 2 * MINUTE);
	next();
	EXPECT_EQ(asked.wait_ns, 0);
	reflector_end(r, REFLECTOR_BROKEN, "connection refused", 1);
	next();
	EXPECT_EQ(asked.wait_ns, REFLECTOR_WAIT_MIN_NS);
	done();
}

static void test_reflector__ends_at_once(void)
{
	begin();
	answer(200, SYNC("7"), MINUTE);
	answer(200, "", NSEC_PER_MSEC);
	EXPECT_EQ(asked.wait_ns, REFLECTOR_WAIT_MIN_NS);
	query("resourceVersion=7", "sendInitial");
	answer(200, "", NSEC_PER_MSEC);
	EXPECT_EQ(asked.wait_ns, 2 * REFLECTOR_WAIT_MIN_NS);
	answer(200, MARK("8", ""), NSEC_PER_MSEC);
	EXPECT_EQ(asked.wait_ns, 0);
	answer(200, "", 2 * NSEC_PER_SEC);
	EXPECT_EQ(asked.wait_ns, 0);
	query("resourceVersion=8", "sendInitial");
	done();
}

/* What cannot be read is given up, and all is listed anew; the list that ends early is no list. */
static void test_reflector__unreadable(void)
{
	static const char *const bad[] = {
		"x\n",
		"{}\n",
		"{\"type\":\"NEW\",\"object\":{}}\n",
		"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid\":\"" UID(1) "\"}}}\n",
		"{\"type\":\"BOOKMARK\",\"object\":{}}\n",
		"{\"type\":\"ERROR\"}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		begin();
		answer(200, SYNC("7"), MINUTE);
		reflector_head(r, 200, SLICE_LIT("application/json"), 0);
		EXPECT(body(bad[i]) < 0);
		EXPECT(body("more") < 0);
		reflector_end(r, REFLECTOR_BROKEN, "given up", MINUTE);
		next();
		query("sendInitialEvents", "resourceVersion=");
		EXPECT_EQ(r->counts.bad, 1);
		told("synced ");
		done();
	}
	begin();
	answer(422, "", 1);
	answer(200, "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" ITEM(UID(1), "1"), 1);
	told("+1@1 ");
	query("resourceVersion=0", "watch");
	answer(200, "{\"items\":[]}", 1);
	query("resourceVersion=0", "watch");
	answer(200, LIST("6", "", ""), 1);
	told("-1 synced ");
	done();
}

/* An uid that is none cannot be told from others: counted, not told. */
static void test_reflector__nameless(void)
{
	begin();
	answer(200, EVENT("ADDED", "x", "1") EVENT("ADDED", UID(1), "2") SYNC("7"), MINUTE);
	told("+1@2 synced ");
	EXPECT_EQ(r->counts.nameless, 1);
	/* one that was not told is not taken back either */
	answer(200, EVENT("DELETED", UID(5), "8") EVENT("DELETED", UID(1), "9"), MINUTE);
	told("-1 ");
	done();
}

TEST_MAIN(TEST(test_reflector__stream), TEST(test_reflector__stream_ends_early),
	  TEST(test_reflector__no_stream), TEST(test_reflector__relist),
	  TEST(test_reflector__pages), TEST(test_reflector__versions_lost),
	  TEST(test_reflector__busy), TEST(test_reflector__server_errors),
	  TEST(test_reflector__unauthorized), TEST(test_reflector__forbidden),
	  TEST(test_reflector__back_off_of_a_busy_server), TEST(test_reflector__back_off),
	  TEST(test_reflector__ends_at_once), TEST(test_reflector__unreadable),
	  TEST(test_reflector__nameless))

/* What each filter becomes in SQL: predicates with bound values, never pasted ones. */
#include "cli/sqlgen.h"

#include "base/text.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

#define ARGS_MAX 24

/* Parses flags of `slow` and gives the statement with its values in place; the error instead. */
static void compile(char *out, size_t size, const char *verb, ...)
{
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(4096), text = STRBUF_INIT(MIB);
	struct options o = { 0 };
	struct question q;
	char *argv[ARGS_MAX];
	int argc = 0, r;
	va_list ap;

	va_start(ap, verb);
	for (const char *a; argc < ARGS_MAX && (a = va_arg(ap, const char *));)
		argv[argc++] = strdup(a);
	va_end(ap);
	question_init(&q);
	r = cli_parse(cli_command(verb), argc, argv, &o, &why);
	if (r == 0)
		r = sqlgen_where(&q, &o, strcmp(verb, "conns") ? SQL_REQUESTS : SQL_CONNECTIONS,
				 &why);
	if (r == 0)
		question_explain(&q, &text);
	snprintf(out, size, "%s", r == 0 ? strbuf_str(&text) : strbuf_str(&why));
	question_done(&q);
	while (argc)
		free(argv[--argc]);
}

#define EXPECT_WHERE(want, verb, ...)                                                              \
	do {                                                                                       \
		char got[4096];                                                                    \
		compile(got, sizeof(got), verb, __VA_ARGS__, NULL);                                \
		EXPECT_STR(got, want);                                                             \
	} while (0)

static void test_filter__protocols(void)
{
	char why[4096];

	EXPECT_WHERE(" WHERE (protocol IN ('pgsql', 'tls') OR protocol GLOB 'my*')", "slow",
		     "--protocol", "pgsql,my*,tls");
	compile(why, sizeof(why), "slow", "--protocol", "pgsql,postgres", NULL);
	EXPECT(strstr(why, "--protocol 'postgres' is none of: http, grpc, pgsql, mysql, "));
}

static void test_filter__either_end(void)
{
	EXPECT_WHERE(" WHERE (client_namespace = 'shop' OR server_namespace = 'shop')", "slow",
		     "-n", "shop");
	EXPECT_WHERE(" WHERE (client_pod IN ('a', 'b') OR client_pod GLOB 'c*' OR "
		     "server_pod IN ('a', 'b') OR server_pod GLOB 'c*')",
		     "slow", "--pod", "a,c*,b");
	EXPECT_WHERE(" WHERE (client_node = 'n' OR server_node = 'n' OR node = 'n')", "slow",
		     "--node=n");
	EXPECT_WHERE(" WHERE (client_name GLOB 'o?[[]x]*' OR server_name GLOB 'o?[[]x]*')", "slow",
		     "--service", "o?[x]*");
	EXPECT_WHERE(" WHERE (client_port IN (80, 443) OR server_port IN (80, 443))", "slow",
		     "--port", "80,443");
	EXPECT_WHERE(" WHERE (client_pid IN (7) OR server_pid IN (7) OR pid IN (7))", "conns",
		     "--pid", "7");
}

static void test_filter__ends(void)
{
	EXPECT_WHERE(" WHERE (client_pod = 'x')", "slow", "--from", "pod/x");
	EXPECT_WHERE(
		" WHERE ((server_workload_kind = 'Deployment' AND server_workload GLOB 'c*') OR "
		"server_comm = 'nginx')",
		"slow", "--to", "deploy/c*,comm/nginx");
	EXPECT_WHERE(" WHERE (server_name = 'cart')", "slow", "--to", "svc/cart");
	EXPECT_WHERE(" WHERE (server_name = 'cart')", "slow", "--to", "services/cart");
	EXPECT_WHERE(
		" WHERE ((client_workload_kind = 'Deployment' AND client_workload = 'web') OR "
		"(server_workload_kind = 'Deployment' AND server_workload = 'web')) AND "
		"(client_pod = 'x' OR client_pod = 'y' OR server_pod = 'x' OR server_pod = 'y')",
		"slow", "deployments/web", "pod/x,po/y");
	EXPECT_WHERE(" WHERE (client_addr = '::1')", "slow", "--from", "addr/::1");
	EXPECT_WHERE(
		"--to 'nod/x' has an unknown type; known: pod, service, name, namespace, node, "
		"workload, deploy, sts, ds, job, comm, addr, container",
		"slow", "--to", "nod/x");
}

static void test_filter__status(void)
{
	EXPECT_WHERE(" WHERE ((status_code >= 500 AND status_code < 600))", "slow", "--status",
		     "5xx");
	EXPECT_WHERE(" WHERE (status_code >= 400)", "slow", "--status", ">=400");
	EXPECT_WHERE(" WHERE (status_code != 200)", "slow", "--status", "!=200");
	EXPECT_WHERE(" WHERE (status_code = 404 OR status = '404')", "slow", "--status", "404");
	EXPECT_WHERE(" WHERE (status = '42P01' OR (status_code >= 400 AND status_code < 500))",
		     "slow", "--status", "42P01,4XX");
	EXPECT_WHERE(" WHERE (status = 'OK' OR status = 'NXDOMAIN' OR status GLOB 'WRONG*')",
		     "slow", "--status", "OK,NXDOMAIN,WRONG*");
	EXPECT_WHERE("--status '5x/abc' is no status; write " TEXT_STATUS_FORMS, "slow", "--status",
		     "5x/abc");
	EXPECT_WHERE("--status '5x' is no status; write " TEXT_STATUS_FORMS, "slow", "--status",
		     "5x");
	EXPECT_WHERE("--status '42P0' is no status; write " TEXT_STATUS_FORMS, "slow", "--status",
		     "42P0");
	EXPECT_WHERE("--status '>=many' is no comparison; write '>=400'", "slow", "--status",
		     ">=many");
}

static void test_filter__not_and_all(void)
{
	EXPECT_WHERE(" WHERE (method = 'GET') IS NOT TRUE AND (failed = 1)", "slow", "--not",
		     "--method", "GET", "--failed");
	EXPECT_WHERE(" WHERE (latency_ns >= 100000000)", "slow", "--min-latency", "100ms");
	EXPECT_WHERE(" WHERE (path GLOB '/cart/*' OR resource GLOB '/cart/*')", "slow", "--path",
		     "/cart/*");
	EXPECT_WHERE(" WHERE (resource GLOB 'user:*')", "slow", "--resource", "user:*");
	EXPECT_WHERE(" WHERE (error IS NOT NULL)", "conns", "--failed");
	EXPECT_WHERE("", "slow", "-A");
}

static void test_filter__values_stay_values(void)
{
	EXPECT_WHERE(" WHERE (method = 'x'' OR 1=1 --')", "slow", "--method", "x' OR 1=1 --");
	EXPECT_WHERE(" WHERE (method = ':p1' OR method GLOB '*:p2')", "slow", "--method",
		     ":p1,*:p2");
}

static void test_filter__refused(void)
{
	EXPECT_WHERE("--min-latency 'slow' is no duration; write 100ms, 2s", "slow",
		     "--min-latency", "slow");
	EXPECT_WHERE("--port '80x' is no such number", "slow", "--port", "80x");
	EXPECT_WHERE("--port '65536' is no such number", "slow", "--port", "65536");
	EXPECT_WHERE("--pod 'a,,b' has an empty entry", "slow", "--pod", "a,,b");
	EXPECT_WHERE("--pod '' is empty", "slow", "--pod", "");
	EXPECT_WHERE("--status has no meaning for connections", "conns", "--status", "5xx");
	EXPECT_WHERE("--not stands before a filter", "slow", "--not");
	EXPECT_WHERE("--not stands before a filter, and --limit is none", "slow", "--not",
		     "--limit", "3");
	EXPECT_WHERE("unknown flag --stauts; did you mean --status?", "slow", "--stauts", "5xx");
	EXPECT_WHERE("--since needs a value: TIME", "slow", "--since");
	EXPECT_WHERE("--failed takes no value", "slow", "--failed=1");
	EXPECT_WHERE("what is 'x' for? slow takes flags and TYPE/NAME, such as pod/x", "slow", "x");
	EXPECT_WHERE(
		"--about 'nod/x' has an unknown type; known: pod, service, name, namespace, node, "
		"workload, deploy, sts, ds, job, comm, addr, container",
		"slow", "nod/x");
	EXPECT_WHERE("--limit '0' is no number from 1 to 10000000", "slow", "--limit", "0");
}

static void test_filter__too_many(void)
{
	_cleanup_(strbuf_done) struct strbuf list = STRBUF_INIT(4096);
	char got[4096];

	for (int i = 0; i < QUESTION_PARAMS_MAX + 1; i++)
		strbuf_addf(&list, "%s%d", i ? "," : "", i);
	compile(got, sizeof(got), "slow", "--port", strbuf_str(&list), NULL);
	EXPECT_STR(got, "too many filters for one statement");
}

static void test_filter__range(void)
{
	static const uint64_t now = 1772619630 * NSEC_PER_SEC;
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(4096);
	struct options o = { .since = "90s" };
	struct question q;

	question_init(&q);
	EXPECT_EQ(sqlgen_range(&q, &o, now, SQLGEN_RANGE_NS, &why), 0);
	EXPECT_EQ(q.from_ns, now - 90 * NSEC_PER_SEC);
	EXPECT(!q.is_default && q.to_ns == UINT64_MAX);
	o = (struct options){ .until = "2026-03-04T10:00:00Z" };
	EXPECT_EQ(sqlgen_range(&q, &o, now, SQLGEN_RANGE_NS, &why), 0);
	EXPECT_EQ(q.to_ns - q.from_ns, SQLGEN_RANGE_NS);
	o = (struct options){ 0 };
	EXPECT_EQ(sqlgen_range(&q, &o, now, 0, &why), 0);
	EXPECT(q.is_default && q.from_ns == 0);
	o = (struct options){ .since = "1m", .until = "5m" };
	EXPECT_EQ(sqlgen_range(&q, &o, now, 0, &why), -EINVAL);
	EXPECT_STR(strbuf_str(&why), "--since '1m' is not before --until");
	strbuf_reset(&why);
	/* nothing is after now; a minus before a duration changes nothing */
	o = (struct options){ .since = "-5m", .until = "now" };
	EXPECT_EQ(sqlgen_range(&q, &o, now, 0, &why), 0);
	EXPECT(q.from_ns == now - 300 * NSEC_PER_SEC && q.to_ns == now && !q.all);
	for (size_t i = 0; i < 4; i++) {
		static const char *const empty[] = { "now", "0s", "0", "2030-01-01" };

		o = (struct options){ .since = empty[i] };
		EXPECT_EQ(sqlgen_range(&q, &o, now, 0, &why), -EINVAL);
	}
	EXPECT(strstr(strbuf_str(&why), "--since '2030-01-01' is not before now"));
	/* older than time itself is everything, and said to the source */
	o = (struct options){ .since = "100000d" };
	EXPECT_EQ(sqlgen_range(&q, &o, now, SQLGEN_RANGE_NS, &why), 0);
	EXPECT(q.from_ns == 0 && q.all);
	o = (struct options){ .since = "yesterday" };
	EXPECT_EQ(sqlgen_range(&q, &o, now, 0, &why), -EINVAL);
	question_done(&q);
}

TEST_MAIN(TEST(test_filter__protocols), TEST(test_filter__either_end), TEST(test_filter__ends),
	  TEST(test_filter__status), TEST(test_filter__not_and_all),
	  TEST(test_filter__values_stay_values), TEST(test_filter__refused),
	  TEST(test_filter__too_many), TEST(test_filter__range))

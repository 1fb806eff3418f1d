/* Nanoseconds per call of what the parser process does to captured text: redaction, path templates,
 * SQL fingerprints, on typical values. CPU time. */
#include "base/path_template.h"
#include "base/sql_mask.h"
#include "base/sql_norm.h"
#include "base/sql_split.h"
#include "base/sql_trace.h"
#include "base/util.h"
#include "protocols/redact.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS 500000

static struct redact_policy policy;
static struct path_guard guard;
static char out[8192];

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static size_t user_agent(struct slice s)
{
	return redact_header_value(&policy, SLICE_LIT("User-Agent"), s, out, sizeof(out)).n;
}

static size_t query(struct slice s)
{
	return redact_query(&policy, s, out, sizeof(out)).n;
}

static size_t path(struct slice s)
{
	return redact_path(s, out, sizeof(out)).n;
}

static size_t template(struct slice s)
{
	return path_guard_template(&guard, 1, s, out);
}

static size_t fingerprint(struct slice s)
{
	return sql_norm(s, SQL_ANSI, out);
}

static size_t mask(struct slice s)
{
	return sql_mask(s, SQL_ANSI, out, sizeof(out));
}

static size_t verb(struct slice s)
{
	return strlen(sql_verb(s, SQL_ANSI));
}

static size_t traceparent(struct slice s)
{
	return sql_traceparent(s, SQL_ANSI, out);
}

static size_t split(struct slice s)
{
	struct sql_split split;
	bool end, empty;

	sql_split_init(&split, SQL_ANSI);
	return sql_split(&split, s, &end, &empty);
}

#define STATEMENT                                                                                  \
	"SELECT o.id, o.total FROM orders o WHERE o.user_id = 4711 AND o.state IN ('paid', "       \
	"'sent')"
#define ROW  "(4711, 'a name of some length', NULL, '2026-01-02 03:04:05', 12.75), "
#define ROWS ROW ROW ROW ROW ROW ROW ROW ROW ROW ROW

static const struct {
	const char *name, *text;
	size_t (*fn)(struct slice);
} cases[] = {
	{ "header value, kept",
	  "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0", user_agent },
	{ "query", "page=2&session=0badcafe&q=shoes", query },
	{ "path", "/v1/users/4711/orders/7f3a91c2/items", path },
	{ "path template with guard", "/v1/users/4711/orders/7f3a91c2/items", template },
	{ "SQL fingerprint", STATEMENT, fingerprint },
	{ "SQL fingerprint, 50 rows", "INSERT INTO orders VALUES " ROWS ROWS ROWS ROWS ROWS,
	  fingerprint },
	{ "SQL mask", STATEMENT, mask },
	{ "SQL verb", STATEMENT, verb },
	{ "SQL trace",
	  STATEMENT " /*action='list',traceparent='00-0af7651916cd43dd8448eb211c80319c-"
		    "b7ad6b7169203331-01'*/",
	  traceparent },
	{ "SQL split", STATEMENT ";", split },
};

int main(void)
{
	size_t bytes = 0;

	redact_policy_init(&policy);
	path_guard_init(&guard);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct slice s = slice_str(cases[i].text);
		double from = now_ns();

		for (size_t k = 0; k < ROUNDS; k++)
			bytes += cases[i].fn(s);
		printf("%-26s %3zu bytes: %4.0f ns\n", cases[i].name, s.n,
		       (now_ns() - from) / ROUNDS);
	}
	return bytes ? 0 : 1;
}

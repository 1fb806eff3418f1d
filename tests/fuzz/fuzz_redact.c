/* Redaction of text, templates of paths: bounded output, linear work, nothing masked twice. The first
 * byte says which function; the rest is the text. */
#include "base/path_template.h"
#include "base/util.h"
#include "protocols/redact.h"
#include "protocols/trace_context.h"
#include "tests/fuzz/work.h"

#include <stdio.h>

static struct redact_policy policy;
static struct path_guard guard;
static bool ready;

/* Texts are looked through for each kind of secret; see the functions' own comments. */
static const struct work_bound text_bound = { "redact_text", 256, 4096 };
static const struct work_bound path_bound = { "redact_path", 256, 4096 };
static const struct work_bound error_bound = { "redact_error", 256, 4096 };
static const struct work_bound query_bound = { "redact_query", 256, 4096 };
static const struct work_bound header_bound = { "redact_header_value", 256, 4096 };
static const struct work_bound target_bound = { "target_split", 64, 1024 };
static const struct work_bound template_bound = { "path_template", 128, 4096 };
static const struct work_bound guard_bound = { "path_guard", 128, 8192 };
static const struct work_bound trace_bound = { "trace_context", 64, 4096 };

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fuzz_redact: %s\n", what);
		abort();
	}
}

/* Text that was redacted keeps nothing to redact (but for numbers in groups). */
static void check_text(struct slice s, struct slice (*redact)(struct slice, void *, size_t),
		       const struct work_bound *bound)
{
	const char *what = bound->name;
	size_t cap = 16 * s.n + 32; /* the longest mark for the shortest secret */
	uint8_t *once = calloc(2, cap);
	struct slice a, b;

	work_begin();
	a = redact(s, once, cap);
	work_end(bound, s.n);
	check(a.n <= cap, what);
	b = redact(a, once + cap, cap);
	/* Grouped digits and random runs are judged by what stands around them, and a mark changes
	 * that. */
	if (redact == redact_text && !memmem(a.p, a.n, "_PAN>", 5) &&
	    !memmem(a.p, a.n, "_IBAN>", 6))
		check(slice_eq(a, b), what);
	check(redact(s, once, s.n / 2).n <= s.n, what);
	free(once);
}

static void check_parts(struct slice s, const struct target *t)
{
	struct slice parts[] = { t->scheme, t->host, t->path, t->query };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		check(parts[i].n == 0 ||
			      (parts[i].p >= s.p && parts[i].p + parts[i].n <= s.p + s.n),
		      "a part of the target lies outside");
	check(memchr(t->host.n ? t->host.p : (const uint8_t *)"", '@', t->host.n) == NULL,
	      "user information");
}

static void check_target(struct slice s)
{
	struct target t;

	work_begin();
	t = target_split(s);
	work_end(&target_bound, s.n);
	check_parts(s, &t);
}

static void check_query(struct slice s)
{
	size_t cap = 16 * s.n + 32, n;
	uint8_t *out = calloc(1, cap);

	work_begin();
	n = redact_query(&policy, s, out, cap).n;
	work_end(&query_bound, s.n);
	check(n <= cap, "query");
	work_begin();
	n = redact_header_value(&policy, slice_head(s, s.n / 2), slice_from(s, s.n / 2), out, cap)
		    .n;
	work_end(&header_bound, s.n);
	check(n <= cap, "header");
	free(out);
}

static void check_path(struct slice s)
{
	char *a = calloc(1, PATH_TEMPLATE_MAX), *b = calloc(1, PATH_TEMPLATE_MAX);
	size_t n;

	work_begin();
	n = path_template(s, a);
	work_end(&template_bound, s.n);
	check(n <= PATH_TEMPLATE_MAX, "path");
	work_begin();
	n = path_guard_template(&guard, s.n % 3, s, b);
	work_end(&guard_bound, s.n);
	check(n <= PATH_TEMPLATE_MAX, "guard");
	free(a);
	free(b);
}

static void check_trace(struct slice s)
{
	static const char *const names[] = { "traceparent", "b3", "x-b3-traceid", "x-b3-spanid" };
	struct trace_context t = { 0 };

	work_begin();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		trace_context_header(&t, slice_str(names[i]), s);
	work_end(&trace_bound, s.n);
	check(!t.has_span || memchr(t.span_id, '\0', 16) == NULL, "span id");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_from(slice_of(data, size), 1);

	if (!ready) {
		redact_policy_init(&policy);
		path_guard_init(&guard);
		ready = true;
	}
	if (size == 0)
		return 0;
	switch (data[0] % 8) {
	case 0:
		check_text(s, redact_text, &text_bound);
		break;
	case 1:
		check_text(s, redact_path, &path_bound);
		break;
	case 2:
		check_text(s, redact_error, &error_bound);
		break;
	case 3:
		check_query(s);
		break;
	case 4:
		check_target(s);
		break;
	case 6:
		check_path(s);
		break;
	default:
		check_trace(s);
		break;
	}
	return 0;
}

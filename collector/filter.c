#include "collector/filter.h"

#include "base/text.h"
#include "base/util.h"
#include "protocols/schema.h"

#include <errno.h>
#include <stdio.h>

static int refuse(struct filter_set *s, const char *name, struct slice value, const char *what)
{
	snprintf(s->why, sizeof(s->why), "%s '%.*s' %s", name, (int)MIN(value.n, (size_t)80),
		 (const char *)value.p, what);
	return -EINVAL;
}

static int full(struct filter_set *s)
{
	snprintf(s->why, sizeof(s->why), "too many filters");
	return -EINVAL;
}

static Kelpie__Clause *begin_clause(struct filter_set *s, bool negate)
{
	Kelpie__Clause *c = &s->clauses[s->n_clauses];

	kelpie__clause__init(c);
	s->clause_refs[s->n_clauses++] = c;
	c->any = &s->term_refs[s->n_terms];
	c->negate = negate;
	return c;
}

/* The newest clause holds also when the tests added from now on do. */
static int begin_term(struct filter_set *s)
{
	Kelpie__Term *t = &s->terms[s->n_terms];

	if (s->n_terms == FILTER_TESTS_MAX)
		return full(s);
	kelpie__term__init(t);
	t->all = &s->test_refs[s->n_tests];
	s->term_refs[s->n_terms++] = t;
	s->clauses[s->n_clauses - 1].n_any++;
	return 0;
}

static Kelpie__Test *add_test(struct filter_set *s, uint16_t column, Kelpie__TestOp op)
{
	Kelpie__Test *t = &s->tests[s->n_tests];

	if (s->n_tests == FILTER_TESTS_MAX)
		return NULL;
	kelpie__test__init(t);
	t->column = column;
	t->op = op;
	s->test_refs[s->n_tests++] = t;
	s->terms[s->n_terms - 1].n_all++;
	return t;
}

static int test_number(struct filter_set *s, uint16_t column, Kelpie__TestOp op, int64_t number)
{
	Kelpie__Test *t = add_test(s, column, op);

	if (!t)
		return full(s);
	t->value_case = KELPIE__TEST__VALUE_NUMBER;
	t->number = number;
	return 0;
}

static int test_text(struct filter_set *s, uint16_t column, struct slice text)
{
	bool glob = slice_find(text, '*') < text.n || slice_find(text, '?') < text.n;
	Kelpie__Test *t = add_test(s, column,
				   glob ? KELPIE__TEST_OP__TEST_GLOB : KELPIE__TEST_OP__TEST_EQ);

	if (!t)
		return full(s);
	t->value_case = KELPIE__TEST__VALUE_TEXT;
	t->text.data = (uint8_t *)(uintptr_t)text.p;
	t->text.len = text.n;
	return 0;
}

struct filter {
	const char *name;
	/* Adds the terms of one entry of the comma list. */
	int (*fn)(struct filter_set *s, const struct filter *f, struct slice v);
	uint16_t columns[3]; /* any of them; 0: none */
	uint64_t max;	     /* of numbers */
};

static int on_texts(struct filter_set *s, const struct filter *f, struct slice v)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(f->columns) && f->columns[i] && err == 0; i++) {
		err = begin_term(s);
		if (err == 0)
			err = test_text(s, f->columns[i], v);
	}
	return err;
}

static int on_numbers(struct filter_set *s, const struct filter *f, struct slice v)
{
	uint64_t number;
	int err = 0;

	if (parse_u64(v, &number) < 0 || number > f->max)
		return refuse(s, f->name, v, "is no such number");
	for (size_t i = 0; i < ARRAY_SIZE(f->columns) && f->columns[i] && err == 0; i++) {
		err = begin_term(s);
		if (err == 0)
			err = test_number(s, f->columns[i], KELPIE__TEST_OP__TEST_EQ,
					  (int64_t)number);
	}
	return err;
}

enum end_column {
	END_NAME,
	END_POD,
	END_NAMESPACE,
	END_NODE,
	END_WORKLOAD,
	END_COMM,
	END_ADDR,
	END_CONTAINER,
	END_KIND,
	_END_MAX
};

static const uint16_t end_columns[2][_END_MAX] = {
	{ COL_CLIENT_NAME, COL_CLIENT_POD, COL_CLIENT_NAMESPACE, COL_CLIENT_NODE,
	  COL_CLIENT_WORKLOAD, COL_CLIENT_COMM, COL_CLIENT_ADDR, COL_CLIENT_CONTAINER,
	  COL_CLIENT_WORKLOAD_KIND },
	{ COL_SERVER_NAME, COL_SERVER_POD, COL_SERVER_NAMESPACE, COL_SERVER_NODE,
	  COL_SERVER_WORKLOAD, COL_SERVER_COMM, COL_SERVER_ADDR, COL_SERVER_CONTAINER,
	  COL_SERVER_WORKLOAD_KIND },
};

static const struct {
	const char *type;
	enum end_column column;
	const char *kind; /* of the workload, or NULL */
} types[] = {
	{ "service", END_NAME, NULL },
	{ "svc", END_NAME, NULL },
	{ "name", END_NAME, NULL },
	{ "pod", END_POD, NULL },
	{ "po", END_POD, NULL },
	{ "namespace", END_NAMESPACE, NULL },
	{ "ns", END_NAMESPACE, NULL },
	{ "node", END_NODE, NULL },
	{ "no", END_NODE, NULL },
	{ "workload", END_WORKLOAD, NULL },
	{ "deployment", END_WORKLOAD, "Deployment" },
	{ "deploy", END_WORKLOAD, "Deployment" },
	{ "statefulset", END_WORKLOAD, "StatefulSet" },
	{ "sts", END_WORKLOAD, "StatefulSet" },
	{ "daemonset", END_WORKLOAD, "DaemonSet" },
	{ "ds", END_WORKLOAD, "DaemonSet" },
	{ "job", END_WORKLOAD, "Job" },
	{ "cronjob", END_WORKLOAD, "CronJob" },
	{ "cj", END_WORKLOAD, "CronJob" },
	{ "comm", END_COMM, NULL },
	{ "addr", END_ADDR, NULL },
	{ "ip", END_ADDR, NULL },
	{ "container", END_CONTAINER, NULL },
};

/* As kubectl has it, a type may stand in the plural. */
static bool is_type(struct slice typed, const char *type)
{
	size_t n = strlen(type);

	return slice_eq_str(slice_head(typed, n), type) &&
	       (typed.n == n || (typed.n == n + 1 && typed.p[n] == 's'));
}

/* TYPE/NAME, or a bare name. */
static int on_end(struct filter_set *s, const struct filter *f, struct slice v)
{
	const uint16_t *end = end_columns[f->columns[0]];
	size_t slash = slice_find(v, '/'), t = 0;
	int err;

	if (slash == v.n || slice_starts(v, SLICE_LIT("unix:"))) {
		err = begin_term(s);
		return err < 0 ? err : test_text(s, end[END_NAME], v);
	}
	while (t < ARRAY_SIZE(types) && !is_type(slice_head(v, slash), types[t].type))
		t++;
	if (t == ARRAY_SIZE(types))
		return refuse(s, f->name, v,
			      "has an unknown type; known: service, name, pod, namespace, node, "
			      "workload, deploy, sts, ds, job, comm, addr, container");
	err = begin_term(s);
	if (err == 0)
		err = test_text(s, end[types[t].column], slice_from(v, slash + 1));
	if (err == 0 && types[t].kind)
		err = test_text(s, end[END_KIND], slice_str(types[t].kind));
	return err;
}

/* Either end. */
static int on_about(struct filter_set *s, const struct filter *f, struct slice v)
{
	const struct filter client = { f->name, on_end, { 0 }, 0 };
	const struct filter server = { f->name, on_end, { 1 }, 0 };
	int err = on_end(s, &client, v);

	return err < 0 ? err : on_end(s, &server, v);
}

static const struct {
	const char *text;
	Kelpie__TestOp op;
} comparisons[] = {
	{ ">=", KELPIE__TEST_OP__TEST_GE }, { "<=", KELPIE__TEST_OP__TEST_LE },
	{ ">", KELPIE__TEST_OP__TEST_GT },  { "<", KELPIE__TEST_OP__TEST_LT },
	{ "=", KELPIE__TEST_OP__TEST_EQ },
};

/* "5xx" */
static bool is_class(struct slice v)
{
	return v.n == 3 && v.p[0] >= '1' && v.p[0] <= '9' && (v.p[1] | 0x20) == 'x' &&
	       (v.p[2] | 0x20) == 'x';
}

static int on_status(struct filter_set *s, const struct filter *f, struct slice v)
{
	uint64_t number;
	int err = begin_term(s);

	if (err == 0 && is_class(v)) {
		err = test_number(s, COL_STATUS_CODE, KELPIE__TEST_OP__TEST_GE,
				  (v.p[0] - '0') * 100);
		return err < 0 ? err
			       : test_number(s, COL_STATUS_CODE, KELPIE__TEST_OP__TEST_LT,
					     (v.p[0] - '0') * 100 + 100);
	}
	for (size_t i = 0; i < ARRAY_SIZE(comparisons) && err == 0; i++) {
		struct slice sign = slice_str(comparisons[i].text);

		if (!slice_starts(v, sign))
			continue;
		if (parse_u64(slice_from(v, sign.n), &number) < 0 || number > INT32_MAX)
			return refuse(s, f->name, v, "is no comparison; write '>=400'");
		return test_number(s, COL_STATUS_CODE, comparisons[i].op, (int64_t)number);
	}
	if (err < 0)
		return err;
	if (!text_is_status(v))
		return refuse(s, f->name, v, "is no status; write " TEXT_STATUS_FORMS);
	/* A SQLSTATE such as 23505 is a text of digits. */
	err = test_text(s, COL_STATUS, v);
	if (err < 0 || parse_u64(v, &number) < 0 || number > INT32_MAX)
		return err;
	err = begin_term(s);
	return err < 0 ? err
		       : test_number(s, COL_STATUS_CODE, KELPIE__TEST_OP__TEST_EQ, (int64_t)number);
}

static int on_min_latency(struct filter_set *s, const struct filter *f, struct slice v)
{
	uint64_t ns;
	int err;

	if (parse_duration_ns(v, &ns) < 0 || ns > INT64_MAX)
		return refuse(s, f->name, v, "is no duration; write 100ms, 2s");
	err = begin_term(s);
	return err < 0 ? err
		       : test_number(s, COL_LATENCY_NS, KELPIE__TEST_OP__TEST_GE, (int64_t)ns);
}

static int on_failed(struct filter_set *s, const struct filter *f, struct slice v)
{
	uint64_t number;
	int err;

	if (parse_u64(v, &number) < 0 || number > 1)
		return refuse(s, f->name, v, "is neither 0 nor 1");
	err = begin_term(s);
	return err < 0 ? err
		       : test_number(s, COL_FAILED, KELPIE__TEST_OP__TEST_EQ, (int64_t)number);
}

static bool has_path(const struct table_schema *t)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (t->columns[i]->id == COL_HTTP_PATH)
			return true;
	return false;
}

/* As sent, or as templated: of the protocols that have a path. Others have a resource that is none. */
static int on_path(struct filter_set *s, const struct filter *f, struct slice v)
{
	size_t n;
	const struct table_schema *const *tables = schema_tables(&n);
	int err = begin_term(s);

	(void)f;
	if (err == 0)
		err = test_text(s, COL_HTTP_PATH, v);
	for (size_t t = 0; t < n && err == 0; t++) {
		if (!(tables[t]->flags & TABLE_F_EXCHANGES) || !has_path(tables[t]))
			continue;
		err = begin_term(s);
		if (err == 0)
			err = test_text(s, COL_PROTOCOL, slice_str(tables[t]->name));
		if (err == 0)
			err = test_text(s, COL_RESOURCE, v);
	}
	return err;
}

static const struct filter filters[] = {
	{ "namespace", on_texts, { COL_CLIENT_NAMESPACE, COL_SERVER_NAMESPACE }, 0 },
	{ "pod", on_texts, { COL_CLIENT_POD, COL_SERVER_POD }, 0 },
	{ "service", on_texts, { COL_CLIENT_NAME, COL_SERVER_NAME }, 0 },
	{ "workload", on_texts, { COL_CLIENT_WORKLOAD, COL_SERVER_WORKLOAD }, 0 },
	{ "node", on_texts, { COL_CLIENT_NODE, COL_SERVER_NODE, COL_NODE }, 0 },
	{ "from", on_end, { 0 }, 0 },
	{ "to", on_end, { 1 }, 0 },
	{ "about", on_about, { 0 }, 0 },
	{ "protocol", on_texts, { COL_PROTOCOL }, 0 },
	{ "pid", on_numbers, { COL_CLIENT_PID, COL_SERVER_PID }, INT32_MAX },
	{ "port", on_numbers, { COL_CLIENT_PORT, COL_SERVER_PORT }, 65535 },
	{ "status", on_status, { 0 }, 0 },
	{ "method", on_texts, { COL_METHOD }, 0 },
	{ "path", on_path, { 0 }, 0 },
	{ "resource", on_texts, { COL_RESOURCE }, 0 },
	{ "min-latency", on_min_latency, { 0 }, 0 },
	{ "failed", on_failed, { 0 }, 0 },
};

int filter_add(struct filter_set *set, const char *name, struct slice value)
{
	const struct filter *f = filters;
	bool negate = value.n > 0 && value.p[0] == '!';
	struct slice rest = slice_from(value, negate);

	while (f < filters + ARRAY_SIZE(filters) && strcmp(f->name, name) != 0)
		f++;
	if (f == filters + ARRAY_SIZE(filters))
		return 0;
	if (set->n_clauses == FILTER_CLAUSES_MAX)
		return full(set);
	begin_clause(set, negate);
	do {
		struct slice v = slice_head(rest, slice_find(rest, ','));
		int err;

		if (v.n == 0)
			return refuse(set, name, value, "has an empty entry");
		err = f->fn(set, f, v);
		if (err < 0)
			return err;
		rest = slice_from(rest, v.n + 1);
	} while (rest.n);
	return 1;
}

int filter_add_equals(struct filter_set *set, uint16_t column, int64_t number)
{
	int err;

	if (set->n_clauses == FILTER_CLAUSES_MAX)
		return full(set);
	begin_clause(set, false);
	err = begin_term(set);
	return err < 0 ? err : test_number(set, column, KELPIE__TEST_OP__TEST_EQ, number);
}

/* Filters as predicates: comma lists are OR, several flags AND, * and ? globs; a filter that names
 * one end matches either end. What is exact becomes = or IN and what starts plainly GLOB 'x*',
 * because those are pushed down into storage.
 */
#include "cli/sqlgen.h"

#include "base/text.h"
#include "config/config.h"

#include <errno.h>

struct compile {
	struct question *q;
	enum sql_target target;
	struct strbuf *why;
	uint8_t kind;
};

static struct slice next_value(struct slice *rest)
{
	struct slice v = slice_head(*rest, slice_find(*rest, ','));

	*rest = slice_from(*rest, v.n + 1);
	return v;
}

static int refuse(struct compile *c, struct slice value, const char *what)
{
	strbuf_addf(c->why, "--%s '%.*s' %s", filter_name(c->kind), (int)MIN(value.n, (size_t)80),
		    (const char *)value.p, what);
	return -EINVAL;
}

static bool is_glob(struct slice s)
{
	return slice_find(s, '*') < s.n || slice_find(s, '?') < s.n;
}

/* SQLite's GLOB knows classes: a [ of the pattern is meant as itself. */
static void bind_glob(struct question *q, struct slice s)
{
	_cleanup_(strbuf_done) struct strbuf pattern = STRBUF_INIT(QUESTION_TEXT_MAX);

	for (size_t i = 0; i < s.n; i++)
		strbuf_addf(&pattern, s.p[i] == '[' ? "[%c]" : "%c", s.p[i]);
	question_bind_text(q, strbuf_slice(&pattern));
}

/* column IN (...) OR column GLOB ... for a list of texts. */
static int add_text(struct compile *c, const char *column, struct slice list)
{
	struct slice rest = list;
	size_t exact = 0, terms = 0, seen = 0;

	while (rest.n) {
		struct slice v = next_value(&rest);

		if (!v.n)
			return refuse(c, list, "has an empty entry");
		exact += !is_glob(v);
	}
	if (exact) {
		strbuf_addf(&c->q->sql, exact == 1 ? "%s = " : "%s IN (", column);
		for (rest = list; rest.n;) {
			struct slice v = next_value(&rest);

			if (is_glob(v))
				continue;
			strbuf_adds(&c->q->sql, seen++ ? ", " : "");
			question_bind_text(c->q, v);
		}
		strbuf_adds(&c->q->sql, exact == 1 ? "" : ")");
		terms = 1;
	}
	for (rest = list; rest.n;) {
		struct slice v = next_value(&rest);

		if (!is_glob(v))
			continue;
		strbuf_addf(&c->q->sql, "%s%s GLOB ", terms++ ? " OR " : "", column);
		bind_glob(c->q, v);
	}
	return 0;
}

static int add_numbers(struct compile *c, const char *column, struct slice list, uint64_t max)
{
	struct slice rest = list;
	size_t n = 0;

	strbuf_addf(&c->q->sql, "%s IN (", column);
	while (rest.n) {
		struct slice v = next_value(&rest);
		uint64_t number;

		if (parse_u64(v, &number) < 0 || number > max)
			return refuse(c, v, "is no such number");
		strbuf_adds(&c->q->sql, n++ ? ", " : "");
		question_bind_int(c->q, (int64_t)number);
	}
	strbuf_addch(&c->q->sql, ')');
	return 0;
}

/* (client_SUFFIX ... OR server_SUFFIX ...) */
static int either_end(struct compile *c, const char *suffix, struct slice list)
{
	_cleanup_(strbuf_done) struct strbuf column = STRBUF_INIT(128);
	int r;

	strbuf_addf(&column, "client_%s", suffix);
	r = add_text(c, strbuf_str(&column), list);
	if (r < 0)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	strbuf_reset(&column);
	strbuf_addf(&column, "server_%s", suffix);
	return add_text(c, strbuf_str(&column), list);
}

static int on_namespace(struct compile *c, struct slice v)
{
	return either_end(c, "namespace", v);
}

static int on_pod(struct compile *c, struct slice v)
{
	return either_end(c, "pod", v);
}

/* *_name is the service where there is one and the next best name elsewhere. */
static int on_service(struct compile *c, struct slice v)
{
	return either_end(c, "name", v);
}

static int on_workload(struct compile *c, struct slice v)
{
	return either_end(c, "workload", v);
}

static int on_node(struct compile *c, struct slice v)
{
	int r = either_end(c, "node", v);

	if (r < 0)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	return add_text(c, "node", v);
}

static const struct {
	const char *type, *suffix, *kind; /* kind: value of *_workload_kind, or NULL */
} ends[] = {
	{ "pod", "pod", NULL },
	{ "po", "pod", NULL },
	{ "service", "service", NULL },
	{ "svc", "service", NULL },
	{ "name", "name", NULL },
	{ "namespace", "namespace", NULL },
	{ "ns", "namespace", NULL },
	{ "node", "node", NULL },
	{ "no", "node", NULL },
	{ "workload", "workload", NULL },
	{ "deploy", "workload", "Deployment" },
	{ "deployment", "workload", "Deployment" },
	{ "sts", "workload", "StatefulSet" },
	{ "statefulset", "workload", "StatefulSet" },
	{ "ds", "workload", "DaemonSet" },
	{ "daemonset", "workload", "DaemonSet" },
	{ "job", "workload", "Job" },
	{ "cronjob", "workload", "CronJob" },
	{ "cj", "workload", "CronJob" },
	{ "comm", "comm", NULL },
	{ "addr", "addr", NULL },
	{ "ip", "addr", NULL },
	{ "container", "container", NULL },
};

/* As kubectl has it, a type may stand in the plural. */
static bool is_type(struct slice typed, const char *type)
{
	size_t n = strlen(type);

	return slice_eq_str(slice_head(typed, n), type) &&
	       (typed.n == n || (typed.n == n + 1 && typed.p[n] == 's'));
}

/* One TYPE/NAME of --from or --to; a bare NAME is the best name. */
static int add_end(struct compile *c, const char *end, struct slice v)
{
	_cleanup_(strbuf_done) struct strbuf column = STRBUF_INIT(128);
	size_t slash = slice_find(v, '/');
	const char *suffix = "name", *kind = NULL;
	struct slice name = v;
	int r;

	if (slash < v.n && !slice_starts(v, SLICE_LIT("unix:"))) {
		struct slice type = slice_head(v, slash);

		suffix = NULL;
		for (size_t i = 0; i < ARRAY_SIZE(ends) && !suffix; i++)
			if (is_type(type, ends[i].type)) {
				suffix = ends[i].suffix;
				kind = ends[i].kind;
			}
		if (!suffix)
			return refuse(
				c, v,
				"has an unknown type; known: pod, service, name, namespace, "
				"node, workload, deploy, sts, ds, job, comm, addr, container");
		name = slice_from(v, slash + 1);
		/* service/x also finds what has no Kubernetes service but that name */
		if (strcmp(suffix, "service") == 0)
			suffix = "name";
	}
	strbuf_addf(&column, "%s_%s", end, suffix);
	if (kind) {
		strbuf_addf(&c->q->sql, "(%s_workload_kind = '%s' AND ", end, kind);
		r = add_text(c, strbuf_str(&column), name);
		strbuf_addch(&c->q->sql, ')');
		return r;
	}
	return add_text(c, strbuf_str(&column), name);
}

static int add_ends(struct compile *c, const char *end, struct slice list)
{
	struct slice rest = list;
	size_t n = 0;

	while (rest.n) {
		struct slice v = next_value(&rest);
		int r;

		if (!v.n)
			return refuse(c, list, "has an empty entry");
		strbuf_adds(&c->q->sql, n++ ? " OR " : "");
		r = add_end(c, end, v);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_from(struct compile *c, struct slice v)
{
	return add_ends(c, "client", v);
}

static int on_to(struct compile *c, struct slice v)
{
	return add_ends(c, "server", v);
}

static int on_about(struct compile *c, struct slice v)
{
	int r = add_ends(c, "client", v);

	if (r < 0)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	return add_ends(c, "server", v);
}

static bool is_protocol(struct slice v)
{
	for (size_t i = 0; i < _CONFIG_PROTOCOL_MAX; i++)
		if (slice_eq_str(v, config_protocol_name((enum config_protocol)i)))
			return true;
	return slice_eq_str(v, "tls"); /* of connections */
}

/* Names of products (postgres, mariadb) would match nothing, ever. */
static int on_protocol(struct compile *c, struct slice v)
{
	struct slice rest = v;

	while (rest.n) {
		struct slice name = next_value(&rest);

		if (!name.n || is_glob(name) || is_protocol(name))
			continue;
		refuse(c, name, "is none of: ");
		for (size_t i = 0; i < _CONFIG_PROTOCOL_MAX; i++)
			strbuf_addf(c->why, "%s, ", config_protocol_name((enum config_protocol)i));
		strbuf_adds(c->why, "tls");
		return -EINVAL;
	}
	return add_text(c, "protocol", v);
}

static int on_pid(struct compile *c, struct slice v)
{
	int r = add_numbers(c, "client_pid", v, INT32_MAX);

	if (r < 0)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	r = add_numbers(c, "server_pid", v, INT32_MAX);
	if (r < 0 || c->target != SQL_CONNECTIONS)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	return add_numbers(c, "pid", v, INT32_MAX);
}

static int on_port(struct compile *c, struct slice v)
{
	int r = add_numbers(c, "client_port", v, 65535);

	if (r < 0)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	return add_numbers(c, "server_port", v, 65535);
}

/* ">=400", "<300", "!=200" */
static bool add_comparison(struct compile *c, struct slice v)
{
	static const char *const ops[] = { ">=", "<=", "!=", ">", "<", "=" };

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		int64_t number;

		if (!slice_starts(v, slice_str(ops[i])))
			continue;
		if (parse_i64(slice_from(v, strlen(ops[i])), &number) < 0)
			return false;
		strbuf_addf(&c->q->sql, "status_code %s ", ops[i]);
		question_bind_int(c->q, number);
		return true;
	}
	return false;
}

static int on_status(struct compile *c, struct slice list)
{
	struct slice rest = list;
	size_t n = 0;

	while (rest.n) {
		struct slice v = next_value(&rest);
		uint64_t number;

		strbuf_adds(&c->q->sql, n++ ? " OR " : "");
		if (v.n == 3 && v.p[0] >= '1' && v.p[0] <= '9' && (v.p[1] | 0x20) == 'x' &&
		    (v.p[2] | 0x20) == 'x') {
			strbuf_adds(&c->q->sql, "(status_code >= ");
			question_bind_int(c->q, (v.p[0] - '0') * 100);
			strbuf_adds(&c->q->sql, " AND status_code < ");
			question_bind_int(c->q, (v.p[0] - '0') * 100 + 100);
			strbuf_addch(&c->q->sql, ')');
		} else if (v.n && strchr("<>=!", v.p[0])) {
			if (!add_comparison(c, v))
				return refuse(c, v, "is no comparison; write '>=400'");
		} else if (parse_u64(v, &number) == 0 && number <= INT32_MAX) {
			strbuf_adds(&c->q->sql, "status_code = ");
			question_bind_int(c->q, (int64_t)number);
			/* a SQLSTATE such as 23505 is a text of digits without a number */
			strbuf_adds(&c->q->sql, " OR status = ");
			question_bind_text(c->q, v);
		} else if (text_is_status(v)) {
			int r = add_text(c, "status", v);

			if (r < 0)
				return r;
		} else {
			return refuse(c, v, "is no status; write " TEXT_STATUS_FORMS);
		}
	}
	return 0;
}

static int on_method(struct compile *c, struct slice v)
{
	return add_text(c, "method", v);
}

static int on_resource(struct compile *c, struct slice v)
{
	return add_text(c, "resource", v);
}

static int on_path(struct compile *c, struct slice v)
{
	int r = add_text(c, "path", v);

	if (r < 0)
		return r;
	strbuf_adds(&c->q->sql, " OR ");
	return add_text(c, "resource", v);
}

static int on_min_latency(struct compile *c, struct slice v)
{
	uint64_t ns;

	if (parse_duration_ns(v, &ns) < 0 || ns > INT64_MAX)
		return refuse(c, v, "is no duration; write 100ms, 2s");
	strbuf_adds(&c->q->sql, "latency_ns >= ");
	question_bind_int(c->q, (int64_t)ns);
	return 0;
}

static int on_failed(struct compile *c, struct slice v)
{
	(void)v;
	strbuf_adds(&c->q->sql, c->target == SQL_CONNECTIONS ? "error IS NOT NULL" : "failed = 1");
	return 0;
}

static const struct {
	int (*fn)(struct compile *c, struct slice v);
	bool connections; /* has a meaning there */
} compilers[_FILTER_MAX] = {
	[FILTER_NAMESPACE] = { on_namespace, true },
	[FILTER_POD] = { on_pod, true },
	[FILTER_SERVICE] = { on_service, true },
	[FILTER_WORKLOAD] = { on_workload, true },
	[FILTER_NODE] = { on_node, true },
	[FILTER_FROM] = { on_from, true },
	[FILTER_TO] = { on_to, true },
	[FILTER_ABOUT] = { on_about, true },
	[FILTER_PROTOCOL] = { on_protocol, true },
	[FILTER_PID] = { on_pid, true },
	[FILTER_PORT] = { on_port, true },
	[FILTER_STATUS] = { on_status, false },
	[FILTER_METHOD] = { on_method, false },
	[FILTER_PATH] = { on_path, false },
	[FILTER_RESOURCE] = { on_resource, false },
	[FILTER_MIN_LATENCY] = { on_min_latency, false },
	[FILTER_FAILED] = { on_failed, true },
};

static void add_match(struct question *q, const struct match *m, bool further)
{
	strbuf_addf(&q->sql, further ? " AND %s" : " WHERE %s", m->column);
	if (m->value) {
		strbuf_adds(&q->sql, " = ");
		question_bind_text(q, slice_str(m->value));
	} else {
		strbuf_adds(&q->sql, " IS NULL");
	}
}

int sqlgen_where(struct question *q, const struct options *o, enum sql_target target,
		 struct strbuf *why)
{
	for (size_t i = 0; i < o->n_filters; i++) {
		const struct filter *f = &o->filters[i];
		struct compile c = { .q = q, .target = target, .why = why, .kind = f->kind };
		struct slice value = slice_str(f->value);
		int r;

		if (target == SQL_CONNECTIONS && !compilers[f->kind].connections) {
			strbuf_addf(why, "--%s has no meaning for connections",
				    filter_name(f->kind));
			return -EINVAL;
		}
		if (f->kind != FILTER_FAILED && !value.n)
			return refuse(&c, value, "is empty");
		strbuf_adds(&q->sql, i ? " AND (" : " WHERE (");
		r = compilers[f->kind].fn(&c, value);
		if (r < 0)
			return r;
		/* what is unknown is not what was excluded */
		strbuf_adds(&q->sql, f->negate ? ") IS NOT TRUE" : ")");
	}
	for (size_t i = 0; i < o->n_matches; i++)
		add_match(q, &o->matches[i], o->n_filters || i);
	if (q->sql.failed) {
		strbuf_adds(why, "too many filters for one statement");
		return -EINVAL;
	}
	return 0;
}

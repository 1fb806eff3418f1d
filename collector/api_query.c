/* POST and GET /api/v1/query: one statement, run in a worker over all nodes. */
#include "collector/http.h"

#include "base/text.h"
#include "collector/audit.h"
#include "base/clock.h"
#include "collector/fan.h"
#include "collector/jsontext.h"
#include "collector/result.h"

#include <errno.h>

#define TIMEOUT_MAX_NS (300 * NSEC_PER_SEC)
#define STATUS_WAIT_NS (300 * NSEC_PER_MSEC) /* for the ledgers, at the end of an answer */
#define FAN_SHARE_PCT  85	       /* of the time is the nodes', the rest is for the answer */
#define SECONDS_LIMIT  100000000000ULL /* an integer below is no nanosecond of this century */

struct ask {
	struct request *r;
	struct strbuf sql, texts; /* texts: of parameters, by offset while they are collected */
	struct query_param params[QUERY_PARAMS_MAX];
	char *names[QUERY_PARAMS_MAX];
	size_t text_at[QUERY_PARAMS_MAX];
	size_t n_params;
	struct query_range range;
	bool has_since, has_until;
	uint64_t now_ns, timeout_ns, rows;
	enum result_format format;
	const char *wrong; /* what is wrong with the request, "" of nothing */
	const char *hint;
};

static int refuse(struct ask *a, const char *wrong, const char *hint)
{
	a->wrong = wrong;
	a->hint = hint;
	return -EINVAL;
}

static int read_time(struct ask *a, struct slice text, uint64_t *ret)
{
	uint64_t v;

	if (parse_u64(text, &v) == 0) {
		if (v != 0 && v < SECONDS_LIMIT)
			return refuse(a, "a time as a number is in nanoseconds",
				      "seconds since 1970 need nine zeros behind them");
		*ret = v;
		return 0;
	}
	if (parse_duration_ns(text, &v) == 0) {
		*ret = a->now_ns - MIN(v, a->now_ns);
		return 0;
	}
	if (parse_time(text, ret) == 0)
		return 0;
	return refuse(a, "since and until take a time or a duration",
		      "for example 2026-01-02T15:04:05Z, 5m, or integer nanoseconds");
}

static int add_param(struct ask *a, struct slice name, const struct jsontext_value *v,
		     struct slice plain)
{
	struct query_param *p = &a->params[a->n_params];
	int err = 0;

	if (a->n_params == QUERY_PARAMS_MAX)
		return refuse(a, "too many parameters", NULL);
	if (name.n == 0 || memchr(name.p, 0, name.n))
		return refuse(a, "a parameter's name is empty or has a zero byte", NULL);
	p->value = (struct value){ .kind = VALUE_TEXT };
	a->text_at[a->n_params] = a->texts.len;
	if (!v) {
		strbuf_add(&a->texts, plain.p, plain.n);
	} else if (v->kind == JSONTEXT_STRING) {
		err = jsontext_string(v, &a->texts);
	} else if (v->kind == JSONTEXT_INT || v->kind == JSONTEXT_BOOL) {
		p->value = (struct value){ .kind = VALUE_INT, .i = v->i };
	} else if (v->kind == JSONTEXT_NULL) {
		p->value.kind = VALUE_NULL;
	} else {
		return refuse(a, "a parameter is a text, an integer, a boolean or null",
			      "give other numbers as text and CAST(:name AS REAL)");
	}
	if (err < 0)
		return refuse(a, "a parameter's text does not decode", NULL);
	p->value.text.n = a->texts.len - a->text_at[a->n_params];
	a->names[a->n_params] = strndup((const char *)name.p, name.n);
	if (!a->names[a->n_params])
		return -ENOMEM;
	p->name = a->names[a->n_params++];
	return 0;
}

static int on_json_param(void *ctx, struct slice key, const struct jsontext_value *v)
{
	return add_param(ctx, key, v, slice_of(NULL, 0));
}

static int set_since(struct ask *a, struct slice v)
{
	a->has_since = true;
	return read_time(a, v, &a->range.from_ns);
}

static int set_until(struct ask *a, struct slice v)
{
	a->has_until = true;
	return read_time(a, v, &a->range.to_ns);
}

static int set_format(struct ask *a, struct slice v)
{
	a->format = result_format_parse(v);
	if (a->format == _RESULT_FORMAT_MAX)
		return refuse(a, "unknown format", "json, ndjson or csv");
	return 0;
}

static int set_timeout(struct ask *a, struct slice v)
{
	uint64_t ns;

	if (parse_duration_ns(v, &ns) < 0 || ns == 0)
		return refuse(a, "timeout takes a duration", "for example 10s");
	a->timeout_ns = MIN(ns, TIMEOUT_MAX_NS);
	return 0;
}

static int set_limit(struct ask *a, struct slice v)
{
	uint64_t rows;

	if (parse_u64(v, &rows) < 0 || rows == 0)
		return refuse(a, "limit takes a number of rows", NULL);
	a->rows = a->rows ? MIN(a->rows, rows) : rows;
	return 0;
}

static int set_sql(struct ask *a, struct slice v)
{
	if (v.n > QUERY_SQL_MAX)
		return refuse(a, "the statement is longer than 64 KiB", NULL);
	strbuf_reset(&a->sql);
	strbuf_add(&a->sql, v.p, v.n);
	return 0;
}

static const struct {
	const char *json, *get;
	int (*set)(struct ask *a, struct slice v);
	bool number; /* may be one in JSON */
} fields[] = {
	{ "sql", "q", set_sql, false },
	{ "since", "since", set_since, true },
	{ "until", "until", set_until, true },
	{ "format", "format", set_format, false },
	{ "timeout", "timeout", set_timeout, false },
	{ "limit", "limit", set_limit, true },
};

static int on_member(void *ctx, struct slice key, const struct jsontext_value *v)
{
	struct ask *a = ctx;
	struct strbuf text = STRBUF_INIT(HTTP_BODY_MAX);
	int err = 0;

	if (v->kind == JSONTEXT_NULL)
		return 0;
	if (slice_eq_str(key, "params")) {
		err = jsontext_members(v->raw, on_json_param, a);
		return err == -EBADMSG ? refuse(a, "params is an object", NULL) : err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!slice_eq_str(key, fields[i].json))
			continue;
		if (v->kind == JSONTEXT_INT && fields[i].number)
			strbuf_add(&text, v->raw.p, v->raw.n);
		else
			err = jsontext_string(v, &text);
		if (err == 0)
			err = fields[i].set(a, strbuf_slice(&text));
		else
			err = refuse(a, "a member of the request has the wrong type",
				     "sql, since, until, format and timeout are texts");
		strbuf_done(&text);
		return err;
	}
	return refuse(a, "the request has a member that is unknown",
		      "sql, since, until, params, format, timeout, limit");
}

static int read_get(struct ask *a)
{
	static const char prefix[] = "param.";
	int err = 0;

	for (size_t i = 0; i < a->r->n_params && err == 0; i++) {
		const struct http_param *p = &a->r->params[i];
		struct slice value = slice_of(p->value, p->value_n);
		size_t f = 0;

		if (strncmp(p->name, prefix, sizeof(prefix) - 1) == 0) {
			err = add_param(a, slice_str(p->name + sizeof(prefix) - 1), NULL, value);
			continue;
		}
		while (f < ARRAY_SIZE(fields) && strcmp(p->name, fields[f].get) != 0)
			f++;
		err = f < ARRAY_SIZE(fields)
			      ? fields[f].set(a, value)
			      : refuse(a, "unknown parameter",
				       "q, since, until, format, timeout, limit, param.NAME");
	}
	return err;
}

static int read_request(struct ask *a)
{
	const struct http_config *cfg = a->r->cfg;
	int err;

	a->now_ns = clock_unix_ns();
	a->timeout_ns = cfg->timeout_ns;
	a->rows = cfg->rows;
	a->range.to_ns = UINT64_MAX;
	if (strcmp(a->r->route->method, "GET") == 0) {
		err = read_get(a);
	} else {
		err = jsontext_members(strbuf_slice(&a->r->body), on_member, a);
		if (err == -EBADMSG)
			err = refuse(a, "the body is no JSON object", "{\"sql\":\"SELECT ...\"}");
	}
	if (err < 0)
		return err;
	if (a->texts.failed || a->sql.failed)
		return -ENOMEM;
	if (a->sql.len == 0)
		return refuse(a, "no statement given", "send it as \"sql\", or as q=");
	if (a->range.from_ns > a->range.to_ns)
		return refuse(a, "since is after until", NULL);
	a->range.is_default = !a->has_since && !a->has_until;
	if (a->range.is_default && cfg->default_range_ns)
		a->range.from_ns = a->now_ns - MIN(cfg->default_range_ns, a->now_ns);
	for (size_t i = 0; i < a->n_params; i++)
		a->params[i].value.text.p = (const uint8_t *)a->texts.p + a->text_at[i];
	return 0;
}

static const struct {
	const char *code;
	unsigned int status;
} statuses[] = {
	{ "not_allowed", MHD_HTTP_FORBIDDEN },
	{ "memory", MHD_HTTP_INTERNAL_SERVER_ERROR },
	{ "timeout", MHD_HTTP_GATEWAY_TIMEOUT },
	{ "cancelled", 499 },
	{ "source", MHD_HTTP_INTERNAL_SERVER_ERROR },
	{ "sink", MHD_HTTP_INTERNAL_SERVER_ERROR },
	{ "busy", MHD_HTTP_TOO_MANY_REQUESTS },
	{ "worker", MHD_HTTP_INTERNAL_SERVER_ERROR },
	{ "internal", MHD_HTTP_INTERNAL_SERVER_ERROR },
	{ "no_agents", MHD_HTTP_SERVICE_UNAVAILABLE },
	{ "agent_failed", MHD_HTTP_BAD_GATEWAY },
};

static unsigned int status_of(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (strcmp(statuses[i].code, code) == 0)
			return statuses[i].status;
	return MHD_HTTP_BAD_REQUEST;
}

/* What the nodes did says more than "the source failed". */
static void explain(const struct fan *fan, struct query_error *e)
{
	if (strcmp(e->code, "source") != 0)
		return;
	if (fan->refused) {
		snprintf(e->code, sizeof(e->code), "not_allowed");
		snprintf(e->message, sizeof(e->message),
			 "payloads are not shown through the service proxy: %s", fan->refused);
		snprintf(e->hint, sizeof(e->hint), "leave that column out of the statement");
	} else if (fan->asked_nobody) {
		snprintf(e->code, sizeof(e->code), "no_agents");
		snprintf(e->message, sizeof(e->message), "no agent is connected");
		snprintf(e->hint, sizeof(e->hint), "see kelpie status; is kelpie-agent running?");
	} else if (fan->all_failed) {
		snprintf(e->code, sizeof(e->code), "%s",
			 fan->timed_out ? "timeout" : "agent_failed");
		snprintf(e->message, sizeof(e->message), "no node answered: %.400s",
			 fan->notes.n ? fan->notes.v[0] : "unknown reason");
		snprintf(e->hint, sizeof(e->hint), "see kelpie status");
	}
}

/* Accidental losses in the range, from the ledgers as they are now. */
static void cover_losses(struct ask *a, struct query_coverage *cov)
{
	struct loss_times times;
	struct loss_cover known;

	hub_status_refresh(a->r->cfg->hub, 0, clock_mono_ns() + STATUS_WAIT_NS);
	query_coverage_times(cov, a->now_ns, &times);
	hub_losses(a->r->cfg->hub, &times, &known);
	query_coverage_epochs(cov, &known);
}

/* How it ended, for the audit: what was cut, or lacks what is known to exist, is not "ok". */
static const char *result_word(int err, const struct query_coverage *cov,
			       const struct query_error *e)
{
	if (err < 0)
		return e->code;
	if (cov->truncated)
		return "cut";
	return cov->complete || cov->begins_late ? "ok" : "incomplete";
}

static void run(struct ask *a)
{
	struct request *r = a->r;
	uint64_t start_ns = clock_mono_ns();
	struct strbuf cov_json = STRBUF_INIT(4 * MIB), error_json = STRBUF_INIT(16 * KIB);
	struct query_coverage cov = { 0 };
	struct query_error e = { .position = -1 };
	struct query_sink sink;
	struct result *res = malloc(sizeof(*res));
	struct fan fan;
	struct query q = {
		.sql = strbuf_slice(&a->sql),
		.range = a->range,
		.params = a->params,
		.n_params = a->n_params,
		.limits = { a->timeout_ns, a->rows, r->cfg->bytes, r->cfg->memory_bytes },
		.now_ns = a->now_ns,
		.reach_ns = hub_reach(r->cfg->hub),
		.cancel = &r->out->cancel,
	};
	int err;

	if (!res) {
		request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "memory", "no memory", NULL, -1);
		return;
	}
	fan_init(&fan, r->cfg->hub, start_ns + a->timeout_ns / 100 * FAN_SHARE_PCT, q.cancel);
	fan.no_payloads = r->cfg->service_proxy;
	result_init(res, r->out, a->format, start_ns + a->timeout_ns);
	sink = result_sink(res);
	err = worker_run(r->cfg->pool, &fan.source, &q, &sink, &cov, &e);
	fan_cover(&fan, &cov);
	if (err == 0)
		cover_losses(a, &cov);
	else
		explain(&fan, &e);
	query_coverage_json(&cov, &cov_json);
	if (err == 0) {
		result_finish(res, strbuf_str(&cov_json));
	} else if (!out_committed(r->out)) {
		request_error(r, status_of(e.code), e.code, e.message, e.hint, e.position);
	} else {
		query_error_json(&e, &error_json);
		result_fail(res, strbuf_str(&error_json), strbuf_str(&cov_json));
	}
	audit_query(r, q.sql, result_word(err, &cov, &e), res->rows, res->bytes,
		    clock_mono_ns() - start_ns);
	fan_done(&fan);
	result_done(res);
	free(res);
	query_coverage_done(&cov);
	strbuf_done(&cov_json);
	strbuf_done(&error_json);
}

void api_query(struct request *r)
{
	struct ask *a = calloc(1, sizeof(*a));
	int err;

	if (!a) {
		request_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "memory", "no memory", NULL, -1);
		return;
	}
	a->r = r;
	strbuf_init(&a->sql, QUERY_SQL_MAX + 1);
	strbuf_init(&a->texts, HTTP_BODY_MAX);
	err = read_request(a);
	if (err == 0) {
		run(a);
	} else {
		request_error(r, err == -ENOMEM ? 500 : MHD_HTTP_BAD_REQUEST,
			      err == -ENOMEM ? "memory" : "bad_request",
			      a->wrong ? a->wrong : "no memory", a->hint, -1);
		audit_query(r, strbuf_slice(&a->sql), "bad_request", 0, 0, 0);
	}
	for (size_t i = 0; i < a->n_params; i++)
		free(a->names[i]);
	strbuf_done(&a->sql);
	strbuf_done(&a->texts);
	free(a);
}

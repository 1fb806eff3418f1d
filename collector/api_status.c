/* /api/v1/status, /healthz, /readyz and /api/v1/control: the agents about themselves. */
#include "collector/http.h"

#include "base/text.h"
#include "collector/audit.h"
#include "base/clock.h"
#include "collector/result.h"

#include <errno.h>
#include <sys/resource.h>

#define STATUS_MAX	(8 * MIB)
#define STATUS_FRESH_NS (500 * NSEC_PER_MSEC) /* an answer this young is not asked for again */
#define STATUS_WAIT_NS	NSEC_PER_SEC
#define CONTROL_WAIT_NS (10 * NSEC_PER_SEC)

void api_healthz(struct request *r)
{
	struct strbuf b = STRBUF_INIT(KIB);

	strbuf_adds(&b, "ok\n");
	request_reply(r, MHD_HTTP_OK, "text/plain", &b);
	strbuf_done(&b);
}

void api_readyz(struct request *r)
{
	struct strbuf b = STRBUF_INIT(KIB);
	bool ready = hub_agents_connected(r->cfg->hub) > 0;

	strbuf_adds(&b, ready ? "ok\n" : "no agent is connected\n");
	request_reply(r, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", &b);
	strbuf_done(&b);
}

static void add_field_value(struct strbuf *b, const Kelpie__StatusField *f)
{
	switch (f->value_case) {
	case KELPIE__STATUS_FIELD__VALUE_TEXT:
		strbuf_add_json(b, slice_str(f->text));
		break;
	case KELPIE__STATUS_FIELD__VALUE_NUMBER:
		strbuf_addf(b, "%lld", (long long)f->number);
		break;
	case KELPIE__STATUS_FIELD__VALUE_FLAG:
		strbuf_adds(b, f->flag ? "true" : "false");
		break;
	default:
		strbuf_adds(b, "null");
	}
}

/* Bytes of the key up to the first dot, or all. */
static struct slice group_of(const Kelpie__StatusField *f)
{
	struct slice key = slice_str(f->key);

	return slice_head(key, slice_find(key, '.'));
}

static bool group_seen(const Kelpie__Status *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (slice_eq(group_of(s->fields[k]), group_of(s->fields[i])))
			return true;
	return false;
}

/* {"hook":{"rung":"x"},"paused":false}: one level of nesting, by the first dot of the key. */
static void add_fields(struct strbuf *b, const Kelpie__Status *s)
{
	bool first = true;

	strbuf_addch(b, '{');
	for (size_t i = 0; i < s->n_fields; i++) {
		struct slice group = group_of(s->fields[i]);
		bool nested = group.n < strlen(s->fields[i]->key), first_member = true;

		if (group_seen(s, i))
			continue;
		if (!first)
			strbuf_addch(b, ',');
		first = false;
		strbuf_add_json(b, group);
		strbuf_addch(b, ':');
		if (!nested) {
			add_field_value(b, s->fields[i]);
			continue;
		}
		strbuf_addch(b, '{');
		for (size_t k = i; k < s->n_fields; k++) {
			const Kelpie__StatusField *f = s->fields[k];
			struct slice rest = slice_from(slice_str(f->key), group.n + 1);

			if (!slice_eq(group_of(f), group) || rest.n == 0)
				continue;
			if (!first_member)
				strbuf_addch(b, ',');
			first_member = false;
			strbuf_add_json(b, rest);
			strbuf_addch(b, ':');
			add_field_value(b, f);
		}
		strbuf_addch(b, '}');
	}
	strbuf_addch(b, '}');
}

static void add_ledger_line(struct strbuf *b, const Kelpie__LedgerLine *l)
{
	strbuf_addf(b, "{\"hop\":%u,\"stage\":", l->hop);
	strbuf_add_json(b, slice_str(l->stage));
	strbuf_adds(b, ",\"counter\":");
	strbuf_add_json(b, slice_str(l->counter));
	strbuf_adds(b, ",\"kind\":");
	strbuf_add_json(b, slice_str(l->kind));
	strbuf_addf(b, ",\"intentional\":%d,\"unit\":", l->intentional);
	strbuf_add_json(b, slice_str(l->unit));
	strbuf_addf(b, ",\"value\":%llu}", (unsigned long long)l->value);
}

static bool same_stage(const Kelpie__LedgerLine *a, const Kelpie__LedgerLine *b)
{
	return a->hop == b->hop && strcmp(a->stage, b->stage) == 0 && strcmp(a->unit, b->unit) == 0;
}

/* in, out, held and lost of the stage that line i begins. */
static void add_balance_line(struct strbuf *b, const Kelpie__Status *s, size_t i)
{
	static const char *const kinds[] = { "in", "out", "held", "loss" };
	uint64_t sums[ARRAY_SIZE(kinds)] = { 0 };

	for (size_t k = i; k < s->n_ledger; k++)
		for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++)
			if (same_stage(s->ledger[i], s->ledger[k]) &&
			    strcmp(s->ledger[k]->kind, kinds[kind]) == 0)
				sums[kind] += s->ledger[k]->value;
	strbuf_addf(b, "{\"hop\":%u,\"stage\":", s->ledger[i]->hop);
	strbuf_add_json(b, slice_str(s->ledger[i]->stage));
	strbuf_adds(b, ",\"unit\":");
	strbuf_add_json(b, slice_str(s->ledger[i]->unit));
	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		strbuf_addf(b, ",\"%s\":%llu", kinds[kind], (unsigned long long)sums[kind]);
	strbuf_addf(b, ",\"difference\":%lld}", (long long)(sums[0] - sums[1] - sums[2] - sums[3]));
}

static void add_ledger(struct strbuf *b, const Kelpie__Status *s)
{
	bool first = true;

	strbuf_adds(b, ",\"ledger\":[");
	for (size_t i = 0; i < s->n_ledger; i++) {
		if (i)
			strbuf_addch(b, ',');
		add_ledger_line(b, s->ledger[i]);
	}
	strbuf_adds(b, "],\"balance\":[");
	for (size_t i = 0; i < s->n_ledger; i++) {
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = same_stage(s->ledger[k], s->ledger[i]);
		if (seen)
			continue;
		if (!first)
			strbuf_addch(b, ',');
		first = false;
		add_balance_line(b, s, i);
	}
	strbuf_addch(b, ']');
}

struct listing {
	struct strbuf *b;
	size_t n, ok;
	struct strbuf missing;
};

static void add_agent(void *ctx, const struct hub_agent_info *info)
{
	struct listing *l = ctx;
	char seen[36];

	format_time_utc(info->seen_unix_ns, seen);
	strbuf_adds(l->b, l->n++ ? ",{\"node\":" : "{\"node\":");
	strbuf_add_json(l->b, slice_str(info->node));
	strbuf_addf(
		l->b,
		",\"epoch\":\"%llu\",\"connected\":%s,\"responding\":%s,\"seen\":\"%s\",\"pid\":%d"
		",\"version\":",
		(unsigned long long)info->epoch, info->connected ? "true" : "false",
		info->responding ? "true" : "false", seen, (int)info->pid);
	strbuf_add_json(l->b, slice_str(info->version));
	strbuf_adds(l->b, ",\"status\":");
	if (info->status) {
		add_fields(l->b, info->status);
		add_ledger(l->b, info->status);
	} else {
		strbuf_adds(l->b, "null,\"ledger\":[],\"balance\":[]");
	}
	strbuf_addch(l->b, '}');
	if (info->responding) {
		l->ok++;
	} else {
		if (l->missing.len)
			strbuf_addch(&l->missing, ',');
		strbuf_add_json(&l->missing, slice_str(info->node));
	}
}

static void add_collector(struct strbuf *b, struct request *r)
{
	struct rusage ru = { 0 };

	getrusage(RUSAGE_SELF, &ru);
	strbuf_addf(b,
		    "\"queries\":{\"running\":%zu,\"max\":%d,\"max_per_user\":%d},"
		    "\"taps\":{\"running\":%zu,\"max\":%d},"
		    "\"collector\":{\"pid\":%d,\"listen\":",
		    http_running(r->http, HTTP_LIMIT_QUERY), HTTP_QUERIES_MAX,
		    HTTP_QUERIES_USER_MAX, http_running(r->http, HTTP_LIMIT_TAP), HTTP_TAPS_MAX,
		    (int)getpid());
	strbuf_add_json(b, slice_str(r->cfg->listener->text));
	strbuf_addf(b, ",\"memory_peak_bytes\":%ld,\"cpu_ms\":%lld}", ru.ru_maxrss * 1024L,
		    (long long)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
			    (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000);
}

/* Null where the cluster is not watched. */
static void add_cluster(struct strbuf *b, struct hub *hub)
{
	struct hub_cluster c;

	if (!hub_cluster(hub, &c)) {
		strbuf_adds(b, ",\"kubernetes\":null");
		return;
	}
	strbuf_addf(b,
		    ",\"kubernetes\":{\"synced\":%s,\"condition\":", c.synced ? "true" : "false");
	if (c.condition[0])
		strbuf_add_json(b, slice_str(c.condition));
	else
		strbuf_adds(b, "null");
	strbuf_addf(
		b,
		",\"pods\":%llu,\"services\":%llu,\"nodes\":%llu,\"names\":%llu,\"refused\":%llu}",
		(unsigned long long)c.pods, (unsigned long long)c.services,
		(unsigned long long)c.nodes, (unsigned long long)c.entities,
		(unsigned long long)c.refused);
}

void api_status(struct request *r)
{
	struct strbuf b = STRBUF_INIT(STATUS_MAX);
	struct listing l = { .b = &b };

	strbuf_init(&l.missing, MIB);
	hub_status_refresh(r->cfg->hub, STATUS_FRESH_NS, clock_mono_ns() + STATUS_WAIT_NS);
	strbuf_adds(&b, "{\"version\":\"" KELPIE_VERSION "\",\"agents\":[");
	hub_each_agent(r->cfg->hub, add_agent, &l);
	strbuf_addf(&b, "],\"ready\":%s,\"nodes\":{\"ok\":%zu,\"missing\":[%s]},",
		    l.ok ? "true" : "false", l.ok, strbuf_str(&l.missing));
	add_collector(&b, r);
	add_cluster(&b, r->cfg->hub);
	strbuf_adds(&b, "}\n");
	request_reply(r, MHD_HTTP_OK, "application/json", &b);
	strbuf_done(&l.missing);
	strbuf_done(&b);
}

static const struct {
	const char *path, *name;
	Kelpie__ControlVerb verb;
} verbs[] = {
	{ "/api/v1/control/pause", "pause", KELPIE__CONTROL_VERB__CONTROL_PAUSE },
	{ "/api/v1/control/resume", "resume", KELPIE__CONTROL_VERB__CONTROL_RESUME },
	{ "/api/v1/control/purge", "purge", KELPIE__CONTROL_VERB__CONTROL_PURGE },
};

/* The first failure, for clients that show one sentence. */
static void add_failure(struct strbuf *b, const struct hub_control_result *r)
{
	char text[HUB_NODE_MAX + 260];

	snprintf(text, sizeof(text), "%s: %s", r->node, r->message);
	strbuf_adds(b, "\"error\":{\"code\":\"agent_failed\",\"message\":");
	strbuf_add_json(b, slice_str(text));
	strbuf_adds(b, ",\"hint\":null,\"position\":null},");
}

/* Whether all have done it. */
static bool reply_control(struct request *r, const struct hub_control_result *results, size_t n)
{
	struct strbuf b = STRBUF_INIT(MIB);
	size_t failed = 0;

	while (failed < n && results[failed].ok)
		failed++;
	strbuf_addch(&b, '{');
	if (failed < n)
		add_failure(&b, &results[failed]);
	strbuf_adds(&b, "\"nodes\":[");
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(&b, i ? ",{\"node\":" : "{\"node\":");
		strbuf_add_json(&b, slice_str(results[i].node));
		strbuf_addf(&b, ",\"ok\":%s,\"message\":", results[i].ok ? "true" : "false");
		strbuf_add_json(&b, slice_str(results[i].ok ? "" : results[i].message));
		strbuf_addch(&b, '}');
	}
	strbuf_adds(&b, "]}\n");
	request_reply(r, failed < n ? MHD_HTTP_BAD_GATEWAY : MHD_HTTP_OK, "application/json", &b);
	strbuf_done(&b);
	return failed == n;
}

void api_control(struct request *r)
{
	struct hub_control_result *results = calloc(HUB_AGENTS_MAX, sizeof(*results));
	uint64_t start_ns = clock_mono_ns();
	size_t v = 0;
	int n = -ENOMEM;
	bool done = false;

	while (v < ARRAY_SIZE(verbs) && strcmp(verbs[v].path, r->route->path) != 0)
		v++;
	if (results && v < ARRAY_SIZE(verbs))
		n = hub_control(r->cfg->hub, verbs[v].verb, start_ns + CONTROL_WAIT_NS, results,
				HUB_AGENTS_MAX);
	/* Whoever asks for the status now shall see what has changed. */
	if (n > 0)
		hub_status_refresh(r->cfg->hub, 0, clock_mono_ns() + STATUS_WAIT_NS);
	if (n >= 0)
		done = reply_control(r, results, (size_t)n);
	else if (n == -ENOTCONN)
		request_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "no_agents", "no agent is connected",
			      "is kelpie-agent running?", -1);
	else
		request_error(r, MHD_HTTP_TOO_MANY_REQUESTS, "busy",
			      "other control requests are being carried out", NULL, -1);
	if (v < ARRAY_SIZE(verbs))
		audit_verb(r, verbs[v].name, done ? "ok" : "failed", 0, clock_mono_ns() - start_ns);
	free(results);
}

/* /metrics: OpenMetrics 1.0 text. */
#include "collector/http.h"

#include "base/text.h"
#include "base/clock.h"
#include "transport/gate.h"

#include <sys/resource.h>

#define METRICS_MAX	(8 * MIB)
#define STATUS_FRESH_NS NSEC_PER_SEC
#define STATUS_WAIT_NS	(500 * NSEC_PER_MSEC)

static void add_head(struct strbuf *b, const char *name, const char *type, const char *help)
{
	strbuf_addf(b, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

/* A label's value: backslash, quote and newline are escaped, what is no printable ASCII dropped. */
static void add_label(struct strbuf *b, const char *name, const char *value, bool first)
{
	strbuf_addf(b, "%s%s=\"", first ? "" : ",", name);
	for (const char *p = value; *p; p++) {
		if (*p == '\\' || *p == '"')
			strbuf_addch(b, '\\');
		if (*p == '\n')
			strbuf_adds(b, "\\n");
		else if (*p >= ' ' && *p <= '~')
			strbuf_addch(b, *p);
	}
	strbuf_addch(b, '"');
}

/* Counters of one sort: what grows (in, out, loss) apart from what is held. */
struct sort {
	struct strbuf *b;
	bool held;
};

static void add_ledger(void *ctx, const struct hub_agent_info *info)
{
	const struct sort *s = ctx;

	for (size_t i = 0; info->status && i < info->status->n_ledger; i++) {
		const Kelpie__LedgerLine *l = info->status->ledger[i];
		char hop[16];

		if ((strcmp(l->kind, "held") == 0) != s->held)
			continue;
		snprintf(hop, sizeof(hop), "%u", l->hop);
		strbuf_adds(s->b, s->held ? "kelpie_ledger_held{" : "kelpie_ledger_total{");
		add_label(s->b, "node", info->node, true);
		add_label(s->b, "hop", hop, false);
		add_label(s->b, "stage", l->stage, false);
		add_label(s->b, "counter", l->counter, false);
		if (!s->held) {
			add_label(s->b, "kind", l->kind, false);
			add_label(s->b, "intentional", l->intentional ? "1" : "0", false);
		}
		add_label(s->b, "unit", l->unit, false);
		strbuf_addf(s->b, "} %llu\n", (unsigned long long)l->value);
	}
}

static void add_up(void *ctx, const struct hub_agent_info *info)
{
	struct strbuf *b = ctx;

	strbuf_adds(b, "kelpie_agent_up{");
	add_label(b, "node", info->node, true);
	add_label(b, "version", info->version, false);
	strbuf_addf(b, "} %d\n", info->responding);
}

static uint64_t resident_bytes(int statm_fd)
{
	char text[128];
	ssize_t n = statm_fd >= 0 ? pread(statm_fd, text, sizeof(text), 0) : -1;
	struct slice s;
	uint64_t pages = 0;

	if (n <= 0)
		return 0;
	s = slice_of(text, (size_t)n); /* size resident shared ... */
	s = slice_from(s, slice_find(s, ' ') + 1);
	if (parse_u64(slice_head(s, slice_find(s, ' ')), &pages) < 0)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_process(struct strbuf *b, const struct request *r)
{
	struct rusage ru = { 0 };

	getrusage(RUSAGE_SELF, &ru);
	add_head(b, "process_cpu_seconds", "counter", "CPU time of the collector.");
	strbuf_addf(b, "process_cpu_seconds_total %lld.%06lld\n",
		    (long long)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			    (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000000,
		    (long long)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) % 1000000);
	add_head(b, "process_resident_memory_bytes", "gauge", "Resident memory of the collector.");
	strbuf_addf(b, "process_resident_memory_bytes %llu\n",
		    (unsigned long long)resident_bytes(r->cfg->statm_fd));
	add_head(b, "kelpie_queries_running", "gauge", "Queries that run now.");
	strbuf_addf(b, "kelpie_queries_running %zu\n", http_running(r->http, HTTP_LIMIT_QUERY));
	add_head(b, "kelpie_taps_running", "gauge", "Live subscriptions.");
	strbuf_addf(b, "kelpie_taps_running %zu\n", http_running(r->http, HTTP_LIMIT_TAP));
}

static void add_gate(struct strbuf *b, const struct gate_counts *c)
{
	const struct {
		const char *what;
		const _Atomic uint64_t *count;
	} ends[] = {
		{ "refused", &c->refused },
		{ "evicted", &c->evicted },
		{ "timed_out", &c->timed_out },
		{ "bad_handshake", &c->bad_handshake },
		{ "broken", &c->broken },
		{ "call_admitted", &c->calls_admitted },
		{ "call_refused", &c->calls_refused },
	};

	add_head(b, "kelpie_gate_connections_open", "gauge",
		 "Connections from the network that are open now.");
	strbuf_addf(b, "kelpie_gate_connections_open %llu\n", (unsigned long long)c->open);
	add_head(b, "kelpie_gate_connections", "counter",
		 "Connections that came from the network.");
	strbuf_addf(b, "kelpie_gate_connections_total %llu\n", (unsigned long long)c->accepted);
	add_head(b, "kelpie_gate_events", "counter", "What became of them, and of their calls.");
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		strbuf_addf(b, "kelpie_gate_events_total{what=\"%s\"} %llu\n", ends[i].what,
			    (unsigned long long)*ends[i].count);
}

void api_metrics(struct request *r)
{
	struct strbuf b = STRBUF_INIT(METRICS_MAX);

	hub_status_refresh(r->cfg->hub, STATUS_FRESH_NS, clock_mono_ns() + STATUS_WAIT_NS);
	add_head(&b, "kelpie_build", "info", "Version of the collector.");
	strbuf_adds(&b, "kelpie_build_info{version=\"" KELPIE_VERSION "\"} 1\n");
	add_head(&b, "kelpie_agent_up", "gauge", "Whether the node's agent answers.");
	hub_each_agent(r->cfg->hub, add_up, &b);
	add_head(&b, "kelpie_ledger", "counter",
		 "What came in, went out and was lost at each hop, by node and epoch.");
	hub_each_agent(r->cfg->hub, add_ledger, &(struct sort){ &b, false });
	add_head(&b, "kelpie_ledger_held", "gauge", "What each hop holds now.");
	hub_each_agent(r->cfg->hub, add_ledger, &(struct sort){ &b, true });
	if (r->cfg->gate)
		add_gate(&b, r->cfg->gate);
	add_process(&b, r);
	strbuf_adds(&b, "# EOF\n");
	request_reply(r, MHD_HTTP_OK, "application/openmetrics-text; version=1.0.0; charset=utf-8",
		      &b);
	strbuf_done(&b);
}

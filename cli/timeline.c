#include "cli/timeline.h"

#include "cli/format.h"

#define LABEL_COLUMNS 20 /* name, duration and the gaps around them */
#define BAR_MIN	      10

struct phase {
	const char *name;
	int64_t from_ns, to_ns; /* -1: not known */
};

static void add_phase(const struct phase *p, int64_t total_ns, size_t bar, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf took = STRBUF_INIT(64);
	size_t from = (size_t)((double)p->from_ns / (double)total_ns * (double)bar);
	size_t to = (size_t)((double)p->to_ns / (double)total_ns * (double)bar);

	format_duration((uint64_t)(p->to_ns - p->from_ns), &took);
	from = MIN(from, bar - 1); /* what is short is seen too */
	to = MIN(MAX(to, from + 1), bar);
	strbuf_addf(out, "%-8s %9s  %*s", p->name, strbuf_str(&took), (int)from, "");
	for (size_t i = from; i < to; i++)
		strbuf_addch(out, '#');
	strbuf_addch(out, '\n');
}

void timeline_add(const struct timeline *t, size_t width, struct strbuf *out)
{
	/* a response may begin while the request is still being sent: then nobody waits */
	const struct phase phases[] = {
		{ "request", 0, t->request_ns },
		{ "wait", t->request_ns, t->ttfb_ns },
		{ "response", t->ttfb_ns, t->latency_ns },
	};
	int64_t total_ns = MAX(MAX(t->request_ns, t->ttfb_ns), MAX(t->latency_ns, (int64_t)1));
	size_t bar = TIMELINE_BAR_MAX;

	if (width)
		bar = MIN(bar, MAX(width, (size_t)(LABEL_COLUMNS + BAR_MIN)) - LABEL_COLUMNS);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (phases[i].from_ns >= 0 && phases[i].to_ns >= phases[i].from_ns)
			add_phase(&phases[i], total_ns, bar, out);
}

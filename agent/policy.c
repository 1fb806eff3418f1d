#include "agent/policy.h"

#include "query/regex.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>

static int allow_headers(struct policy *p, const struct config *cfg, char *why, size_t cap)
{
	for (size_t i = 0; i < cfg->redaction.headers_allow.n; i++) {
		const char *name = cfg->redaction.headers_allow.items[i];
		int r = redact_allow_header(&p->redact, name);

		if (r == 0)
			continue;
		snprintf(why, cap, "redaction.headersAllow: %s: %s", name,
			 r == -EPERM	? "this header is never kept; take it off the list"
			 : r == -ENOSPC ? "the list is too long"
					: "this is no header name");
		return -EINVAL;
	}
	return 0;
}

static int compile_patterns(struct policy *p, const struct config *cfg, char *why, size_t cap)
{
	for (size_t i = 0; i < cfg->redaction.patterns.n; i++) {
		const char *pattern = cfg->redaction.patterns.items[i];
		struct regex_error err;
		int r = regex_new(slice_str(pattern), &p->patterns[i], &err);

		if (r < 0) {
			snprintf(why, cap, "redaction.patterns: %s: %s at position %zu", pattern,
				 r == -EINVAL ? err.message : "no memory",
				 r == -EINVAL ? err.position : 0);
			return r;
		}
		p->n_patterns++;
	}
	return 0;
}

int policy_init(struct policy *p, const struct config *cfg, char *why, size_t cap)
{
	int r;

	*p = (struct policy){ .cfg = cfg };
	redact_policy_init(&p->redact);
	if (!cfg)
		return 0;
	r = allow_headers(p, cfg, why, cap);
	return r < 0 ? r : compile_patterns(p, cfg, why, cap);
}

void policy_done(struct policy *p)
{
	for (size_t i = 0; i < p->n_patterns; i++)
		regex_free(p->patterns[i]);
	p->n_patterns = 0;
}

static bool listed(const struct config_list *l, const char *comm)
{
	for (size_t i = 0; i < l->n; i++)
		if (fnmatch(l->items[i], comm, 0) == 0)
			return true;
	return false;
}

const char *policy_refuses_command(const struct policy *p, const char *comm)
{
	if (!p->cfg || !*comm)
		return NULL;
	if (listed(&p->cfg->capture.deny, comm))
		return "denied by capture.deny";
	if (p->cfg->capture.allow.n && !listed(&p->cfg->capture.allow, comm))
		return "not in capture.allow";
	return NULL;
}

/* Which key switches a protocol off, and what is said of its connections then. */
static const struct {
	uint8_t key; /* enum config_protocol */
	const char *why;
} switches[_PROTO_MAX] = {
	[PROTO_HTTP1] = { CONFIG_HTTP, "switched off by capture.protocols.http.enabled" },
	[PROTO_PGSQL] = { CONFIG_PGSQL, "switched off by capture.protocols.pgsql.enabled" },
	[PROTO_MYSQL] = { CONFIG_MYSQL, "switched off by capture.protocols.mysql.enabled" },
	[PROTO_REDIS] = { CONFIG_REDIS, "switched off by capture.protocols.redis.enabled" },
	[PROTO_DNS] = { CONFIG_DNS, "switched off by capture.protocols.dns.enabled" },
};

const char *policy_refuses_protocol(const struct policy *p, enum proto_id id)
{
	if (!p->cfg || !switches[id].why || p->cfg->capture.protocols[switches[id].key])
		return NULL;
	return switches[id].why;
}

bool policy_masks(const struct policy *p, struct slice text)
{
	for (size_t i = 0; i < p->n_patterns; i++)
		if (regex_match(p->patterns[i], text))
			return true;
	return false;
}

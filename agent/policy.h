/* What the configuration allows to be captured and kept: which commands are watched, which
 * protocols are read, what is masked. Made from the configuration once, at the start of a pipeline.
 */
#ifndef AGENT_POLICY_H
#define AGENT_POLICY_H

#include "config/config.h"
#include "protocols/proto_id.h"
#include "protocols/redact.h"

struct regex;

struct policy {
	struct redact_policy redact;
	struct regex *patterns[CONFIG_LIST_MAX]; /* texts in which one matches are masked whole */
	size_t n_patterns;
	const struct config *cfg; /* borrowed; NULL: the defaults */
};

/* 0; -EINVAL with a sentence in why (cap bytes) when the configuration is wrong; -ENOMEM. */
int policy_init(struct policy *p, const struct config *cfg, char *why, size_t cap);
void policy_done(struct policy *p);

/* NULL, or why connections of this command are not read (a literal). */
const char *policy_refuses_command(const struct policy *p, const char *comm);
const char *policy_refuses_protocol(const struct policy *p, enum proto_id id);
/* Whether one of the configured patterns is in the text. */
bool policy_masks(const struct policy *p, struct slice text);

#endif

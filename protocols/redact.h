/* What is taken out of captured text before anything is stored (hop 6). Pure functions; where text
 * has to change it is written to the caller's buffer, otherwise the input itself is returned, so
 * that the common case copies nothing. Linear in the length of the text.
 *
 * Marks: `?` for a query value or a quoted literal, `<12 bytes>` for the value of a header that is
 * not on the list, `<REDACTED>` for one that never is, `<REDACTED_KIND>` for a secret found in
 * text.
 */
#ifndef PROTOCOLS_REDACT_H
#define PROTOCOLS_REDACT_H

#include "base/slice.h"

#define REDACT_NAMES_MAX 96 /* names on one list */
#define REDACT_SLOTS	 256

/* Names compared with ASCII case folded. */
struct redact_list {
	const char *slots[REDACT_SLOTS]; /* borrowed for the life of the list */
	uint8_t lens[REDACT_SLOTS];
	size_t n;
};

struct redact_policy {
	struct redact_list headers; /* header names whose values are kept */
	struct redact_list queries; /* query keys whose values are kept */
};

/* The built-in lists. */
void redact_policy_init(struct redact_policy *p);
/* Adds a name: 0; -ENOSPC when REDACT_NAMES_MAX are there; -EINVAL when empty or over 64 bytes;
 * -EPERM for a header or key that may never be kept. name: borrowed for the life of the policy. */
int redact_allow_header(struct redact_policy *p, const char *name);
int redact_allow_query(struct redact_policy *p, const char *key);
/* Whether the header may never be kept, whatever the configuration says. */
bool redact_header_is_secret(struct slice name);

/* Where the parts of a request target are; absent ones are empty. host is without user information.
 * form: as in RFC 9112 section 3.2. */
enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

struct target {
	enum target_form form;
	struct slice scheme, host, path,
		query; /* query: without '?'; a fragment belongs to neither */
};

struct target target_split(struct slice s);

/* Of a header's values. None: their length is shown. */
enum redact_header {
	REDACT_HEADER_SHOWN = 1,  /* as text without secrets */
	REDACT_HEADER_SECRET = 2, /* nothing of it */
	REDACT_HEADER_HOST = 4,	  /* an authority, whose user and password go first */
};

/* Each returns the text to store: s itself, or what was written to buf (cap bytes; longer is cut).
 */
struct slice redact_header_value(const struct redact_policy *p, struct slice name, struct slice s,
				 void *buf, size_t cap);
/* The same in two steps, for whoever remembers what a name says of its values: bits of enum
 * redact_header. */
uint8_t redact_header_rule(const struct redact_policy *p, struct slice name);
struct slice redact_header_by(uint8_t rule, struct slice s, void *buf, size_t cap);
/* The keys of a query string, values as `?` except those on the list. */
struct slice redact_query(const struct redact_policy *p, struct slice s, void *buf, size_t cap);
/* A path as sent, with segments masked that look like secrets. */
/* A Host header or an authority without the user in front of it. */
struct slice redact_host(struct slice s);
struct slice redact_path(struct slice s, void *buf, size_t cap);
/* Any other text that is kept: card numbers, e-mail addresses, tokens, keys, bank accounts and
 * values of names like `password` are masked. */
struct slice redact_text(struct slice s, void *buf, size_t cap);
/* A message of a database: what it quotes is removed as well, up to the message's end where that may
 * be part of it; names are kept whose kind the server says (redact_error.c). */
struct slice redact_error(struct slice s, void *buf, size_t cap);

#endif

/* Finding secrets in text by their form. Words are runs of letters and digits; each detector looks
 * at a word and what stands around it, within a bounded distance, so a pass is linear.
 */
#ifndef PROTOCOLS_SECRETS_H
#define PROTOCOLS_SECRETS_H

#include "base/slice.h"

/* SECRET_IN_PATH: also long random-looking runs, which in running text are too often harmless. */
enum secret_place { SECRET_IN_TEXT, SECRET_IN_PATH };

/* Output that stops at cap. */
struct secret_out {
	uint8_t *p;
	size_t cap, n;
};

void secret_put(struct secret_out *out, struct slice s);
/* s with each secret replaced by its mark. */
void secret_put_masked(struct secret_out *out, struct slice s, enum secret_place place);
/* Whether there is any. */
bool secret_find(struct slice s, enum secret_place place);
/* At most max leading bytes of s, fewer where a secret would be cut in two: the part of one may be known
 * for none any more. */
struct slice secret_safe_head(struct slice s, size_t max, enum secret_place place);
/* Whether a name says that its value is secret: password, token, signature, ... */
bool secret_is_key_name(struct slice name);

#endif

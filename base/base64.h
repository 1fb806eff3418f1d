/* Base64 with padding (RFC 4648 section 4). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/strbuf.h"

void base64_put(struct strbuf *out, struct slice in);
/* Appends the bytes of the whole of in. 0, or -EBADMSG when it is no base64 (out then holds a
 * part). */
int base64_get(struct strbuf *out, struct slice in);

#endif

#include "base/base64.h"

#include <errno.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct strbuf *out, struct slice in)
{
	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = MIN(in.n - i, (size_t)3);
		uint32_t v = (uint32_t)in.p[i] << 16 | (uint32_t)(left > 1 ? in.p[i + 1] : 0) << 8 |
			     (uint32_t)(left > 2 ? in.p[i + 2] : 0);

		strbuf_addch(out, digits[v >> 18]);
		strbuf_addch(out, digits[v >> 12 & 63]);
		strbuf_addch(out, left > 1 ? digits[v >> 6 & 63] : '=');
		strbuf_addch(out, left > 2 ? digits[v & 63] : '=');
	}
}

static int value_of(uint8_t c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

int base64_get(struct strbuf *out, struct slice in)
{
	if (in.n % 4)
		return -EBADMSG;
	for (size_t i = 0; i < in.n; i += 4) {
		bool last = i + 4 == in.n;
		size_t pad = last ? (size_t)((in.p[i + 3] == '=') + (in.p[i + 2] == '=')) : 0;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : value_of(in.p[i + k]);

			if (d < 0)
				return -EBADMSG;
			v = v << 6 | (uint32_t)d;
		}
		for (size_t k = 0; k < 3 - pad; k++)
			strbuf_addch(out, (char)(v >> (16 - 8 * k)));
	}
	return 0;
}

#include "protocols/redis/resp.h"

#define DIGITS_MAX 18

enum resp_got resp_number(struct slice s, int64_t *ret, size_t *ret_n)
{
	size_t i = 1, first;
	int64_t v = 0;
	bool minus;

	if (s.n < 2)
		return RESP_MORE;
	if (s.p[1] == '?') {
		v = RESP_STREAMED;
		i = 2;
	} else {
		minus = s.p[1] == '-';
		first = i += minus;
		for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
			if (i - first == DIGITS_MAX)
				return RESP_BAD;
			v = v * 10 + (s.p[i] - '0');
		}
		if (i == first && i < s.n)
			return RESP_BAD;
		v = minus ? -v : v;
	}
	if (i < s.n && s.p[i] != '\r')
		return RESP_BAD;
	if (i + 1 >= s.n)
		return RESP_MORE;
	if (s.p[i + 1] != '\n')
		return RESP_BAD;
	*ret = v;
	*ret_n = i + 2;
	return RESP_OK;
}

enum resp_got resp_bulk(struct slice s, size_t max, struct slice *ret, size_t *ret_n)
{
	enum resp_got got;
	int64_t len;
	size_t n;

	if (s.n == 0)
		return RESP_MORE;
	if (s.p[0] != '$')
		return RESP_BAD;
	got = resp_number(s, &len, &n);
	if (got != RESP_OK)
		return got;
	if (len < 0 || (uint64_t)len > max)
		return RESP_BAD;
	s = slice_from(s, n);
	if (s.n < (size_t)len + 2)
		return RESP_MORE;
	if (s.p[len] != '\r' || s.p[len + 1] != '\n')
		return RESP_BAD;
	*ret = slice_of(s.p, (size_t)len);
	*ret_n = n + (size_t)len + 2;
	return RESP_OK;
}

bool resp_word(struct slice s, size_t max, char *out)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c >= 'a' && c <= 'z')
			c = (uint8_t)(c & 0xdf);
		else if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
			   c == '-' || c == '_' || c == '|'))
			return false;
		out[i] = (char)c;
	}
	return true;
}

bool resp_count(struct slice s, uint32_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 10)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (v > INT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

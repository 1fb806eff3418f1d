#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

static int read_number(const char *s, size_t n, unsigned int base, uint64_t *ret)
{
	uint64_t v = 0;

	if (n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		unsigned int d = (unsigned int)digit_value(s[i]);

		if (d >= base)
			return -EINVAL;
		if (v > (UINT64_MAX - d) / base)
			return -ERANGE;
		v = v * base + d;
	}
	*ret = v;
	return 0;
}

int text_u64(const char *s, size_t n, uint64_t *ret)
{
	return read_number(s, n, 10, ret);
}

int text_hex(const char *s, size_t n, uint64_t *ret)
{
	return read_number(s, n, 16, ret);
}

uint64_t text_option(const char *option, const char *value, uint64_t max)
{
	uint64_t v = 0;

	if (text_u64(value, strlen(value), &v) < 0 || v > max) {
		fprintf(stderr, "%s wants a number up to %llu, not '%s'\n", option,
			(unsigned long long)max, value);
		exit(2);
	}
	return v;
}

size_t text_put_u64(char *out, uint64_t v)
{
	char tmp[20];
	size_t n = 0;

	do {
		tmp[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	for (size_t i = 0; i < n; i++)
		out[i] = tmp[n - 1 - i];
	return n;
}

/* Small text helpers of the load tools: decimal numbers and key=value lists, nothing else. */
#ifndef TESTS_E2E_LOAD_TEXT_H
#define TESTS_E2E_LOAD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a decimal number that fills s[0..n). Returns 0, -EINVAL (not all digits, empty) or -ERANGE.
 */
int text_u64(const char *s, size_t n, uint64_t *ret);

/* The same for hexadecimal digits without prefix. */
int text_hex(const char *s, size_t n, uint64_t *ret);

/* Option values: exits with 2 and a message naming the option when the text is no number <= max. */
uint64_t text_option(const char *option, const char *value, uint64_t max);

/* Writes v in decimal at out (room for 20 characters needed). Returns the length; no terminator. */
size_t text_put_u64(char *out, uint64_t v);

/* splitmix64: the one source of "randomness"; the same sequence number gives the same exchange. */
static inline uint64_t text_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

#endif

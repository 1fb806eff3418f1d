/* Text: UTF-8, numbers, addresses, hexadecimal. No locale anywhere. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/slice.h"

/* Length of the valid UTF-8 character at the start of s (1..4); 0 when s is empty or the bytes are
 * no shortest-form UTF-8 (RFC 3629). */
size_t utf8_len(struct slice s);

/* Whole of s as decimal, no sign, no spaces. 0, or -EINVAL (no digits), or -ERANGE; *ret untouched
 * on failure. */
int parse_u64(struct slice s, uint64_t *ret);
/* The same with an optional leading '-' or '+'. */
int parse_i64(struct slice s, int64_t *ret);

/* A duration such as 500ms, 10s, 5m, 2h, 7d, 1h30m, in nanoseconds; a bare 0 is one too.
 * 0, -EINVAL, or -ERANGE. */
int parse_duration_ns(struct slice s, uint64_t *ret);
/* A size such as 512, 64KiB, 10MiB, 2GiB, 1MB (10^6), in bytes. 0, -EINVAL, or -ERANGE. */
int parse_size_bytes(struct slice s, uint64_t *ret);

#define ADDR_TEXT_MAX 46 /* bytes with NUL: INET6_ADDRSTRLEN */

/* addr: 16 bytes, IPv4 as the mapped form ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), written as
 * plain IPv4; IPv6 as RFC 5952. out: ADDR_TEXT_MAX bytes. Returns the length. */
size_t format_addr(const uint8_t addr[16], char *out);

#define UNIX_ADDR_TEXT_MAX 440 /* bytes with NUL: "unix:" and 108 bytes as \xNN */

/* name: sun_path of a UNIX socket as it was bound (unix(7)): a path, perhaps with the NUL behind it, or
 * an abstract name with the NUL before it. Written as unix:/path or unix:@name, "unix:" for a socket
 * without name; what is not printable ASCII as \xNN. At most 108 bytes are looked at. out:
 * UNIX_ADDR_TEXT_MAX bytes. Returns the length. */
size_t format_unix_addr(struct slice name, char *out);

/* Lower-case hexadecimal of n bytes into out (2 * n + 1 bytes, with NUL). */
void format_hex(const uint8_t *p, size_t n, char *out);

/* RFC 3339 with nanoseconds in UTC ("2026-01-02T03:04:05.000000006Z") into out (36 bytes). */
void format_time_utc(uint64_t unix_ns, char *out);
/* RFC 3339 text to unix nanoseconds: date, 'T' or space, time, optional fraction, Z or +hh:mm;
 * a date alone is midnight UTC. 0 or -EINVAL. Years 1970 to 2262. */
int parse_time(struct slice s, uint64_t *ret_unix_ns);

/* Whether a text can be the status of an exchange in some protocol, or a pattern (* and ?) of one: a
 * number, a SQLSTATE, a name in capitals such as OK, NOT_FOUND, NXDOMAIN, WRONGTYPE. "5xx" and
 * comparisons are none. */
#define TEXT_STATUS_FORMS "404, 5xx, '>=400', 42P01, NXDOMAIN or a pattern such as 'WRONG*'"
bool text_is_status(struct slice s);

/* Edit distance of two names, case folded (ASCII), for "did you mean"; SIZE_MAX when one is longer
 * than 64 bytes. */
size_t text_distance(const char *a, const char *b);

#endif

#include "base/text.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

size_t utf8_len(struct slice s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t cp;
	size_t n;

	if (!s.n)
		return 0;
	if (s.p[0] < 0x80)
		return 1;
	n = s.p[0] >= 0xf0 ? 4 : s.p[0] >= 0xe0 ? 3 : 2;
	if (s.p[0] < 0xc2 || s.p[0] > 0xf4 || s.n < n)
		return 0;
	cp = s.p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s.p[i] & 0x3f);
	}
	if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	return n;
}

int parse_u64(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s.n)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		if (ckd_mul(&v, v, (uint64_t)10) || ckd_add(&v, v, (uint64_t)(s.p[i] - '0')))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int parse_i64(struct slice s, int64_t *ret)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t v;
	int r;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s = slice_from(s, 1);
	r = parse_u64(s, &v);
	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* Sums runs of NUMBER UNIT; a fraction is allowed ("1.5s"). */
static int parse_units(struct slice s, const struct unit *units, size_t n_units, uint64_t *ret)
{
	uint64_t sum = 0;
	size_t i = 0;

	if (!s.n)
		return -EINVAL;
	while (i < s.n) {
		const struct unit *unit = NULL;
		uint64_t whole = 0, part = 0, part_of = 1, v;
		size_t start = i, word;

		for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			if (ckd_mul(&whole, whole, (uint64_t)10) ||
			    ckd_add(&whole, whole, (uint64_t)(s.p[i] - '0')))
				return -ERANGE;
		if (i == start)
			return -EINVAL;
		if (i < s.n && s.p[i] == '.')
			for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
				if (part_of < 1000000000ULL) {
					part = part * 10 + (uint64_t)(s.p[i] - '0');
					part_of *= 10;
				}
		for (word = i; i < s.n && (s.p[i] < '0' || s.p[i] > '9'); i++)
			;
		for (size_t k = 0; k < n_units && !unit; k++)
			if (slice_eq_str(slice_of(s.p + word, i - word), units[k].name))
				unit = &units[k];
		if (!unit)
			return -EINVAL;
		if (ckd_mul(&v, whole, unit->factor) ||
		    ckd_add(&v, v, (uint64_t)((__uint128_t)part * unit->factor / part_of)) ||
		    ckd_add(&sum, sum, v))
			return -ERANGE;
	}
	*ret = sum;
	return 0;
}

int parse_duration_ns(struct slice s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "ns", 1 },
		{ "us", NSEC_PER_USEC },
		{ "ms", NSEC_PER_MSEC },
		{ "s", NSEC_PER_SEC },
		{ "m", 60 * NSEC_PER_SEC },
		{ "h", 3600 * NSEC_PER_SEC },
		{ "d", 86400 * NSEC_PER_SEC },
		{ "w", 7 * 86400 * NSEC_PER_SEC },
	};

	if (slice_eq_str(s, "0")) {
		*ret = 0;
		return 0;
	}
	return parse_units(s, units, ARRAY_SIZE(units), ret);
}

int parse_size_bytes(struct slice s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "KiB", KIB },
		{ "MiB", MIB },
		{ "GiB", 1024 * MIB },
		{ "TiB", 1024 * 1024 * MIB },
		{ "Ki", KIB },
		{ "Mi", MIB },
		{ "Gi", 1024 * MIB },
		{ "KB", 1000 },
		{ "MB", 1000000 },
		{ "GB", 1000000000 },
		{ "k", 1000 },
		{ "K", KIB },
		{ "M", MIB },
		{ "G", 1024 * MIB },
	};

	return parse_units(s, units, ARRAY_SIZE(units), ret);
}

size_t format_addr(const uint8_t addr[16], char *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	out[0] = 0;
	if (memcmp(addr, mapped, sizeof(mapped)) == 0)
		inet_ntop(AF_INET, addr + 12, out, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, addr, out, ADDR_TEXT_MAX);
	return strlen(out);
}

#define UNIX_NAME_MAX 108 /* bytes of sun_path */

size_t format_unix_addr(struct slice name, char *out)
{
	size_t n = sizeof("unix:") - 1;

	memcpy(out, "unix:", n);
	name = slice_head(name, UNIX_NAME_MAX);
	if (name.n && !name.p[0]) {
		out[n++] = '@';
		name = slice_from(name, 1);
	} else {
		name = slice_head(name, slice_find(name, 0));
	}
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (c > ' ' && c < 0x7f && c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		format_hex(&c, 1, out + n);
		n += 2;
	}
	out[n] = 0;
	return n;
}

void format_hex(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = 0;
}

void format_time_utc(uint64_t unix_ns, char *out)
{
	time_t sec = (time_t)(unix_ns / NSEC_PER_SEC);
	struct tm tm;

	gmtime_r(&sec, &tm);
	strftime(out, 21, "%Y-%m-%dT%H:%M:%S.", &tm);
	for (uint64_t unit = NSEC_PER_SEC / 10, at = 20; unit; unit /= 10, at++)
		out[at] = (char)('0' + unix_ns / unit % 10);
	memcpy(out + 29, "Z", 2);
}

/* Exactly n digits at *at; -1 otherwise. */
static int digits(struct slice s, size_t *at, size_t n)
{
	int v = 0;

	if (*at + n > s.n)
		return -1;
	for (size_t end = *at + n; *at < end; ++*at) {
		if (s.p[*at] < '0' || s.p[*at] > '9')
			return -1;
		v = v * 10 + (s.p[*at] - '0');
	}
	return v;
}

static bool take(struct slice s, size_t *at, const char *any)
{
	if (*at >= s.n || !strchr(any, s.p[*at]) || !s.p[*at])
		return false;
	++*at;
	return true;
}

/* "+hh:mm", "-hh:mm", "Z" or nothing (UTC), in seconds east; -EINVAL. */
static int parse_zone(struct slice s, size_t *at, int *ret_seconds)
{
	int sign, hours, minutes;

	*ret_seconds = 0;
	if (*at == s.n || take(s, at, "Zz"))
		return 0;
	sign = s.p[*at] == '-' ? -1 : 1;
	if (!take(s, at, "+-"))
		return -EINVAL;
	hours = digits(s, at, 2);
	(void)take(s, at, ":");
	minutes = digits(s, at, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return 0;
}

int parse_time(struct slice s, uint64_t *ret_unix_ns)
{
	static const int days_in[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct tm tm = { 0 };
	size_t at = 0;
	uint32_t ns = 0;
	int year, zone = 0;
	time_t sec;

	year = digits(s, &at, 4);
	if (year < 1970 || year > 2261 || !take(s, &at, "-"))
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = digits(s, &at, 2) - 1;
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || !take(s, &at, "-"))
		return -EINVAL;
	tm.tm_mday = digits(s, &at, 2);
	if (tm.tm_mday < 1 || tm.tm_mday > days_in[tm.tm_mon])
		return -EINVAL;
	if (at < s.n) {
		if (!take(s, &at, "Tt "))
			return -EINVAL;
		tm.tm_hour = digits(s, &at, 2);
		if (tm.tm_hour < 0 || tm.tm_hour > 23 || !take(s, &at, ":"))
			return -EINVAL;
		tm.tm_min = digits(s, &at, 2);
		if (tm.tm_min < 0 || tm.tm_min > 59)
			return -EINVAL;
		if (take(s, &at, ":")) {
			tm.tm_sec = digits(s, &at, 2);
			if (tm.tm_sec < 0 || tm.tm_sec > 60)
				return -EINVAL;
		}
		if (take(s, &at, ".")) {
			uint32_t unit = 100000000;

			for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, unit /= 10)
				ns += unit * (uint32_t)(s.p[at] - '0');
		}
		if (parse_zone(s, &at, &zone) < 0)
			return -EINVAL;
	}
	if (at != s.n)
		return -EINVAL;
	sec = timegm(&tm) - zone;
	if (sec < 0)
		return -EINVAL;
	*ret_unix_ns = (uint64_t)sec * NSEC_PER_SEC + ns;
	return 0;
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

size_t text_distance(const char *a, const char *b)
{
	size_t row[65], n = strlen(b), diagonal, above;

	if (strlen(a) > 64 || n > 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			above = row[j];
			row[j] = MIN(MIN(above, row[j - 1]) + 1,
				     diagonal + (fold(a[i - 1]) != fold(b[j - 1])));
			diagonal = above;
		}
	}
	return row[n];
}

#define SQLSTATE_CHARS 5

bool text_is_status(struct slice s)
{
	size_t digits = 0;
	bool pattern = false;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool digit = c >= '0' && c <= '9';

		digits += digit;
		pattern |= c == '*' || c == '?';
		if (!digit && !(c >= 'A' && c <= 'Z') && !(c && strchr("*?_-", c)))
			return false;
	}
	/* What begins with a digit and is no number is a SQLSTATE. */
	return s.n && s.p[0] != '-' &&
	       (pattern || digits == s.n || s.n == SQLSTATE_CHARS || s.p[0] < '0' || s.p[0] > '9');
}

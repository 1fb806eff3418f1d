#include "cli/screen.h"

#include "base/text.h"

#include <sys/ioctl.h>

struct range {
	uint32_t first, last;
};

/* Unicode 15, East Asian Width W and F, in coarse blocks; what is wrongly wide only loses a column.
 */
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },	  { 0x23e9, 0x23ec },
	{ 0x23f0, 0x23f0 },   { 0x23f3, 0x23f3 },   { 0x25fd, 0x25fe },	  { 0x2614, 0x2615 },
	{ 0x2648, 0x2653 },   { 0x267f, 0x267f },   { 0x2693, 0x2693 },	  { 0x26a1, 0x26a1 },
	{ 0x26aa, 0x26ab },   { 0x26bd, 0x26be },   { 0x26c4, 0x26c5 },	  { 0x26ce, 0x26ce },
	{ 0x26d4, 0x26d4 },   { 0x26ea, 0x26ea },   { 0x26f2, 0x26f3 },	  { 0x26f5, 0x26f5 },
	{ 0x26fa, 0x26fa },   { 0x26fd, 0x26fd },   { 0x2705, 0x2705 },	  { 0x270a, 0x270b },
	{ 0x2728, 0x2728 },   { 0x274c, 0x274c },   { 0x274e, 0x274e },	  { 0x2753, 0x2755 },
	{ 0x2757, 0x2757 },   { 0x2795, 0x2797 },   { 0x27b0, 0x27b0 },	  { 0x27bf, 0x27bf },
	{ 0x2b1b, 0x2b1c },   { 0x2b50, 0x2b50 },   { 0x2b55, 0x2b55 },	  { 0x2e80, 0x303e },
	{ 0x3041, 0x33ff },   { 0x3400, 0x4dbf },   { 0x4e00, 0xa4cf },	  { 0xa960, 0xa97f },
	{ 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe10, 0xfe19 },	  { 0xfe30, 0xfe6f },
	{ 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },   { 0x16fe0, 0x18cff }, { 0x1aff0, 0x1b2ff },
	{ 0x1f004, 0x1f004 }, { 0x1f0cf, 0x1f0cf }, { 0x1f18e, 0x1f18e }, { 0x1f191, 0x1f19a },
	{ 0x1f200, 0x1f320 }, { 0x1f32d, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f7e0, 0x1f7eb },
	{ 0x1f90c, 0x1f9ff }, { 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
};

/* Never shown: controls, what reorders or hides text, what changes the character before, what has
 * no assigned form. */
static const struct range unprintable[] = {
	{ 0x00, 0x1f },	      { 0x7f, 0x9f },	    { 0xad, 0xad },	   { 0x034f, 0x034f },
	{ 0x061c, 0x061c },   { 0x070f, 0x070f },   { 0x115f, 0x1160 },	   { 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f },   { 0x200b, 0x200f },   { 0x2028, 0x202e },	   { 0x2060, 0x206f },
	{ 0x3164, 0x3164 },   { 0xe000, 0xf8ff },   { 0xfe00, 0xfe0f },	   { 0xfeff, 0xfeff },
	{ 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },   { 0xfffe, 0xffff },	   { 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a }, { 0x1f3fb, 0x1f3ff }, { 0xe0000, 0x10ffff },
};

static const struct range combining[] = {
	{ 0x0300, 0x034e }, { 0x0350, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd },
	{ 0x05bf, 0x05bf }, { 0x05c1, 0x05c2 }, { 0x05c4, 0x05c5 }, { 0x0610, 0x061a },
	{ 0x064b, 0x065f }, { 0x0670, 0x0670 }, { 0x06d6, 0x06dc }, { 0x06df, 0x06e4 },
	{ 0x0900, 0x0902 }, { 0x093c, 0x093c }, { 0x0941, 0x0948 }, { 0x094d, 0x094d },
	{ 0x0e31, 0x0e31 }, { 0x0e34, 0x0e3a }, { 0x0e47, 0x0e4e }, { 0x1ab0, 0x1aff },
	{ 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff }, { 0x302a, 0x302d }, { 0x3099, 0x309a },
	{ 0xfe20, 0xfe2f },
};

#define COMBINING_RUN_MAX 2 /* marks on one character; more would paint over the lines around */

static bool within(const struct range *ranges, size_t n, uint32_t code)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (code > ranges[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && code >= ranges[low].first;
}

static uint32_t decode(const uint8_t *p, size_t n)
{
	uint32_t code = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		code = code << 6 | (p[i] & 0x3fu);
	return code;
}

struct screen_char screen_next(struct slice s)
{
	size_t n = utf8_len(s);
	struct screen_char c = { .n = n, .columns = 1 };

	if (!n)
		return (struct screen_char){
			.n = 1, .code = s.p[0], .columns = -1, .invalid = true
		};
	c.code = decode(s.p, n);
	if (within(unprintable, ARRAY_SIZE(unprintable), c.code))
		c.columns = -1;
	else if (within(combining, ARRAY_SIZE(combining), c.code))
		c.columns = 0;
	else if (within(wide, ARRAY_SIZE(wide), c.code))
		c.columns = 2;
	return c;
}

void screen_escape(struct slice s, struct strbuf *out)
{
	static const char named[32] = { ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't' };
	size_t run = COMBINING_RUN_MAX; /* a mark at the start has nothing to sit on */

	while (s.n) {
		struct screen_char c = screen_next(s);

		run = c.columns ? 0 : run + 1;
		if (c.columns > 0 || (c.columns == 0 && run <= COMBINING_RUN_MAX))
			strbuf_add(out, s.p, c.n);
		else if (c.code < 0x20 && named[c.code])
			strbuf_addf(out, "\\%c", named[c.code]);
		else if (c.invalid || c.code < 0x20 || c.code == 0x7f)
			strbuf_addf(out, "\\x%02x", c.code);
		else
			strbuf_addf(out, "\\u%04x", c.code);
		s = slice_from(s, c.n);
	}
}

size_t screen_columns(struct slice escaped)
{
	size_t columns = 0;

	while (escaped.n) {
		struct screen_char c = screen_next(escaped);

		columns += c.columns > 0 ? (size_t)c.columns : 0;
		escaped = slice_from(escaped, c.n);
	}
	return columns;
}

size_t screen_cut(struct slice escaped, size_t columns, struct strbuf *out)
{
	size_t all = screen_columns(escaped), used = 0;
	size_t room = all <= columns ? columns : columns - 1;

	if (!columns)
		return 0;
	while (escaped.n) {
		struct screen_char c = screen_next(escaped);
		size_t w = c.columns > 0 ? (size_t)c.columns : 0;

		if (used + w > room)
			break;
		strbuf_add(out, escaped.p, c.n);
		used += w;
		escaped = slice_from(escaped, c.n);
	}
	if (all > columns) {
		strbuf_adds(out, "…");
		used++;
	}
	return used;
}

static void wrap_line(struct slice line, size_t width, struct strbuf *out)
{
	size_t indent = 0, column;

	while (indent < line.n && line.p[indent] == ' ')
		indent++;
	strbuf_add(out, line.p, indent);
	line = slice_from(line, indent);
	column = indent;
	while (line.n) {
		size_t end = slice_find(line, ' ');
		size_t columns = screen_columns(slice_head(line, end));

		if (column > indent && column + 1 + columns > width) {
			strbuf_addf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			strbuf_addch(out, ' ');
			column++;
		}
		strbuf_add(out, line.p, MIN(end, line.n));
		column += columns;
		line = slice_from(line, MIN(end + 1, line.n));
	}
}

void screen_wrap(struct slice escaped, size_t width, struct strbuf *out)
{
	while (escaped.n) {
		size_t end = slice_find(escaped, '\n');

		wrap_line(slice_head(escaped, end), width, out);
		if (end < escaped.n)
			strbuf_addch(out, '\n');
		escaped = slice_from(escaped, MIN(end + 1, escaped.n));
	}
}

size_t screen_note_width(void)
{
	return isatty(STDERR_FILENO) ? screen_width(STDERR_FILENO) : 0;
}

size_t screen_width(int fd)
{
	struct winsize ws = { 0 };
	const char *env;
	uint64_t v;

	if (ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		return MAX((size_t)ws.ws_col, (size_t)SCREEN_WIDTH_MIN);
	env = getenv("COLUMNS");
	if (env && parse_u64(slice_str(env), &v) == 0 && v >= SCREEN_WIDTH_MIN && v <= 10000)
		return (size_t)v;
	return SCREEN_WIDTH_DEFAULT;
}

size_t screen_height(int fd)
{
	struct winsize ws = { 0 };

	return ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_row ? ws.ws_row : 24;
}

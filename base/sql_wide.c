#include "base/sql_wide.h"

#define LEAD_MIN 0x81 /* the least first byte of two in these sets */

/* The first byte of a UTF-8 character of more than one (RFC 3629, section 4). */
static void open_char(struct sql_wide *w, uint8_t c)
{
	w->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	w->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	w->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	w->other |= c < 0xc2 || c > 0xf4;
}

static void read_byte(struct sql_wide *w, uint8_t c)
{
	if (w->more && (c < w->low || c > w->high)) {
		w->other = true;
	} else if (w->more) {
		w->more--;
		w->low = 0x80;
		w->high = 0xbf;
	} else if (c >= 0x80) {
		open_char(w, c);
	}
}

static bool is_ascii(struct slice s)
{
	uint8_t all = 0;

	for (size_t i = 0; i < s.n; i++)
		all |= s.p[i];
	return all < 0x80;
}

size_t sql_wide(struct sql_wide *w, struct slice piece)
{
	if (w->last < 0x80 && is_ascii(piece))
		return piece.n;
	for (size_t i = 0; i < piece.n; i++) {
		uint8_t c = piece.p[i];

		if (!w->other)
			read_byte(w, c);
		if (w->other && w->last >= LEAD_MIN && (c == '\\' || c == '`'))
			return i;
		w->last = c;
	}
	return piece.n;
}

size_t sql_sure(struct slice text)
{
	struct sql_wide first = { 0 }, again = { .other = true };
	size_t n = sql_wide(&first, text);

	return first.other ? sql_wide(&again, text) : n;
}

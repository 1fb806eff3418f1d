/* What may reach a terminal. Captured bytes are hostile: a cell is shown as printable characters
 * only, everything else as text (\n, \x1b, \u202e), so that no escape sequence, C1 control,
 * bidirectional override or invalid UTF-8 of somebody's traffic is ever obeyed.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "base/strbuf.h"

#define SCREEN_WIDTH_DEFAULT 80 /* columns, when the terminal does not say */
#define SCREEN_WIDTH_MIN     20

/* One step through s: the character's length in bytes and its columns (0 for a combining mark, 2
 * for East Asian wide and emoji). columns < 0: not to be shown as it is. s.n > 0. */
struct screen_char {
	size_t n;
	uint32_t code; /* of the character; the byte when it is no UTF-8 */
	int columns;
	bool invalid; /* no UTF-8: n is 1 */
};
struct screen_char screen_next(struct slice s);

/* Appends s with everything that is not printable written out. No line breaks come out. */
void screen_escape(struct slice s, struct strbuf *out);
/* Columns that already escaped text takes. */
size_t screen_columns(struct slice escaped);
/* Appends at most `columns` columns of escaped text, the last of them an ellipsis when it was cut;
 * returns the columns written. */
size_t screen_cut(struct slice escaped, size_t columns, struct strbuf *out);

/* Appends escaped text whose lines are broken between words to be no wider than `width`; further
 * parts of a line begin under its first word. A word that is wider stays whole. */
void screen_wrap(struct slice escaped, size_t width, struct strbuf *out);

/* Columns of the terminal that notes and errors go to; 0: stderr is none. */
size_t screen_note_width(void);
/* Columns of the terminal behind fd, else $COLUMNS, else SCREEN_WIDTH_DEFAULT. */
size_t screen_width(int fd);
/* Lines of the terminal behind fd, else 24. */
size_t screen_height(int fd);

#endif

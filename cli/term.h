/* The terminal while a view is drawn in place: raw input, the alternate screen, keys. Whatever ends
 * the program (q, Ctrl-C, SIGTERM, Ctrl-Z, a crash), the terminal is as it was before.
 *
 *	term_open() -> term_wait(), term_key(), term_write() ... -> term_close()
 *
 * One per program: the terminal is one, and signal handlers have to find it.
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include "base/slice.h"

enum term_key {
	KEY_NONE = -1, /* nothing more has been typed */
	/* 1..255: the byte itself; UTF-8 comes byte by byte */
	KEY_ENTER = '\r',
	KEY_ESCAPE = 27,
	KEY_BACKSPACE = 127,
	KEY_UP = 256,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
	KEY_OTHER,	  /* a key that no view uses */
	KEY_PASTED = 512, /* added to a byte that was pasted, not typed: never a command */
};

/* 0, or -errno when stdin is no terminal that answers. */
int term_open(void);
void term_close(void);

/* Waits until something was typed (1), the size changed or the program was continued (2), or ms
 * milliseconds are over (0). -EINTR: interrupted (cli/interrupt.h). */
int term_wait(int ms);
/* The next key (enum term_key) of what was typed, never waiting longer than an escape sequence takes
 * to arrive. *ret_gone: the terminal is gone. */
int term_key(bool *ret_gone);
/* Writes all of it, or as much as the terminal takes before it goes. */
void term_write(struct slice s);
/* Puts text on the clipboard of whoever looks at the terminal (OSC 52); many terminals do it. */
void term_copy(struct slice text);

#endif

/* A live view's insides: what is shown and which keys do what (live.c), and how it is drawn
 * (live_paint.c).
 */
#ifndef CLI_LIVE_INT_H
#define CLI_LIVE_INT_H

#include "cli/live.h"

#define STATUS_MAX (64 * KIB) /* bytes of the last line, and of what a key says there */

struct live_session {
	const struct live_ops *ops;
	void *ctx;
	const struct live_opts *opts;
	struct live_page page;
	struct strbuf words;   /* a row is shown when it contains them */
	struct strbuf message; /* instead of the list of keys, until the next one */
	struct strbuf copied;
	struct strbuf chosen; /* key of the row, so that it stays chosen when rows move */
	size_t *shown;	      /* indices of the page's rows */
	size_t n_shown, cap_shown, n_rows;
	size_t at, top; /* chosen row of the shown ones; the first on the screen */
	bool paused, help, quit, stale;
	bool typing;
	struct strbuf line; /* what is typed behind / */
};

/* A list with rows to choose, not a text to read. */
bool live_is_list(const struct live_session *s);
/* Its lines: a list's head and rows, or a text. Borrowed. */
struct slice live_text(const struct live_session *s);
/* Lines of the screen for rows: without title, head, foot and the line of keys. */
size_t live_body_lines(const struct live_session *s);
/* Draws the screen, moved so that the chosen row is on it. */
void live_paint(struct live_session *s);

#endif

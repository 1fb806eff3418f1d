/* Lines from a terminal, with editing, history and completion (libedit). The history is kept in
 * $XDG_STATE_HOME/kelpie/history, else ~/.local/state/kelpie/history, for its owner only.
 */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H

#include "base/strbuf.h"
#include "cli/complete.h"

#define EDITOR_HISTORY_MAX 1000 /* entries */

/* before: the line up to the cursor; after: the rest of it. */
typedef void (*editor_complete)(void *ctx, struct slice before, struct slice after,
				struct completion *ret);

struct editor;

/* 0 or -ENOMEM. A history that cannot be read or written is said once and is none. */
int editor_open(editor_complete complete, void *ctx, struct editor **ret);
/* Puts the terminal back. */
void editor_close(struct editor *e);
DEFINE_CLEANUP(struct editor, editor_close)

/* One line without its end into line. 0; -EINTR: interrupted (cli/interrupt.h); -ENODATA: the end of
 * the input, or Ctrl-D on an empty line. */
int editor_line(struct editor *e, const char *prompt, struct strbuf *line);
/* Adds a statement to the history, in the file too. */
void editor_remember(struct editor *e, const char *text);

#endif

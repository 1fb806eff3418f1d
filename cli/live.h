/* A view that is drawn again and again in place: rows to move through, one of them opened with Enter,
 * a line to filter with, the equivalent command. What the rows mean is the caller's; the screen and
 * the keys are here.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "base/strbuf.h"
#include "cli/trouble.h"

#define LIVE_PAGE_MAX (16 * MIB) /* bytes of each part of a page */
#define LIVE_LINE_MAX 1024	 /* bytes that can be typed behind / */
#define LIVE_MARGIN   2		 /* columns before each row, for the mark of the chosen one */

/* One screen: printable text and own SGR sequences only, each line with its end. */
struct live_page {
	bool list;	     /* rows with keys, not a text to read */
	struct strbuf text;  /* of a list: its head, then a line for each key */
	struct strbuf keys;  /* of a list: one line for each row, what Enter opens */
	struct strbuf uncut; /* of a list: what / searches, one line for each row */
	struct strbuf foot;  /* below */
};

/* What returns bool says whether there was something to do. */
struct live_ops {
	/* 0; -EINTR ends the view; -EIO shows t and tries again (ends it when it was the first). */
	int (*draw)(void *ctx, struct live_page *page, struct trouble *t);
	bool (*open)(void *ctx, struct slice key); /* Enter: what is drawn from now on */
	bool (*back)(void *ctx);		   /* Esc: what was drawn before */
	const char *(*sort)(void *ctx); /* the next order, its name; NULL: there is one only */
	/* Flags as on the command line, "" for none; why says what is wrong with them. */
	bool (*filter)(void *ctx, const char *flags, struct strbuf *why);
	const char *(*flags)(void *ctx); /* those that filter() was given last */
	/* The command that shows what is drawn. */
	void (*command)(void *ctx, struct strbuf *out);
};

struct live_opts {
	int interval_ms;
	bool color;
};

/* Until q, Ctrl-C or the end of input. An exit code; failures have been said. What y copied is
 * printed at the end. */
int live_run(const struct live_ops *ops, void *ctx, const struct live_opts *opts,
	     struct trouble *t);

#endif

/* A view as a verb: how its statement is built, shown once, and drawn in place. */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "cli/views.h"

#define VERB_SORTS_MAX 5

struct verb {
	const char *name; /* of the command */
	const char *what; /* "requests" */
	const struct view *view;
	const char
		*sorts[VERB_SORTS_MAX]; /* what s goes through in a live view; the first is NULL */
	uint64_t live_rows;	/* asked for in place when the flags do not say; 0: as elsewhere */
	const char *live_order; /* in place when the flags do not say; NULL: as elsewhere */
	bool tells_unseen;	/* in place: how many rows came that were never on the screen */
	int interval_ms;
	/* Builds the statement for now; src may be asked before. 0; -EINVAL with why; -EINTR; -EIO
	 * with *t. */
	int (*build)(struct question *q, const struct options *o, struct source *src,
		     struct strbuf *why, struct trouble *t);
};

extern const struct verb verb_slow; /* what is behind a group of top */

struct asking {
	const struct options *o;
	const struct verb *verb;
	struct source *source; /* NULL: nobody is asked */
};

/* As verb->build(), with what is wrong in *t. */
int verb_build(const struct asking *a, struct question *q, struct trouble *t);
/* The one number of a statement's one row; untouched when it is none, or 0. As source_ask(). */
int verb_number(struct source *src, const struct question *q, uint64_t *ret, struct trouble *t);
/* As show_answer(). */
int verb_show(const struct asking *a, const struct print_opts *print, struct strbuf *footer,
	      struct trouble *t);
/* In place on the terminal, until q. An exit code; failures have been said. */
int verb_live(const struct asking *a, struct trouble *t);

#endif

/* The columns of each view, and the way from a question to a printed answer. */
#ifndef CLI_VIEWS_H
#define CLI_VIEWS_H

#include "cli/footer.h"
#include "cli/print.h"
#include "cli/source.h"
#include "cli/sqlgen.h"

extern const struct view view_top[_TOP_MAX];
extern const struct view view_tap, view_slow, view_errors, view_conns;

/* One answer: where it goes and what stands under it. */
struct showing {
	const struct options *o;
	struct source *source;
	const struct question *q;
	const struct print_opts *print;
	const char *what; /* "requests" */
	bool timeline;	  /* a record begins with where its time went */
};

/* Asks, prints, writes the footer to footer (NULL: stderr). Returns an exit code. On failure *t
 * says why and nothing was said yet. */
int show_answer(const struct showing *s, struct strbuf *footer, struct trouble *t);

uint64_t wall_ns(void);

#endif

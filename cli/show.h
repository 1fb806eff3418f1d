/* One exchange or one connection in full: for `show` and for Enter in a live view. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/views.h"

/* Looks the id up and prints what it names as print says; footer: as in show_answer(). Returns an
 * exit code; on failure *t says why and nothing was said yet. */
int show_id(const struct options *o, struct source *source, const char *id,
	    const struct print_opts *print, struct strbuf *footer, struct trouble *t);

#endif

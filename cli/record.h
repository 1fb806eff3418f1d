/* Rows one below the other, a column a line: for `show` and the prompt's \x. */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include "cli/views.h"

/* As show_answer(), s->print->output is a table. On a terminal long texts are broken into lines. */
int record_answer(const struct showing *s, struct strbuf *footer, struct trouble *t);

#endif

/* The prompt of `kelpie sql`. */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include "cli/cli.h"
#include "cli/source.h"

/* Until \q or the end of input. An exit code. */
int prompt_run(const struct options *o, struct source *source);

#endif

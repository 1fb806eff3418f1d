/* Tables and columns from the schema that this program was built with. */
#ifndef CLI_SCHEMA_VIEW_H
#define CLI_SCHEMA_VIEW_H

#include "cli/cli.h"

/* Both return an exit code. */
int schema_show_all(const struct options *o);
int schema_show_table(const struct options *o, const char *name);

#endif

/* What may follow a word of a command line: for the scripts of `kelpie completion`, and for kubectl, which
 * asks a plug-in's own program.
 */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H

#include "cli/cli.h"

/* Appends the words, with a space between them, that a flag ("output") or a command takes; one of the two
 * is NULL. False: nothing is known. */
bool completion_words(const char *flag, const char *command, struct strbuf *out);
bool completion_is_file(const struct flag *f);

/* kubectl_complete-kelpie, and `kelpie __complete`: argv is what stands behind `kubectl kelpie`, the last
 * word is being typed and may be empty. Prints a candidate a line, a tab and what it is, and at the end
 * ":N" with what the shell is to do (ShellCompDirective of spf13/cobra). An exit code. */
int completion_answer(int argc, char **argv);

#endif

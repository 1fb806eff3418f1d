/* The directory in which the store keeps its files. */
#ifndef AGENT_DATA_DIR_H
#define AGENT_DATA_DIR_H

#include "base/run_as.h"

/* Makes dir, unless it is there, as root's, so that its owner's rights are nobody's who touches
 * captured bytes; the store may write there by its group, and owns the files that are there. 0 or
 * negative errno, reported on standard error. */
int data_dir_make(const char *dir, const struct run_as_ids *store);

#endif

/* Capabilities of the calling thread, as a mask with bit CAP_x for each (linux/capability.h). */
#ifndef BASE_CAPS_H
#define BASE_CAPS_H

#include <stdint.h>

/* What is effective. 0 or a negative errno. */
int caps_get(uint64_t *ret);
/* Effective and permitted become `mask`, inheritable becomes empty. 0 or a negative errno. */
int caps_set(uint64_t mask);
/* Takes one, CAP_x, if it is there; what is permitted becomes what is effective. 0 or a negative errno. */
int caps_drop(int number);
/* Takes all but `keep` from the bounding set: nothing that is started gets them back. Where that needs
 * CAP_SETPCAP and it is missing the set stays as it is, if no_new_privs is on: then nothing that is started
 * gets more than its starter has, whatever the set holds. 0 or a negative errno. */
int caps_bound(uint64_t keep);

#endif

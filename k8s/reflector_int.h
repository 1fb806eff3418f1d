/* What the files of the reflector share. */
#ifndef K8S_REFLECTOR_INT_H
#define K8S_REFLECTOR_INT_H

#include "k8s/fields.h"
#include "k8s/reflector.h"

/* reflector.c: the set of objects is complete; from here on it is watched. */
void reflector_complete(struct reflector *r);
/* False: it is none that could be asked for. */
bool reflector_set_version(struct reflector *r, struct slice version);

/* reflector_trouble.c */
void reflector_well(struct reflector *r);
/* Ends what is under way: the server answered with an error, or said one in a watch. */
void reflector_refused(struct reflector *r, const struct k8s_status *s, bool in_stream);
/* Tries again after a back-off, keeps what is to be asked. code: of HTTP, or negative; it is told to
 * people at once or when it happens again and again. */
void reflector_fail(struct reflector *r, int code, bool at_once, struct slice why);
/* All is to be listed anew, at the newest version or at least at the one that was seen. */
void reflector_relist(struct reflector *r, bool newest);

#endif

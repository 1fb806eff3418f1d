/* Kubernetes' protobuf: the envelope and messages by the tables of k8s/fields.h. Pure; texts are slices
 * of what was given. Unknown fields, and known ones of another wire type, are skipped.
 */
#ifndef K8S_PB_H
#define K8S_PB_H

#include "k8s/fields.h"

/* A message into base, which the caller has set to its zero. 0, or -EBADMSG: base holds a part. */
int k8s_pb_read(const struct fields *t, void *base, struct slice bytes);

/* The object behind "k8s\0" and runtime.Unknown. 0, -EBADMSG. */
int k8s_pb_envelope(struct slice bytes, struct k8s_envelope *ret);

/* An object of a kind, without its envelope. 0, -EBADMSG. */
int k8s_pb_object(enum k8s_kind kind, struct slice bytes, struct k8s_object *ret);

#endif

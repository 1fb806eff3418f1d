/* Kubernetes' JSON by the tables of k8s/fields.h: what k8s/pb.h does for protobuf. Pure; texts are slices
 * of what was given, whose strings are decoded in place.
 */
#ifndef K8S_JSON_H
#define K8S_JSON_H

#include "k8s/fields.h"

/* The object that is the whole of the text into base, which the caller has set to its zero. Unknown
 * members, and known ones of another type, are skipped. 0, or -EBADMSG: base holds a part. */
int k8s_json_read(const struct fields *t, void *base, uint8_t *text, size_t n);

/* An object of a kind. 0, -EBADMSG. */
int k8s_json_object(enum k8s_kind kind, uint8_t *text, size_t n, struct k8s_object *ret);

#endif
